"""Slack: a message to a channel, an answer in the thread of what it answers. With an incoming webhook there are none.

Slack knows no idempotency: where an attempt was accepted and nobody heard of it, the message stands there twice. Copies
carry the same delivery id in their metadata.
"""

import re
from collections.abc import Mapping

from services.notifier.channels.channel import Message, cut
from services.notifier.channels.web import JSON, ROOM, Answer, Web, as_json, classify, required_secret, revealed
from services.notifier.outbox import Accepted, Failure, Outcome, Refused, TryAgain
from services.shared.fields import Fields, Secret

POST_MESSAGE = "https://slack.com/api/chat.postMessage"
#: Characters; Slack takes no more than 40,000, and escaping makes up to five of one.
_LONGEST = 8_000
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_TIMESTAMP = re.compile(r"[0-9]{1,12}\.[0-9]{1,12}")

#: What `error` says → what it means; all else refuses for good.
MEANINGS: Mapping[str, Outcome] = {
    **dict.fromkeys(
        (
            "access_denied", "accesslimited", "account_inactive", "ekm_access_denied", "enterprise_is_restricted",
            "invalid_auth", "missing_scope", "no_permission", "not_allowed_token_type", "not_authed",
            "org_login_required", "team_access_not_granted", "token_expired", "token_revoked",
            "two_factor_setup_required",
        ),
        Refused(Failure.AUTH),
    ),
    **dict.fromkeys(("msg_too_long", "msg_blocks_too_long"), Refused(Failure.TOO_LARGE)),
    **dict.fromkeys(("message_limit_exceeded", "rate_limited", "ratelimited"), TryAgain(Failure.RATE_LIMITED)),
    **dict.fromkeys(
        ("fatal_error", "internal_error", "service_unavailable", "team_added_to_org"), TryAgain(Failure.SERVER_ERROR)
    ),
    "request_timeout": TryAgain(Failure.TIMEOUT),
}  # fmt: skip
#: The thread is gone or closed; the channel may not be.
_NO_THREAD = frozenset({"cannot_reply_to_message", "restricted_action_thread_locked", "thread_not_found"})


class Slack:
    """Posts to one channel: with a bot's token, or to an incoming webhook."""

    def __init__(self, web: Web, url: str | Secret, token: Secret | None = None, channel: str = "") -> None:
        self._web = web
        self._url = url
        self._token = token
        self._channel = channel

    @classmethod
    def read(cls, settings: Fields) -> "Slack":
        """`token` and `channel`, or `url` of an incoming webhook; optionally `networks` and `timeout`.

        With a token, `url` is that of chat.postMessage where it is not Slack's usual one.
        """
        web = Web.read(settings)
        if "url" in settings and "token" not in settings and "channel" not in settings:
            return cls(web, web.url(settings))
        token = required_secret(settings, "token")
        return cls(web, web.url(settings, POST_MESSAGE), token, settings.text("channel"))

    async def send(self, message: Message) -> Outcome:
        """Post it, in a thread where it answers something."""
        try:
            url = revealed(self._url)
            headers = {**JSON, "authorization": f"Bearer {revealed(self._token)}"} if self._channel else JSON
        except ValueError:  # a secret is gone
            return TryAgain(Failure.AUTH)
        if not self._channel:
            return classify(await self._web.send(url, as_json({"text": text(message)}), headers))
        answer, thread = await self._post(url, headers, message, min(message.threads, default=""))
        if thread and isinstance(answer, Answer) and answer.json().get("error") in _NO_THREAD:
            answer, thread = await self._post(url, headers, message, "")
        return understand(answer, thread)

    async def close(self) -> None:
        """Close connections."""
        await self._web.close()

    async def _post(
        self, url: str, headers: Mapping[str, str], message: Message, thread: str
    ) -> tuple[Answer | TryAgain | Refused, str]:
        body: dict[str, object] = {
            "channel": self._channel,
            "text": text(message),
            "unfurl_links": False,
            "unfurl_media": False,
            "metadata": {"event_type": "puntual", "event_payload": {"delivery_id": message.delivery_id}},
        }
        if thread:
            # Who does not follow the thread must see a breach all the same, and the answer to several messages.
            seen_by_all = (message.calls and message.kind != "at_risk") or len(message.threads) > 1
            body |= {"thread_ts": thread, "reply_broadcast": seen_by_all}
        return await self._web.send(url, as_json(body), headers, room=ROOM), thread


def text(message: Message) -> str:
    """What stands there, with nothing in it that Slack would take for a link or a mention."""
    subject = message.subject.translate(_ESCAPES)
    return f"*{subject}*\n{cut(message.text, _LONGEST).translate(_ESCAPES)}"


def understand(answer: Answer | TryAgain | Refused, thread: str) -> Outcome:
    """What chat.postMessage answered. Answers go to the message that began the thread, never to another answer."""
    outcome = classify(answer)
    if not isinstance(outcome, Accepted) or not isinstance(answer, Answer):
        return outcome
    said = answer.json()
    if said.get("ok") is True:
        timestamp = str(said.get("ts", ""))
        if not _TIMESTAMP.fullmatch(timestamp):
            return Accepted()
        return Accepted(timestamp, thread or timestamp)
    if said.get("ok") is not False:
        return TryAgain(Failure.SERVER_ERROR)  # whoever answered, it was not Slack
    meaning = MEANINGS.get(str(said.get("error")), Refused(Failure.CLIENT_ERROR))
    return meaning._replace(retry_after=answer.retry_after) if isinstance(meaning, TryAgain) else meaning
