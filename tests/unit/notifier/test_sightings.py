"""What the other services' records mean to the notifier."""

from collections.abc import Callable, Iterable
from itertools import product

import pytest

from puntual.promises.v1 import promise_pb2
from puntual.sla.v1 import clock_pb2
from services.notifier.items import Standing, identity
from services.notifier.routing import MAX_PLACES, Place
from services.notifier.sightings import SOURCES
from services.shared.clock import set_timestamp
from services.shared.topics import PROMISES, SLA
from tests.growth import growth
from tests.unit.notifier.builders import at

BROKEN = promise_pb2.PROMISE_STATE_BROKEN


def test_the_sources_are_the_topics_of_promises_and_clocks() -> None:
    """By the names that those services write to."""
    assert list(SOURCES) == [PROMISES.name, SLA.name]


@pytest.mark.parametrize(
    ("topic", "states"),
    [(PROMISES.name, promise_pb2.PromiseState.values()), (SLA.name, clock_pb2.ClockState.values())],
)
def test_every_state_has_a_standing(topic: str, states: list[int]) -> None:
    """A state added to the contract must be given a meaning here."""
    assert SOURCES[topic].standings.keys() == {state for state in states if state}


def test_a_broken_promise_is_seen_with_what_a_message_needs() -> None:
    """Who, what, when, where and why."""
    promise = promise_pb2.Promise(
        promise_id="C-7/appointment/V-1",
        kind=promise_pb2.PROMISE_KIND_APPOINTMENT,
        state=promise_pb2.PROMISE_STATE_BROKEN,
        reason=promise_pb2.PROMISE_REASON_NO_SHOW_BY_US,
        context=promise_pb2.Context(customer_name="Ana", customer_tier="gold", site="Madrid", team="field"),
        facts=[promise_pb2.Fact(context=promise_pb2.Context(team="counter"))],
    )
    set_timestamp(promise.due_at, at(5))
    set_timestamp(promise.original_due_at, at(0))
    set_timestamp(promise.settled_at, at(6))
    set_timestamp(promise.warn_at, at(-60))
    source = SOURCES["promises.v1"]
    item, places = source.see(promise, promise, 1, 42, at(7)), source.places(promise)
    assert (item.service, item.record_id, item.kind) == ("promises", "C-7/appointment/V-1", "appointment")
    assert (item.standing, item.due_at, item.since, item.offset, item.announced_at) == (
        Standing.BROKEN,
        at(5),
        at(6),
        42,
        at(7),
    )
    assert item.details is not None
    assert (item.details.original_due_at, item.details.reason, item.details.team) == (at(0), "no_show_by_us", "field")
    assert places[0] == Place("gold", "Madrid", "field")
    assert Place("", "", "counter") in places


def test_a_missed_clock_is_seen_with_when_it_stopped() -> None:
    """How late it was is counted from its limit."""
    clock = clock_pb2.Clock(
        clock_id="C-7/first_reply/T-1", metric=clock_pb2.METRIC_FIRST_REPLY, state=clock_pb2.CLOCK_STATE_MISSED
    )
    set_timestamp(clock.due_at, at(0))
    set_timestamp(clock.stopped_at, at(30))
    item = SOURCES["sla.v1"].see(clock, clock, 1, 42, at(31))
    assert (item.service, item.kind, item.standing, item.since) == (
        "sla",
        "first_reply",
        Standing.FULFILLED_LATE,
        at(30),
    )
    assert item.details is not None
    assert item.details.original_due_at == at(0)


def test_what_a_newer_service_has_made_up_is_seen_all_the_same() -> None:
    """The id names a kind without a number here; a reason without a name is left out."""
    promise = promise_pb2.Promise(promise_id="C-7/refund/R-1", kind=99, reason=99, state=BROKEN)  # type: ignore[arg-type]
    item = SOURCES["promises.v1"].see(promise, promise, 1, 42, at(7))
    assert item.kind == "refund"
    assert item.details is not None
    assert item.details.reason == ""


def test_texts_are_cut_to_what_a_message_shows() -> None:
    """An incident holds hundreds of them; a publisher's slip must not make it too large to be kept."""
    context = promise_pb2.Context(customer_name="A" * 50_000, team="T" * 50_000)
    promise = promise_pb2.Promise(promise_id="C-7/order_ready/A-1", context=context, state=BROKEN)
    source = SOURCES["promises.v1"]
    item, places = source.see(promise, promise, 1, 42, at(7)), source.places(promise)
    assert item.details is not None
    assert (len(item.details.customer_name), len(item.details.team), len(places[0].team)) == (120, 120, 120)


def test_each_cycle_of_a_clock_is_seen_for_itself() -> None:
    """The first was missed and is over; the second is breached."""
    clock = clock_pb2.Clock(
        clock_id="C-7/resolution/M-1",
        state=clock_pb2.CLOCK_STATE_BREACHED,
        earlier=[clock_pb2.Cycle(state=clock_pb2.CLOCK_STATE_MISSED)],
    )
    set_timestamp(clock.earlier[0].due_at, at(0))
    set_timestamp(clock.earlier[0].stopped_at, at(5))
    set_timestamp(clock.due_at, at(60))
    source = SOURCES["sla.v1"]
    first, second = (source.see(clock, each, n, 42, at(61)) for n, each in enumerate(source.cycles(clock), start=1))
    assert (first.standing, first.since, first.due_at, first.cycle) == (Standing.FULFILLED_LATE, at(5), at(0), 1)
    assert (second.standing, second.since, second.due_at, second.cycle) == (Standing.BROKEN, at(60), at(60), 2)
    assert identity(first) != identity(second)


def test_each_cycle_of_a_promise_is_seen_for_itself() -> None:
    """The first was called off by us and stays so; the second, made the day after, is at risk."""
    promise = promise_pb2.Promise(
        promise_id="C-7/appointment/A-1",
        state=promise_pb2.PROMISE_STATE_AT_RISK,
        earlier=[promise_pb2.Cycle(state=BROKEN, reason=promise_pb2.PROMISE_REASON_CANCELLED_BY_US)],
    )
    past = promise.earlier[0]
    for stamp, minutes in ((past.due_at, 0), (past.settled_at, -30), (promise.due_at, 60), (promise.warn_at, 50)):
        set_timestamp(stamp, at(minutes))
    source = SOURCES["promises.v1"]
    first, second = (source.see(promise, each, n, 42, at(51)) for n, each in enumerate(source.cycles(promise), start=1))
    assert (first.standing, first.since, first.due_at, first.cycle) == (Standing.BROKEN, at(-30), at(0), 1)
    assert first.details is not None
    assert first.details.reason == "cancelled_by_us"
    assert (second.standing, second.since, second.due_at, second.cycle) == (Standing.AT_RISK, at(50), at(60), 2)
    assert [breach for breach, at in SOURCES["promises.v1"].broken(promise) if at] == [identity(first)]


def a_traveller(count: int) -> promise_pb2.Promise:
    """A promise of which each event states another tier, site and team."""
    promise = promise_pb2.Promise(promise_id="C-7/callback/V-1", state=BROKEN)
    for number in range(count):
        context = promise_pb2.Context(customer_tier=f"t{number}", site=f"s{number}", team=f"m{number}")
        promise.facts.append(promise_pb2.Fact(event_id=str(number), context=context))
        promise.context.CopyFrom(context)
    return promise


def mixtures(of: Iterable[int]) -> set[Place]:
    """Each with each."""
    return {Place(f"t{tier}", f"s{site}", f"m{team}") for tier, site, team in product(of, repeat=3)}


def test_the_places_of_a_promise_are_few_however_much_was_stated() -> None:
    """Of a thousand events that each state others: the mixtures of what was stated last, the present first."""
    places = SOURCES["promises.v1"].places(a_traveller(1_000))
    assert len(places) == len(set(places)) == MAX_PLACES
    assert places[0] == Place("t999", "s999", "m999")
    assert set(places) == mixtures(range(996, 1_000))
    assert set(SOURCES["promises.v1"].places(a_traveller(4))) == mixtures(range(4))


def test_what_a_sighting_costs_grows_as_the_record() -> None:
    """Not with the product of all that was stated."""

    def seen(count: int) -> Callable[[], object]:
        promise = a_traveller(count)
        return lambda: SOURCES["promises.v1"].places(promise)

    assert growth(seen, 100) < 3
