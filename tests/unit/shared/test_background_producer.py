"""A producer in a thread of its own: what it keeps while Kafka is away, and what callers hear when it cannot."""

import asyncio
import gc
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    TopicAuthorizationFailedError,
)

from services.shared.background_producer import BackgroundProducer, Bounds
from services.shared.errors import PublishFailed
from services.shared.links import Link
from services.shared.outgoing import Headers, Outgoing
from tests.processes import wait_for

#: Small, so that nothing waits for long.
BOUNDS = Bounds(messages=10, size=100_000, room=0.2, delivery=60.0, flush=5.0, connect=0.5)


class FakeBatch:
    """Takes three messages at most."""

    def __init__(self) -> None:
        self.values: list[bytes | None] = []

    def append(self, *, timestamp: None, key: bytes | None, value: bytes | None, headers: Headers) -> object | None:
        if len(self.values) == 3:
            return None
        self.values.append(value)
        return (timestamp, key, headers)


class FakeKafka:
    """Takes everything, until told otherwise."""

    def __init__(self) -> None:
        #: Partition → values in the order in which they came.
        self.taken: dict[int, list[bytes | None]] = {}
        #: While set, Kafka answers.
        self.answers = threading.Event()
        self.answers.set()
        #: What becomes of batches, one after the other; None: they are taken.
        self.troubles: list[Exception | None] = []
        #: Refuses for ever what holds this value.
        self.poison: tuple[bytes, Exception] | None = None
        self.largest = 100
        self.links = self.stopped = 0
        self.refusal: Exception | None = None

    async def connect(self) -> Link:
        await self.until_it_answers()
        if self.refusal:
            raise self.refusal
        self.links += 1
        return Link(FakeProducer(self), {"t": 2})

    async def until_it_answers(self) -> None:
        while not self.answers.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.01)


class FakeProducer:
    """One connection; spoilt by the first batch that is not taken."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka
        self._spoilt = False

    def create_batch(self) -> FakeBatch:
        return FakeBatch()

    async def send_batch(self, batch: object, topic: str, *, partition: int) -> Awaitable[object]:
        assert isinstance(batch, FakeBatch)
        assert topic == "t"
        return self._deliver(batch.values, partition)

    async def _deliver(self, values: Sequence[bytes | None], partition: int) -> None:
        kafka = self._kafka
        await kafka.until_it_answers()
        trouble = kafka.troubles.pop(0) if kafka.troubles else None
        if kafka.poison and kafka.poison[0] in values:
            trouble = kafka.poison[1]
        if len(values) > kafka.largest:
            trouble = MessageSizeTooLargeError()
        if self._spoilt or trouble:
            self._spoilt = True
            raise trouble or OutOfOrderSequenceNumber
        kafka.taken.setdefault(partition, []).extend(values)

    async def stop(self) -> None:
        self._kafka.stopped += 1


@pytest.fixture
def kafka() -> FakeKafka:
    return FakeKafka()


@contextmanager
def producing(kafka: FakeKafka, bounds: Bounds = BOUNDS) -> Iterator[BackgroundProducer]:
    """A producer; what it raises at the end is no matter here."""
    producer = BackgroundProducer(kafka.connect, bounds)
    try:
        yield producer
    finally:
        kafka.answers.set()
        with suppress(PublishFailed):
            producer.close(5)


def message(value: bytes, partition: int = 0) -> Outgoing:
    return Outgoing("t", partition, b"key", value)


def values(count: int) -> list[bytes]:
    return [str(number).encode() for number in range(count)]


def test_what_is_sent_arrives_in_order(kafka: FakeKafka) -> None:
    """Partition by partition, in as few batches as it takes; then it is counted, and nothing of it is kept."""
    with producing(kafka) as producer:
        for value in values(8):
            producer.send(message(value))
            producer.send(message(value, 1))
            producer.flush() if value == b"4" else None
        producer.flush()
        assert kafka.taken == {0: values(8), 1: values(8)}
        assert producer.stats()[:-1] == (16, 16, 0, 0, 0)


def test_what_waits_while_kafka_is_away_arrives_in_order_once_it_is_back(kafka: FakeKafka) -> None:
    """Meanwhile it is counted, and the oldest grows older."""
    with producing(kafka) as producer:
        kafka.answers.clear()
        for value in values(8):
            producer.send(message(value))
        time.sleep(0.1)
        waiting = producer.stats()
        assert (waiting.sent, waiting.acknowledged, waiting.waiting) == (8, 0, 8)
        assert waiting.size > 8 * 400
        assert waiting.oldest > 0.05
        kafka.answers.set()
        producer.flush()
        assert kafka.taken == {0: values(8)}


def test_what_a_connection_lost_is_sent_again_on_another(kafka: FakeKafka) -> None:
    """In order: a connection that lost something is used no more, since Kafka would refuse all that follows."""
    kafka.troubles = [None, OutOfOrderSequenceNumber(), KafkaConnectionError("gone")]
    with producing(kafka) as producer:
        for value in values(9):
            producer.send(message(value))
        producer.flush()
        assert kafka.taken == {0: values(9)}
        assert (kafka.links, kafka.stopped, producer.stats().failed) == (3, 2, 0)


def test_it_waits_for_a_connection_as_for_anything_else(kafka: FakeKafka) -> None:
    """A connection that cannot be had is tried again."""
    with producing(kafka) as producer:
        kafka.refusal = KafkaConnectionError("nobody there")
        kafka.troubles = [KafkaConnectionError("gone")]
        producer.send(message(b"1"))
        with pytest.raises(PublishFailed, match=r"not acknowledged 1 messages within 0\.5 s"):
            producer.flush(0.5)
        kafka.refusal = None
        producer.flush()
        assert kafka.taken == {0: [b"1"]}


def test_where_there_is_no_room_it_waits_and_then_refuses(kafka: FakeKafka) -> None:
    """By number or by bytes; what was refused was not taken, and what was taken arrives."""
    with producing(kafka) as producer:
        kafka.answers.clear()
        for value in values(10):
            producer.send(message(value))
        started = time.monotonic()
        with pytest.raises(PublishFailed, match=r"not acknowledged 10 messages.*This one was not taken"):
            producer.send(message(b"11"))
        assert time.monotonic() - started > 0.15
        kafka.answers.set()
        producer.flush()
        assert kafka.taken == {0: values(10)}


def test_bytes_are_bounded_too(kafka: FakeKafka) -> None:
    """One message larger than all the room there is passes alone."""
    with producing(kafka) as producer:
        kafka.answers.clear()
        producer.send(message(b"x" * 200_000))
        with pytest.raises(PublishFailed, match="room"):
            producer.send(message(b"y"))
        kafka.answers.set()
        producer.flush()
        producer.send(message(b"y"))


def test_room_that_comes_in_time_is_taken(kafka: FakeKafka) -> None:
    """Whoever waits for room is woken by it."""
    with producing(kafka, BOUNDS._replace(room=10.0)) as producer:
        kafka.answers.clear()
        for value in values(10):
            producer.send(message(value))
        threading.Timer(0.1, kafka.answers.set).start()
        producer.send(message(b"10"))
        producer.flush()
        assert kafka.taken == {0: values(11)}


def test_what_kafka_refuses_for_good_is_raised_at_the_next_message(kafka: FakeKafka) -> None:
    """That message was not taken. Afterwards it goes on, and what came with the refused one went on its own way."""
    kafka.poison = (b"1", TopicAuthorizationFailedError("t"))
    with producing(kafka) as producer:
        producer.send(message(b"1"))
        wait_for(lambda: producer.stats().failed == 1, 5)
        with pytest.raises(PublishFailed, match=r"1 messages were not taken; the first .*TopicAuthorizationFailed"):
            producer.send(message(b"2"))
        producer.send(message(b"3"))
        producer.flush()
        assert kafka.taken == {0: [b"3"]}


def test_a_batch_that_is_too_large_is_sent_in_parts(kafka: FakeKafka) -> None:
    """Only a message that is too large alone is given up."""
    kafka.largest = 1
    with producing(kafka) as producer:
        for value in values(5):
            producer.send(message(value))
        producer.flush()
        assert kafka.taken == {0: values(5)}


def test_what_was_tried_for_too_long_is_given_up(kafka: FakeKafka) -> None:
    """Flush does not wait for it any longer, and says so; its bytes are free once it is known what became of it."""
    with producing(kafka, BOUNDS._replace(delivery=0.2)) as producer:
        kafka.answers.clear()
        for value in values(5):
            producer.send(message(value))
        with pytest.raises(PublishFailed, match=r"5 messages were not taken.*within 0\.2 s"):
            producer.flush(5)
        stats = producer.stats()
        assert (stats.failed, stats.waiting) == (5, 0)
        assert 0 < stats.size < 5 * 600  # of those that fly
        kafka.answers.set()
        wait_for(lambda: producer.stats().size == 0, 5)
        producer.send(message(b"later"))
        producer.flush()
        assert kafka.taken[0][-1] == b"later"


def test_whoever_asked_is_told_of_each_message_once(kafka: FakeKafka) -> None:
    """What was told is raised nowhere; what fails while being told disturbs nobody."""
    told: list[tuple[bytes, PublishFailed | None]] = []

    def note(value: bytes) -> Callable[[PublishFailed | None], None]:
        def done(error: PublishFailed | None) -> None:
            told.append((value, error))
            raise ValueError("the caller's own fault")

        return done

    kafka.poison = (b"1", TopicAuthorizationFailedError("t"))
    with producing(kafka) as producer:
        for value in (b"1", b"2"):
            producer.send(message(value), note(value))
            producer.flush()
        assert [(value, error is None) for value, error in told] == [(b"1", False), (b"2", True)]


def test_who_is_told_cannot_wait_for_the_one_who_tells(kafka: FakeKafka) -> None:
    """That would never end: it is an error."""
    errors: list[BaseException] = []
    with producing(kafka) as producer:

        def done(_: PublishFailed | None) -> None:
            for act in (producer.flush, producer.close, lambda: producer.partitions("t")):
                try:
                    act()
                except RuntimeError as error:
                    errors.append(error)

        producer.send(message(b"1"), done)
        producer.flush()
        wait_for(lambda: len(errors) == 3, 5)


def test_the_end_does_not_wait_for_ever(kafka: FakeKafka) -> None:
    """What Kafka has not acknowledged by then is given up, and that is raised; nothing can be sent afterwards."""
    told: list[PublishFailed | None] = []
    with producing(kafka) as producer:
        kafka.answers.clear()
        producer.send(message(b"1"))
        producer.send(message(b"2"), told.append)
        with pytest.raises(PublishFailed, match="1 messages were not taken"):
            producer.close(0.2)
        assert len(told) == 1
        assert isinstance(told[0], PublishFailed)
        for act in (lambda: producer.send(message(b"3")), lambda: producer.partitions("t")):
            with pytest.raises(PublishFailed, match="closed"):
                act()
        producer.close()
        producer.flush()


def test_a_kafka_that_does_not_answer_at_the_start_is_said_to(kafka: FakeKafka) -> None:
    """In time, and no thread stays behind."""
    kafka.answers.clear()
    before = threading.active_count()
    with pytest.raises(TimeoutError):
        BackgroundProducer(kafka.connect, BOUNDS)
    assert threading.active_count() == before


def test_a_topic_that_came_later_is_found(kafka: FakeKafka) -> None:
    """Whoever asks for one that nobody knew asks again."""
    with producing(kafka) as producer:
        assert (producer.partitions("t"), producer.partitions("u")) == (2, 0)
        assert kafka.links == 2


def test_what_other_threads_send_meanwhile_is_not_waited_for(kafka: FakeKafka) -> None:
    """A flush ends although there is never nothing to send."""
    over = threading.Event()
    with producing(kafka, BOUNDS._replace(room=10.0)) as producer:

        def go_on() -> None:
            while not over.is_set():
                producer.send(message(b"more", 1))

        thread = threading.Thread(target=go_on)
        thread.start()
        producer.send(message(b"mine"))
        producer.flush(5)
        over.set()
        thread.join()
        assert kafka.taken[0] == [b"mine"]


def test_a_thread_that_fails_is_heard_of(kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """All it still had is given up; nothing waits for it."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with producing(kafka) as producer:
        kafka.answers.clear()
        producer.send(message(b"1"))
        monkeypatch.setattr(BackgroundProducer, "_expire", lambda _: 1 / 0)
        with pytest.raises(PublishFailed, match=r"1 messages were not taken.*failed: ZeroDivisionError"):
            producer.flush(5)
        with pytest.raises(PublishFailed, match="failed"):
            producer.send(message(b"2"))
    gc.collect()
