"""What is fulfilled and was never promised: what counts, from when on, until when, and how it is listed."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import generate_latest

from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.contact_event_pb2 import AUTHOR_AUTOMATIC, ContactEvent
from puntual.events.v1.order_event_pb2 import MILESTONE_DELIVERED, MILESTONE_READY, OrderEvent
from services.promises import codec as promises, orphans as of_promises, rules
from services.shared.clock import set_timestamp
from services.shared.engine.keeper import Keeper
from services.shared.engine.machine import Machine
from services.shared.engine.store import PartitionStore
from services.shared.envelope import Limits
from services.shared.errors import PuntualError
from services.shared.instant import Instant, parse_instant
from services.shared.metrics import Registry, SourceMeter
from services.shared.partitioner import partition_of
from services.shared.sources.orphans import GRACE, MOST, Judge, NotLookedYet, Orphans
from services.sla import codec as clocks, orphans as of_clocks, policies
from services.sla.standards import InForce, Standards
from tests.unit.engine.fakes import Tally, raw
from tests.views import PARTITIONS, MemoryView

NOON = parse_instant("2026-03-02T12:00:00Z")
LIMITS = Limits(now=lambda: NOON)
KNOWN = InForce(Standards.of(policies.load_policies(policies.BUILT_IN)))
Event = OrderEvent | CallbackEvent | ContactEvent
KINDS: Mapping[str, type[Event]] = {"orders": OrderEvent, "callbacks": CallbackEvent, "contacts": ContactEvent}
MACHINES: Mapping[str, tuple[Machine[Any, Any], Judge, Mapping[str, str]]] = {
    "promises": (promises.machine(rules.read_rules(), LIMITS), of_promises.orphan_of, of_promises.TOPIC_OF),
    "sla": (clocks.machine(KNOWN, LIMITS), of_clocks.orphan_of, of_clocks.TOPIC_OF),
}


class Site(MemoryView):
    """A service whose records are all on one worker, and what it says of orphans."""

    def __init__(self, service: str) -> None:
        self.machine, judge, topics = MACHINES[service]
        super().__init__(self.machine.unpack)
        self.now, self.registry = Instant(NOON + GRACE), Registry()
        meter = SourceMeter(self.registry, service)
        self.orphans = Orphans(self, judge, topics, PARTITIONS, meter, now=lambda: self.now)
        self._number = 0

    def happens(self, topic: str, arm: str, customer: str = "c-1", subject: str = "s-1", **fields: Any) -> None:
        """An event, at noon."""
        self._number += 1
        event = KINDS[topic](
            event_id=str(self._number), source=f"{topic} system", customer_id=customer, subject_id=subject
        )
        set_timestamp(event.occurred_at, NOON)
        said = getattr(event, arm)
        said.SetInParent()
        for name, value in fields.items():
            setattr(said, name, value)
        if arm == "promised":
            set_timestamp(said.due.at, NOON)
        partition = partition_of(customer, PARTITIONS)
        keeper = Keeper(self.machine, Tally(), dead_letters="dead", dead_letter_partitions=1)
        store = keeper.stores[partition] = PartitionStore(self.machine)
        store.restore(self.records[partition].items())
        list(store.index())
        result = keeper.process(f"puntual.{topic}.v1", partition, [raw(1, event.SerializeToString())], NOON)
        for write in result.writes:
            assert write.topic != "dead"
            self.records[partition][write.key or b""] = write.value or b""

    def listed(self, limit: int = 0) -> list[str]:
        """As a look finds them."""
        asyncio.run(self.orphans.look())
        return [f"{each.customer_id}/{each.kind}/{each.subject_id}" for each in self.orphans.answer(limit).orphans]

    def counted(self) -> Mapping[tuple[str, str], float]:
        """The metric: source and topic → how many."""
        return {
            (sample.labels["source"], sample.labels["topic"]): sample.value
            for family in self.registry.collector.collect()
            if family.name == "puntual_orphans"
            for sample in family.samples
        }


#: What happens, in this order → the orphans of it.
CASES: Mapping[str, tuple[str, list[tuple[Any, ...]], list[str]]] = {
    "ready, never promised": ("promises", [("orders", "ready")], ["c-1/order_ready/s-1"]),
    "promised and ready": ("promises", [("orders", "promised", MILESTONE_READY), ("orders", "ready")], []),
    "ready before it is promised": ("promises", [("orders", "ready"), ("orders", "promised", MILESTONE_READY)], []),
    "promised to be ready, delivered": (
        "promises", [("orders", "promised", MILESTONE_READY), ("orders", "ready"), ("orders", "delivered")], [],
    ),
    "promised to be delivered, ready": (
        "promises", [("orders", "ready"), ("orders", "promised", MILESTONE_DELIVERED)], [],
    ),
    "called back": ("promises", [("callbacks", "returned")], ["c-1/callback/s-1"]),
    "tried to call back": ("promises", [("callbacks", "attempted")], []),
    "replied to nothing": ("sla", [("contacts", "replied")], ["c-1/first_reply/s-1"]),
    "received and replied": ("sla", [("contacts", "received"), ("contacts", "replied")], []),
    "replied before it is received": ("sla", [("contacts", "replied"), ("contacts", "received")], []),
    "a machine replied": ("sla", [("contacts", "replied", AUTHOR_AUTOMATIC)], []),
    "resolved, never received": ("sla", [("contacts", "resolved")], ["c-1/resolution/s-1"]),
    "told that it is ready": ("sla", [("orders", "customer_told")], ["c-1/customer_told/s-1"]),
    "ready, and told so": ("sla", [("orders", "ready"), ("orders", "customer_told")], []),
    "delivered, nothing told": ("sla", [("orders", "delivered")], []),
    "called back as nobody asked": ("sla", [("callbacks", "returned")], []),
}  # fmt: skip


def happen(site: Site, events: list[tuple[Any, ...]]) -> None:
    """All of these."""
    for topic, arm, *said in events:
        site.happens(topic, arm, **{"author" if arm == "replied" else "milestone": each for each in said})


@pytest.mark.parametrize(("service", "events", "expected"), CASES.values(), ids=CASES)
def test_only_a_fulfilment_of_what_nothing_promised_or_started_is_an_orphan(
    service: str, events: list[tuple[Any, ...]], expected: list[str]
) -> None:
    """In whatever order the events come."""
    site = Site(service)
    happen(site, events)
    assert site.listed() == expected


def test_it_is_one_after_the_grace_and_until_its_promise_comes() -> None:
    """Listed and counted by source; what ceased since the last look is not listed any more."""
    site = Site("promises")
    site.happens("orders", "ready")
    site.now = Instant(NOON + GRACE - 1)
    assert site.listed() == []
    site.now = Instant(NOON + GRACE)
    assert site.listed() == ["c-1/order_ready/s-1"]
    assert site.counted() == {("orders system", "orders"): 1}
    site.happens("orders", "promised", milestone=MILESTONE_READY)
    answer = site.orphans.answer(0)
    assert (list(answer.orphans), answer.total) == ([], 0)
    assert site.listed() == []
    assert site.counted() == {("orders system", "orders"): 0}


def test_the_latest_are_listed_and_all_are_counted() -> None:
    """However many there are."""
    site = Site("promises")
    for number in range(5):
        site.happens("orders", "ready", subject=f"o-{number}")
    assert len(site.listed(2)) == 2
    answer = site.orphans.answer(2)
    assert answer.total == 5
    first = answer.orphans[0]
    assert (first.source, first.topic, first.event_id) == ("orders system", "orders", "5")
    assert first.occurred_at.ToMicroseconds() == NOON
    for wrong in (-1, MOST + 1):
        with pytest.raises(PuntualError, match=r"0 .for 100. to 1000"):
            site.orphans.answer(wrong)


def test_it_says_who_answers_for_the_rest() -> None:
    """Nothing of partitions that were given away; and nothing at all before it has looked."""
    site = Site("promises")
    with pytest.raises(NotLookedYet):
        site.orphans.answer(0)
    for customer in ("c-1", "c-2"):
        site.happens("orders", "ready", customer)
    assert sorted(site.listed()) == ["c-1/order_ready/s-1", "c-2/order_ready/s-1"]
    site.owners = {partition_of("c-1", PARTITIONS): "there:9111", (partition_of("c-2", PARTITIONS) + 5) % 12: None}
    answer = site.orphans.answer(0)
    assert [each.customer_id for each in answer.orphans] == ["c-2"]
    assert (answer.total, list(answer.others), answer.unowned) == (1, ["there:9111"], 1)


def test_sources_beyond_a_number_are_counted_together() -> None:
    """Publishers name them, so the first have a series of their own and the rest one together."""
    meter = SourceMeter(registry := Registry(), "promises")
    meter.orphans({(f"shop-{number}", "orders"): 1 for number in range(SourceMeter.MOST + 3)})
    exported = generate_latest(registry.collector).decode()
    assert exported.count("puntual_orphans{") == SourceMeter.MOST + 1
    assert 'puntual_orphans{source="other",topic="orders"} 3.0' not in exported
    assert 'puntual_orphans{source="other",topic="other"} 3.0' in exported
