"""Order, loss and earliness through the engine: any batches, rebalances and crashes come to the same records."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from hypothesis import given, settings, strategies as st

from puntual.events.v1.common_pb2 import CONSENT_ACCEPTED, PARTY_COMPANY, PARTY_CUSTOMER
from puntual.events.v1.order_event_pb2 import MILESTONE_READY, OrderEvent
from services.promises.codec import machine as promise_machine
from services.promises.rules import read_rules
from services.shared.clock import set_timestamp
from services.shared.engine.lane import Lane
from services.shared.engine.machine import Machine
from services.shared.engine.store import PartitionStore
from services.shared.envelope import Limits
from services.shared.errors import Unusable
from services.shared.instant import SECOND, Instant
from tests.builders import an_order, promised, ready
from tests.unit.engine.fakes import FakeMessage, FakeProducer, a_tick, settle
from tests.unit.engine.site import NOW, Site, table_of
from tests.unit.engine.toy import INPUT, MACHINE, OTHER_INPUT, POISON, Fact, value_of

#: Topic → what it holds, from offset 0.
Inputs = Mapping[str, Sequence[bytes]]


class Read(NamedTuple):
    """Some messages of a topic come, some of them again."""

    topic: int
    messages: int
    again: int


class Answer(NamedTuple):
    """The broker acknowledges some batches."""

    batches: int


class Sweep(NamedTuple):
    """Deadlines are looked at, at one of the instants given."""

    instant: int


class Commit(NamedTuple):
    """Frontiers are committed."""


class Rebalance(NamedTuple):
    """Everything is revoked and assigned again, to this worker or to one that has to restore."""

    keeps: bool


class Crash(NamedTuple):
    """The process dies; some of what it sent and was not told of is in the log."""

    kept: int


Step = Read | Answer | Sweep | Commit | Rebalance | Crash
#: Turns of the loop in which everything moves that can.
_TURNS = 15
_STEPS = st.lists(
    st.one_of(
        st.builds(Read, st.integers(0, 1), st.integers(1, 4), st.integers(0, 2)),
        st.builds(Answer, st.integers(1, 3)),
        st.builds(Sweep, st.integers(0, 7)),
        st.builds(Commit),
        st.builds(Rebalance, st.booleans()),
        st.builds(Crash, st.integers(0, 3)),
    ),
    max_size=25,
)


class World:
    """A topic of records and a group's commits, which outlive workers, and one worker after the other."""

    def __init__(
        self,
        machine: Machine[Any, Any],
        inputs: Inputs,
        instants: Sequence[Instant],
        *,
        live: bool,
        event_clock: bool = False,
    ) -> None:
        self.machine, self.instants, self.event_clock = machine, instants, event_clock
        self.logs = {
            topic: [FakeMessage(offset, 0, b"", value) for offset, value in enumerate(values)]
            for topic, values in inputs.items()
        }
        if event_clock:  # as `puntual replay` does: the end is dated on every topic
            for log in self.logs.values():
                log.append(a_tick(len(log), instants[-1]))
        self.committed = dict.fromkeys(inputs, 0)
        self.producer = FakeProducer(room=3)
        self.now = instants[0]
        #: Whether input comes while the worker runs; else all of it was there when it took over.
        self.live = live
        self.announced: list[tuple[bytes, str]] = []

    async def run(self, steps: Sequence[Step]) -> None:
        """Take the steps, then read and sweep to the end."""
        self.start()
        for step in steps:
            await self.take(step)
            assert self.site.failures == []
        for topic in self.logs:
            await self.read(topic, 1_000, 0)
        self.now = self.instants[-1]
        await self.sweep()
        self.producer.answer_all()
        await self.stop()
        assert self.site.failures == []

    async def take(self, step: Step) -> None:
        """One step."""
        match step:
            case Read(topic, messages, again):
                await self.read(list(self.logs)[topic], messages, again)
            case Answer(batches):
                await settle(_TURNS)
                for _ in range(min(batches, len(self.producer.owed))):
                    self.producer.answer()
                await settle(_TURNS)
            case Sweep(instant):
                self.now = max(self.now, self.instants[instant % len(self.instants)])
                await self.sweep()
            case Commit():
                self.commit()
            case Rebalance(keeps):
                stores = self.site.keeper.stores
                await self.stop()
                self.start(stores if keeps else None)
            case Crash(kept):
                await self.crash(kept)

    # --- the worker's life

    def start(self, stores: dict[int, PartitionStore[Any, Any]] | None = None) -> None:
        """A worker takes over: restores unless it has the stores still, and reads from what is committed."""
        self.producer.holding = True
        self.site = Site(self.machine, producer=self.producer, event_clock=self.event_clock)
        log = self.producer.logs[self.machine.records, 0]
        if stores is None:
            store: PartitionStore[Any, Any] = PartitionStore(self.machine)
            store.restore((key or b"", value) for key, value in log)
            store.next_offset = len(log)
            list(store.index())
            stores = {0: store}
        assert stores[0].next_offset == len(log)
        self.site.keeper.stores.update(stores)
        self.site.own(
            *(
                Lane(topic, 0, self.committed[topic], self.committed[topic] if self.live else len(log))
                for topic, log in self.logs.items()
            )
        )

    async def stop(self) -> None:
        """What was read is acknowledged and committed."""
        freezing = asyncio.create_task(self.site.runtime.freeze())
        await settle(_TURNS)
        self.producer.answer_all()
        await freezing
        self.commit()
        await self.end()

    async def crash(self, kept: int) -> None:
        """What is not acknowledged is in the log or not."""
        await settle(_TURNS)
        for (topic, partition), log in self.producer.logs.items():
            if topic == self.machine.records:
                del log[self.site.keeper.stores[partition].next_offset + kept :]
        self.producer.owed.clear()
        await self.end()
        self.start()

    async def end(self) -> None:
        self.announced += self.site.transitions()
        await self.site.outbox.stop()

    # --- what a worker does

    async def read(self, topic: str, count: int, again: int) -> None:
        position = self.site.lane(topic).position
        messages = self.logs[topic][max(position - again, 0) : position + count]
        if messages:
            feeding = asyncio.create_task(self.site.feed(*messages, topic=topic))
            await settle(_TURNS)
            if not feeding.done():
                self.producer.answer_all()
                self.producer.holding = True
            assert await feeding is None

    async def sweep(self) -> None:
        self.site.now = self.now
        sweeping = asyncio.create_task(self.site.runtime.sweep())
        await settle(_TURNS)
        if not sweeping.done():
            self.producer.answer_all()
            self.producer.holding = True
        await sweeping
        self.site.now = NOW

    def commit(self) -> None:
        for topic in self.logs:
            assert self.site.lane(topic).frontier >= self.committed[topic]
            self.committed[topic] = self.site.lane(topic).frontier

    def table(self) -> Mapping[bytes, bytes]:
        """What the records came to, by their topic alone."""
        return table_of(self.producer.logs[self.machine.records, 0])


def facts_of(machine: Machine[Any, Any], inputs: Inputs) -> Mapping[bytes, list[Any]]:
    """All facts by key; what cannot be used left out."""
    facts: dict[bytes, list[Any]] = {}
    for topic, value in [(topic, value) for topic, values in inputs.items() for value in values]:
        try:
            for key, fact in machine.inputs[topic](value, False):
                facts.setdefault(key, []).append(fact)
        except (Unusable, ValueError, TypeError):
            continue
    return facts


def expected(machine: Machine[Any, Any], inputs: Inputs, now: Instant) -> Mapping[bytes, bytes]:
    """The records that the facts come to as of an instant, without any engine."""
    folded = {key: machine.fold(key, None, facts) for key, facts in facts_of(machine, inputs).items()}
    records = {key: record and machine.due(record, now) for key, record in folded.items()}
    return {key: machine.pack(record) for key, record in records.items() if record is not None}


def run(world: World, steps: Sequence[Step]) -> None:
    """To the end, in a loop of its own."""
    asyncio.run(world.run(steps))


# --- on the toy machine

_FACTS = st.builds(
    Fact,
    st.integers(1, 20).map(Instant),
    st.sampled_from(["x", "y", "z", "done"]),
    st.sampled_from([0, 0, 5, 10, 15]).map(Instant),
)
_VALUES = st.lists(st.tuples(st.sampled_from("abc"), _FACTS), max_size=3).map(lambda facts: value_of(*facts))
_LOG = st.lists(st.one_of(_VALUES, _VALUES, _VALUES, st.sampled_from(list(POISON.values()))), max_size=12)
_TOY_INPUTS = st.fixed_dictionaries({INPUT: _LOG, OTHER_INPUT: _LOG})
_TOY_INSTANTS = tuple(map(Instant, (0, 4, 5, 6, 10, 14, 15, 20)))


@given(_TOY_INPUTS, _STEPS, st.booleans())
def test_any_world_comes_to_the_same_records(inputs: Inputs, steps: list[Step], live: bool) -> None:
    """However input is cut and repeated, whenever a worker is revoked or dies: byte for byte the same in the end."""
    world = World(MACHINE, inputs, _TOY_INSTANTS, live=live)
    run(world, steps)
    assert world.table() == expected(MACHINE, inputs, _TOY_INSTANTS[-1])


@given(_TOY_INPUTS, _STEPS, _STEPS, st.booleans())
def test_a_replay_comes_to_the_same_records(inputs: Inputs, steps: list[Step], last: list[Step], live: bool) -> None:
    """On the event clock too, which lives in memory only: no time that was told is forgotten with a worker.

    Not even where all has been read when a worker dies, so that its successor hears of no time but by reading again.
    """
    world = World(MACHINE, inputs, _TOY_INSTANTS, live=live, event_clock=True)
    run(world, [*steps, Read(0, 1_000, 0), Read(1, 1_000, 0), *last])
    assert world.table() == expected(MACHINE, inputs, _TOY_INSTANTS[-1])


@given(_TOY_INPUTS, _STEPS)
def test_what_is_done_in_the_backlog_never_rings(inputs: Inputs, steps: list[Step]) -> None:
    """Wherever the word that it is done stands in the backlog: it is read before anything is announced by the clock."""
    world = World(MACHINE, inputs, _TOY_INSTANTS, live=False)
    run(world, steps)
    done = [key for key, value in expected(MACHINE, inputs, _TOY_INSTANTS[-1]).items() if b'"done"]' in value]
    assert [key for key, name in world.announced if name == "rung" and key in done] == []


def test_poison_alone_leaves_nothing_and_everything_is_committed() -> None:
    """The reader comes to the end of an input nobody can use."""
    inputs = {INPUT: list(POISON.values()), OTHER_INPUT: []}
    world = World(MACHINE, inputs, _TOY_INSTANTS, live=True)
    run(world, [])
    assert world.table() == {}
    assert world.committed == {INPUT: len(POISON), OTHER_INPUT: 0}


# --- on promises

_RULES = read_rules()
_MINUTE = 60 * SECOND
_T0 = Instant(1_767_225_600 * SECOND)


def _moved(subject: str, at: Instant, due_at: Instant) -> OrderEvent:
    event = an_order(subject, at, event_id=f"{subject}-moved-{at}-{due_at}")
    event.renegotiated.milestone = MILESTONE_READY
    event.renegotiated.asked_by, event.renegotiated.consent = PARTY_COMPANY, CONSENT_ACCEPTED
    set_timestamp(event.renegotiated.due.at, due_at)
    return event


def _cancelled(subject: str, at: Instant, _: Instant) -> OrderEvent:
    event = an_order(subject, at, event_id=f"{subject}-cancelled-{at}")
    event.cancelled.by = PARTY_CUSTOMER
    return event


_MAKERS = [promised, _moved, _cancelled, lambda subject, at, _: ready(subject, at)]
_EVENTS = st.builds(
    lambda make, subject, at, due: make(subject, Instant(_T0 + at * _MINUTE), Instant(_T0 + due * _MINUTE)),
    st.sampled_from([promised, promised, *_MAKERS]),
    st.sampled_from(["o-1", "o-2"]),
    st.integers(0, 40),
    st.integers(10, 40),
).map(partial(OrderEvent.SerializeToString, deterministic=True))
_ORDERS = st.lists(_EVENTS | st.sampled_from([b"", b"\xff"]), max_size=10)
_INSTANTS = tuple(Instant(_T0 + minute * _MINUTE) for minute in (0, 10, 15, 20, 25, 31, 41, 60))


@settings(max_examples=60)
@given(_ORDERS, _STEPS, st.booleans())
def test_promises_come_to_the_same_records(orders: list[bytes], steps: list[Step], live: bool) -> None:
    """The promise service's own machine, in any world."""
    machine = promise_machine(_RULES, Limits(lambda: _INSTANTS[-1]))
    inputs = {topic: orders if "orders" in topic else [] for topic in list(machine.inputs)[:2]}
    world = World(machine, inputs, _INSTANTS, live=live)
    run(world, steps)
    assert world.table() == expected(machine, inputs, _INSTANTS[-1])
