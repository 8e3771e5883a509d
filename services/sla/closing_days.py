"""Closing days from an iCalendar file, as offices and unions publish them."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from services.shared.documents import DocumentError
from services.shared.ical import read_ical, unreadable

_DAY = timedelta(days=1)


def closing_days(content: bytes, file: str, first: int, last: int) -> Mapping[date, str]:
    """The whole days in it from the first year to the last, in order, with their names; repetitions are expanded.

    Nothing is closed by events with a time of day, nor by what was cancelled or is shown as free (transparent), be it
    one day of what is repeated. Raises DocumentError.
    """
    calendar, events = read_ical(content, file, last)
    _check(calendar, file)
    since, until = date(first, 1, 1), date(last, 12, 31)
    try:
        found = [(event.start, event.end, event) for event in events.between(since, until + _DAY) if _closes(event)]
    except Exception as error:  # noqa: BLE001 - whatever the library raises of what others wrote
        raise unreadable(file, error) from None
    days: dict[date, str] = {}
    for start, end, event in found:
        if not isinstance(start, datetime):
            day, after = max(start, since), max(end, start + _DAY)
            while day < after and day <= until:
                days[day] = str(event.get("SUMMARY", "closed"))
                day += _DAY
    return dict(sorted(days.items()))


def _closes(event: Any) -> bool:  # noqa: ANN401 - its library ships no types
    said = (str(event.get(name, "")).strip().upper() for name in ("STATUS", "TRANSP"))
    return not {"CANCELLED", "TRANSPARENT"}.intersection(said)


def _check(calendar: Any, file: str) -> None:  # noqa: ANN401 - its library ships no types
    """Raises DocumentError for the first event of which it cannot be said when it is."""
    for number, event in enumerate(calendar.events, start=1):
        try:
            length: timedelta = event.end - event.start
            if "DURATION" in event:
                length = event.DURATION
            problem = "ends before it begins" if length < timedelta() else ""
        except TypeError:
            problem = "has a time of day at one end, and none at the other"
        except (AttributeError, ValueError, OverflowError) as error:
            problem = f"has no beginning or end that can be read ({str(error)[:200]})"
        if problem:
            name = str(event.get("SUMMARY", "without a name"))[:80]
            raise DocumentError(f"{file}: event {number} ({name}) {problem}; correct it or leave it out")
