"""The publisher: how upstream systems written in Python tell Puntual what happens.

    with Publisher("127.0.0.1:9092") as publisher:
        publisher.publish(OrderEvent(event_id="1", customer_id="c-7", subject_id="o-1", ready=OrderReady(), ...))

What concerns one customer must meet on one partition, so the key is the customer's id (without a customer, the
subject's) and the partitioner is murmur2, as in Java. Publishers in other languages must do the same: librdkafka's
default does not.
"""

import atexit
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

from google.protobuf.message import Message

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.events.v1.customer_event_pb2 import CustomerEvent
from puntual.events.v1.order_event_pb2 import OrderEvent
from services.shared.background_producer import BackgroundProducer, Bounds, Stats
from services.shared.clock import wall_clock
from services.shared.customers.codec import merged
from services.shared.envelope import Limits
from services.shared.errors import DeadLetterReason, KafkaUnreachable, PublishFailed, Unusable
from services.shared.instant import Instant, format_instant
from services.shared.links import Link
from services.shared.opener import Opener
from services.shared.outgoing import Done, Headers, Outgoing
from services.shared.parsing import parse_fields
from services.shared.partitioner import partition_of
from services.shared.producer import connect
from services.shared.topics import EVENTS, PREFIX, Topic

Event: TypeAlias = OrderEvent | CallbackEvent | AppointmentEvent | ContactEvent | CustomerEvent

TOPIC_OF: Mapping[type[Message], Topic] = {topic.message: topic for topic in EVENTS if topic.message}
_OPENERS = {message: Opener(message, Limits(now=wall_clock)) for message in TOPIC_OF}

# Bytes. Below what the input topics take: what the broker refuses costs an idempotent producer its connection.
_LARGEST = 1_000_000

#: What a publisher keeps and how long it tries, unless told otherwise.
BOUNDS = Bounds()


def key_of(event: Event) -> str:
    """The message key: what an event is partitioned by. Heartbeats, which concern nobody, lie with their source."""
    return event.customer_id or event.subject_id or event.source


def checked(event: Event) -> bytes:
    """The bytes of an event. Raises Unusable where the services could not use it: better here than as a dead letter."""
    value = event.SerializeToString()
    opener = _OPENERS[type(event)]
    opened = opener.open(value, False)
    merged(opened)
    if not opened.arm:
        raise Unusable(DeadLetterReason.UNKNOWN_TYPE, f"say what happened: one of {', '.join(opener.arms.values())}")
    return value


def parse(topic: Topic, event: Mapping[str, Any]) -> Event:
    """An event of an input topic from protobuf's JSON mapping. Raises Unusable, saying where it cannot be read."""
    return parse_fields(cast("type[Event]", topic.message), event)


class Publisher:
    """Publishes events to the input topics: idempotent, acknowledged by all in-sync replicas.

    `publish` returns at once. While Kafka is away events are kept, in memory and in order, and sent once it is back:
    for up to an hour, and as many as `bounds` allow; then `publish` waits for room, and raises PublishFailed where
    there is none. What was given up is raised by the next `publish` or `flush`. An event is in Kafka for certain once
    `flush` or the `with` block has ended, or its `done` was called with None. For any number of threads.
    """

    def __init__(
        self, bootstrap: str, prefix: str = PREFIX, bounds: Bounds | None = None, request: float = 40.0
    ) -> None:
        """Connect; Kafka may take `request` seconds to answer, then it is asked again. Raises KafkaUnreachable.

        `bounds`: what it may keep and how long it may take; None: `BOUNDS`.
        """
        self._bootstrap, self._prefix = bootstrap, prefix
        self._partitions: dict[str, int] = {}

        async def link_up() -> Link:
            return Link(*await connect(bootstrap, "puntual-publisher", request))

        try:
            self._producer = BackgroundProducer(link_up, bounds or BOUNDS)
        except TimeoutError as error:
            raise KafkaUnreachable(bootstrap) from error
        atexit.register(self.close)  # whoever forgets it loses nothing either

    @property
    def stats(self) -> Stats:
        """How many messages were sent, acknowledged and given up, how many wait, and for how long: for your metrics."""
        return self._producer.stats()

    def publish(self, event: Event, done: Done | None = None) -> None:
        """Publish one event. Raises Unusable where the services could not use it, and what `send` raises.

        `done` is called once, from another thread: with None when Kafka has it, or with why it was given up. Then that
        is raised nowhere else. It must not wait for anything.
        """
        self.send(TOPIC_OF[type(event)].under(self._prefix), key_of(event).encode(), checked(event), done=done)

    def publish_json(self, topic: Topic, event: Mapping[str, Any]) -> None:
        """Publish one event given in protobuf's JSON mapping. Raises Unusable where it is none."""
        self.publish(parse(topic, event))

    def tick(self, topic: Topic, at: Instant) -> None:
        """Move the event clock of every partition of an input topic on to an instant (replays only)."""
        name = topic.under(self._prefix)
        for partition in range(self._partition_count(name)):
            self.send(name, None, b"", [("tick", format_instant(at).encode())], partition)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        *,
        done: Done | None = None,
    ) -> None:
        """Send bytes as they are to a topic (its full name), for example out of the dead letters.

        Without a partition, the key decides. Raises KafkaUnreachable where Kafka does not answer what a topic is like,
        and PublishFailed where it does not exist, the message is too large, there is no room for it, or an earlier one
        was given up; then this one was not taken.
        """
        count = self._partition_count(topic)
        place = partition_of(key or b"", count) if partition is None else partition
        if place >= count:
            raise PublishFailed(f"{topic} has no partition {place}; it has {count}, numbered from 0")
        message = Outgoing(topic, place, key, value, headers)
        if message.size > _LARGEST:
            raise PublishFailed(f"a message for {topic} was not taken: it has {message.size:,} bytes of {_LARGEST:,}")
        self._producer.send(message, done)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until Kafka has everything sent so far, at most `timeout` seconds (None: what `bounds` say).

        Raises PublishFailed for what was given up, and for what Kafka has not acknowledged in time: that is kept, and
        tried again.
        """
        self._producer.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Flush and disconnect. Raises PublishFailed for what Kafka has not acknowledged: that is given up."""
        atexit.unregister(self.close)
        self._producer.close(timeout)

    def __enter__(self) -> Self:
        """Use it for the length of a `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush and disconnect."""
        self.close()

    def _partition_count(self, topic: str) -> int:
        if topic not in self._partitions:
            try:
                count = self._producer.partitions(topic)
            except TimeoutError as error:
                raise KafkaUnreachable(self._bootstrap) from error
            if not count:
                raise PublishFailed(f"there is no topic {topic}; `puntual topics --create` makes it")
            self._partitions[topic] = count
        return self._partitions[topic]
