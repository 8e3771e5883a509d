"""Attempts that nobody heard of, and attempts that were not made."""

import pytest

from services.notifier.outbox import (
    Accepted,
    Delivery,
    DeliverySettled,
    DeliveryState,
    Failure,
    Outcome,
    Refused,
    TryAgain,
    attempt,
    settle,
    settled,
)
from services.shared.instant import SECOND, Instant
from tests.unit.notifier.builders import MINUTE, at, broken

(PENDING,) = broken().deliveries
UNMADE = TryAgain(Failure.BREAKER_OPEN, 7 * SECOND, made=False)


def attempted(delivery: Delivery, minutes: float) -> Delivery:
    return attempt(delivery, at(minutes), 60 * MINUTE)


def ended(delivery: Delivery, minutes: float, outcome: Outcome) -> Delivery:
    return settled(delivery, DeliverySettled(at(minutes), delivery.delivery_id, outcome))


def test_a_message_may_repeat_once_an_attempt_was_not_heard_of() -> None:
    """From then on, however the next attempt ends."""
    first = attempted(PENDING, 10)
    assert not first.may_repeat
    second = attempted(first, 11)
    assert second.may_repeat
    assert attempted(ended(second, 12, TryAgain(Failure.NETWORK)), 20).may_repeat
    assert ended(second, 12, Accepted()).may_repeat


def test_that_it_may_repeat_is_remembered_by_whoever_made_no_attempt() -> None:
    """As the breaker was open: the one before may have arrived all the same."""
    end = DeliverySettled(at(11), PENDING.delivery_id, UNMADE, may_repeat=True)
    waiting = settled(attempted(PENDING, 10), end)
    assert attempted(waiting, 20).may_repeat


def test_a_message_does_not_repeat_where_every_end_was_heard() -> None:
    """However often it was tried."""
    delivery = PENDING
    for minutes in range(10, 60, 10):
        delivery = attempted(ended(attempted(delivery, minutes), minutes, TryAgain(Failure.NETWORK)), minutes + 6)
        delivery = ended(delivery, minutes + 7, TryAgain(Failure.NETWORK))
    assert (delivery.attempts, delivery.may_repeat) == (10, False)


def test_on_the_console_it_does_not_repeat() -> None:
    """It is said there for the first time."""
    delivery = attempted(attempted(PENDING, 10), 11)
    dead, spoken = settle([delivery], [DeliverySettled(at(12), delivery.delivery_id, Refused(Failure.AUTH))])
    assert (dead.may_repeat, spoken.may_repeat) == (True, False)


@pytest.mark.parametrize("attempts", [1, 40])
def test_an_attempt_that_was_not_made_makes_nobody_wait_longer(attempts: int) -> None:
    """As long as it was told to, without any backoff."""
    delivery = ended(attempted(PENDING, 10)._replace(attempts=attempts), 10, UNMADE)
    assert (delivery.state, delivery.last_failure) == (DeliveryState.PENDING, "breaker_open")
    assert delivery.next_attempt_at == Instant(at(10) + 7 * SECOND)


def test_a_message_that_no_attempt_is_made_at_is_given_up_in_time_all_the_same() -> None:
    """And said on the console."""
    delivery, minutes = attempted(PENDING, 10), 10
    spoken: list[Delivery] = []
    while not spoken and minutes < 200:
        minutes += 5
        (delivery, *spoken) = settle([delivery], [DeliverySettled(at(minutes), delivery.delivery_id, UNMADE)])
        delivery = delivery if spoken else attempted(delivery, minutes + 1)
    assert (minutes, delivery.state, delivery.last_failure) == (70, DeliveryState.DEAD, "expired")
    assert [each.channel for each in spoken] == ["console"]
