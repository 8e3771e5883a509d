"""Follows the topic of sources, says there what this worker hears, and decides how the streams stand it answers for."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.shared.clock import Now, wall_clock
from services.shared.engine.runtime import every
from services.shared.engine.worker import Worker
from services.shared.envelope import Hearing
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.log import bounded
from services.shared.metrics import SourceMeter
from services.shared.partitioner import partition_of
from services.shared.settings import ClockKind, Settings
from services.shared.sources import codec
from services.shared.sources.book import SourceBook
from services.shared.sources.declared import read_declared
from services.shared.sources.hold import Asked, Holder, waiting
from services.shared.sources.model import EVERY, Record, State, Stream, Transition, Word
from services.shared.sources.rhythm import Rhythm
from services.shared.topic_log import TopicLog
from services.shared.topics import SOURCES

log = bounded(__name__)

#: Seconds between two looks, and how long Kafka gets to take what is said.
_LOOK, _PATIENCE = 1.0, 10.0
#: How often a worker says what it hears of a stream: the shorter its silence may be, the more often.
_OFTEN, _SELDOM = SECOND, 10 * SECOND
_SHARE = 20
#: How often it says again that breaches wait.
_AGAIN = 20 * SECOND
#: How often a record is written although only the time it was heard is another, and one of a silent stream at most.
_REFRESH, _COUNT = 300 * SECOND, 10 * SECOND
#: What nobody has said for so long stands in the record, too, and is cleared away. How often that is looked for.
_STALE, _CLEAR = 3_600 * SECOND, 600 * SECOND
#: For so long after it is caught up a worker calls nobody silent: the others may have yet to say what they heard.
_SETTLE = 5 * SECOND


class _Out(NamedTuple):
    """A message to the topic."""

    source: str
    key: bytes
    value: bytes | None
    #: What of it is remembered once it is there.
    said: Word | Record | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class Sources:
    """What one service knows of sources. Give `hearing` to its decoders and `hold` to its worker."""

    def __init__(
        self,
        service: str,
        settings: Settings,
        topics: Collection[str],
        asked: Asked,
        meter: SourceMeter,
        now: Now = wall_clock,
    ) -> None:
        """`topics`: its inputs, without prefix. `asked`: what could settle a record. Raises DocumentError."""
        self._settings, self._meter, self._now = settings, meter, now
        self.book = SourceBook(read_declared(settings.sources, codec.ARMS), _unpack)
        #: On the event clock nobody is heard and nothing waits.
        self.hearing: Mapping[str, Hearing] = (
            {} if settings.clock is ClockKind.EVENT else {topic: {} for topic in topics}
        )
        self.hold = Holder(self.book, self.hearing, settings.topic_prefix, asked)
        self._worker_name = f"{service}/{settings.instance or uuid4().hex[:8]}"
        self._answers = _ANSWERS[service]
        self._log = TopicLog(settings.kafka, SOURCES.under(settings.topic_prefix), self._take)
        self._producer: AIOKafkaProducer | None = None
        #: Stream → when this worker last spoke of it, and of how many breaches that wait.
        self._said: dict[Stream, tuple[Instant, int]] = {}
        #: What workers said, by its key: of which source, and when.
        self._words: dict[bytes, tuple[str, Instant]] = {}
        #: Stream → when this worker wrote its record, and where it stands.
        self._written: dict[Stream, Instant] = {}
        self._offsets: dict[Stream, int] = {}
        self._ready_since: Instant | None = None
        self._cleared_at = now()

    @asynccontextmanager
    async def watching(self, worker: Worker) -> AsyncIterator[None]:
        """Inside, what all workers hear is known here, and what this one hears is said. Raises KafkaError."""
        if not self.hearing:
            yield
            return
        self.hold.look_again, self.hold.read_until = worker.runtime.look_again, worker.runtime.read_until
        await self._log.start()
        self._producer = AIOKafkaProducer(bootstrap_servers=self._settings.kafka, acks="all", client_id="sources")
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._producer.start()
            tasks += [
                asyncio.create_task(self._log.follow()),
                asyncio.create_task(every(_LOOK, lambda: self._look(worker))),
            ]
            for task in tasks:
                task.add_done_callback(lambda task: _ended(worker, task))
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._log.stop()
            await self._producer.stop()

    # --- what is read

    def _take(self, message: Any) -> bool:  # noqa: ANN401 - its library ships no types
        key, at = message.key or b"", Instant(message.timestamp * 1_000)
        try:
            if codec.is_record(key):
                self._take_record(codec.stream_of(key), message)
            elif message.value is None:
                self._words.pop(key, None)
            elif isinstance(word := codec.unpack(message.value), Word):
                self._words[key] = word.stream.source, at
                self.hold.look(self.book.note(word, at))
        except ValueError as error:
            log.error("%s@%d says nothing of a source: %s", message.partition, message.offset, error)  # noqa: TRY400
        return False

    def _take_record(self, stream: Stream, message: Any) -> None:  # noqa: ANN401
        if message.offset <= self._offsets.get(stream, -1):
            return  # what this worker wrote since
        if message.value is None:
            self.book.forget(stream)
        elif isinstance(record := codec.unpack(message.value), Record) and self.book.take(record):
            self.hold.look((stream,))

    # --- what is said

    async def _look(self, worker: Worker) -> None:
        """Say what is new, and measure."""
        now = self._now()
        self.hold.take_in()
        counts = waiting(held for store in worker.runtime.keeper.stores.values() for held in store.held.values())
        mine = [stream for stream in self._all() if self._answers_for(stream, worker)]
        out = [*self._to_say(counts, now), *self._to_write(mine, worker, now), *self._to_clear(worker, now)]
        await self._publish(out, now)
        self._meter.unheard(counts.total())
        self._measure(mine)

    def _all(self) -> set[Stream]:
        return {*self.book.streams(), *self.book.records}

    def _answers_for(self, stream: Stream, worker: Worker) -> bool:
        return stream.topic in self._answers and worker.owns(partition_of(stream.source, self._settings.partitions))

    def _to_say(self, counts: Mapping[Stream, int], now: Instant) -> Iterator[_Out]:
        speaking = {stream for stream, (_, count) in self._said.items() if count}
        for stream in {*self.hold.moved, *counts, *speaking}:
            count = counts.get(stream, 0)
            said_at, said = self._said.get(stream, (Instant(0), -1))
            if stream in self.hold.moved:
                is_due = now - said_at >= self._interval(stream, now)
            else:
                is_due = count > 0 and now - said_at >= _AGAIN
            if is_due or count != max(said, 0):
                word = Word(self._worker_name, stream, self.book.heard(stream), self.book.fulfils(stream), count)
                yield _Out(stream.source, codec.word_key(word), codec.pack_word(word), word)

    def _interval(self, stream: Stream, now: Instant) -> int:
        """How often to say that a stream is heard: often where somebody waits for it."""
        before, heard = self.book.records.get(stream), self.book.heard(stream)
        if self.book.waiting(stream, now) or (before and before.state == State.SILENT):
            return _OFTEN
        silent_at = self.book.silent_at(stream)
        if silent_at is None or heard is None:
            return _SELDOM
        return min(max((silent_at - heard.until) // _SHARE, _OFTEN), _SELDOM)

    def _to_write(self, mine: Sequence[Stream], worker: Worker, now: Instant) -> Iterator[_Out]:
        """The records of streams that stand otherwise than was written."""
        if worker.not_ready():
            self._ready_since = None
            return
        self._ready_since = self._ready_since or now
        if now - self._ready_since < _SETTLE:
            return
        for stream in mine:
            before, key = self.book.records.get(stream), codec.key_of(stream)
            if before and self.book.is_gone(stream, now):
                if before.state == State.SILENT:
                    yield _record_out(before._replace(state=State.HEARD, since=now, waiting=0), Transition.HEARD, now)
                yield _Out(stream.source, key, None)
            elif not self.book.is_gone(stream, now) and self._is_other(stream, before, now):
                record = self.book.record(stream, now)
                step = _transition(before, record)
                if step != Transition.SILENT or self._is_read(stream, worker):
                    yield _record_out(record, step, now)

    def _is_read(self, stream: Stream, worker: Worker) -> bool:
        """Whether this worker has read all that was in Kafka when a silence began: what it missed may lie there."""
        began = self.book.silent_at(stream)
        read = map(worker.runtime.read_until, worker.partitions())
        return began is not None and all(until > began for until in read)

    def _is_other(self, stream: Stream, before: Record | None, now: Instant) -> bool:
        if before is None:
            return True
        state, age = self.book.state(stream, now), now - self._written.get(stream, Instant(0))
        if state != before.state or before.fulfils != self.book.fulfils(stream):
            return True
        if state == State.SILENT and before.waiting != self.book.waiting(stream, now):
            return age >= _COUNT
        return before.heard != self.book.heard(stream) and age >= _REFRESH

    def _to_clear(self, worker: Worker, now: Instant) -> Iterator[_Out]:
        if EVERY not in self._answers or now - self._cleared_at < _CLEAR:
            return
        self._cleared_at = now
        for key, (source, at) in self._words.items():
            if now - at > _STALE and worker.owns(partition_of(source, self._settings.partitions)):
                yield _Out(source, key, None)

    async def _publish(self, messages: Sequence[_Out], now: Instant) -> None:
        """What Kafka does not take is said again in a moment."""
        if not messages or self._producer is None:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                for source, key, value, said, headers in messages:
                    acknowledgement = await self._producer.send(
                        self._log.topic, value, key=key, headers=list(headers),
                        partition=partition_of(source, self._settings.partitions),
                    )  # fmt: skip
                    offset = (await acknowledgement).offset
                    self._remember(said, key, offset, now)
        except (KafkaError, TimeoutError) as error:
            log.warning("What is heard of sources could not be said: %s", error or type(error).__name__)

    def _remember(self, said: Word | Record | None, key: bytes, offset: int, now: Instant) -> None:
        if isinstance(said, Word):
            self._said[said.stream] = now, said.waiting
            self.hold.moved.discard(said.stream)
        elif said is not None:
            self.book.take(said)
            self._written[said.stream] = now
            self._offsets[said.stream] = offset
        elif codec.is_record(key):
            self.book.forget(codec.stream_of(key))
            self._offsets[codec.stream_of(key)] = offset

    def _measure(self, mine: Sequence[Stream]) -> None:
        found: dict[tuple[str, str], tuple[float, bool, float]] = {}
        for stream in mine:
            record, heard = self.book.records.get(stream), self.book.heard(stream)
            if record is None or heard is None:
                continue
            labels = stream.source, stream.topic
            last, silent, gap = found.get(labels, (0.0, False, 0.0))
            found[labels] = (
                max(last, heard.until / SECOND),
                silent or record.state == State.SILENT,
                max(gap, record.usual_gap / SECOND),
            )
        self._meter.sources(found)


#: Service → the topics of the streams it answers for.
_ANSWERS: Mapping[str, frozenset[str]] = {
    "promises": frozenset({EVERY, "orders", "callbacks", "appointments"}),
    "sla": frozenset({"contacts"}),
}


def _transition(before: Record | None, record: Record) -> Transition:
    was_silent = before is not None and before.state == State.SILENT
    if was_silent == (record.state == State.SILENT):
        return Transition.UPDATED
    return Transition.HEARD if was_silent else Transition.SILENT


def _record_out(record: Record, transition: Transition, now: Instant) -> _Out:
    headers = [("transition", transition.name.lower().encode()), ("announced-at", format_instant(now).encode())]
    return _Out(record.stream.source, codec.key_of(record.stream), codec.pack_record(record), record, headers)


def _unpack(data: bytes) -> Rhythm:
    return Rhythm.unpack(data) if data else Rhythm()


def _ended(worker: Worker, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        worker.fail(error)
