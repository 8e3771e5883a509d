"""PagerDuty: Events API v2. Every message about a breach or a risk is an alert of its own.

Were one incident one alert, PagerDuty would add whatever breaks later to the open alert and wake nobody; and what is
done would close what is not. So the key of an alert is the id of the delivery that raised it, and it is resolved once
nothing of what that delivery spoke of is open any more. A message that ends no earlier one has nothing to tell a pager.
"""

from collections.abc import Mapping

from services.notifier.channels.channel import Message, cut
from services.notifier.channels.web import (
    JSON,
    MEANINGS as USUAL_MEANINGS,
    Web,
    as_json,
    classify,
    required_secret,
    revealed,
)
from services.notifier.outbox import Accepted, Failure, Outcome, TryAgain
from services.shared.fields import Fields, Secret

ENQUEUE = "https://events.pagerduty.com/v2/enqueue"
#: Characters of a summary that PagerDuty takes, and of a text, so that an event is far smaller than 512 kB.
LONGEST_SUMMARY, _LONGEST_TEXT = 1_024, 20_000
_KEY_LENGTH = 32
#: 202 alone is acceptance: another success comes from whoever stands in between.
_MEANINGS: Mapping[int, Outcome] = {
    **USUAL_MEANINGS,
    **dict.fromkeys({*range(200, 300)} - {202}, TryAgain(Failure.SERVER_ERROR)),
    202: Accepted(),
}
#: Ours → theirs.
SEVERITIES = {"critical": "critical", "warning": "warning", "info": "info"}


class PagerDuty:
    """Sends events to one service."""

    def __init__(self, web: Web, url: str | Secret, routing_key: Secret | None) -> None:
        self._web = web
        self._url = url
        self._routing_key = routing_key

    @classmethod
    def read(cls, settings: Fields) -> "PagerDuty":
        """`routing_key`; optionally `url` (https://events.eu.pagerduty.com/v2/enqueue), `networks` and `timeout`."""
        web = Web.read(settings)
        routing_key = required_secret(settings, "routing_key")
        if routing_key and len(routing_key.reveal()) != _KEY_LENGTH:
            settings.problem("routing_key", "is no routing key; take the 32 characters of an Events API v2 integration")
        return cls(web, web.url(settings, ENQUEUE), routing_key)

    async def send(self, message: Message) -> Outcome:
        """Trigger, acknowledge or resolve alerts. All of it can be repeated."""
        try:
            url, routing_key = revealed(self._url), revealed(self._routing_key)
        except ValueError:  # a secret is gone
            return TryAgain(Failure.AUTH)
        for event in events(message):
            body = as_json({"routing_key": routing_key, **event})
            outcome = classify(await self._web.send(url, body, JSON), _MEANINGS)
            if not isinstance(outcome, Accepted):
                return outcome
        return Accepted(message.delivery_id)

    async def close(self) -> None:
        """Close connections."""
        await self._web.close()


def events(message: Message) -> list[Mapping[str, object]]:
    """What a message makes, without the routing key. What is over is resolved last: at no time is nobody awake."""
    resolved = [{"event_action": "resolve", "dedup_key": delivery_id} for delivery_id in message.over]
    if message.eases:
        return [{"event_action": "acknowledge", "dedup_key": delivery_id} for delivery_id in message.answers]
    if not message.calls:
        return [*resolved]
    payload = {
        "summary": cut(message.subject, LONGEST_SUMMARY),
        "source": message.incident_id,
        "severity": SEVERITIES.get(message.severity, "critical"),
        "timestamp": message.payload["timestamp"],
        "class": message.kind,
        "custom_details": {"text": cut(message.text, _LONGEST_TEXT), "incident": message.incident_id},
    }
    trigger = {"event_action": "trigger", "dedup_key": message.delivery_id, "client": "Puntual", "payload": payload}
    links = [{"href": message.link, "text": "Puntual"}] if message.link else []
    return [{**trigger, "links": links}, *resolved]
