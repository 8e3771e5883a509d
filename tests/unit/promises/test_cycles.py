"""A word given again is a word, and what is of one instant has its order.

Promised at noon for 12:60, as in the tests of the domain: tolerance to 12:62, a break announced after 12:63.
"""

from itertools import permutations

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from services.promises import codec
from services.promises.domain import change, due, fold, next_deadline, note
from services.promises.explain import explain
from services.promises.model import Consent, Fact, FactKind, Party, Promise, Reason, State, Transition
from services.promises.words import cycles_of
from services.shared.facts import merge, reused
from services.shared.instant import Instant
from tests.unit.promises.builders import (
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
from tests.unit.promises.strategies import facts

US, CUSTOMER = Party.COMPANY, Party.CUSTOMER
WORD = promised(0, 60)
MACHINE_KEY = PROMISE[0]
OPEN, BROKEN, KEPT, LATE, WITHDRAWN = State.OPEN, State.BROKEN, State.KEPT, State.KEPT_LATE, State.WITHDRAWN


def cycles(promise: Promise) -> list[tuple[State, Reason, Instant]]:
    """How each stands, why, and the time it is due."""
    return [(State(each.state), Reason(each.reason), each.due_at) for each in cycles_of(promise)]


@pytest.mark.parametrize(
    ("ending", "state", "reason"),
    [
        ([cancelled(30, CUSTOMER)], WITHDRAWN, Reason.CANCELLED_BY_CUSTOMER),
        ([cancelled(30, US, Consent.ACCEPTED)], WITHDRAWN, Reason.CANCELLED_BY_AGREEMENT),
        ([cancelled(30, US)], BROKEN, Reason.CANCELLED_BY_US),
        ([waived(30)], WITHDRAWN, Reason.WAIVED),
        ([no_show(65, CUSTOMER)], WITHDRAWN, Reason.CUSTOMER_NO_SHOW),
        ([no_show(65, US)], BROKEN, Reason.NO_SHOW_BY_US),
        ([fulfilled(30)], KEPT, Reason.FULFILLED),
        ([fulfilled(70)], LATE, Reason.FULFILLED),
        ([cancelled(70, CUSTOMER)], BROKEN, Reason.DUE_PASSED),
        ([cancelled(30, US), fulfilled(40)], KEPT, Reason.FULFILLED),
        ([moved(20, 55), waived(30)], WITHDRAWN, Reason.WAIVED),
    ],
    ids=lambda each: "" if isinstance(each, State) else None,
)
def test_a_word_given_again_after_any_end_is_watched_to_its_own(
    ending: list[Fact], state: State, reason: Reason
) -> None:
    """The first verdict stays; the new word warns, breaks and is kept by itself."""
    again = promised(80, 200)
    due_at = at(55) if len(ending) == 2 and ending[1].kind == FactKind.WAIVED else at(60)
    first = (state, reason, due_at)
    facts = [WORD, *ending, again]
    assert cycles(judged(*facts, minutes=100)) == [first, (OPEN, Reason.NONE, at(200))]
    assert cycles(judged(*facts, minutes=190)) == [first, (State.AT_RISK, Reason.NONE, at(200))]
    assert cycles(judged(*facts, minutes=204)) == [first, (BROKEN, Reason.DUE_PASSED, at(200))]
    assert cycles(judged(*facts, fulfilled(150), minutes=300)) == [first, (KEPT, Reason.FULFILLED, at(200))]
    assert cycles(judged(*facts, fulfilled(250), minutes=300)) == [first, (LATE, Reason.FULFILLED, at(200))]
    third = judged(*facts, cancelled(90, CUSTOMER), promised(95, 400), minutes=100)
    assert cycles(third)[1:] == [
        (WITHDRAWN, Reason.CANCELLED_BY_CUSTOMER, at(200)),
        (OPEN, Reason.NONE, at(400)),
    ]
    assert judged(*facts, minutes=100).original_due_at == at(200)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param([promised(30, 90)], [(BROKEN, 60)], id="while it is open it is another time, not agreed to"),
        pytest.param([promised(80, 200)], [(BROKEN, 60)], id="overdue is no end: the first date counts"),
        pytest.param([promised(80, 200), fulfilled(150)], [(LATE, 60)], id="overdue, put off, and done"),
        pytest.param([fulfilled(30), promised(31, 60)], [(KEPT, 60)], id="what is done, told once more"),
        pytest.param([fulfilled(30), moved(40, 200)], [(KEPT, 60)], id="a new time for what is done"),
        pytest.param([cancelled(30, CUSTOMER), moved(40, 200)], [(WITHDRAWN, 60), (BROKEN, 200)], id="agreed anew"),
        pytest.param(
            [no_show(65, CUSTOMER), moved(70, 200)], [(WITHDRAWN, 60), (BROKEN, 200)], id="nobody, agreed anew"
        ),
        pytest.param([waived(30), moved(40, 200)], [(WITHDRAWN, 60), (BROKEN, 200)], id="waived, agreed anew"),
        pytest.param(
            [cancelled(30, CUSTOMER), moved(40, 200, Consent.SILENT)], [(WITHDRAWN, 60)], id="only a proposal"
        ),
        pytest.param([cancelled(30, CUSTOMER), promised(40, 60)], [(WITHDRAWN, 60), (BROKEN, 60)], id="the same slot"),
        pytest.param(
            [cancelled(30, US), moved(70, 200)], [(BROKEN, 60), (BROKEN, 200)], id="agreed when it had passed"
        ),
        pytest.param(
            [cancelled(30, US), promised(40, 200), fulfilled(150)],
            [(BROKEN, 60), (KEPT, 200)],
            id="by us, promised anew",
        ),
    ],
)
def test_what_is_another_word_and_what_is_not(facts: list[Fact], expected: list[tuple[State, float]]) -> None:
    """As of long after."""
    promise = judged(WORD, *facts, minutes=999)
    assert [(state, due_at) for state, _, due_at in cycles(promise)] == [(state, at(due)) for state, due in expected]


def test_called_off_by_us_and_agreed_anew_while_the_word_held_is_by_agreement() -> None:
    """It is open and due at the new time; what was announced is taken back. Called off once more, it is broken."""
    off = judged(WORD, cancelled(30, US), minutes=31)
    agreed = fold(off, [moved(40, 200)], RULES)
    assert (agreed.state, agreed.due_at, agreed.by_agreement, agreed.earlier) == (OPEN, at(200), True, ())
    assert change(off, agreed)[0] == Transition.RETRACTED
    assert agreed.original_due_at == at(60)
    assert judged(WORD, cancelled(30, US), moved(40, 200), fulfilled(150), minutes=999).state == KEPT
    again = judged(WORD, cancelled(30, US), moved(40, 200), cancelled(50, US), minutes=51)
    assert (again.state, again.reason, again.earlier) == (BROKEN, Reason.CANCELLED_BY_US, ())


def test_each_cycle_is_announced_by_itself() -> None:
    """Its own transitions, under ids of its own; the first cycle's are as they always were."""
    batches = [[WORD], [cancelled(30, US)], [promised(40, 60)], [cancelled(50, US)], [promised(52, 300)]]
    record: Promise | None = None
    said = []
    for batch in batches:
        old, record = record, fold(record, batch, RULES) if record else note(PROMISE, batch, RULES)
        step = codec._step(MACHINE_KEY, old, record)  # noqa: SLF001
        said.append((step.name, step.id.removeprefix(MACHINE_KEY + b":")))
    due_at = b"%d" % at(60)
    assert said == [
        (b"made", b"made:" + due_at),
        (b"broken", b"broken:" + due_at),
        (b"made", b"made:" + due_at + b":2"),
        (b"broken", b"broken:" + due_at + b":2"),
        (b"made", b"made:%d:3" % at(300)),
    ]


def test_a_late_truth_about_an_earlier_cycle_takes_its_break_back() -> None:
    """While the new word goes on; the time to spare is that of the word it is about."""
    old = judged(WORD, cancelled(30, US), promised(80, 200), minutes=100)
    new = fold(old, [fulfilled(29)], RULES)
    announced, number, _, now = change(old, new)
    assert (announced, number, State(now.state)) == (Transition.RETRACTED, 1, KEPT)
    assert cycles(new)[1] == (OPEN, Reason.NONE, at(200))


def test_the_clock_breaks_what_was_called_off_too_late_before_it_was_promised_anew() -> None:
    """Facts alone never do, as a fulfilment may be unread; the deadline of the earlier cycle is looked at."""
    record = note(PROMISE, [WORD, cancelled(70, CUSTOMER), promised(80, 200)], RULES)
    assert [state for state, *_ in cycles(record)] == [OPEN, OPEN]
    assert next_deadline(record, RULES) == at(50)
    swept = due(record, at(81), RULES)
    assert swept is not None
    assert [state for state, *_ in cycles(swept)] == [BROKEN, OPEN]
    assert next_deadline(swept, RULES) == at(190)
    assert [state for state, *_ in cycles(fold(swept, [attempted(82)], RULES))] == [BROKEN, OPEN]


def test_more_facts_break_no_cycle_by_time() -> None:
    """A word that comes late and lies in the past waits for the clock; what the clock had said stays said."""
    record = judged(WORD, minutes=100)
    assert record.reason == Reason.DUE_PASSED
    folded = fold(record, [cancelled(70, CUSTOMER), promised(75, 50)], RULES)
    assert cycles(folded) == [(BROKEN, Reason.DUE_PASSED, at(60)), (OPEN, Reason.NONE, at(50))]
    assert cycles(judged(*folded.facts, minutes=101))[1] == (BROKEN, Reason.DUE_PASSED, at(50))


def test_more_facts_warn_of_no_cycle_by_time() -> None:
    """A word that comes late and lies in the past, before one that is at risk, waits for the clock as well."""
    record = judged(promised(80, 200), minutes=195)
    assert record.state == State.AT_RISK
    folded = fold(record, [WORD, cancelled(70, CUSTOMER)], RULES)
    assert cycles(folded) == [(OPEN, Reason.NONE, at(60)), (State.AT_RISK, Reason.NONE, at(200))]


def test_a_cycle_that_never_was_is_taken_back() -> None:
    """Where an agreement becomes known that the later word was made by."""
    word = promised(0, 45)
    record = judged(word, cancelled(30, US), moved(50, 120), minutes=200)
    assert cycles(record) == [(BROKEN, Reason.CANCELLED_BY_US, at(45)), (BROKEN, Reason.DUE_PASSED, at(120))]
    whole = fold(record, [moved(20, 60)], RULES)
    assert whole.earlier == ()
    assert change(record, whole)[0] == Transition.RETRACTED


def test_a_record_of_one_cycle_has_the_bytes_that_it_always_had() -> None:
    """And one that was written before there were cycles, or numbers, is read as what it is."""
    packed = codec.pack(judged(WORD, fulfilled(30), minutes=100))
    assert packed.hex() == OLD
    assert codec.unpack(packed).earlier == ()
    assert [fact.sequence for fact in codec.unpack(packed).facts] == [0, 0]


#: Written by the release before.
OLD = (
    "0a12616e612f6f726465725f72656164792f6f3110011a03616e6122026f31280530013a0608d09396cd06420608d09396cd"
    "06520608d09396cd065a0608f88e96cd06620608849596cd066a0608c88596cd067a013782012b0a1150524f4d4953454440"
    "303a36303a303a30120473686f701a0608c0f795cd0620012a0608d09396cd068201270a1546554c46494c4c45444033303a"
    "4e6f6e653a303a30120473686f701a0608c88596cd062003"
)

# --- facts of one instant


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param([fulfilled(30), cancelled(30, CUSTOMER)], [KEPT], id="done, then called off"),
        pytest.param([fulfilled(30), no_show(30, CUSTOMER)], [KEPT], id="done, then nobody came"),
        pytest.param([cancelled(30, CUSTOMER), cancelled(30, US)], [WITHDRAWN], id="the customer's word first"),
        pytest.param([cancelled(30, CUSTOMER), promised(30, 200)], [WITHDRAWN, OPEN], id="called off, then anew"),
        pytest.param([cancelled(30, US), moved(30, 200)], [OPEN], id="called off by us, then agreed"),
        pytest.param([fulfilled(30), promised(30, 200)], [KEPT], id="another time told, then done"),
        pytest.param(
            [cancelled(10, CUSTOMER), promised(30, 200), cancelled(30, US)],
            [WITHDRAWN, BROKEN],
            id="anew, then called off",
        ),
        pytest.param(
            [cancelled(10, CUSTOMER), promised(30, 200), waived(30)], [WITHDRAWN, WITHDRAWN], id="anew, then waived"
        ),
        pytest.param([promised(0, 90)], [OPEN], id="of two times the earlier"),
    ],
)
@pytest.mark.parametrize("ids", [*permutations("abc")], ids="".join)
def test_ids_decide_nothing(facts: list[Fact], expected: list[State], ids: tuple[str, ...]) -> None:
    """Of one instant each kind has its rank, however its events are called and whoever says so."""
    named = [replace(fact, event_id=name, source=name) for fact, name in zip(facts, ids, strict=False)]
    promise = judged(replace(WORD, event_id="d"), *named, minutes=31)
    assert [state for state, *_ in cycles(promise)] == expected
    assert promise.original_due_at in {at(60), at(200)}


def numbered(*facts: Fact) -> list[Fact]:
    """As the source numbers them."""
    return [replace(fact, sequence=number) for number, fact in enumerate(facts, start=1)]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param([cancelled(30, CUSTOMER), fulfilled(30)], [WITHDRAWN], id="called off, then done"),
        pytest.param([fulfilled(30), cancelled(30, CUSTOMER)], [KEPT], id="done, then called off"),
        pytest.param([promised(30, 200), cancelled(30, CUSTOMER)], [WITHDRAWN], id="put off, then called off"),
        pytest.param([cancelled(30, CUSTOMER), promised(30, 200)], [WITHDRAWN, OPEN], id="called off, then anew"),
        pytest.param([fulfilled(30), promised(30, 200)], [KEPT, OPEN], id="done, then promised anew"),
        pytest.param(
            [cancelled(30, US), promised(30, 200), waived(30), promised(30, 300)],
            [BROKEN, WITHDRAWN, OPEN],
            id="all of it on one day",
        ),
    ],
)
def test_what_a_source_numbers_happened_in_that_order(facts: list[Fact], expected: list[State]) -> None:
    """Whatever the ranks say."""
    assert [state for state, *_ in cycles(judged(WORD, *numbered(*facts), minutes=31))] == expected


def test_the_numbers_of_two_sources_are_not_compared() -> None:
    """The desk's ninth is no later than the till's first; between them the rank decides."""
    off = replace(cancelled(30, CUSTOMER), source="till", sequence=1)
    done = replace(fulfilled(30), source="desk", sequence=9)
    assert judged(WORD, off, done, minutes=31).state == KEPT


def test_what_is_stated_last_at_one_instant_does_not_hang_on_ids() -> None:
    """A team that a source names later counts."""
    first, later = (
        a_fact(FactKind.ATTEMPTED, 30, event_id=name, context=("", "", "", "", "", team, ""), sequence=number)
        for name, team, number in (("z", "blue", 1), ("a", "red", 2))
    )
    assert judged(WORD, first, later).context[5] == "red"


@given(said=st.lists(facts(), min_size=1, max_size=5), data=st.data())
def test_no_verdict_hangs_on_ids(said: list[Fact], data: st.DataObject) -> None:
    """Named anew, all events come to the same; only the names in the record differ."""
    once = [replace(fact, event_id=str(number)) for number, fact in enumerate(said)]
    names = data.draw(st.permutations([fact.event_id for fact in once]))
    anew = [replace(fact, event_id=name) for fact, name in zip(once, names, strict=True)]
    records = [replace(judged(*each, minutes=100), facts=()) for each in (once, anew)]
    assert records[0] == records[1]


# --- ids used again


def test_an_id_that_says_something_else_is_found_whichever_comes_first() -> None:
    """The same once more is not, nor where only its number differs; what stays does not hang on arrival."""
    done = replace(fulfilled(30), event_id=WORD.event_id)
    assert reused((WORD,), [done]) == [done]
    assert reused((done,), [WORD]) == [WORD]
    assert reused((), [WORD, done]) == [done]
    assert reused((WORD,), [WORD, replace(WORD, sequence=7), replace(done, source="till")]) == []
    assert merge((WORD,), [done]) == merge((done,), [WORD]) == (WORD,)


# --- explained


def test_an_explanation_goes_cycle_by_cycle() -> None:
    """What each fact did to the word it belongs to, and each verdict with its reason."""
    told = explain(judged(WORD, cancelled(30, CUSTOMER), promised(80, 200), fulfilled(150), minutes=300))
    assert told.headline == "Order o1 to be ready for customer ana: kept"
    assert [step.effect for step in told.timeline] == [
        "the word given", "decides the verdict", "the word given anew", "decides the verdict",
    ]  # fmt: skip
    assert told.reasoning == (
        "Cycle 1 of 2:",
        "Due 2026-03-02 13:00:00 UTC.",
        "The customer called it off, so it does not count.",
        "Cycle 2 of 2:",
        "Due 2026-03-02 15:20:00 UTC.",
        "Fulfilled 2026-03-02 14:30:00 UTC: 50 min early.",
        "Judged by rules version 7.",
    )


def test_an_explanation_says_what_an_agreement_did() -> None:
    """To what the company had called off."""
    told = explain(judged(WORD, cancelled(30, US), moved(40, 200), minutes=50))
    assert [step.effect for step in told.timeline] == [
        "the word given", "changes nothing: it was agreed anew", "counts: the new due time",
    ]  # fmt: skip
