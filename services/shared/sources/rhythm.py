"""How often a stream of events is heard, by hour of the week, and from when on its silence means something. Pure.

A night shift's hour is not a gap at noon. So gaps are not counted in minutes but in *expected events*: how many events
the rhythm would have had in the gap. At night few are expected and the count stands still; at noon it runs. One limit
on that count serves all hours: the one that real gaps pass about once in six weeks.
"""

import math
import struct
from collections.abc import Iterator
from typing import Final

from services.shared.instant import SECOND, Instant

_HOUR: Final = 3_600 * SECOND
_DAY: Final = 24 * _HOUR
_WEEK: Final = 168
#: A stream is learned from when it was heard for so long, and so often.
LEARNING: Final = 28 * _DAY
ENOUGH: Final = 50
#: How fast the rhythm forgets, a day: half of what it knows of each hour in twelve weeks, of its gaps in eighteen.
_HOURS_FADE: Final = 0.5 ** (1 / 84)
_GAPS_FADE: Final = 0.5 ** (1 / 126)
#: How many gaps of a healthy stream may pass the limit in 30 days.
_ALLOWED: Final = 0.75
#: Hours of evidence that the neighbouring hours are worth: what was never seen is not impossible.
_PRIOR: Final = 0.3
#: Events over which busy and slack times of a stream are told apart, and how much busier than usual is believed.
_LEVEL_SPAN: Final = 500.0
_BUSIEST: Final = 3.0
#: Silence longer than this is not put down to the rhythm, nor looked for.
LONGEST: Final = 14 * _DAY
#: Gaps are counted by size: each bin reaches a tenth further than the one before.
_BINS: Final = 104
_FIRST_EDGE: Final = 0.1
_WIDTH: Final = math.log(1.1)
_STATE: Final = struct.Struct(f"<qqqdd{2 * _WEEK + _BINS}f")


class Rhythm:
    """What is known of one stream. Instants and spans are microseconds."""

    def __init__(self) -> None:
        self.first = self.last = self._faded = Instant(0)
        #: Of a usual stretch of time, how many of the expected events came of late: 1 is as ever.
        self._level = 1.0
        #: Days that the counts of gaps speak of, as far as they have not faded.
        self._days = 0.0
        self._events = [0.0] * _WEEK
        self._hours = [0.0] * _WEEK
        self._gaps = [0.0] * _BINS
        self._rates: list[float] | None = None
        self._limit = 0.0

    def heard(self, at: Instant) -> None:
        """Take in that an event was heard. What is older than the last one tells nothing about gaps."""
        if not self.last:
            self.first = self.last = self._faded = at
            return
        if at <= self.last:
            return
        if self._rates is not None:
            expected = self._expected(self.last, at)
            self._gaps[_bin(expected * self._level)] += 1
            level = self._level * math.exp(-expected / _LEVEL_SPAN) + 1 / _LEVEL_SPAN
            self._level = min(level, _BUSIEST)
        for start, end in _by_hour(max(self.last, Instant(at - LONGEST)), at):
            self._hours[_hour(start)] += (end - start) / _HOUR
        self._events[_hour(at)] += 1
        self.last = at
        if at - self._faded >= _DAY:
            self._fade(at)

    def silent_after(self, last: Instant) -> int | None:
        """How long after it was last heard, at `last`, its silence counts; None: not learned yet. At most LONGEST."""
        return self._span(last, self._limit) if self._limit else None

    def usual_gap(self, at: Instant) -> int | None:
        """What 99 of 100 gaps that begin at an instant stay below; None: not learned yet. At most LONGEST."""
        return self._span(at, self._size(0.01 * sum(self._gaps))) if self._limit else None

    def pack(self) -> bytes:
        """1.8 kB."""
        numbers = (*self._events, *self._hours, *self._gaps)
        return _STATE.pack(self.first, self.last, self._faded, self._level, self._days, *numbers)

    @staticmethod
    def unpack(data: bytes) -> "Rhythm":
        """What `pack` wrote. Raises ValueError where it is something else."""
        if len(data) != _STATE.size:
            raise ValueError(f"a rhythm has {_STATE.size} bytes, not {len(data)}")
        first, last, faded, level, days, *numbers = _STATE.unpack(data)
        if not all(math.isfinite(number) and number >= 0 for number in (level, days, *numbers)):
            raise ValueError("a rhythm is made of finite numbers that are not negative")
        rhythm = Rhythm()
        rhythm.first, rhythm.last, rhythm._faded = Instant(first), Instant(last), Instant(faded)
        rhythm._level, rhythm._days = level, days
        rhythm._events, rhythm._hours = numbers[:_WEEK], numbers[_WEEK : 2 * _WEEK]
        rhythm._gaps = numbers[2 * _WEEK :]
        rhythm._learn()
        return rhythm

    # --- learning

    def _fade(self, at: Instant) -> None:
        """Let the past count less, and draw conclusions: once a day, as an hour of the week comes once a week."""
        days = (at - self._faded) / _DAY
        hours, gaps = _HOURS_FADE**days, _GAPS_FADE**days
        self._events = [events * hours for events in self._events]
        self._hours = [hour * hours for hour in self._hours]
        self._gaps = [gap * gaps for gap in self._gaps]
        self._days = self._days * gaps + (min(days, LONGEST / _DAY) if self._rates is not None else 0.0)
        self._faded = at
        self._learn()

    def _learn(self) -> None:
        if self.last - self.first < LEARNING / 2 or sum(self._events) < ENOUGH / 2:
            return
        self._rates = [self._rate(hour) for hour in range(_WEEK)]
        if self.last - self.first < LEARNING or sum(self._gaps) < ENOUGH / 2:
            return
        a_month = sum(self._gaps) * 30 / max(self._days, 1.0)
        self._limit = max(self._size(_ALLOWED * self._days / 30), math.log(max(2.0, a_month)))

    def _rate(self, hour: int) -> float:
        """Events expected in an hour of the week: its own, and a little of the hours before, after and next day."""
        near = [(hour + step) % _WEEK for step in (-1, 1, -24, 24)]
        seen = sum(self._hours[each] for each in near)
        around = sum(self._events[each] for each in near) / seen if seen else 0.0
        return (self._events[hour] + _PRIOR * around) / (self._hours[hour] + _PRIOR)

    def _size(self, beyond: float) -> float:
        """What so many of the gaps go beyond, in expected events."""
        left = beyond
        for number in reversed(range(_BINS)):
            left -= self._gaps[number]
            if left < 0:
                return _FIRST_EDGE * math.exp(_WIDTH * number)
        return _FIRST_EDGE

    # --- expected events

    def _expected(self, start: Instant, end: Instant) -> float:
        rates = self._rates
        if rates is None:
            return 0.0
        return sum(rates[_hour(at)] * (until - at) for at, until in _by_hour(start, end)) / _HOUR

    def _span(self, start: Instant, limit: float) -> int:
        """How long from `start` until so many events are expected, at the pace of late."""
        rates, left = self._rates, limit / max(self._level, 1 / _LEVEL_SPAN)
        if rates is None:
            return LONGEST
        for at, until in _by_hour(start, Instant(start + LONGEST)):
            events = rates[_hour(at)] * (until - at) / _HOUR
            if events >= left:
                return at - start + round((until - at) * left / events)
            left -= events
        return LONGEST


def _hour(at: Instant) -> int:
    return at // _HOUR % _WEEK


def _by_hour(start: Instant, end: Instant) -> Iterator[tuple[Instant, Instant]]:
    """A stretch of time, cut at every full hour; no more of it than LONGEST."""
    end = min(end, Instant(start + LONGEST))
    while start < end:
        until = min(end, Instant((start // _HOUR + 1) * _HOUR))
        yield start, until
        start = until


def _bin(expected: float) -> int:
    if expected <= _FIRST_EDGE:
        return 0
    return min(_BINS - 1, math.ceil(math.log(expected / _FIRST_EDGE) / _WIDTH))
