"""How often a stream is usually heard, and when its silence means something."""

import random
import struct

import pytest
from hypothesis import given, strategies as st

from services.shared.instant import SECOND, Instant, parse_instant
from services.shared.sources.rhythm import LONGEST, Rhythm

MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
#: A Monday.
START = parse_instant("2026-01-05T00:00:00Z")
#: About as often as this the shop is heard between nine and nine; never at night.
EVERY = 10 * MINUTE


def opening_hours(weeks: int, seed: int = 1) -> list[Instant]:
    """When a shop is heard that is open from nine to nine on working days, about every ten minutes."""
    chance = random.Random(seed)
    heard = []
    for day in range(7 * weeks):
        if day % 7 < 5:
            at = START + day * DAY + 9 * HOUR
            while (at := at + round(chance.expovariate(1 / EVERY))) < START + day * DAY + 21 * HOUR:
                heard.append(Instant(at))
    return heard


def learned(heard: list[Instant]) -> Rhythm:
    rhythm = Rhythm()
    for at in heard:
        rhythm.heard(at)
    return rhythm


def test_a_shop_is_silent_within_hours_by_day_and_not_at_night() -> None:
    """Two hours without news are nothing after closing time; at noon they are silence."""
    rhythm = learned(opening_hours(weeks=10))
    monday = START + 10 * 7 * DAY
    at_noon = rhythm.silent_after(Instant(monday + 12 * HOUR))
    at_night = rhythm.silent_after(Instant(monday + 21 * HOUR))
    assert at_noon is not None
    assert 40 * MINUTE < at_noon < 2 * HOUR
    assert at_night is not None
    assert 12 * HOUR + 30 * MINUTE < at_night < 15 * HOUR


def test_a_weekend_is_no_silence() -> None:
    """What is closed from Friday night to Monday morning is waited for until then."""
    rhythm = learned(opening_hours(weeks=10))
    friday_night = Instant(START + (9 * 7 + 4) * DAY + 21 * HOUR)
    silent_after = rhythm.silent_after(friday_night)
    assert silent_after is not None
    assert 60 * HOUR < silent_after < 63 * HOUR


def test_the_usual_gap_is_what_one_gap_in_a_hundred_goes_beyond() -> None:
    """Every tenth minute at random: one gap in a hundred is longer than 46 minutes."""
    rhythm = learned(opening_hours(weeks=12))
    usual = rhythm.usual_gap(Instant(START + 12 * 7 * DAY + 12 * HOUR))
    assert usual is not None
    assert 35 * MINUTE < usual < 60 * MINUTE


@pytest.mark.parametrize(
    "heard",
    [
        pytest.param([], id="nothing"),
        pytest.param([START], id="one event"),
        pytest.param(opening_hours(weeks=3), id="three weeks"),
        pytest.param([Instant(START + week * 7 * DAY) for week in range(20)], id="twenty events"),
    ],
)
def test_what_is_hardly_known_is_not_learned(heard: list[Instant]) -> None:
    """Nothing is made of the silence of a stream of which a month or some fifty events are not known."""
    rhythm = learned(heard)
    assert rhythm.silent_after(START) is None
    assert rhythm.usual_gap(START) is None


def test_a_stream_that_becomes_rarer_is_soon_expected_less() -> None:
    """A quarter of the events, for six weeks: silence counts later than before."""
    before = opening_hours(weeks=10)
    rhythm = learned(before)
    noon = Instant(START + 70 * DAY + 12 * HOUR)
    was = rhythm.silent_after(noon)
    for at in before[: len(before) // 2 : 4]:
        rhythm.heard(Instant(at + 70 * DAY))
    now = rhythm.silent_after(Instant(noon + 42 * DAY))
    assert was is not None
    assert now is not None
    assert now > 2 * was


@given(st.lists(st.integers(0, 200 * DAY), max_size=200), st.integers(0, 3))
def test_whatever_is_heard_it_stays_bounded(gaps: list[int], seed: int) -> None:
    """Any gaps: spans lie between nothing and the longest, and what is packed is always of one size."""
    rhythm = learned(opening_hours(weeks=6, seed=seed))
    at = rhythm.last
    for gap in gaps:
        at = Instant(at + gap)
        rhythm.heard(at)
    for span in (rhythm.silent_after(at), rhythm.usual_gap(at)):
        assert span is None or 0 <= span <= LONGEST
    assert len(rhythm.pack()) == len(Rhythm().pack()) < 2_000


def test_what_is_heard_late_or_twice_changes_nothing() -> None:
    """Older news tells nothing of gaps."""
    heard = opening_hours(weeks=6)
    once, twice = learned(heard), Rhythm()
    for before, at in zip([heard[0], *heard], heard, strict=False):
        twice.heard(at)
        twice.heard(before)
        twice.heard(at)
    assert once.pack() == twice.pack()


def test_it_survives_a_restart() -> None:
    """What is packed and unpacked answers alike, and goes on learning alike."""
    heard = opening_hours(weeks=8)
    whole, half = learned(heard), learned(heard[: len(heard) // 2])
    resumed = Rhythm.unpack(half.pack())
    for at in heard[len(heard) // 2 :]:
        resumed.heard(at)
    noon = Instant(START + 56 * DAY + 12 * HOUR)
    ours, theirs = whole.silent_after(noon), resumed.silent_after(noon)
    assert ours is not None
    assert theirs is not None
    assert abs(ours - theirs) < MINUTE  # numbers are packed to seven digits


@pytest.mark.parametrize(
    "data",
    [b"", b"x", Rhythm().pack()[:-4] + struct.pack("<f", -1), Rhythm().pack()[:-4] + struct.pack("<f", float("nan"))],
)
def test_what_is_no_rhythm_is_refused(data: bytes) -> None:
    """A record of another version must not be taken for one."""
    with pytest.raises(ValueError, match="rhythm"):
        Rhythm.unpack(data)
