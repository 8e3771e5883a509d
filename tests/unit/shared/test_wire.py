"""What is written by hand is what protobuf writes; what is read by hand is what protobuf reads, or is not read."""

from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import DESCRIPTOR as TIMESTAMP_FILE, Timestamp
from hypothesis import given, settings, strategies as st
from librt.strings import BytesWriter

from services.shared import wire
from services.shared.clock import from_timestamp, set_timestamp
from services.shared.errors import AbsurdTime
from services.shared.instant import LAST_SECOND, SECOND, Instant
from services.shared.wire import (
    NotPlain,
    Reader,
    put_flag,
    put_message,
    put_number,
    put_text,
    put_timestamp,
    put_varint,
)
from tests.unit.shared.mutants import (
    CHUNK,
    EDGES,
    END,
    FIXED32,
    FIXED64,
    GROUP,
    NUMBER,
    any_field,
    chunk,
    mutants,
    varint,
)

#: Numbers of fields, where their tags grow by a byte.
FIELDS = (1, 15, 16, 2047, 2048, (1 << 29) - 1)
LARGEST = (1 << 63) - 1
#: The last second and the last instant that are read.
LATEST = Instant((LAST_SECOND + 1) * SECOND - 1)
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
@given(field=fields, at=instants)
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


# --- reading


class Said(NamedTuple):
    """What a message with a field of every sort says."""

    text: str = ""
    number: int = 0
    at: Instant = Instant(0)
    flag: bool = False
    parts: tuple["Said", ...] = ()
    content: bytes = b""


#: Its fields: one byte of tag up to the flag, two from the parts on.
TEXT, NUM, AT, FLAG, PARTS, CONTENT = 1, 2, 3, 15, 16, 2047
#: The largest that an enum or an int32 can be.
MOST = (1 << 31) - 1


def _message_type() -> Any:
    file = FileDescriptorProto(name="message.proto", syntax="proto3", dependency=[TIMESTAMP_FILE.name])
    message = file.message_type.add(name="Message")
    kinds = FieldDescriptorProto.Type
    for name, number, kind in [
        ("text", TEXT, kinds.TYPE_STRING), ("number", NUM, kinds.TYPE_INT32), ("flag", FLAG, kinds.TYPE_BOOL),
        ("content", CONTENT, kinds.TYPE_BYTES),
    ]:  # fmt: skip
        message.field.add(name=name, number=number, type=kind)
    message.field.add(name="at", number=AT, type_name=".google.protobuf.Timestamp")
    message.field.add(name="parts", number=PARTS, type_name=".Message", label=FieldDescriptorProto.Label.LABEL_REPEATED)
    pool = DescriptorPool()
    pool.AddSerializedFile(TIMESTAMP_FILE.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("Message"))


MESSAGE = _message_type()


def read(reader: Reader) -> Said:
    """All of a message, by hand. Raises NotPlain, or UnicodeDecodeError."""
    text, number, at = reader.text(TEXT), reader.number(NUM), reader.timestamp(AT)
    flag, parts = reader.number(FLAG) != 0, []
    while part := reader.message(PARTS):
        parts.append(read(part))
    content = reader.chunk(CONTENT)
    reader.done()
    return Said(text, number, at, flag, tuple(parts), content)


def by_hand(data: bytes, *part: int) -> Said | None:
    """What is said there; None where protobuf must be asked."""
    try:
        return read(Reader(data, *part))
    except (NotPlain, UnicodeDecodeError):
        return None


def said(message: Any) -> Said:
    """The same, by protobuf."""
    parts = tuple(said(part) for part in message.parts)
    return Said(message.text, message.number, from_timestamp(message.at), message.flag, parts, message.content)


def by_protobuf(data: bytes) -> Said | None:
    """What is said there; None where that is no message."""
    try:
        return said(MESSAGE.FromString(data))
    except (DecodeError, AbsurdTime):
        return None


def bytes_of(message: Any) -> bytes:
    """Fields in the order of their numbers."""
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def _messages(parts: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[Any]:
    fields = {
        "text": st.text(max_size=9) | st.sampled_from(_SIZES).map("x".__mul__),
        "number": st.integers(1, MOST) | st.sampled_from([127, 128, MOST]),
        "at": st.fixed_dictionaries({"seconds": st.integers(0, LAST_SECOND), "nanos": st.integers(0, 999_999_999)}),
        "flag": st.just(True),
        "parts": parts,
        "content": contents,
    }
    return st.fixed_dictionaries({}, optional=fields).map(lambda some: MESSAGE(**some))


_PARTS = st.lists(_messages(st.just([])), max_size=3)
_MESSAGES = _messages(_PARTS)
_NONSENSE = st.binary(max_size=30) | st.lists(any_field(), max_size=3).map(b"".join)
_UNUSUAL = _MESSAGES.map(bytes_of).flatmap(mutants) | _NONSENSE

_STAMP = Timestamp(seconds=1 << 33, nanos=7_000).SerializeToString()
#: Each of them a field, in their order.
_ONCE = [
    chunk(TEXT, "ñ".encode()),
    varint(NUM << 3) + varint(300),
    chunk(AT, _STAMP),
    varint(FLAG << 3) + varint(1),
    chunk(CONTENT, bytes(200)),
]
WHOLE = [*_ONCE[:-1], chunk(PARTS, b"".join(_ONCE)), chunk(PARTS, b""), _ONCE[-1]]


@given(message=_MESSAGES)
def test_plain_messages_are_read_as_protobuf_reads_them(message: Any) -> None:
    """Every field is there or not."""
    assert by_hand(bytes_of(message)) == said(message)


@settings(max_examples=500)
@given(data=_UNUSUAL)
def test_any_bytes_are_read_as_protobuf_reads_them_or_not_at_all(data: bytes) -> None:
    """Cut, changed, repeated or unheard of; what protobuf refuses is not read."""
    assert by_hand(data) in (None, by_protobuf(data))


@settings(max_examples=300)
@given(data=_UNUSUAL, before=st.binary(max_size=3), behind=st.binary(max_size=3) | _UNUSUAL)
def test_a_part_is_read_as_if_there_were_nothing_else(data: bytes, before: bytes, behind: bytes) -> None:
    """It begins and ends where it should."""
    assert by_hand(before + data + behind, len(before), len(before + data)) == by_hand(data)
    assert by_hand(before + data, len(before)) == by_hand(data)


@pytest.mark.parametrize("fields", [WHOLE, WHOLE[1:4:2]], ids=["all", "numbers"])
def test_what_is_cut_is_read_only_between_fields(fields: list[bytes]) -> None:
    """Wherever it is cut, in a field, its tag, its length or a field of a part; though the rest stands behind it."""
    whole, ends = b"".join(fields), [*accumulate(map(len, fields), initial=0)]
    assert [end for end in range(len(whole) + 1) if by_hand(whole[:end])] == ends
    assert [end for end in range(len(whole) + 1) if by_hand(whole, 0, end)] == ends
    assert [by_hand(whole[:end]) for end in ends] == [by_protobuf(whole[:end]) for end in ends]


@pytest.mark.parametrize("first", range(len(WHOLE)))
@pytest.mark.parametrize("second", range(len(WHOLE)))
def test_two_fields_are_read_in_their_order(first: int, second: int) -> None:
    """And once, but for parts."""
    data = WHOLE[first] + WHOLE[second]
    is_plain = first < second or {first, second} <= {4, 5}
    assert by_hand(data) == (by_protobuf(data) if is_plain else None)
    assert by_protobuf(data) is not None


@pytest.mark.parametrize("place", range(len(WHOLE) + 1))
@pytest.mark.parametrize("number", [4, 14, 17, 2046, 2048, (1 << 29) - 1])
def test_a_field_that_nobody_asked_for_is_not_passed_over(place: int, number: int) -> None:
    """Wherever it stands, also in a part, and whatever it holds; protobuf passes over it."""
    for field in (
        varint(number << 3) + b"\1",
        chunk(number, b""),
        chunk(number, b"x"),
        varint(number << 3 | FIXED32) + b"four",
    ):
        data = b"".join([*WHOLE[:place], field, *WHOLE[place:]])
        assert by_protobuf(data) == by_protobuf(b"".join(WHOLE))
        assert by_hand(data) is None
        assert by_hand(chunk(PARTS, data)) is None


@pytest.mark.parametrize("number", [TEXT, NUM, AT, FLAG, PARTS, CONTENT])
@pytest.mark.parametrize("kind", range(8))
def test_a_field_of_another_type_is_not_read(number: int, kind: int) -> None:
    """Nor is it taken for absent, though it is well-formed where there is such a type."""
    content = {NUMBER: b"\0", CHUNK: b"\0", FIXED64: bytes(8), FIXED32: bytes(4), GROUP: varint(number << 3 | END)}
    data = varint(number << 3 | kind) + content.get(kind, b"\0")
    is_its_own = kind == (NUMBER if number in {NUM, FLAG} else CHUNK)
    assert (by_hand(data) is not None) == is_its_own
    assert (by_protobuf(data) is not None) == (kind in content)


@pytest.mark.parametrize("kind", range(8))
def test_there_is_no_field_0(kind: int) -> None:
    """However its tag is written."""
    for tag in (varint(kind), varint(kind, 2)):
        for data in (tag, tag + b"\0", tag + b"\1x", b"".join(WHOLE) + tag):
            assert by_protobuf(data) is None
            assert by_hand(data) is None


def test_the_field_that_comes_next_is_known() -> None:
    """By its number, of whatever type it is; 0 at the end."""
    reader = Reader(b"".join(_ONCE))
    found = [reader.field]
    for take in (reader.text, reader.number, reader.timestamp, reader.number, reader.chunk):
        take(found[-1])
        found.append(reader.field)
    assert found == [TEXT, NUM, AT, FLAG, CONTENT, 0]
    assert Reader(varint(7 << 3 | FIXED32) + b"four").field == 7
    assert Reader(b"").field == 0
    with pytest.raises(NotPlain):  # its tag takes three bytes
        Reader(varint(2048 << 3) + b"\1")


def test_what_is_absent_is_told_from_what_is_empty_only_by_its_number() -> None:
    """But of messages, which there may be several of."""
    assert by_hand(chunk(TEXT, b"") + varint(NUM << 3) + b"\0" + chunk(AT, b"") + chunk(CONTENT, b"")) == Said()
    assert by_hand(chunk(PARTS, b"") * 2) == Said(parts=(Said(), Said()))
    assert Reader(b"").message(PARTS) is None


def test_done_is_what_has_no_field_left() -> None:
    """Whether it was asked for or not."""
    reader = Reader(chunk(TEXT, b"x"))
    with pytest.raises(NotPlain):
        reader.done()
    assert reader.chunk(TEXT) == b"x"
    reader.done()


@pytest.mark.parametrize("width", [1, 2, 5, 6, 9, 10, 11])
def test_what_is_longer_than_it_need_be_is_read_as_far_as_protobuf_reads_it(width: int) -> None:
    """Tags of 2 bytes, lengths of 5, numbers of 9; beyond that it is asked, and refuses tags and lengths of 6."""
    tags = varint(TEXT << 3 | CHUNK, width) + b"\1x", varint(NUM << 3, width) + b"\7"
    lengths = (
        varint(TEXT << 3 | CHUNK) + varint(1, width) + b"x",
        varint(AT << 3 | CHUNK) + varint(2, width) + b"\x08\7",
    )
    number, seconds = varint(NUM << 3) + varint(7, width), chunk(AT, b"\x08" + varint(7, width))
    for most, refused, data in [
        *((2, 6, tag) for tag in tags),
        *((5, 6, length) for length in lengths),
        (9, 11, number),
        (9, 11, seconds),
    ]:
        assert (by_protobuf(data) is None) == (width >= refused)
        assert by_hand(data) == (by_protobuf(data) if width <= most else None)


@pytest.mark.parametrize("number", [-(1 << 63), -MOST, -1, 0, 1, 127, 128, MOST - 1, MOST])
def test_numbers_are_read_up_to_what_an_enum_can_be(number: int) -> None:
    """What is below 0 is left to protobuf."""
    data = varint(NUM << 3) + varint(number % (1 << 64))
    assert by_hand(data) == (Said(number=number) if number >= 0 else None)


@pytest.mark.parametrize(
    "number", [MOST + 1, (1 << 32) + 1, (1 << 35) - 1, LARGEST, LARGEST + 1, (1 << 64) - 1, 1 << 64]
)
def test_a_number_that_protobuf_would_cut_off_is_not_read(number: int) -> None:
    """It takes 32 bits of them, and for a bool all of them."""
    assert by_hand(varint(NUM << 3) + varint(number)) is None
    assert by_hand(varint(FLAG << 3) + varint(number)) is None
    assert by_hand(chunk(AT, varint(2 << 3) + varint(number))) is None


@pytest.mark.parametrize("data", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"])
def test_a_text_that_is_not_utf_8_is_not_read(data: bytes) -> None:
    """The error is a ValueError as all others; as bytes it can be read."""
    assert by_protobuf(chunk(TEXT, data)) is None
    with pytest.raises(ValueError, match="utf-8"):
        Reader(chunk(TEXT, data)).text(TEXT)
    assert Reader(chunk(TEXT, data)).chunk(TEXT) == data


@given(at=instants)
def test_a_timestamp_is_read_as_it_was_written(at: Instant) -> None:
    """To the microsecond."""
    assert Reader(written(put_timestamp, AT, at)).timestamp(AT) == at


@given(seconds=st.integers(0, LAST_SECOND), nanos=st.integers(0, 999_999_999))
def test_a_timestamp_is_read_as_protobuf_writes_it(seconds: int, nanos: int) -> None:
    """What is below a microsecond is cut off."""
    stamp = Timestamp(seconds=seconds, nanos=nanos)
    assert by_hand(chunk(AT, stamp.SerializeToString())) == Said(at=from_timestamp(stamp))


@pytest.mark.parametrize("seconds", [-1, -(1 << 63), LAST_SECOND + 1, (1 << 63) // SECOND, LARGEST])
def test_a_time_of_no_use_is_not_read(seconds: int) -> None:
    """Nor does it overflow."""
    assert by_hand(chunk(AT, Timestamp(seconds=seconds, nanos=1).SerializeToString())) is None
    assert by_hand(chunk(AT, Timestamp(seconds=LAST_SECOND).SerializeToString())) is not None


@pytest.mark.parametrize("at", [-1, (LAST_SECOND + 1) * SECOND])
def test_a_time_that_nobody_could_read_is_not_written(at: int) -> None:
    """Before 1970, where numbers below 0 begin, and after 9999."""
    with pytest.raises(ValueError, match="before 1970 or after 9999"):
        written(put_timestamp, AT, Instant(at))


@pytest.mark.parametrize("stamp", [b"\x10\1\x08\1", b"\x08\1\x08\1", b"\x08\1\x18\1", b"\x0a\0", b"\x08\1\x10\1\x10\1"])
def test_a_timestamp_that_is_not_plain_is_not_read(stamp: bytes) -> None:
    """Though protobuf reads it: another order, a field twice, unknown or of another type."""
    assert by_protobuf(chunk(AT, stamp)) is not None
    assert by_hand(chunk(AT, stamp)) is None


def test_a_timestamp_ends_where_it_says() -> None:
    """What stands behind it are no fields of it, nor the rest of its last number."""
    assert by_hand(chunk(AT, b"\x08\1") + varint(FLAG << 3) + b"\1") == Said(at=Instant(SECOND), flag=True)
    assert by_hand(chunk(AT, b"") + varint(FLAG << 3) + b"\1") == Said(flag=True)
    for stamp in (b"\x08", b"\x08\x81", b"\x88", b"\x08\1\x10"):
        assert by_hand(chunk(AT, stamp) + b"\1" * 3) is None
        assert by_hand(chunk(PARTS, chunk(AT, stamp)) + b"\1" * 3) is None
    unknown_that_looks_like_the_flag = varint(4 << 3) + varint(FLAG << 3)
    assert by_hand(chunk(AT, unknown_that_looks_like_the_flag) + b"\1") is None
