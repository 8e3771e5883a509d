"""iCalendar files (.ics) as others export them: read with bounds, and refused in words before anything is expanded.

What a rule repeats may have no end, and what an impossible rule looks for is looked for to the end of time. So what all
of them take is reckoned first, in steps: the times that they look at.
"""

from collections.abc import Iterator
from typing import Any

import recurring_ical_events
from icalendar import Calendar

from services.shared.documents import DocumentError

MAX_BYTES, MAX_EVENTS, MAX_STEPS = 1_000_000, 5_000, 300_000
#: How many steps a frequency takes in a year.
_A_YEAR = {"HOURLY": 8_766, "DAILY": 366, "WEEKLY": 53, "MONTHLY": 12, "YEARLY": 1}
#: What makes several times of one step.
_TIMES = ("BYHOUR", "BYMINUTE", "BYSECOND")
_MOST_TIMES = 24
#: What can pick a time that never comes, which is looked for to the end of time.
_PICKS = ("BYSETPOS", "BYYEARDAY", "BYWEEKNO", "BYEASTER")
_SELDOM, _FOR_EVER = 10_000, MAX_STEPS + 1
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def read_ical(content: bytes, file: str, until: int) -> tuple[Any, Any]:
    """A calendar, and what says which of its events lie between two times; it will be asked up to the year `until`.

    Raises DocumentError.
    """
    if len(content) > MAX_BYTES:
        raise DocumentError(f"{file}: is larger than {MAX_BYTES:,} bytes; export fewer years")
    try:
        calendar = Calendar.from_ical(content)
        if not isinstance(calendar, Calendar):
            raise DocumentError(f"{file}: is no calendar; export it as iCalendar (.ics)")  # noqa: TRY301 - shortest so
        problem = _problem(calendar, until)
        events = None if problem else recurring_ical_events.of(calendar)
    except DocumentError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the libraries raise of what others wrote
        raise unreadable(file, error) from None
    if problem:
        raise DocumentError(f"{file}: {problem}")
    return calendar, events


def unreadable(file: str, error: Exception) -> DocumentError:
    """What to raise where the libraries cannot make sense of a calendar."""
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return DocumentError(f"{file}: is no calendar: {said}; export it as iCalendar (.ics)")


def _problem(calendar: Any, until: int) -> str:  # noqa: ANN401 - its library ships no types
    """Why it is not expanded; empty: nothing speaks against it."""
    count = len(calendar.walk("VEVENT"))
    if count > MAX_EVENTS:
        return f"has {count:,} events; at most {MAX_EVENTS:,} are read: export fewer years"
    steps = 0
    for component in calendar.walk():
        for rule in _rules(component):
            if problem := _misfit(rule):
                return f"{str(component.get('SUMMARY', component.name))[:80]!r} {problem}"
            steps += _steps(rule, component.decoded("DTSTART").year, until)
    return "" if steps <= MAX_STEPS else "repeats too often to be expanded; end what is over (UNTIL)"


def _rules(component: Any) -> Iterator[Any]:  # noqa: ANN401 - likewise
    for name in ("RRULE", "EXRULE"):
        found = component.get(name)
        for rule in found if isinstance(found, list) else [found]:
            if rule is not None:
                yield rule


def _misfit(rule: Any) -> str:  # noqa: ANN401 - likewise
    """What makes a rule one that cannot be followed; empty: nothing."""
    frequency = _first(rule, "FREQ", "")
    if frequency not in _A_YEAR:
        return f"repeats {frequency.lower() or 'at no frequency'}; write one of {', '.join(_A_YEAR)}"
    if _first(rule, "INTERVAL", 1) < 1:
        return "repeats every 0 times (INTERVAL); write 1 or more"
    months, days = ([int(each) for each in _all(rule, name)] for name in ("BYMONTH", "BYMONTHDAY"))
    if months and days and not any(abs(day) <= _LENGTHS[month - 1] for month in months for day in days):
        return "repeats on a day that never comes (BYMONTHDAY); correct it"
    times = 1
    for name in _TIMES:
        times *= max(len(_all(rule, name)), 1)
    return f"repeats {times:,} times a step (BYHOUR, …); at most {_MOST_TIMES} are read" if times > _MOST_TIMES else ""


def _steps(rule: Any, start: int, until: int) -> int:  # noqa: ANN401 - likewise
    """How many steps a rule that begins in a year takes, at most."""
    frequency, interval = _first(rule, "FREQ", ""), _first(rule, "INTERVAL", 1)
    if any(name in rule for name in _PICKS):
        return _SELDOM if frequency in {"MONTHLY", "YEARLY"} else _FOR_EVER
    ends = _first(rule, "UNTIL", None)
    last = until if ends is None else min(ends.year, until)
    steps: int = max(last - start + 1, 1) * _A_YEAR[frequency] // interval + 1
    return steps


def _first(rule: Any, name: str, default: Any) -> Any:  # noqa: ANN401 - of any kind
    return next(iter(_all(rule, name)), default)


def _all(rule: Any, name: str) -> list[Any]:  # noqa: ANN401 - likewise
    found = rule.get(name, [])
    return found if isinstance(found, list) else [found]
