"""Faust's consumer and recovery as the worker builds them, on a broker in memory."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.errors import IllegalStateError
from faust.types import TP

from services.shared.engine.app import WorkerSettings
from services.shared.engine.fence import KEY
from services.shared.engine.lane import Lane
from services.shared.engine.transport import Committed
from services.shared.engine.worker import Worker
from tests.unit.engine.fakes import FakeMessage, Tally
from tests.unit.engine.site import Site
from tests.unit.engine.toy import DEAD_LETTERS, MACHINE

#: Records that one fetch brings from a partition.
FETCH = 3


class FakeKafka:
    """In the place of Faust's consumer thread. A fetch waits for input, for as long as it may or until told."""

    def __init__(self) -> None:
        self.logs: dict[TP, list[FakeMessage]] = defaultdict(list)
        #: How many messages of a log are there to be fetched, if not all yet.
        self.shown: dict[TP, int] = {}
        self.starts: dict[TP, int] = defaultdict(int)
        self.bridges: dict[tuple[str, int], dict[int, int]] = defaultdict(dict)
        self.offsets: dict[TP, int | None] = {}
        #: How long the records were when it was committed.
        self.lengths: dict[TP, int] = defaultdict(int)
        self.positions: dict[TP, int] = {}
        self.owned: set[TP] = set()
        self.seeks: list[Mapping[TP, int]] = []
        #: Seconds that fetches wait, whatever is asked for.
        self.patience = 0.01
        #: Cleared: seeking waits.
        self.seekable = asyncio.Event()
        self.seekable.set()

    def end(self, tp: TP) -> int:
        return max([message.offset + 1 for message in self.logs[tp]], default=0)

    async def getmany(self, active: set[TP], timeout: float) -> dict[TP, list[FakeMessage]]:  # noqa: ASYNC109, ARG002
        """Like aiokafka's, it looks at the set of active partitions as it is at the moment, not as it was."""
        until = asyncio.get_running_loop().time() + self.patience
        while True:
            found: dict[TP, list[FakeMessage]] = {}
            for tp in self.owned & active if active else self.owned:
                log, position = self.logs[tp][: self.shown.get(tp)], self.positions.get(tp, 0)
                unread = [message for message in log if message.offset >= position][:FETCH]
                if unread:
                    found[tp] = unread
                self.positions[tp] = unread[-1].offset + 1 if unread else position
            if found or asyncio.get_running_loop().time() > until:
                return found
            await asyncio.sleep(0.001)

    async def seek_wait(self, positions: Mapping[TP, int]) -> None:
        await self.seekable.wait()
        if not positions.keys() <= self.owned:
            raise IllegalStateError("No current assignment")
        self.positions.update(positions)
        self.seeks.append(dict(positions))

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        return {tp: self.starts[tp] for tp in tps}

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        return {tp: self.end(tp) for tp in tps}

    async def committed(self, tps: Iterable[TP]) -> dict[TP, Committed]:
        return {tp: Committed(self.offsets.get(tp), self.lengths[tp]) for tp in tps}

    def assignment(self) -> set[TP]:
        return self.owned


class FakeFetcher:
    """In the place of Faust's fetcher service."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._stopped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def maybe_start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._consumer._drain_messages(self))  # noqa: SLF001 - as Faust calls it

    async def stop(self) -> None:
        """Not as long as a fetch lasts."""
        self._stopped.set()
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])


def an_app(address: str = "127.0.0.1:0") -> Any:
    """The Faust app of a worker with this gRPC address. It is not started and talks to nobody."""
    settings = WorkerSettings(name="toy", kafka="127.0.0.1:1", partitions=2, dead_letters=DEAD_LETTERS)
    worker = Worker(settings, MACHINE, Tally())
    worker.advertise(address)
    app: Any = worker._app  # noqa: SLF001 - the worker builds the app and keeps it
    app.consumer._thread.thread_loop.close()  # noqa: SLF001 - made for a thread that never starts
    return app


class Rig(Site):
    """A site whose consumer and recovery are the real ones."""

    def __init__(self) -> None:
        super().__init__()
        app = an_app()
        self.kafka = FakeKafka()
        self.consumer, self.recovery = app.consumer, app.tables.recovery
        self.consumer._thread = self.kafka  # noqa: SLF001
        self.consumer.committed = self.kafka.committed
        self.consumer.runtime = self.recovery.runtime = self.runtime
        self.recovery.meter = self.tally
        self.recovery.fence = self.fence
        self.fetcher = app._fetcher = FakeFetcher(self.consumer)  # noqa: SLF001
        app.on_rebalance_start()
        self._app = app

    async def fence(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """A fence in each log, and whatever is in it known to the producer."""
        offsets = {partition: self.kafka.end(TP(topic, partition)) for partition in partitions}
        for partition, offset in offsets.items():
            self.kafka.logs[TP(topic, partition)].append(FakeMessage(offset, offset, KEY, None))
            self.producer.logs[topic, partition] = [(KEY, None)] * (offset + 1)
        return offsets

    def revoke(self) -> Any:
        """What happens in the worker when the group is about to share out anew; awaitable."""

        async def work() -> None:
            await self.runtime.freeze()
            self.runtime.clear()
            self.consumer.stop_flow()
            self.consumer.pause_partitions(self.kafka.owned)

        return work()

    async def assign(self, *tps: TP) -> None:
        """What happens when partitions have been assigned, until they are served. Raises what recovery raises."""
        self.kafka.owned = set(tps)
        self.consumer._set_active_tps(set(tps))  # noqa: SLF001
        self.consumer.pause_partitions(tps)
        self.recovery.active_tps.clear()
        self.recovery.active_tps.update(tp for tp in tps if tp.topic == MACHINE.records)
        self._app.on_rebalance_start()
        self._app.consumer_generation_id += 1
        await self.recovery._recover(self._app.consumer_generation_id)  # noqa: SLF001 - what Faust's signal starts

    async def close(self) -> None:
        """End what runs."""
        await self.fetcher.stop()
        await self.outbox.stop()

    def lanes(self) -> dict[TP, Lane]:
        """What is read."""
        return {TP(*key): lane for key, lane in self.runtime.lanes.items()}
