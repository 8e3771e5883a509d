"""The wall clock, and the way between protobuf's timestamps and instants."""

import time
from collections.abc import Callable, Iterable
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from services.shared.errors import AbsurdTime
from services.shared.instant import FIRST_SECOND, LAST_SECOND, SECOND, Instant

_NANOS: Final = 1_000_000_000

#: Says what time it is; tests pass their own.
Now = Callable[[], Instant]


def wall_clock() -> Instant:
    """Now, by this machine's clock."""
    return Instant(time.time_ns() // 1_000)


def from_timestamp(stamp: Timestamp) -> Instant:
    """A protobuf timestamp as an instant; nanoseconds below a microsecond are cut off. Raises AbsurdTime.

    Times from outside enter here, and nowhere else.
    """
    seconds, nanos = stamp.seconds, stamp.nanos
    if not (FIRST_SECOND <= seconds <= LAST_SECOND and 0 <= nanos < _NANOS):
        raise AbsurdTime
    # `Instant(...)` would be a call more, ten times for a record.
    return seconds * SECOND + nanos // 1_000  # type: ignore[return-value]


def from_timestamps(stamps: Iterable[Timestamp]) -> list[Instant]:
    """Each of them as an instant. Raises AbsurdTime."""
    return [from_timestamp(stamp) for stamp in stamps]


def set_timestamp(stamp: Timestamp, at: Instant) -> None:
    """Write an instant into a message's timestamp field. Raises AbsurdTime: what nobody can read is not written."""
    seconds = at // SECOND
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        raise AbsurdTime
    stamp.seconds = seconds
    if rest := at - seconds * SECOND:
        stamp.nanos = rest * 1_000
