"""The laws, for any facts in any order."""

from itertools import pairwise, zip_longest

from hypothesis import given, settings, strategies as st

from services.promises import codec
from services.promises.domain import change, due, fold, next_deadline, note, transition
from services.promises.model import NONE, Cycle, Fact, FactKind, Promise, Reason, State, Transition
from services.promises.words import cycles_of
from services.shared.facts import merge
from services.shared.instant import Instant
from tests.unit.promises.builders import KIND_RULES, MINUTE, PROMISE, RULES, at, judged
from tests.unit.promises.oracle import Opinion, as_read, in_order, opinions
from tests.unit.promises.strategies import deliveries, fact_sets, instants, promised_with

LET_DOWN = {State.BROKEN, State.KEPT_LATE}
#: Facts that leave a promise to the clock.
#: None of it ends anything, so there is one cycle.
OPEN_ENDED = {FactKind.PROMISED, FactKind.RENEGOTIATED, FactKind.ATTEMPTED}
LATER = 10_000


def received(record: Promise | None, batch: list[Fact]) -> Promise:
    return fold(record, batch, RULES) if record else note(PROMISE, batch, RULES)


def swept(record: Promise, now: Instant) -> Promise:
    """What the engine does with a record whose deadline has passed: ask `due` what it is now."""
    for _ in range(4):
        deadline = next_deadline(record, RULES)
        if deadline is None or deadline > now:
            return record
        asked = due(record, now, RULES)
        assert asked is not None
        record = asked
    raise AssertionError("a record wants to be asked again without end")


def delivered(batches: list[list[Fact]], sweeps: list[float]) -> list[Promise]:
    """The records written when batches arrive and, after each, the clock is swept at the next of these minutes."""
    record: Promise | None = None
    written = []
    for index, batch in enumerate(batches):
        record = received(record, batch)
        written.append(record)
        if index < len(sweeps):
            record = swept(record, at(sweeps[index]))
            written.append(record)
    return written


@given(data=st.data(), facts=fact_sets(), now=instants())
def test_order_repetition_and_batches_do_not_matter(data: st.DataObject, facts: list[Fact], now: float) -> None:
    """However facts arrive and whenever the clock is swept before, the record as of one instant has the same bytes."""
    batches = data.draw(deliveries(facts))
    sweeps = sorted(data.draw(st.lists(instants().filter(lambda minutes: minutes <= now), max_size=len(batches))))
    final = swept(delivered(batches, sweeps)[-1], at(now))
    assert codec.pack(final) == codec.pack(judged(*facts, minutes=now))


@given(data=st.data(), facts=fact_sets())
def test_known_facts_change_nothing(data: st.DataObject, facts: list[Fact]) -> None:
    """A replay of any part of the input returns the very same record."""
    record = judged(*facts, minutes=data.draw(instants()))
    assert fold(record, data.draw(st.lists(st.sampled_from(record.facts))), RULES) is record


def broken_by_time(record: Promise | None) -> list[Promise | Cycle]:
    return [cycle for cycle in cycles_of(record) if cycle.reason == Reason.DUE_PASSED] if record else []


def told_by_time(record: Promise | None) -> list[Promise | Cycle]:
    """Those that are broken by time, or at risk."""
    at_risk = [cycle for cycle in cycles_of(record) if cycle.state == State.AT_RISK] if record else []
    return at_risk + broken_by_time(record)


@given(data=st.data(), facts=fact_sets())
def test_never_early(data: st.DataObject, facts: list[Fact]) -> None:
    """No break by time is announced before due and grace have passed; by the arrival of facts none, and no warning."""
    record: Promise | None = None
    for batch in data.draw(deliveries(facts)):
        folded = received(record, batch)
        for by_time in (broken_by_time, told_by_time):
            said = {cycle.breach_at for cycle in by_time(record)}
            fresh = [cycle for cycle in by_time(folded) if cycle.breach_at not in said]
            assert len(fresh) <= len(by_time(record))  # of the same cycles, with another date, as they had several
        now = at(data.draw(instants()))
        record = swept(folded, now)
        for was, cycle in zip(cycles_of(folded), cycles_of(record), strict=True):
            if transition(was, cycle) == Transition.BROKEN:
                assert now > cycle.due_at + max(KIND_RULES.grace, KIND_RULES.tolerance)


@given(facts=fact_sets())
def test_always(facts: list[Fact]) -> None:
    """Once the deadlines have been swept, nothing promised is open although no event ever came."""
    record = swept(note(PROMISE, facts, RULES), at(LATER))
    assert not {State.OPEN, State.AT_RISK} & {State(cycle.state) for cycle in cycles_of(record)}
    kinds = {fact.kind for fact in record.facts}
    assert (record.state == State.NOTED) == (FactKind.PROMISED not in kinds)
    if FactKind.PROMISED in kinds <= OPEN_ENDED:
        assert (record.state, record.reason) == (State.BROKEN, Reason.DUE_PASSED)
    assert next_deadline(record, RULES) is None


@given(facts=fact_sets(), now=instants())
def test_between_deadlines_nothing_happens(facts: list[Fact], now: float) -> None:
    """The verdict stands until its next deadline, and is another one at it: no sweep is late, none for nothing."""
    record = judged(*facts, minutes=now)
    deadline = next_deadline(record, RULES)
    if deadline is None:
        assert due(record, at(LATER), RULES) == record
    else:
        assert deadline > at(now)
        assert due(record, Instant(deadline - 1), RULES) == record
        assert due(record, deadline, RULES) != record


@given(facts=promised_with(*OPEN_ENDED), minutes_before=st.integers(0, 200))
def test_truth_that_arrives_late_retracts(facts: list[Fact], minutes_before: int) -> None:
    """A break was announced; then a fulfilment in time arrives, and it is taken back visibly."""
    broken = judged(*facts, minutes=LATER)
    assert (broken.state, broken.reason) == (State.BROKEN, Reason.DUE_PASSED)
    in_time = Instant(broken.due_at + KIND_RULES.tolerance - minutes_before * MINUTE)
    corrected = fold(broken, [Fact(in_time, "shop", "late truth", FactKind.FULFILLED)], RULES)
    assert cycles_of(corrected)[0].state == State.KEPT
    assert change(broken, corrected)[0] == Transition.RETRACTED


@given(facts=promised_with(*OPEN_ENDED), more=fact_sets())
def test_a_break_once_announced_stands_until_facts_say_otherwise(facts: list[Fact], more: list[Fact]) -> None:
    """More facts take it back only where they decide the promise or move what is due."""
    broken = judged(*facts, minutes=LATER)
    record = fold(broken, more, RULES)
    after, in_the_end = (cycles_of(each)[0] for each in (record, judged(*record.facts, minutes=LATER)))
    if after.breach_at <= broken.breach_at and in_the_end.reason == Reason.DUE_PASSED:
        assert (after.state, after.reason) == (State.BROKEN, Reason.DUE_PASSED)


@given(data=st.data(), facts=fact_sets())
def test_no_break_is_taken_back_in_silence(data: st.DataObject, facts: list[Fact]) -> None:
    """In any history, the steps from a word broken to a word that holds are the retractions."""
    written = delivered(data.draw(deliveries(facts)), sorted(data.draw(st.lists(instants(), max_size=4))))
    holds = {State.OPEN, State.AT_RISK, State.KEPT}
    for old, new in pairwise(written):
        steps = zip_longest(cycles_of(old), cycles_of(new))
        taken_back = any(was and was.state in LET_DOWN and (now is None or now.state in holds) for was, now in steps)
        assert taken_back == (change(old, new)[0] == Transition.RETRACTED)


@given(data=st.data(), facts=fact_sets())
def test_the_original_word_stays(data: st.DataObject, facts: list[Fact]) -> None:
    """Nothing that happens after the first promise changes the original, nor moves what is due without consent."""
    words = [fact for fact in in_order(facts) if fact.kind == FactKind.PROMISED]
    record = delivered(data.draw(deliveries(facts)), [])[-1]
    assert cycles_of(record)[0].original_due_at == (words[0].due_at if words else NONE)
    for cycle in cycles_of(record):
        assert cycle.by_agreement or cycle.due_at == cycle.original_due_at


@settings(max_examples=500)
@given(facts=fact_sets(), now=instants())
def test_the_verdict_is_the_one_people_would_give(facts: list[Fact], now: float) -> None:
    """A plain second implementation of the rules agrees on any set of facts."""
    record = judged(*facts, minutes=now)
    assert seen(record, at(now)) == opinions(facts, KIND_RULES, at(now))


@given(facts=fact_sets(), now=instants())
def test_every_verdict_explains_itself(facts: list[Fact], now: float) -> None:
    """What a record says follows from the facts in it: judged again from its own bytes it comes to the same."""
    record = codec.unpack(codec.pack(judged(*facts, minutes=now)))
    assert record.facts == merge((), facts)
    assert record.rules_version == RULES.version
    assert judged(*record.facts, minutes=now) == record
    if record.settled_at and record.reason != Reason.DUE_PASSED:
        assert record.settled_at in {fact.occurred_at for fact in record.facts}


def seen(record: Promise, now: Instant) -> list[Opinion]:
    """The part of a record that the oracle speaks of."""
    return [
        Opinion(
            as_read(cycle.state, cycle.warn_at, now),
            Reason(cycle.reason),
            cycle.original_due_at or None,
            cycle.due_at or None,
            cycle.by_agreement,
            cycle.settled_at or None,
        )
        for cycle in cycles_of(record)
    ]
