"""Repeated breaches through the relay: read before anything is judged, and known after a restart."""

from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import TopicPartition

from puntual.promises.v1.promise_pb2 import Promise, PromiseState
from puntual.sla.v1.clock_pb2 import Clock, ClockState
from services.notifier.codec import decode
from services.notifier.incident import ItemSeen
from services.notifier.recall import Recall
from services.notifier.relay import forwards
from services.notifier.repeats import Repeated
from services.notifier.routing import Route, Routing
from services.shared.clock import set_timestamp
from services.shared.partitioner import home_of
from tests.unit.notifier.builders import MINUTE, at
from tests.unit.notifier.test_relay import Record

RULE = Repeated(3, 60 * MINUTE)
PARTITIONS = 4
ROUTING = Routing((), (Route("manager", {"repeated": frozenset({"yes"})}, ("boss",)), Route("rest", {}, ("console",))))
PROMISES, SLA = "puntual.promises.v1", "puntual.sla.v1"
HOME = home_of(b"C-7/order_ready/A", PARTITIONS)


def a_promise(subject: str, state: str, minutes: float, due: float | None = None, customer: str = "C-7") -> Record:
    """A promise that stands so since then, due at the same time if nothing else is said."""
    promise = Promise(
        promise_id=f"{customer}/order_ready/{subject}", state=PromiseState.Value(f"PROMISE_STATE_{state}")
    )
    set_timestamp(promise.settled_at, at(minutes))
    set_timestamp(promise.due_at, at(minutes if due is None else due))
    return Record(promise.SerializeToString(), topic=PROMISES, partition=HOME)


def a_clock(*cycles: tuple[str, float]) -> Record:
    """A clock with its cycles: how each stands, and when it was due."""
    clock = Clock(clock_id="C-7/first_reply/T-1")
    for number, (state, due) in enumerate(cycles, 1):
        cycle: Any = clock if number == len(cycles) else clock.earlier.add()
        cycle.state = ClockState.Value(f"CLOCK_STATE_{state}")
        set_timestamp(cycle.due_at, at(due))
        set_timestamp(cycle.stopped_at, at(due + 1))
    return Record(clock.SerializeToString(), topic=SLA, partition=HOME)


class Topics:
    """What the topics hold; it notes what was asked for."""

    def __init__(self, *records: Record) -> None:
        self.records = list(records)
        self.asked: list[tuple[str, int]] = []

    async def read(self, partitions: Iterable[TopicPartition], take: Callable[[Any], None]) -> None:
        """In the place of `read_all`."""
        for place in partitions:
            self.asked.append((place.topic, place.partition))
            for record in self.records:
                if (record.topic, record.partition) == place:
                    take(record)


async def a_recall(*records: Record) -> Recall:
    """One that owns all partitions, whose topics hold these."""
    recall = Recall(RULE, Topics(*records).read, PARTITIONS)
    await recall.prepare(range(PARTITIONS))
    return recall


def judge(recall: Recall | None, record: Record) -> list[tuple[str, bool, int | None]]:
    """Where the relay sends it: routes, whether as a follow-up, and which breach it is said to be."""
    found = []
    for write in forwards(ROUTING, PARTITIONS, recall=recall)[record.topic](record):
        ((_, fact),) = decode(write.value or b"", False)
        assert isinstance(fact, ItemSeen)
        assert fact.item.details
        found.append((fact.route, fact.item.follow_up, fact.item.details.breaches))
    return sorted(found)


ORDINARY = [("manager", True, 0), ("rest", False, 0)]


async def test_the_third_breach_of_a_customer_takes_the_other_route() -> None:
    """Of promises and clocks together; whoever would have been told otherwise hears how it goes on."""
    recall = await a_recall()
    assert judge(recall, a_promise("A", "BROKEN", 1)) == ORDINARY
    assert judge(recall, a_promise("B", "BROKEN", 2, customer="C-8")) == ORDINARY
    assert judge(recall, a_clock(("BREACHED", 3))) == ORDINARY
    assert judge(recall, a_promise("B", "BROKEN", 4)) == [("manager", False, 3), ("rest", True, 3)]
    assert judge(recall, a_promise("B", "KEPT_LATE", 9, 4)) == [("manager", True, 3), ("rest", True, 3)]
    assert judge(recall, a_promise("C", "AT_RISK", 10)) == ORDINARY


async def test_each_cycle_of_a_clock_is_one() -> None:
    """Whoever was told of an earlier one hears how that ended; it counts as it did when it was the last."""
    recall = await a_recall()
    found = judge(recall, a_clock(("MISSED", 1), ("MISSED", 20), ("BREACHED", 40)))
    ended = [("manager", True, 0), ("rest", True, 0)]
    assert found == sorted([*ended, *ended, ("manager", False, 3), ("rest", True, 3)])
    assert judge(recall, a_promise("A", "BROKEN", 62)) == [("manager", False, 3), ("rest", True, 3)]
    assert judge(recall, a_promise("B", "BROKEN", 110)) == ORDINARY


async def test_what_is_taken_back_does_not_count() -> None:
    """Fulfilled in time after all, or it no longer counts; fulfilled late, it was broken all the same."""
    recall = await a_recall()
    for subject in "ABC":
        judge(recall, a_promise(subject, "BROKEN", 1))
    judge(recall, a_promise("A", "KEPT", 1))
    judge(recall, a_promise("B", "WITHDRAWN", 1))
    judge(recall, a_promise("C", "KEPT_LATE", 90, 1))
    assert judge(recall, a_promise("D", "BROKEN", 2)) == ORDINARY
    assert judge(recall, a_promise("E", "BROKEN", 3)) == [("manager", False, 3), ("rest", True, 3)]


async def test_a_restart_knows_what_was_broken_before() -> None:
    """Of both topics, whatever else they hold: deletions, what cannot be read, what was broken later."""
    garbage = Record(b"\xff\xff", topic=PROMISES, partition=HOME)
    deleted = Record(None, topic=PROMISES, partition=HOME)
    nobody = Record(Promise(promise_id="A", state=PromiseState.PROMISE_STATE_BROKEN).SerializeToString())
    nobody.partition = HOME
    before = [
        a_promise("A", "BROKEN", 1),
        garbage,
        deleted,
        nobody,
        a_clock(("MISSED", 2)),
        a_promise("C", "BROKEN", 4),
    ]
    recall = await a_recall(*before)
    assert judge(recall, a_promise("B", "BROKEN", 3)) == [("manager", False, 3), ("rest", True, 3)]
    assert judge(recall, a_clock(("BREACHED", 2))) == ORDINARY


async def test_only_what_is_new_is_read_and_what_is_gone_forgotten() -> None:
    """A partition that stays is known; one that comes back is read again."""
    topics = Topics(a_promise("A", "BROKEN", 1), a_promise("B", "BROKEN", 2))
    recall = Recall(RULE, topics.read, PARTITIONS)
    other = (HOME + 1) % PARTITIONS
    await recall.prepare({HOME})
    await recall.prepare({HOME, other})
    assert topics.asked == [(PROMISES, HOME), (SLA, HOME), (PROMISES, other), (SLA, other)]
    assert judge(recall, a_promise("C", "BROKEN", 3))[0] == ("manager", False, 3)
    await recall.prepare({other})
    assert judge(recall, a_promise("C", "BROKEN", 3)) == [("manager", True, None), ("rest", False, None)]
    topics.records.clear()
    await recall.prepare({HOME, other})
    assert len(topics.asked) == 6
    assert judge(recall, a_promise("C", "BROKEN", 3)) == ORDINARY


def test_where_nobody_counts_nothing_is_known() -> None:
    """No rule that speaks of it matches."""
    assert judge(None, a_promise("A", "BROKEN", 1)) == [("manager", True, None), ("rest", False, None)]
