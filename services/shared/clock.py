"""Instants: whole microseconds since 1970-01-01T00:00:00Z.

Inside, every instant is an `int`, because verdicts compare and add them millions of times; datetimes (always aware) and
protobuf timestamps exist only at the edges, and these functions are the only way across. Nanoseconds below a
microsecond are cut off.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NewType

from google.protobuf.timestamp_pb2 import Timestamp

Instant = NewType("Instant", int)

#: Says what time it is; tests pass their own.
Now = Callable[[], Instant]

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wall_clock() -> Instant:
    """Now, by this machine's clock."""
    return Instant(time.time_ns() // 1_000)


def micros(span: timedelta) -> int:
    """A span in whole microseconds."""
    return span // timedelta(microseconds=1)


def from_datetime(moment: datetime) -> Instant:
    """An aware datetime as an instant. Raises ValueError on a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return Instant((moment - _EPOCH) // timedelta(microseconds=1))


def to_datetime(at: Instant) -> datetime:
    """An instant as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=at)


def parse_instant(text: str) -> Instant:
    """An ISO 8601 time with its offset ("2026-11-26T17:00:00Z"). Raises ValueError where it is none."""
    return from_datetime(datetime.fromisoformat(text))


def format_instant(at: Instant) -> str:
    """ISO 8601 in UTC, as short as it is exact: "2026-11-26T17:00:00Z"."""
    return to_datetime(at).isoformat().replace("+00:00", "Z")


def from_timestamp(stamp: Timestamp) -> Instant:
    """A protobuf timestamp as an instant."""
    return Instant(stamp.seconds * SECOND + stamp.nanos // 1_000)


def set_timestamp(stamp: Timestamp, at: Instant) -> None:
    """Write an instant into a message's timestamp field."""
    stamp.seconds, rest = divmod(at, SECOND)
    stamp.nanos = rest * 1_000
    # A timestamp of exactly the epoch has no field set; make the message present all the same.
    stamp.SetInParent()
