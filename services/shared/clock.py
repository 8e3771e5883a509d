"""The wall clock, and the way between protobuf's timestamps and instants."""

import time
from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp

from services.shared.instant import SECOND, Instant

#: Says what time it is; tests pass their own.
Now = Callable[[], Instant]


def wall_clock() -> Instant:
    """Now, by this machine's clock."""
    return Instant(time.time_ns() // 1_000)


def from_timestamp(stamp: Timestamp) -> Instant:
    """A protobuf timestamp as an instant; nanoseconds below a microsecond are cut off."""
    return Instant(stamp.seconds * SECOND + stamp.nanos // 1_000)


def set_timestamp(stamp: Timestamp, at: Instant) -> None:
    """Write an instant into a message's timestamp field."""
    stamp.seconds, rest = divmod(at, SECOND)
    stamp.nanos = rest * 1_000
    # A timestamp of exactly the epoch has no field set; make the message present all the same.
    stamp.SetInParent()
