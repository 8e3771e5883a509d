"""What is written by hand is what protobuf writes."""

from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.type_pb2 import Field
from hypothesis import given, strategies as st

from puntual.promises.v1.promise_pb2 import Context, Promise
from services.shared.clock import from_timestamp, set_timestamp
from services.shared.instant import Instant
from services.shared.wire import message, number, text, timestamp, varint


@given(at=st.integers(0, 2**53))
def test_timestamps(at: int) -> None:
    """To the microsecond, behind their length."""
    stamp = Timestamp()
    set_timestamp(stamp, Instant(at))
    expected = stamp.SerializeToString()
    assert timestamp(Instant(at)) == bytes((len(expected),)) + expected
    assert from_timestamp(stamp) == at


@given(value=st.integers(0, 2**31 - 1), string=st.text(max_size=300))
def test_fields(value: int, string: str) -> None:
    """Numbers, strings of any length and messages; nothing for what is zero or empty."""
    assert number(b"\x18", value) == Field(number=value).SerializeToString()
    assert text(b"\x22", string) == Field(name=string).SerializeToString()
    content = text(b"\x0a", string)
    assert message(b"\x72", content) == Promise(context=Context(customer_name=string)).SerializeToString()


def test_numbers_end_where_they_should() -> None:
    """At the edges of seven bits."""
    assert [varint(value).hex() for value in (0, 127, 128, 16_383, 16_384)] == ["00", "7f", "8001", "ff7f", "808001"]
