"""How long something may take, as people write it, and when it is over.

    24h, 15min, 1h 30min                    around the clock
    2 business hours, 45 business minutes   while the calendar is open
    3 business days                         at the same time of day, so many days on which the calendar is open later
    3 business days, end of day             until it closes on that day
    30 calendar days                        at the same time of day, whatever the calendar says
    30 calendar days, end of day            until that date ends

"1 day" is no target: people mean three different things by it.
"""

import re
from enum import Enum
from typing import NamedTuple

from services.shared.duration import parse_duration
from services.shared.instant import SECOND, Instant
from services.shared.working_time import WorkingTime, add_calendar_days

_END_OF_DAY = re.compile(r"\s*,\s*(end of day|same time)\s*$")
_COUNTED = re.compile(r"(\d+)\s*(business|calendar)\s*(minute|hour|day)s?")
_SPANS = {"minute": 60 * SECOND, "hour": 3600 * SECOND}
_EXAMPLES = '"24h", "2 business hours", "3 business days", "3 business days, end of day" or "30 calendar days"'


class Unit(Enum):
    """What a target counts."""

    TIME = "time"
    BUSINESS_TIME = "business time"
    BUSINESS_DAYS = "business days"
    CALENDAR_DAYS = "calendar days"


class Target(NamedTuple):
    """So much of a unit."""

    unit: Unit
    #: Microseconds, or days.
    amount: int
    #: Of days: until the end of the last one.
    to_end: bool = False


def parse_target(text: str) -> Target:
    """A target as it is written. Raises ValueError, saying what is allowed."""
    body, to_end = text.strip(), False
    if ending := _END_OF_DAY.search(body):
        body, to_end = body[: ending.start()], ending[1] == "end of day"
    counted = _COUNTED.fullmatch(body)
    if counted is None:
        target = Target(Unit.TIME, _duration(text, body))
    elif counted[3] == "day":
        unit = Unit.BUSINESS_DAYS if counted[2] == "business" else Unit.CALENDAR_DAYS
        target = Target(unit, int(counted[1]), to_end)
    elif counted[2] == "business":
        target = Target(Unit.BUSINESS_TIME, int(counted[1]) * _SPANS[counted[3]])
    else:
        raise ValueError(f'{text!r}: hours of a calendar are plain hours; write "{counted[1]}h"')
    if (ending and counted is None) or (ending and counted and counted[3] != "day"):
        raise ValueError(f"{text!r}: only days have an end; write for example {_EXAMPLES}")
    if not target.amount:
        raise ValueError(f"{text!r} is no time at all; write for example {_EXAMPLES}")
    return target


def _duration(text: str, body: str) -> int:
    if body.lstrip().startswith("-"):
        raise ValueError(f"{text!r} is below zero; write for example {_EXAMPLES}")
    if re.search(r"\d\s*d(ays?)?\b", body):
        raise ValueError(
            f'{text!r} can mean three things; write "24h", "1 business day" or "1 calendar day", as many as you mean'
        )
    try:
        return parse_duration(body)
    except ValueError:
        raise ValueError(f"{text!r} is no target; write for example {_EXAMPLES}") from None


def after(target: Target, start: Instant, calendar: WorkingTime) -> Instant:
    """When what begins at `start` must be done. Raises NeverOpen."""
    match target.unit:
        case Unit.TIME:
            return Instant(start + target.amount)
        case Unit.BUSINESS_TIME:
            return calendar.add(start, target.amount)
        case Unit.BUSINESS_DAYS:
            return calendar.add_days(start, target.amount, to_end=target.to_end)
        case Unit.CALENDAR_DAYS:
            return add_calendar_days(start, target.amount, calendar.zone, to_end=target.to_end)


def elapsed(target: Target, start: Instant, end: Instant, calendar: WorkingTime) -> int:
    """How much of the time between two instants counts towards it, in microseconds."""
    if target.unit in _BUSINESS:
        return calendar.measure(start, end)
    return end - start


_BUSINESS = frozenset({Unit.BUSINESS_TIME, Unit.BUSINESS_DAYS})
