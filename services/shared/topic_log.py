"""A topic read whole and then followed by every worker: what all have to know alike."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

_POLL_MS = 500
#: Messages taken before others get their turn.
_SLICE = 500


class TopicLog:
    """Its messages, of each partition one after the other."""

    def __init__(self, kafka: str, topic: str, take: Callable[[Any], bool], partitions: int = 1) -> None:
        """`take`: takes in a message (as aiokafka has it) and says whether anything is different since."""
        self.topic = topic
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._take = take
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest", client_id=topic
        )

    async def start(self) -> Self:
        """Read all that is there. Raises KafkaError."""
        await self._consumer.start()
        try:
            self._consumer.assign(self._partitions)
            await self.read_to_end()
        except BaseException:
            await self.stop()
            raise
        return self

    async def stop(self) -> None:
        """Read no more."""
        await self._consumer.stop()

    async def read_to_end(self) -> None:
        """Take in all that is there by now. Raises KafkaError."""
        ends = await self._consumer.end_offsets(self._partitions)
        for partition, end in ends.items():
            while await self._consumer.position(partition) < end:
                await self.read()

    async def read(self) -> bool:
        """Take in what has come, or comes in a moment; whether anything is different since. Raises KafkaError."""
        found = await self._consumer.getmany(*self._partitions, timeout_ms=_POLL_MS, max_records=_SLICE)
        is_new = False
        for messages in found.values():
            for message in messages:
                is_new |= self._take(message)
        await asyncio.sleep(0)
        return is_new

    async def follow(self, changed: Callable[[], Awaitable[None]] | None = None) -> None:
        """Say when anything is different, for ever. Raises KafkaError."""
        while True:
            if await self.read() and changed:
                await changed()


async def read_all(kafka: str, partitions: Iterable[TopicPartition], take: Callable[[Any], object]) -> None:
    """Take in all that these partitions hold by now (as aiokafka has it), each in order. Raises KafkaError."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(list(partitions))
        unread = await consumer.end_offsets(consumer.assignment())
        while unread := {place: end for place, end in unread.items() if await consumer.position(place) < end}:
            consumer.pause(*(consumer.assignment() - unread.keys()))
            found = await consumer.getmany(*unread, timeout_ms=_POLL_MS, max_records=_SLICE)
            for messages in found.values():
                for message in messages:
                    take(message)
            await asyncio.sleep(0)
    finally:
        await consumer.stop()


async def publish(kafka: str, topic: str, key: str, value: bytes | None) -> None:
    """Add a message to such a topic; None ends what has the key. Raises KafkaError."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, key=key.encode(), partition=0)
    finally:
        await producer.stop()
