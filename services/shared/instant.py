"""Instants: whole microseconds since 1970-01-01T00:00:00Z.

Inside, every instant is an `int`, because verdicts compare and add them millions of times; aware datetimes exist only
at the edges, and these functions are the way across. (`clock` adds what reads a clock and protobuf's timestamps.)
"""

from datetime import UTC, datetime, timedelta
from typing import Final, NewType

Instant = NewType("Instant", int)

SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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
