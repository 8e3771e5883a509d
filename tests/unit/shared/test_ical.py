"""Calendars from outside: what would be expanded without end is refused first, and whatever else is odd in words."""

import pytest

from services.shared.documents import DocumentError
from services.shared.ical import MAX_BYTES, MAX_EVENTS, read_ical
from services.shared.instant import parse_instant, to_datetime
from tests.growth import cpu_seconds

DAY = "DTSTART;VALUE=DATE:20260102"
START, END = (to_datetime(parse_instant(f"2026-{month}-01T00:00:00Z")) for month in ("03", "04"))


def a_calendar(*events: str) -> bytes:
    """With these properties of events, each of a day in January."""
    bodies = (f"BEGIN:VEVENT\nUID:{n}\nSUMMARY:shut\n{event}\nEND:VEVENT" for n, event in enumerate(events))
    lines = "\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//x//y//EN", *bodies, "END:VCALENDAR", ""])
    return lines.replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("FREQ=SECONDLY", "'shut' repeats secondly; write one of HOURLY, DAILY, WEEKLY, MONTHLY, YEARLY"),
        ("FREQ=MINUTELY;COUNT=5", "'shut' repeats minutely; write one of"),
        ("FREQ=WEEKLY;INTERVAL=0", "'shut' repeats every 0 times (INTERVAL); write 1 or more"),
        ("FREQ=WEEKLY;INTERVAL=-1", "'shut' repeats every 0 times (INTERVAL); write 1 or more"),
        ("INTERVAL=2", "'shut' repeats at no frequency; write one of"),
        (f"FREQ=DAILY;BYHOUR=1;BYSECOND={','.join(map(str, range(60)))}", "'shut' repeats 60 times a step (BYHOUR, …)"),
        ("FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30;COUNT=1", "'shut' repeats on a day that never comes (BYMONTHDAY)"),
        ("FREQ=YEARLY;BYMONTH=4,6;BYMONTHDAY=31,-31", "'shut' repeats on a day that never comes (BYMONTHDAY)"),
        ("FREQ=YEARLY;BYMONTH=14;BYMONTHDAY=1", "is no calendar: "),
        ("FREQ=DAILY;BYSETPOS=2", "repeats too often to be expanded; end what is over (UNTIL)"),
        ("FREQ=OFTEN", "is no calendar: "),
        ("FREQ=DAILY;INTERVAL=x", "is no calendar: "),
        ("FREQ=DAILY;UNTIL=soon", "is no calendar: "),
        ("COUNT=x;FREQ=DAILY", "is no calendar: "),
    ],
)
@pytest.mark.parametrize("name", ["RRULE", "EXRULE"])
def test_a_rule_that_cannot_be_followed_is_refused_before_it_is(name: str, rule: str, said: str) -> None:
    """In words, with a remedy, and at once."""

    def refused() -> None:
        with pytest.raises(DocumentError) as caught:
            read_ical(a_calendar(f"{DAY}\n{name}:{rule}"), "a.ics", 2030)
        assert str(caught.value).startswith(f"a.ics: {said}")

    assert cpu_seconds(refused, 1) < 1


def test_a_time_zone_may_not_repeat_without_bounds_either() -> None:
    """It is expanded as soon as an event names it."""
    zone = "BEGIN:VTIMEZONE\nTZID:Mars\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0000\nTZOFFSETTO:+0100\n"
    zone += "RRULE:FREQ=SECONDLY\nEND:STANDARD\nEND:VTIMEZONE\nBEGIN:VEVENT"
    content = a_calendar(DAY).replace(b"BEGIN:VEVENT", zone.replace("\n", "\r\n").encode())
    with pytest.raises(DocumentError, match="repeats secondly"):
        read_ical(content, "a.ics", 2030)


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=MONTHLY;BYMONTHDAY=1;BYSETPOS=2",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;UNTIL=99991231",
        "FREQ=DAILY",
        "FREQ=WEEKLY;UNTIL=99991231",
        "FREQ=HOURLY",
        "FREQ=DAILY;COUNT=1000000000",
    ],
)
def test_a_rule_without_end_is_followed_to_where_it_is_asked_for(rule: str) -> None:
    """Also one that is never met."""

    def asked() -> int:
        _, events = read_ical(a_calendar(f"{DAY}\nRRULE:{rule}"), "a.ics", 2030)
        return len(events.between(START, END))

    expected = 0 if "BYMONTHDAY" in rule else 31 * 24 if "HOURLY" in rule else 31 if "DAILY" in rule else 4
    assert abs(asked() - expected) <= 1
    assert cpu_seconds(asked, 1) < 4


def test_what_is_too_large_is_refused() -> None:
    """By its bytes, by its events, and by what they repeat together."""
    for content, said in (
        (a_calendar("X:" + "x" * MAX_BYTES), "is larger than 1,000,000 bytes; export fewer years"),
        (a_calendar(*[DAY] * (MAX_EVENTS + 1)), "has 5,001 events; at most 5,000 are read: export fewer years"),
        (a_calendar(*["DTSTART:20000101T000000Z\nRRULE:FREQ=DAILY"] * 100), "repeats too often to be expanded"),
    ):
        with pytest.raises(DocumentError, match=f"a.ics: {said}"):
            read_ical(content, "a.ics", 2030)


def test_what_holds_events_but_is_no_calendar_is_refused() -> None:
    """A lone event, and something else around one."""
    for old, new in ((b"VCALENDAR", b"VTODO"), (b"VCALENDAR", b"X-ELSE")):
        with pytest.raises(DocumentError, match=r"a\.ics: is no calendar"):
            read_ical(a_calendar(DAY).replace(old, new), "a.ics", 2030)
