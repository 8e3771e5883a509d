"""Of which items news is held back: exactly those that were not told and would be."""

from collections.abc import Mapping

from hypothesis import given, strategies as st

from services.notifier.beliefs import Receivers
from services.notifier.domain import fold
from services.notifier.held_back import held_back, held_items
from services.notifier.holds import Holds, Inhibition, Once, Reason, Silence, Window
from services.notifier.incident import Incident, ItemSeen, Plan
from services.notifier.items import Severity, Standing
from services.notifier.outbox import Accepted
from services.notifier.responses import Action, Response
from tests.unit.notifier.builders import INCIDENT, MAIL, NOON, an_item, at, see, settle
from tests.unit.notifier.test_held import silence, silenced
from tests.unit.notifier.test_responses import Story

SUBJECTS = ("A-1", "A-2", "A-3", "A-4")
WARNING, CRITICAL = frozenset({"warning"}), frozenset({"critical"})
INFO = {"severity": frozenset({"info"})}


def plan(holds: Holds) -> Plan:
    """Two targets, who are warned of risks, too."""
    return MAIL._replace(routes={"ops": Receivers({"mail": "email", "hook": "webhook"}, at_risk=True)}, holds=holds)


def every_hold() -> Holds:
    """One of each, in the first hour."""
    holds = Holds(
        [Window("stocktaking", INFO, Once(at(0), at(60)))],
        [Inhibition({"severity": CRITICAL}, {"standing": frozenset({"at_risk"})})],
        {"mail": Once(at(0), at(90))},
    )
    holds.follow([Silence("s-1", {"severity": WARNING}, at(0), at(60))], NOON)
    return holds


def incident(plan: Plan, *items: tuple[str, Standing, Severity]) -> Incident:
    """After these orders were seen, all at once."""
    facts = [
        ItemSeen("ops", an_item(standing, number, subject=subject, severity=severity), at(5))
        for number, (subject, standing, severity) in enumerate(items, 1)
    ]
    found = fold(INCIDENT, None, facts, plan)
    assert found is not None
    return found


def test_an_item_counts_once_for_each_reason() -> None:
    """However many targets wait for it; mail, which has quiet hours, is held back by what lasts longest."""
    rules = plan(every_hold())
    everything = incident(
        rules,
        ("A-1", Standing.BROKEN, Severity.INFO),
        ("A-2", Standing.BROKEN, Severity.INFO),
        ("A-3", Standing.BROKEN, Severity.WARNING),
        ("A-4", Standing.BROKEN, Severity.CRITICAL),
        ("A-5", Standing.AT_RISK, Severity.CRITICAL),
    )
    assert held_items(everything, rules, at(5)) == {
        Reason.MAINTENANCE: 2,
        Reason.SILENCED: 1,
        Reason.QUIET_HOURS: 3,
        Reason.INHIBITED: 1,
    }
    assert held_items(everything, rules, at(70)) == {Reason.QUIET_HOURS: 3, Reason.INHIBITED: 1}


def test_what_is_not_for_anybody_to_hear_is_not_held_back() -> None:
    """What was told already, what is over, what goes on elsewhere, what somebody sees to, and routes that are gone."""
    rules = silenced(silence(5, 60))
    story = Story(rules).sees(Standing.BROKEN, 1).waits_quietly(20)

    def counts(minute: float) -> Mapping[Reason, int]:
        assert story.incident
        return held_items(story.incident, rules, at(minute))

    assert story.incident
    assert story.incident.looked_at, "its escalation waits"
    assert counts(20) == {}
    story.sees(Standing.BROKEN, 21, subject="A-2")
    assert counts(21) == {Reason.SILENCED: 1}
    assert counts(61) == {}
    assert held_items(story.incident, rules._replace(routes={}), at(21)) == {}
    story.answers(Action.RESOLVE, "ana", 22)
    assert counts(22) == {}


def test_that_somebody_sees_to_it_is_not_held_back() -> None:
    """Mail, busy as yet, is to hear of the answer, whatever is silenced; of the breach that came since it is not."""
    rules = plan(Holds())
    known = settle(incident(rules, ("A-1", Standing.BROKEN, Severity.CRITICAL)), Accepted(), 5, rules)
    busy = see(known, ItemSeen("ops", an_item(offset=6, subject="A-2"), at(6)), plan=rules)
    answer = Response("r-1", Action.ACKNOWLEDGE, "ana", at(7), heard_at=at(7))
    rules.holds.follow([silence(8, 60)], at(8))
    answered = see(busy, answer, plan=rules)
    more = see(answered, ItemSeen("ops", an_item(offset=9, subject="A-3"), at(9)), plan=rules)
    found = held_back(more._replace(looked_at=at(9)), rules, at(9))
    assert {(each.target, each.item.record_id[-3:]) for each in found} == {("mail", "A-3"), ("hook", "A-3")}


ITEMS = st.dictionaries(
    st.sampled_from(SUBJECTS),
    st.tuples(
        st.sampled_from([Standing.BROKEN, Standing.AT_RISK]),
        st.sampled_from([Severity.INFO, Severity.WARNING, Severity.CRITICAL]),
    ),
    min_size=1,
)


@given(items=ITEMS)
def test_each_target_is_told_of_an_item_or_it_is_held_back_from_it(items: dict[str, tuple[Standing, Severity]]) -> None:
    """Nothing is both, nothing neither; one kind of news is told at a time, breaches first."""
    rules = plan(every_hold())
    found = incident(rules, *((subject, *how) for subject, how in items.items()))
    for _ in range(2):  # the breaches, then the risks
        found = settle(found, Accepted(), 5, rules)
    told = {(each.target, item.record_id) for item in found.items for each in item.told}
    held = [(each.target, each.item.record_id) for each in held_back(found, rules, at(5))]
    assert len(set(held)) == len(held)
    assert not told.intersection(held)
    assert told.union(held) == {(target, item.record_id) for item in found.items for target in ("mail", "hook")}
    assert bool(found.looked_at) == bool(held)
