"""The door of the page behind the links in messages: bytes on a connection, as whoever finds the port may send them."""

import asyncio
import gzip
import zlib
from collections.abc import Callable, Sequence
from random import Random
from urllib.parse import quote, urlencode

from services.notifier.answering import LARGEST
from tests.fuzz.mutation import INTEGERS, TEXTS
from tests.unit.notifier.test_answering import HOST, Place, a_place

#: Seconds to wait for an answer; to wait takes no CPU.
_PATIENCE = 0.5
_METHODS = ("GET", "GET", "HEAD", "POST", "POST", "POST", "POST", "PUT", "OPTIONS", "TRACE", "CONNECT", "get", "")
_FORM = "application/x-www-form-urlencoded"
_TYPES = (
    *[_FORM] * 8, f"{_FORM}; charset=utf-7", f"{_FORM}; charset=nonsense", f"{_FORM}; charset=idna", "application/json",
    "multipart/form-data; boundary=x", "multipart/form-data", "/", ";", "",
)  # fmt: skip
_ANSWERS = ("acknowledge", "take_over", "hour", "morning", "resolve", "comment")
_ENCODINGS = ("gzip", "deflate", "br", "zstd", "identity", "gzip, gzip", "nonsense")
_LANGUAGES = ("es", "it;q=0.9, es", "en," * 2_000, ";q=nan", ",", "x" * 5_000)
_HEADERS = ("Host", "Cookie", "Range", "Expect", "Upgrade", "Connection", "Content-Length", "X-Forwarded-For")


class Failed(Exception):
    """The page could not answer, and does not know why."""


def into_page(rng: Random) -> Callable[[], object]:
    """A request, mostly one that could be ours, to a server of its own with one open incident."""
    request = _request(rng, Place())
    return lambda: asyncio.run(_exchange(request))


async def _exchange(request: bytes) -> None:
    """Send it, and read what comes back until the connection ends. Raises Failed."""
    trouble: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: trouble.append(str(said["message"])))
    async with a_place() as place:
        reader, writer = await asyncio.open_connection(HOST, place.port)
        answer = b""
        try:
            writer.write(request)
            answer = await asyncio.wait_for(reader.read(), _PATIENCE)
        except (TimeoutError, OSError):  # it waits for the rest, or wanted no more of it
            pass
        finally:
            writer.close()
    if trouble or b" 500 " in answer.partition(b"\r\n")[0]:
        raise Failed(trouble)


def _request(rng: Random, place: Place) -> bytes:
    method = rng.choice(_METHODS)
    kind, body = _body(rng) if method == "POST" or rng.random() < 0.1 else ("", b"")
    lines = [f"{method} {_path(rng, place)} HTTP/1.{rng.choice('111110')}"]
    lines += [] if rng.random() < 0.02 else [f"Host: {HOST}"]
    lines += ["Connection: close"] if rng.random() < 0.95 else []
    lines += [f"Content-Type: {kind}"] if kind else []
    lines += [f"Accept-Language: {rng.choice((*_LANGUAGES, *TEXTS))}"] if rng.random() < 0.5 else []
    if body and rng.random() < 0.15:
        encoding = rng.choice(_ENCODINGS)
        lines.append(f"Content-Encoding: {encoding}")
        body = _packed(rng, body, encoding)
    if rng.random() < 0.1:
        lines += [f"{rng.choice((*_HEADERS, *TEXTS))}: {rng.choice(TEXTS)}"] * rng.choice((1, 1, 2, 300))
    if rng.random() < 0.1:
        lines.append("Transfer-Encoding: chunked")
        body = _chunked(rng, body)
    elif body and rng.random() < 0.95:
        lines.append(f"Content-Length: {len(body) if rng.random() < 0.95 else rng.choice(INTEGERS)}")
    head = "\r\n".join(lines).encode(errors="surrogatepass")
    request = head + b"\r\n\r\n" + body
    return _spoilt(rng, request) if rng.random() < 0.15 else request


def _path(rng: Random, place: Place) -> str:
    path = place.path()
    if rng.random() < 0.2:
        at = rng.randrange(len(path))
        path = path[:at] + rng.choice((*TEXTS, "A", "/", "..", "%2f", "%00", "?", "#")) + path[at + 1 :]
        path = quote(path, errors="replace", safe="/%?#") if rng.random() < 0.7 else path
    if rng.random() < 0.2:
        name = "answered" if rng.random() < 0.8 else rng.choice(TEXTS)
        value = f"page-{'0' * 32}" if rng.random() < 0.02 else rng.choice(TEXTS)
        path += f"?{urlencode([(name, value)] * rng.choice((1, 1, 2, 500)), errors='replace')}"
    return path


def _body(rng: Random) -> tuple[str, bytes]:
    """A content type, and a form."""
    fields: list[tuple[str, str]] = [("nonce", "a-nonce"), ("answer", rng.choice(_ANSWERS))]
    if rng.random() < 0.5:
        fields.append(("comment", rng.choice(TEXTS)))
    for _ in range(rng.choice((0, 0, 1, 3))):
        fields[rng.randrange(len(fields))] = rng.choice((*fields, ("a", "")))[0], rng.choice(TEXTS)
    if rng.random() < 0.1:
        fields += [("a", rng.choice(TEXTS))] * rng.choice((10, 1_000))
    body = urlencode(fields, errors="replace").encode()
    if rng.random() < 0.1:
        body += rng.choice((b"&", b"=", b"%", b"%ff", b"+", b"\0", b"&a=")) * rng.choice((1, 1_000, LARGEST, 500_000))
    kind = rng.choice(_TYPES)
    if kind.startswith("multipart"):
        part = b'--x\r\nContent-Disposition: form-data; name="answer"\r\n\r\nhour\r\n'
        body = part * rng.choice((1, 3, 80)) + rng.choice((b"--x--\r\n", b""))
    return kind, body


def _packed(rng: Random, body: bytes, encoding: str) -> bytes:
    """As its encoding has it; some is far larger than it looks."""
    if rng.random() < 0.3:
        body += b"&comment=" + b"x" * rng.choice((LARGEST, 8_000_000))
    if encoding == "gzip":
        return gzip.compress(body, mtime=0)
    return zlib.compress(body) if encoding == "deflate" else body[:LARGEST]


def _chunked(rng: Random, body: bytes) -> bytes:
    size = rng.choice((1, 7, 4_096))
    parts: Sequence[bytes] = [body[at : at + size] for at in range(0, min(len(body), 2_000), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + rng.choice((b"0\r\n\r\n", b"", b"-1\r\n"))


def _spoilt(rng: Random, request: bytes) -> bytes:
    spoilt = bytearray(request)
    for _ in range(rng.choice((1, 1, 3, 20))):
        spoilt[rng.randrange(min(len(spoilt), 600))] = rng.randrange(256)
    return bytes(spoilt[: rng.randrange(len(spoilt))] if rng.random() < 0.2 else spoilt)
