"""Closing days from an iCalendar file, as offices and unions publish them."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import recurring_ical_events
from icalendar import Calendar

from services.shared.documents import DocumentError


def closing_days(content: bytes, file: str, first: int, last: int) -> Mapping[date, str]:
    """The whole days in it from the first year to the last, in order, with their names; repetitions are expanded.

    Events with a time of day close nothing. Raises DocumentError.
    """
    try:
        calendar = Calendar.from_ical(content)
        events = recurring_ical_events.of(calendar).between(date(first, 1, 1), date(last + 1, 1, 1))
    except (ValueError, OverflowError) as error:
        raise DocumentError(f"{file}: is no calendar: {error}; export it as iCalendar (.ics)") from error
    found: dict[date, str] = {}
    for event in events:
        start, end = event.start, event.end
        if isinstance(start, datetime):
            continue
        day = start
        while day < max(end, start + timedelta(days=1)):
            if first <= day.year <= last:
                found[day] = str(event.get("SUMMARY", "closed"))
            day += timedelta(days=1)
    return dict(sorted(found.items()))
