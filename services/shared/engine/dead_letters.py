"""Puts aside what cannot be used: whole where it fits into a message, else in part, saying what was left out."""

import logging
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from services.shared.engine.meter import Meter
from services.shared.engine.stage import Headers, Message, Origin, Write, fit
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.log import place_of

log = logging.getLogger(__name__)

#: Bytes of a dead letter: what its topic takes, with room for what Kafka adds.
LARGEST: Final = 2_000_000
#: What a letter is without, in its headers: of "headers", "value" and "key" those that did not fit.
LEFT_OUT: Final = "left-out"
#: Of a value that was left out.
SIZE, HASH = "size", "sha256"
#: The offsets that a letter stands for, where nobody could read what Kafka holds; its value is what that is.
OFFSETS: Final = "offsets"
ORIGINAL: Final = "original-"
_LONGEST_DETAIL: Final = 2_000


class Unread:
    """Stands for messages that could not be read from a batch. Whoever asks for their content hears why: `Unusable`."""

    key: None = None

    def __init__(
        self, first: int, last: int, timestamp: int, detail: str, raw: bytes, *, damaged: bool = False
    ) -> None:
        """`timestamp`: the broker's, in milliseconds. `raw`: as Kafka holds them. `damaged`: by Kafka."""
        self.first = first
        self.offset = last
        self.timestamp = timestamp
        self.detail = detail
        self.raw = raw
        self.damaged = damaged

    @property
    def value(self) -> bytes | None:
        """Raises Unusable."""
        raise Unusable(DeadLetterReason.UNDECODABLE, self.detail)

    @property
    def headers(self) -> Headers:
        """Raises Unusable."""
        raise Unusable(DeadLetterReason.UNDECODABLE, self.detail)


class Content(NamedTuple):
    """What a letter carries of a message."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class DeadLetters(NamedTuple):
    """Where what cannot be used is put aside."""

    topic: str
    partitions: int

    def refuse(self, origin: Origin, message: Message, error: Exception, meter: Meter) -> Write:
        """The write that puts a message aside with its reason and where it came from; it is counted."""
        if not isinstance(error, Unusable):
            log.error("%s/%d@%d could not be used: %s", *origin, message.offset, place_of(error))
            error = Unusable(
                DeadLetterReason.INVALID, f"it could not be used ({type(error).__name__}); see the worker's log"
            )
        meter.dead_letter(origin.topic, error.reason.value)
        return self.letter(origin, message, error)

    def letter(self, origin: Origin, message: Message, why: Unusable) -> Write:
        """The same, not counted."""
        said = [
            ("reason", why.reason.value.encode()),
            ("detail", why.detail.encode(errors="replace")[:_LONGEST_DETAIL]),
            ("topic", origin.topic.encode()),
            ("partition", str(origin.partition).encode()),
            ("offset", str(message.offset).encode()),
        ]
        if isinstance(message, Unread):
            content = Content(None, message.raw, ())
            said.append((OFFSETS, f"{message.first}-{message.offset}".encode()))
        else:
            content = Content(message.key, message.value, message.headers)
        key, value, headers = _fitting(content, said)
        originals = ((f"{ORIGINAL}{name}", value) for name, value in headers)
        return Write(self.topic, origin.partition % self.partitions, key, value, [*said, *originals])


def _fitting(content: Content, said: list[tuple[str, bytes]]) -> Content:
    """What fits into a letter that says this; what does not is noted there."""
    key, value, headers = content
    left_out = []
    if not fit(headers):
        headers = ()
        left_out.append("headers")
    if len(key or b"") + len(value or b"") > LARGEST:
        left_out.append("value")
        said += [(SIZE, str(len(value or b"")).encode()), (HASH, sha256(value or b"").hexdigest().encode())]
        value = None
    if len(key or b"") > LARGEST:
        left_out.append("key")
        key = None
    if left_out:
        said.append((LEFT_OUT, ", ".join(left_out).encode()))
    return Content(key, value, headers)


def left_out(headers: Sequence[tuple[str, bytes]]) -> str:
    """What a letter with these headers is without; empty: nothing."""
    return dict(headers).get(LEFT_OUT, b"").decode(errors="replace")
