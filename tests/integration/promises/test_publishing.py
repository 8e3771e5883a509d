"""Publishing over gRPC, on real brokers: from the call to the verdict."""

import asyncio
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from puntual.events.v1.event_service_pb2 import Event, PublishEventsRequest
from puntual.events.v1.event_service_pb2_grpc import EventServiceStub
from puntual.promises.v1.promise_pb2 import PROMISE_STATE_BROKEN, PROMISE_STATE_KEPT_LATE, PromiseState
from puntual.promises.v1.promise_service_pb2 import GetPromiseRequest
from puntual.promises.v1.promise_service_pb2_grpc import PromiseServiceStub
from services.shared.clock import wall_clock
from services.shared.errors import PublishFailed
from services.shared.ingress import Ingress, connect
from services.shared.instant import SECOND, Instant
from services.shared.partitioner import partition_of
from services.shared.publisher import Publisher
from services.shared.topics import ORDERS, partition_count, provision
from tests.builders import promised, quick_rules, ready
from tests.integration.engine.reading import Entry, read_topic
from tests.processes import ServiceProcess, wait_for

PARTITIONS = 3
CUSTOMERS = ("ana", "eva", "noé", "c 7/ñ")


@pytest.fixture
def worker(kafka: str, prefix: str, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A promise worker that is ready, on each broker in turn."""
    provision(kafka, prefix, PARTITIONS)
    with ServiceProcess("promises", kafka, prefix, partitions=PARTITIONS, rules=quick_rules(tmp_path)) as process:
        yield process


def test_a_promise_published_over_grpc_is_judged(worker: ServiceProcess) -> None:
    """What is overdue is broken within seconds; the fulfilment, published later, makes it kept late."""
    now = wall_clock()
    word = promised("o-1", Instant(now - 60 * SECOND), Instant(now - 10 * SECOND), "ana")
    with grpc.insecure_channel(worker.address) as channel:
        events, promises = EventServiceStub(channel), PromiseServiceStub(channel)

        def state() -> PromiseState.ValueType | None:
            try:
                request = GetPromiseRequest(promise_id="ana/order_ready/o-1")
                return promises.GetPromise(request, timeout=10).promise.state
            except grpc.RpcError:
                return None

        events.PublishEvents(PublishEventsRequest(events=[Event(order=word)]), timeout=15)
        wait_for(lambda: state() == PROMISE_STATE_BROKEN, 20, worker.output)
        events.PublishEvents(PublishEventsRequest(events=[Event(order=ready("o-1", now, "ana"))]), timeout=15)
        wait_for(lambda: state() == PROMISE_STATE_KEPT_LATE, 20, worker.output)


def test_an_event_is_the_same_message_however_it_is_published(worker: ServiceProcess, kafka: str, prefix: str) -> None:
    """The publisher's and the service's messages have the same key, partition, value and headers."""
    orders = [ready("o-1", wall_clock(), customer) for customer in CUSTOMERS]
    with grpc.insecure_channel(worker.address) as channel:
        request = PublishEventsRequest(events=[Event(order=order) for order in orders])
        EventServiceStub(channel).PublishEvents(request, timeout=15)
    with Publisher(kafka, prefix) as publisher:
        for order in orders:
            publisher.publish(order)
    entries = [entry._replace(offset=0) for entry in read_topic(kafka, f"{prefix}orders.v1")]
    expected = [
        Entry(partition_of(order.customer_id, PARTITIONS), 0, order.customer_id.encode(), order.SerializeToString(), {})
        for order in orders
    ]
    assert sorted(entries) == sorted(2 * expected)


def test_grpcurl_finds_the_service(worker: ServiceProcess) -> None:
    """By reflection, with the messages it needs."""
    with grpc.insecure_channel(worker.address) as channel:
        asked = [
            ServerReflectionRequest(list_services=""),
            ServerReflectionRequest(file_containing_symbol="puntual.events.v1.EventService"),
        ]
        stub: Any = ServerReflectionStub(channel)  # its types know no streams
        listed, described = stub.ServerReflectionInfo(iter(asked), timeout=10)
    assert "puntual.events.v1.EventService" in {each.name for each in listed.list_services_response.service}
    assert described.file_descriptor_response.file_descriptor_proto


async def test_a_missing_topic_is_not_created(kafka: str, prefix: str) -> None:
    """A broker that creates what is asked for would give it other settings."""
    order = Event(order=ready("o-1", wall_clock()))
    async with Ingress(partial(connect, kafka), prefix) as ingress:
        with pytest.raises(PublishFailed, match=f"no topic {prefix}orders.v1"):
            await ingress.publish([order])
        assert not await asyncio.to_thread(partition_count, kafka, ORDERS.under(prefix))
        await asyncio.to_thread(provision, kafka, prefix, PARTITIONS)
        await ingress.publish([order])
    assert len(await asyncio.to_thread(read_topic, kafka, ORDERS.under(prefix))) == 1


@pytest.mark.parametrize("silent", [True, False])
async def test_no_kafka_is_said_within_the_deadline(silent: bool) -> None:
    """Whether it accepts connections and says nothing, or is not there; nothing of it is left open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        if not silent:
            listener.close()
        async with Ingress(partial(connect, address), "", patience=0.5) as ingress, asyncio.timeout(5):
            for _ in range(2):
                with pytest.raises(PublishFailed, match="again"):
                    await ingress.publish([Event(order=ready("o-1", wall_clock()))])
