"""How far the clock is from the brokers': proven from both sides, seen at once, and never claimed for slowness."""

from typing import NamedTuple

import pytest

from services.shared.engine.skew import MOST, Skew
from services.shared.instant import SECOND, Instant

#: What the brokers' clock says when the monotonic one is at 0; in whole milliseconds, as stamps are.
TRUE = Instant(1_800_000_000 * SECOND)


class Stamp(NamedTuple):
    """A broker's answer."""

    timestamp: int
    timestamp_type: int = 1


class World:
    """A process whose wall clock is `off` seconds ahead of the truth, and brokers whose clocks are right."""

    def __init__(self) -> None:
        self.time = 100.0
        self.off = 0.0
        self.skew = Skew(lambda: Instant(self.truth() + int(self.off * SECOND)), lambda: self.time)

    def truth(self) -> int:
        return TRUE + int(self.time * SECOND)

    def write(self, *, there: float = 0.01, back: float = 0.01, broker: float = 0.0, place: int = 0) -> None:
        """A write that takes so long to get there and its answer so long to be back; the broker is so far ahead."""
        sent_at = self.time
        self.time += there
        stamp = (self.truth() + int(broker * SECOND)) // 1_000
        self.time += back
        self.skew.learn(("records", place), sent_at, Stamp(stamp))

    def seconds(self) -> float:
        known = self.skew.known()
        assert known is not None
        return known / SECOND


@pytest.fixture
def world() -> World:
    return World()


def test_without_a_write_nothing_is_claimed(world: World) -> None:
    """The wall clock is believed."""
    world.off = 3600
    assert (world.skew.known(), world.skew.excessive(), world.skew.age()) == (None, None, float("inf"))
    assert world.skew.now() == world.truth() + 3600 * SECOND


@pytest.mark.parametrize("off", [3600.0, 31.0, 0.5, 0.0, -0.5, -31.0, -7200.0])
def test_a_write_tells_the_skew_to_within_the_time_it_took(world: World, off: float) -> None:
    """In both directions, and never more than there is."""
    world.off = off
    world.write()
    assert abs(world.seconds()) <= abs(off)
    assert world.seconds() == pytest.approx(off, abs=0.022)


@pytest.mark.parametrize(("there", "back"), [(40.0, 0.0), (0.0, 40.0), (300.0, 300.0)])
def test_slowness_is_no_skew(world: World, there: float, back: float) -> None:
    """Whichever way was slow: a backlog, a frozen broker, a busy machine."""
    world.write(there=there, back=back)
    assert world.seconds() == 0
    assert world.skew.excessive() is None


@pytest.mark.parametrize("step", [3600.0, -7200.0])
def test_a_step_of_the_wall_clock_is_seen_at_once(world: World, step: float) -> None:
    """Without another write; and when it is taken back, that is seen as well."""
    world.write()
    world.off = step
    assert world.seconds() == pytest.approx(step, abs=0.022)
    world.off = 0
    assert world.skew.excessive() is None


def test_what_is_believed_with_a_clock_that_is_off(world: World) -> None:
    """The brokers' time for what is stamped; either clock for what is refused for its time."""
    world.write()
    world.off = MOST / SECOND - 1
    assert world.skew.now() == world.truth() + MOST - SECOND
    for off in (3600, -7200):
        world.off = off
        assert abs(world.skew.now() - world.truth()) < SECOND
        earliest, latest = world.skew.between()
        assert earliest <= world.truth() + 22_000
        assert latest >= world.truth() - 22_000
        assert latest - earliest == pytest.approx(abs(off) * SECOND, abs=SECOND)


def test_what_is_wrong_is_said(world: World) -> None:
    """How much, and in which direction."""
    world.write()
    world.off = 3600
    assert "clock is 3600 s ahead of Kafka's" in (world.skew.excessive() or "")
    world.off = -7200
    assert "clock is 7200 s behind Kafka's" in (world.skew.excessive() or "")


def test_one_wrong_broker_among_others_is_not_this_machines_fault(world: World) -> None:
    """The least counts; where no other is left, the clocks differ, whichever is wrong."""
    world.write(place=0)
    world.write(place=1, broker=600)
    assert world.seconds() == pytest.approx(0, abs=0.022)
    for _ in range(5):
        world.time += 60
        world.write(place=1, broker=600)
    assert world.seconds() == pytest.approx(-600, abs=0.022)


def test_time_that_the_monotonic_clock_slept_through_is_made_up_by_the_next_write(world: World) -> None:
    """A suspended machine: until then the worker holds back, which is right with all that it has not read yet."""
    world.write(place=0)
    world.off = 500  # as seen from a monotonic clock that stood still
    assert world.skew.excessive()
    world.write(place=1, broker=500)
    assert world.skew.excessive() is None


def test_a_better_answer_is_kept_for_a_while(world: World) -> None:
    """Not for long: the brokers' clocks may be set as well."""
    world.off = 40
    world.write()
    world.write(there=5, back=10)
    assert world.seconds() == pytest.approx(40, abs=0.022)
    world.time += 31
    world.write(there=5, back=10)
    assert world.seconds() < 36


def test_a_topic_that_is_not_stamped_by_the_broker_tells_nothing(world: World) -> None:
    """Its stamps are this process's own."""
    world.skew.learn(("records", 0), world.time, Stamp(TRUE // 1_000, 0))
    assert world.skew.known() is None
