"""Who hears what, case by case."""

from collections.abc import Mapping
from typing import Any

import pytest

from services.notifier.beliefs import Receivers
from services.notifier.codec import pack
from services.notifier.domain import FRESH, REMEMBERED, attempted_at_once, due, fold, next_deadline, transition
from services.notifier.incident import Incident, IncidentState, ItemSeen, Plan, Transition
from services.notifier.items import AT_ONCE, Details, Severity, Standing, slim
from services.notifier.outbox import (
    LEASE,
    UNSETTLED,
    Accepted,
    DeliverySettled,
    DeliveryState,
    Failure,
    Kind,
    Pause,
    Refused,
    TryAgain,
    backoff,
    put_off,
    settled,
)
from services.notifier.telling import MAX_ANSWERED, MAX_DETAILED, MAX_ITEMS, MAX_LISTED, MAX_OVER
from services.shared.engine.batch import MAX_RECORD_BYTES
from services.shared.instant import SECOND, Instant
from tests.unit.notifier.builders import (
    BOTH,
    INCIDENT,
    MAIL,
    MINUTE,
    WATCHFUL,
    an_item,
    at,
    broken,
    see,
    seen,
    settle,
)

FINE, AT_RISK, BROKEN = Standing.FINE, Standing.AT_RISK, Standing.BROKEN
LATE, WITHDRAWN = Standing.FULFILLED_LATE, Standing.WITHDRAWN


def told(plan: Plan, *standings: Standing) -> list[str]:
    """What the target is told where an order stands like this, one after the other, each message accepted at once."""
    incident: Incident | None = None
    messages: list[str] = []
    for offset, standing in enumerate(standings, start=1):
        incident = fold(INCIDENT, incident, [seen(standing, offset)], plan)
        while incident and (waiting := [d for d in incident.deliveries if d.state in UNSETTLED]):
            messages += [Kind(delivery.kind).name.lower() for delivery in waiting]
            incident = settle(incident, Accepted(), offset, plan)
    return messages


@pytest.mark.parametrize(
    ("standings", "messages"),
    [
        ([FINE], []),
        ([AT_RISK], []),
        ([BROKEN], ["breach"]),
        ([LATE], []),
        ([WITHDRAWN], []),
        ([BROKEN, BROKEN], ["breach"]),
        ([AT_RISK, BROKEN], ["breach"]),
        ([BROKEN, LATE], ["breach", "resolved"]),
        ([BROKEN, FINE], ["breach", "resolved"]),
        ([BROKEN, WITHDRAWN], ["breach", "resolved"]),
        ([BROKEN, AT_RISK], ["breach", "resolved"]),
        ([BROKEN, AT_RISK, BROKEN], ["breach", "resolved", "breach"]),
        ([BROKEN, FINE, BROKEN], ["breach", "resolved", "breach"]),
        ([BROKEN, LATE, LATE, FINE], ["breach", "resolved"]),
    ],
)
def test_a_breach_alerts_once_and_its_end_is_told_to_whoever_was_alerted(
    standings: list[Standing], messages: list[str]
) -> None:
    """Where risks are not told: how an order stands, one after the other, and the messages that makes."""
    assert told(MAIL, *standings) == messages


@pytest.mark.parametrize(
    ("standings", "messages"),
    [
        ([AT_RISK, FINE], ["at_risk", "resolved"]),
        ([AT_RISK, AT_RISK], ["at_risk"]),
        ([AT_RISK, BROKEN, LATE], ["at_risk", "breach", "resolved"]),
        ([AT_RISK, WITHDRAWN], ["at_risk", "resolved"]),
        ([BROKEN, AT_RISK, FINE], ["breach", "resolved", "at_risk", "resolved"]),
    ],
)
def test_risks_are_told_on_routes_that_ask_for_them(standings: list[Standing], messages: list[str]) -> None:
    """Where risks are told: how an order stands, one after the other, and the messages that makes."""
    assert told(WATCHFUL, *standings) == messages


def test_what_breaks_while_a_message_is_under_way_is_told_together() -> None:
    """A storm becomes two messages: the first at once, the rest when the target is free."""
    incident = see(broken("A-1"), *(seen(BROKEN, 2, subject=f"B-{n}") for n in range(30)))
    assert [delivery.item_count for delivery in incident.deliveries] == [1]
    after = settle(incident, Accepted())
    assert [delivery.item_count for delivery in after.deliveries] == [1, 30]
    assert len(after.deliveries[-1].items) == MAX_LISTED


def test_a_message_lists_the_worst_and_longest_broken_first() -> None:
    """Severity decides, then how long it has been so."""
    facts = [
        ItemSeen("ops", an_item(BROKEN, 5, subject="mild", severity=Severity.WARNING)),
        ItemSeen("ops", an_item(BROKEN, 9, subject="new")),
        ItemSeen("ops", an_item(BROKEN, 3, subject="old")),
    ]
    delivery = see(None, *facts).deliveries[0]
    assert [item.record_id.rpartition("/")[2] for item in delivery.items] == ["old", "new", "mild"]
    assert delivery.severity == Severity.CRITICAL


def test_what_is_over_before_its_turn_comes_is_not_told() -> None:
    """A stale alert bothers nobody: the target hears only how things stand."""
    incident = see(broken("A-1"), seen(BROKEN, 2, subject="B-1"))
    incident = see(incident, seen(LATE, 3, subject="B-1"))
    assert len(settle(incident, Accepted()).deliveries) == 1


def test_a_resolution_waits_for_its_breach_and_answers_it() -> None:
    """While the breach is retried nothing overtakes it; then the resolution names the delivery it answers."""
    incident = see(attempted(broken(), 9), seen(LATE, 2))
    incident = settle(incident, TryAgain(Failure.NETWORK))
    assert [delivery.kind for delivery in incident.deliveries] == [Kind.BREACH]
    breach, resolved = settle(attempted(incident, 30), Accepted()).deliveries
    assert (breach.kind, resolved.kind) == (Kind.BREACH, Kind.RESOLVED)
    assert resolved.answers == (breach.delivery_id,)


def test_an_answer_knows_the_thread_of_what_it_answers() -> None:
    """Whatever was said in between: the thread that the provider named for this item's message."""
    incident = settle(broken("A-1"), Accepted("1", thread="first"))
    incident = settle(see(incident, seen(BROKEN, 2, subject="B-1")), Accepted("2", thread="second"))
    incident = settle(see(incident, seen(LATE, 3)), Accepted())
    assert incident.deliveries[-1].threads == ("first",)
    both = see(incident, seen(BROKEN, 4), seen(LATE, 5, subject="B-1"))
    assert settle(both, Accepted()).deliveries[-1].threads == ("second",)


def test_an_answer_says_of_which_messages_nothing_is_open_any_more() -> None:
    """What a message raised is closed with the last of its items; a message that repeats one takes its place."""
    incident = settle(see(None, seen(AT_RISK), seen(AT_RISK, subject="B-1"), plan=WATCHFUL), Accepted(), plan=WATCHFUL)
    (warning,) = incident.deliveries
    incident = settle(see(incident, seen(BROKEN, 2), plan=WATCHFUL), Accepted(), plan=WATCHFUL)
    breach = incident.deliveries[-1]
    assert (breach.answers, breach.over) == ((warning.delivery_id,), ())
    incident = settle(see(incident, seen(BROKEN, 3, subject="B-1"), plan=WATCHFUL), Accepted(), plan=WATCHFUL)
    assert incident.deliveries[-1].over == (warning.delivery_id,)
    incident = settle(see(incident, seen(LATE, 4), plan=WATCHFUL), Accepted(), plan=WATCHFUL)
    assert incident.deliveries[-1].over == (breach.delivery_id,)


def test_what_would_answer_too_many_messages_is_told_in_several() -> None:
    """Each earlier message is answered once, so that none stays open."""
    subjects = [f"A-{n}" for n in range(MAX_ANSWERED + 5)]
    incident: Incident | None = None
    for subject in subjects:
        incident = settle(see(incident, seen(BROKEN, subject=subject)), Accepted())
    incident = see(incident, *(seen(LATE, 2, subject=subject) for subject in subjects))
    first = incident.deliveries[-1]
    second = settle(incident, Accepted()).deliveries[-1]
    assert (len(first.over), len(second.over)) == (MAX_ANSWERED, 5)
    assert not {*first.over} & {*second.over}


def test_a_target_that_is_down_holds_up_no_other() -> None:
    """The mail waits for its retry, and the webhook hears of the next breach all the same."""
    incident = attempted(broken(plan=BOTH), 1, BOTH)
    mail, hook = incident.deliveries
    incident = see(
        incident,
        DeliverySettled(at(1), mail.delivery_id, TryAgain(Failure.TIMEOUT)),
        DeliverySettled(at(1), hook.delivery_id, Accepted()),
        plan=BOTH,
    )
    incident = see(incident, seen(BROKEN, 2, subject="B-1"), plan=BOTH)
    waiting = [(d.target, d.item_count) for d in incident.deliveries if d.state in UNSETTLED]
    assert waiting == [("mail", 1), ("hook", 1)]


def test_a_follow_up_concerns_only_those_who_were_told() -> None:
    """A group that never heard of it keeps nothing; one that did is told how it went on."""
    assert fold(INCIDENT, None, [seen(BROKEN, follow_up=True)], MAIL) is None
    incident = settle(see(None, seen(AT_RISK), plan=WATCHFUL), Accepted(), plan=WATCHFUL)
    incident = see(incident, seen(BROKEN, 2, follow_up=True), plan=WATCHFUL)
    assert incident.deliveries[-1].kind == Kind.BREACH


def test_nothing_is_kept_where_there_is_nothing_to_tell() -> None:
    """Most records are about promises kept; they leave no trace here."""
    assert fold(INCIDENT, None, [seen(FINE), seen(LATE, 2), seen(WITHDRAWN, 3)], MAIL) is None


def test_an_older_record_changes_nothing_even_after_the_end() -> None:
    """What upstream announces again after a crash is known by its offset."""
    incident = settle(see(settle(broken(), Accepted()), seen(LATE, 7)), Accepted())
    assert see(incident, seen(BROKEN, 1), seen(LATE, 7)) == incident
    assert incident.state == IncidentState.RESOLVED


def test_only_the_last_items_that_are_over_are_remembered() -> None:
    """The record stays small however many promises were broken in its time."""
    subjects = [f"A-{n}" for n in range(MAX_OVER + 50)]
    incident = settle(broken(*subjects), Accepted())
    incident = settle(see(incident, *(seen(LATE, n + 2, subject=s) for n, s in enumerate(subjects))), Accepted())
    assert len(incident.items) == MAX_OVER
    assert min(item.offset for item in incident.items) == 52


def test_an_item_loses_its_details_once_everybody_was_told() -> None:
    """What was needed to word the message is not kept for ever, and comes again with the next record."""
    incident = broken()
    assert incident.items[0].details is None
    assert incident.deliveries[0].items[0].details is not None


def test_an_incident_never_outgrows_its_bounds() -> None:
    """A storm while the target is down: the record follows the worst, and only the next to be told in detail."""
    incident = see(broken(), *(seen(BROKEN, 2, subject=f"B-{n}") for n in range(MAX_ITEMS + 500)))
    assert len(incident.items) <= MAX_ITEMS
    assert sum(item.details is not None for item in incident.items) == MAX_DETAILED


def test_an_incident_fits_into_a_message_whatever_ids_and_names_are_like() -> None:
    """A storm of items with long ids and names while five targets are down: how attempts end can still be written."""
    targets = [f"{n}".ljust(40, "x") for n in range(5)]
    plan = MAIL._replace(routes={"ops": Receivers(dict.fromkeys(targets, "email"))})
    long = "\N{PILE OF POO}" * 120
    items = [
        an_item(
            BROKEN, offset, subject=f"{'B' * 1_000}{offset}", details=Details(at(0), long, long, long, long, long, long)
        )
        for offset in range(1, 1_500)
    ]
    incident = see(None, *(ItemSeen("ops", item) for item in items), plan=plan)
    for end in (Refused(Failure.AUTH), Accepted(), Refused(Failure.AUTH), TryAgain(Failure.NETWORK)):
        incident = settle(attempted(incident, 10, plan), end, plan=plan)
        assert len(pack(incident)) < MAX_RECORD_BYTES
    assert len(incident.items) > MAX_DETAILED


def test_what_was_said_is_kept_without_names() -> None:
    """Once it is settled nobody needs to word it again."""
    (settled,) = settle(broken(), Accepted()).deliveries
    assert [(item.record_id, item.details) for item in settled.items] == [("C-7/order_ready/A-1", None)]


def test_a_target_taken_out_of_the_route_is_forgotten() -> None:
    """It can be told nothing more, so the incident does not stay open for its sake."""
    incident = settle(broken(plan=BOTH), Accepted(), plan=BOTH)
    incident = settle(see(incident, seen(LATE, 2)), Accepted())
    assert (incident.state, [item.told for item in incident.items]) == (IncidentState.RESOLVED, [()])


def test_due_turns_a_waiting_message_into_an_attempt() -> None:
    """The attempt is counted before it is made, and counts as lost after the lease."""
    (delivery,) = attempted(broken(), 10).deliveries
    assert (delivery.state, delivery.attempts) == (DeliveryState.SENDING, 1)
    assert delivery.next_attempt_at == at(10) + LEASE
    assert delivery.give_up_at == at(70)


def test_an_attempt_nobody_heard_of_is_made_again() -> None:
    """After the lease the same message is sent again, under the same id."""
    first = attempted(broken(), 10)
    assert attempted(first, 10.9) == first
    again = attempted(first, 11)
    assert [d.attempts for d in again.deliveries] == [2]
    assert again.deliveries[0].delivery_id == first.deliveries[0].delivery_id


def test_attempts_that_nobody_hears_of_come_to_an_end() -> None:
    """Whatever keeps their ends from being written down: nobody is told for ever, and the console until it is known."""
    incident = attempted(broken(), 10)
    for minutes in range(11, 71):
        incident = attempted(incident, minutes)
    assert [d.attempts for d in incident.deliveries] == [61]
    incident = attempted(incident, 71)
    dead, spoken = incident.deliveries
    assert (dead.state, dead.last_failure) == (DeliveryState.DEAD, "expired")
    assert (spoken.state, spoken.channel) == (DeliveryState.SENDING, "console")
    for minutes in range(72, 200):
        incident = attempted(incident, minutes)
    assert [(d.state, d.attempts) for d in incident.deliveries] == [(dead.state, 61), (DeliveryState.SENDING, 129)]


def test_an_attempt_that_a_long_stop_interrupted_is_made_again() -> None:
    """Two days without a notifier: whom it was meant for hears it all the same."""
    (delivery,) = attempted(attempted(broken(), 10), 2 * 24 * 60).deliveries
    assert (delivery.state, delivery.attempts, delivery.channel) == (DeliveryState.SENDING, 2, "email")


def test_a_failed_attempt_waits_as_long_as_the_provider_asks() -> None:
    """Retry-After outweighs the backoff."""
    (delivery,) = settle(attempted(broken(), 10), TryAgain(Failure.RATE_LIMITED, 20 * MINUTE)).deliveries
    assert (delivery.state, delivery.next_attempt_at) == (DeliveryState.PENDING, at(30))


@pytest.mark.parametrize(
    ("outcome", "failure"),
    [
        (Refused(Failure.CLIENT_ERROR), "client_error"),
        (TryAgain(Failure.NETWORK, 61 * MINUTE), "expired"),
    ],
)
def test_what_cannot_be_delivered_is_said_on_the_console(outcome: Refused | TryAgain, failure: str) -> None:
    """Refused for good or out of time: the message is dead, and the same goes to the console in the target's name."""
    dead, spoken = settle(attempted(broken(), 10), outcome).deliveries
    assert (dead.state, dead.last_failure) == (DeliveryState.DEAD, failure)
    assert (spoken.state, spoken.channel, spoken.target) == (DeliveryState.PENDING, "console", "mail")
    assert (list(map(slim, spoken.items)), spoken.last_failure) == (list(dead.items), failure)
    assert spoken.items[0].details


def test_what_even_the_console_refuses_ends() -> None:
    """There is nothing after the console; a message that cannot be worded does not go round for ever."""
    incident = settle(attempted(broken(), 10), Refused(Failure.TEMPLATE))
    incident = settle(attempted(incident, 11), Refused(Failure.TEMPLATE))
    assert {delivery.state for delivery in incident.deliveries} == {DeliveryState.DEAD}


def test_the_end_of_an_attempt_counts_once() -> None:
    """A report that comes again, or of an unknown delivery, changes nothing."""
    incident = settle(attempted(broken(), 10), Accepted("250 ok"))
    again = DeliverySettled(at(20), incident.deliveries[0].delivery_id, Refused(Failure.AUTH))
    assert see(incident, again, DeliverySettled(at(20), "unknown", Accepted())) == incident


def test_backoff_grows_differs_between_messages_and_is_always_the_same() -> None:
    """Full jitter without randomness: replaying the log gives the same schedule."""
    assert backoff("a", 1) == backoff("a", 1) != backoff("b", 1)
    assert all(SECOND <= backoff(f"{n}", 1) <= 5 * SECOND for n in range(200))
    assert max(backoff(f"{n}", 30) for n in range(200)) <= 301 * SECOND
    assert max(backoff(f"{n}", 8) for n in range(200)) > 200 * SECOND


def test_deadlines_are_attempts_then_oblivion() -> None:
    """At once, at the end of a lease, never while it is open, and a day after its end."""
    incident = broken()
    assert next_deadline(incident, MAIL) == AT_ONCE
    incident = attempted(incident, 10)
    assert next_deadline(incident, MAIL) == at(10) + LEASE
    incident = settle(incident, Accepted())
    assert next_deadline(incident, MAIL) is None
    incident = settle(see(incident, seen(LATE, 2)), Accepted(), 20)
    assert next_deadline(incident, MAIL) == at(20) + REMEMBERED
    assert due(incident, Instant(at(20) + REMEMBERED), MAIL) is None


def test_an_incident_of_a_route_that_is_gone_is_forgotten_once_all_is_said() -> None:
    """Nobody can be told more on it."""
    gone = MAIL._replace(routes={"other": Receivers({})})
    incident = attempted(broken(), 10)
    assert attempted(incident, 10, gone) == incident
    assert due(settle(incident, Accepted(), plan=gone), at(11), gone) is None


def test_transitions_say_when_an_incident_opens_and_ends() -> None:
    """Opened with the first item, resolved when nobody believes in trouble any more, updated otherwise."""
    opened = broken()
    updated = settle(opened, Accepted())
    resolved = see(updated, seen(LATE, 2))
    assert [transition(None, opened), transition(opened, updated), transition(updated, resolved)] == [
        Transition.OPENED,
        Transition.UPDATED,
        Transition.RESOLVED,
    ]


def test_a_delivery_id_differs_even_after_the_incident_was_forgotten() -> None:
    """Sequences start anew then; receivers must not take the next alert for a copy."""
    assert broken("A-1").deliveries[0].delivery_id != broken("A-2").deliveries[0].delivery_id


def attempted(incident: Incident, minutes: float, plan: Plan = MAIL) -> Incident:
    """The incident as `due` leaves it."""
    after = due(incident, at(minutes), plan)
    assert after is not None
    return after


def test_fresh_news_is_attempted_by_the_write_that_decides_it() -> None:
    """Once, and none that was decided before, or is old: what is unread may say more of it."""
    fresh = attempted_at_once(None, broken(), at(1), MAIL)
    assert [(d.state, d.attempts) for d in fresh.deliveries] == [(DeliveryState.SENDING, 1)]
    assert attempted_at_once(None, broken(), Instant(at(1) + FRESH + 1), MAIL) == broken()
    assert attempted_at_once(broken(), broken(), at(1), MAIL) == broken()
    assert attempted_at_once(None, fresh, at(1), MAIL) == fresh


def test_what_is_for_a_target_that_is_left_alone_is_put_off() -> None:
    """By one write, decided just now or long ago; each to a time of its own after the pause, until it is given up."""
    pause = Pause(at(5), 2 * MINUTE)
    alone = MAIL._replace(pauses={"mail": pause})
    (fresh,) = attempted_at_once(None, broken(), at(1), alone).deliveries
    assert (fresh.state, fresh.attempts, fresh.give_up_at) == (DeliveryState.PENDING, 0, at(61))
    assert fresh.last_failure == Failure.BREAKER_OPEN
    assert at(5) < fresh.next_attempt_at < at(7)
    (tried,) = attempted_at_once(None, broken(), at(1), MAIL).deliveries
    waiting = broken()._replace(deliveries=(settled(tried, DeliverySettled(at(1), "", TryAgain(Failure.NETWORK))),))
    looked = due(waiting, at(2), alone)
    assert looked is not None
    (again,) = looked.deliveries
    assert (again.state, again.attempts, again.give_up_at) == (DeliveryState.PENDING, 1, at(61))
    assert again.last_failure == Failure.NETWORK
    assert at(5) < again.next_attempt_at < at(7)
    assert next_deadline(looked, alone) == again.next_attempt_at
    longer = put_off(again, at(2), 0, pause._replace(until=at(6)))
    assert longer.next_attempt_at - at(6) != again.next_attempt_at - at(5), "its place is another in each pause"


@pytest.mark.parametrize(
    ("pause", "change", "now"),
    [
        (Pause(at(1), MINUTE), {}, 1),  # it is over: somebody has to see
        (Pause(at(5), 0), {"state": DeliveryState.SENDING}, 1),  # nobody heard how an attempt ended
        (Pause(at(5), 0), {"channel": "console"}, 1),  # what the console says in its place
        (Pause(at(90), 0), {"give_up_at": at(61)}, 61),  # the last time
    ],
)
def test_a_pause_puts_off_only_attempts_that_are_of_no_use(pause: Pause, change: Mapping[str, Any], now: int) -> None:
    """All else is attempted."""
    waiting = broken()._replace(deliveries=tuple(d._replace(**change) for d in broken().deliveries))
    looked = due(waiting, at(now), MAIL._replace(pauses={"mail": pause}))
    assert looked is not None
    assert [(d.state, d.attempts) for d in looked.deliveries] == [(DeliveryState.SENDING, 1)]


def test_what_only_time_brings_about_is_not_attempted_at_once() -> None:
    """It is always as new as the clock says, so that it waits until all is read."""
    told = settle(broken(), Accepted(), 2)
    for kind in Kind:
        decided = broken()._replace(
            deliveries=tuple(d._replace(kind=kind, sequence=9) for d in broken().deliveries), next_sequence=10
        )
        (delivery,) = attempted_at_once(told, decided, at(1), MAIL).deliveries
        waits = kind in {Kind.ESCALATION, Kind.REMINDER}
        assert delivery.state == (DeliveryState.PENDING if waits else DeliveryState.SENDING)
