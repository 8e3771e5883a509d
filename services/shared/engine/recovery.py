"""From an assignment to reading: restore records from the changelog, then start every lane where it was committed."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, cast

from faust.tables import recovery as faust_recovery
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP
from mode import Service

from services.shared.engine.dead_letters import Unread
from services.shared.engine.lane import Lane
from services.shared.engine.meter import Meter
from services.shared.engine.runtime import Runtime
from services.shared.engine.store import PartitionStore
from services.shared.engine.transport import Committed, LaneConsumer

log = logging.getLogger(__name__)

#: Seconds between two lines of the log about one recovery.
_SAY = 2.0
#: Of a recovery, by time: reading the log. The rest is taking in what was read.
_READING = 0.5

Fence = Callable[[str, Iterable[int]], Awaitable[Mapping[int, int]]]


class TruncatedLog(Exception):
    """A log has lost what was acknowledged: by an operator's hand, or in the failure of a broker."""

    def __init__(self, tp: TP, lost: str) -> None:
        super().__init__(
            f"{tp.topic}, partition {tp.partition}, {lost}. It was cut or made anew, and what is left cannot be"
            " trusted. Bring it back, or begin anew: see `A topic has lost messages` in deploy/runbook.md"
        )


class _Progress:
    """Says how far a recovery is: to the meter at once, in the log every few seconds."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._said_at = monotonic()

    def at(self, share: float) -> None:
        """So much is done, of 1."""
        self._meter.recovery(share)
        if monotonic() - self._said_at > _SAY:
            self._said_at = monotonic()
            log.info("Restoring: %d %%", share * 100)


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Restoring makes none, and looking for them would be a tenth of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class LaneRecovery(Recovery):
    """Faust's recovery with its loop replaced: whole batches, and explicit positions."""

    logger = faust_recovery.logger
    runtime: Runtime
    meter: Meter
    #: Shuts out every earlier writer of some partitions of a topic; partition → the offset of its fence.
    fence: Fence
    #: Awaited with all partitions owned before anything of them is read.
    prepare: Callable[[Collection[int]], Awaitable[None]] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Faust's signature
        super().__init__(*args, **kwargs)
        self._ends: dict[TP, int] = {}
        self._committed: Mapping[TP, Committed] = {}
        self._heard = asyncio.Event()

    @property
    def consumer(self) -> LaneConsumer:
        return cast(LaneConsumer, self.app.consumer)

    @Service.task
    async def _restart_recovery(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):  # type: ignore[arg-type]  # Faust's own idiom
                return
            self.signal_recovery_start.clear()
            try:
                await self._recover(self._generation_id)
            except RebalanceAgain:
                continue
            except ServiceStopped:
                return
            except Exception as error:  # noqa: BLE001 - without state there is nothing to serve
                await self.crash(error)

    @Service.task
    async def _slurp_changelogs(self) -> None:
        """Nothing: `restore` is called with whole batches instead."""

    async def _recover(self, generation: int) -> None:
        started = monotonic()
        self._set_recovery_started()
        self.completed.clear()
        self.meter.rebalanced()
        self.meter.ready(is_ready=False)
        epoch = self.runtime.epoch
        await self._wait(self.consumer.halt())
        progress = _Progress(self.meter)
        progress.at(0.0)
        await self._wait(self._note_committed())
        with _no_search_for_cycles():
            await self._wait(self._restore_all(progress))
        if self.prepare:
            await self._wait(self.prepare(self.runtime.keeper.stores.keys()))
        await self._wait(self._start_lanes(epoch))
        if self.app.consumer_generation_id != generation:
            return
        self._set_recovery_ended()
        progress.at(1.0)
        self.meter.recovered(monotonic() - started)
        await self._resume()

    async def _note_committed(self) -> None:
        inputs = set(self.runtime.inputs)
        tps = [tp for tp in self.consumer.assignment() if tp.topic in inputs]
        self._committed = await self.consumer.committed(tps) if tps else {}

    # --- records

    async def _restore_all(self, progress: _Progress) -> None:
        stores = self.runtime.keeper.stores
        owned = {tp.partition: tp for tp in self.active_tps}
        for partition in stores.keys() - owned.keys():
            self._drop(partition)
        for partition in owned.keys() - stores.keys():
            stores[partition] = PartitionStore(self.runtime.keeper.machine)
        if owned:
            await self._read_changelog(owned, progress)
            await self._index_all(owned, progress)

    def _drop(self, partition: int) -> None:
        store = self.runtime.keeper.stores.pop(partition)
        for labels, count in store.counts.items():
            self.meter.records(*labels, -count)

    async def _read_changelog(self, owned: dict[int, TP], progress: _Progress) -> None:
        stores, tps = self.runtime.keeper.stores, list(owned.values())
        fences = await self.fence(self.runtime.keeper.machine.records, owned)
        starts = await self.consumer.earliest_offsets(*tps)
        # Nothing but this worker's own writes can come after its fence.
        self._ends = {tp: fences[partition] + 1 for partition, tp in owned.items()}
        for partition, tp in owned.items():
            store, fence = stores[partition], fences[partition]
            if (known := max(store.next_offset, self._known_length(partition))) > fence:
                raise TruncatedLog(tp, f"ended at {fence}, but {known} was acknowledged")
            if starts[tp]:
                raise TruncatedLog(tp, f"begins at {starts[tp]} instead of 0")
            if store.next_offset == fence:
                store.follow(fence, 1)
        unread = {tp: stores[tp.partition].next_offset for tp in tps if not self._restored(tp)}
        if not unread:
            return
        total = sum(self._ends[tp] - offset for tp, offset in unread.items())
        log.info("Restoring up to %d records of %d partitions", total, len(unread))
        await self.consumer.seek_wait(unread)
        await self._flow(unread)
        while unread:
            self._heard.clear()
            await self._heard.wait()
            for tp in [tp for tp in unread if self._restored(tp)]:
                del unread[tp]
                self.consumer.pause_partitions([tp])
            left = sum(self._ends[tp] - stores[tp.partition].next_offset for tp in unread)
            progress.at(_READING * (1 - left / total))
        self.consumer.stop_flow()

    async def renew(self) -> None:
        """Set the fences of what is served anew, before Kafka forgets them."""
        async with self.runtime.rest():
            keeper = self.runtime.keeper
            partitions = self.runtime.partitions()
            fences = await self.fence(keeper.machine.records, partitions) if partitions else {}
            for partition, offset in fences.items():
                keeper.stores[partition].follow(offset, 1)

    def _known_length(self, partition: int) -> int:
        """How long the records were when an input was last committed: where this process has not seen them yet."""
        return max([length for tp, (_, length) in self._committed.items() if tp.partition == partition], default=0)

    def restore(self, tp: TP, records: Sequence[Any], epoch: int) -> None:
        """Apply a fetched changelog batch."""
        store = self.runtime.keeper.stores.get(tp.partition)
        if store is None or epoch != self.runtime.epoch or tp not in self.active_tps or self._restored(tp):
            return
        store.restore((record.key, record.value) for record in _readable(tp, records))
        store.next_offset = records[-1].offset + 1
        self._heard.set()

    def _restored(self, tp: TP) -> bool:
        return self.runtime.keeper.stores[tp.partition].next_offset >= self._ends[tp]

    async def _index_all(self, owned: dict[int, TP], progress: _Progress) -> None:
        stores = [self.runtime.keeper.stores[partition] for partition in owned]
        total = sum(store.unindexed for store in stores)
        for store in stores:
            before = store.counts.copy()
            try:
                for _ in store.index():
                    left = sum(store.unindexed for store in stores)
                    progress.at(_READING + (1 - _READING) * (1 - left / total))
                    await asyncio.sleep(0)
            finally:
                for labels, count in store.counts.items():
                    self.meter.records(*labels, count - before[labels])

    # --- lanes

    async def _start_lanes(self, epoch: int) -> None:
        tps = list(self._committed)
        if not tps:
            self._start([], epoch)
            await self._flow([])
            return
        starts, ends = await self.consumer.earliest_offsets(*tps), await self.consumer.highwaters(*tps)
        lanes = [self._lane(tp, self._committed[tp].offset, starts[tp], ends[tp]) for tp in tps]
        await self.consumer.seek_wait({TP(lane.topic, lane.partition): lane.position for lane in lanes})
        self._start(lanes, epoch)
        await self._flow(tps)

    def _start(self, lanes: Sequence[Lane], epoch: int) -> None:
        if epoch != self.runtime.epoch:
            raise RebalanceAgain  # revoked meanwhile; the next assignment is on its way
        self.runtime.start(lanes)

    def _lane(self, tp: TP, committed: int | None, start: int, end: int) -> Lane:
        position = max(committed or 0, start)
        if committed is not None and committed < start:
            log.error("%s: offsets %d to %d expired before they were read", tp, committed, start - 1)
            self.meter.jump(tp.topic, "expired")
        if position > end:
            raise TruncatedLog(tp, f"ends at {end}, but {position} was committed")
        return Lane(tp.topic, tp.partition, position, end, self.consumer.bridges(tp.topic, tp.partition))

    async def _flow(self, tps: Iterable[TP]) -> None:
        self.consumer.resume_partitions(tps)
        self.app.flow_control.resume()
        self.consumer.resume_flow()
        await cast(Any, self.app)._fetcher.maybe_start()  # noqa: SLF001 - as Faust's own recovery does

    async def _resume(self) -> None:
        app = cast(Any, self.app)
        await app.on_rebalance_complete.send()
        self.completed.set()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()
        log.info("Serving %d partitions", len(self.runtime.partitions()))


def _readable(tp: TP, records: Sequence[Any]) -> Iterable[Any]:
    """Those that are records. Raises TruncatedLog where this service's own are damaged.

    What only others can have written (compressed beyond measure, say) is left out, and said.
    """
    for record in records:
        if isinstance(record, Unread):
            if record.damaged:
                raise TruncatedLog(tp, f"is damaged at the offsets {record.first} to {record.offset}")
            log.error("%s: offsets %d to %d are left out: %s", tp, record.first, record.offset, record.detail)
        else:
            yield record


class LaneTables(TableManager):
    """Faust's table manager with the lane's recovery."""

    logger = faust_recovery.logger

    @property
    def recovery(self) -> LaneRecovery:
        """The recovery service."""
        if self._recovery is None:
            self._recovery = LaneRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return cast(LaneRecovery, self._recovery)

    async def on_start(self) -> None:
        """Begin at once: Faust waits a second for tables to be declared, here there is one from the beginning."""
        await self._update_channels()
        await self.recovery.start()
