"""An idempotent producer for Kafka, acknowledged by all in-sync replicas."""

import logging
from collections.abc import Mapping
from typing import Any

from aiokafka.producer.producer import AIOKafkaProducer

_BATCH = 512 << 10  # bytes

# Where nobody set up logging, it says nothing: while Kafka is away it would fill the terminal.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())


class _Producer(AIOKafkaProducer):  # type: ignore[misc]  # it has no types
    """One that leaves no connection open, even where nobody waits until it has sent everything."""

    async def stop(self) -> None:
        try:
            await super().stop()
        finally:
            await self.client.close()


async def connect(kafka: str, client_id: str, request: float = 40.0) -> tuple[Any, Mapping[str, int]]:
    """A producer, and how many partitions each topic has. A request may take so many seconds; then it is made again.

    What it was given it sends until Kafka has it, however long Kafka is away. Raises aiokafka's KafkaError.
    """
    producer = _Producer(
        bootstrap_servers=kafka,
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        max_batch_size=_BATCH,
        request_timeout_ms=round(request * 1000),
    )
    try:
        await producer.start()
        # All topics: to ask for one that is missing would create it, with the broker's settings instead of ours.
        metadata = await producer.client.fetch_all_metadata()
    except BaseException:
        await producer.stop()
        raise
    return producer, {topic: len(metadata.partitions_for_topic(topic)) for topic in metadata.topics()}
