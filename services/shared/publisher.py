"""The publisher: how upstream systems written in Python tell Puntual what happens.

    with Publisher("127.0.0.1:9092") as publisher:
        publisher.publish(OrderEvent(event_id="1", customer_id="c-7", subject_id="o-1", ready=OrderReady(), ...))

What concerns one customer must meet on one partition, so the key is the customer's id (without a customer, the
subject's) and the partitioner is murmur2, as in Java. Publishers in other languages must do the same: librdkafka's
default does not.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

from google.protobuf.message import Message
from kafka import KafkaProducer
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.events.v1.order_event_pb2 import OrderEvent
from services.shared.clock import wall_clock
from services.shared.envelope import Limits
from services.shared.errors import DeadLetterReason, KafkaUnreachable, PublishFailed, Unusable
from services.shared.instant import Instant, format_instant
from services.shared.opener import Opener
from services.shared.parsing import parse_fields
from services.shared.topics import CONNECT_MS, INPUTS, PREFIX, Topic, partition_count

Event: TypeAlias = OrderEvent | CallbackEvent | AppointmentEvent | ContactEvent
Headers: TypeAlias = Sequence[tuple[str, bytes]]

TOPIC_OF: Mapping[type[Message], Topic] = {topic.message: topic for topic in INPUTS if topic.message}
_OPENERS = {message: Opener(message, Limits(now=wall_clock)) for message in TOPIC_OF}

# Bytes. Below what the input topics take: a message refused by the broker would end an idempotent producer.
_LARGEST = 1_000_000


def key_of(event: Event) -> str:
    """The message key: what an event is partitioned by. Heartbeats, which concern nobody, lie with their source."""
    return event.customer_id or event.subject_id or event.source


def checked(event: Event) -> bytes:
    """The bytes of an event. Raises Unusable where the services could not use it: better here than as a dead letter."""
    value = event.SerializeToString()
    opener = _OPENERS[type(event)]
    if not opener.open(value, False).arm:
        raise Unusable(DeadLetterReason.UNKNOWN_TYPE, f"say what happened: one of {', '.join(opener.arms.values())}")
    return value


def parse(topic: Topic, event: Mapping[str, Any]) -> Event:
    """An event of an input topic from protobuf's JSON mapping. Raises Unusable, saying where it cannot be read."""
    return parse_fields(cast("type[Event]", topic.message), event)


class Publisher:
    """Publishes events to the input topics: idempotent, acknowledged by all in-sync replicas.

    `publish` returns at once and may block while the buffer is full; `flush`, and the end of the `with` block, wait for
    the acknowledgements and raise PublishFailed for what was not taken. After that, go on with a new publisher.
    """

    def __init__(self, bootstrap: str, prefix: str = PREFIX) -> None:
        """Connect. Raises KafkaUnreachable."""
        self._bootstrap, self._prefix = bootstrap, prefix
        self._partitions: dict[str, int] = {}
        self._failures: list[Exception] = []
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=bootstrap,
                bootstrap_timeout_ms=CONNECT_MS,
                max_block_ms=CONNECT_MS,
                client_id="puntual-publisher",
                acks="all",
                enable_idempotence=True,
                linger_ms=5,
                batch_size=128 * 1024,
                max_request_size=_LARGEST,
            )
        except (KafkaConnectionError, KafkaTimeoutError) as error:
            raise KafkaUnreachable(bootstrap) from error

    def publish(self, event: Event) -> None:
        """Publish one event. Raises Unusable where the services could not use it."""
        self.send(TOPIC_OF[type(event)].under(self._prefix), key_of(event).encode(), checked(event))

    def publish_json(self, topic: Topic, event: Mapping[str, Any]) -> None:
        """Publish one event given in protobuf's JSON mapping. Raises Unusable where it is none."""
        self.publish(parse(topic, event))

    def tick(self, topic: Topic, at: Instant) -> None:
        """Move the event clock of every partition of an input topic on to an instant (replays only)."""
        name = topic.under(self._prefix)
        for partition in range(self._partition_count(name)):
            self.send(name, None, b"", [("tick", format_instant(at).encode())], partition)

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> None:
        """Send bytes as they are to a topic (its full name), for example out of the dead letters.

        Raises PublishFailed where the topic does not exist or Kafka cannot take the message.
        """
        self._partition_count(topic)  # raises where there is no such topic
        try:
            future = self._producer.send(topic, key=key, value=value, headers=list(headers), partition=partition)
        except KafkaError as error:  # too large, or the buffer stayed full
            raise PublishFailed(f"a message for {topic} was not taken: {error}") from error
        future.add_errback(self._failures.append)

    def flush(self) -> None:
        """Wait until everything sent so far is acknowledged. Raises PublishFailed for what was not."""
        self._producer.flush()
        if self._failures:
            failures, self._failures = self._failures, []
            raise PublishFailed(f"{len(failures)} messages were not taken; the first because of {failures[0]}")

    def __enter__(self) -> Self:
        """Use it for the length of a `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush and disconnect."""
        try:
            self.flush()
        finally:
            self._producer.close()

    def _partition_count(self, topic: str) -> int:
        if topic not in self._partitions:
            count = partition_count(self._bootstrap, topic)
            if not count:
                raise PublishFailed(f"there is no topic {topic}; `puntual topics --create` makes it")
            self._partitions[topic] = count
        return self._partitions[topic]
