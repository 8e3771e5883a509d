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


def event(*lines: str) -> bytes:
    """A calendar of one event."""
    head = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//test//EN", "BEGIN:VEVENT", "UID:9")
    return "\r\n".join((*head, *lines, "END:VEVENT", "END:VCALENDAR", "")).encode()


@pytest.mark.parametrize("mark", ["STATUS:CANCELLED", "STATUS:cancelled", "TRANSP:TRANSPARENT"])
def test_what_was_called_off_or_leaves_people_free_closes_nothing(mark: str) -> None:
    """Of what is repeated only the occurrence that says so."""
    assert closing_days(event("DTSTART;VALUE=DATE:20260413", mark), "a.ics", 2026, 2026) == {}
    monthly = event(
        "DTSTART;VALUE=DATE:20260105", "RRULE:FREQ=MONTHLY;COUNT=3", "END:VEVENT",
        "BEGIN:VEVENT", "UID:9", "RECURRENCE-ID;VALUE=DATE:20260205", "DTSTART;VALUE=DATE:20260205", mark,
    )  # fmt: skip
    assert [*closing_days(monthly, "a.ics", 2026, 2026)] == [date(2026, 1, 5), date(2026, 3, 5)]


@pytest.mark.parametrize(
    "lines",
    [
        ("SUMMARY:never",),
        ("DTSTART;VALUE=DATE:20260413", "DTEND;VALUE=DATE:20260410"),
        ("DTSTART;VALUE=DATE:20260413", "DTEND:20260414T100000Z"),
        ("DTSTART;VALUE=DATE:20260413", "DURATION:-P3D"),
        ("DTSTART;VALUE=DATE:20260413", "DURATION:tomorrow"),
        ("DTSTART;VALUE=DATE:20260413", "RRULE:FREQ=SOMETIMES"),
        ("DTSTART;VALUE=DATE:20261399",),
        ("DTSTART;VALUE=DATE:20260413", "DTEND;VALUE=DATE:20260414", "DURATION:P9D"),
        ("DTSTART;VALUE=DATE:20260413", "DTSTART;VALUE=DATE:20260414"),
    ],
)
def test_an_event_that_is_odd_is_refused_in_words(lines: tuple[str, ...]) -> None:
    """With the file and what to do, and never with a traceback."""
    with pytest.raises(DocumentError, match=r"^a\.ics: .*; (correct it|export it as iCalendar)"):
        closing_days(event(*lines), "a.ics", 2026, 2027)


@pytest.mark.parametrize("content", [b"", b"hello", CALENDAR[:80], b"\xff\xfe"])
def test_what_is_no_calendar_is_refused(content: bytes) -> None:
    """With the file, and what to do."""
    with pytest.raises(DocumentError, match=r"a\.ics: is no calendar: .*; export it as iCalendar"):
        closing_days(content, "a.ics", 2026, 2027)


def an_event(*lines: str) -> str:
    """Of these properties."""
    return "\n".join(["BEGIN:VEVENT", "UID:9", *lines, "END:VEVENT\n"])


MONTHLY = ("DTSTART;VALUE=DATE:20260102", "DTEND;VALUE=DATE:20260103", "RRULE:FREQ=MONTHLY;COUNT=4", "SUMMARY:Monthly")
SECOND = ("RECURRENCE-ID;VALUE=DATE:20260202", "DTSTART;VALUE=DATE:20260202", "SUMMARY:Monthly")


@pytest.mark.parametrize(
    ("events", "days"),
    [
        ([MONTHLY], ["01-02", "02-02", "03-02", "04-02"]),
        ([MONTHLY, (*SECOND, "STATUS:CANCELLED")], ["01-02", "03-02", "04-02"]),
        ([(*MONTHLY, "STATUS:CANCELLED")], []),
        ([(*MONTHLY, "STATUS:cancelled "), (*SECOND, "STATUS:CONFIRMED")], ["02-02"]),
        ([(*MONTHLY, "TRANSP:TRANSPARENT")], []),
        ([(*MONTHLY, "STATUS:TENTATIVE", "TRANSP:OPAQUE"), SECOND], ["01-02", "02-02", "03-02", "04-02"]),
        ([("DTSTART;VALUE=DATE:19000101", "DTEND;VALUE=DATE:21001231", "SUMMARY:for ever")], 365),
        ([("DTSTART;VALUE=DATE:20260105", "DTEND;VALUE=DATE:20260101", "SUMMARY:backwards")], None),
    ],
)
def test_what_is_cancelled_or_leaves_people_free_closes_nothing(
    events: list[tuple[str, ...]], days: list[str] | int | None
) -> None:
    """One occurrence or all of them; and what is odd ends in words, if anywhere."""
    content = "".join(["BEGIN:VCALENDAR\n", *(an_event(*event) for event in events), "END:VCALENDAR\n"])
    try:
        found = [f"{day:%m-%d}" for day in closing_days(content.replace("\n", "\r\n").encode(), "a.ics", 2026, 2026)]
    except DocumentError:
        assert days is None
    else:
        assert days is None or (len(found) if isinstance(days, int) else found) == days
