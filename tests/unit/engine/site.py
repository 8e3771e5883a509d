"""A runtime with everything it needs, on fakes: a broker's word on log ends, a producer, and a clock to set."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from services.shared.engine.keeper import Keeper
from services.shared.engine.lane import Lane
from services.shared.engine.machine import Machine
from services.shared.engine.outbox import Outbox
from services.shared.engine.runtime import Runtime
from services.shared.engine.stage import Stage
from services.shared.engine.store import PartitionStore
from services.shared.engine.view import Announcement
from services.shared.instant import SECOND, Instant
from tests.unit.engine.fakes import FakeMessage, FakeProducer, Tally, settle
from tests.unit.engine.toy import DEAD_LETTERS, INPUT, MACHINE

#: Late enough for every instant in these tests.
NOW = Instant(1_000_000 * SECOND)


class FakeReader:
    """What the broker said last of where logs end, and when: just now, unless told otherwise."""

    def __init__(self) -> None:
        self.ends: dict[tuple[str, int], int] = {}
        self.heard_at = Instant(2**62)

    def log_end(self, topic: str, partition: int) -> tuple[int | None, Instant]:
        return self.ends.get((topic, partition)), self.heard_at


class Site:
    """Close it with `await outbox.stop()`."""

    def __init__(
        self,
        machine: Machine[Any, Any] = MACHINE,
        *,
        event_clock: bool = False,
        producer: FakeProducer | None = None,
        stages: Sequence[Stage] = (),
    ) -> None:
        """`stages`: beside the keeper."""
        self.now = NOW
        self.tally = Tally()
        self.reader = FakeReader()
        self.producer = producer or FakeProducer()
        self.failures: list[BaseException] = []
        self.told: list[Announcement] = []
        self.keeper = Keeper(machine, self.tally, dead_letters=DEAD_LETTERS, dead_letter_partitions=1)
        self.outbox = Outbox(lambda: self.producer, self.failures.append)
        self.outbox.start()
        self.runtime = Runtime(
            stages=[self.keeper, *stages],
            keeper=self.keeper,
            outbox=self.outbox,
            meter=self.tally,
            now=lambda: self.now,
            event_clock=event_clock,
            acknowledged=self.told.append,
        )
        self.runtime.reader = self.reader

    def own(self, *lanes: Lane) -> None:
        """Start with these lanes; stores that are missing are empty. The broker says that nothing else is unread."""
        for lane in lanes:
            if lane.partition not in self.keeper.stores:
                self.keeper.stores[lane.partition] = PartitionStore(self.keeper.machine)
            self.reader.ends.setdefault((lane.topic, lane.partition), lane.target)
        self.runtime.start(lanes)

    async def feed(
        self, *messages: FakeMessage, topic: str = INPUT, partition: int = 0, epoch: int | None = None
    ) -> object:
        """A batch as fetched under an epoch, by default the present one. The log ends behind it."""
        end = messages[-1].offset + 1
        self.reader.ends[topic, partition] = max(self.reader.ends.get((topic, partition), 0), end)
        epoch = self.runtime.epoch if epoch is None else epoch
        return await self.runtime.feed(topic, partition, messages, epoch)

    def transitions(self) -> list[tuple[bytes, str]]:
        """What has been announced, in order."""
        return [(announcement.key, announcement.transition) for announcement in self.told]

    def lane(self, topic: str = INPUT, partition: int = 0) -> Lane:
        """A lane that is owned."""
        return self.runtime.lanes[topic, partition]


def table_of(log: list[tuple[bytes | None, bytes | None]]) -> Mapping[bytes, bytes]:
    """The last value of each key in a log; deleted ones left out."""
    table = {key or b"": value for key, value in log}
    return {key: value for key, value in table.items() if value is not None}


async def idle(task: "asyncio.Task[Any]") -> bool:
    """Whether a task cannot move."""
    await settle(200)
    return not task.done()
