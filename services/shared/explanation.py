"""How a verdict is explained: what it is, what happened and what each event did to it, and the arithmetic."""

from collections.abc import Iterator
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.shared.duration import format_duration
from services.shared.instant import Instant, to_datetime
from services.shared.keys import ids_of, record_key
from services.shared.zones import time_zone_or_utc


class Step(NamedTuple):
    """One event of the timeline, in words."""

    at: str
    what: str
    #: What it did to the verdict.
    effect: str
    #: "source/event_id"
    event: str


class Interval(NamedTuple):
    """A stretch of time, and whether it counts towards the limit."""

    start: str
    end: str
    #: How much of the limit it took, or would have taken: "3 h 00 min".
    length: str
    counts: bool
    #: "open", "closed", "closed: Labor Day", "held: waiting for parts".
    why: str
    #: Of which cycle, from 1.
    cycle: int = 1


class Explanation(NamedTuple):
    """A verdict, told to a person."""

    headline: str
    timeline: tuple[Step, ...]
    reasoning: tuple[str, ...]
    #: What was counted and what was left out, in order; none where nothing is left out.
    intervals: tuple[Interval, ...] = ()


class Local(NamedTuple):
    """Writes instants as the customer reads them."""

    zone: ZoneInfo

    def time(self, at: Instant) -> str:
        """Date, time and zone: "2026-11-26 17:00:00 CET"."""
        return f"{to_datetime(at).astimezone(self.zone):%Y-%m-%d %H:%M:%S %Z}"


def local(zone: str) -> Local:
    """In an IANA zone; in UTC where it is empty or none."""
    return Local(time_zone_or_utc(zone))


def distance(at: Instant, due: Instant) -> str:
    """How far an instant lies from due: "2 h 05 min late", "12 min early" or "to the second"."""
    if at == due:
        return "to the second"
    return f"{format_duration(at - due)} {'late' if at > due else 'early'}"


def told_under(customer_id: str) -> str:
    """Says that something was told under another id of the same customer; nothing where that is empty."""
    return f", told of {customer_id}, who is the same customer" if customer_id else ""


def judged_elsewhere(key: bytes, customer_id: str) -> Iterator[str]:
    """Says where a record is judged that counts under another id of its customer."""
    _, kind, subject = ids_of(key)
    there = record_key(customer_id, kind, subject).decode()
    yield f"It began under {customer_id}, which is the same customer, and is judged there, with all that is known here."
    yield f"See: puntual explain {there}"
