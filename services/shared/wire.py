"""Reads and writes protobuf's wire format, for what is read or made for every event.

Writing: fields in the order of their numbers, left out where they are zero, so that the bytes are those of protobuf's
own deterministic serialisation; the tests of each codec hold them against it.

Reading: only what is as plain as nearly all messages are. Anything else (another order, a field twice or unknown, one
of another type, numbers below 0, bytes that end too soon) raises `NotPlain`, and protobuf itself is asked what it is.
"""

from functools import lru_cache
from typing import Final

from librt.strings import BytesWriter
from mypy_extensions import i64, u8

from services.shared.instant import LAST_SECOND, SECOND, Instant

#: Interpreted, working byte by byte costs more than it saves.
COMPILED: Final = not __file__.endswith(".py")
_NUMBER: Final = 0
_CHUNK: Final = 2
#: Bytes of a length, and of a number, at most.
_SHORT: Final = 5
_LONG: Final = 9
#: What fits into an enum, or into an int32.
_MOST: Final = (1 << 31) - 1
_NANOS: Final = 1_000_000_000


class NotPlain(ValueError):
    """Bytes that only protobuf itself can read, if anything can."""


class Reader:
    """Reads a message field by field, in the order of their numbers; what is absent is 0 or empty."""

    def __init__(self, data: bytes, position: i64 = 0, end: i64 = -1) -> None:
        """Over a part of `data`; by default all of it."""
        self._data: Final = data
        self._position: i64 = position
        self._end: i64 = len(data) if end < 0 else end
        self._tag: i64 = 0
        self._next()

    @property
    def field(self) -> i64:
        """The number of the field that comes next; 0 at the end."""
        return self._tag >> 3

    def done(self) -> None:
        """Make sure that everything is read."""
        if self._tag:
            raise NotPlain

    def number(self, field: i64) -> i64:
        """An enum or bool."""
        number = self.long(field)
        if number > _MOST:
            raise NotPlain
        return number

    def chunk(self, field: i64) -> bytes:
        """The bytes of a message, or of a string."""
        if self._tag != field << 3 | _CHUNK:
            return b""
        end = self._chunk_end()
        chunk = self._data[self._position : end]
        self._position = end
        self._next()
        return chunk

    def text(self, field: i64) -> str:
        """A string."""
        if self._tag != field << 3 | _CHUNK:
            return ""
        return self.chunk(field).decode()

    def message(self, field: i64) -> "Reader | None":
        """A reader of a message; None where there is none."""
        if self._tag != field << 3 | _CHUNK:
            return None
        end = self._chunk_end()
        message = Reader(self._data, self._position, end)
        self._position = end
        self._next()
        return message

    def timestamp(self, field: i64) -> Instant:
        """A Timestamp; nanoseconds below a microsecond are cut off."""
        if self._tag != field << 3 | _CHUNK:
            return Instant(0)
        end, outer = self._chunk_end(), self._end
        self._end = end
        self._next()
        seconds = self.long(1)
        nanos = self.number(2)
        self.done()
        self._end = outer
        self._next()
        if seconds > LAST_SECOND or nanos >= _NANOS:  # protobuf refuses it, where it is asked
            raise NotPlain
        return Instant(seconds * SECOND + nanos // 1_000)

    def long(self, field: i64) -> i64:
        """A number not below 0 and below 2^63."""
        if self._tag != field << 3 | _NUMBER:
            return 0
        number = self._varint(_LONG)
        self._next()
        return number

    def _next(self) -> None:
        """Go to the next field. No field here has a number that needs more than two bytes."""
        position = self._position
        if position == self._end:
            self._tag = 0
            return
        tag: i64 = self._data[position]
        position += 1
        if tag > 127:  # noqa: PLR2004 - seven bits a byte
            if position == self._end or self._data[position] > 127:  # noqa: PLR2004
                raise NotPlain
            tag = tag & 127 | self._data[position] << 7
            position += 1
        if not tag:
            raise NotPlain
        self._tag = tag
        self._position = position

    def _chunk_end(self) -> i64:
        """Where the chunk ends that begins after its length."""
        length = self._varint(_SHORT)
        if length > self._end - self._position:
            raise NotPlain
        return self._position + length

    def _varint(self, longest: i64) -> i64:
        """The number at the position, in so many bytes at most."""
        data = self._data
        position = self._position
        end = min(self._end, position + longest)
        number: i64 = 0
        shift: i64 = 0
        while position < end:
            byte: i64 = data[position]
            position += 1
            number |= (byte & 127) << shift
            if byte < 128:  # noqa: PLR2004 - seven bits a byte
                self._position = position
                return number
            shift += 7
        raise NotPlain


def put_varint(out: BytesWriter, number: i64) -> None:
    """A number, not below 0, as it stands on the wire."""
    while number > 127:  # noqa: PLR2004 - seven bits a byte
        out.append(u8(number & 127 | 128))
        number >>= 7
    out.append(u8(number))


def put_number(out: BytesWriter, field: i64, number: i64) -> None:
    """An integer, enum or bool field."""
    if number:
        put_varint(out, field << 3 | _NUMBER)
        put_varint(out, number)


def put_flag(out: BytesWriter, field: int, flag: bool) -> None:
    """An optional bool field, present also where it is false."""
    put_varint(out, field << 3 | _NUMBER)
    put_varint(out, flag)


def put_message(out: BytesWriter, field: int, content: bytes) -> None:
    """A message field, present also where it is empty; bytes and strings are written alike."""
    size = len(content)
    if field < 16 and size < 128:  # noqa: PLR2004 - both in a byte, as nearly always
        tag: u8 = field << 3 | _CHUNK
        short: u8 = size
        out.append(tag)
        out.append(short)
    else:
        put_varint(out, field << 3 | _CHUNK)
        put_varint(out, size)
    out.write(content)


def put_text(out: BytesWriter, field: int, text: str) -> None:
    """A string field."""
    if text:
        put_message(out, field, text.encode())


def put_timestamp(out: BytesWriter, field: int, at: Instant) -> None:
    """A Timestamp field; nothing for 0. Raises ValueError for one before 1970 or after 9999: it is written nowhere."""
    if not at:
        return
    if at < 0 or at // SECOND > LAST_SECOND:
        raise ValueError("the time lies before 1970 or after 9999")
    if not COMPILED:
        put_message(out, field, _known_timestamp(at))
        return
    put_varint(out, field << 3 | _CHUNK)
    length = len(out)
    out.append(u8(0))
    _put_instant(out, at)
    out[length] = u8(len(out) - length - 1)


def _put_instant(out: BytesWriter, at: i64) -> None:
    seconds = at // SECOND
    put_number(out, 1, seconds)
    put_number(out, 2, (at - seconds * SECOND) * 1_000)


@lru_cache(1 << 16)
def _known_timestamp(at: Instant) -> bytes:
    """The times of one record are often the same."""
    out = BytesWriter()
    _put_instant(out, at)
    return out.getvalue()
