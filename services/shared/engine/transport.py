"""Where the lane meets Faust: a transport whose consumer hands over whole batches and commits only lanes' frontiers.

Faust keeps group membership, assignment and the worker's lifecycle. Its own way from recovery to reading
skips records at rebalances and commits past them; here every lane therefore starts at a position sought explicitly, and
what was fetched under an earlier assignment is dropped.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, TypeVar, cast

from aiokafka.errors import ConsumerStoppedError, IllegalStateError
from aiokafka.producer.producer import AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.tables.recovery import RebalanceAgain
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.types import ServiceT

from services.shared.engine.contact import Contact
from services.shared.engine.fence import Fences, Stamped
from services.shared.engine.fetch import adapt
from services.shared.engine.lane import Bridges, Jump
from services.shared.engine.runtime import Runtime
from services.shared.instant import SECOND, Instant

T = TypeVar("T")
#: Seconds that one fetch waits for input, and so at most the time until the consumer is at rest.
_POLL = 0.25
Commit = Callable[[Mapping[TopicPartition, OffsetAndMetadata]], Awaitable[None]]


class Committed(NamedTuple):
    """What a group has committed of a partition."""

    #: None: nothing.
    offset: int | None
    #: How long the log of the records was then.
    length: int


class LaneProducer(driver.Producer):
    """Idempotent, so that a retried batch stands in the log once and in order; fenced where it owns partitions."""

    logger = driver.logger
    _fences: Fences
    #: Told when and with what stamp a fence was written.
    stamped: Stamped = staticmethod(lambda *_: None)

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    def _new_producer(self, transactional_id: str | None = None) -> AIOKafkaProducer:
        producer = super()._new_producer(transactional_id)
        self._fences = Fences(producer, self.stamped)
        return producer

    async def fence(self, topic: str, partitions: Iterable[int]) -> Mapping[int, int]:
        """Become the one writer of these partitions; the offset of each one's fence."""
        return await self._fences.set(topic, partitions)


def noted(commit: Commit, note: Callable[[TP], str]) -> Commit:
    """A commit that leaves a note with each offset."""

    async def commit_(offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        await commit({key: OffsetAndMetadata(value.offset, note(TP(*key))) for key, value in offsets.items()})

    return commit_


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task of aiokafka until it ends: where it waits for what it has cancelled itself, it overhears it."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.05)


class LaneThread(driver.AIOKafkaConsumerThread):
    """aiokafka's consumer, in a thread of its own."""

    logger = driver.logger
    #: By topic and partition.
    bridges: Mapping[tuple[str, int], Bridges]
    #: As of when Kafka last said where the log of a topic and partition ends, by the monotonic clock.
    heard: Mapping[tuple[str, int], float]
    _keeping: asyncio.Task[None] | None = None

    async def on_start(self) -> None:
        """Connect."""
        await super().on_start()
        consumer = cast(Any, self._consumer)
        self.bridges, self.heard = adapt(consumer._fetcher)  # noqa: SLF001
        contact = cast(LaneConsumer, self.consumer).contact
        contact.follow(consumer._client, consumer._coordinator)  # noqa: SLF001
        self._keeping = asyncio.create_task(contact.keep(consumer._client))  # noqa: SLF001
        consumer.commit = noted(consumer.commit, cast(LaneConsumer, self.consumer).note)

    async def on_thread_stop(self) -> None:
        """Leave the group, also in the midst of a rebalance: its end would wait for the app, which waits for us."""
        consumer = cast(Any, self._consumer)
        if self._keeping:
            await _end(self._keeping)
        if consumer is not None and consumer._coordinator is not None:  # noqa: SLF001 - it was started
            await _end(consumer._coordinator._coordination_task)  # noqa: SLF001
            await _end(consumer._fetcher._fetch_task)  # noqa: SLF001
        await super().on_thread_stop()


class LaneConsumer(driver.Consumer):
    """Hands batches to the runtime."""

    logger = driver.logger
    runtime: Runtime
    contact: Contact
    #: Called with a changelog partition, its records and the epoch they were fetched under.
    restore: Callable[[TP, Sequence[Any], int], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Faust's signature
        super().__init__(*args, **kwargs)
        #: Set while nothing is being fetched.
        self._at_rest = asyncio.Event()
        self._at_rest.set()

    def _new_consumer_thread(self) -> LaneThread:
        return LaneThread(self, loop=self.loop, beacon=self.beacon)

    async def halt(self) -> None:
        """Stop the flow. When this returns nothing is being fetched, and nothing will be until the flow resumes.

        A fetch under way may outlast a rebalance and then bring what was sought after it; dropped as outdated, it would
        leave a hole.
        """
        self.stop_flow()
        await self._at_rest.wait()

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        """Faust's fetch loop, by whole batches."""
        runtime = self.runtime
        stopped = cast(Any, fetcher)._stopped.is_set  # noqa: SLF001 - as Faust's own loop does
        try:
            while not (self._stopped.is_set() or stopped()):
                await asyncio.sleep(0)
                if not self.flow_active:
                    self._at_rest.set()
                    await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # Faust's own idiom
                    continue
                self._at_rest.clear()
                epoch = runtime.epoch
                batches, _ = await self._wait_next_records(_POLL)
                for tp, records in (batches or {}).items():
                    if epoch != runtime.epoch or not self.flow_active:
                        break
                    await self._hand_over(tp, records, epoch)
                else:
                    runtime.cross()
        except ConsumerStoppedError:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise
        except Exception as error:  # noqa: BLE001 - reading must never stop silently
            await self.crash(error)
        finally:
            self._at_rest.set()

    async def _hand_over(self, tp: TP, records: Sequence[Any], epoch: int) -> None:
        if self._is_changelog_tp(tp) and tp.topic not in self.runtime.inputs:
            self.restore(tp, records, epoch)
            return
        jump = await self.runtime.feed(tp.topic, tp.partition, records, epoch)
        if jump is not None and epoch == self.runtime.epoch:
            await self._explain(tp, jump)

    async def _explain(self, tp: TP, jump: Jump) -> None:
        """Read again from where the last batch ended, or from where the log now begins."""
        earliest = (await self.earliest_offsets(tp))[tp]
        lane = self.runtime.lanes.get((tp.topic, tp.partition))
        if lane is None:
            return
        if earliest > jump.expected:
            self.log.error("%s: offsets %d to %d expired before they were read", tp, jump.expected, earliest - 1)
            lane.skip(earliest)
            self.runtime.jumped(tp.topic, "expired")
        else:
            self.log.warning("%s: expected offset %d, got %d; reading again", tp, jump.expected, jump.found)
            self.runtime.jumped(tp.topic, "refetched")
        with suppress(RebalanceAgain):
            await self.seek_wait({tp: lane.position})

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Read on from these offsets. Raises RebalanceAgain where the group is being shuffled anew already."""
        try:
            await super().seek_wait(partitions)
        except IllegalStateError as error:  # aiokafka knows before the app is told
            raise RebalanceAgain from error

    # --- what Faust asks of a consumer

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Bring everything to rest and commit it before the partitions are given away."""
        if self._leaves:
            return
        await self._rest()
        self.runtime.clear()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Recover."""
        if not self._leaves:
            await super().on_partitions_assigned(assigned, generation_id)

    @property
    def _leaves(self) -> bool:
        """Whether the app commits and leaves already: Faust would close aiokafka's consumer from a foreign thread."""
        return self.transport.app.should_stop

    async def wait_empty(self) -> None:
        """On the way out: all that was read is acknowledged and committed."""
        await self._rest()

    async def _rest(self) -> None:
        await self.runtime.freeze()
        await self.maybe_wait_for_commit_to_finish()
        await self.force_commit()

    async def perform_seek(self) -> None:
        """Nothing: lanes are sought explicitly after recovery."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:  # noqa: ANN401, ARG002 - Faust's signature
        return (TP(*key) for key in self.runtime.lanes)

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        frontiers = {tp: self.runtime.lanes[tp.topic, tp.partition].frontier for tp in tps}
        return {tp: offset for tp, offset in frontiers.items() if offset > (self._committed_offset[tp] or 0)}

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: FBT002
        committed = await super()._commit_offsets(offsets, start_new_transaction)
        if committed:
            self.runtime.committed((tp.topic, tp.partition) for tp in offsets)
        return committed

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust's detector knows nothing of lanes, and would cry wolf."""

    # --- what the runtime and recovery ask of Kafka

    def log_end(self, topic: str, partition: int) -> tuple[int | None, Instant]:
        """The end of the log as the broker last told (None: not yet), and as of when."""
        thread = cast(LaneThread, self._thread)
        with suppress(AttributeError, KeyError, AssertionError):
            # When first: an end that is told in between is later, not earlier.
            heard_at = Instant(self.runtime.now() - int((monotonic() - thread.heard[topic, partition]) * SECOND))
            assignment = thread._ensure_consumer()._subscription.subscription.assignment  # noqa: SLF001
            state = assignment.state_value(TopicPartition(topic, partition))
            if state.highwater is not None:
                return state.highwater, heard_at
        return None, Instant(0)

    def bridges(self, topic: str, partition: int) -> Bridges:
        """Where nothing stands for readers, as far as it was fetched."""
        return cast(LaneThread, self._thread).bridges[topic, partition]

    async def committed(self, tps: Iterable[TP]) -> dict[TP, Committed]:
        """What was committed of each partition."""
        coordinator = self._thread._ensure_consumer()._coordinator  # noqa: SLF001 - aiokafka tells notes to nobody
        keys = [TopicPartition(*tp) for tp in tps]
        found = await self._in_thread(partial(coordinator.fetch_committed_offsets, keys))
        return {TP(*key): _read(found.get(key)) for key in keys}

    def note(self, tp: TP) -> str:
        """What is committed with an offset: how long the records of the partition are."""
        store = self.runtime.keeper.stores.get(tp.partition)
        return str(store.next_offset) if store else ""

    async def confirm(self) -> None:
        """Ask the group whether this worker is still a member; `contact` hears of it."""
        await self._in_thread(self._thread._ensure_consumer()._coordinator._do_heartbeat)  # noqa: SLF001

    async def _in_thread(self, work: Callable[[], Awaitable[T]]) -> T:
        return cast(T, await self._thread.call_thread(work))


def _read(committed: OffsetAndMetadata | None) -> Committed:
    if committed is None or committed.offset < 0:
        return Committed(None, 0)
    note = committed.metadata or ""
    return Committed(committed.offset, int(note) if note.isdecimal() else 0)


class LaneTransport(driver.Transport):
    """Faust's aiokafka transport with the lane's consumer and producer."""

    Consumer = LaneConsumer
    Producer = LaneProducer
