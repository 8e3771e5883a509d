"""What is written by hand is what protobuf writes; what is read by hand is what protobuf reads, or is not read."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import UInt64Value
from hypothesis import example, given, settings, strategies as st
from librt.strings import BytesWriter

from services.shared import wire
from services.shared.clock import from_timestamp, set_timestamp
from services.shared.instant import SECOND, Instant
from services.shared.wire import (
    put_flag,
    put_message,
    put_number,
    put_text,
    put_timestamp,
    put_varint,
    read_chunks,
    read_timestamp,
    read_varint,
)
from tests.unit.shared.mutants import CHUNK, EDGES, NUMBER, NUMBERS, any_field, chunk, fields_of, mutants, varint

#: Numbers of fields, where their tags grow by a byte.
FIELDS = (1, 15, 16, 2047, 2048, (1 << 29) - 1)
LARGEST = (1 << 63) - 1
#: The last instant that is read.
LATEST = Instant(((1 << 40) + 1) * SECOND - 1)
NOT_READ = r"not plain|no time"
_SIZES = [0, 1, 127, 128, 16_383, 16_384]

fields = st.sampled_from(FIELDS)
numbers = st.sampled_from([edge for edge in EDGES if edge <= LARGEST]) | st.integers(0, LARGEST)
contents = st.binary(max_size=300) | st.sampled_from(_SIZES).map(bytes)
instants = st.integers(0, LATEST).map(Instant) | st.sampled_from([0, 1, SECOND - 1, SECOND, LATEST]).map(Instant)


def _types() -> dict[str, Any]:
    """For each type of field a message type that has it under each number."""
    file = FileDescriptorProto(name="fields.proto", syntax="proto2")
    for name in ("int64", "bool", "bytes", "string"):
        message = file.message_type.add(name=name)
        for number in FIELDS:
            kind = FieldDescriptorProto.Type.Value(f"TYPE_{name.upper()}")
            message.field.add(name=f"at_{number}", number=number, type=kind)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {message.name: GetMessageClass(pool.FindMessageTypeByName(message.name)) for message in file.message_type}


TYPES = _types()


def written(put: Callable[..., None], *arguments: object) -> bytes:
    """What one of them puts."""
    out = BytesWriter()
    put(out, *arguments)
    return out.getvalue()


def of_protobuf(kind: str, field: int, value: object) -> bytes:
    """A message of one field."""
    message: bytes = TYPES[kind](**{f"at_{field}": value}).SerializeToString()
    return message


# --- writing


@given(field=fields, number=numbers)
def test_numbers_are_written_as_protobuf_does(field: int, number: int) -> None:
    """Nothing for 0."""
    assert written(put_number, field, number) == (of_protobuf("int64", field, number) if number else b"")


@given(field=fields, flag=st.booleans())
def test_flags_are_written_as_protobuf_does(field: int, flag: bool) -> None:
    """Present also where they are false."""
    assert written(put_flag, field, flag) == of_protobuf("bool", field, flag)


@given(field=fields, text=st.text(max_size=300) | st.sampled_from(_SIZES).map("ñ".__mul__))
def test_texts_are_written_as_protobuf_does(field: int, text: str) -> None:
    """Of any length; nothing where they are empty."""
    assert written(put_text, field, text) == (of_protobuf("string", field, text) if text else b"")


@given(field=fields, content=contents)
def test_messages_are_written_as_protobuf_does(field: int, content: bytes) -> None:
    """Of any length; present also where they are empty."""
    assert written(put_message, field, content) == of_protobuf("bytes", field, content)


@pytest.mark.parametrize("compiled", [False, True])
@given(field=fields, at=instants | st.integers(0, 1 << 62).map(Instant))
def test_timestamps_are_written_as_protobuf_does(compiled: bool, field: int, at: Instant) -> None:
    """To the microsecond, in either way; nothing for 0."""
    stamp = Timestamp()
    set_timestamp(stamp, at)
    assert from_timestamp(stamp) == at
    with patch.object(wire, "COMPILED", compiled):
        content = stamp.SerializeToString()
        assert written(put_timestamp, field, at) == (of_protobuf("bytes", field, content) if at else b"")


def test_numbers_end_where_they_should() -> None:
    """At the edges of seven bits."""
    ends = (0, 127, 128, 16_383, 16_384)
    assert [written(put_varint, end).hex() for end in ends] == ["00", "7f", "8001", "ff7f", "808001"]


# --- reading what was written


@given(before=st.binary(max_size=3), number=numbers, behind=st.binary(max_size=3))
def test_a_number_is_read_as_it_was_written(before: bytes, number: int, behind: bytes) -> None:
    """Wherever it stands."""
    data = before + written(put_varint, number)
    assert read_varint(data + behind, len(before)) == (number, len(data))


@given(chunks=st.dictionaries(st.integers(1, 200), contents, max_size=5))
def test_chunks_are_read_as_they_were_written(chunks: dict[int, bytes]) -> None:
    """In whatever order; what is not there is told from what is empty."""
    data = b"".join(written(put_message, field, content) for field, content in chunks.items())
    assert read_chunks(data, 201) == [chunks.get(field) for field in range(201)]


@given(at=instants)
def test_a_timestamp_is_read_as_it_was_written(at: Instant) -> None:
    """To the microsecond."""
    content = read_chunks(written(put_timestamp, 3, at), 4)[3]
    assert read_timestamp(content or b"") == at


@given(seconds=st.integers(0, 1 << 40), nanos=st.integers(0, 999_999_999))
def test_a_timestamp_is_read_as_protobuf_writes_it(seconds: int, nanos: int) -> None:
    """What is below a microsecond is cut off."""
    stamp = Timestamp(seconds=seconds, nanos=nanos)
    assert read_timestamp(stamp.SerializeToString()) == from_timestamp(stamp)


# --- reading anything

_TIMESTAMPS = st.builds(Timestamp, seconds=st.integers(0, 1 << 40), nanos=st.integers(0, 999_999_999))
_CHUNKS = st.dictionaries(st.integers(1, 27), st.binary(max_size=9), min_size=1, max_size=5).map(
    lambda chunks: b"".join(chunk(*each) for each in chunks.items())
)
_STAMPS = st.lists(
    st.builds(
        lambda field, *number: varint(field << 3) + varint(*number), st.integers(1, 3), NUMBERS, st.integers(1, 11)
    ),
    max_size=3,
).map(b"".join)
_NONSENSE = st.binary(max_size=30) | st.lists(any_field(), max_size=3).map(b"".join)


@settings(max_examples=300)
@given(data=st.binary(max_size=12) | st.builds(varint, NUMBERS, st.integers(1, 11)))
def test_any_number_is_read_as_protobuf_does_or_not_at_all(data: bytes) -> None:
    """However long it is."""
    try:
        number, end = read_varint(data, 0)
    except (ValueError, IndexError):
        return
    assert UInt64Value.FromString(varint(1 << 3) + data[:end]).value == number


@settings(max_examples=300)
@given(data=_CHUNKS.flatmap(mutants) | _NONSENSE)
def test_any_message_is_read_as_protobuf_does_or_not_at_all(data: bytes) -> None:
    """Where a field is there twice, or of another type, it is not."""
    try:
        chunks = read_chunks(data, 28)
    except (ValueError, IndexError):
        return
    found = [(field, CHUNK, content) for field, content in enumerate(chunks) if content is not None]
    assert found == sorted(fields_of(data))


@settings(max_examples=300)
@example(data=varint(1 << 3) + varint(1 << 63))
@given(data=_TIMESTAMPS.map(Timestamp.SerializeToString).flatmap(mutants) | _STAMPS | _NONSENSE)
def test_any_timestamp_is_read_as_protobuf_does_or_not_at_all(data: bytes) -> None:
    """Below 0 or further away than anything, it is not."""
    try:
        at = read_timestamp(data)
    except (ValueError, IndexError):
        return
    assert at == from_timestamp(Timestamp.FromString(data))


@pytest.mark.parametrize(
    ("field", "kind"),
    [(0, CHUNK), (28, CHUNK), (1 << 29, CHUNK), *((5, kind) for kind in range(8) if kind != CHUNK)],
)
def test_a_field_that_is_not_plain_is_not_read(field: int, kind: int) -> None:
    """Those of no number, of a number that nobody asked for, and of another type, though they look like chunks."""
    assert read_chunks(chunk(5, b"x"), 28)[5] == b"x"
    with pytest.raises(ValueError, match=NOT_READ):
        read_chunks(varint(field << 3 | kind) + varint(1) + b"x", 28)


@pytest.mark.parametrize("number", [1 << 63, (1 << 64) - 1, 1 << 64, (1 << 70) - 1])
def test_a_number_beyond_63_bits_is_not_read(number: int) -> None:
    """Nor is one that is below 0, which on the wire is such a number."""
    with pytest.raises(ValueError, match=NOT_READ):
        read_varint(varint(number), 0)


@pytest.mark.parametrize("width", [6, 9, 10])
def test_tags_and_lengths_that_protobuf_refuses_are_not_read(width: int) -> None:
    """Those of more than 5 bytes, whatever they come to."""
    tag, length = varint(5 << 3 | CHUNK), varint(1)
    for data in (varint(5 << 3 | CHUNK, width) + length + b"x", tag + varint(1, width) + b"x"):
        with pytest.raises(DecodeError):
            fields_of(data)
        with pytest.raises(ValueError, match=NOT_READ):
            read_chunks(data, 28)
    stamp = varint(1 << 3 | NUMBER, width) + varint(7)
    with pytest.raises(DecodeError):
        Timestamp.FromString(stamp)
    with pytest.raises(ValueError, match=NOT_READ):
        read_timestamp(stamp)


@pytest.mark.parametrize("seconds", [-1, -(1 << 63), (1 << 40) + 1, (1 << 63) // SECOND, LARGEST])
def test_a_time_of_no_use_is_not_read(seconds: int) -> None:
    """Nor does it overflow."""
    with pytest.raises(ValueError, match=NOT_READ):
        read_timestamp(Timestamp(seconds=seconds, nanos=1).SerializeToString())
