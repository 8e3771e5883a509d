"""A day that was promised ends when it ends where the customer is."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from services.shared.instant import format_instant, from_datetime
from services.shared.working_time import Hours, Special, WorkingTime, end_of_day

MIDNIGHT = time(0)
OFFICE = WorkingTime(
    "office",
    "Europe/Madrid",
    [[Hours(9 * 60, 18 * 60)]] * 5 + [[], []],
    lambda year: {date(year, 12, 25): Special((), "Navidad")},
)
ALWAYS = WorkingTime("always", "UTC", [[Hours(0, 1440)]] * 7)
NIGHT = WorkingTime("night", "UTC", [[Hours(22 * 60, 30 * 60)]] * 7)
ZONES = st.sampled_from(["UTC", "Europe/Madrid", "America/New_York", "Asia/Kathmandu", "Africa/Cairo"])


@pytest.mark.parametrize(
    ("calendar", "day", "zone", "end"),
    [
        pytest.param(OFFICE, "2026-03-05", "Europe/Madrid", "2026-03-05T17:00:00Z", id="a Thursday in winter"),
        pytest.param(OFFICE, "2026-07-02", "Europe/Madrid", "2026-07-02T16:00:00Z", id="a Thursday in summer"),
        pytest.param(OFFICE, "2026-07-02", "America/New_York", "2026-07-02T22:00:00Z", id="where the customer is"),
        pytest.param(OFFICE, "2026-03-07", "Europe/Madrid", "2026-03-07T23:00:00Z", id="a Saturday: the date's end"),
        pytest.param(OFFICE, "2026-12-25", "Europe/Madrid", "2026-12-25T23:00:00Z", id="a holiday: likewise"),
        pytest.param(NIGHT, "2026-03-05", "UTC", "2026-03-06T00:00:00Z", id="hours that run over midnight"),
        pytest.param(ALWAYS, "2026-03-05", "UTC", "2026-03-06T00:00:00Z", id="around the clock"),
        pytest.param(ALWAYS, "2026-03-29", "Europe/Madrid", "2026-03-29T22:00:00Z", id="a day of 23 hours"),
        pytest.param(ALWAYS, "2026-10-25", "Europe/Madrid", "2026-10-25T23:00:00Z", id="a day of 25 hours"),
        pytest.param(ALWAYS, "2018-11-03", "America/Sao_Paulo", "2018-11-04T03:00:00Z", id="midnight is skipped"),
        pytest.param(ALWAYS, "2026-10-31", "America/Havana", "2026-11-01T04:00:00Z", id="midnight comes twice"),
        pytest.param(ALWAYS, "2028-02-29", "UTC", "2028-03-01T00:00:00Z", id="a leap day"),
        pytest.param(ALWAYS, "2026-12-31", "UTC", "2027-01-01T00:00:00Z", id="the year's last"),
    ],
)
def test_a_day_ends_at_its_closing_time(calendar: WorkingTime, day: str, zone: str, end: str) -> None:
    """By the wall clock of the zone, on closed days at midnight."""
    assert format_instant(end_of_day(calendar, date.fromisoformat(day), zone)) == end


@given(day=st.dates(date(2000, 1, 1), date(2199, 12, 30)), zone=ZONES, calendar=st.sampled_from([OFFICE, ALWAYS]))
def test_a_day_ends_within_its_date(day: date, zone: str, calendar: WorkingTime) -> None:
    """Whatever the zone does to its clocks that day."""
    begins, ends = (from_datetime(datetime.combine(day + timedelta(days=n), MIDNIGHT, ZoneInfo(zone))) for n in (0, 1))
    assert begins < end_of_day(calendar, day, zone) <= ends
