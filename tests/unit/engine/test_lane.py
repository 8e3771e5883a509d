"""A lane believes no gap that it has not seen twice, and commits nothing that is not acknowledged."""

import pytest
from hypothesis import given, strategies as st

from services.shared.engine.lane import FRESH, Jump, Lane
from services.shared.instant import SECOND, Instant
from tests.unit.engine.fakes import FakeMessage, a_message


def messages(start: int, stop: int) -> list[FakeMessage]:
    """Contiguous messages."""
    return [a_message(offset) for offset in range(start, stop)]


def test_what_follows_is_admitted() -> None:
    """A batch that begins where the last one ended is taken whole."""
    lane = Lane("t", 0, 5, 0)
    batch = messages(5, 8)
    assert lane.admit(batch) == batch
    assert (lane.advance(batch), lane.position, lane.frontier) == (8, 8, 5)


def test_what_was_read_is_dropped() -> None:
    """Of a batch that overlaps only the new part is taken, of an old one nothing."""
    lane = Lane("t", 0, 5, 0)
    assert lane.admit(messages(2, 5)) == ()
    assert lane.admit(messages(3, 7)) == messages(5, 7)
    assert lane.admit(messages(5, 7)) == messages(5, 7)


def test_a_gap_is_believed_only_when_seen_twice() -> None:
    """The first sight of a gap asks to read again; the same gap again is taken, another one is not."""
    lane = Lane("t", 0, 5, 0)
    assert lane.admit(messages(7, 9)) == Jump(5, 7)
    assert lane.admit(messages(6, 9)) == Jump(5, 6)
    assert lane.admit(messages(6, 9)) == messages(6, 9)


def test_a_gap_that_closes_is_forgotten() -> None:
    """What was read after all leaves no doubt behind: the next gap is doubted anew."""
    lane = Lane("t", 0, 5, 0)
    assert lane.admit(messages(7, 9)) == Jump(5, 7)
    lane.advance(messages(5, 6))
    assert lane.admit(messages(6, 7)) == messages(6, 7)
    assert lane.admit(messages(7, 9)) == Jump(6, 7)


def test_the_frontier_follows_acknowledgement() -> None:
    """Reading goes ahead; what may be committed does not, and comes in order."""
    lane = Lane("t", 0, 0, 0)
    first, second = lane.advance(messages(0, 3)), lane.advance(messages(3, 4))
    assert lane.frontier == 0
    lane.acknowledge(first)
    assert lane.frontier == 3
    lane.acknowledge(second)
    assert lane.frontier == 4


def test_acknowledgements_out_of_order_are_refused() -> None:
    """The frontier would pass what is not in the log."""
    lane = Lane("t", 0, 0, 0)
    lane.advance(messages(0, 3))
    with pytest.raises(AssertionError):
        lane.acknowledge(lane.advance(messages(3, 4)))
    assert lane.frontier == 0


def test_what_expired_is_skipped() -> None:
    """Where nothing is pending the frontier follows at once, else with the next acknowledgement; never backwards."""
    lane = Lane("t", 0, 5, 0)
    lane.skip(8)
    assert (lane.position, lane.frontier) == (8, 8)
    first = lane.advance(messages(8, 9))
    lane.skip(20)
    lane.skip(10)
    assert (lane.position, lane.frontier) == (20, 8)
    lane.acknowledge(first)
    lane.acknowledge(lane.advance(messages(20, 21)))
    assert lane.frontier == 21


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 12)), max_size=20))
def test_every_message_is_taken_once_and_in_order(fetches: list[tuple[int, int]]) -> None:
    """However fetches overlap and whatever they leave out at first, all is read, once, in order."""
    lane, taken = Lane("t", 0, 0, 12), list[int]()
    for start, size in [*fetches, (0, 12)]:
        admitted = lane.admit(messages(start, min(start + size, 12)))
        if isinstance(admitted, Jump):
            admitted = lane.admit(messages(admitted.expected, 12))  # the caller seeks back
            assert not isinstance(admitted, Jump)
        if admitted:
            taken += [message.offset for message in admitted]
            lane.advance(admitted)
    assert taken == list(range(12))
    assert lane.caught_up


NOW = Instant(1_000 * SECOND)


def lane_read_until(milliseconds: int) -> Lane:
    """A lane whose last message came at this broker time."""
    lane = Lane("t", 0, milliseconds, 0)
    lane.advance([a_message(milliseconds)])
    return lane


@pytest.mark.parametrize(
    ("end", "heard_at", "time"),
    [
        (None, Instant(0), 0),
        (501, NOW, NOW),
        (501, Instant(NOW - FRESH + 1), NOW),
        (501, Instant(NOW - FRESH), NOW - FRESH),
        (502, NOW, 500_000),
    ],
    ids=["nothing heard", "all read", "all read, heard lately", "all read, heard long ago", "some unread"],
)
def test_time_goes_no_further_than_what_is_known(end: int | None, heard_at: Instant, time: int) -> None:
    """A lane's time is now only where the broker has said lately that nothing is unread."""
    assert lane_read_until(500).time(NOW, end, heard_at) == time


def test_a_broker_that_is_ahead_does_not_move_time_past_now() -> None:
    """A message from the future leaves the lane's time at now."""
    assert lane_read_until(2_000_000).time(NOW, 3_000_000, NOW) == NOW


def test_a_bridge_is_crossed_without_doubt() -> None:
    """What holds nothing for readers is passed over, in front of a batch and at the end of a log alike."""
    bridges = {5: 7, 7: 8}
    lane = Lane("t", 0, 5, 0, bridges)
    assert lane.admit(messages(8, 9)) == messages(8, 9)
    lane.acknowledge(lane.advance(messages(8, 9)))
    bridges[9] = 11
    lane.cross()
    assert (lane.position, lane.frontier, bridges) == (11, 11, {})


def test_a_bridge_that_does_not_reach_explains_no_gap() -> None:
    """Up to its end it does."""
    lane = Lane("t", 0, 5, 0, {5: 7})
    assert lane.admit(messages(9, 10)) == Jump(7, 9)
