"""How long something may take, as people write it, and when it is over.

    24h, 15min, 1h 30min                    around the clock
    2 business hours, 45 business minutes   while the calendar is open
    3 business days                         at the same time of day, so many days on which the calendar is open later
    3 business days, end of day             until it closes on that day; 0: on the day itself, or the next that is open
    30 calendar days                        at the same time of day, whatever the calendar says
    30 calendar days, end of day            until that date ends; 0: today
    window                                  until the end of the window that was agreed (appointment_started)
    2 contacts                              before the customer makes contact once more (contacts_to_resolve)

"1 day" is no target: people mean three different things by it.
"""

import re
from enum import Enum
from typing import NamedTuple

from services.shared.duration import LONGEST_DURATION, format_duration, parse_duration
from services.shared.instant import SECOND, Instant
from services.shared.working_time import NeverOpen, WorkingTime, add_calendar_days

_END_OF_DAY = re.compile(r"\s*,\s*(end of day|same time)\s*$")
_COUNTED = re.compile(r"(\d+)\s*(business|calendar)\s*(minute|hour|day)s?")
_CONTACTS = re.compile(r"(\d+)\s*contacts?")
_SPANS = {"minute": 60 * SECOND, "hour": 3600 * SECOND}
_EXAMPLES = '"24h", "2 business hours", "3 business days", "3 business days, end of day" or "30 calendar days"'


class Unit(Enum):
    """What a target counts."""

    TIME = "time"
    BUSINESS_TIME = "business time"
    BUSINESS_DAYS = "business days"
    CALENDAR_DAYS = "calendar days"
    WINDOW = "window"
    CONTACTS = "contacts"


class Target(NamedTuple):
    """So much of a unit."""

    unit: Unit
    #: Microseconds, days or contacts.
    amount: int
    #: Of days: until the end of the last one.
    to_end: bool = False


def parse_target(text: str) -> Target:
    """A target as it is written. Raises ValueError, saying what is allowed."""
    target = _parsed(text)
    if _spanned(target) > _MOST:
        raise ValueError(f"{text!r} is longer than a hundred years; write less")
    if not target.amount and not target.to_end:
        raise ValueError(f"{text!r} is no time at all; write for example {_EXAMPLES}")
    return target


def _parsed(text: str) -> Target:
    if len(text) > LONGEST_DURATION:
        raise ValueError(f"{text[:LONGEST_DURATION]!r}… is too long for a target; write for example {_EXAMPLES}")
    body, to_end = text.strip(), False
    if ending := _END_OF_DAY.search(body):
        body, to_end = body[: ending.start()], ending[1] == "end of day"
    counted = _COUNTED.fullmatch(body)
    if body == "window":
        return Target(Unit.WINDOW, 1)
    if contacts := _CONTACTS.fullmatch(body):
        target = Target(Unit.CONTACTS, int(contacts[1]))
    elif counted is None:
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
    return target


#: Microseconds. No promise reaches further, and every sum with it lies within the years that there are.
_MOST = 100 * 366 * 86_400 * SECOND


def _spanned(target: Target) -> int:
    """How much time it takes at least, in microseconds; 0 for what is no time."""
    if target.unit in {Unit.TIME, Unit.BUSINESS_TIME}:
        return target.amount
    return target.amount * 86_400 * SECOND if target.unit in {Unit.BUSINESS_DAYS, Unit.CALENDAR_DAYS} else 0


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


def format_target(target: Target) -> str:
    """As it would be written."""
    match target.unit:
        case Unit.WINDOW:
            return "the end of its window"
        case Unit.CONTACTS:
            return f"{target.amount} {_plural('contact', target.amount)}"
        case Unit.TIME:
            return format_duration(target.amount)
        case Unit.BUSINESS_TIME:
            return f"{format_duration(target.amount)} of business hours"
    days = f"{target.amount} {_plural(target.unit.value.removesuffix('s'), target.amount)}"
    return f"{days}, end of day" if target.to_end else days


def _plural(word: str, amount: int) -> str:
    return word if amount == 1 else f"{word}s"


def after(target: Target, start: Instant, calendar: WorkingTime) -> Instant:
    """When what begins at `start` must be done, for a target of time. Raises NeverOpen, also beyond the year 9999."""
    try:
        return _after(target, start, calendar)
    except OverflowError:
        raise NeverOpen(calendar.name) from None


def _after(target: Target, start: Instant, calendar: WorkingTime) -> Instant:
    match target.unit:
        case Unit.BUSINESS_TIME:
            return calendar.add(start, target.amount)
        case Unit.BUSINESS_DAYS:
            return calendar.add_days(start, target.amount, to_end=target.to_end)
        case Unit.CALENDAR_DAYS:
            return add_calendar_days(start, target.amount, calendar.zone, to_end=target.to_end)
    return Instant(start + target.amount)


def before(lead: Target, end: Instant, calendar: WorkingTime) -> Instant:
    """When so much is left until `end`; of working time the last instant at which it is, when people are there."""
    return calendar.back(end, lead.amount) if lead.unit == Unit.BUSINESS_TIME else Instant(end - lead.amount)


def later(target: Target, due_at: Instant, pause_start: Instant, pause_end: Instant, calendar: WorkingTime) -> Instant:
    """A limit as a pause moves it: by as much as would have counted towards it, and never to before it is over."""
    if target.unit in _BUSINESS:
        moved = calendar.add(due_at, calendar.measure(pause_start, pause_end))
        return moved if moved >= pause_end else calendar.add_days(pause_end, 0)
    return Instant(due_at + pause_end - pause_start)


def keeps_hours(target: Target) -> bool:
    """Whether only time counts in which the calendar is open."""
    return target.unit in _BUSINESS


_BUSINESS = frozenset({Unit.BUSINESS_TIME, Unit.BUSINESS_DAYS})
