"""Who hears of what could not be delivered, case by case: the boss instead of the mail, then the owner."""

from collections.abc import Mapping

import pytest

from services.notifier.beliefs import Receivers, Step
from services.notifier.codec import pack, unpack
from services.notifier.domain import due, next_deadline
from services.notifier.fallbacks import circle
from services.notifier.incident import Incident, IncidentState, ItemSeen, Plan
from services.notifier.items import Standing, Told
from services.notifier.outbox import (
    LEASE,
    UNSETTLED,
    Accepted,
    DeliverySettled,
    DeliveryState,
    Failure,
    Kind,
    Outcome,
    Refused,
)
from services.notifier.pace import Pace
from services.notifier.responses import Action, Response
from services.shared.instant import Instant
from tests.unit.notifier.builders import MAIL, MINUTE, ON_CALL, ROTA, an_item, at, broken, on_call, see, seen, settle

BROKEN, LATE = Standing.BROKEN, Standing.FULFILLED_LATE
REFUSED = Refused(Failure.CLIENT_ERROR)
PEOPLE = dict.fromkeys(("mail", "boss", "owner"), "email")


def a_plan(fallbacks: Mapping[str, str], receivers: Receivers | None = None) -> Plan:
    """Where the mail is told, or whoever else, with these fallbacks."""
    told = (receivers or Receivers({"mail": "email"}))._replace(others=PEOPLE, fallbacks=fallbacks)
    return MAIL._replace(routes={"ops": told})


ALONE = a_plan({})
BOSS = a_plan({"mail": "boss"})
CHAIN = a_plan({"mail": "boss", "boss": "owner"})


def told(incident: Incident) -> list[str]:
    """Who is told what, by which channel where that is the console, and how far it came."""
    return [
        f"{each.target}{' on the console' if each.channel == 'console' else ''}: {Kind(each.kind).name.lower()}"
        + ("" if each.state in UNSETTLED else " accepted" if each.provider_id else " given up")
        for each in incident.deliveries
    ]


def given_up(incident: Incident, plan: Plan, minutes: float = 10) -> Incident:
    """All that is under way is refused."""
    return settle(incident, REFUSED, minutes, plan)


def accepted(incident: Incident, plan: Plan, minutes: float = 11) -> Incident:
    """All that is under way is accepted."""
    return settle(incident, Accepted("ok"), minutes, plan)


def ends(incident: Incident, target: str, outcome: Outcome, minutes: float, plan: Plan) -> Incident:
    """What is on its way to one target ends like this."""
    (under_way,) = (each for each in incident.deliveries if each.target == target and each.state in UNSETTLED)
    return see(incident, DeliverySettled(at(minutes), under_way.delivery_id, outcome), plan=plan)


def lost(incident: Incident) -> dict[str, bool]:
    """Who believes what stands in the first item → whether the message that said so was given up."""
    return {each.target: each.lost for each in incident.items[0].told}


def test_the_fallback_is_told_instead_and_hears_how_it_goes_on() -> None:
    """Not the console; and the message says in whose place it comes."""
    incident = given_up(broken(plan=BOSS), BOSS)
    assert told(incident) == ["mail: breach given up", "boss: breach"]
    assert [each.target for item in incident.deliveries[-1].items for each in item.told] == ["mail"]
    assert lost(incident) == {"boss": False, "mail": True}
    incident = see(accepted(incident, BOSS), seen(LATE, 12), plan=BOSS)
    assert told(incident)[1:] == ["boss: breach accepted", "mail: resolved", "boss: resolved"]


def test_of_a_chain_each_is_told_and_in_the_end_the_console() -> None:
    """One after the other."""
    incident = given_up(given_up(broken(plan=CHAIN), CHAIN), CHAIN, 11)
    assert told(incident) == ["mail: breach given up", "boss: breach given up", "owner: breach"]
    assert [each.target for item in incident.deliveries[-1].items for each in item.told] == ["boss"]
    incident = given_up(incident, CHAIN, 12)
    assert told(incident)[2:] == ["owner: breach given up", "owner on the console: breach"]
    assert lost(incident) == dict.fromkeys(("boss", "mail", "owner"), True)


def test_without_a_fallback_the_console_says_it() -> None:
    """As what is lost all the same: it can be sent again."""
    incident = given_up(broken(plan=ALONE), ALONE)
    assert told(incident) == ["mail: breach given up", "mail on the console: breach"]
    assert lost(incident) == {"mail": True}
    # What comes later answers the message as the target knows it.
    later = see(accepted(incident, ALONE), seen(LATE, 12), plan=ALONE)
    assert later.deliveries[-1].answers == (incident.deliveries[0].delivery_id,)


def test_what_is_no_call_falls_to_the_console() -> None:
    """That it is over concerns only who was told."""
    incident = see(accepted(broken(plan=BOSS), BOSS), seen(LATE, 12), plan=BOSS)
    assert told(given_up(incident, BOSS, 13))[1:] == ["mail: resolved given up", "mail on the console: resolved"]


def test_who_knows_already_is_not_told_twice() -> None:
    """Where the route tells both of them."""
    plan = a_plan({"mail": "boss"}, Receivers({"mail": "email", "boss": "email"}))
    incident = ends(broken(plan=plan), "boss", Accepted("ok"), 10, plan)
    assert told(ends(incident, "mail", REFUSED, 11, plan)) == ["mail: breach given up", "boss: breach accepted"]
    incident = ends(broken(plan=plan), "mail", REFUSED, 10, plan)
    assert told(ends(incident, "boss", Accepted("ok"), 11, plan)) == ["mail: breach given up", "boss: breach accepted"]


def test_the_fallback_hears_only_of_what_was_lost() -> None:
    """What the target was told well concerns nobody else."""
    incident = accepted(broken("A-1", plan=BOSS), BOSS, 2)
    incident = given_up(see(incident, seen(BROKEN, 3, subject="B-1"), plan=BOSS), BOSS, 4)
    boss = incident.deliveries[-1]
    assert (boss.target, [item.record_id for item in boss.items]) == ("boss", ["C-7/order_ready/B-1"])


def test_several_are_told_together_once_the_fallback_is_free() -> None:
    """In one message."""
    incident = see(given_up(broken("A-1", plan=BOSS), BOSS), seen(BROKEN, 11, subject="B-1"), plan=BOSS)
    incident = see(ends(incident, "mail", REFUSED, 12, BOSS), seen(BROKEN, 13, subject="B-2"), plan=BOSS)
    incident = ends(incident, "mail", REFUSED, 14, BOSS)
    assert told(incident) == ["boss: breach", "mail: breach given up"]
    boss = ends(incident, "boss", Accepted("ok"), 15, BOSS).deliveries[-1]
    assert (boss.target, boss.item_count) == ("boss", 2)


def test_what_is_over_before_its_turn_comes_is_not_told() -> None:
    """The one who could not be reached hears the end, and of that the console."""
    incident = see(broken(plan=BOSS), seen(LATE, 2), plan=BOSS)
    assert told(given_up(incident, BOSS)) == ["mail: breach given up", "mail: resolved"]


def test_an_attempt_that_nobody_heard_of_is_given_up_to_the_fallback() -> None:
    """When its time is over: without any fact, and at once."""
    incident, now = broken(plan=BOSS), at(10)
    while len(incident.deliveries) == 1 and now < at(100):
        after = due(incident, now, BOSS)
        assert after is not None
        incident, now = after, Instant(now + LEASE)
    assert told(incident) == ["mail: breach given up", "boss: breach"]
    assert (incident.deliveries[1].state, incident.deliveries[1].attempts) == (DeliveryState.SENDING, 1)


def test_the_fallback_is_not_held_up_by_what_the_target_was_told() -> None:
    """Of its own interval only what it was told itself counts."""
    pace = Pace(group_interval=60 * MINUTE)
    plan = a_plan({"mail": "boss"}, Receivers({"mail": "email"}, pace=pace))
    assert told(given_up(broken(plan=plan), plan))[1:] == ["boss: breach"]


# --- the configuration changes


def spoken(incident: Incident) -> list[str]:
    """What waits to be said on the console."""
    return [each for each in told(incident) if each.endswith("on the console: breach")]


@pytest.mark.parametrize(
    "plan",
    [
        ALONE,
        MAIL,
        MAIL._replace(routes={"ops": Receivers({"owner": "email"})}),
        MAIL._replace(routes={"ops": ON_CALL.routes["ops"]._replace(others=dict.fromkeys(ROTA, "email"))}),
    ],
    ids=["no fallback", "neither fallback nor its target", "nor who has it", "nor anybody but who is on call"],
)
def test_where_the_fallback_is_gone_the_console_says_what_it_was_not_told(plan: Plan) -> None:
    """It was busy with something else when the mail could not be reached; then the configuration lost it."""
    incident = see(given_up(broken("A-1", plan=BOSS), BOSS), seen(BROKEN, 11, subject="B-1"), plan=BOSS)
    waiting = ends(incident, "mail", REFUSED, 12, BOSS)
    assert told(waiting) == ["boss: breach", "mail: breach given up"]
    after = ends(waiting, "boss", Accepted("ok"), 13, plan)
    assert spoken(after)[:1] == ["mail on the console: breach"]
    said = list[str]()
    while spoken(after) and len(said) < 10:
        said += [item.record_id for each in after.deliveries if each.channel == "console" for item in each.items]
        after = ends(after, "mail", Accepted("ok"), 14 + len(said), plan)
    assert said.count("C-7/order_ready/B-1") == 1


# --- whoever is on call


def test_whoever_is_on_call_next_hears_what_the_one_before_could_not_be_told() -> None:
    """At the hand-off, without anything else happening."""
    shift = 5 * MINUTE
    rota = ON_CALL.routes["ops"]._replace(
        shifts={"on-call:rota": lambda now: Instant(now - (now - at(0)) % shift + shift)}
    )
    plan = MAIL._replace(routes={"ops": rota})
    incident = settle(see(None, seen(BROKEN, 1), plan=plan), REFUSED, 2, plan)
    assert told(incident) == ["ana: breach given up", "ana on the console: breach"]
    incident = settle(incident, Accepted("ok"), 3, plan)
    assert next_deadline(incident, plan) == at(5)
    after = due(incident, at(5), plan)
    assert after is not None
    assert told(after)[-1] == "bob: breach"
    assert next_deadline(settle(after, Accepted("ok"), 6, plan), plan) is None


def test_whoever_is_on_call_next_hears_although_the_fallback_was_told() -> None:
    """It is theirs to see to."""
    rota = ON_CALL.routes["ops"]._replace(fallbacks=dict.fromkeys(ROTA, "mail"))
    plan = MAIL._replace(routes={"ops": rota})
    incident = settle(see(None, seen(BROKEN, 1), plan=plan), REFUSED, 2, plan)
    assert told(settle(incident, Accepted("ok"), 6, plan)) == [
        "ana: breach given up",
        "mail: breach accepted",
        "bob: breach",
    ]
    assert on_call(at(6)) == "bob"


# --- while nobody answers

STEPS = (Step(10 * MINUTE, {"mail": "email", "boss": "email"}),)


def test_an_escalation_goes_on_although_nobody_could_be_reached() -> None:
    """Its next step is taken, and who is told again is tried again."""
    plan = a_plan({}, Receivers({"mail": "email"}, steps=STEPS))
    incident = accepted(given_up(broken(plan=plan), plan, 2), plan, 3)
    after = due(incident, at(11), plan)
    assert after is not None
    assert told(after)[-2:] == ["mail: reminder", "boss: escalation"]
    assert lost(after) == {"boss": False, "mail": False}


def test_who_knows_is_reminded_in_place_of_whoever_was_to_be() -> None:
    """As nobody has answered; and only once, where both were to be told."""
    plan = a_plan({"mail": "boss"}, Receivers({"mail": "email"}, steps=(Step(10 * MINUTE, {"mail": "email"}),)))
    incident = accepted(given_up(broken(plan=plan), plan, 2), plan, 3)
    after = due(incident, at(11), plan)
    assert after is not None
    after = given_up(after, plan, 12)
    assert told(after)[-2:] == ["mail: reminder given up", "boss: reminder"]
    both = a_plan({"mail": "boss"}, Receivers({"mail": "email", "boss": "email"}, steps=STEPS))
    after = due(accepted(broken(plan=both), both, 3), at(11), both)
    assert after is not None
    assert told(after)[-2:] == ["mail: reminder", "boss: reminder"]
    after = ends(ends(after, "boss", Accepted("ok"), 12, both), "mail", REFUSED, 13, both)
    assert told(after)[-2:] == ["mail: reminder given up", "boss: reminder accepted"]


# --- sent again


def resend(incident: Incident, plan: Plan, target: str = "") -> Incident:
    """Whoever could not be reached is told again."""
    return see(incident, Response("r-1", Action.RESEND, "ana", at(20), target=target, heard_at=at(20)), plan=plan)


def test_what_was_lost_is_sent_again_under_a_new_id() -> None:
    """Exactly once; the fallback, who knows, hears nothing."""
    incident = accepted(given_up(broken(plan=BOSS), BOSS), BOSS)
    first = incident.deliveries[0].delivery_id
    again = resend(incident, BOSS)
    assert told(again)[-1] == "mail: reminder"
    assert len([each for each in again.deliveries if each.state in UNSETTLED]) == 1
    assert again.deliveries[-1].delivery_id != first
    done = accepted(again, BOSS, 21)
    assert lost(done) == {"boss": False, "mail": False}
    assert resend(done, BOSS) == done
    assert done.attention.acknowledgement is None


@pytest.mark.parametrize(
    ("target", "again"), [("mail", ["mail"]), ("boss", ["boss"]), ("", ["boss", "mail"]), ("ana", [])]
)
def test_only_who_is_named_is_told_again(target: str, again: list[str]) -> None:
    """By a name that is noted with the answer, or all of them."""
    incident = accepted(given_up(given_up(broken(plan=BOSS), BOSS), BOSS, 11), BOSS, 12)
    after = resend(incident, BOSS, target)
    assert sorted(each.target for each in after.deliveries if each.state in UNSETTLED) == again
    assert after.attention.responses[-1].comment == target


def test_what_is_over_or_seen_to_is_not_sent_again() -> None:
    """Of two, one."""
    incident = accepted(given_up(broken("A-1", "B-1", plan=ALONE), ALONE), ALONE)
    incident = accepted(see(incident, seen(LATE, 12, subject="B-1"), plan=ALONE), ALONE, 13)
    assert [item.record_id for item in resend(incident, ALONE).deliveries[-1].items] == ["C-7/order_ready/A-1"]
    seen_to = see(incident, Response("r-0", Action.ACKNOWLEDGE, "bob", at(14), heard_at=at(14)), plan=ALONE)
    seen_to = accepted(seen_to, ALONE, 15)
    after = resend(seen_to, ALONE)
    assert (after.deliveries, after.state) == (seen_to.deliveries, IncidentState.ACKNOWLEDGED)


def test_what_was_given_up_before_anybody_noted_it_stays_as_it_is() -> None:
    """Records of an earlier version say nothing of it."""
    incident = accepted(given_up(broken(plan=BOSS), BOSS), BOSS)
    (item,) = incident.items
    old = incident._replace(items=(item._replace(told=tuple(each._replace(lost=False) for each in item.told)),))
    assert [each.state in UNSETTLED for each in resend(old, BOSS).deliveries] == [False, False]


def test_a_risk_is_sent_again_as_long_as_it_is_one() -> None:
    """And what was lost as a risk, and broke, was told as broken since."""
    risk = a_plan({}, Receivers({"mail": "email"}, at_risk=True))
    incident = accepted(given_up(see(None, ItemSeen("ops", an_item(Standing.AT_RISK)), plan=risk), risk, 2), risk, 3)
    assert told(resend(incident, risk))[-1] == "mail: at_risk"
    assert told(resend(see(incident, seen(LATE, 4), plan=risk), risk))[-1] == "mail: resolved"


def test_who_was_on_call_then_is_told_again_by_name() -> None:
    """Whoever is on call now knows of it by now."""
    rota = MAIL._replace(routes={"ops": ON_CALL.routes["ops"]})
    incident = settle(see(None, seen(BROKEN, 1), plan=rota), REFUSED, 2, rota)
    incident = accepted(accepted(incident, rota, 6), rota, 7)
    assert told(resend(incident, rota, "ana"))[-1] == "ana: reminder"


# --- the small parts


def test_a_record_keeps_who_could_not_be_reached() -> None:
    """The bytes say so."""
    incident = given_up(broken(plan=BOSS), BOSS)
    assert unpack(pack(incident)) == incident


def test_a_circle_is_found_by_those_on_it() -> None:
    """Not by those that lead to one."""
    ways = {"a": "b", "b": "c", "c": "b", "d": "d", "e": "", "f": "e"}
    assert [circle(name, ways) for name in "abcdef"] == [[], ["b", "c", "b"], ["c", "b", "c"], ["d", "d"], [], []]


def test_a_message_that_is_not_lost_is_owed_to_nobody() -> None:
    """Nor is one that the console said."""
    owed = Told("mail", BROKEN, "ab", lost=True)
    assert [each.is_owed for each in (owed, owed._replace(lost=False), owed._replace(delivery_id="ab-console"))] == [
        True,
        False,
        False,
    ]
    assert owed._replace(delivery_id="ab-console").origin == "ab"


def test_a_risk_is_told_to_the_fallback_and_then_that_it_broke() -> None:
    """It is somebody who was told."""
    risk = a_plan({"mail": "boss"}, Receivers({"mail": "email"}, at_risk=True))
    incident = see(None, ItemSeen("ops", an_item(Standing.AT_RISK)), plan=risk)
    incident = see(accepted(given_up(incident, risk, 2), risk, 3), seen(BROKEN, 4), plan=risk)
    assert told(incident)[1:] == ["boss: at_risk accepted", "mail: breach", "boss: breach"]
