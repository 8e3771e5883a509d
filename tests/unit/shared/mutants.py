"""Messages on the wire, and what becomes of them when they are cut, changed and added to."""

from functools import partial
from typing import Any, NamedTuple

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import strategies as st

#: Wire types. There are none of the numbers 6 and 7.
NUMBER, FIXED64, CHUNK, GROUP, END, FIXED32 = range(6)
#: Where bits, bytes, lengths and times end.
EDGES = sorted({max((1 << bits) + step, 0) for bits in (0, 7, 14, 31, 32, 35, 40, 63) for step in (-1, 0, 1)})
#: What may stand for a number; the last ones are below 0.
NUMBERS = st.sampled_from([*EDGES, 1_000_000_000, (1 << 64) - 2, (1 << 64) - 1]) | st.integers(0, (1 << 64) - 1)
#: Of fields that events have, that they do not have, and that no message can have.
FIELD_NUMBERS = st.integers(0, 30) | st.sampled_from([0, (1 << 29) - 1, 1 << 29, (1 << 32) + 1])
#: Bytes that a number takes at least: more than it needs are allowed, up to 10.
_WIDTHS = st.sampled_from([1, 1, 2, 5, 9, 10, 11])
#: Likewise of tags and lengths, which may have up to 5.
_SHORT_WIDTHS = st.sampled_from([1, 1, 2, 5, 6, 9, 10])


class Field(NamedTuple):
    """A field as protobuf sees it."""

    number: int
    kind: int
    data: Any


def varint(number: int, width: int = 1) -> bytes:
    """A number in at least so many bytes."""
    size = max(width, -(-number.bit_length() // 7))
    return bytes((number >> 7 * place & 127) | (128 if place < size - 1 else 0) for place in range(size))


def chunk(number: int, data: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | CHUNK) + varint(len(data)) + data


def fields_of(message: bytes) -> list[Field]:
    """The fields in a message, of whatever type. Raises DecodeError."""
    fields: Any = UnknownFieldSet(Empty.FromString(message))
    return [Field(each.field_number, each.wire_type, each.data) for each in fields]


@st.composite
def any_field(draw: st.DrawFn) -> bytes:
    """A field of any number and wire type."""
    number, kind = draw(FIELD_NUMBERS), draw(st.integers(0, 7))
    if kind == NUMBER:
        data = varint(draw(NUMBERS), draw(_WIDTHS))
    elif kind == CHUNK:
        data = chunk(number, draw(st.binary(max_size=9)))[len(varint(number << 3)) :]
    elif kind == GROUP:
        data = varint(number << 3 | END)
    else:
        data = bytes(4 if kind == FIXED32 else 8)
    return varint(number << 3 | kind) + data


@st.composite
def mutants(draw: st.DrawFn, message: bytes) -> bytes:
    """What a message of chunks and numbers may become; sometimes it stays as it is."""
    parts = draw(_parts(message))
    data = b"".join(draw(st.permutations(parts)) if draw(st.booleans()) else parts)
    place = draw(st.integers(0, len(data)))
    match draw(st.sampled_from(["whole", "whole", "cut", "changed"])):
        case "cut":
            return data[:place]
        case "changed":
            return data[:place] + draw(st.binary(min_size=1, max_size=1)) + data[place + 1 :]
        case _:
            return data


@st.composite
def _parts(draw: st.DrawFn, message: bytes) -> list[bytes]:
    """The fields of a message, one of them spoilt. A text has none."""
    try:
        fields = [field for field in fields_of(message) if field.kind in {NUMBER, CHUNK}]
    except DecodeError:
        return [message]
    parts = [chunk(n, data) if kind == CHUNK else varint(n << 3) + varint(data) for n, kind, data in fields]
    if not fields:
        return draw(st.lists(any_field(), max_size=1))
    place = draw(st.integers(0, len(fields) - 1))
    parts[place] = draw(_spoilt(fields[place], parts[place]))
    return parts


def _spoilt(field: Field, whole: bytes) -> st.SearchStrategy[bytes]:
    """A field as it is, or not as it should be."""
    number, kind, data = field
    rest = whole[len(varint(number << 3)) :]
    kinds = st.just(kind) | st.integers(0, 7)
    tags = _SHORT_WIDTHS.map(partial(varint, number << 3 | kind))
    other = st.builds(varint, NUMBERS, _WIDTHS)
    ways = [
        st.just(whole),
        st.just(whole + whole),
        any_field().map(whole.__add__),
        st.builds(lambda number, kind: varint(number << 3 | kind) + rest, st.just(number) | FIELD_NUMBERS, kinds),
        other.map(varint(number << 3 | NUMBER).__add__),
    ]
    if kind == NUMBER:
        return st.one_of(*ways, st.builds(bytes.__add__, tags, _WIDTHS.map(partial(varint, data))))
    lengths = _SHORT_WIDTHS.map(partial(varint, len(data)))
    return st.one_of(
        *ways,
        st.builds(lambda tag, length: bytes(tag + length + data), tags, lengths | other),
        mutants(data).map(partial(chunk, number)),
    )
