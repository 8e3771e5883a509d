"""Who is on call: rotations and calendars laid over each other, and exceptions. Pure; by the wall clocks of a zone.

A schedule is a pile of layers: where a later one names somebody it hides those below, and exceptions hide all of them.
Where nobody is named is a hole.

Hand-offs stay at their time on the wall, summer and winter. Of a time that the clocks repeat the first counts, and one
that they skip is read as that much later; where that puts a hand-off after the next one, nobody's turn is between them.
Hours that confine a layer are read as those of a calendar (`working_time`).
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from services.shared.ical import read_ical, unreadable
from services.shared.instant import SECOND, Instant, from_datetime, to_datetime
from services.shared.working_time import WorkingTime

#: On call in a hole.
NOBODY = ""

_DAY = 86_400 * SECOND
#: What dates, and the clocks of zones, can be apart.
_MARGIN = timedelta(days=2)
#: Years for which what repeats is followed; it is read again whenever its file changes.
_AHEAD = 10
#: Some year with which to try whether an iCalendar can be expanded.
_ANY_YEAR = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


#: Characters of what an event is called.
_LONGEST_NAME = 120


class Shift(NamedTuple):
    """A stretch of time, and the target on call in it."""

    start: Instant
    end: Instant
    who: str


class Layer(Protocol):
    """Names somebody, sometimes."""

    def shifts(self, start: Instant, end: Instant) -> Iterable[Shift]:
        """Whom it names between two instants: in order, without overlap."""
        ...


class Rotation(NamedTuple):
    """People who take turns."""

    people: Sequence[str]
    zone: ZoneInfo
    #: When the first turn begins; nobody is named before.
    first: date
    #: From a day with hand-offs to the next one.
    days: int
    #: The hand-offs of such a day, in order.
    times: Sequence[time]
    #: Where it is confined to some.
    hours: WorkingTime | None = None

    def shifts(self, start: Instant, end: Instant) -> Iterator[Shift]:
        if self.hours is None:
            yield from self._turns(start, end)
            return
        for period in self.hours.periods(start, end):
            if period.counts:
                yield from self._turns(period.start, period.end)

    def _turns(self, start: Instant, end: Instant) -> Iterator[Shift]:
        first = max(self._days_until(start) - 2, 0) * len(self.times)
        numbers = range(first, (self._days_until(end) + 3) * len(self.times))
        begins = [self._begins(number) for number in numbers]
        for index in reversed(range(len(begins) - 1)):  # clocks that are put on can turn the order round
            begins[index] = min(begins[index], begins[index + 1])
        for number, (begin, over) in zip(numbers, pairwise(begins), strict=False):
            shift = Shift(max(begin, start), min(over, end), self.people[number % len(self.people)])
            if shift.start < shift.end:
                yield shift

    def _days_until(self, at: Instant) -> int:
        """How many days with hand-offs there were before a date, roughly."""
        return (to_datetime(at).astimezone(self.zone).date() - self.first).days // self.days

    def _begins(self, number: int) -> Instant:
        day, hand_off = divmod(number, len(self.times))
        return at_wall(datetime.combine(self.first + timedelta(self.days * day), self.times[hand_off]), self.zone)


class Feed:
    """The events of an iCalendar: who is on call is what they are called, or what a table says instead."""

    def __init__(self, content: bytes, file: str, zone: ZoneInfo, people: Mapping[str, str]) -> None:
        """`zone`: of whole days, and of times without one. `people`: name → who that is, or `NOBODY`.

        Raises DocumentError where it is no calendar.
        """
        calendar, self._events = read_ical(content, file, datetime.now(UTC).year + _AHEAD)
        try:
            self._events.between(*_ANY_YEAR)
        except Exception as error:  # noqa: BLE001 - whatever the library raises of what others wrote
            raise unreadable(file, error) from None
        #: What its events are called.
        self.names = tuple(sorted({_name(event) for event in calendar.walk("VEVENT")}))
        self._zone = zone
        self._people = people

    def shifts(self, start: Instant, end: Instant) -> Iterable[Shift]:
        """Of events at the same time the one that began last counts. What cannot be expanded names nobody."""
        try:
            found = self._events.between(to_datetime(start) - _MARGIN, to_datetime(end) + _MARGIN)
        except Exception:  # noqa: BLE001 - likewise; a hole tells the fallback, an error would tell nobody
            return []
        shifts = [self._shift(event) for event in found if str(event.get("STATUS", "")).upper() != "CANCELLED"]
        timeline = _empty(start, end)
        for shift in sorted(shifts, key=lambda shift: (shift.start, -shift.end, shift.who)):
            if shift.who:
                timeline = _over(timeline, _within([shift], start, end))
        return [shift for shift in timeline if shift.who]

    def _shift(self, event: Any) -> Shift:  # noqa: ANN401 - its library ships no types
        start, end, name = event.start, event.end, _name(event)
        if not isinstance(start, datetime):  # whole days
            end = max(end, start + timedelta(days=1))
        return Shift(self._at(start), self._at(end), self._people.get(name, name))

    def _at(self, moment: date) -> Instant:
        if not isinstance(moment, datetime):
            moment = datetime.combine(moment, time())
        return from_datetime(moment) if moment.tzinfo else at_wall(moment, self._zone)


class Schedule(NamedTuple):
    """Layers, exceptions, and whom to tell where there is a hole."""

    name: str
    zone: ZoneInfo
    fallback: str
    layers: Sequence[Layer]
    #: In order, without overlap.
    overrides: Sequence[Shift] = ()

    def shifts(self, start: Instant, end: Instant) -> list[Shift]:
        """All of the time between two instants, in order; `NOBODY` is on call in holes, and neighbours differ."""
        timeline = _empty(start, end)
        for layer in self.layers:
            timeline = _over(timeline, layer.shifts(start, end))
        return _merged(_over(timeline, _within(self.overrides, start, end)))

    def holes(self, start: Instant, end: Instant) -> list[Shift]:
        """Those of the time between two instants."""
        return [shift for shift in self.shifts(start, end) if not shift.who]

    def who_at(self, at: Instant) -> str:
        """Who is on call at an instant, or `NOBODY`."""
        return self.shifts(at, Instant(at + 1))[0].who


class Duty:
    """Says quickly whom to tell at an instant: it remembers a shift until that is over."""

    def __init__(self, schedule: Schedule) -> None:
        self.follow(schedule)

    def follow(self, schedule: Schedule) -> None:
        """Go by this one from now on."""
        self.schedule = schedule
        self._shift = Shift(Instant(0), Instant(0), NOBODY)

    def __call__(self, at: Instant) -> str:
        """Who is on call; in a hole the fallback, so never nobody."""
        if not self._shift.start <= at < self._shift.end:
            self._shift = self.schedule.shifts(at, Instant(at + _DAY))[0]
        return self._shift.who or self.schedule.fallback

    def until(self, at: Instant) -> Instant:
        """Until when that is so at least: after a day it has to be asked again."""
        self(at)
        return self._shift.end


def at_wall(wall: datetime, zone: ZoneInfo) -> Instant:
    """When the clocks of a zone show a time: the first time, or that much later where they skip it."""
    return from_datetime(wall.replace(tzinfo=zone, fold=0))


def _name(event: Any) -> str:  # noqa: ANN401 - likewise
    return str(event.get("SUMMARY", "")).strip()[:_LONGEST_NAME]


def _empty(start: Instant, end: Instant) -> list[Shift]:
    return [Shift(start, end, NOBODY)] if start < end else []


def _over(below: Sequence[Shift], above: Iterable[Shift]) -> list[Shift]:
    """One timeline, with others' shifts over it."""
    if not below:
        return []
    result: list[Shift] = []
    starts, at = [shift.start for shift in below], below[0].start
    for shift in above:
        result += _part(below, starts, at, shift.start)
        result.append(shift)
        at = shift.end
    return result + _part(below, starts, at, below[-1].end)


def _part(timeline: Sequence[Shift], starts: Sequence[Instant], start: Instant, end: Instant) -> list[Shift]:
    """What a timeline, whose shifts start so, has between two instants."""
    if start >= end:
        return []
    return _within(timeline[bisect_right(starts, start) - 1 : bisect_right(starts, end)], start, end)


def _within(shifts: Iterable[Shift], start: Instant, end: Instant) -> list[Shift]:
    cut = (Shift(max(shift.start, start), min(shift.end, end), shift.who) for shift in shifts)
    return [shift for shift in cut if shift.start < shift.end]


def _merged(timeline: Iterable[Shift]) -> list[Shift]:
    merged: list[Shift] = []
    for shift in timeline:
        if merged and merged[-1].who == shift.who:
            merged[-1] = merged[-1]._replace(end=shift.end)
        else:
            merged.append(shift)
    return merged
