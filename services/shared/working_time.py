"""Working time: adding it, measuring it, and the days of it. Pure; reckoned by the wall clocks of a zone.

Hours belong to the day on which they begin, also where they run over midnight. Wall clocks jump: a time that they skip
is read as that much later, and of a time that they repeat hours open at the first and close at the last.

The hours of all years lie in one table that begins before every event and grows as far as it is asked for. So each
answer is a search in it, and does not depend on what was asked before.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.shared.instant import SECOND, Instant, from_datetime, to_datetime
from services.shared.zones import time_zone

_DAY = timedelta(days=1)
_MINUTE = 60 * SECOND
#: Minutes.
_FULL_DAY = 1440
#: Events before 2000 are refused; a zone west of Greenwich is a day behind.
_FIRST_YEAR, _LAST_YEAR = 1999, 2199


class Hours(NamedTuple):
    """From one time to another, in minutes after the midnight with which the day begins; 1,440 is the next one."""

    opening: int
    closing: int


class Special(NamedTuple):
    """A date that is not like its weekday."""

    #: Empty: closed.
    hours: Sequence[Hours]
    #: What people call it: "Labor Day", "stock-taking".
    name: str


class Period(NamedTuple):
    """A stretch of time that counts, or does not."""

    start: Instant
    end: Instant
    counts: bool


class NeverOpen(ValueError):
    """So much working time does not come."""

    def __init__(self, name: str) -> None:
        super().__init__(f"calendar {name}: so much working time does not come before {_LAST_YEAR + 1}")


class WorkingTime:
    """Opening hours by weekday, Monday first, with special dates, in a zone."""

    def __init__(
        self,
        name: str,
        zone: str,
        week: Sequence[Sequence[Hours]],
        specials: Callable[[int], Mapping[date, Special]] = lambda _year: {},
    ) -> None:
        """`specials`: those of a year. Hours are in order and do not overlap. Raises ValueError for an unknown zone."""
        self.name = name
        self.zone = time_zone(zone)
        #: Monday first.
        self.week = week
        self._specials = specials
        self._year = _FIRST_YEAR
        # The hours, one after the other, with all that was worked before each.
        self._openings: list[int] = []
        self._closings: list[int] = []
        self._before: list[int] = []
        self._worked = 0
        # The days that have any: the first of their hours, when they begin, and whether the clocks jump on them.
        self._first: list[int] = []
        self._days: list[date] = []
        self._midnights: list[int] = []
        self._steady: list[bool] = []

    # --- spans

    def measure(self, start: Instant, end: Instant) -> int:
        """Working time between two instants, in microseconds; below 0 where `end` is before `start`."""
        return self._until(end) - self._until(start)

    def add(self, start: Instant, span: int) -> Instant:
        """The first instant at which so much working time has passed since `start`. Raises NeverOpen."""
        if not span:
            return start
        wanted = self._until(start) + span
        while self._worked < wanted:
            self._grow()
        last = bisect_left(self._before, wanted) - 1
        return Instant(self._openings[last] + wanted - self._before[last])

    def back(self, end: Instant, span: int) -> Instant:
        """The last instant from which so much working time, more than none, passes until `end`."""
        index = max(bisect_right(self._before, self._until(end) - span) - 1, 0)
        return Instant(self._openings[index] + self._until(end) - span - self._before[index])

    def periods(self, start: Instant, end: Instant) -> Iterator[Period]:
        """All of the time between two instants, in order, none of it empty."""
        self._reach(end)
        at = start
        for index in range(max(0, bisect_right(self._closings, start)), len(self._openings)):
            opening, closing = Instant(max(start, self._openings[index])), Instant(min(end, self._closings[index]))
            if opening >= end:
                break
            if at < opening:
                yield Period(at, opening, counts=False)
            yield Period(opening, closing, counts=True)
            at = closing
        if at < end:
            yield Period(at, end, counts=False)

    def _until(self, at: Instant) -> int:
        """All working time up to an instant."""
        self._reach(at)
        index = bisect_right(self._openings, at) - 1
        if index < 0:
            return 0
        return self._before[index] + min(at, self._closings[index]) - self._openings[index]

    # --- days

    def add_days(self, start: Instant, days: int, *, to_end: bool = False) -> Instant:
        """So many working days later, at the same time of day or at the end of the day. Raises NeverOpen.

        What begins outside the hours begins with the next ones. Where that time of day is outside the hours of the day
        arrived at, it is the next of its openings, or its end.
        """
        self._reach(start)
        index = bisect_right(self._closings, start)
        while index >= len(self._openings):
            self._grow()
        at = max(start, self._openings[index])
        day = bisect_right(self._first, index) - 1
        there = day + days
        while there + 1 >= len(self._first):  # the end of the last day is known when there is another
            self._grow()
        first, last = self._first[there], self._first[there + 1] - 1
        if to_end:
            return Instant(self._closings[last])
        wanted = self._same_time(day, at, there)
        index = bisect_left(self._closings, wanted, first, last)
        return Instant(min(max(wanted, self._openings[index]), self._closings[index]))

    def _same_time(self, day: int, at: int, there: int) -> int:
        if self._steady[day] and self._steady[there]:
            return self._midnights[there] + at - self._midnights[day]
        wall = to_datetime(Instant(at)).astimezone(self.zone).replace(tzinfo=None)
        return from_datetime((wall + (self._days[there] - self._days[day])).replace(tzinfo=self.zone))

    def special_days(self, start: Instant, end: Instant) -> Iterator[tuple[date, Special]]:
        """The days that are not like their weekday, of those that two instants and the time between them touch."""
        day, last = (to_datetime(at).astimezone(self.zone).date() for at in (start, end))
        while day <= last:
            if special := self.special(day):
                yield day, special
            day += _DAY

    def special(self, day: date) -> Special | None:
        """What is special about a day."""
        return self._specials(day.year).get(day)

    def hours(self, day: date) -> Sequence[Hours]:
        """Those that begin on a day; none where it is closed."""
        special = self.special(day)
        return self.week[day.weekday()] if special is None else special.hours

    # --- the table

    def _reach(self, at: Instant) -> None:
        while self._year <= _LAST_YEAR and (not self._openings or self._openings[-1] <= at):
            self._grow()

    def _grow(self) -> None:
        """One year more."""
        if self._year > _LAST_YEAR:
            raise NeverOpen(self.name)
        day = date(self._year, 1, 1)
        while day.year == self._year:
            if hours := self.hours(day):
                self._add_day(day, hours)
            day += _DAY
        self._year += 1

    def _add_day(self, day: date, hours: Sequence[Hours]) -> None:
        first = len(self._openings)
        midnight, length = self._at(day, 0), max(hours[-1].closing, _FULL_DAY)
        is_steady = self._at(day, length, fold=1) - midnight == length * _MINUTE
        for opening, closing in hours:
            if is_steady:
                opens_at, closes_at = midnight + opening * _MINUTE, midnight + closing * _MINUTE
            else:
                opens_at = self._at(day, opening)
                closes_at = max(self._at(day, closing), self._at(day, closing, fold=1))
            if self._closings:  # clocks that are put back can make hours of two days overlap
                opens_at = max(opens_at, self._closings[-1])
            if opens_at < closes_at:
                self._openings.append(opens_at)
                self._closings.append(closes_at)
                self._before.append(self._worked)
                self._worked += closes_at - opens_at
        if len(self._openings) > first:
            self._first.append(first)
            self._days.append(day)
            self._midnights.append(midnight)
            self._steady.append(is_steady)

    def _at(self, day: date, minute: int, fold: int = 0) -> int:
        return _at_minute(day, minute, self.zone, fold)


def add_calendar_days(start: Instant, days: int, zone: ZoneInfo, *, to_end: bool = False) -> Instant:
    """So many dates later in a zone, at the same time of day or at the end of the date."""
    wall = to_datetime(start).astimezone(zone)
    return from_datetime(
        datetime.combine(wall.date() + timedelta(days=days + to_end), time() if to_end else wall.time(), zone)
    )


@lru_cache(maxsize=65_536)
def end_of_day(calendar: WorkingTime, day: date, zone: str) -> Instant:
    """The instant by which something promised for `day` is due: closing time of that day, in `zone`.

    On a day the calendar is closed the word given was still that day, so it is due when the date ends; never later
    than the customer was led to expect. A closing time that the clocks skip or repeat counts at its first offset.
    """
    hours = calendar.hours(day)
    return _at_minute(day, min(hours[-1].closing, _FULL_DAY) if hours else _FULL_DAY, time_zone(zone))


def _at_minute(day: date, minute: int, zone: ZoneInfo, fold: int = 0) -> Instant:
    wall = datetime.combine(day, time()) + timedelta(minutes=minute)
    return from_datetime(wall.replace(tzinfo=zone, fold=fold))
