"""One worker process: a Faust app whose hot topics go through the lane, its servers' view of the records, its end.

Any failure ends the process: its memory would be ahead of the log. A supervisor starts it again and it recovers.
"""

import asyncio
import logging
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

import faust
from aiokafka.producer.producer import AIOKafkaProducer
from faust.types import TP
from yarl import URL

from services.shared.clock import Now, wall_clock
from services.shared.engine.assignor import LaneAssignor
from services.shared.engine.fence import RENEWAL
from services.shared.engine.hold import Hold
from services.shared.engine.keeper import Keeper
from services.shared.engine.machine import Machine, OwnFact
from services.shared.engine.meter import Meter
from services.shared.engine.outbox import Outbox
from services.shared.engine.recovery import LaneRecovery, LaneTables
from services.shared.engine.runtime import Runtime, every
from services.shared.engine.stage import Stage
from services.shared.engine.transport import LaneConsumer, LaneProducer, LaneTransport
from services.shared.engine.view import Announcement
from services.shared.partitioner import partition_of

log = logging.getLogger(__name__)

#: Seconds between two looks at the deadlines.
SWEEP_INTERVAL = 0.05
#: Seconds without a look at the deadlines, or without an assignment, after which the worker is considered stuck.
STUCK = 60.0
UNASSIGNED = 300.0
#: Seconds that `stopping` may take, and then Faust.
_LEAVE_TIMEOUT, _STOP_TIMEOUT = 15.0, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a worker takes part in its group."""

    name: str
    kafka: str
    partitions: int
    dead_letters: str
    dead_letter_partitions: int = 3
    event_clock: bool = False
    #: Static group membership; None: dynamic.
    instance: str | None = None
    #: Seconds of silence after which the others take over.
    session_seconds: float = 30.0


class Worker:
    """Runs one machine (and, before it, relays) over the partitions Kafka assigns. Implements `RecordView`."""

    def __init__(  # noqa: PLR0913 - what a service gives it
        self,
        settings: WorkerSettings,
        machine: Machine[Any, Any],
        meter: Meter,
        *,
        relays: Sequence[Stage] = (),
        now: Now = wall_clock,
        acknowledged: Callable[[Announcement], None] | None = None,
        stopping: Callable[[], Awaitable[None]] | None = None,
        prepare: Callable[[Collection[int]], Awaitable[None]] | None = None,
        hold: Hold | None = None,
    ) -> None:
        """Build it; `run` starts it.

        `hold`: what may keep breaches back that the clock would announce; never on the event clock.
        `prepare` is awaited at every assignment, with all partitions that this worker owns since and before anything of
        them is read.
        `stopping` is awaited when the worker is told to stop, not when it fails: nothing is read or swept any more,
        while what is submitted is still written.
        """
        self._settings = settings
        self._stopping = stopping
        self._prepare = prepare
        self._machine = machine
        self._meter = meter
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._swept_at = self._served_at = asyncio.get_running_loop().time()
        keeper = Keeper(
            machine,
            meter,
            dead_letters=settings.dead_letters,
            dead_letter_partitions=settings.dead_letter_partitions,
            partitions=settings.partitions,
            hold=None if settings.event_clock else hold,
        )
        self._outbox = Outbox(self._producer, self.fail)
        self.runtime = Runtime(
            stages=[*relays, keeper],
            keeper=keeper,
            outbox=self._outbox,
            meter=meter,
            now=now,
            event_clock=settings.event_clock,
            acknowledged=acknowledged,
        )
        self._app = self._build_app()
        self._tasks: list[asyncio.Task[None]] = []

    # --- life

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, then drain and commit. Raises what made the worker fail."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            await self.serve_until(stop)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises what made the worker fail."""
        self._outbox.start()
        starting = asyncio.create_task(self._app.start())
        self._tasks = [
            asyncio.create_task(self._guarded(every(SWEEP_INTERVAL, self._sweep))),
            asyncio.create_task(self._guarded(every(RENEWAL, self._renew_fences))),
            asyncio.create_task(self._guarded(self._watch_app(starting))),
        ]
        stopping = asyncio.create_task(stop.wait())
        waited: set[asyncio.Future[Any]] = {stopping, self._failure}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await self._end(starting)
        if self._failure.done():
            raise self._failure.result()

    def fail(self, error: BaseException) -> None:
        """End the process because of `error`."""
        if not self._failure.done():
            log.critical("The worker ends: %s", error)
            self._failure.set_result(error)

    async def _end(self, starting: asyncio.Task[None]) -> None:
        """Leave the group properly; after a failure only as far as it takes no time."""
        await _cancelled(*self._tasks)
        if not self._failure.done():
            await self._take_leave()
        if not starting.done():
            starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        if self._failure.done():
            # What is in memory must not be committed; and without its outbox the app could wait for ever.
            await self._outbox.stop()
            return
        stopping = asyncio.create_task(self._app.stop())
        waited: set[asyncio.Future[Any]] = {stopping, self._failure}
        await asyncio.wait(waited, timeout=_STOP_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            await stopping
        else:
            self.fail(TimeoutError(f"stopping took longer than {_STOP_TIMEOUT:.0f} s; the rest is left to the log"))
        await self._outbox.stop()

    async def _take_leave(self) -> None:
        """Take no more input, and let whoever works on the records come to an end while they can still be written."""
        if self._stopping is None:
            return

        async def leave(stopping: Callable[[], Awaitable[None]]) -> None:
            await cast(LaneConsumer, self._app.consumer).halt()
            await stopping()

        leaving = asyncio.create_task(leave(self._stopping))
        waited: set[asyncio.Future[Any]] = {leaving, self._failure}
        await asyncio.wait(waited, timeout=_LEAVE_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if not leaving.done():
            log.error("Work under way did not end within %.0f s, or could not; it is broken off", _LEAVE_TIMEOUT)
        (error,) = await _cancelled(leaving)
        if isinstance(error, Exception):
            log.error("Work under way could not be ended properly", exc_info=error)

    async def _guarded(self, work: Any) -> None:  # noqa: ANN401 - any coroutine
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - nothing may stop silently
            self.fail(error)

    async def _watch_app(self, starting: asyncio.Task[None]) -> None:
        """Faust reports a crash by a flag."""
        app = cast(Any, self._app)
        while True:
            if app.crashed:
                self.fail(app.crash_reason or RuntimeError("Faust stopped without saying why"))
            if starting.done() and not starting.cancelled() and (error := starting.exception()):
                self.fail(error)
            await asyncio.sleep(0.2)

    async def _sweep(self) -> None:
        await self.runtime.sweep()
        self._swept_at = self._loop.time()
        if self.runtime.assigned:
            self._served_at = self._swept_at
        self._meter.ready(is_ready=self.not_ready() is None)

    async def _renew_fences(self) -> None:
        await self._recovery.renew()

    def advertise(self, address: str) -> None:
        """Tell the other workers, when this one joins them, that its gRPC server is at "host:port"."""
        self._app.conf.canonical_url = URL(f"http://{address}")

    # --- health

    def not_ready(self) -> str | None:
        """Why this worker cannot answer for its partitions yet; None when it can."""
        if self._app.rebalancing or not self.runtime.assigned:
            return "Partitions are being assigned or restored."
        if not self.runtime.caught_up():
            return "Input that was waiting at take-over is still being read."
        return None

    def stuck(self) -> str | None:
        """Why this worker should be restarted; None while all is well. Called from another thread."""
        now = self._loop.time()
        if (idle := now - self._swept_at) > STUCK:
            return f"Deadlines were last looked at {idle:.0f} s ago."
        if (idle := now - self._served_at) > UNASSIGNED:
            return f"No partitions have been served for {idle:.0f} s."
        return None

    # --- Faust

    def _build_app(self) -> faust.App:
        self._loop = asyncio.get_running_loop()
        settings, machine = self._settings, self._machine
        app = faust.App(
            settings.name,
            broker=f"kafka://{settings.kafka.replace(',', ';')}",
            store="memory://",
            datadir=tempfile.gettempdir(),
            autodiscover=False,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            topic_partitions=settings.partitions,
            table_standby_replicas=0,
            TableManager=LaneTables,
            PartitionAssignor=LaneAssignor,
            consumer_group_instance_id=settings.instance,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=4 << 20,
            broker_max_poll_records=20_000,
            broker_commit_interval=1.0,
            broker_session_timeout=settings.session_seconds,
            broker_heartbeat_interval=settings.session_seconds / 10,
            broker_request_timeout=60.0,
            producer_request_timeout=60.0,
            producer_acks=-1,
            producer_linger=0.0,
            producer_max_batch_size=512 << 10,
            producer_max_request_size=4 << 20,
            stream_wait_empty=True,
            worker_redirect_stdouts=False,
            key_serializer="raw",
            value_serializer="raw",
        )
        app.transport = LaneTransport(app.conf.broker_consumer, app)
        app.producer_transport = LaneTransport(app.conf.broker_producer, app)
        app.in_worker = True
        for topic in self.runtime.inputs:
            app.topics.add(app.topic(topic, key_type=bytes, value_type=bytes))
        app.Table(
            machine.records,
            key_type=bytes,
            value_type=bytes,
            partitions=settings.partitions,
            changelog_topic=app.topic(machine.records, key_type=bytes, value_type=bytes, internal=False),
        )
        app.finalize()
        self._recovery = recovery = cast(LaneRecovery, cast(Any, app.tables).recovery)
        recovery.runtime, recovery.meter = self.runtime, self._meter
        recovery.prepare = self._prepare
        recovery.fence = cast(LaneProducer, app.producer).fence
        consumer = cast(LaneConsumer, app.consumer)
        consumer.runtime, consumer.restore = self.runtime, recovery.restore
        self.runtime.reader = consumer
        return app

    def _producer(self) -> AIOKafkaProducer:
        return cast(Any, self._app.producer)._ensure_producer()  # noqa: SLF001 - send_batch is aiokafka's

    # --- RecordView

    def partition_of(self, routing_key: str) -> int:
        """The partition of a customer id, or of the subject id where there is no customer."""
        return partition_of(routing_key, self._settings.partitions)

    def owns(self, partition: int) -> bool:
        """Whether absence from the records is knowledge."""
        return partition in self.runtime.partitions()

    def owner_of(self, partition: int) -> str | None:
        """The gRPC address of the worker that owns the partition; None while unknown."""
        urls = cast(Any, self._app.assignor)._tps_url  # noqa: SLF001 - Faust's router offers only keys, not partitions
        url = urls.get(TP(self._machine.records, partition))
        return URL(url).authority if url else None

    def partitions(self) -> Iterable[int]:
        """The partitions owned and recovered."""
        return self.runtime.partitions()

    def get(self, partition: int, key: bytes) -> bytes | None:
        """The packed record, or None."""
        return self.runtime.keeper.stores[partition].packed(key)

    def record(self, partition: int, key: bytes) -> Any:  # noqa: ANN401 - of the type that the machine keeps
        """The record itself, or None."""
        return self.runtime.keeper.stores[partition].get(key)

    def keys(self, partition: int) -> list[bytes]:
        """All keys of a partition: a snapshot."""
        return self.runtime.keeper.stores[partition].keys()

    def watch(self) -> AbstractContextManager[AsyncIterator[Announcement]]:
        """Announcements from now on."""
        return cast(AbstractContextManager[AsyncIterator[Announcement]], self.runtime.watch())

    async def submit(self, facts: Sequence[OwnFact]) -> Sequence[bool]:
        """Fold facts of this worker's own making; returns once they are in the log. False: not its partition."""
        return await self.runtime.submit(facts)


async def _cancelled(*tasks: asyncio.Task[None]) -> Sequence[BaseException | None]:
    """Cancel tasks and wait for their ends; what each raised."""
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)
