"""What is overdue of an incident: whatever should have moved on, and by a minute has not."""

import pytest

from services.notifier.domain import REMEMBERED, due
from services.notifier.incident import Incident
from services.notifier.items import AT_ONCE
from services.notifier.outbox import LEASE, Accepted, DeliveryState, Failure, TryAgain
from services.notifier.overdue import PATIENCE, late, overdue
from services.shared.instant import Instant
from tests.unit.notifier.builders import BOTH, MAIL, at, broken, settle


def sending(minutes: float = 10) -> Incident:
    """An incident of which an attempt was begun at that minute."""
    incident = due(broken(), at(minutes), MAIL)
    assert incident is not None
    return incident


def resolved() -> Incident:
    """An incident of which nothing is open, and everything told."""
    return settle(sending(), Accepted())._replace(state=2)


def found(incident: Incident, now: Instant) -> set[str]:
    """What is overdue, by the delivery concerned; empty: the incident's own deadline."""
    return {wait.delivery_id for wait in overdue(late(incident, MAIL, now, {}), now)}


WAITING = settle(sending(), TryAgain(Failure.NETWORK))
ID = WAITING.deliveries[0].delivery_id
FORGOTTEN_AT = Instant(resolved().deliveries[0].settled_at + REMEMBERED)


@pytest.mark.parametrize(
    ("incident", "its_time", "what"),
    [
        pytest.param(WAITING, WAITING.deliveries[0].next_attempt_at, {ID, ""}, id="the next attempt"),
        pytest.param(sending(), Instant(at(10) + LEASE), {ID, ""}, id="the end of a lease"),
        pytest.param(resolved(), FORGOTTEN_AT, {""}, id="being forgotten"),
    ],
)
def test_what_is_a_minute_late_is_overdue_and_not_before(incident: Incident, its_time: Instant, what: set[str]) -> None:
    """Also where the incident itself waits for its time, with no message on its way."""
    assert late(incident, MAIL, Instant(its_time - 1), {}) == {}
    assert {wait.delivery_id for wait in late(incident, MAIL, its_time, {})} == what
    assert found(incident, Instant(its_time + PATIENCE)) == set()
    assert found(incident, Instant(its_time + PATIENCE + 1)) == what


def test_what_is_over_or_waits_for_facts_is_never_overdue() -> None:
    """An open incident of which everybody knows has no deadline."""
    assert found(settle(sending(), Accepted()), at(100_000)) == set()


def test_what_is_due_at_once_is_overdue_a_minute_after_it_was_first_seen() -> None:
    """It does not say since when; just decided on, it must not look as if it had waited for fifty years."""
    incident = broken()
    assert incident.deliveries[0].next_attempt_at == AT_ONCE
    first = late(incident, MAIL, at(20), {})
    assert not overdue(first, at(20))
    again = late(incident, MAIL, at(22), first)
    assert set(again.values()) == {at(20)}
    assert set(overdue(again, at(22))) == set(again)


def test_what_has_moved_on_meanwhile_waits_anew() -> None:
    """Another message due at once, or the same once more, was not seen at the last look."""
    before = late(broken(), MAIL, at(20), {})
    other = broken("A-2")
    assert not overdue(late(other._replace(next_sequence=9), MAIL, at(22), before), at(22))
    again = broken()._replace(
        next_sequence=9, deliveries=tuple(delivery._replace(attempts=1) for delivery in broken().deliveries)
    )
    assert not overdue(late(again, MAIL, at(22), before), at(22))


def test_each_target_is_judged_by_itself() -> None:
    """One mail is stuck; the webhook's message was accepted."""
    incident = due(broken(plan=BOTH), at(10), BOTH)
    assert incident is not None
    mail, hook = incident.deliveries
    incident = incident._replace(deliveries=(mail, hook._replace(state=DeliveryState.ACCEPTED)))
    bad = overdue(late(incident, BOTH, at(13), {}), at(13))
    assert {(wait.delivery_id, wait.channel) for wait in bad} == {(mail.delivery_id, "email"), ("", "")}
    assert set(bad.values()) == {at(11)}
