"""Signs of life: once in an interval, again soon where that failed, and known to be missed in time."""

from services.notifier.items import NONE
from services.notifier.outbox import Accepted, Failure, Refused, TryAgain
from services.notifier.pulse import RETRY, Pulse, expected, interval, is_due, sent, taken
from services.shared.instant import Instant
from tests.unit.notifier.builders import MINUTE, at

HOURLY = Pulse(60 * MINUTE)
MINE = taken(HOURLY, at(1), mine=True)


def test_what_is_another_workers_is_never_due_nor_expected() -> None:
    """Not at first, and no longer once it was given away."""
    for pulse in (HOURLY, taken(MINE, at(2), mine=False)):
        assert not is_due(pulse, at(3))
        assert expected(pulse) == NONE


def test_it_is_due_at_once_and_then_once_in_each_interval() -> None:
    """Intervals are those of the clock on the wall, however long sending took."""
    assert is_due(MINE, at(1))
    pulse = sent(MINE, at(59), Accepted(), at(61))
    assert [minutes for minutes in (59, 59.9, 60, 61, 119, 120) if is_due(pulse, at(minutes))] == [60, 61, 119, 120]


def test_one_that_comes_back_in_the_same_interval_is_not_due_again() -> None:
    """A rebalance took it away for a moment."""
    pulse = sent(MINE, at(2), Accepted(), at(2))
    back = taken(taken(pulse, at(3), mine=False), at(4), mine=True)
    assert not is_due(back, at(5))
    assert (back.since, back.last_success) == (at(4), at(2))


def test_what_failed_is_due_again_in_a_minute_or_when_it_was_asked_to_wait_for() -> None:
    """Refused for good it is due in the next interval."""
    soon = sent(MINE, at(2), TryAgain(Failure.NETWORK), at(3))
    assert not is_due(soon, Instant(at(3) + RETRY - 1))
    assert is_due(soon, Instant(at(3) + RETRY))
    later = sent(MINE, at(2), TryAgain(Failure.RATE_LIMITED, 10 * MINUTE), at(3))
    assert not is_due(later, at(12.9))
    assert is_due(later, at(13))
    refused = sent(MINE, at(2), Refused(Failure.AUTH), at(3))
    assert (is_due(refused, at(59)), is_due(refused, at(60))) == (False, True)


def test_one_may_be_missed() -> None:
    """Two intervals after the last success, or after this worker took over without one. A failure puts nothing off."""
    assert expected(MINE) == at(121)
    assert expected(sent(MINE, at(60), Refused(Failure.AUTH), at(60))) == at(121)
    success = sent(MINE, at(60), Accepted(), at(61))
    assert (success.last_success, expected(success)) == (at(61), at(181))
    assert expected(taken(success, at(70), mine=True)) == at(181)


def test_all_workers_count_intervals_alike() -> None:
    """By the clock, not by when they started."""
    assert interval(60 * MINUTE, at(60)) == interval(60 * MINUTE, at(119.9)) == interval(60 * MINUTE, at(0)) + 1
