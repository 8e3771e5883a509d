"""Workers, one a partition, over logs in memory: what customers with several ids come to, whatever happens when."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import NamedTuple

from services.promises import codec
from services.promises.model import Cycle, Fact, Promise, Reason, State
from services.promises.rules import read_rules
from services.promises.words import cycles_of
from services.shared.customers.groups import Groups
from services.shared.engine.keeper import Keeper
from services.shared.engine.stage import Write
from services.shared.engine.store import PartitionStore
from services.shared.envelope import Limits
from services.shared.instant import SECOND, Instant
from services.shared.keys import record_key
from services.shared.partitioner import partition_of
from tests.unit.engine.fakes import FakeMessage, Tally
from tests.unit.promises.builders import NOON, RULES

PARTITIONS = 3
INPUT, JOINED, RECORDS = "in", "puntual.promises-joined.v1", "puntual.promises.v1"
BOOK = read_rules()._replace(rules=RULES)


class Said(NamedTuple):
    """A fact under an id of a customer, and when it came to Kafka."""

    customer: str
    fact: Fact
    arrived_at: Instant

    @property
    def key(self) -> bytes:
        return record_key(self.customer, "order_ready", "o1")


class Merge(NamedTuple):
    """Likewise."""

    one: str
    other: str
    arrived_at: Instant


class Announced(NamedTuple):
    """A breach by the clock, and whose."""

    customer: str
    breach_at: Instant
    at: Instant


class World:
    """All of it."""

    def __init__(self) -> None:
        self.now = NOON
        self.said: list[Said] = []
        self.merges: list[Merge] = []
        self.logs: defaultdict[tuple[str, int], list[FakeMessage]] = defaultdict(list)
        self.records: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self.announced: list[Announced] = []
        self.seconds = count()
        self.workers = [Worker(self, partition) for partition in range(PARTITIONS)]

    def say(self, customer: str, fact: Fact) -> None:
        """Publish a fact."""
        self.said.append(Said(customer, fact, self.now))
        self._append(INPUT, partition_of(customer, PARTITIONS), None, b"%d" % (len(self.said) - 1))

    def merge(self, one: str, other: str) -> None:
        """Publish a merge."""
        self.merges.append(Merge(one, other, self.now))

    def write(self, writes: Sequence[Write]) -> None:
        """Take what a worker sends."""
        for write in writes:
            if write.topic == RECORDS:
                assert write.value is not None
                self._note(self.records[write.partition].get(write.key or b""), write.value)
                self.records[write.partition][write.key or b""] = write.value
            else:
                assert write.topic == JOINED, write
                self._append(JOINED, write.partition, write.key, write.value, write.headers)

    def _append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: object = ()) -> None:
        log = self.logs[topic, partition]
        log.append(FakeMessage(len(log), 0, key, value, headers))  # type: ignore[arg-type]

    def _note(self, before: bytes | None, value: bytes) -> None:
        old = set() if before is None else {one.breach_at for one in broken(codec.unpack(before))}
        promise = codec.unpack(value)
        new = [one.breach_at for one in broken(promise) if one.breach_at not in old]
        self.announced += [Announced(promise.customer_id, breach_at, self.now) for breach_at in new]

    def settle(self) -> None:
        """Half a minute, in which nothing more is published."""
        for _ in range(30):
            self.now = Instant(self.now + SECOND)
            for worker in self.workers:
                worker.learn()
                worker.read(INPUT, 100)
                worker.read(JOINED, 100)
                worker.sweep()

    def promise(self, customer: str) -> Promise | None:
        """As it stands in the log."""
        key = record_key(customer, "order_ready", "o1")
        value = self.records[partition_of(customer, PARTITIONS)].get(key)
        return None if value is None else codec.unpack(value)


def broken(promise: Promise) -> list[Promise | Cycle]:
    """The cycles that time broke."""
    return [one for one in cycles_of(promise) if one.state == State.BROKEN and one.reason == Reason.DUE_PASSED]


class Worker:
    """Serves one partition."""

    def __init__(self, world: World, partition: int) -> None:
        self._world, self._partition = world, partition
        self._committed = {INPUT: 0, JOINED: 0}
        self._start()

    def _start(self) -> None:
        world = self._world
        machine = replace(
            codec.machine(BOOK, Limits(now=lambda: NOON)),
            inputs={INPUT: lambda value, _: [(world.said[int(value)].key, world.said[int(value)].fact)]},
        )
        self._groups = Groups()
        self.keeper = Keeper(
            machine, Tally(), dead_letters="dead", dead_letter_partitions=1, partitions=PARTITIONS, groups=self._groups
        )
        assert self.keeper.joined is not None
        self.keeper.joined.seconds = lambda: float(next(world.seconds))
        store = self.keeper.stores[self._partition] = PartitionStore(machine)
        store.restore(world.records[self._partition].items())
        for _ in store.index():
            pass
        self._positions = dict(self._committed)
        self._merges = 0

    def learn(self, most: int = 100) -> None:
        """Read merges."""
        for one, other, _ in self._world.merges[self._merges : self._merges + most]:
            self._merges += 1
            self._groups.merge(one, other, self._merges)

    def read(self, topic: str, most: int, *, crash: Callable[[Write], bool] | None = None) -> None:
        """Read a batch. `crash`: which writes are in the log when the worker ends in the midst of it."""
        position = self._positions[topic]
        messages = self._world.logs[topic, self._partition][position : position + most]
        if messages:
            result = self.keeper.process(topic, self._partition, messages, self._world.now)
            self._positions[topic] += len(messages)
            self._world.write([write for write in result.writes if crash is None or crash(write)])
        if crash is not None:
            self._start()
        elif messages:
            self._committed[topic] = self._positions[topic]

    def sweep(self) -> None:
        """Look at what is due. The partition's time has come as far as all is read."""
        is_read = self._merges == len(self._world.merges) and all(
            position == len(self._world.logs[topic, self._partition]) for topic, position in self._positions.items()
        )
        clock = self._world.now if is_read else Instant(0)
        self._world.write(self.keeper.sweep(self._partition, clock, self._world.now, 100).writes)
