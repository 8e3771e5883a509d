"""Working time: the laws of its arithmetic, and what clocks that jump do to it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, strategies as st

from services.shared.instant import SECOND, Instant, format_instant, from_datetime, parse_instant, to_datetime
from services.shared.working_time import Hours, NeverOpen, Period, Special, WorkingTime, add_calendar_days

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
CLOSED: Sequence[Hours] = ()
NINE_TO_FIVE, NIGHT = Hours(9 * 60, 17 * 60), Hours(22 * 60, 30 * 60)
OFFICE = WorkingTime("office", "Europe/Madrid", [[NINE_TO_FIVE]] * 5 + [CLOSED] * 2)
LUNCH = WorkingTime("lunch", "Europe/Rome", [[Hours(9 * 60, 13 * 60), Hours(14 * 60, 18 * 60)]] * 5 + [CLOSED] * 2)
NIGHTS = WorkingTime("nights", "Europe/Madrid", [[NIGHT]] * 7)
ALWAYS = WorkingTime("always", "Europe/Madrid", [[Hours(0, 1440)]] * 7)
ZONES = ("UTC", "Europe/Madrid", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu")


def at(text: str, zone: str = "Europe/Madrid") -> Instant:
    """A wall clock's time."""
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


@st.composite
def hours(draw: st.DrawFn) -> list[Hours]:
    """Of a day: none to three, in order, the last perhaps over midnight."""
    bounds = draw(st.lists(st.integers(0, 1440 + 300), max_size=6, unique=True).map(sorted))
    pairs = [Hours(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=False)]
    return [pair for pair in pairs if pair.opening < 1440]


@st.composite
def calendars(draw: st.DrawFn) -> WorkingTime:
    """Any week in any zone, with special dates; open at least on Wednesdays, and hours of two days never overlap."""
    week = [draw(hours()) for _ in range(7)]
    week[2] = [NINE_TO_FIVE]
    specials = draw(st.dictionaries(st.dates(date(2001, 1, 1), date(2001, 12, 31)), hours(), max_size=9))
    return WorkingTime(
        "any", draw(st.sampled_from(ZONES)), _apart(week),
        lambda year: {day: Special(_before(300, spans), "x") for day, spans in specials.items() if year == day.year},
    )  # fmt: skip


def _apart(week: list[list[Hours]]) -> list[list[Hours]]:
    return [_before(300, spans) for spans in week]


def _before(minute: int, spans: list[Hours]) -> list[Hours]:
    """Nothing begins before what the day before may still have."""
    return [Hours(max(minute, span.opening), span.closing) for span in spans if span.closing > minute]


instants = st.datetimes(datetime(2000, 6, 1), datetime(2002, 6, 1)).map(  # noqa: DTZ001 - made aware below
    lambda moment: from_datetime(moment.replace(tzinfo=UTC))
)
spans = st.integers(0, 300 * HOUR)


@given(calendars(), instants, spans)
def test_what_was_added_is_what_is_measured(calendar: WorkingTime, start: Instant, span: int) -> None:
    """To the microsecond, and never before the start."""
    end = calendar.add(start, span)
    assert calendar.measure(start, end) == span
    assert end >= start


@given(calendars(), instants, spans, spans)
def test_adding_twice_is_adding_both(calendar: WorkingTime, start: Instant, first: int, second: int) -> None:
    """In whatever portions."""
    assert calendar.add(calendar.add(start, first), second) == calendar.add(start, first + second)


@given(calendars(), st.tuples(instants, instants), st.tuples(spans, spans))
def test_later_starts_and_longer_spans_end_later(
    calendar: WorkingTime, starts: tuple[Instant, Instant], lengths: tuple[int, int]
) -> None:
    """Or at the same instant."""
    assert calendar.add(min(starts), min(lengths)) <= calendar.add(max(starts), max(lengths))
    days = [length // (24 * HOUR) for length in lengths]
    for to_end in (False, True):
        early = calendar.add_days(min(starts), min(days), to_end=to_end)
        assert early <= calendar.add_days(max(starts), max(days), to_end=to_end)


@given(calendars(), instants, instants, instants)
def test_parts_make_up_the_whole(calendar: WorkingTime, first: Instant, second: Instant, third: Instant) -> None:
    """Whatever their order; the other way round is less than nothing."""
    assert calendar.measure(first, second) + calendar.measure(second, third) == calendar.measure(first, third)


@given(calendars(), st.lists(st.tuples(instants, spans), min_size=2, max_size=5))
def test_the_order_of_asking_does_not_matter(calendar: WorkingTime, questions: list[tuple[Instant, int]]) -> None:
    """Each answer is that of a calendar that was asked nothing else."""
    together = [calendar.add(*question) for question in questions]
    apart = [_anew(calendar).add(*question) for question in reversed(questions)]
    assert together == apart[::-1]


@given(calendars(), instants, st.integers(0, 3 * 1440))
def test_what_counts_is_what_the_wall_clock_says(calendar: WorkingTime, start: Instant, minutes: int) -> None:
    """Minute by minute, on days on which no clock jumps."""
    start = Instant(start // MINUTE * MINUTE)
    moments = [to_datetime(Instant(start + n * MINUTE)).astimezone(calendar.zone) for n in range(minutes)]
    offsets = {(moment + timedelta(days=n)).utcoffset() for moment in (*moments[:1], *moments[-1:]) for n in (-2, 2)}
    assume(len(offsets) <= 1)
    counted = sum(_is_open(calendar, moment) for moment in moments)
    assert calendar.measure(start, Instant(start + minutes * MINUTE)) == counted * MINUTE


@given(calendars(), instants, instants)
def test_periods_leave_nothing_out(calendar: WorkingTime, one: Instant, other: Instant) -> None:
    """They follow each other from start to end, and those that count add up."""
    start, end = min(one, other), max(one, other)
    periods = list(calendar.periods(start, end))
    assert [period.start for period in periods] + [end] == [start] + [period.end for period in periods]
    assert all(period.start < period.end for period in periods)
    assert sum(period.end - period.start for period in periods if period.counts) == calendar.measure(start, end)


@pytest.mark.parametrize(
    ("calendar", "start", "span", "end"),
    [
        pytest.param(OFFICE, "2026-11-20 16:00", 2, "2026-11-23 10:00", id="over a weekend"),
        pytest.param(OFFICE, "2026-11-21 12:00", 1, "2026-11-23 10:00", id="from a Saturday"),
        pytest.param(OFFICE, "2026-11-20 16:00", 1, "2026-11-20 17:00", id="until it closes, not until it opens again"),
        pytest.param(LUNCH, "2026-11-20 12:30", 1, "2026-11-20 14:30", id="around lunch"),
        pytest.param(NIGHTS, "2026-03-28 23:00", 4, "2026-03-29 04:00", id="an hour is skipped"),
        pytest.param(NIGHTS, "2026-10-24 23:00", 4, "2026-10-25 02:00+01:00", id="an hour comes twice"),
        pytest.param(ALWAYS, "2026-03-28 12:00", 24, "2026-03-29 13:00", id="24 hours are no day"),
    ],
)
def test_hours_are_added(calendar: WorkingTime, start: str, span: int, end: str) -> None:
    """Of working time."""
    ends_at = parse_instant(end) if "+" in end else at(end)
    assert format_instant(calendar.add(at(start), span * HOUR)) == format_instant(ends_at)


@pytest.mark.parametrize(
    ("calendar", "start", "days", "same", "end"),
    [
        pytest.param(OFFICE, "2026-11-20 16:00", 1, "2026-11-23 16:00", "2026-11-23 17:00", id="Friday, Monday"),
        pytest.param(OFFICE, "2026-11-21 12:00", 1, "2026-11-24 09:00", "2026-11-24 17:00", id="from a Saturday"),
        pytest.param(OFFICE, "2026-11-20 17:00", 0, "2026-11-23 09:00", "2026-11-23 17:00", id="at closing time"),
        pytest.param(OFFICE, "2026-03-27 10:00", 1, "2026-03-30 10:00", "2026-03-30 17:00", id="the clocks change"),
        pytest.param(NIGHTS, "2026-03-28 02:30", 2, "2026-03-30 02:30", "2026-03-30 06:00", id="nights"),
        pytest.param(NIGHTS, "2026-03-28 02:30", 1, "2026-03-29 03:30", "2026-03-29 06:00", id="at a skipped time"),
        pytest.param(
            ALWAYS, "2026-03-29 10:00", 1, "2026-03-30 10:00", "2026-03-31 00:00", id="after the clocks changed"
        ),
    ],
)
def test_days_are_added(calendar: WorkingTime, start: str, days: int, same: str, end: str) -> None:
    """At the same time of day, or to the end of the day."""
    assert format_instant(calendar.add_days(at(start), days)) == format_instant(at(same))
    assert format_instant(calendar.add_days(at(start), days, to_end=True)) == format_instant(at(end))


@pytest.mark.parametrize(
    ("hours", "day", "minutes"),
    [
        pytest.param(Hours(60, 150), "2026-10-25", 150, id="closes when it is half past two again"),
        pytest.param(Hours(150, 240), "2026-10-25", 150, id="opens when it is half past two first"),
        pytest.param(Hours(60, 150), "2026-03-29", 90, id="closes at half past three, as there is no half past two"),
        pytest.param(Hours(150, 240), "2026-03-29", 30, id="opens at half past three"),
    ],
)
def test_hours_may_begin_or_end_where_clocks_jump(hours: Hours, day: str, minutes: int) -> None:
    """From one to half past two, or from then to four."""
    calendar = WorkingTime("x", "Europe/Madrid", [[hours]] * 7)
    assert calendar.measure(at(f"{day} 00:00"), at(f"{day} 12:00")) == minutes * MINUTE


def test_hours_of_two_days_that_meet_where_clocks_are_put_back_count_once() -> None:
    """Open all day and all night, from half past two to half past two: a day of 25 hours."""
    calendar = WorkingTime("x", "Europe/Madrid", [[Hours(150, 1440 + 150)]] * 7)
    assert calendar.measure(at("2026-10-25 00:00"), at("2026-10-26 00:00")) == 25 * HOUR


def test_a_time_of_day_outside_that_days_hours_is_the_next_that_is_inside() -> None:
    """On a special day that opens later, pauses and closes earlier."""
    hours = [Hours(10 * 60, 11 * 60), Hours(12 * 60, 13 * 60)]
    calendar = WorkingTime("x", "UTC", [[NINE_TO_FIVE]] * 7, lambda _: {date(2026, 12, 24): Special(hours, "eve")})
    got = [calendar.add_days(at(f"2026-12-23 {time}", "UTC"), 1) for time in ("09:30", "11:30", "12:30", "16:00")]
    assert got == [at(f"2026-12-24 {time}", "UTC") for time in ("10:00", "12:00", "12:30", "13:00")]


def test_special_days_are_left_out_or_put_in() -> None:
    """A holiday is no working day; a Sunday that opens is one."""
    days = {date(2026, 12, 25): Special(CLOSED, "Christmas"), date(2026, 12, 27): Special([NINE_TO_FIVE], "sale")}
    calendar = WorkingTime("x", "UTC", [[NINE_TO_FIVE]] * 5 + [CLOSED] * 2, lambda _: days)
    assert calendar.add_days(at("2026-12-24 10:00", "UTC"), 1) == at("2026-12-27 10:00", "UTC")


def test_periods_say_what_counts() -> None:
    """From one afternoon to the next morning."""
    start, closing, opening, end = (at(f"2026-11-{text}") for text in ("23 16:00", "23 17:00", "24 09:00", "24 09:30"))
    assert list(OFFICE.periods(start, end)) == [
        Period(start, closing, counts=True), Period(closing, opening, counts=False), Period(opening, end, counts=True),
    ]  # fmt: skip


def test_what_never_opens_says_so() -> None:
    """By name, instead of searching for ever."""
    with pytest.raises(NeverOpen, match="calendar shut: so much working time does not come before 2200"):
        WorkingTime("shut", "UTC", [CLOSED] * 7).add(at("2026-01-01 00:00", "UTC"), 1)


@pytest.mark.parametrize(
    ("start", "same", "end"),
    [
        pytest.param("2026-11-20 16:00", "2026-11-22 16:00", "2026-11-23 00:00", id="weekends count"),
        pytest.param("2026-03-27 02:30", "2026-03-29 03:30", "2026-03-30 00:00", id="at a skipped time"),
        pytest.param("2026-10-24 10:00", "2026-10-26 10:00", "2026-10-27 00:00", id="a day of 25 hours"),
    ],
)
def test_calendar_days_are_dates(start: str, same: str, end: str) -> None:
    """Never so many times 24 hours."""
    zone = ZoneInfo("Europe/Madrid")
    assert format_instant(add_calendar_days(at(start), 2, zone)) == format_instant(at(same))
    assert format_instant(add_calendar_days(at(start), 2, zone, to_end=True)) == format_instant(at(end))


def _anew(calendar: WorkingTime) -> WorkingTime:
    return WorkingTime(calendar.name, calendar.zone.key, calendar.week, calendar._specials)  # noqa: SLF001


def _is_open(calendar: WorkingTime, moment: datetime) -> bool:
    """Whether a day has hours at a moment, or the one before it has."""
    minute = moment.hour * 60 + moment.minute
    for back in (0, 1):
        day = moment.date() - timedelta(days=back)
        special = calendar._specials(day.year).get(day)  # noqa: SLF001
        spans = calendar.week[day.weekday()] if special is None else special.hours
        if any(span.opening <= minute + back * 1440 < span.closing for span in spans):
            return True
    return False
