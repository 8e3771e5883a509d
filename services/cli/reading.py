"""Reading topics from outside the services, without a consumer group: it disturbs nobody and leaves no trace."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, Protocol

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from services.cli.progress import track
from services.shared.engine.stage import Message
from services.shared.errors import KafkaUnreachable, PuntualError
from services.shared.instant import SECOND, Instant
from services.shared.partitioner import partition_of
from services.shared.topics import CONNECT_MS

_POLL_MS = 250
#: Seconds between two questions of a reader that follows, where nothing came.
_PAUSE = 0.1
#: Seconds without a message after which a reader that follows asks whether Kafka is still there, and how long it waits.
_QUIET = 10.0
_PROBE_MS = 5_000
#: How far the clocks of brokers and of those who write may be apart.
_SKEW = 300 * SECOND
#: Bytes. The embedded broker answers with all it has, however little is asked for; kafka-python stops at 100 MB.
_LARGEST_ANSWER = (1 << 31) - 1


class Entry(Message, Protocol):
    """A message and where it stands, as kafka-python has it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...


class NoSuchTopic(PuntualError):
    """A topic that is to be read does not exist."""


def read_to_end(bootstrap: str, topic: str) -> Iterator[Entry]:
    """Everything in a topic as of now, by partition and offset within what is fetched together.

    Raises KafkaUnreachable, also where Kafka stops answering before the end.
    """
    with _consumer(bootstrap, [topic]) as consumer:
        ends = consumer.end_offsets(consumer.assignment())
        consumer.seek_to_beginning()
        yield from _rest(bootstrap, consumer, ends)


def read_since(bootstrap: str, topic: str, since: Instant, key: bytes | None, doing: str) -> Iterator[Entry]:
    """What a topic was given from an instant on, as of now, with a bar that says what is being done.

    `key`: only the partition on which it lies, with all else there. Raises like `read_to_end`.
    """
    with _consumer(bootstrap, [topic]) as consumer:
        partitions = consumer.assignment()
        if key is not None:
            partitions = {TopicPartition(topic, partition_of(key, len(partitions)))}
            consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        # The clocks of brokers and workers may be apart.
        milliseconds = max(since - _SKEW, 0) * 1_000 // SECOND
        starts = consumer.offsets_for_times(dict.fromkeys(partitions, milliseconds))
        for partition, start in starts.items():
            consumer.seek(partition, start.offset if start else ends[partition])
        total = sum(end - consumer.position(partition) for partition, end in ends.items())
        yield from track(_rest(bootstrap, consumer, ends), total, doing)


def _rest(bootstrap: str, consumer: Any, ends: Mapping[Any, int]) -> Iterator[Entry]:  # noqa: ANN401 - its library ships no types
    """Everything from where a consumer stands up to these ends."""
    heard = monotonic()
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        # By the clock: a broker that has nothing yet may say so at once, again and again.
        if fetched := consumer.poll(timeout_ms=_POLL_MS):
            heard = monotonic()
        elif monotonic() > heard + CONNECT_MS / 1_000:
            raise KafkaUnreachable(bootstrap)
        for partition, messages in fetched.items():
            yield from (message for message in messages if message.offset < ends[partition])


def latest(bootstrap: str, topic: str) -> Mapping[bytes, bytes]:
    """The last value of each key of a compacted topic, without those that are gone. Raises KafkaUnreachable."""
    table = {message.key: message.value for message in read_to_end(bootstrap, topic)}
    return {key: value for key, value in table.items() if key is not None and value is not None}


def follow(
    bootstrap: str,
    topics: Sequence[str],
    *,
    from_start: bool,
    ready: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Generator[Entry | None]:
    """What is written to topics from now on, without end; `from_start`: after everything in them.

    Yields None whenever nothing came for a moment, so that the reader can do something else. `ready` is called once
    nothing can be missed any more, `tell` with a line for people when Kafka stops answering and when it is back.
    """
    with _consumer(bootstrap, topics) as consumer:
        if from_start:
            consumer.seek_to_beginning()
        else:
            consumer.seek_to_end()
        for partition in consumer.assignment():
            consumer.position(partition)
        ready()
        heard, answers = monotonic(), True
        while True:
            # A poll that waits asks without pause where the broker answers at once that there is nothing.
            fetched = consumer.poll(timeout_ms=0)
            # Who polls a Kafka that is gone is not told so: it looks like a topic to which nothing is written.
            if fetched or monotonic() > heard + _QUIET:
                answered = bool(fetched) or _answers(consumer)
                if answered != answers:
                    again = f"Kafka answers again at {bootstrap}"
                    tell(again if answered else f"Kafka does not answer at {bootstrap}; still trying. Ctrl-C ends it")
                heard, answers = monotonic(), answered
            for messages in fetched.values():
                yield from messages
            if not fetched:
                sleep(_PAUSE)
                yield None


def _answers(consumer: Any) -> bool:  # noqa: ANN401 - its library ships no types
    try:
        consumer.end_offsets(consumer.assignment(), timeout_ms=_PROBE_MS)
    except KafkaError:
        return False
    return True


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Partition → the offset the next message will have."""
    with _consumer(bootstrap, [topic]) as consumer:
        return {partition.partition: end for partition, end in consumer.end_offsets(consumer.assignment()).items()}


def committed(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """Partition → the offset up to which a consumer group has committed; 0 where it has not."""
    with _consumer(bootstrap, [topic], group) as consumer:
        return {each.partition: consumer.committed(each) or 0 for each in consumer.assignment()}


@contextmanager
def _consumer(bootstrap: str, topics: Sequence[str], group: str | None = None) -> Iterator[Any]:
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            bootstrap_timeout_ms=CONNECT_MS,
            client_id="puntual-cli",
            group_id=group,  # to ask what it committed; assigned by hand, this consumer never joins it
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            max_poll_records=5000,
            receive_message_max_bytes=_LARGEST_ANSWER,
        )
    except (KafkaConnectionError, KafkaTimeoutError) as error:
        raise KafkaUnreachable(bootstrap) from error
    try:
        assigned = []
        for topic in topics:
            partitions = consumer.partitions_for_topic(topic)
            if not partitions:
                raise NoSuchTopic(f"There is no topic {topic} at {bootstrap}; `puntual topics --create` makes it.")
            assigned += [TopicPartition(topic, partition) for partition in partitions]
        consumer.assign(assigned)
        yield consumer
    finally:
        consumer.close(autocommit=False)
