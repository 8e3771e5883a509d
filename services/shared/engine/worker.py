"""One worker process: a Faust app whose hot topics go through the lane, its servers' view of the records, its end.

Any failure ends the process: its memory would be ahead of the log. A supervisor starts it again and it recovers.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, cast

import faust
from aiokafka.producer.producer import AIOKafkaProducer
from faust.types import TP
from yarl import URL

from services.shared.clock import Now, wall_clock
from services.shared.engine.app import WorkerSettings, lane_app
from services.shared.engine.contact import Contact, NameTaken
from services.shared.engine.fence import RENEWAL, Fenced
from services.shared.engine.hold import Hold
from services.shared.engine.joined import Groups
from services.shared.engine.keeper import Keeper
from services.shared.engine.machine import Machine, OwnFact
from services.shared.engine.meter import Meter
from services.shared.engine.outbox import Outbox
from services.shared.engine.recovery import LaneRecovery
from services.shared.engine.runtime import Runtime, every
from services.shared.engine.skew import Skew
from services.shared.engine.stage import Stage
from services.shared.engine.transport import LaneConsumer, LaneProducer
from services.shared.engine.view import Announcement
from services.shared.instant import SECOND
from services.shared.log import words_of
from services.shared.partitioner import partition_of

log = logging.getLogger(__name__)

#: Seconds between two looks at the deadlines.
SWEEP_INTERVAL = 0.05
#: Seconds between two looks at the way to Kafka, and at whether the clock must be asked for.
_LOOK, PROBE_INTERVAL = 0.25, 5.0
#: Seconds without a write that would tell the brokers' time, after which one is made.
PROBE_AFTER = 30.0
#: Seconds that Kafka may take to say whether this worker is a member of its group, when it ends.
_CONFIRM_TIMEOUT = 5.0
#: Seconds without a look at the deadlines, or without an assignment, after which the worker is considered stuck.
STUCK = 60.0
UNASSIGNED = 300.0
#: Seconds that `stopping` may take, and then Faust.
_LEAVE_TIMEOUT, _STOP_TIMEOUT = 15.0, 30.0


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
        skew: Skew | None = None,
        hold: Hold | None = None,
        groups: Groups | None = None,
    ) -> None:
        """Build it; `run` starts it.

        `skew` learns how far the clock `now` is from the brokers'; None: one of the worker's own.
        `hold`: what may keep breaches back that the clock would announce; never on the event clock.
        `groups`: the customers that have several ids; None: there are none.
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
        self._name_taken: NameTaken | None = None
        self._in_trouble = False
        self._swept_at = self._served_at = self._silent_until = asyncio.get_running_loop().time()
        self._contact = Contact(settings.session_seconds, settings.instance)
        self._skew = skew or Skew(now)
        keeper = Keeper(
            machine,
            meter,
            dead_letters=settings.dead_letters,
            dead_letter_partitions=settings.dead_letter_partitions,
            partitions=settings.partitions,
            hold=None if settings.event_clock else hold,
            groups=groups,
            asks=not settings.event_clock,
        )
        self._outbox = Outbox(self._producer, self.fail, self._skew.learn)
        self.runtime = Runtime(
            stages=[*relays, keeper],
            keeper=keeper,
            outbox=self._outbox,
            meter=meter,
            now=now,
            event_clock=settings.event_clock,
            acknowledged=acknowledged,
            skew=self._skew,
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
            asyncio.create_task(self._guarded(every(PROBE_INTERVAL, self._probe))),
            asyncio.create_task(self._guarded(every(_LOOK, self._look))),
            asyncio.create_task(self._guarded(self._watch_app(starting))),
        ]
        stopping = asyncio.create_task(stop.wait())
        waited: set[asyncio.Future[Any]] = {stopping, self._failure}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await self._end(starting)
        if self._failure.done():
            raise await self._explained(self._failure.result())

    async def _explained(self, error: BaseException) -> BaseException:
        """A worker that was shut out may have been so by its own name: whoever has it now is asked for."""
        if not isinstance(error, Fenced) or self._settings.instance is None:
            return error
        with suppress(Exception):
            await asyncio.wait_for(cast(LaneConsumer, self._app.consumer).confirm(), _CONFIRM_TIMEOUT)
        return self._name_taken or error

    def fail(self, error: BaseException) -> None:
        """End the process because of `error`."""
        if not self._failure.done():
            log.critical("The worker ends: %s", words_of(error))
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
            log.error("Work under way could not be ended properly: %s", words_of(error))

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

    async def _look(self) -> None:
        """Note and measure what must be known also where a sweep waits for Kafka."""
        if away := self._contact.away():
            self._silent_until = self._loop.time()
        self._say(away or self._astray())
        skew = self._skew.known()
        self._meter.clock_skew(float("nan") if skew is None else skew / SECOND)
        self._meter.kafka_silence(self._contact.silence())
        self._meter.ready(is_ready=self.not_ready() is None)

    async def _probe(self) -> None:
        """Learn the brokers' time where nothing is written that would tell it, unless this worker may be shut out."""
        if self._skew.age() > PROBE_AFTER and not self.lost():
            await self.runtime.probe()

    async def _renew_fences(self) -> None:
        await self._recovery.renew()

    def advertise(self, address: str) -> None:
        """Tell the other workers, when this one joins them, that its gRPC server is at "host:port"."""
        self._app.conf.canonical_url = URL(f"http://{address}")

    # --- health

    def not_ready(self) -> str | None:
        """Why this worker cannot answer for its partitions yet; None when it can."""
        if away := self._contact.away():
            return away
        if self._app.rebalancing or not self.runtime.assigned:
            return "Partitions are being assigned or restored."
        if lost := self.lost():
            return lost
        if not self.runtime.caught_up():
            return "Input that was waiting at take-over is still being read."
        return self._astray()

    def _astray(self) -> str | None:
        return None if self._settings.event_clock else self._skew.excessive()

    def _say(self, trouble: str | None) -> None:
        """In the log, once when it begins and once when it is over."""
        if bool(trouble) != self._in_trouble:
            self._in_trouble = bool(trouble)
            log.error("%s", trouble) if trouble else log.info("Kafka answers, and the clock is right: work goes on")

    def lost(self) -> str | None:
        """Why the partitions of this worker may be another's by now, without its knowledge; None: they are not."""
        return self._contact.lost()

    def stuck(self) -> str | None:
        """Why this worker should be restarted; None while all is well. Called from another thread.

        As long as Kafka is away, and for a while after, it waits for Kafka, and a restart would help nobody.
        """
        if self._contact.away():
            return None
        now = self._loop.time()
        if (idle := now - max(self._swept_at, self._silent_until)) > STUCK:
            return f"Deadlines were last looked at {idle:.0f} s ago."
        if (idle := now - max(self._served_at, self._silent_until)) > UNASSIGNED:
            return f"No partitions have been served for {idle:.0f} s."
        return None

    # --- Faust

    def _build_app(self) -> faust.App:
        self._loop = asyncio.get_running_loop()
        app = lane_app(self._settings, self._machine, self.runtime.inputs)
        self._recovery = recovery = cast(LaneRecovery, cast(Any, app.tables).recovery)
        recovery.runtime, recovery.meter = self.runtime, self._meter
        recovery.prepare = self._prepare
        producer = cast(LaneProducer, app.producer)
        producer.stamped, recovery.fence = self._skew.learn, producer.fence
        consumer = cast(LaneConsumer, app.consumer)
        consumer.contact = self._contact
        self._contact.name_taken = lambda error: self._loop.call_soon_threadsafe(self._end_for_name, error)
        consumer.runtime, consumer.restore = self.runtime, recovery.restore
        self.runtime.reader = consumer
        return app

    def _end_for_name(self, error: NameTaken) -> None:
        self._name_taken = error
        self.fail(error)

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
