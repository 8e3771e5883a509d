"""Records of very many facts, through the engine with the machines of the services: what each event more costs."""

import time
from collections.abc import Callable

import pytest
from google.protobuf.message import Message

from puntual.events.v1.contact_event_pb2 import PRIORITY_HIGH, PRIORITY_LOW, ContactEvent
from puntual.events.v1.order_event_pb2 import MILESTONE_READY, OrderEvent
from puntual.promises.v1.promise_pb2 import Promise
from puntual.sla.v1.clock_pb2 import Clock
from services.promises import codec as promises, rules
from services.shared.clock import set_timestamp
from services.shared.engine.keeper import Keeper
from services.shared.engine.machine import Machine
from services.shared.engine.stage import Result
from services.shared.engine.store import PartitionStore
from services.shared.envelope import Limits
from services.shared.facts import MOST_FACTS
from services.shared.instant import SECOND, Instant, parse_instant
from services.sla import codec as clocks, policies
from services.sla.standards import InForce, Standards
from tests.unit.engine.fakes import Tally, raw

NOON = parse_instant("2026-03-02T12:00:00Z")
NOW = parse_instant("2026-03-03T12:00:00Z")
LIMITS = Limits(now=lambda: NOW)


def an_order(number: int) -> OrderEvent:
    """One promised, and every other word about it."""
    event = OrderEvent(event_id=str(number), source="shop", customer_id="c-1", subject_id="o-1")
    set_timestamp(event.occurred_at, Instant(NOON + number * SECOND))
    event.site = f"site {number % 7}"
    if number % 3:
        event.renegotiated.milestone = MILESTONE_READY
        set_timestamp(event.renegotiated.due.at, Instant(NOW + number * SECOND))
    else:
        event.promised.milestone = MILESTONE_READY
        set_timestamp(event.promised.due.at, Instant(NOW + number * SECOND))
    return event


def a_contact(number: int) -> ContactEvent:
    """One received, and updated over and over."""
    event = ContactEvent(event_id=str(number), source="desk", customer_id="c-1", subject_id="m-1")
    set_timestamp(event.occurred_at, Instant(NOON + number * SECOND))
    event.site = f"site {number % 7}"
    if number:
        event.updated.priority = PRIORITY_HIGH if number % 2 else PRIORITY_LOW
    else:
        event.received.SetInParent()
    return event


KNOWN = InForce(Standards.of(policies.load_policies(policies.BUILT_IN)))
SERVICES = {
    "promises": (promises.machine(rules.read_rules(rules.BUILT_IN), LIMITS), "puntual.orders.v1", an_order, Promise),
    "sla": (clocks.machine(KNOWN, LIMITS), "puntual.contacts.v1", a_contact, Clock),
}
each_service = pytest.mark.parametrize(
    ("machine", "topic", "event", "record"), [pytest.param(*service, id=name) for name, service in SERVICES.items()]
)
Event = Callable[[int], Message]


def a_keeper(machine: Machine, tally: Tally) -> Keeper:  # type: ignore[type-arg]  # of either service
    """One with an empty partition 0."""
    keeper = Keeper(machine, tally, dead_letters="dead", dead_letter_partitions=3)
    keeper.stores[0] = PartitionStore(machine)
    return keeper


def sent(keeper: Keeper, topic: str, event: Event, *numbers: int) -> Result:  # type: ignore[type-arg]
    """A batch of these events."""
    return keeper.process(topic, 0, [raw(number, event(number).SerializeToString()) for number in numbers], NOW)


def contents(store: PartitionStore) -> dict[bytes, bytes | None]:  # type: ignore[type-arg]
    """All records, as the changelog has them."""
    keys = store.keys()
    return dict(zip(keys, map(store.packed, keys), strict=True))


@each_service
def test_a_record_of_thousands_of_facts_costs_no_more_than_one_of_a_thousand(
    machine: Machine,  # type: ignore[type-arg]
    topic: str,
    event: Event,
    record: type[Message],
) -> None:
    """The earliest are kept; each that is refused is set aside with the reason, and costs next to nothing."""
    tally = Tally()
    keeper, cost = a_keeper(machine, tally), [0.0] * 4
    for number in range(4_000):
        start = time.thread_time()
        result = sent(keeper, topic, event, number)
        cost[number // 1_000] += time.thread_time() - start
        reasons = [dict(write.headers)["reason"] for write in result.writes if write.topic == "dead"]
        assert reasons == ([b"too_many_facts"] if number >= MOST_FACTS else [])
    assert max(cost[1:]) < cost[0]
    for value in contents(keeper.stores[0]).values():
        kept = record.FromString(value or b"")
        assert [fact.event_id for fact in kept.facts] == [str(number) for number in range(MOST_FACTS)]  # type: ignore[attr-defined]
        assert kept.SerializeToString(deterministic=True) == value


@each_service
def test_a_full_record_takes_what_is_earlier(
    machine: Machine,  # type: ignore[type-arg]
    topic: str,
    event: Event,
    record: type[Message],
) -> None:
    """In the place of its last, in whatever batches they come: its bytes are those of the earliest alone."""
    one, other = a_keeper(machine, Tally()), a_keeper(machine, Tally())
    sent(one, topic, event, *range(MOST_FACTS))
    sent(other, topic, event, *range(10, MOST_FACTS + 10))
    for number in (9, 3, 1, 0, 2, 8, 7, 6, 5, 4):
        sent(other, topic, event, number)
    first, second = (contents(keeper.stores[0]) for keeper in (one, other))
    assert first == second
    assert {len(record.FromString(value or b"").facts) for value in first.values()} == {MOST_FACTS}  # type: ignore[attr-defined]


@each_service
def test_what_an_earlier_one_displaces_is_counted_as_if_it_had_been_refused(
    machine: Machine,  # type: ignore[type-arg]
    topic: str,
    event: Event,
    record: type[Message],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whichever comes first, as many are counted; the log says that they do not count any more, and of which source."""
    extra, counts = 5, []
    for numbers in (range(MOST_FACTS + extra), range(MOST_FACTS + extra - 1, -1, -1)):
        tally = Tally()
        keeper = a_keeper(machine, tally)
        sent(keeper, topic, event, *numbers[:MOST_FACTS])
        assert not tally.refused
        caplog.clear()
        sent(keeper, topic, event, *numbers[MOST_FACTS:])
        counts.append(dict(tally.refused))
        sent(keeper, topic, event, *range(MOST_FACTS))  # all that counts once more: that displaces nothing
        assert dict(tally.refused) == counts[-1]
        for value in contents(keeper.stores[0]).values():
            assert len(record.FromString(value or b"").facts) == MOST_FACTS  # type: ignore[attr-defined]
    assert counts == [{"too_many_facts": extra}] * 2
    assert "does not count any more" in caplog.text
