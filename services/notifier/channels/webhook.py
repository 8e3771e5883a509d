"""Webhooks: JSON by HTTP POST, signed as Standard Webhooks describes it where a secret is given."""

import binascii
import hashlib
import hmac
import time
from base64 import b64decode, b64encode

from services.notifier.channels.channel import Message
from services.notifier.channels.web import JSON, Web, as_json, classify, revealed
from services.notifier.outbox import Failure, Outcome, TryAgain
from services.shared.fields import Fields, Secret


class Webhook:
    """Posts to one URL. It follows no redirects and reads no answers: only the status counts."""

    def __init__(self, web: Web, url: str | Secret, secret: Secret | None = None) -> None:
        self._web = web
        self._url = url
        self._secret = secret

    @classmethod
    def read(cls, settings: Fields) -> "Webhook":
        """`url` (a URL or a reference to a secret one), optionally `secret`, `networks` and `timeout`."""
        web = Web.read(settings)
        secret = settings.secret("secret")
        if secret:
            try:
                signing_key(secret.reveal())
            except ValueError as error:
                settings.problem("secret", str(error))
        return cls(web, web.url(settings), secret)

    async def send(self, message: Message) -> Outcome:
        """Post it. 2xx is acceptance; 408, 429, 5xx and the network may pass, all else will not."""
        try:
            url = revealed(self._url)
            body = as_json(message.payload)
            headers = self._headers(message.delivery_id, int(time.time()), body)
        except ValueError:  # a secret is gone, or has become useless
            return TryAgain(Failure.AUTH)
        return classify(await self._web.send(url, body, headers))

    async def close(self) -> None:
        """Close connections."""
        await self._web.close()

    def _headers(self, delivery_id: str, now: int, body: bytes) -> dict[str, str]:
        headers = {**JSON, "webhook-id": delivery_id, "webhook-timestamp": str(now)}
        if self._secret:
            headers["webhook-signature"] = sign(signing_key(self._secret.reveal()), delivery_id, now, body)
        return headers


def signing_key(secret: str) -> bytes:
    """The key in a secret: base64, with or without the prefix "whsec_". Raises ValueError where it is none."""
    try:
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError("is no signing secret; write base64, as Standard Webhooks has it: whsec_...")
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`."""
    content = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{b64encode(hmac.digest(key, content, hashlib.sha256)).decode()}"
