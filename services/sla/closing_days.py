"""Closing days from an iCalendar file, as offices and unions publish them."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import recurring_ical_events
from icalendar import Calendar, Event

from services.shared.documents import DocumentError


def closing_days(content: bytes, file: str, first: int, last: int) -> Mapping[date, str]:
    """The whole days in it from the first year to the last, in order, with their names; repetitions are expanded.

    Nothing is closed by events with a time of day, nor by what was cancelled or is shown as free (transparent), be it
    one day of what is repeated. Raises DocumentError.
    """
    try:
        calendar = Calendar.from_ical(content)
        _check(calendar, file)
        events = recurring_ical_events.of(calendar).between(date(first, 1, 1), date(last + 1, 1, 1))
    except (ValueError, OverflowError) as error:
        raise DocumentError(f"{file}: is no calendar: {error}; export it as iCalendar (.ics)") from error
    found: dict[date, str] = {}
    for event in events:
        start, end = event.start, event.end
        if isinstance(start, datetime) or _closes_nothing(event):
            continue
        day = start
        while day < max(end, start + timedelta(days=1)):
            if first <= day.year <= last:
                found[day] = str(event.get("SUMMARY", "closed"))
            day += timedelta(days=1)
    return dict(sorted(found.items()))


def _closes_nothing(event: Event) -> bool:
    return str(event.get("STATUS", "")).upper() == "CANCELLED" or str(event.get("TRANSP", "")).upper() == "TRANSPARENT"


def _check(calendar: Calendar, file: str) -> None:
    """Raises DocumentError for the first event of which it cannot be said when it is."""
    for number, event in enumerate(calendar.events, start=1):
        try:
            length: timedelta = event.end - event.start
            if "DURATION" in event:
                length = event.DURATION
            problem = "ends before it begins" if length < timedelta() else ""
        except TypeError:
            problem = "has a time of day at one end, and none at the other"
        except (AttributeError, ValueError) as error:
            problem = f"has no beginning or end that can be read ({error})"
        if problem:
            name = str(event.get("SUMMARY", "without a name"))
            raise DocumentError(f"{file}: event {number} ({name}) {problem}; correct it or leave it out")
