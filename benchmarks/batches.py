"""Record batches as aiokafka sends them, filled one record at a time."""

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer


class Record(NamedTuple):
    """A record to produce."""

    partition: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


@asynccontextmanager
async def producing(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer for batches that are already full."""
    # A topic made a moment ago has no leader yet; aiokafka tries again, and says so each time.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    async with AIOKafkaProducer(bootstrap_servers=kafka, max_batch_size=512 << 10, acks="all") as producer:
        yield producer
        await producer.flush()


def put(batch: Any, record: Record) -> bool:  # noqa: ANN401 - aiokafka's
    """Append a record; False where the batch is full."""
    # The topics carry the broker's time; no record of a benchmark is alone too large for a batch.
    return batch.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers)) is not None


async def send_all(kafka: str, topic: str, records: Iterable[Record]) -> None:
    """Send the records, as fast as may be."""
    async with producing(kafka) as producer:
        batches: dict[int, Any] = {}
        for record in records:
            number = record.partition
            if number not in batches:
                batches[number] = producer.create_batch()
            if not put(batches[number], record):
                await producer.send_batch(batches[number], topic, partition=number)
                batches[number] = producer.create_batch()
                put(batches[number], record)
        for number, batch in batches.items():
            await producer.send_batch(batch, topic, partition=number)
