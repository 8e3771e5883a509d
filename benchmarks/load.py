"""Puts order events into a topic as fast as Python can, so that the worker under test never waits for them."""

import asyncio
import logging
from collections.abc import Iterator

from aiokafka import AIOKafkaProducer

from puntual.events.v1.order_event_pb2 import MILESTONE_READY, OrderEvent
from services.shared.clock import set_timestamp
from services.shared.instant import SECOND, Instant
from services.shared.partitioner import partition_of

CUSTOMERS = 10_000


def order_events(count: int, apart: int, start: Instant) -> Iterator[tuple[str, bytes]]:
    """(customer, event) pairs: half promises, half fulfilments, each `apart` promises after its promise, all in time.

    Due times are spread over the thirty days from tomorrow, so that every promise waits in the deadline queue.
    """
    promises = count // 2
    for number in range(promises + apart):
        if number < promises:
            yield _event(number, start, MILESTONE_READY)
        if number >= apart:
            yield _event(number - apart, start, None)


def _event(number: int, start: Instant, milestone: int | None) -> tuple[str, bytes]:
    customer = f"c-{number % CUSTOMERS}"
    event = OrderEvent(
        event_id=f"{'p' if milestone else 'r'}-{number:08}",
        source="shop",
        customer_id=customer,
        subject_id=f"o-{number:08}",
    )
    set_timestamp(event.occurred_at, Instant(start + number))
    if milestone:
        event.promised.milestone = MILESTONE_READY
        set_timestamp(event.promised.due.at, Instant(start + (1 + number % 30) * 86_400 * SECOND + number))
    else:
        event.ready.SetInParent()
    return customer, event.SerializeToString()


def load(kafka: str, topic: str, partitions: int, events: Iterator[tuple[str, bytes]]) -> None:
    """Produce the events, partitioned as publishers must."""
    # A topic made a moment ago has no leader yet; aiokafka tries again, and says so each time.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    asyncio.run(_load(kafka, topic, partitions, events))


async def _load(kafka: str, topic: str, partitions: int, events: Iterator[tuple[str, bytes]]) -> None:
    numbers = {f"c-{number}": partition_of(f"c-{number}", partitions) for number in range(CUSTOMERS)}
    async with AIOKafkaProducer(bootstrap_servers=kafka, max_batch_size=512 << 10, acks="all") as producer:
        open_batches = {number: producer.create_batch() for number in range(partitions)}
        for customer, value in events:
            number = numbers[customer]
            batch = open_batches[number]
            if batch.append(key=customer.encode(), value=value, timestamp=None) is None:
                await producer.send_batch(batch, topic, partition=number)
                batch = open_batches[number] = producer.create_batch()
                batch.append(key=customer.encode(), value=value, timestamp=None)
        for number, batch in open_batches.items():
            await producer.send_batch(batch, topic, partition=number)
        await producer.flush()
