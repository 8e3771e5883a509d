"""Closing days from iCalendar files."""

from datetime import date

import pytest

from services.shared.documents import DocumentError
from services.sla.closing_days import closing_days

CALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//test//EN
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20260824
DTEND;VALUE=DATE:20260827
SUMMARY:Stock-taking
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTART;VALUE=DATE:20200606
RRULE:FREQ=YEARLY
SUMMARY:Founders' day
END:VEVENT
BEGIN:VEVENT
UID:3
DTSTART;TZID=Europe/Madrid:20260910T100000
DTEND;TZID=Europe/Madrid:20260910T120000
SUMMARY:A meeting
END:VEVENT
BEGIN:VEVENT
UID:4
DTSTART;VALUE=DATE:20261231
SUMMARY:New Year's Eve
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n").encode()


def test_whole_days_close_and_repetitions_are_expanded() -> None:
    """The end of an event is the day after its last; what has a time of day closes nothing."""
    assert closing_days(CALENDAR, "a.ics", 2026, 2027) == {
        date(2026, 6, 6): "Founders' day",
        date(2026, 8, 24): "Stock-taking",
        date(2026, 8, 25): "Stock-taking",
        date(2026, 8, 26): "Stock-taking",
        date(2026, 12, 31): "New Year's Eve",
        date(2027, 6, 6): "Founders' day",
    }


@pytest.mark.parametrize("content", [b"", b"hello", CALENDAR[:80], b"\xff\xfe"])
def test_what_is_no_calendar_is_refused(content: bytes) -> None:
    """With the file, and what to do."""
    with pytest.raises(DocumentError, match=r"a\.ics: is no calendar: .*; export it as iCalendar"):
        closing_days(content, "a.ics", 2026, 2027)
