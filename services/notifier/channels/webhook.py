"""Webhooks: JSON by HTTP POST, signed as Standard Webhooks describes it where a secret is given."""

import asyncio
import binascii
import hashlib
import hmac
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp

from services.notifier.channels.channel import Message
from services.notifier.outbox import Accepted, Failure, Outcome, Refused, TryAgain
from services.shared.fields import Fields, Secret
from services.shared.instant import SECOND

#: Status → what it means; other 4xx refuse for good, 5xx may pass.
_MEANINGS: Mapping[int, Outcome] = {
    401: Refused(Failure.AUTH),
    403: Refused(Failure.AUTH),
    408: TryAgain(Failure.TIMEOUT),
    413: Refused(Failure.TOO_LARGE),
    429: TryAgain(Failure.RATE_LIMITED),
}


class Webhook:
    """Posts to one URL. It follows no redirects and reads no answers: only the status counts."""

    def __init__(self, url: str | Secret, secret: Secret | None = None, timeout: float = 10.0) -> None:
        self._url = url
        self._secret = secret
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def read(cls, settings: Fields) -> "Webhook":
        """`url` (a URL or a reference to a secret one), optionally `secret` and `timeout`."""
        url = settings.text("url")
        reference: str | Secret | None = settings.secret("url") if url.startswith(("env:", "file:")) else url
        try:
            known = reference.reveal() if isinstance(reference, Secret) else reference
            if known and (urlsplit(known).scheme not in {"http", "https"} or not urlsplit(known).hostname):
                raise ValueError  # noqa: TRY301 - the same problem as what urlsplit refuses
        except ValueError:
            # A webhook's URL often is a credential: never repeat it.
            settings.problem("url", "is no web address; write https://..., env:NAME or file:/path")
        secret = settings.secret("secret")
        if secret:
            try:
                signing_key(secret.reveal())
            except ValueError as error:
                settings.problem("secret", str(error))
        return cls(reference or "", secret, settings.span("timeout", "10s") / SECOND)

    async def send(self, message: Message) -> Outcome:
        """Post it. 2xx is acceptance; 408, 429, 5xx and the network may pass, all else will not."""
        try:
            url = self._url.reveal() if isinstance(self._url, Secret) else self._url
            body = json.dumps(message.payload, ensure_ascii=False, separators=(",", ":")).encode()
            headers = self._headers(message.delivery_id, int(time.time()), body)
        except ValueError:  # a secret is gone, or has become useless
            return TryAgain(Failure.AUTH)
        self._session = self._session or aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return classify(response.status, response.headers.get("Retry-After", ""), time.time())
        except TimeoutError:
            return TryAgain(Failure.TIMEOUT)
        except (aiohttp.ClientError, OSError):
            return TryAgain(Failure.NETWORK)

    async def close(self) -> None:
        """Close connections."""
        if self._session:
            await self._session.close()
            await asyncio.sleep(0)  # let the transports close

    def _headers(self, delivery_id: str, now: int, body: bytes) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "user-agent": "puntual",
            "webhook-id": delivery_id,
            "webhook-timestamp": str(now),
        }
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


def classify(status: int, retry_after: str, now: float) -> Outcome:
    """What an HTTP status means. `retry_after` is the header of that name; `now` in seconds since 1970."""
    if 200 <= status < 300:  # noqa: PLR2004 - success
        return Accepted()
    meaning = _MEANINGS.get(status, TryAgain(Failure.SERVER_ERROR) if status >= 500 else Refused(Failure.CLIENT_ERROR))  # noqa: PLR2004
    return meaning._replace(retry_after=_wait(retry_after, now)) if isinstance(meaning, TryAgain) else meaning


def _wait(retry_after: str, now: float) -> int:
    """Microseconds to wait by a Retry-After header, in seconds or as a date; 0 where it says nothing useful."""
    if retry_after.isdecimal():
        return int(retry_after[:9]) * SECOND
    try:
        return max(int((parsedate_to_datetime(retry_after).timestamp() - now) * SECOND), 0)
    except ValueError:
        return 0
