"""The wall clock, and the way between protobuf's timestamps and instants."""

import time
from collections.abc import Callable, Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from services.shared.instant import SECOND, Instant

#: Says what time it is; tests pass their own.
Now = Callable[[], Instant]


def wall_clock() -> Instant:
    """Now, by this machine's clock."""
    return Instant(time.time_ns() // 1_000)


def from_timestamp(stamp: Timestamp) -> Instant:
    """A protobuf timestamp as an instant; nanoseconds below a microsecond are cut off."""
    # `Instant(...)` would be a call more, ten times for a record.
    return stamp.seconds * SECOND + stamp.nanos // 1_000  # type: ignore[return-value]


def from_timestamps(stamps: Iterable[Timestamp]) -> list[Instant]:
    """Each of them as an instant: a record has many, and one call costs less than six."""
    return [stamp.seconds * SECOND + stamp.nanos // 1_000 for stamp in stamps]  # type: ignore[misc]


def set_timestamp(stamp: Timestamp, at: Instant) -> None:
    """Write an instant into a message's timestamp field."""
    stamp.seconds = seconds = at // SECOND
    if rest := at - seconds * SECOND:
        stamp.nanos = rest * 1_000
