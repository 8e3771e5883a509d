"""Who hears what on a route that tells whoever is on call: ana from noon, bob from five past, carla from ten past."""

from collections.abc import Sequence

from services.notifier.beliefs import Receivers
from services.notifier.codec import machine, pack, pack_dispatch
from services.notifier.domain import due
from services.notifier.incident import Incident, IncidentState, Plan
from services.notifier.items import Standing
from services.notifier.outbox import UNSETTLED, Accepted, DeliverySettled, DeliveryState, Failure, Kind, TryAgain
from services.notifier.routing import Address
from services.shared.engine.batch import MAX_RECORD_BYTES
from services.shared.instant import Instant
from tests.unit.notifier.builders import INCIDENT, ON_CALL, an_item, at, broken, on_call, see, seen, settle

FINE, AT_RISK, BROKEN, LATE = Standing.FINE, Standing.AT_RISK, Standing.BROKEN, Standing.FULFILLED_LATE
RECEIVERS = ON_CALL.routes["ops"]
WATCHFUL = ON_CALL._replace(routes={"ops": RECEIVERS._replace(at_risk=True)})
WITH_MAIL = ON_CALL._replace(routes={"ops": RECEIVERS._replace(targets={"mail": "email"})})


def told(incident: Incident) -> list[tuple[str, str]]:
    """Whom it tells now, and what."""
    return [(d.target, Kind(d.kind).name.lower()) for d in incident.deliveries if d.state in UNSETTLED]


def after(plan: Plan, *standings: tuple[int, Standing]) -> Sequence[list[tuple[str, str]]]:
    """Whom it tells as an order stands so at those minutes, each message accepted at once."""
    incident: Incident | None = None
    said = []
    for minute, standing in standings:
        incident = see(incident, seen(standing, minute), plan=plan)
        said.append(told(incident))
        incident = settle(incident, Accepted(), minute, plan)
    return said


def test_a_breach_is_told_to_whoever_is_on_call_and_its_end_to_whoever_was_told() -> None:
    """Also after the hand-off; and whoever is on call by then hears nothing of what is over."""
    assert after(ON_CALL, (1, BROKEN), (6, LATE)) == [[("ana", "breach")], [("ana", "resolved")]]


def test_a_hand_off_tells_nobody_of_what_was_told() -> None:
    """However much else is heard of the order and its like."""
    assert after(ON_CALL, (1, BROKEN), (6, BROKEN), (11, BROKEN)) == [[("ana", "breach")], [], []]
    other = see(settle(broken(plan=ON_CALL), Accepted(), 2, ON_CALL), seen(BROKEN, 6, subject="B-1"), plan=ON_CALL)
    assert [(d.target, d.item_count) for d in other.deliveries if d.state in UNSETTLED] == [("bob", 1)]


def test_what_gets_worse_is_told_to_both() -> None:
    """Who was warned hears how it went on, and who is on call by then has to see to it."""
    assert after(WATCHFUL, (1, AT_RISK), (6, BROKEN), (11, LATE)) == [
        [("ana", "at_risk")],
        [("bob", "breach"), ("ana", "breach")],
        [("ana", "resolved"), ("bob", "resolved")],
    ]


def test_what_breaks_again_is_told_to_whoever_is_on_call_then() -> None:
    """It was over in between."""
    assert after(ON_CALL, (1, BROKEN), (2, FINE), (6, BROKEN)) == [
        [("ana", "breach")],
        [("ana", "resolved")],
        [("bob", "breach")],
    ]


def test_what_breaks_again_is_told_although_somebody_else_did_not_hear_yet_that_it_was_over() -> None:
    """What the mail still believes says nothing about those on call."""
    incident = see(broken(plan=WITH_MAIL), seen(FINE, 2), plan=WITH_MAIL)
    (to_ana,) = (delivery for delivery in incident.deliveries if delivery.target == "ana")
    incident = see(incident, DeliverySettled(at(3), to_ana.delivery_id, Accepted()), plan=WITH_MAIL)
    assert told(incident) == [("mail", "breach"), ("ana", "resolved")]
    assert ("bob", "breach") in told(see(incident, seen(BROKEN, 6), plan=WITH_MAIL))


def test_what_waits_goes_to_whoever_is_on_call_when_its_turn_comes() -> None:
    """Ana cannot be reached; what breaks meanwhile waits for her only until she hands over."""
    incident = see(broken(plan=ON_CALL), seen(BROKEN, 2, subject="B-1"), plan=ON_CALL)
    assert told(incident) == [("ana", "breach")]
    attempted = due(incident, at(3), ON_CALL)
    assert attempted
    incident = settle(attempted, TryAgain(Failure.NETWORK), 6, ON_CALL)
    assert [(d.target, d.item_count) for d in incident.deliveries] == [("ana", 1), ("bob", 1)]


def test_who_is_told_anyway_is_told_once() -> None:
    """As a target of the route and as the one on call; a hand-off changes nothing about it."""
    plan = ON_CALL._replace(routes={"ops": RECEIVERS._replace(targets={"ana": "email"})})
    assert after(plan, (1, BROKEN), (6, BROKEN), (11, LATE)) == [[("ana", "breach")], [], [("ana", "resolved")]]


def test_two_schedules_are_told_each() -> None:
    """First and second line; where both are the same person, once."""
    second = {"on-call:second": lambda now: "carla" if now < at(5) else "bob"}
    plan = ON_CALL._replace(routes={"ops": RECEIVERS._replace(on_call={**RECEIVERS.on_call, **second})})
    assert after(plan, (1, BROKEN)) == [[("ana", "breach"), ("carla", "breach")]]
    assert after(plan, (6, BROKEN)) == [[("bob", "breach")]]


def test_who_leaves_the_company_leaves_the_word_to_others() -> None:
    """Where nobody who was told is in the configuration any more, whoever is on call is told."""
    incident = settle(broken(plan=ON_CALL), Accepted(), 1, ON_CALL)
    without = {name: channel for name, channel in RECEIVERS.others.items() if name != "ana"}
    plan = ON_CALL._replace(routes={"ops": RECEIVERS._replace(others=without)})
    both = see(incident, seen(BROKEN, 6, subject="B-1"), plan=plan)
    assert [(d.target, d.item_count) for d in both.deliveries if d.state in UNSETTLED] == [("bob", 2)]
    assert told(see(incident, seen(LATE, 6), plan=plan)) == []


def test_a_route_without_the_schedule_forgets_it() -> None:
    """It was taken out: nobody on call is told any more, and nothing stays open for its sake."""
    incident = settle(broken(plan=WITH_MAIL), Accepted(), 1, WITH_MAIL)
    plan = ON_CALL._replace(routes={"ops": Receivers({"mail": "email"})})
    incident = settle(see(incident, seen(LATE, 6), plan=plan), Accepted(), 6, plan)
    assert (incident.state, [item.told for item in incident.items]) == (IncidentState.RESOLVED, [()])


def test_a_follow_up_concerns_only_those_who_were_told_not_whoever_is_on_call() -> None:
    """Its routing leads elsewhere by now."""
    incident = settle(see(None, seen(AT_RISK), plan=WATCHFUL), Accepted(), 1, WATCHFUL)
    assert told(see(incident, seen(BROKEN, 6, follow_up=True), plan=WATCHFUL)) == [("ana", "breach")]


def test_the_instant_is_that_of_hearing_not_of_the_news() -> None:
    """After a stop of hours whoever is on call now is told, not whoever was when it broke."""
    late = seen(BROKEN, 1)._replace(seen_at=at(12))
    assert told(see(None, late, plan=ON_CALL)) == [("carla", "breach")]


def test_the_machine_hears_at_the_time_of_its_clock() -> None:
    """What is decoded carries the instant, so that a decision is a function of facts."""
    incidents = machine(ON_CALL, now=lambda: at(6))
    ((key, fact),) = incidents.inputs["puntual.dispatch.v1"](
        pack_dispatch(Address(INCIDENT, "ops"), an_item(BROKEN)), False
    )
    incident = incidents.fold(key, None, [fact])
    assert incident
    assert told(incident) == [("bob", "breach")]
    assert fact.occurred_at == at(1)


def test_an_incident_fits_into_a_message_after_many_hand_offs() -> None:
    """Somebody else every five minutes for a day; what was said to those who have nothing to hear any more goes."""
    people = [f"p{number}" for number in range(300)]

    def who(now: Instant) -> str:
        return people[(now - at(0)) // (at(5) - at(0)) % len(people)]

    plan = ON_CALL._replace(
        routes={"ops": Receivers({}, on_call={"on-call:rota": who}, others=dict.fromkeys(people, "email"))}
    )
    incident: Incident | None = None
    for number in range(300):
        subject = f"{'B' * 1_000}{number}"
        incident = see(incident, seen(BROKEN, 5 * number, subject=subject), plan=plan)
        incident = settle(incident, Accepted(), 5 * number + 1, plan)
        incident = see(incident, seen(LATE, 5 * number + 2, subject=subject), plan=plan)
        incident = settle(incident, Accepted(), 5 * number + 3, plan)
    assert incident
    assert len(incident.deliveries) <= 2
    assert {delivery.state for delivery in incident.deliveries} <= {DeliveryState.ACCEPTED}
    assert len(pack(incident)) < MAX_RECORD_BYTES


def test_the_rota_of_these_tests_is_what_they_say() -> None:
    """They would be hard to read otherwise."""
    assert [on_call(at(minutes)) for minutes in (0, 5, 10, 15)] == ["ana", "bob", "carla", "ana"]
