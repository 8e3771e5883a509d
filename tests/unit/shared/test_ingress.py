"""Publishing over gRPC: what is refused, what reaches which partition, and what callers hear when Kafka fails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from aiokafka.errors import KafkaConnectionError, OutOfOrderSequenceNumber
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.common_pb2 import Waived
from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.events.v1.event_service_pb2 import Event, PublishEventsRequest
from puntual.events.v1.event_service_pb2_grpc import EventServiceStub
from puntual.events.v1.order_event_pb2 import OrderEvent, OrderReady
from services.promises.rpc import promise_service
from services.shared.ingress import Ingress, Link, event_service
from services.shared.instant import parse_instant
from services.shared.metrics import Registry
from services.shared.partitioner import partition_of
from services.shared.rpc import RpcServer
from services.shared.topics import INPUTS
from tests.builders import ready
from tests.unit.shared.mutants import chunk
from tests.views import MemoryView

if TYPE_CHECKING:  # it exists for type checkers only
    from puntual.events.v1.event_service_pb2_grpc import EventServiceAsyncStub

PREFIX = "test."
PARTITIONS = {topic.under(PREFIX): 3 + number for number, topic in enumerate(INPUTS)}
AT = parse_instant("2025-11-27T17:00:00Z")


class Sent(NamedTuple):
    """What a producer was given."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None


class FakeProducer:
    """Takes everything, until told otherwise."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        #: What becomes of an event by its key: an error, or no answer ever (None).
        self.trouble: dict[bytes, Exception | None] = {}
        self.stopped = False

    async def send_and_wait(self, topic: str, *, value: bytes | None, key: bytes, partition: int) -> object:
        self.sent.append(Sent(topic, partition, key, value))
        if key in self.trouble:
            error = self.trouble[key]
            if error is None:
                await asyncio.Event().wait()
            else:
                raise error
        return None

    async def stop(self) -> None:
        self.stopped = True


class FakeKafka:
    """Hands out producers, the first of which may be slow or impossible to get."""

    def __init__(self, partitions: Mapping[str, int] = PARTITIONS) -> None:
        self.partitions = partitions
        self.producers: list[FakeProducer] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.refusal: Exception | None = None

    async def connect(self) -> Link:
        await self.answers.wait()
        if self.refusal:
            raise self.refusal
        self.producers.append(FakeProducer())
        return Link(self.producers[-1], self.partitions)

    @property
    def sent(self) -> Sequence[Sent]:
        return [sent for producer in self.producers for sent in producer.sent]


@asynccontextmanager
async def publishing(kafka: FakeKafka, patience: float = 5.0) -> AsyncIterator["EventServiceAsyncStub"]:
    async with serving(kafka, patience) as channel:
        yield EventServiceStub(channel)


@asynccontextmanager
async def serving(kafka: FakeKafka, patience: float = 5.0) -> AsyncIterator[grpc.aio.Channel]:
    async with Ingress(kafka.connect, PREFIX, patience) as ingress:
        server = RpcServer(Registry(), promise_service(MemoryView()), lambda: None, event_service(ingress))
        port = await server.start("127.0.0.1", 0)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
        await server.stop(0)


@pytest.fixture
def kafka() -> FakeKafka:
    return FakeKafka()


def orders(count: int) -> list[Event]:
    return [Event(order=ready(f"o-{number}", AT, f"c-{number}")) for number in range(count)]


async def refused(stub: "EventServiceAsyncStub", events: Sequence[Event]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.PublishEvents(PublishEventsRequest(events=events), timeout=10)
    return caught.value.code(), caught.value.details() or ""


async def test_every_kind_of_event_reaches_its_topic_and_the_partition_of_its_customer(kafka: FakeKafka) -> None:
    """The key is the customer, without one the subject; the partition is murmur2's; the value the event's own bytes."""
    fields: dict[str, Any] = {"event_id": "1", "occurred_at": ready("o", AT).occurred_at}
    events: Sequence[OrderEvent | CallbackEvent | AppointmentEvent | ContactEvent] = (
        OrderEvent(**fields, customer_id="ana", subject_id="o", ready=OrderReady()),
        CallbackEvent(**fields, subject_id="a lone callback", waived=Waived(reason="agreed")),
        AppointmentEvent(**fields, customer_id="eva", subject_id="a", waived=Waived()),
        ContactEvent(**fields, customer_id="noé", subject_id="c", received=ContactEvent().received),
    )
    kinds = "order", "callback", "appointment", "contact"
    async with publishing(kafka) as stub:
        wrapped = [Event(**{kind: event}) for kind, event in zip(kinds, events, strict=True)]  # type: ignore[arg-type]
        await stub.PublishEvents(PublishEventsRequest(events=wrapped))
    keys = "ana", "a lone callback", "eva", "noé"
    assert kafka.sent == [
        Sent(topic, partition_of(key, partitions), key.encode(), event.SerializeToString())
        for (topic, partitions), key, event in zip(PARTITIONS.items(), keys, events, strict=True)
    ]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda event: event.order.ClearField("occurred_at"), "no_time: occurred_at is absent; set it"),
        (lambda event: event.order.ClearField("subject_id"), "no_subject: subject_id is absent; name"),
        (lambda event: event.order.ClearField("event"), "unknown_type: say what happened: one of placed, promised"),
        (lambda event: event.ClearField("event"), "unknown_type: set one of order, callback, appointment, contact"),
        (lambda event: setattr(event.order, "site", "x" * (256 << 10)), "too_large: "),
    ],
)
async def test_one_bad_event_is_named_and_none_is_published(
    kafka: FakeKafka, spoil: Callable[[Event], None], reason: str
) -> None:
    """INVALID_ARGUMENT says which, why and what to do, and nothing of the customer."""
    events = orders(3)
    spoil(events[1])
    async with publishing(kafka) as stub:
        code, details = await refused(stub, events)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(f"events[1]: {reason}")
    assert details.endswith("Nothing was published.")
    assert "c-1" not in details
    assert "o-1" not in details
    assert not kafka.sent


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_request_has_1_to_1000_events(kafka: FakeKafka, count: int) -> None:
    """More is refused as a whole, and so is nothing: the caller meant something."""
    async with publishing(kafka) as stub:
        code, details = await refused(stub, orders(count))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert f"{count:,} events" in details
        assert "1 to 1,000" in details
        assert not kafka.sent
        await stub.PublishEvents(PublishEventsRequest(events=orders(1000)))
    assert len(kafka.sent) == 1000


async def test_an_event_may_be_as_large_as_the_topics_take(kafka: FakeKafka) -> None:
    """The server does not refuse, as too large a request, what would be accepted as an event; 4 MiB is too large."""
    event = Event(order=ready("o", AT))
    event.order.MergeFromString(chunk(999, b"x" * (255 << 10)))  # of a newer publisher
    async with publishing(kafka) as stub:
        await stub.PublishEvents(PublishEventsRequest(events=[event] * 16))
        code, _ = await refused(stub, [event] * 17)
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(kafka.sent) == 16


async def test_ok_needs_every_acknowledgement(kafka: FakeKafka) -> None:
    """UNAVAILABLE where Kafka refuses one of them; the next call has a new producer, for the old one has a gap."""
    async with publishing(kafka) as stub:
        await stub.PublishEvents(PublishEventsRequest(events=orders(1)))
        kafka.producers[0].trouble[b"c-1"] = OutOfOrderSequenceNumber()
        code, details = await refused(stub, orders(3))
        assert code == grpc.StatusCode.UNAVAILABLE
        assert "1 of 3 messages" in details
        assert "again" in details
        await stub.PublishEvents(PublishEventsRequest(events=orders(3)))
        assert kafka.producers[0].stopped
        assert len(kafka.producers[1].sent) == 3
        assert not kafka.producers[1].stopped
    assert kafka.producers[1].stopped


async def test_an_acknowledgement_that_does_not_come_is_waited_for_only_so_long(kafka: FakeKafka) -> None:
    """UNAVAILABLE after the deadline; the producer, which goes on trying, is kept."""
    async with publishing(kafka, patience=0.2) as stub:
        await stub.PublishEvents(PublishEventsRequest(events=orders(1)))
        kafka.producers[0].trouble[b"c-1"] = None
        code, details = await refused(stub, orders(2))
        assert code == grpc.StatusCode.UNAVAILABLE
        assert "within 0.2 s" in details
        assert "again" in details
        kafka.producers[0].trouble.clear()
        await stub.PublishEvents(PublishEventsRequest(events=orders(2)))
    assert len(kafka.producers) == 1


async def test_a_kafka_that_is_away_is_tried_again_at_the_next_call(kafka: FakeKafka) -> None:
    """The server starts without it; UNAVAILABLE while it is silent or refuses, OK when it is back."""
    async with publishing(kafka, patience=0.2) as stub:
        kafka.answers.clear()
        code, details = await refused(stub, orders(1))
        assert (code, "within 0.2 s" in details) == (grpc.StatusCode.UNAVAILABLE, True)
        kafka.answers.set()
        kafka.refusal = KafkaConnectionError("Unable to bootstrap from [('kafka-1', 9092)]")
        code, details = await refused(stub, orders(1))
        assert (code, details.endswith("try again.")) == (grpc.StatusCode.UNAVAILABLE, True)
        kafka.refusal = None
        await stub.PublishEvents(PublishEventsRequest(events=orders(1)))
    assert len(kafka.sent) == 1


async def test_calls_at_the_same_time_share_one_producer(kafka: FakeKafka) -> None:
    """However many come before the first connection stands."""
    async with publishing(kafka) as stub:
        kafka.answers.clear()
        calls = [asyncio.ensure_future(stub.PublishEvents(PublishEventsRequest(events=orders(2)))) for _ in range(5)]
        await asyncio.sleep(0.1)
        kafka.answers.set()
        await asyncio.gather(*calls)
    assert len(kafka.producers) == 1
    assert len(kafka.sent) == 10


async def test_a_topic_that_is_missing_is_named_and_never_created() -> None:
    """Sending to it would create it, with the broker's settings; once it is there, no restart is needed."""
    partitions = {topic: count for topic, count in PARTITIONS.items() if "contacts" not in topic}
    kafka = FakeKafka(partitions)
    contact = ContactEvent(event_id="1", subject_id="c", received=ContactEvent().received)
    contact.occurred_at.FromJsonString("2025-11-27T17:00:00Z")
    events = [*orders(1), Event(contact=contact)]
    async with publishing(kafka) as stub:
        code, details = await refused(stub, events)
        assert code == grpc.StatusCode.UNAVAILABLE
        assert "no topic test.contacts.v1" in details
        assert "puntual topics --create" in details
        assert not kafka.sent
        kafka.partitions = PARTITIONS
        await stub.PublishEvents(PublishEventsRequest(events=events))


async def test_a_producer_that_cannot_end_holds_up_nobody(kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Kafka is silent, what it was given last is not waited for when the service stops."""
    monkeypatch.setattr("services.shared.ingress._GRACE", 0.1)
    async with asyncio.timeout(5), Ingress(kafka.connect, PREFIX) as ingress:
        await ingress.publish(orders(1))
        monkeypatch.setattr(kafka.producers[0], "stop", asyncio.Event().wait)


async def test_the_service_is_described_and_its_health_told(kafka: FakeKafka) -> None:
    """Beside the service whose port it shares."""
    names = {"puntual.events.v1.EventService", "puntual.promises.v1.PromiseService"}
    reflection: Any = ServerReflectionStub  # typed for synchronous channels only
    async with serving(kafka) as channel:
        call = reflection(channel).ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]))
        answer = await anext(aiter(call))
        assert names <= {service.name for service in answer.list_services_response.service}
        health: Any = HealthStub(channel)
        for name in names:
            answer = await health.Check(HealthCheckRequest(service=name))
            assert answer.status == HealthCheckResponse.SERVING
