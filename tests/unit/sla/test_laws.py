"""The laws of clocks, for any facts in any order."""

from itertools import pairwise

from hypothesis import given, strategies as st
from msgspec.structs import replace

from services.shared.facts import merge
from services.shared.instant import Instant
from services.sla import codec
from services.sla.domain import due, fold, next_deadline, note, transition
from services.sla.model import NONE, Clock, Fact, FactKind, State, Transition
from tests.unit.sla.builders import CLOCK, MINUTE, STANDARD, STANDARDS, at, judged
from tests.unit.sla.strategies import deliveries, fact_sets, instants

FAILED = {State.BREACHED, State.MISSED}


def swept(clock: Clock, now: Instant) -> Clock:
    """What the engine does with a record whose deadline has passed: ask `due` what it is now."""
    for _ in range(4):
        deadline = next_deadline(clock, STANDARDS)
        if deadline is None or deadline > now:
            return clock
        asked = due(clock, now, STANDARDS)
        assert asked is not None
        clock = asked
    raise AssertionError("a record wants to be asked again without end")


def delivered(batches: list[list[Fact]], sweeps: list[float]) -> list[Clock]:
    """The records written when batches arrive and, after each, the clock is swept at the next of these minutes."""
    record: Clock | None = None
    written = []
    for index, batch in enumerate(batches):
        record = fold(record, batch, STANDARDS) if record else note(CLOCK, batch, STANDARDS)
        written.append(record)
        if index < len(sweeps):
            record = swept(record, at(sweeps[index]))
            written.append(record)
    return written


@given(data=st.data(), events=fact_sets(), now=instants())
def test_order_repetition_and_batches_do_not_matter(data: st.DataObject, events: list[Fact], now: float) -> None:
    """However facts arrive and whenever the clock is swept before, the record as of one instant has the same bytes."""
    batches = data.draw(deliveries(events))
    sweeps = sorted(data.draw(st.lists(instants().filter(lambda minute: minute <= now), max_size=len(batches))))
    final = swept(delivered(batches, sweeps)[-1], at(now))
    assert codec.pack(final) == codec.pack(judged(*events, minutes=now))


@given(data=st.data(), events=fact_sets())
def test_known_facts_change_nothing(data: st.DataObject, events: list[Fact]) -> None:
    """A replay of any part of the input returns the very same record."""
    record = judged(*events, minutes=data.draw(instants()))
    again = data.draw(st.lists(st.sampled_from(record.facts)))
    assert fold(record, again, STANDARDS) is record


@given(data=st.data(), events=fact_sets())
def test_never_early(data: st.DataObject, events: list[Fact]) -> None:
    """No breach is announced before limit and grace have passed, and none by the arrival of facts."""
    record: Clock | None = None
    for batch in data.draw(deliveries(events)):
        folded = fold(record, batch, STANDARDS) if record else note(CLOCK, batch, STANDARDS)
        if folded.state == State.BREACHED:
            assert record is not None
            assert record.state == State.BREACHED
        now = at(data.draw(instants()))
        record = swept(folded, now)
        if transition(folded, record) == Transition.BREACHED:
            assert now > record.breach_at == record.started_at + STANDARD.limit + STANDARD.grace


@given(events=fact_sets())
def test_always(events: list[Fact]) -> None:
    """What was started and neither stopped nor called off is breached once the deadlines have been swept."""
    record = swept(note(CLOCK, events, STANDARDS), at(10_000))
    kinds = {fact.kind for fact in record.facts}
    if FactKind.STARTED in kinds and not kinds & {FactKind.STOPPED, FactKind.CANCELLED}:
        assert record.state == State.BREACHED
    assert record.state not in {State.RUNNING, State.AT_RISK}
    assert next_deadline(record, STANDARDS) is None


@given(events=fact_sets(), now=instants())
def test_between_deadlines_nothing_happens(events: list[Fact], now: float) -> None:
    """The verdict stands until its next deadline, and is another one at it: no sweep is late, none for nothing."""
    record = judged(*events, minutes=now)
    deadline = next_deadline(record, STANDARDS)
    if deadline is None:
        assert due(record, at(10_000), STANDARDS) == record
    else:
        assert deadline > at(now)
        assert due(record, Instant(deadline - 1), STANDARDS) == record
        assert due(record, deadline, STANDARDS) != record


@given(
    events=fact_sets(), minutes_before=st.integers(0, 200), kind=st.sampled_from([FactKind.STOPPED, FactKind.CANCELLED])
)
def test_truth_that_arrives_late_retracts(events: list[Fact], minutes_before: int, kind: FactKind) -> None:
    """A breach was announced; then a stop or a cancellation before the limit arrives, and it is taken back visibly."""
    silent = [replace(fact, kind=FactKind.STARTED) for fact in events]
    breached = judged(*silent, minutes=10_000)
    assert breached.state == State.BREACHED
    truth = Fact(Instant(breached.due_at - minutes_before * MINUTE), "crm", "late truth", kind)
    corrected = fold(breached, [truth], STANDARDS)
    assert corrected.state == (State.MET if kind == FactKind.STOPPED else State.CANCELLED)
    assert transition(breached, corrected) == Transition.RETRACTED


@given(events=fact_sets(), more=fact_sets())
def test_a_breach_once_announced_stands_until_facts_say_otherwise(events: list[Fact], more: list[Fact]) -> None:
    """More facts take it back only where they stop the clock, call it off or move its limit."""
    breached = judged(*(replace(fact, kind=FactKind.STARTED) for fact in events), minutes=10_000)
    after = fold(breached, more, STANDARDS)
    if after.breach_at <= breached.breach_at and judged(*after.facts, minutes=10_000).state == State.BREACHED:
        assert after.state == State.BREACHED


@given(data=st.data(), events=fact_sets())
def test_no_failure_is_taken_back_in_silence(data: st.DataObject, events: list[Fact]) -> None:
    """In any history, a step out of breached or missed is a retraction, and a retraction is such a step."""
    written = delivered(data.draw(deliveries(events)), sorted(data.draw(st.lists(instants(), max_size=4))))
    for old, new in pairwise(written):
        steps_out = old.state in FAILED and new.state not in FAILED
        assert steps_out == (transition(old, new) == Transition.RETRACTED)


@given(events=fact_sets(), now=instants())
def test_every_verdict_explains_itself(events: list[Fact], now: float) -> None:
    """From the facts in the record and the standard it names, arithmetic alone leads to what it says."""
    record = judged(*events, minutes=now)
    times = {kind: sorted(fact.occurred_at for fact in record.facts if fact.kind == kind) for kind in FactKind}
    assert record.facts == merge((), events)
    assert (record.policy, record.standards_version) == (STANDARD.name, STANDARDS.version)
    if not times[FactKind.STARTED]:
        assert (record.state, record.started_at, record.due_at, record.breach_at) == (State.NOTED, NONE, NONE, NONE)
        return
    assert record.started_at == times[FactKind.STARTED][0]
    assert record.due_at - record.started_at == STANDARD.limit
    if record.state in {State.MET, State.MISSED}:
        assert record.stopped_at == times[FactKind.STOPPED][0]
        assert (record.stopped_at <= record.due_at) == (record.state == State.MET)
    elif record.state == State.CANCELLED:
        assert times[FactKind.CANCELLED][0] <= record.due_at
    else:
        assert not times[FactKind.STOPPED]
        assert (at(now) > record.breach_at) == (record.state == State.BREACHED)
