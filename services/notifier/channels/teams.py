"""Microsoft Teams: an Adaptive Card to the webhook of a workflow.

Teams knows no idempotency; copies of a message have the same id in the card.
"""

from collections.abc import Iterator, Sequence

from services.notifier.channels.channel import Message, cut
from services.notifier.channels.web import JSON, Web, as_json, classify, revealed
from services.notifier.outbox import Failure, Outcome, Refused, TryAgain
from services.shared.fields import Fields, Secret

#: Bytes of a request that Teams takes.
LARGEST = 28 * 1024
#: Characters of the subject, where that is all there is room for.
_SHORTEST = 200
#: Severity → how the subject is coloured.
_COLOURS = {"critical": "attention", "warning": "warning"}


class Teams:
    """Posts to one workflow."""

    def __init__(self, web: Web, url: str | Secret) -> None:
        self._web = web
        self._url = url

    @classmethod
    def read(cls, settings: Fields) -> "Teams":
        """`url` (usually a reference to a secret one), optionally `networks` and `timeout`."""
        web = Web.read(settings)
        return cls(web, web.url(settings))

    async def send(self, message: Message) -> Outcome:
        """Post as much as fits. Where Teams finds even that too large, the subject alone."""
        try:
            url = revealed(self._url)
        except ValueError:  # the secret is gone
            return TryAgain(Failure.AUTH)
        fitting = [body for body in bodies(message) if len(body) <= LARGEST]
        outcome = classify(await self._web.send(url, fitting[0], JSON))
        if outcome == Refused(Failure.TOO_LARGE):
            outcome = classify(await self._web.send(url, fitting[-1], JSON))
        return outcome

    async def close(self) -> None:
        """Close connections."""
        await self._web.close()


def bodies(message: Message) -> Iterator[bytes]:
    """The request with the whole text, then with fewer and fewer items, at last with a short subject only."""
    lines = message.text.splitlines()
    listed = [number for number, line in enumerate(lines) if line.startswith("- ")]
    yield _body(message, message.subject, lines)
    for first_left_out in reversed(listed):
        rest = [line for line in lines[first_left_out:] if not line.startswith("- ")]
        yield _body(message, message.subject, [*lines[:first_left_out], "…", *rest])
    yield _body(message, cut(message.subject, _SHORTEST), [])


def _body(message: Message, subject: str, lines: Sequence[str]) -> bytes:
    colour = _COLOURS.get(message.severity, "default") if message.calls else "good"
    # Runs of text, unlike blocks of it, are not read as Markdown: events can smuggle in no links.
    heading = {"type": "TextRun", "text": subject, "weight": "bolder", "size": "medium", "color": colour}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [
            {"type": "RichTextBlock", "id": f"puntual-{message.delivery_id}", "inlines": [heading]},
            *({"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": line}]} for line in lines if line),
        ],
        "actions": [{"type": "Action.OpenUrl", "title": "Puntual", "url": message.link}] if message.link else [],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return as_json({"type": "message", "attachments": [attachment]})
