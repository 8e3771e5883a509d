"""Instants and what people write for them."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from services.shared.instant import Instant, format_instant, from_datetime, micros, parse_instant, to_datetime

ZONES = st.sampled_from(["UTC", "Europe/Madrid", "America/New_York", "Asia/Kathmandu"]).map(ZoneInfo)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31), timezones=ZONES)  # noqa: DTZ001


@given(moment=MOMENTS)
def test_an_instant_is_the_moment_whatever_the_zone(moment: datetime) -> None:
    """There and back, to the microsecond, also where clocks are set back and an hour is written twice."""
    assert to_datetime(from_datetime(moment)) == moment.astimezone(UTC)


@given(at=st.integers(0, 7 * 10**15).map(Instant))
def test_what_is_written_reads_the_same(at: Instant) -> None:
    """ISO 8601 loses nothing."""
    assert parse_instant(format_instant(at)) == at


def test_an_instant_is_written_as_short_as_it_is_exact() -> None:
    """Whole seconds have no fraction."""
    assert format_instant(Instant(1_790_000_000_000_000)) == "2026-09-21T14:13:20Z"
    assert format_instant(Instant(1_790_000_000_000_001)) == "2026-09-21T14:13:20.000001Z"


def test_an_offset_is_understood() -> None:
    """14:00 in a zone two hours ahead is noon in UTC."""
    assert parse_instant("2026-03-02T14:00:00+02:00") == parse_instant("2026-03-02T12:00:00Z")
    two_ahead = timezone(timedelta(hours=2))
    assert from_datetime(datetime(2026, 3, 2, 14, tzinfo=two_ahead)) == parse_instant("2026-03-02T12:00:00Z")


@pytest.mark.parametrize("text", ["2026-03-02T12:00:00", "2026-03-02", "noon", ""])
def test_a_time_without_a_zone_is_no_instant(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r"has no time zone|Invalid isoformat"):
        parse_instant(text)


def test_a_span_is_whole_microseconds() -> None:
    """Exact, where seconds as a float would not be."""
    assert micros(timedelta(days=36_500, microseconds=1)) == 3_153_600_000_000_001
