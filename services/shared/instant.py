"""Instants: whole microseconds since 1970-01-01T00:00:00Z.

Inside, every instant is an `int`, because verdicts compare and add them millions of times; aware datetimes exist only
at the edges, and these functions are the way across. (`clock` adds what reads a clock and protobuf's timestamps.)
"""

from datetime import UTC, datetime, timedelta
from typing import Final, NewType

Instant = NewType("Instant", int)

SECOND: Final = 1_000_000
#: Seconds: every instant lies in the years 0001 to 9999, as protobuf's contract and datetime have it.
FIRST_SECOND: Final = -62_135_596_800
LAST_SECOND: Final = 253_402_300_799
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def micros(span: timedelta) -> int:
    """A span in whole microseconds."""
    return span // timedelta(microseconds=1)


def from_datetime(moment: datetime) -> Instant:
    """An aware datetime as an instant. Raises ValueError on a naive one, and outside the years 0001 to 9999 in UTC."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    at = (moment - _EPOCH) // timedelta(microseconds=1)
    if not FIRST_SECOND <= at // SECOND <= LAST_SECOND:
        raise ValueError(f"{moment.isoformat()} lies outside the years 0001 to 9999 in UTC")
    return Instant(at)


def to_datetime(at: Instant) -> datetime:
    """An instant as an aware datetime in UTC. Raises ValueError outside the years 0001 to 9999."""
    try:
        return _EPOCH + timedelta(microseconds=at)
    except OverflowError:
        raise ValueError("the time lies outside the years 0001 to 9999") from None


def parse_instant(text: str) -> Instant:
    """An ISO 8601 time with its offset ("2026-11-26T17:00:00Z"). Raises ValueError where it is none."""
    return from_datetime(datetime.fromisoformat(text))


def format_instant(at: Instant) -> str:
    """ISO 8601 in UTC, as short as it is exact: "2026-11-26T17:00:00Z"."""
    return to_datetime(at).isoformat().replace("+00:00", "Z")
