"""EventService: events for those who have no Kafka client, checked as `publisher` checks them, then published.

Its producer is its own: what Kafka makes of an event from outside must not end the worker.
"""
# ruff: noqa: ARG002, N802 - the contract names the methods and their arguments

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from aiokafka.errors import KafkaError

from puntual.events.v1.event_service_pb2 import DESCRIPTOR, Event, PublishEventsRequest, PublishEventsResponse
from puntual.events.v1.event_service_pb2_grpc import EventServiceServicer, add_EventServiceServicer_to_server
from services.shared import producer
from services.shared.errors import DeadLetterReason, PublishFailed, PuntualError, Unusable
from services.shared.log import bounded
from services.shared.partitioner import partition_of
from services.shared.publisher import TOPIC_OF, checked, key_of
from services.shared.rpc import Service

_log = bounded(__name__)

_MOST_EVENTS = 1000
_LARGEST_REQUEST = 4 << 20  # bytes
_PATIENCE = 10.0  # seconds
_GRACE = 2.0  # seconds that producers get to disconnect
_AGAIN = "Some messages may have been published; publish all of them again: what is repeated changes nothing."


class Producer(Protocol):
    """The part of aiokafka's producer that is needed here."""

    async def send_and_wait(self, topic: str, *, value: bytes | None, key: bytes, partition: int) -> object: ...

    async def stop(self) -> None: ...


class Link(NamedTuple):
    """A connection to Kafka."""

    producer: Producer
    #: How many partitions each topic has.
    partitions: Mapping[str, int]


async def connect(kafka: str) -> Link:
    """A connection of its own. Raises aiokafka's KafkaError."""
    return Link(*await producer.connect(kafka, "puntual-ingress"))


def event_service(ingress: "Ingress") -> Service:
    """The service that publishes through `ingress`."""
    add = partial(add_EventServiceServicer_to_server, _Events(ingress))
    return Service(DESCRIPTOR.services_by_name["EventService"], add, _LARGEST_REQUEST)


class _Events(EventServiceServicer):
    def __init__(self, ingress: "Ingress") -> None:
        self._ingress = ingress

    async def PublishEvents(self, request: PublishEventsRequest, context: object) -> PublishEventsResponse:
        await self._ingress.publish(request.events)
        return PublishEventsResponse()


class Outgoing(NamedTuple):
    """What is to be published."""

    #: Its full name.
    topic: str
    key: bytes
    #: None: what had the key is gone.
    value: bytes | None


#: Publishes messages and returns when Kafka has them. Raises PublishFailed.
Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]


class Ingress:
    """Publishes lists of events, for the length of an `async with` block. It connects when the first list comes."""

    def __init__(self, link_up: Callable[[], Awaitable[Link]], prefix: str, patience: float = _PATIENCE) -> None:
        """Topics are named after `prefix`; Kafka gets `patience` seconds to confirm a list."""
        self._link_up, self._prefix, self._patience = link_up, prefix, patience
        self._link: Link | None = None
        self._linking = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    async def publish(self, events: Sequence[Event]) -> None:
        """Publish all events, or none where one is unusable. Returns when all in-sync replicas have all of them.

        Raises PuntualError for what the caller must put right, PublishFailed for what Kafka did not confirm.
        """
        if not 1 <= len(events) <= _MOST_EVENTS:
            raise PuntualError(f"The request has {len(events):,} events; send 1 to {_MOST_EVENTS:,} at a time.")
        messages = list[Outgoing]()
        for index, event in enumerate(events):
            try:
                messages.append(_message(event, self._prefix))
            except Unusable as unusable:
                raise PuntualError(f"events[{index}]: {unusable}. Nothing was published.") from unusable
        await self.send(messages)

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Publish messages as they are, each on the partition of its key. Returns when all in-sync replicas have them.

        Raises PublishFailed for what Kafka did not confirm.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self._send(messages)
        except TimeoutError as error:
            # The producer is kept: it goes on trying, and nothing it was given can be lost or come twice.
            raise PublishFailed(
                f"Kafka has not confirmed every message within {self._patience:g} s. {_AGAIN}"
            ) from error

    async def _send(self, messages: Sequence[Outgoing]) -> None:
        link = await self._linked()
        missing = {message.topic for message in messages} - link.partitions.keys()
        if missing:
            self._drop(link)  # the next one knows what there is by then
            raise PublishFailed(f"There is no topic {min(missing)}; `puntual topics --create` makes it.")
        answers = await asyncio.gather(
            *(
                link.producer.send_and_wait(
                    topic, value=value, key=key, partition=partition_of(key, link.partitions[topic])
                )
                for topic, key, value in messages
            ),
            return_exceptions=True,
        )
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        if failures:
            self._drop(link)  # what it lost leaves a gap in its numbers, and Kafka refuses what comes after a gap
            kind = type(failures[0]).__name__
            _log.warning("Kafka did not take %d of %d messages: %s", len(failures), len(messages), kind)
            raise PublishFailed(f"Kafka did not take {len(failures):,} of {len(messages):,} messages. {_AGAIN}")

    async def _linked(self) -> Link:
        async with self._linking:
            if self._link is None:
                try:
                    self._link = await self._link_up()
                except KafkaError as error:
                    _log.warning("Events cannot be published: %s", error)
                    raise PublishFailed("Kafka cannot be reached. Nothing was published; try again.") from error
            return self._link

    def _drop(self, link: Link) -> None:
        """Go on with another producer. This one ends when Kafka has what other calls gave it."""
        if self._link is link:
            self._link = None
            leaving = asyncio.create_task(link.producer.stop())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def __aenter__(self) -> Self:
        """Do nothing yet: the service starts although Kafka is slow."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect. What is still under way nobody waits for any more."""
        if self._link:
            self._drop(self._link)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_GRACE)


def _message(wrapped: Event, prefix: str) -> Outgoing:
    """What is sent. Raises Unusable."""
    kind = wrapped.WhichOneof("event")
    if kind is None:
        kinds = ", ".join(field.name for field in Event.DESCRIPTOR.fields)
        raise Unusable(DeadLetterReason.UNKNOWN_TYPE, f"set one of {kinds}")
    event = getattr(wrapped, kind)
    return Outgoing(TOPIC_OF[type(event)].under(prefix), key_of(event).encode(), checked(event))
