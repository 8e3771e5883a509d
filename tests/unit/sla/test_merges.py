"""Customers with several ids: a clock that is told of under two of them is one clock."""

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from services.shared.facts import merge
from services.sla import codec
from services.sla.domain import elsewhere, fold, judge, note
from services.sla.explain import explain
from services.sla.model import Clock, Fact, FactKind, Identity, State, Transition
from services.sla.standards import Standards
from tests.unit.sla.builders import CLOCK, STANDARDS, a_fact, at
from tests.unit.sla.strategies import ALL_STANDARDS, fact_sets, instants
from tests.unit.sla.test_laws import swept

OTHER: Identity = codec.identity(b"c-0/first_reply/mail-9")
#: Later than all that can be due.
LATE = 100_000.0

by_any = pytest.mark.parametrize("by", ALL_STANDARDS, ids=["plain", "paused", "office", "versions"])


def received(identity: Identity, old: Clock | None, facts: list[Fact], by: Standards) -> Clock:
    return fold(old, facts, by) if old else note(identity, facts, by)


def exchanged(identity: Identity, old: Clock | None, other: Clock, by: Standards) -> Clock:
    """A record with what another shares with it."""
    return received(identity, old, codec._told_elsewhere(identity[0], codec.pack(other)), by)  # noqa: SLF001


@by_any
@given(data=st.data(), events=fact_sets(), now=instants())
def test_of_two_records_one_counts_and_says_all_in_whatever_order_they_share(
    by: Standards, data: st.DataObject, events: list[Fact], now: float
) -> None:
    """Facts of either id, shared at any time and judged in between: the same bytes as of one instant, once."""
    whose = data.draw(st.lists(st.booleans(), min_size=len(events), max_size=len(events)))
    records: dict[Identity, Clock | None] = {CLOCK: None, OTHER: None}
    for mine, event in zip(whose, events, strict=True):
        identity, other = (CLOCK, OTHER) if mine else (OTHER, CLOCK)
        clock = records[identity] = received(identity, records[identity], [event], by)
        if data.draw(st.booleans()):
            records[other] = exchanged(other, records[other], clock, by)
        if data.draw(st.booleans()):
            records[identity] = swept(clock, at(now), by)
    for identity, other in ((CLOCK, OTHER), (OTHER, CLOCK), (CLOCK, OTHER)):
        if (clock_ := records[identity]) is not None:
            records[other] = exchanged(other, records[other], clock_, by)
    final = {identity: swept(clock, at(LATE), by) for identity, clock in records.items() if clock is not None}
    assert final.keys() == {CLOCK, OTHER}
    for identity, clock in final.items():
        customer = identity[2]
        told = {True: CLOCK[2], False: OTHER[2]}
        facts = [
            fact
            for mine in (True, False)
            for fact in merge(
                (),
                [
                    replace(event, customer_id="" if told[mine] == customer else told[mine])
                    for is_mine, event in zip(whose, events, strict=True)
                    if is_mine is mine
                ],
            )
        ]
        assert codec.pack(clock) == codec.pack(judge(identity, merge((), facts), by, at(LATE)))
    homes = [identity for identity, clock in final.items() if not elsewhere(clock)]
    running = [identity for identity, clock in final.items() if clock.cycle.state != State.NOTED]
    assert running in ([], homes)


def test_what_was_announced_of_a_clock_that_is_anothers_is_taken_back() -> None:
    """Of a breach and of a warning."""
    started = a_fact(FactKind.STARTED, 10)
    earlier = replace(a_fact(FactKind.STARTED, 0), customer_id="c-0")
    for minutes in (60, 75):
        clock = judge(CLOCK, (started,), STANDARDS, at(minutes))
        assert clock.cycle.state in {State.AT_RISK, State.BREACHED}
        moved = fold(clock, [earlier], STANDARDS)
        assert moved.cycle.state == State.NOTED
        assert codec._step(CLOCK[0], clock, moved).name == Transition.RETRACTED.name.lower().encode()  # noqa: SLF001


def test_an_explanation_says_where_the_clock_is_judged() -> None:
    """And there, what was told under the other id."""
    started, stopped = a_fact(FactKind.STARTED, 0), replace(a_fact(FactKind.STOPPED, 5), customer_id="c-0")
    home = judge(CLOCK, (started, stopped), STANDARDS, at(6))
    assert explain(home).headline == "First reply to contact mail-9 for customer c-1: met"
    assert explain(home).timeline[-1].what == "stopped, told of c-0, who is the same customer"
    there = exchanged(OTHER, None, home, STANDARDS)
    told = explain(there, STANDARDS)
    assert told.headline == "First reply to contact mail-9 for customer c-0: judged as c-1's"
    assert told.reasoning[-1] == "See: puntual explain c-1/first_reply/mail-9"
