"""Who is on call when: the laws of a schedule, and cases in which clocks jump."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st

from services.notifier.schedules import NOBODY, Duty, Feed, Layer, Rotation, Schedule, Shift, at_wall
from services.shared.documents import DocumentError
from services.shared.instant import SECOND, Instant, from_datetime, parse_instant, to_datetime
from services.shared.working_time import Hours, WorkingTime

HOUR, DAY = 3600 * SECOND, 86_400 * SECOND
MADRID, NEW_YORK = ZoneInfo("Europe/Madrid"), ZoneInfo("America/New_York")
NIGHTS = [[Hours(18 * 60, 32 * 60)]] * 7
WEEKENDS = [[], [], [], [], [], [Hours(0, 1440)], [Hours(0, 1440)]]
HOURS = {
    (zone, name): WorkingTime(name, zone.key, week)
    for zone in (MADRID, NEW_YORK)
    for name, week in (("nights", NIGHTS), ("weekends", WEEKENDS))
}
#: Both changes of the clocks of a year in either zone, and a day of none.
CHANGES = ["2026-03-08", "2026-03-29", "2026-07-01", "2026-10-25", "2026-11-01"]

instants = st.builds(
    lambda day, seconds: Instant(from_datetime(datetime.fromisoformat(day).replace(tzinfo=UTC)) + seconds * SECOND),
    st.sampled_from(CHANGES),
    st.integers(-5 * 86_400, 5 * 86_400),
)


@st.composite
def rotations(draw: st.DrawFn, zone: ZoneInfo) -> Rotation:
    days = draw(st.sampled_from([1, 1, 2, 7, 14]))
    return Rotation(
        people=draw(st.lists(st.sampled_from(["ana", "bob", "carla"]), min_size=1, max_size=4)),
        zone=zone,
        first=draw(st.dates(date(2026, 2, 20), date(2026, 11, 1))),
        days=days,
        times=sorted(draw(st.sets(st.times(), min_size=1, max_size=3 if days == 1 else 1))),
        hours=draw(st.sampled_from([None, HOURS[zone, "nights"], HOURS[zone, "weekends"]])),
    )


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    zone = draw(st.sampled_from([MADRID, NEW_YORK]))
    edges = sorted(draw(st.sets(instants, max_size=6)))
    overrides = [Shift(start, end, "dora") for start, end in list(pairwise(edges))[::2]]
    return Schedule("rota", zone, "desk", draw(st.lists(rotations(zone), max_size=3)), overrides)


@given(schedules(), instants, st.integers(1, 12 * DAY))
@settings(deadline=None)
def test_shifts_tile_the_time(schedule: Schedule, start: Instant, length: int) -> None:
    """From end to end, none empty, none over another, and neighbours are different people."""
    end = Instant(start + length)
    shifts = schedule.shifts(start, end)
    assert [shifts[0].start, *(shift.end for shift in shifts)] == [*(shift.start for shift in shifts), end]
    assert shifts[0].start == start
    assert all(shift.start < shift.end for shift in shifts)
    assert all(one.who != other.who for one, other in pairwise(shifts))
    assert schedule.holes(start, end) == [shift for shift in shifts if shift.who == NOBODY]


@given(schedules(), instants, st.integers(1, 12 * DAY), st.data())
@settings(deadline=None)
def test_who_is_on_call_is_whom_the_shifts_name(
    schedule: Schedule, start: Instant, length: int, data: st.DataObject
) -> None:
    """At each edge, just before it and anywhere between; whoever remembers the last answer says the same."""
    duty = Duty(schedule)
    for shift in schedule.shifts(start, Instant(start + length)):
        between = data.draw(st.integers(shift.start, shift.end - 1))
        for at in (shift.start, Instant(between), Instant(shift.end - 1)):
            assert schedule.who_at(at) == shift.who
            assert duty(at) == (shift.who or "desk")


@given(schedules(), instants)
@settings(deadline=None)
def test_the_last_layer_that_names_somebody_wins_and_exceptions_over_all(schedule: Schedule, at: Instant) -> None:
    """As each layer alone would say it."""
    alone = [schedule._replace(layers=[layer], overrides=()).who_at(at) for layer in schedule.layers]
    alone.append(schedule._replace(layers=()).who_at(at))
    assert schedule.who_at(at) == next(filter(None, reversed(alone)), NOBODY)


@given(rotations(MADRID), instants)
@settings(deadline=None)
def test_a_rotation_names_whom_counting_hand_offs_names(rotation: Rotation, at: Instant) -> None:
    """One after the other from the first: the turn is that of the last hand-off that was."""
    number, now = -1, to_datetime(at).astimezone(MADRID).date() + timedelta(days=2)
    day = rotation.first
    while day <= now:
        for hand_off, of_day in enumerate(rotation.times):
            if at_wall(datetime.combine(day, of_day), MADRID) <= at:
                number = (day - rotation.first).days // rotation.days * len(rotation.times) + hand_off
        day += timedelta(days=rotation.days)
    expected = rotation.people[number % len(rotation.people)] if number >= 0 else NOBODY
    assert alone(rotation._replace(hours=None)).who_at(at) == expected


@pytest.mark.parametrize("zone", [MADRID, NEW_YORK], ids=str)
@given(first=st.dates(date(2026, 1, 1), date(2026, 2, 1)), hand_off=st.times(time(3), time(23, 59)))
def test_hand_offs_stay_at_their_time_on_the_wall(zone: ZoneInfo, first: date, hand_off: time) -> None:
    """All of a year, over both changes of the clocks."""
    rota = alone(Rotation(["ana", "bob"], zone, first, 1, [hand_off]))
    start = at_wall(datetime.combine(first, hand_off), zone)
    walls = [to_datetime(shift.start).astimezone(zone) for shift in rota.shifts(start, Instant(start + 360 * DAY))]
    assert {wall.time() for wall in walls} == {hand_off}
    assert {other.date() - one.date() for one, other in pairwise(walls)} == {timedelta(days=1)}
    assert len({wall.utcoffset() for wall in walls}) == 2


@pytest.mark.parametrize(
    ("day", "wall", "instant"),
    [
        ("2026-03-29", "02:30", "2026-03-29T01:30:00Z"),  # skipped: 03:30 summer time
        ("2026-10-25", "02:30", "2026-10-25T00:30:00Z"),  # the first of two
    ],
)
def test_a_time_that_is_skipped_or_repeated_is_read_as_said(day: str, wall: str, instant: str) -> None:
    """Skipped: that much later. Repeated: the first."""
    midnight = at_wall(datetime.fromisoformat(day), MADRID)
    rota = alone(Rotation(["ana", "bob"], MADRID, date(2026, 1, 1), 1, [time.fromisoformat(wall)]))
    _, after = rota.shifts(midnight, Instant(midnight + 12 * HOUR))
    assert after.start == parse_instant(instant)


def test_a_turn_that_a_skipped_hour_leaves_no_time_for_is_left_out() -> None:
    """02:15 comes at 03:15, after the hand-off of 03:05: Bob's turn is over before it begins."""
    rota = alone(Rotation(["ana", "bob", "carla"], MADRID, date(2026, 3, 29), 1, [time(0), time(2, 15), time(3, 5)]))
    midnight = at_wall(datetime(2026, 3, 29), MADRID)  # noqa: DTZ001 - at_wall says where
    assert rota.shifts(midnight, Instant(midnight + 5 * HOUR)) == [
        Shift(midnight, parse_instant("2026-03-29T01:05:00Z"), "ana"),
        Shift(parse_instant("2026-03-29T01:05:00Z"), Instant(midnight + 5 * HOUR), "carla"),
    ]


def test_nobody_is_on_call_before_the_first_hand_off() -> None:
    """A rotation begins when it says."""
    rota = alone(Rotation(["ana"], MADRID, date(2026, 7, 1), 7, [time(9)]))
    assert rota.who_at(parse_instant("2026-07-01T08:59:59+02:00")) == NOBODY
    assert rota.who_at(parse_instant("2026-07-01T09:00:00+02:00")) == "ana"
    assert rota.who_at(parse_instant("2020-01-01T00:00:00Z")) == NOBODY


def test_nights_are_kept_over_both_changes_of_the_clocks() -> None:
    """18:00 to 08:00 on the wall, whether that is 13, 14 or 15 hours."""
    rota = alone(Rotation(["ana"], MADRID, date(2026, 1, 1), 1, [time(9)], HOURS[MADRID, "nights"]))
    lengths = set()
    for day in ("2026-03-28", "2026-07-01", "2026-10-24"):
        noon = at_wall(datetime.fromisoformat(f"{day}T12:00"), MADRID)
        (night,) = (shift for shift in rota.shifts(noon, Instant(noon + DAY)) if shift.who)
        assert [to_datetime(at).astimezone(MADRID).hour for at in (night.start, night.end)] == [18, 8]
        lengths.add((night.end - night.start) // HOUR)
    assert lengths == {13, 14, 15}


FEED = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//test//EN
BEGIN:VEVENT
UID:1
DTSTART;TZID=Europe/Madrid:20260302T090000
DTEND;TZID=Europe/Madrid:20260309T090000
RRULE:FREQ=WEEKLY;INTERVAL=2
SUMMARY:Ana Lopez
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTART;VALUE=DATE:20260307
DTEND;VALUE=DATE:20260308
SUMMARY:bob
END:VEVENT
BEGIN:VEVENT
UID:3
DTSTART:20260310T090000
DTEND:20260310T120000
SUMMARY:carla
END:VEVENT
BEGIN:VEVENT
UID:4
DTSTART:20260310T130000
DTEND:20260310T140000
STATUS:CANCELLED
SUMMARY:carla
END:VEVENT
BEGIN:VEVENT
UID:5
DTSTART:20260307T080000
DTEND:20260307T200000
SUMMARY:Party
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n").encode()


def feed(content: bytes = FEED) -> Feed:
    return Feed(content, "a.ics", MADRID, {"Ana Lopez": "ana", "Party": NOBODY})


def test_a_calendar_says_who_is_on_call() -> None:
    """Repetitions, whole days, times without a zone, who began last of two; not what is cancelled or nobody's."""
    start = parse_instant("2026-03-02T00:00:00+01:00")
    shifts = alone(feed()).shifts(start, Instant(start + 16 * DAY))
    assert [(f"{to_datetime(shift.start).astimezone(MADRID):%d %H:%M}", shift.who) for shift in shifts] == [
        ("02 00:00", NOBODY),
        ("02 09:00", "ana"),
        ("07 00:00", "bob"),
        ("08 00:00", "ana"),
        ("09 09:00", NOBODY),
        ("10 09:00", "carla"),
        ("10 12:00", NOBODY),
        ("16 09:00", "ana"),
    ]
    assert feed().names == ("Ana Lopez", "Party", "bob", "carla")


def test_the_hand_offs_of_a_calendar_stay_at_their_time_on_the_wall() -> None:
    """Over both changes of the clocks."""
    start = parse_instant("2026-03-02T09:00:00+01:00")
    walls = [to_datetime(s.start).astimezone(MADRID) for s in alone(feed()).shifts(start, Instant(start + 300 * DAY))]
    assert {wall.hour for wall in walls[6:]} == {9}


@given(instants)
@settings(deadline=None, max_examples=50)
def test_a_calendar_says_the_same_of_an_instant_and_of_a_stretch(at: Instant) -> None:
    """However much is asked for."""
    rota = alone(feed())
    (around,) = (s for s in rota.shifts(Instant(at - 9 * DAY), Instant(at + 9 * DAY)) if s.start <= at < s.end)
    assert rota.who_at(at) == around.who


@pytest.mark.parametrize("content", [b"", b"hello", FEED[:80], b"\xff\xfe", FEED.replace(b"WEEKLY", b"OFTEN")])
def test_what_is_no_calendar_is_refused(content: bytes) -> None:
    """With the file, and what to do."""
    with pytest.raises(DocumentError, match=r"a\.ics: is no calendar: .*; export it as iCalendar"):
        feed(content)


def test_no_time_has_no_shifts() -> None:
    """Nor holes."""
    assert alone(feed()).shifts(Instant(5), Instant(5)) == []


def alone(layer: Layer) -> Schedule:
    """A schedule of one layer."""
    return Schedule("rota", MADRID, "desk", [layer])
