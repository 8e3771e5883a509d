"""Produces writes in order and says when all replicas have them.

A failure here ends the process: memory is ahead of the log.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic, time_ns
from typing import NamedTuple, Protocol

from aiokafka.errors import ProducerFenced

from services.shared.engine.fence import Fenced, Stamped
from services.shared.engine.stage import Write

#: What is produced but not yet acknowledged, at most, in batches.
MAX_IN_FLIGHT = 16


class Ack(NamedTuple):
    """Part of a submission that all in-sync replicas have: where it lies in its topic."""

    topic: str
    partition: int
    base_offset: int
    size: int


Done = Callable[[Sequence[Ack]], None]


class Metadata(Protocol):
    """What the broker answers: where the batch lies, and since when, in milliseconds, by whose clock."""

    offset: int
    timestamp: int
    timestamp_type: int


class BatchBuilder(Protocol):
    """aiokafka's builder of one record batch."""

    def append(
        self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> object | None: ...

    def close(self) -> None: ...

    def record_count(self) -> int: ...


class Producer(Protocol):
    """The part of aiokafka's producer that batches need."""

    def create_batch(self) -> BatchBuilder: ...

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> Awaitable[Metadata]: ...


class _Submission(NamedTuple):
    writes: Sequence[Write]
    done: Done
    ahead: Sequence[Write]


class _Sent(NamedTuple):
    topic: str
    partition: int
    size: int
    sent_at: float
    answer: Awaitable[Metadata]


class Outbox:
    """Sends submitted writes strictly in the order of submission and reports each submission once acknowledged."""

    def __init__(
        self,
        producer: Callable[[], Producer],
        fail: Callable[[BaseException], None],
        stamped: Stamped = lambda *_: None,
    ) -> None:
        self._producer = producer
        self._fail = fail
        self._stamped = stamped
        self._queue: asyncio.Queue[_Submission] = asyncio.Queue()
        self._unacknowledged: deque[tuple[list[_Sent], Sequence[_Submission]]] = deque()
        self._in_flight = 0
        self._changed = asyncio.Event()
        self._sent = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to send."""
        self._tasks = [asyncio.create_task(self._guard(work)) for work in (self._send_all, self._await_all)]

    async def stop(self) -> None:
        """End at once; what is not acknowledged is unknown."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def submit(self, writes: Sequence[Write], done: Done, ahead: Sequence[Write] = ()) -> None:
        """Queue writes; `done` is called once all of them are acknowledged, and every earlier submission is.

        `ahead` is acknowledged before `writes` are sent: they lie on other brokers, and of what is sent together one
        part can be lost. `done` hears nothing of it.

        Submissions that wait at the same time are sent together. The first of them hears of all their writes.
        """
        self._in_flight += 1
        self._queue.put_nowait(_Submission(writes, done, ahead))

    async def room(self, most: int = MAX_IN_FLIGHT) -> None:
        """Wait until fewer submissions than `most` are not yet acknowledged."""
        await self._until(lambda: self._in_flight < most)

    async def drained(self) -> None:
        """Wait until everything submitted is acknowledged."""
        await self._until(lambda: self._in_flight == 0)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def _send_all(self) -> None:
        while True:
            waiting = [await self._queue.get()]
            while not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            # Of all that wait at once: one answer from Kafka is waited for, however many there are.
            if ahead := [write for submission in waiting for write in submission.ahead]:
                for part in await self._send(ahead):
                    await self._offset(part)
            sent = await self._send([write for submission in waiting for write in submission.writes])
            self._unacknowledged.append((sent, waiting))
            self._sent.set()

    async def _send(self, writes: Sequence[Write]) -> list[_Sent]:
        """One record batch for each topic and partition, more where one is full."""
        producer = self._producer()
        open_batches: dict[tuple[str, int], BatchBuilder] = {}
        now = time_ns() // 1_000_000
        sent = []
        target, batch = None, None
        for write in writes:
            if target is None or target[1] != write.partition or target[0] != write.topic:
                target = write.topic, write.partition
                batch = open_batches.get(target)
            if batch is None:
                batch = open_batches[target] = producer.create_batch()
            if _append(batch, write, now) is None:
                sent.append(await _dispatch(producer, batch, *target))
                batch = open_batches[target] = producer.create_batch()
                _append(batch, write, now)
        for target, batch in open_batches.items():
            sent.append(await _dispatch(producer, batch, *target))
        return sent

    async def _await_all(self) -> None:
        while True:
            while not self._unacknowledged:
                self._sent.clear()
                await self._sent.wait()
            sent, submissions = self._unacknowledged[0]
            acks = [Ack(part.topic, part.partition, await self._offset(part), part.size) for part in sent]
            self._unacknowledged.popleft()
            for submission in submissions:
                submission.done(acks)
                acks = []
                self._in_flight -= 1
            self._changed.set()

    async def _offset(self, part: _Sent) -> int:
        try:
            answer = await part.answer
        except ProducerFenced as error:
            raise Fenced(part.topic, part.partition) from error
        self._stamped((part.topic, part.partition), part.sent_at, answer)
        return answer.offset

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except BaseException as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Whatever it is, a cancelled answer too: the log no longer follows memory.
            self._fail(error)


async def _dispatch(producer: Producer, batch: BatchBuilder, topic: str, partition: int) -> _Sent:
    batch.close()
    sent_at = monotonic()
    answer = await producer.send_batch(batch, topic, partition=partition)
    return _Sent(topic, partition, batch.record_count(), sent_at, answer)


def _append(batch: BatchBuilder, write: Write, now: int) -> object | None:
    return batch.append(timestamp=now, key=write.key, value=write.value, headers=write.headers)
