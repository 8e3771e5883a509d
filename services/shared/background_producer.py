"""A producer for code that is not asynchronous. It keeps each message until Kafka has it, in a thread of its own.

While Kafka is away messages wait, in order, and within bounds: in memory, and in time. A connection on which Kafka did
not take something is replaced: its numbers have a gap, after which Kafka would refuse everything. What is repeated on
the next one may come twice.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import chain
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedForMessageFormatError,
    UnsupportedVersionError,
)

from services.shared.errors import PublishFailed
from services.shared.links import Link, Links
from services.shared.outgoing import Done, Lane, Message, Outgoing

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")
#: What Kafka would refuse again however often it is tried.
_FINAL = (
    ClusterAuthorizationFailedError,
    InvalidTimestampError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedForMessageFormatError,
    UnsupportedVersionError,
)
_PAUSE = 0.2  # seconds before something is tried again
_LOOK = 1.0  # seconds between two looks at what waits too long
_SILENCE = 10.0  # seconds without an acknowledgement after which that is said
_END = 5.0  # seconds that the thread gets to end
_REPEAT = "Publish again what was published since the last flush: what is repeated changes nothing."


class Bounds(NamedTuple):
    """What a producer may keep, and how long it may take (seconds)."""

    #: Messages that Kafka has not acknowledged.
    messages: int = 100_000
    #: And the bytes they take. Where either is reached, `send` waits for room.
    size: int = 64 << 20
    #: How long `send` waits for room.
    room: float = 60.0
    #: How long a message is tried.
    delivery: float = 3600.0
    #: How long `flush` and `close` wait, where they are not told.
    flush: float = 60.0
    #: How long Kafka may take to answer at all: at the start, and what it is asked about a topic.
    connect: float = 10.0


class Stats(NamedTuple):
    """What became of the messages so far."""

    sent: int
    acknowledged: int
    #: Given up: refused by Kafka, or tried for too long.
    failed: int
    #: Neither yet.
    waiting: int
    #: Bytes in memory, with those of the messages that were given up but may yet arrive.
    size: int
    #: How long the oldest message has been waiting, in seconds.
    oldest: float


class BackgroundProducer:
    """Sends messages until Kafka has them. Its methods may be called from any thread but its own."""

    def __init__(self, link_up: Callable[[], Awaitable[Link]], bounds: Bounds) -> None:
        """Connect by `link_up`. Raises TimeoutError where Kafka does not answer."""
        self._bounds = bounds
        #: Guards everything below; told whenever a message is settled or gone.
        self._changed = threading.Condition()
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._touched: set[Lane] = set()
        self._sent = self._acknowledged = self._failed = 0
        self._held = self._held_bytes = 0
        #: Failures that nobody was told of yet, and the first of them.
        self._untold, self._first = 0, ""
        #: Why nothing can be sent any more.
        self._over = ""
        # The thread's own.
        self._links = Links(link_up)
        self._heard = monotonic()
        self._is_silent = False
        running: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._run, args=(running,), name="puntual-producer", daemon=True)
        self._thread.start()
        self._loop = running.result()
        try:
            self._ask(self._links.get)
        except BaseException:
            self._end()
            raise

    # What callers do.

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; 0 where there is none. Raises TimeoutError where Kafka does not answer."""
        return self._ask(partial(self._links.partitions, topic))

    def send(self, outgoing: Outgoing, done: Done | None = None) -> None:
        """Keep a message until Kafka has it, in order with others for its partition; waits while there is no room.

        Raises PublishFailed where there is still none, after the end, and for earlier messages that were given up and
        have no `done`. Then this message was not taken.
        """
        with self._changed:
            self._raise_failures()
            self._must_not_be_over()
            weight = outgoing.weight
            if not self._has_room(weight):
                self._wait_for_room(weight)
            self._sent += 1
            self._held += 1
            self._held_bytes += weight
            lane = self._lane(outgoing.topic, outgoing.partition)
            lane.waiting.append(Message(outgoing, done, self._sent))
            is_first = not self._touched
            self._touched.add(lane)
        if is_first:
            with suppress(RuntimeError):  # it has ended just now, and has given this up, too
                self._loop.call_soon_threadsafe(self._wake)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until the fate of everything sent so far is known, at most `timeout` seconds.

        Raises PublishFailed for what was given up, and for what is still open: that is kept, and tried on.
        """
        seconds = self._bounds.flush if timeout is None else timeout
        settled = self._await_settled(seconds)
        with self._changed:
            self._raise_failures()
            if not settled:
                waiting = self._sent - self._acknowledged - self._failed
                raise PublishFailed(
                    f"Kafka has not acknowledged {waiting:,} messages within {seconds:g} s. They are kept, and tried"
                    " again; flush again to wait for them."
                )

    def close(self, timeout: float | None = None) -> None:
        """Flush, and disconnect. Raises PublishFailed for what was given up, and what was still open is."""
        try:
            self._await_settled(self._bounds.flush if timeout is None else timeout)
        finally:
            self._end()
        with self._changed:
            self._raise_failures()

    def stats(self) -> Stats:
        """What became of the messages so far."""
        with self._changed:
            waiting = self._sent - self._acknowledged - self._failed
            since = min((message.at for message in self._open()), default=monotonic())
            return Stats(self._sent, self._acknowledged, self._failed, waiting, self._held_bytes, monotonic() - since)

    def _ask(self, work: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        self._must_not_be_own_thread()
        with self._changed:
            self._must_not_be_over()
        future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        try:
            return future.result(self._bounds.connect)
        except BaseException:
            future.cancel()
            raise

    def _must_not_be_own_thread(self) -> None:
        if threading.current_thread() is self._thread:
            raise RuntimeError("what is told of a message must not wait for its producer")

    def _has_room(self, weight: int) -> bool:
        held, size = self._held, self._held_bytes + weight
        return not held or (held < self._bounds.messages and size <= self._bounds.size)

    def _wait_for_room(self, weight: int) -> None:
        self._must_not_be_own_thread()
        self._changed.wait_for(lambda: self._has_room(weight) or self._untold or self._over, self._bounds.room)
        self._raise_failures()
        self._must_not_be_over()
        if not self._has_room(weight):
            raise PublishFailed(
                f"Kafka has not acknowledged {self._held:,} messages, and in {self._bounds.room:g} s none of them made"
                " room for another; is it running? This one was not taken: publish it again."
            )

    def _await_settled(self, seconds: float) -> bool:
        """Whether the fate of all that was sent so far became known in time."""
        self._must_not_be_own_thread()
        with self._changed:
            last = self._sent
            return self._changed.wait_for(
                lambda: min((each.number for each in self._open()), default=last + 1) > last, seconds
            )

    def _open(self) -> list[Message]:
        """The oldest message of each partition whose fate is open."""
        return [oldest for lane in self._lanes.values() if (oldest := lane.oldest())]

    def _lane(self, topic: str, partition: int) -> Lane:
        if (topic, partition) not in self._lanes:
            self._lanes[topic, partition] = Lane(topic, partition)
        return self._lanes[topic, partition]

    def _raise_failures(self) -> None:
        if self._untold:
            untold, self._untold = self._untold, 0
            raise PublishFailed(f"{untold:,} messages were not taken; the first because {self._first}. {_REPEAT}")

    def _must_not_be_over(self) -> None:
        if self._over:
            raise PublishFailed(f"{self._over}; publish with a new one")

    def _end(self) -> None:
        with suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(_END)

    # What the thread does.

    def _run(self, running: Future[asyncio.AbstractEventLoop]) -> None:
        why = "the publisher is closed"
        try:
            asyncio.run(self._main(running))
        except BaseException as error:
            why = f"the publisher failed: {error!r}"
            raise
        finally:
            with self._changed:
                self._over = why
                left = [each for lane in self._lanes.values() for each in chain(lane.flying, lane.waiting)]
            self._settle(left, f"Kafka had not acknowledged it when {why}")

    async def _main(self, running: Future[asyncio.AbstractEventLoop]) -> None:
        self._closing = asyncio.Event()
        running.set_result(asyncio.get_running_loop())
        look = min(_LOOK, self._bounds.delivery / 4)
        while not self._closing.is_set():
            self._expire()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), look)
        for lane in self._lanes.values():
            if lane.task:
                lane.task.cancel()
        await self._links.close()

    def _wake(self) -> None:
        with self._changed:
            touched, self._touched = self._touched, set()
        for lane in touched:
            if lane.task is None:
                lane.task = asyncio.create_task(self._serve(lane))

    async def _serve(self, lane: Lane) -> None:
        """Send what waits for a partition, batch after batch."""
        while lane.waiting:
            link = await self._links.get()
            try:
                builder = link.producer.create_batch()
                with self._changed:
                    lane.fill(builder)
                await (await link.producer.send_batch(builder, lane.topic, partition=lane.partition))
            except Exception as error:  # noqa: BLE001 - whatever it is, the messages are kept or given up
                self._links.drop(link)
                self._fell(lane, error)
                await asyncio.sleep(_PAUSE)
            else:
                self._heard = monotonic()
                self._settle(lane.flying, "")
                self._land(lane)
        lane.task = None

    def _fell(self, lane: Lane, error: Exception) -> None:
        """A batch was not taken: its messages go back to where they were, or nothing more can be done for them."""
        if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError) and len(lane.flying) > 1:
            lane.most = len(lane.flying) // 2
        elif isinstance(error, _FINAL) or not isinstance(error, KafkaError):
            self._settle(lane.flying, f"Kafka does not take it on {lane.topic}: {error!r}")
        else:
            _log.warning("Kafka did not take messages on %s, they are sent again: %r", lane.topic, error)
        self._land(lane, back=[message for message in lane.flying if not message.settled])

    def _land(self, lane: Lane, back: Sequence[Message] = ()) -> None:
        """Nothing flies any more; what goes back is not gone."""
        with self._changed:
            gone = [message for message in lane.flying if message.settled]
            lane.flying = ()
            lane.waiting.extendleft(reversed(back))
            self._release(gone)

    def _release(self, gone: Sequence[Message]) -> None:
        self._held -= len(gone)
        self._held_bytes -= sum(message.outgoing.weight for message in gone)
        self._changed.notify_all()

    def _settle(self, messages: Sequence[Message], failure: str) -> None:
        """Their fate is known: acknowledged, or given up for a reason. Tell whoever wants to know."""
        with self._changed:
            news = [message for message in messages if not message.settled]
            for message in news:
                message.settled = True
            if failure:
                self._failed += len(news)
                untold = sum(message.done is None for message in news)
                self._first = failure if untold and not self._untold else self._first
                self._untold += untold
            else:
                self._acknowledged += len(news)
            self._changed.notify_all()
        for message in news:
            if message.done:
                try:
                    message.done(PublishFailed(failure) if failure else None)
                except Exception:  # noqa: BLE001 - it is the caller's, and the thread must go on
                    _log.exception("What was to be told of a message failed")

    def _expire(self) -> None:
        """Give up what was tried for too long. What flies may yet arrive: its place is taken until that is known."""
        now = monotonic()
        last = now - self._bounds.delivery
        for lane in list(self._lanes.values()):
            with self._changed:
                flying = [message for message in lane.flying if message.at < last]
                waiting = []
                while lane.waiting and lane.waiting[0].at < last:
                    waiting.append(lane.waiting.popleft())
                self._release(waiting)
            self._settle([*flying, *waiting], f"Kafka has not acknowledged it within {self._bounds.delivery:g} s")
        self._say_silence(now)

    def _say_silence(self, now: float) -> None:
        oldest = self.stats().oldest
        is_silent = oldest > _SILENCE and now - self._heard > _SILENCE
        if is_silent and not self._is_silent:
            _log.warning("Kafka has acknowledged nothing for %d s; messages wait", oldest)
        elif self._is_silent and not is_silent:
            _log.warning("Kafka acknowledges messages again")
        self._is_silent = is_silent
