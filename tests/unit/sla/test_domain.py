"""What a clock says, case by case. Limit 12:60, preferred 12:20, warning from 12:45, breach announced after 12:62."""

from itertools import pairwise

import pytest
from msgspec.structs import replace

from services.shared.facts import Context
from services.shared.instant import Instant
from services.sla.conditions import Condition
from services.sla.domain import breached_at, change, due, fold, margin, next_deadline
from services.sla.model import NONE, Clock, Cycle, Fact, FactKind, State, Transition
from services.sla.policies import Goal
from services.sla.standards import Standards
from tests.unit.sla.builders import GOAL, MINUTE, STANDARDS, a_fact, at, judged, minutes, standards

STARTED, STOPPED, CANCELLED, OTHER = FactKind.STARTED, FactKind.STOPPED, FactKind.CANCELLED, FactKind.OTHER
START = a_fact(STARTED, 0)


@pytest.mark.parametrize(
    ("facts", "now", "state"),
    [
        ([(STOPPED, 5)], 99, State.NOTED),
        ([(STARTED, 0)], 0, State.RUNNING),
        ([(STARTED, 0)], 44.9, State.RUNNING),
        ([(STARTED, 0)], 45, State.AT_RISK),
        ([(STARTED, 0)], 62, State.AT_RISK),
        ([(STARTED, 0)], 62.001, State.BREACHED),
        ([(STARTED, 0), (STOPPED, 60)], 99, State.MET),
        ([(STARTED, 0), (STOPPED, 60.001)], 99, State.MISSED),
        ([(STARTED, 0), (STOPPED, 61)], 61, State.MISSED),
        ([(STARTED, 0), (STOPPED, 90), (STOPPED, 10)], 99, State.MET),
        ([(STOPPED, -5), (STARTED, 0)], 99, State.NOTED),  # it was over before it began
        ([(STOPPED, 0), (STARTED, 0)], 99, State.MET),
        ([(STARTED, 0), (STARTED, 50), (STOPPED, 70)], 99, State.MISSED),
        ([(STARTED, 0), (OTHER, 5)], 99, State.BREACHED),
        ([(STARTED, 0), (CANCELLED, 60)], 99, State.CANCELLED),
        ([(STARTED, 0), (CANCELLED, 61)], 99, State.BREACHED),
        ([(STARTED, 0), (CANCELLED, 61), (STOPPED, 70)], 99, State.MISSED),
        ([(STARTED, 0), (CANCELLED, 10), (STOPPED, 70)], 99, State.CANCELLED),
        ([(STARTED, 0), (STOPPED, 10), (CANCELLED, 20)], 99, State.MET),
        ([(STARTED, 0), (STOPPED, 10), (CANCELLED, 10)], 99, State.MET),
        ([(CANCELLED, -10), (STARTED, 0)], 99, State.CANCELLED),
        ([(STOPPED, -5), (CANCELLED, -5), (STARTED, 0)], 99, State.NOTED),
    ],
)
def test_the_verdict_follows_from_the_facts_and_the_instant(
    facts: list[tuple[FactKind, float]], now: float, state: State
) -> None:
    """Each case states the facts (minutes after noon), the instant they are judged at, and the verdict."""
    assert judged(*(a_fact(*fact) for fact in facts), minutes=now).cycle.state == state


def test_a_running_clock_names_every_instant_that_follows_from_its_start() -> None:
    """Limit, preferred level, warning and announcement are counted from the start."""
    cycle = judged(START).cycle
    assert (cycle.started_at, cycle.due_at) == (at(0), at(60))
    assert (cycle.preferred_due_at, cycle.warn_at, cycle.breach_at) == (at(20), (at(45),), at(62))
    assert (cycle.policy, cycle.version, cycle.first_version, cycle.calendar) == ("within the hour", "7", "", "always")


@pytest.mark.parametrize(
    ("facts", "now", "preferred_met"),
    [
        ([START], 30, None),
        ([START], 63, False),
        ([START, a_fact(STOPPED, 20)], 20, True),
        ([START, a_fact(STOPPED, 20.001)], 21, False),
        ([START, a_fact(STOPPED, 70)], 70, False),
        ([START, a_fact(CANCELLED, 10)], 63, None),
        ([a_fact(STOPPED, 0), START], 0, True),
    ],
)
def test_the_preferred_level_is_answered_once_the_clock_ends(
    facts: list[Fact], now: float, preferred_met: bool | None
) -> None:
    """While it runs the answer is open; a cancelled clock has none."""
    assert judged(*facts, minutes=now).cycle.preferred_met is preferred_met


def test_what_is_called_off_was_never_stopped() -> None:
    """Not by what happens afterwards either."""
    assert judged(START, a_fact(CANCELLED, 10), a_fact(STOPPED, 20)).cycle.stopped_at == NONE


def test_a_standard_may_do_without_preferred_level_warning_and_grace() -> None:
    """Then the clock goes straight from running to breached, a microsecond after the limit."""
    bare = standards(Goal(minutes(60)))
    clock = judged(START, minutes=60, by=bare)
    assert (clock.cycle.state, clock.cycle.preferred_due_at, clock.cycle.warn_at) == (State.RUNNING, NONE, ())
    assert next_deadline(clock, bare) == at(60) + 1
    breached = due(clock, Instant(at(60) + 1), bare)
    assert breached is not None
    assert (breached.cycle.state, breached.cycle.preferred_met) == (State.BREACHED, None)


def test_each_field_of_the_context_is_the_one_last_stated() -> None:
    """A later fact that is silent about the team does not erase it."""
    first = a_fact(STARTED, 0, context=Context(team="blue", site="Lugo"))
    second = a_fact(OTHER, 5, context=Context(site="Vigo", customer_tier="gold"))
    assert judged(second, first, a_fact(OTHER, 6)).context == Context(team="blue", site="Vigo", customer_tier="gold")


def test_what_a_policy_asks_for_matters_where_there_are_no_sites() -> None:
    """As where there are."""
    book = STANDARDS.versions[0].book
    policy = book.policies[0]._replace(when=Condition("team", frozenset({"blue"})))
    by = Standards.of(book._replace(policies=[policy]))
    teams = [Context(team=team) for team in ("blue", "red")]
    assert [judged(a_fact(STARTED, 0, context=team), by=by).cycle.policy for team in teams] == ["within the hour", ""]


def test_facts_that_are_known_already_leave_the_very_same_record() -> None:
    """The engine writes nothing then."""
    clock = judged(START, minutes=50)
    assert fold(clock, [START, START], STANDARDS) is clock


def test_of_two_facts_with_one_id_the_smaller_is_kept_whichever_came_first() -> None:
    """Repaired or garbled repeats cannot make the verdict depend on arrival."""
    early, late = (a_fact(STOPPED, minute, event_id="e1") for minute in (10, 90))
    for facts in ([early, late], [late, early]):
        assert fold(judged(START), facts, STANDARDS).facts == (START, early)
        assert fold(judged(START, facts[0]), facts[1:], STANDARDS).facts == (START, early)


def test_an_earlier_start_never_lets_fold_announce_a_breach_by_the_clock() -> None:
    """The stop may still be unread; only `due` says breached, and it is asked at once."""
    clock = fold(judged(a_fact(STARTED, 30), minutes=80), [START], STANDARDS)
    cycle = clock.cycle
    assert (cycle.state, cycle.due_at, cycle.preferred_met) == (State.AT_RISK, at(60), None)
    assert next_deadline(clock, STANDARDS) == at(62) + 1


def test_a_record_is_forgotten_a_horizon_after_its_last_fact_and_limit() -> None:
    """Not before either, and never where there is no horizon."""
    mortal = standards(GOAL, horizon=100 * MINUTE)
    breached = judged(START, minutes=63)
    assert next_deadline(judged(START), mortal) == at(45)
    assert next_deadline(breached, mortal) == at(162)
    assert due(breached, Instant(at(162) - 1), mortal) == breached
    assert due(breached, at(162), mortal) is None
    late = judged(START, a_fact(STOPPED, 70))
    assert next_deadline(late, mortal) == at(170)
    assert next_deadline(late, STANDARDS) is None


def test_a_clock_that_nothing_times_any_more_is_forgotten() -> None:
    """Editing the standards cannot stop the service."""
    book = STANDARDS.versions[0].book
    policy = book.policies[0]
    others = [policy._replace(goals={"resolution": GOAL})]
    assert due(judged(START), at(10), Standards.of(book._replace(policies=others))) is None


NOTED, RUNNING, AT_RISK = judged(a_fact(OTHER, 1)), judged(START), judged(START, minutes=50)
BREACHED, MET = judged(START, minutes=63), judged(START, a_fact(STOPPED, 9))
MISSED, CALLED_OFF = judged(START, a_fact(STOPPED, 90)), judged(START, a_fact(CANCELLED, 9))


@pytest.mark.parametrize(
    ("old", "new", "announced"),
    [
        (None, NOTED, Transition.NOTED),
        (None, RUNNING, Transition.STARTED),
        (None, MET, Transition.MET),
        (NOTED, RUNNING, Transition.STARTED),
        (RUNNING, RUNNING, Transition.NOTED),
        (RUNNING, AT_RISK, Transition.AT_RISK),
        (AT_RISK, BREACHED, Transition.BREACHED),
        (RUNNING, MET, Transition.MET),
        (RUNNING, CALLED_OFF, Transition.CANCELLED),
        (BREACHED, MISSED, Transition.MISSED),
        (MISSED, BREACHED, Transition.BREACHED),
        (BREACHED, MET, Transition.RETRACTED),
        (MISSED, MET, Transition.RETRACTED),
        (BREACHED, CALLED_OFF, Transition.RETRACTED),
        (BREACHED, RUNNING, Transition.RETRACTED),
        (BREACHED, NOTED, Transition.RETRACTED),
        (RUNNING, NOTED, Transition.NOTED),
        (AT_RISK, NOTED, Transition.RETRACTED),
        (AT_RISK, AT_RISK, Transition.NOTED),
    ],
)
def test_a_transition_is_named_by_where_it_leads(old: Clock | None, new: Clock, announced: Transition) -> None:
    """Except where it takes back a breach, or a warning of nothing: that is what must reach whoever was told."""
    assert change(old, new).transition == announced


#: Of each transition a step that leads to it, the weightiest last.
STEPS = {
    Transition.NOTED: (State.RUNNING, State.RUNNING),
    Transition.RESUMED: (State.PAUSED, State.RUNNING),
    Transition.STARTED: (State.NOTED, State.RUNNING),
    Transition.PAUSED: (State.RUNNING, State.PAUSED),
    Transition.CANCELLED: (State.RUNNING, State.CANCELLED),
    Transition.MET: (State.RUNNING, State.MET),
    Transition.AT_RISK: (State.RUNNING, State.AT_RISK),
    Transition.MISSED: (State.BREACHED, State.MISSED),
    Transition.BREACHED: (State.AT_RISK, State.BREACHED),
    Transition.RETRACTED: (State.MISSED, State.MET),
}


@pytest.mark.parametrize(("lighter", "heavier"), list(pairwise(STEPS)))
def test_of_several_cycles_the_weightiest_change_is_announced(lighter: Transition, heavier: Transition) -> None:
    """Whichever of them it is in; of two that weigh the same the last."""
    for first, last, expected in ((lighter, heavier, 2), (heavier, lighter, 1), (heavier, heavier, 2)):
        old, new = (
            replace(RUNNING, earlier=(Cycle(STEPS[first][step]),), cycle=Cycle(STEPS[last][step])) for step in (0, 1)
        )
        assert change(old, new)[:2] == (heavier, expected)


def test_a_breach_says_since_when_it_could_be_announced() -> None:
    """Measured once, where it is announced."""
    assert breached_at(change(AT_RISK, BREACHED)) == at(62) + 1
    assert breached_at(change(BREACHED, BREACHED)) is None
    assert breached_at(change(RUNNING, MISSED)) is None


def test_the_margin_is_told_once_by_the_step_that_stops_the_clock() -> None:
    """Seconds after due; below zero in time."""
    assert margin(change(RUNNING, MET)) == -51 * 60
    assert margin(change(BREACHED, MISSED)) == 30 * 60
    assert margin(change(BREACHED, MET)) == -51 * 60
    assert margin(change(MISSED, MISSED)) is None
    assert margin(change(RUNNING, CALLED_OFF)) is None
    assert margin(change(BREACHED, CALLED_OFF)) is None
