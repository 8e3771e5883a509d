"""Reads and writes protobuf's wire format, for what is read or made for every event.

Writing: fields in the order of their numbers, left out where they are zero, so that the bytes are those of protobuf's
own deterministic serialisation; the tests of each codec hold them against it.

Reading: only what is as plain as nearly all messages are. Anything else (a field twice, one of another type, numbers
beyond 63 bits, bytes that end too soon) raises ValueError or IndexError, and protobuf itself is asked what it is.
"""

from functools import lru_cache
from typing import Final

from librt.strings import BytesWriter
from mypy_extensions import i64, u8

from services.shared.instant import SECOND, Instant

#: Interpreted, working byte by byte costs more than it saves.
COMPILED: Final = not __file__.endswith(".py")
_NUMBER: Final = 0
_CHUNK: Final = 2
#: Bytes that protobuf reads of a tag or a length.
_SHORT: Final = 5
#: Seconds of no use to anybody.
_LONGEST: Final = 1 << 40


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
    """A Timestamp field; nothing for 0."""
    if not at:
        return
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


def read_varint(data: bytes, position: i64, size: i64 = 9) -> tuple[i64, i64]:
    """The number at a position, of at most `size` bytes, and the position behind it."""
    byte: i64 = data[position]
    position += 1
    if byte < 128:  # noqa: PLR2004 - seven bits a byte
        return byte, position
    number: i64 = byte & 127
    shift: i64 = 7
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:  # noqa: PLR2004
            return number, position
        shift += 7
        if shift == 7 * size:
            raise ValueError("not plain")


def read_chunks(data: bytes, size: int) -> list[bytes | None]:
    """The fields of a message of strings and messages by their number, below `size`; None: not there."""
    chunks: list[bytes | None] = [None] * size
    position: i64 = 0
    end: i64 = len(data)
    while position < end:
        tag, position = read_varint(data, position, _SHORT)
        length, position = read_varint(data, position, _SHORT)
        field = tag >> 3
        if tag & 7 != _CHUNK or not 0 < field < size or chunks[field] is not None or length > end - position:
            raise ValueError("not plain")
        chunks[field] = data[position : position + length]
        position += length
    return chunks


def read_timestamp(data: bytes) -> Instant:
    """A Timestamp; nanoseconds below a microsecond are cut off."""
    seconds: i64 = 0
    nanos: i64 = 0
    position: i64 = 0
    end: i64 = len(data)
    while position < end:
        tag, position = read_varint(data, position, _SHORT)
        number, position = read_varint(data, position)
        if tag == 1 << 3 and not seconds:
            seconds = number
        elif tag == 2 << 3 and not nanos:
            nanos = number
        else:
            raise ValueError("not plain")
    # Neither may overflow, in what follows.
    if seconds > _LONGEST or nanos >= 1_000_000_000:  # noqa: PLR2004
        raise ValueError("no time")
    return Instant(seconds * SECOND + nanos // 1_000)
