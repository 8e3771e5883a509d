"""Calendars as people write them: what they mean, and what is said of those that mean nothing."""

from collections.abc import Mapping
from datetime import date

import pytest

from services.shared.calendars import read_calendars
from services.shared.documents import DocumentError
from services.shared.fields import Fields
from services.shared.instant import SECOND, format_instant, parse_instant
from services.shared.public_holidays import public_holidays
from services.shared.working_time import WorkingTime

WHOLE = """\
office:
  zone: Europe/Madrid
  hours: {mon-thu: "09:00-14:00, 16:00-19:00", fri: "9:00-15:00", sat: "22:00-06:00"}
  holidays: [ES-MD]
  closed: {2026-12-24: Christmas Eve, 2026-08-10..2026-08-21: summer}
  open:
    2026-12-08: as usual
    2026-11-29: "10:00-20:00"
"""
HOUR = 3600 * SECOND


def holidays(place: str, year: int) -> Mapping[date, str]:
    """Of a country with two."""
    if place != "ES-MD":
        raise ValueError(f"{place!r} is no country")
    return {date(year, 12, 8): "Inmaculada", date(year, 12, 25): "Navidad"}


def read(text: str) -> Mapping[str, WorkingTime]:
    """Calendars in a document of their own."""
    fields, problems = Fields.of(text, "my.yaml")
    calendars = read_calendars(fields, holidays)
    problems.check()
    return calendars


def worked(day: str) -> float:
    """Hours that the office is open from one midnight in Madrid, in winter, to the next."""
    office = read(WHOLE)["office"]
    start = parse_instant(f"{day}T00:00:00+01:00")
    return office.measure(start, type(start)(start + 24 * HOUR)) / HOUR


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        ("2026-11-26", 8),  # Thursday: two intervals
        ("2026-11-27", 6),  # Friday
        ("2026-11-28", 2),  # Saturday: the night until midnight …
        ("2026-11-22", 6),  # … and on
        ("2026-11-29", 6 + 10),  # specially open, beside what is left of the night
        ("2026-12-24", 0),  # closed
        ("2026-12-25", 0),  # a holiday
        ("2026-12-08", 8),  # a holiday that is worked
    ],
)
def test_a_calendar_is_read(day: str, hours: float) -> None:
    """Each way in which a day can be open or not."""
    assert worked(day) == hours


def test_a_range_of_days_is_closed_with_both_its_ends() -> None:
    """Summer: nothing between the Saturday night before and the Monday after."""
    office = read(WHOLE)["office"]
    reopened = office.add(parse_instant("2026-08-10T00:00:00+02:00"), 1)
    assert format_instant(reopened).startswith("2026-08-22T20:00:00")  # 22:00 in Madrid


def test_days_may_run_over_the_end_of_the_week() -> None:
    """And any text may be a calendar's name."""
    text = 'Café 24/7: {zone: UTC, hours: {fri-mon: "00:00-24:00"}}'
    week = read(text)["Café 24/7"]
    start = parse_instant("2026-11-23T00:00:00Z")
    assert week.measure(start, type(start)(start + 7 * 24 * HOUR)) == 4 * 24 * HOUR


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Europe/Madrid", "Europe/Nowhere", "line 2: office.zone: 'Europe/Nowhere' is no time zone; write one of"),
        ("  zone: Europe/Madrid\n", "", "line 1: office.zone: is missing; write it"),
        ("ES-MD", "Atlantis", "line 4: office.holidays: 'Atlantis' is no country"),
        ("mon-thu:", "mon-thurs:", "line 3: office.hours.mon-thurs: is no weekday; write mon, tue"),
        ("fri:", "thu-fri:", "line 3: office.hours.thu-fri: gives thu hours for the second time; keep one"),
        ("9:00-15:00", "all day", "line 3: office.hours.fri: 'all day' are no hours; write for example"),
        ("9:00-15:00", "9:00-15:60", "line 3: office.hours.fri: '9:00-15:60' has a time that no clock shows"),
        ("9:00-15:00", "9:00-12:00, 11:00-15:00", "line 3: office.hours.fri: '9:00-12:00, 11:00-15:00' overlap; write"),
        ("9:00-15:00", "9:00-15:00, 22:00-23:00-24:00", "line 3: office.hours.fri: '22:00-23:00-24:00' are no hours"),
        (
            ', sat: "22:00-06:00"',
            ', sun: "22:00-10:00"',
            "line 3: office.hours: those of sun run into those of the day",
        ),
        (
            '{mon-thu: "09:00-14:00, 16:00-19:00", fri: "9:00-15:00", sat: "22:00-06:00"}',
            "{}",
            "line 3: office.hours: is",
        ),
        ("2026-12-24:", "Christmas:", "line 5: office.closed.Christmas: is no date; write for example 2026-12-24"),
        (
            "08-10..2026-08-21",
            "08-21..2026-08-10",
            "line 5: office.closed.2026-08-21..2026-08-10: ends before it begins",
        ),
        ("2026-11-29:", "2026-12-24:", "line 6: office.open: 2026-12-24 is closed above; keep one of the two"),
        ("2026-12-08:", "2026-12-06:", "line 7: office.open.2026-12-06: 2026-12-06 is a day without hours; write the"),
        ('"10:00-20:00"', "yes", "line 8: office.open.2026-11-29: 'yes' are no hours; write for ex"),
        ("  closed:", "  shut:", "line 5: office.shut: is no field; write one of closed, holidays, hours, open, zone"),
        (WHOLE, "office: 5", "line 1: office: 5 has no fields; write name: value pairs"),
    ],
)
def test_a_mistake_is_told_with_line_place_value_and_remedy(old: str, new: str, said: str) -> None:
    """One change to a good calendar, and what its author is told."""
    assert old in WHOLE
    with pytest.raises(DocumentError) as error:
        read(WHOLE.replace(old, new))
    assert f"my.yaml: {said}" in str(error.value)


def test_a_country_whose_code_is_a_word_of_yaml_is_a_country() -> None:
    """NO is Norway, without quotes."""
    fields, problems = Fields.of('a: {o: {zone: Europe/Oslo, holidays: [NO], hours: {sun: "09:00-17:00"}}}', "c.yaml")
    office = read_calendars(fields.section("a"), public_holidays)["o"]
    problems.check()
    assert office.hours(date(2026, 5, 17)) == ()
