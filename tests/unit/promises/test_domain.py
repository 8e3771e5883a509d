"""What a promise is worth, rule by rule.

Promised at noon for 12:60. Tolerance to 12:62, warning from 12:50, a break announced after 12:63.
"""

import pytest
from msgspec.structs import replace

from services.promises.domain import breached_at, due, fold, margin, next_deadline, note, transition
from services.promises.model import NONE, Consent, Fact, FactKind, KindRules, Party, Promise, Reason, State, Transition
from services.shared.facts import Context
from services.shared.instant import Instant
from tests.unit.promises.builders import (
    MINUTE,
    PROMISE,
    RULES,
    a_fact,
    at,
    attempted,
    cancelled,
    fulfilled,
    judged,
    moved,
    no_show,
    promised,
    waived,
)

US, CUSTOMER = Party.COMPANY, Party.CUSTOMER
ACCEPTED, DECLINED, SILENT = Consent.ACCEPTED, Consent.DECLINED, Consent.SILENT
WORD = promised(0, 60)


@pytest.mark.parametrize(
    ("facts", "minutes", "state", "reason"),
    [
        pytest.param([], 999, State.NOTED, Reason.NONE, id="nothing promised"),
        pytest.param([fulfilled(5)], 999, State.NOTED, Reason.NONE, id="done, but nothing promised"),
        pytest.param([WORD], 49.9, State.OPEN, Reason.NONE, id="open"),
        pytest.param([WORD], 50, State.AT_RISK, Reason.NONE, id="at risk"),
        pytest.param([WORD], 63, State.AT_RISK, Reason.NONE, id="at the last instant of grace"),
        pytest.param([WORD], 63.001, State.BROKEN, Reason.DUE_PASSED, id="grace is over"),
        pytest.param([WORD, attempted(30)], 64, State.BROKEN, Reason.DUE_PASSED, id="attempts fulfil nothing"),
        pytest.param([WORD, fulfilled(30)], 999, State.KEPT, Reason.FULFILLED, id="done early"),
        pytest.param(
            [WORD, fulfilled(30), moved(31, 20)], 999, State.KEPT, Reason.FULFILLED, id="a new time for what is done"
        ),
        pytest.param(
            [WORD, cancelled(90, US)], 999, State.BROKEN, Reason.DUE_PASSED, id="called off by us when broken already"
        ),
        pytest.param([WORD, fulfilled(60)], 999, State.KEPT, Reason.FULFILLED, id="done when due"),
        pytest.param([WORD, fulfilled(62)], 999, State.KEPT, Reason.FULFILLED, id="done within tolerance"),
        pytest.param([WORD, fulfilled(62.001)], 62.1, State.KEPT_LATE, Reason.FULFILLED, id="done after tolerance"),
        pytest.param([WORD, fulfilled(90), fulfilled(30)], 999, State.KEPT, Reason.FULFILLED, id="done twice"),
        pytest.param([fulfilled(-5), WORD], 999, State.KEPT, Reason.FULFILLED, id="done before it was promised"),
        pytest.param([WORD, cancelled(30, US)], 30, State.BROKEN, Reason.CANCELLED_BY_US, id="called off by us"),
        pytest.param(
            [WORD, cancelled(30, US, DECLINED)], 30, State.BROKEN, Reason.CANCELLED_BY_US, id="called off against a no"
        ),
        pytest.param(
            [WORD, cancelled(30, US, SILENT)], 30, State.BROKEN, Reason.CANCELLED_BY_US, id="called off, no answer"
        ),
        pytest.param(
            [WORD, cancelled(30, US, ACCEPTED)],
            999,
            State.WITHDRAWN,
            Reason.CANCELLED_BY_AGREEMENT,
            id="called off by agreement",
        ),
        pytest.param(
            [WORD, cancelled(30, CUSTOMER)],
            999,
            State.WITHDRAWN,
            Reason.CANCELLED_BY_CUSTOMER,
            id="called off by the customer",
        ),
        pytest.param(
            [WORD, cancelled(90, CUSTOMER)], 999, State.BROKEN, Reason.DUE_PASSED, id="called off after it was broken"
        ),
        pytest.param(
            [WORD, fulfilled(30), cancelled(40, US)],
            999,
            State.KEPT,
            Reason.FULFILLED,
            id="called off after it was done",
        ),
        pytest.param(
            [WORD, fulfilled(30), cancelled(40, CUSTOMER)],
            999,
            State.KEPT,
            Reason.FULFILLED,
            id="done, then called off",
        ),
        pytest.param(
            [WORD, fulfilled(90), no_show(95, CUSTOMER)], 999, State.KEPT_LATE, Reason.FULFILLED, id="late, then nobody"
        ),
        pytest.param(
            [WORD, cancelled(30, US), fulfilled(40)],
            999,
            State.KEPT,
            Reason.FULFILLED,
            id="called off, yet done in time",
        ),
        pytest.param(
            [WORD, cancelled(30, US), fulfilled(90)], 999, State.KEPT_LATE, Reason.FULFILLED, id="called off, done late"
        ),
        pytest.param(
            [WORD, no_show(70, CUSTOMER)], 999, State.WITHDRAWN, Reason.CUSTOMER_NO_SHOW, id="the customer did not come"
        ),
        pytest.param([WORD, no_show(60, US)], 60, State.BROKEN, Reason.NO_SHOW_BY_US, id="we did not come"),
        pytest.param([WORD, waived(30)], 999, State.WITHDRAWN, Reason.WAIVED, id="waived"),
        pytest.param([WORD, waived(90)], 999, State.WITHDRAWN, Reason.WAIVED, id="waived after it was broken"),
        pytest.param([WORD, waived(30), fulfilled(40)], 999, State.KEPT, Reason.FULFILLED, id="waived, yet kept"),
        pytest.param(
            [WORD, waived(30), cancelled(20, US)], 999, State.WITHDRAWN, Reason.WAIVED, id="waived, called off"
        ),
    ],
)
def test_the_verdict_follows_from_the_facts_and_the_instant(
    facts: list[Fact], minutes: float, state: State, reason: Reason
) -> None:
    """Each case states the facts, the instant they are judged at, and the verdict with its reason."""
    promise = judged(*(facts or [attempted(1)]), minutes=minutes)
    assert (State(promise.state), Reason(promise.reason)) == (state, reason)


@pytest.mark.parametrize(
    ("facts", "due_at", "agreed", "announced"),
    [
        pytest.param([], 60, False, 60, id="as promised"),
        pytest.param([moved(30, 90)], 90, True, 90, id="accepted before due"),
        pytest.param([moved(60, 90)], 90, True, 90, id="accepted when due"),
        pytest.param([moved(60.1, 90)], 60, False, 90, id="accepted too late"),
        pytest.param([moved(30, 90, SILENT)], 60, False, 90, id="not answered"),
        pytest.param([moved(30, 90, DECLINED)], 60, False, 90, id="declined"),
        pytest.param([moved(30, 90, Consent.UNSPECIFIED)], 60, False, 90, id="no answer stated"),
        pytest.param([moved(30, 90, Consent.UNSPECIFIED, CUSTOMER)], 90, True, 90, id="asked for by the customer"),
        pytest.param([moved(30, 90, DECLINED, CUSTOMER)], 60, False, 90, id="asked for, then declined"),
        pytest.param([moved(30, 90), moved(80, 120)], 120, True, 120, id="accepted twice"),
        pytest.param([moved(30, 90), moved(95, 120)], 90, True, 120, id="the second too late"),
        pytest.param([moved(30, 90), moved(40, 120, SILENT)], 90, True, 120, id="the second not answered"),
        pytest.param([moved(30, 45)], 45, True, 45, id="accepted an earlier time"),
        pytest.param([promised(30, 90)], 60, False, 90, id="promised again without asking"),
        pytest.param([moved(-30, 90)], 60, False, 60, id="a change from before there was a promise"),
    ],
)
def test_the_original_word_stays_and_only_consent_in_time_moves_what_is_due(
    facts: list[Fact], due_at: float, agreed: bool, announced: float
) -> None:
    """A new date counts if the customer accepted it before the one in force passed; else it is only announced."""
    promise = judged(WORD, *facts)
    assert promise.original_due_at == at(60)
    assert (promise.due_at, promise.by_agreement, promise.announced_due_at) == (at(due_at), agreed, at(announced))


@pytest.mark.parametrize(
    ("facts", "state", "agreed"),
    [
        ([moved(30, 90), fulfilled(80)], State.KEPT, True),
        ([moved(30, 90, SILENT), fulfilled(80)], State.KEPT_LATE, False),
        ([moved(30, 90), fulfilled(95)], State.KEPT_LATE, True),
        ([moved(30, 45), fulfilled(55)], State.KEPT_LATE, True),
        ([moved(70, 90), fulfilled(80)], State.KEPT_LATE, False),
    ],
)
def test_a_promise_is_kept_by_agreement_or_counts_against_the_original(
    facts: list[Fact], state: State, agreed: bool
) -> None:
    """What was not agreed to in time excuses nothing."""
    promise = judged(WORD, *facts, minutes=999)
    assert (promise.state, promise.by_agreement) == (state, agreed)


@pytest.mark.parametrize(
    ("facts", "minutes", "settled"),
    [
        ([], 10, None),
        ([], 70, 60),
        ([fulfilled(40)], 70, 40),
        ([fulfilled(90)], 99, 90),
        ([cancelled(20, US)], 99, 20),
        ([waived(80)], 99, 80),
    ],
)
def test_it_is_settled_when_the_deciding_thing_happened(
    facts: list[Fact], minutes: float, settled: float | None
) -> None:
    """In event time; what time alone broke was broken when due."""
    assert judged(WORD, *facts, minutes=minutes).settled_at == (NONE if settled is None else at(settled))


def test_the_warning_never_takes_more_than_half_of_the_time_given() -> None:
    """A promise for in six minutes is at risk after three, not at once."""
    assert judged(promised(0, 6)).warn_at == at(3)
    assert judged(promised(0, 60), moved(58, 64)).warn_at == at(61)


def test_a_kind_may_do_without_tolerance_grace_and_warning() -> None:
    """Then an open promise breaks a microsecond after it was due."""
    bare = RULES._replace(kinds={PROMISE[1]: KindRules()})
    promise = judged(WORD, minutes=60, rules=bare)
    assert (promise.state, promise.warn_at) == (State.OPEN, NONE)
    assert next_deadline(promise, bare) == at(60) + 1
    broken = due(promise, Instant(at(60) + 1), bare)
    assert broken is not None
    assert broken.state == State.BROKEN


def test_a_tolerance_longer_than_grace_holds_the_announcement_back() -> None:
    """Nothing is announced broken that a fulfilment could still keep."""
    patient = RULES._replace(kinds={PROMISE[1]: KindRules(tolerance=9 * MINUTE, grace=3 * MINUTE)})
    assert judged(WORD, minutes=69, rules=patient).state == State.OPEN
    assert judged(WORD, minutes=69.001, rules=patient).state == State.BROKEN


def test_each_field_of_the_context_is_the_one_last_stated() -> None:
    """A later fact that is silent about the team does not erase it."""
    word = replace(WORD, context=Context(team="blue", site="Lugo"))
    later = replace(attempted(5), context=Context(site="Vigo", customer_tier="gold"))
    assert judged(later, attempted(6), word).context == Context(team="blue", site="Vigo", customer_tier="gold")


def test_known_facts_leave_the_very_same_record() -> None:
    """The engine writes nothing then."""
    promise = judged(WORD, minutes=55)
    assert fold(promise, [WORD, WORD], RULES) is promise


def test_an_earlier_promise_never_lets_fold_announce_a_break_by_the_clock() -> None:
    """Its fulfilment may still be unread; only `due` says broken, and it is asked at once."""
    at_risk = judged(promised(30, 80), minutes=75)
    assert at_risk.state == State.AT_RISK
    promise = fold(at_risk, [WORD], RULES)
    assert (promise.state, promise.due_at, promise.settled_at) == (State.AT_RISK, at(60), NONE)
    assert next_deadline(promise, RULES) == at(63) + 1


def test_a_record_is_forgotten_a_horizon_after_its_last_fact_and_deadline() -> None:
    """Not before either, and never where there is no horizon."""
    mortal = RULES._replace(horizon=100 * MINUTE)
    broken = judged(WORD, minutes=70)
    assert next_deadline(broken, mortal) == at(163)
    assert due(broken, Instant(at(163) - 1), mortal) == broken
    assert due(broken, at(163), mortal) is None
    late = judged(WORD, fulfilled(70))
    assert next_deadline(late, mortal) == at(170)
    assert next_deadline(late, RULES) is None


NOTED, OPEN, AT_RISK = judged(attempted(1)), judged(WORD), judged(WORD, minutes=55)
BROKEN, KEPT, LATE = judged(WORD, minutes=64), judged(WORD, fulfilled(9)), judged(WORD, fulfilled(90))
WITHDRAWN, MOVED = judged(WORD, waived(9)), judged(WORD, moved(30, 90))


@pytest.mark.parametrize(
    ("old", "new", "announced"),
    [
        (None, NOTED, Transition.NOTED),
        (None, OPEN, Transition.MADE),
        (None, KEPT, Transition.KEPT),
        (NOTED, OPEN, Transition.MADE),
        (OPEN, OPEN, Transition.NOTED),
        (OPEN, MOVED, Transition.RENEGOTIATED),
        (AT_RISK, MOVED, Transition.RENEGOTIATED),
        (OPEN, AT_RISK, Transition.AT_RISK),
        (AT_RISK, BROKEN, Transition.BROKEN),
        (OPEN, KEPT, Transition.KEPT),
        (BROKEN, LATE, Transition.KEPT_LATE),
        (OPEN, WITHDRAWN, Transition.WITHDRAWN),
        (BROKEN, WITHDRAWN, Transition.WITHDRAWN),
        (BROKEN, KEPT, Transition.RETRACTED),
        (LATE, KEPT, Transition.RETRACTED),
        (BROKEN, MOVED, Transition.RETRACTED),
    ],
)
def test_a_transition_is_named_by_where_it_leads(old: Promise | None, new: Promise, announced: Transition) -> None:
    """Except where it takes back a break: that is what must reach whoever was told."""
    assert transition(old, new) == announced


def test_only_a_break_by_the_clock_says_since_when_it_could_be_announced() -> None:
    """What is broken by a fact is announced when the fact arrives."""
    assert breached_at(AT_RISK, BROKEN) == at(63) + 1
    assert breached_at(BROKEN, BROKEN) is None
    assert breached_at(OPEN, judged(WORD, cancelled(5, US))) is None


def test_the_margin_is_told_once_by_the_step_that_fulfils_the_promise() -> None:
    """Seconds after due; below zero in time."""
    assert margin(OPEN, KEPT) == -51 * 60
    assert margin(BROKEN, LATE) == 30 * 60
    assert margin(LATE, LATE) is None
    assert margin(OPEN, WITHDRAWN) is None


def test_of_two_facts_with_one_id_the_smaller_is_kept_whichever_came_first() -> None:
    """Repaired or garbled repeats cannot make the verdict depend on arrival."""
    early, late = (a_fact(FactKind.FULFILLED, minutes, event_id="e1") for minutes in (10, 90))
    first = fold(note(PROMISE, [WORD, early], RULES), [late], RULES)
    second = fold(note(PROMISE, [WORD, late], RULES), [early], RULES)
    assert first == second
    assert first.state == State.KEPT
