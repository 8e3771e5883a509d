"""Moves lanes: batches in, writes out, deadlines swept, commits only what is acknowledged. It knows no Faust.

Everything that changes a partition happens while the gate is held, and memory is changed only together with the
submission of the writes that say so. A rebalance freezes the runtime (nothing moves, all is acknowledged), then starts
a new epoch; what was fetched under an earlier epoch is dropped.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import count
from time import monotonic
from typing import Any, Protocol, TypeAlias

from services.shared.clock import Now
from services.shared.engine.batch import transition_of
from services.shared.engine.fence import HEADERS as FENCE_HEADERS, KEY as FENCE_KEY
from services.shared.engine.keeper import Keeper
from services.shared.engine.lane import FRESH, Jump, Lane
from services.shared.engine.machine import OwnFact
from services.shared.engine.meter import Meter
from services.shared.engine.outbox import MAX_IN_FLIGHT, Ack, Outbox
from services.shared.engine.skew import Skew
from services.shared.engine.stage import Message, Result, Stage, Write
from services.shared.engine.view import Announcement, PartitionsMoved, SlowReader
from services.shared.instant import SECOND, Instant

#: Messages decoded and folded before others get their turn; within it, a key is written once.
SLICE = 500
#: Submissions not yet acknowledged with which input waits: what the clock announces must not queue behind much of it.
READING_IN_FLIGHT = MAX_IN_FLIGHT // 2
#: Deadlines looked at before others get their turn.
SWEEP = 1_000
#: How long announcements wait for reading that is behind; then they go by what is read.
PATIENCE = 60 * SECOND
_WATCHER_BACKLOG = 10_000

TopicPartition = tuple[str, int]
#: What a watcher has still to hear; an exception is the end of it.
_Watcher: TypeAlias = "asyncio.Queue[Announcement | SlowReader]"


class Reader(Protocol):
    """What the runtime asks of the consumer."""

    def log_end(self, topic: str, partition: int) -> tuple[int | None, Instant]:
        """The end of the log as the broker last told (None: not yet), and when."""


class Runtime:
    """The stages of one service over the partitions this worker owns."""

    def __init__(  # noqa: PLR0913 - the one place where everything meets
        self,
        *,
        stages: Sequence[Stage],
        keeper: Keeper[Any, Any],
        outbox: Outbox,
        meter: Meter,
        now: Now,
        event_clock: bool,
        acknowledged: Callable[[Announcement], None] | None = None,
        skew: Skew | None = None,
    ) -> None:
        self.keeper = keeper
        self.epoch = 0
        self.lanes: Mapping[TopicPartition, Lane] = {}
        self._lanes: Mapping[int, Sequence[Lane]] = {}
        #: Whether an assignment, be it empty, is recovered and served.
        self.assigned = False
        self.reader: Reader | None = None
        self._stage_of: Mapping[str, Stage] = {topic: stage for stage in stages for topic in stage.inputs}
        self._outbox = outbox
        self._meter = meter
        #: What acknowledged writes say of the clock.
        self.skew = skew or Skew(now)
        self._now = self.skew.now
        self._event_clock = event_clock
        self._event_time: dict[int, Instant] = {}
        #: On the event clock, by partition: what lets the frontier follow what is acknowledged. Held until a sweep at
        #: the time that the input told: read again, it tells it again, and nothing else does.
        self._unswept: dict[int, list[Callable[[], None]]] = {}
        #: By partition: since when its time has been behind.
        self._late: dict[int, Instant] = {}
        #: Since when the clock has been too far off, by the monotonic one; None: it is not.
        self._astray_since: float | None = None
        self._probed = count()
        self._started_at = Instant(0)
        self._gate = asyncio.Lock()
        self._frozen = False
        self._acknowledged = acknowledged
        self._watchers: list[_Watcher] = []

    @property
    def inputs(self) -> Iterable[str]:
        """Every topic the stages read."""
        return self._stage_of

    # --- rebalancing

    async def freeze(self) -> None:
        """Stop everything: when this returns, all that was read is acknowledged and nothing moves until `start`."""
        self.epoch += 1
        async with self.rest():
            self._frozen = True

    @asynccontextmanager
    async def rest(self) -> AsyncIterator[None]:
        """Inside, all that was read is acknowledged and nothing moves."""
        async with self._gate:
            await self._outbox.drained()
            yield

    def start(self, lanes: Iterable[Lane]) -> None:
        """Move on with these lanes. The stores of their partitions must be recovered."""
        self._own(lanes)
        self._unswept = {partition: [] for partition in self.partitions()}
        self._late.clear()
        self._started_at = self._now()
        self.assigned = True
        self._frozen = False

    def clear(self) -> None:
        """Own nothing, as long as an assignment is being recovered. Those who watch have to begin anew."""
        self._own(())
        self.assigned = False
        for watcher in self._watchers:
            _offer(watcher, PartitionsMoved())

    def _own(self, lanes: Iterable[Lane]) -> None:
        self.lanes = {(lane.topic, lane.partition): lane for lane in lanes}
        by_partition: defaultdict[int, list[Lane]] = defaultdict(list)
        for lane in self.lanes.values():
            by_partition[lane.partition].append(lane)
        self._lanes = dict(by_partition)

    # --- input

    async def feed(self, topic: str, partition: int, messages: Sequence[Message], epoch: int) -> Jump | None:
        """Process a fetched batch. Returns the jump where it does not follow what was read before.

        A batch fetched under an earlier epoch is dropped. Waits while too much is unacknowledged.
        """
        while messages:
            await self._outbox.room(READING_IN_FLIGHT)
            async with self._gate:
                lane = self.lanes.get((topic, partition))
                if lane is None or epoch != self.epoch or self._frozen:
                    return None
                admitted = lane.admit(messages[:SLICE])
                if isinstance(admitted, Jump):
                    return admitted
                if admitted:
                    self._process(lane, admitted)
            messages = messages[SLICE:]
            await asyncio.sleep(0)
        return None

    def cross(self) -> None:
        """Pass over what holds nothing behind all that was fed: nobody may wait for it to be read."""
        for lane in self.lanes.values():
            lane.cross()

    def _process(self, lane: Lane, messages: Sequence[Message]) -> None:
        if messages[0].offset != lane.position:
            self._meter.jump(lane.topic, "believed")
        result = self._stage_of[lane.topic].process(lane.topic, lane.partition, messages, self._now())
        if result.event_time is not None:
            known = self._event_time.get(lane.partition, result.event_time)
            self._event_time[lane.partition] = max(known, result.event_time)
        self._meter.batch(lane.topic, len(messages))
        done = partial(lane.acknowledge, lane.advance(messages))
        if self._event_clock:
            done = partial(self._unswept[lane.partition].append, done)
        self._send(lane.partition, result, done)

    def jumped(self, topic: str, outcome: str) -> None:
        """Note a gap in offsets and what was done about it."""
        self._meter.jump(topic, outcome)

    def committed(self, lanes: Iterable[TopicPartition]) -> None:
        """Note that the frontiers of these lanes were committed."""
        for topic, partition in lanes:
            self._meter.committed(topic, partition)

    async def submit(self, facts: Sequence[OwnFact]) -> Sequence[bool]:
        """Fold facts of this worker's own making, and wait until they are in the log. False: it is not its partition.

        Those of one partition are folded together.
        """
        written = asyncio.Event()
        async with self._gate:
            owned = () if self._frozen else self.partitions()
            kept = [fact.partition in owned for fact in facts]
            if not any(kept):
                return kept
            mine: defaultdict[int, list[tuple[bytes, object]]] = defaultdict(list)
            for fact, is_kept in zip(facts, kept, strict=True):
                if is_kept:
                    mine[fact.partition].append((fact.key, fact.fact))
            now = self._now()
            results = [(partition, self.keeper.submit(partition, own, now)) for partition, own in mine.items()]

            def done(acks: Sequence[Ack]) -> None:
                for partition, result in results:
                    self._after(partition, result, None, acks)
                    acks = ()
                written.set()

            # One submission, however many partitions: input waits behind those that are not acknowledged.
            writes = [write for _, result in results for write in result.writes]
            self._outbox.submit(writes, done, [write for _, result in results for write in result.ahead])
        await written.wait()
        return kept

    def _send(self, partition: int, result: Result, done: Callable[[], None] | None) -> None:
        if result.writes or done:
            self._outbox.submit(result.writes, partial(self._after, partition, result, done), result.ahead)

    def _after(self, partition: int, result: Result, done: Callable[[], None] | None, acks: Sequence[Ack]) -> None:
        """Everything in the log: now it may be committed and told."""
        for ack in acks:
            if ack.topic == self.keeper.machine.records:
                self.keeper.stores[ack.partition].follow(ack.base_offset, ack.size)
        if done:
            done()
        if self._acknowledged is None and not self._watchers:
            return
        now = self._now()
        for write in result.writes:
            if write.topic != self.keeper.machine.records or write.key in (None, FENCE_KEY):
                continue
            announcement = Announcement(partition, write.key, write.value, transition_of(write), now)
            if self._acknowledged is not None:
                self._acknowledged(announcement)
            for watcher in self._watchers:
                _offer(watcher, announcement)

    # --- time

    def partitions(self) -> Collection[int]:
        """The partitions owned and recovered, as of now."""
        return self._lanes.keys()

    def caught_up(self) -> bool:
        """Whether all that was in the logs at take-over has been read."""
        return _caught_up(self.lanes.values())

    def clock(self, partition: int) -> Instant:
        """How far the partition's time has come: nothing unread happened before it."""
        lanes = self._lanes[partition]
        if not _caught_up(lanes):
            return Instant(0)
        if self._event_clock:
            return self._event_time.get(partition, Instant(0))
        assert self.reader is not None  # noqa: S101 - set before the first lane starts
        now = self._now()
        read = min(lane.time(now, *self.reader.log_end(lane.topic, lane.partition)) for lane in lanes)
        return min(read, self.keeper.time(now))

    def read_until(self, partition: int) -> Instant:
        """Everything that was in the partition's inputs before this instant is read."""
        reader = self.reader
        ends = (lane.read(*reader.log_end(lane.topic, partition)) for lane in self._lanes.get(partition, ()) if reader)
        return min(ends, default=Instant(0))

    def now(self) -> Instant:
        """The time that this worker goes by."""
        return self._now()

    async def sweep(self) -> None:
        """Announce everything that is due, in every partition, and measure how reading stands."""
        behind, most = 0.0, MAX_IN_FLIGHT
        for partition in self.partitions():
            while True:
                await self._outbox.room(most)
                async with self._gate:
                    if partition not in self.partitions() or self._frozen:
                        break
                    clock, now = self.clock(partition), self._now()
                    astray = self._astray()  # once the time was read: it is of no later state of the clock than this
                    spoken = Instant(0) if astray is not None else self._spoken(partition, clock, now)
                    result = self.keeper.sweep(partition, spoken, now, SWEEP)
                    self._send(partition, result, self._swept(partition) if result.looked < SWEEP else None)
                    if not self._event_clock:
                        late = (now - (clock or self._started_at)) / SECOND
                        behind = max(behind, late, astray or 0.0)
                await asyncio.sleep(0)
                if result.looked < SWEEP:
                    break
                most = READING_IN_FLIGHT  # where very much is due, input takes turns with it
        self._meter.sweep(behind)
        self._meter.not_understood(self.keeper.not_understood())
        self._measure_lag()

    def _astray(self) -> float | None:
        """For how many seconds the clock has been too far off to announce anything by it; None: it is not."""
        if self._event_clock or self.skew.excessive() is None:
            self._astray_since = None
            return None
        self._late.clear()  # noted by that clock
        self._astray_since = monotonic() if self._astray_since is None else self._astray_since
        return monotonic() - self._astray_since

    async def probe(self) -> None:
        """Write a fence where there was nothing else to write for long: its stamp tells the broker's time."""
        async with self._gate:
            if self._frozen or not (partitions := sorted(self.partitions())):
                return
            partition = partitions[next(self._probed) % len(partitions)]
            fence = Write(self.keeper.machine.records, partition, FENCE_KEY, None, FENCE_HEADERS)
            self._send(partition, Result([fence]), None)

    async def reconsider(self) -> None:
        """Look again when each record wants to be judged: what that hangs on has changed. Others get their turn."""
        for partition, store in list(self.keeper.stores.items()):
            keys = store.keys()
            for start in range(0, len(keys), SLICE):
                if self.keeper.stores.get(partition) is not store:
                    break  # whoever has it now restores it with what is known now
                store.expect(keys[start : start + SLICE])
                await asyncio.sleep(0)

    def look_again(self, partition: int, keys: Iterable[bytes]) -> None:
        """Look at these records when they now want it, at once where that is past. Nothing where they are gone."""
        if partition in self.partitions():
            self.keeper.stores[partition].expect(keys)

    def _spoken(self, partition: int, clock: Instant, now: Instant) -> Instant:
        """How far announcements go: nowhere for a while where time is behind, as what is unread may take them back."""
        if self._event_clock or now - clock <= FRESH:
            self._late.pop(partition, None)
            return clock
        since = self._late.setdefault(partition, now)
        return clock if now - since > PATIENCE else Instant(0)

    def _swept(self, partition: int) -> Callable[[], None] | None:
        """What to do once the writes of a sweep that left nothing are in the log; None: nothing."""
        if not self._unswept[partition] or not _caught_up(self._lanes[partition]):
            return None
        held, self._unswept[partition] = self._unswept[partition], []
        return partial(_each, held)

    def _measure_lag(self) -> None:
        now = self._now()
        for lane in self.lanes.values():
            end, heard_at = self.reader.log_end(lane.topic, lane.partition) if self.reader else (None, now)
            is_behind = end is not None and lane.position < end
            # Where Kafka has not said for long where the log ends, all is known to have been read up to then only.
            as_of = lane.read_until if is_behind else heard_at or self._started_at
            fresh = not as_of or (not is_behind and now - as_of < FRESH)
            self._meter.lag(lane.topic, lane.partition, 0.0 if fresh else (now - as_of) / SECOND)

    # --- readers

    @contextmanager
    def watch(self) -> Any:  # noqa: ANN401 - the protocol RecordView says what it is
        """Announcements from now on."""
        queue: _Watcher = asyncio.Queue(_WATCHER_BACKLOG)
        self._watchers.append(queue)
        try:
            yield _announcements(queue)
        finally:
            self._watchers.remove(queue)


def _caught_up(lanes: Iterable[Lane]) -> bool:
    return all(lane.caught_up for lane in lanes)


def _each(calls: Iterable[Callable[[], None]]) -> None:
    for call in calls:
        call()


def _offer(watcher: _Watcher, news: Announcement | SlowReader) -> None:
    try:
        watcher.put_nowait(news)
    except asyncio.QueueFull:
        unheard = [news]
        while not watcher.empty():
            unheard.append(watcher.get_nowait())
        watcher.put_nowait(next((each for each in unheard if isinstance(each, PartitionsMoved)), SlowReader()))


async def _announcements(queue: _Watcher) -> AsyncIterator[Announcement]:
    while not isinstance(news := await queue.get(), SlowReader):
        yield news
    raise news


async def every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` again and again, starting at most once in `seconds`."""
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        await work()
        await asyncio.sleep(max(0.0, started + seconds - loop.time()))
