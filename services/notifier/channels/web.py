"""HTTP, as every channel that speaks it does: one session, no redirects, short answers, no way into private networks.

Addresses are judged when they are connected to, so that no name can lead elsewhere once it was looked at.
"""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp.abc import ResolveResult

from services.notifier.channels.networks import REMEDY, BlockedAddress, Network, address_of, allows, read_networks
from services.notifier.outbox import Accepted, Failure, Outcome, Refused, TryAgain
from services.shared.fields import Fields, Secret
from services.shared.instant import SECOND

log = logging.getLogger(__name__)

#: How much of an answer is read, where one is: bytes.
ROOM = 65_536
#: Status → what it means; all other 2xx accept, 5xx may pass, and the rest refuses for good.
MEANINGS: Mapping[int, Outcome] = {
    401: Refused(Failure.AUTH),
    403: Refused(Failure.AUTH),
    408: TryAgain(Failure.TIMEOUT),
    413: Refused(Failure.TOO_LARGE),
    429: TryAgain(Failure.RATE_LIMITED),
}


class Answer(NamedTuple):
    """What a server said."""

    status: int
    #: Microseconds that it asked to wait.
    retry_after: int = 0
    #: How it begins, where it was to be read.
    body: bytes = b""

    def json(self) -> Mapping[str, object]:
        """The object that was answered; empty where it is none."""
        try:
            answer = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return answer if isinstance(answer, dict) else {}


class Web:
    """The way to the servers of one target."""

    def __init__(self, networks: Sequence[Network] = (), timeout: float = 10.0) -> None:
        self._networks = networks
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def read(cls, settings: Fields) -> "Web":
        """Optionally `networks` (private ones that may be reached) and `timeout`."""
        return cls(read_networks(settings), settings.span("timeout", "10s") / SECOND)

    def url(self, settings: Fields, default: str | None = None) -> str | Secret:
        """The field `url`: a web address, or a reference to a secret one."""
        written = settings.anything("url")
        if written is None and default is None:
            settings.problem("url", "is missing; write https://..., env:NAME or file:/path")
            return ""
        return self._checked(settings, "url", default if written is None else written)

    def urls(self, settings: Fields) -> Sequence[str | Secret]:
        """The field `urls`: several of them."""
        written = settings.anything("urls")
        if not isinstance(written, list) or not written:
            settings.problem("urls", "is no list of web addresses; write for example [https://...]")
            return []
        return [self._checked(settings, "urls", url) for url in written]

    def _checked(self, settings: Fields, field: str, written: object) -> str | Secret:
        try:
            url = reference(written if isinstance(written, str) else "")
            self._check(revealed(url or "-"))
        except ValueError as error:
            # A web address often is a credential: never repeat it.
            settings.problem(field, str(error))
            return ""
        return url

    def _check(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host = parts.hostname if parts.scheme in {"http", "https"} and parts.port != 0 else None
        except ValueError:
            host = None
        if not host:
            raise ValueError("is no web address; write https://..., env:NAME or file:/path")
        if address_of(host) and not self.allows(host):
            raise ValueError(REMEDY)

    def allows(self, host: str) -> bool:
        """Whether an address may be connected to: it is public, or in a network that was allowed."""
        return allows(self._networks, host)

    async def send(
        self,
        url: str,
        data: bytes | Mapping[str, str] | None,
        headers: Mapping[str, str],
        *,
        method: str = "POST",
        params: Mapping[str, str] | None = None,
        room: int = 0,
    ) -> Answer | TryAgain | Refused:
        """Make a request and read so many bytes of the answer at most. Never raises for what comes back."""
        session = self._session = self._session or self._new_session()
        try:
            async with session.request(
                method, url, data=data, params=params, headers=headers, allow_redirects=False
            ) as response:
                wait = _wait(response.headers.get("Retry-After", ""), time.time())
                return Answer(response.status, wait, await _beginning(response.content, room))
        except TimeoutError:
            return TryAgain(Failure.TIMEOUT)
        except aiohttp.ClientConnectorError as error:
            if not isinstance(error.os_error, BlockedAddress):
                return TryAgain(Failure.NETWORK)
            log.error("address is not public; if it is meant, list its network under `networks` of the target")  # noqa: TRY400
            return Refused(Failure.BLOCKED_ADDRESS)
        except (aiohttp.ClientError, OSError, ValueError):
            return TryAgain(Failure.NETWORK)

    async def close(self) -> None:
        """Close connections."""
        if self._session:
            await self._session.close()
            await asyncio.sleep(0)  # let the transports close

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=_Resolver(self), socket_factory=self._socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": "puntual", "accept-encoding": "identity"},
            timeout=self._timeout,
            auto_decompress=False,
        )

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Called for every address right before connecting to it."""
        family, kind, protocol, _, address = info
        if not self.allows(str(address[0])):
            raise BlockedAddress
        return socket.socket(family, kind, protocol)


class _Resolver(aiohttp.ThreadedResolver):
    """Leaves out of what a name stands for what may not be connected to: then another address may serve."""

    def __init__(self, web: Web) -> None:
        super().__init__()
        self._web = web

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        allowed = [found for found in await super().resolve(host, port, family) if self._web.allows(found["host"])]
        if not allowed:
            raise BlockedAddress
        return allowed


async def _beginning(content: aiohttp.StreamReader, room: int) -> bytes:
    body = b""
    while len(body) < room and (chunk := await content.read(room - len(body))):
        body += chunk
    return body


def reference(written: str) -> str | Secret:
    """A text of the configuration that may refer to a secret. Raises ValueError where the reference is none."""
    return Secret(written) if written.startswith(("env:", "file:")) else written


def revealed(text: str | Secret | None) -> str:
    """The text. Raises ValueError where the secret is gone."""
    if not text:
        raise ValueError("is empty; write env:NAME or file:/path")
    return text.reveal() if isinstance(text, Secret) else text


def required_secret(settings: Fields, name: str) -> Secret | None:
    """A reference to a secret that must be there."""
    if name not in settings:
        settings.problem(name, "is missing; write env:NAME or file:/path")
    return settings.secret(name)


def as_json(value: object) -> bytes:
    """The bytes to send. Of plain dicts, lists, texts, numbers and None: it takes no subclasses."""
    return msgspec.json.encode(value)


#: What to say of them.
JSON = {"content-type": "application/json"}


def classify(answer: Answer | TryAgain | Refused, meanings: Mapping[int, Outcome] = MEANINGS) -> Outcome:
    """What became of a request, by its status."""
    if not isinstance(answer, Answer):
        return answer
    meaning = meanings.get(answer.status) or _by_class(answer.status)
    return meaning._replace(retry_after=answer.retry_after) if isinstance(meaning, TryAgain) else meaning


def _by_class(status: int) -> Outcome:
    if 200 <= status < 300:  # noqa: PLR2004 - success
        return Accepted()
    return TryAgain(Failure.SERVER_ERROR) if status >= 500 else Refused(Failure.CLIENT_ERROR)  # noqa: PLR2004


def _wait(retry_after: str, now: float) -> int:
    """Microseconds to wait by a Retry-After header, in seconds or as a date; 0 where it says nothing useful."""
    if retry_after.isdecimal():
        return int(retry_after[:9]) * SECOND
    try:
        return max(int((parsedate_to_datetime(retry_after).timestamp() - now) * SECOND), 0)
    except ValueError:
        return 0
