"""The laws of clocks, for any facts in any order, whatever they are judged by."""

from itertools import pairwise, zip_longest

import pytest
from hypothesis import example, given, strategies as st
from msgspec.structs import replace

from services.shared.facts import Context, merge
from services.shared.instant import Instant
from services.sla import codec
from services.sla.domain import change, due, fold, next_deadline, note
from services.sla.model import NONE, Clock, Fact, FactKind, Metric, State, Transition
from services.sla.runs import case_of
from services.sla.standards import Standards
from tests.unit.sla.builders import CLOCK, GOAL, MINUTE, STANDARDS, a_fact, at, judged
from tests.unit.sla.strategies import ALL_STANDARDS, crowded_facts, deliveries, fact_sets, instants

FAILED = {State.BREACHED, State.MISSED}
#: What every clock can be told; with it and nothing else there is one cycle at most.
PLAIN = (FactKind.STARTED, FactKind.STOPPED, FactKind.CANCELLED, FactKind.OTHER)
#: To be judged by the strictest policy there is.
URGENT = Context(team="blue")
#: Later than all that can be due.
LATE = 100_000.0

by_any = pytest.mark.parametrize("by", ALL_STANDARDS, ids=["plain", "paused", "office", "versions"])


def swept(clock: Clock, now: Instant, by: Standards) -> Clock:
    """What the engine does with a record whose deadline has passed: ask `due` what it is now."""
    for _ in range(6):
        deadline = next_deadline(clock, by)
        if deadline is None or deadline > now:
            return clock
        asked = due(clock, now, by)
        assert asked is not None
        clock = asked
    raise AssertionError("a record wants to be asked again without end")


def delivered(batches: list[list[Fact]], sweeps: list[float], by: Standards) -> list[Clock]:
    """The records written when batches arrive and, after each, the clock is swept at the next of these minutes."""
    record: Clock | None = None
    written = []
    for index, batch in enumerate(batches):
        record = fold(record, batch, by) if record else note(CLOCK, batch, by)
        written.append(record)
        if index < len(sweeps):
            record = swept(record, at(sweeps[index]), by)
            written.append(record)
    return written


@by_any
@given(data=st.data(), events=fact_sets(), now=instants())
def test_order_repetition_and_batches_do_not_matter(
    by: Standards, data: st.DataObject, events: list[Fact], now: float
) -> None:
    """However facts arrive and whenever the clock is swept before, the record as of one instant has the same bytes."""
    batches = data.draw(deliveries(events))
    sweeps = sorted(data.draw(st.lists(instants().filter(lambda minute: minute <= now), max_size=len(batches))))
    final = swept(delivered(batches, sweeps, by)[-1], at(now), by)
    assert codec.pack(final) == codec.pack(judged(*events, minutes=now, by=by))


@by_any
@given(data=st.data(), events=st.lists(crowded_facts(), min_size=1, max_size=9))
def test_of_facts_of_one_instant_neither_arrival_nor_ids_decide(
    by: Standards, data: st.DataObject, events: list[Fact]
) -> None:
    """Many facts at few instants, their ids dealt anew: the same cycles, and the same that is known of the case."""
    told = [replace(fact, source="crm", event_id=str(number)) for number, fact in enumerate(events)]
    ids = data.draw(st.permutations([fact.event_id for fact in told]))
    renamed = [replace(fact, event_id=name) for fact, name in zip(told, ids, strict=True)]
    now = data.draw(instants())
    one = judged(*told, minutes=now, by=by)
    final = swept(delivered(data.draw(deliveries(renamed)), [], by)[-1], at(now), by)
    assert replace(final, facts=()) == replace(one, facts=())


@by_any
@given(data=st.data(), events=fact_sets())
def test_to_say_once_more_that_it_is_held_changes_nothing(
    by: Standards, data: st.DataObject, events: list[Fact]
) -> None:
    """For the same reason or another one that pauses, once or often, whatever is the longest pause."""
    held = data.draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=4))
    first, *others = [
        Fact(at(data.draw(instants())), "desk", f"{number}", FactKind.HELD, reason)
        for number, reason in enumerate(sorted(held))
    ]
    before = judged(*events, first, minutes=data.draw(instants()), by=by)
    within = [hold for hold in case_of(before.facts, before.metric).holds if hold.reason in "abc"]
    for hold, fact in zip(data.draw(st.permutations(within)), others, strict=False):
        again = replace(fact, occurred_at=Instant((hold.start + (hold.end or at(LATE))) // 2))
        if any(fact.occurred_at == again.occurred_at for fact in before.facts):
            continue
        after = fold(before, [again], by)
        assert (after.cycle, after.earlier, after.changes_at) == (before.cycle, before.earlier, before.changes_at)


@by_any
@given(data=st.data(), events=fact_sets())
def test_known_facts_change_nothing(by: Standards, data: st.DataObject, events: list[Fact]) -> None:
    """A replay of any part of the input returns the very same record."""
    record = judged(*events, minutes=data.draw(instants()), by=by)
    again = data.draw(st.lists(st.sampled_from(record.facts)))
    assert fold(record, again, by) is record


@by_any
@given(data=st.data(), events=fact_sets())
def test_never_early(by: Standards, data: st.DataObject, events: list[Fact]) -> None:
    """No breach is announced before limit and grace have passed."""
    record: Clock | None = None
    for batch in data.draw(deliveries(events)):
        folded = fold(record, batch, by) if record else note(CLOCK, batch, by)
        now = at(data.draw(instants()))
        record = swept(folded, now, by)
        if change(folded, record).transition == Transition.BREACHED:
            assert now > record.cycle.breach_at >= record.cycle.due_at


@by_any
@example(events=[a_fact(FactKind.STARTED, 30)], more=[a_fact(FactKind.STARTED, 0)], now=80)  # it began earlier
@given(events=fact_sets(), more=fact_sets(), now=instants())
def test_no_fact_announces_a_breach_by_the_clock(
    by: Standards, events: list[Fact], more: list[Fact], now: float
) -> None:
    """What takes it back may be unread: a cycle is breached when facts arrive only if it was before."""
    record = judged(*events, minutes=now, by=by)
    folded = fold(record, more, by)
    if folded.cycle.state == State.BREACHED:
        assert (record.cycle.state, len(record.earlier)) == (State.BREACHED, len(folded.earlier))


@given(events=fact_sets(PLAIN))
def test_never_before_limit_and_grace(events: list[Fact]) -> None:
    """Where nothing holds the clock, the limit is so long after the start."""
    cycle = judged(*events, minutes=LATE).cycle
    if cycle.started_at:
        assert cycle.due_at == cycle.started_at + GOAL.limit.amount
        assert cycle.breach_at == cycle.due_at + GOAL.grace


@by_any
@given(events=fact_sets())
def test_always(by: Standards, events: list[Fact]) -> None:
    """What runs is breached once the deadlines have been swept, unless it is held without an end or has no policy."""
    record = swept(note(CLOCK, events, by), at(LATE), by)
    assert record.cycle.state not in {State.RUNNING, State.AT_RISK}
    assert (record.cycle.state == State.PAUSED) <= (not record.cycle.due_at)
    assert next_deadline(record, by) is None
    kinds = {fact.kind for fact in record.facts}
    if FactKind.STARTED in kinds <= {FactKind.STARTED, FactKind.OTHER, FactKind.RESUMED}:
        assert record.cycle.state == (State.BREACHED if record.cycle.policy else State.NOTED)


@by_any
@given(events=fact_sets(), now=instants())
def test_between_deadlines_nothing_happens(by: Standards, events: list[Fact], now: float) -> None:
    """The verdict stands until its next deadline, and is another one at it: no sweep is late, none for nothing."""
    record = judged(*events, minutes=now, by=by)
    deadline = next_deadline(record, by)
    if deadline is None:
        assert due(record, at(LATE), by) == record
    else:
        assert deadline > at(now)
        assert due(record, Instant(deadline - 1), by) == record
        assert due(record, deadline, by) != record


@given(
    events=fact_sets(), minutes_before=st.integers(0, 200), kind=st.sampled_from([FactKind.STOPPED, FactKind.CANCELLED])
)
def test_truth_that_arrives_late_retracts(events: list[Fact], minutes_before: int, kind: FactKind) -> None:
    """A breach was announced; then a stop or a cancellation before the limit arrives, and it is taken back visibly."""
    silent = [replace(fact, kind=FactKind.STARTED) for fact in events]
    breached = judged(*silent, minutes=LATE)
    assert breached.cycle.state == State.BREACHED
    truth = Fact(Instant(breached.cycle.due_at - minutes_before * MINUTE), "crm", "late truth", kind)
    corrected = fold(breached, [truth], STANDARDS)
    stopped = State.MET if truth.occurred_at >= breached.cycle.started_at else State.NOTED
    assert corrected.cycle.state == (stopped if kind == FactKind.STOPPED else State.CANCELLED)
    assert change(breached, corrected).transition == Transition.RETRACTED


@by_any
@example(
    events=[a_fact(FactKind.STARTED, -25, context=URGENT)], more=[a_fact(FactKind.OTHER, 40)]
)  # moved past its limit
@given(events=fact_sets(), more=fact_sets(PLAIN))
def test_a_breach_once_announced_stands_until_facts_say_otherwise(
    by: Standards, events: list[Fact], more: list[Fact]
) -> None:
    """More facts take it back only where they stop the clock, call it off or move its limit."""
    breached = judged(*(replace(fact, kind=FactKind.STARTED) for fact in events), minutes=LATE, by=by)
    after = fold(breached, more, by)
    settled = judged(*after.facts, minutes=LATE, by=by)
    stands = settled.cycle.state == State.BREACHED and settled.cycle.breach_at <= breached.cycle.breach_at
    if breached.cycle.state == State.BREACHED and len(settled.earlier) == len(breached.earlier) and stands:
        assert after.cycle.state == State.BREACHED


@by_any
@example(  # answered too late, and as is heard then in time after all
    events=[a_fact(FactKind.STARTED, 0), a_fact(FactKind.STOPPED, 90)],
    more=[a_fact(FactKind.STOPPED, 9)],
    now=99,
    then=99,
)
@given(events=fact_sets(), more=fact_sets(), now=instants(), then=instants())
def test_no_failure_is_taken_back_in_silence(
    by: Standards, events: list[Fact], more: list[Fact], now: float, then: float
) -> None:
    """What was failed and is not, or was warned of and is none at all, is a retraction; nothing else is."""
    record = judged(*events, minutes=now, by=by)
    folded = fold(record, more, by)
    for old, new in pairwise((record, folded, swept(folded, at(max(now, then)), by))):
        before, after = (*old.earlier, old.cycle), (*new.earlier, new.cycle)
        steps = [(was.state, now.state if now else State.NOTED) for was, now in zip_longest(before, after) if was]
        taken_back = any(
            (was in FAILED and now not in FAILED) or (was, now) == (State.AT_RISK, State.NOTED) for was, now in steps
        )
        assert taken_back == (change(old, new).transition == Transition.RETRACTED)


@by_any
@example(events=[a_fact(FactKind.STARTED, 0), Fact(at(10), "crm", "held", FactKind.HELD, "a")])
@given(events=fact_sets())
def test_what_is_paused_is_neither_met_nor_breached(by: Standards, events: list[Fact]) -> None:
    """A hold that nobody ends leaves the verdict open, or lets the clock run on when it has lasted too long."""
    record = judged(*events, minutes=LATE, by=by)
    if record.cycle.state == State.PAUSED:
        assert (record.cycle.due_at, record.cycle.stopped_at, record.changes_at) == (NONE, NONE, NONE)
        assert FactKind.HELD in {fact.kind for fact in record.facts}


@given(events=fact_sets())
def test_a_later_version_judges_nothing_anew(events: list[Fact]) -> None:
    """Unless it says so: every cycle that started before it is what it was."""
    first, *_ = ALL_STANDARDS[3].versions
    office = ALL_STANDARDS[2].versions[0]
    office.in_force_from, before = at(60), judged(*events, minutes=LATE, by=Standards((first,)))
    try:
        after = judged(*events, minutes=LATE, by=Standards((first, office)))
    finally:
        office.in_force_from = NONE
    for old, new in zip((*before.earlier, before.cycle), (*after.earlier, after.cycle), strict=True):
        assert new.version == ("office" if new.started_at >= at(60) else "paused" if new.started_at else "")
        if new.version != "office":
            assert new == old


@given(events=fact_sets(PLAIN), now=instants())
def test_every_verdict_explains_itself(events: list[Fact], now: float) -> None:
    """From the facts in the record and the standard it names, arithmetic alone leads to what it says."""
    record = judged(*events, minutes=now)
    cycle = record.cycle
    times = {kind: sorted(fact.occurred_at for fact in record.facts if fact.kind == kind) for kind in FactKind}
    assert record.facts == merge((), events)
    if not times[FactKind.STARTED] or min(times[FactKind.STOPPED], default=at(LATE)) < times[FactKind.STARTED][0]:
        assert (cycle.state, cycle.started_at, cycle.due_at, cycle.breach_at) == (State.NOTED, NONE, NONE, NONE)
        return
    assert (cycle.policy, cycle.version) == ("within the hour", "7")
    assert cycle.started_at == times[FactKind.STARTED][0]
    if cycle.state in {State.MET, State.MISSED}:
        assert cycle.stopped_at == times[FactKind.STOPPED][0]
        assert (cycle.stopped_at <= cycle.due_at) == (cycle.state == State.MET)
    elif cycle.state == State.CANCELLED:
        assert times[FactKind.CANCELLED][0] <= cycle.due_at
    else:
        assert not times[FactKind.STOPPED]
        assert (at(now) > cycle.breach_at) == (cycle.state == State.BREACHED)


@pytest.mark.parametrize("metric", [Metric.APPOINTMENT_STARTED, Metric.CALLBACK_RETURNED])
@given(data=st.data(), events=fact_sets((*PLAIN, FactKind.SCHEDULED, FactKind.HELD, FactKind.RESUMED)))
@example(None, [a_fact(FactKind.CANCELLED, 0), a_fact(FactKind.STARTED, 20)])
def test_what_a_second_source_says_once_more_begins_no_run(
    metric: Metric, data: st.DataObject | None, events: list[Fact]
) -> None:
    """A window, or a request, told again before anything else happens, whatever happened before."""
    facts = merge((), events)
    alone = [
        fact
        for fact in facts
        if fact.kind in {FactKind.SCHEDULED, FactKind.STARTED}
        and [other.occurred_at for other in facts].count(fact.occurred_at) == 1
    ]
    for fact in alone if data is None else data.draw(st.permutations(alone))[:1]:
        again = replace(fact, occurred_at=Instant(fact.occurred_at + 1), source="second", event_id="again")
        if all(other.occurred_at != again.occurred_at for other in facts):
            assert case_of([*facts, again], metric).runs == case_of(facts, metric).runs
