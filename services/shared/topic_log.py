"""A small topic, read whole and then followed: what all workers have to know alike.

Most have one partition. Where there are more, what has one key lies on one of them, and all of them are read.
"""

import asyncio
import heapq
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.shared.engine.fetch import guard
from services.shared.log import place_of

log = logging.getLogger(__name__)

_POLL_MS = 500
#: Messages taken before others get their turn.
_SLICE = 500


class TopicLog:
    """Its messages, one after the other."""

    def __init__(
        self, kafka: str, topic: str, take: Callable[[Any], bool], refused: Callable[[], None] = lambda: None
    ) -> None:
        """`take`: takes in a message (as aiokafka has it) and says whether anything is different since.

        `refused` is called for each message that it raises for; what was known before counts on.
        """
        self.topic = topic
        self._take = take
        self._refused = refused
        self._kafka = kafka

    async def start(self) -> Self:
        """Read all that is there. Raises KafkaError."""
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka, enable_auto_commit=False, auto_offset_reset="earliest", client_id=self.topic
        )
        try:
            await self._consumer.start()
            guard(self._consumer)
            cluster = await self._consumer._client.fetch_all_metadata()  # noqa: SLF001 - asking for one makes it
            self._consumer.assign(
                [TopicPartition(self.topic, n) for n in cluster.partitions_for_topic(self.topic) or {0}]
            )
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
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        found: defaultdict[Any, list[Any]] = defaultdict(list)
        while [place for place, end in ends.items() if await self._consumer.position(place) < end]:
            for place, messages in (await self._consumer.getmany(timeout_ms=_POLL_MS)).items():
                found[place] += messages
        for message in _in_order(found):
            self._take_in(message)

    async def read(self) -> bool:
        """Take in what has come, or comes in a moment; whether anything is different since. Raises KafkaError."""
        is_new = False
        for message in _in_order(await self._consumer.getmany(timeout_ms=_POLL_MS)):
            is_new |= self._take_in(message)
        return is_new

    def _take_in(self, message: Any) -> bool:  # noqa: ANN401 - as aiokafka has it
        try:
            return self._take(message)
        except Exception as error:  # noqa: BLE001 - others wrote it, and it would be read again at every start
            self._refused()
            log.error(  # noqa: TRY400 - its own words may quote what others wrote
                "%s: offset %d cannot be used and changes nothing: %s", self.topic, message.offset, place_of(error)
            )
            return False

    async def follow(self, changed: Callable[[], Awaitable[None]] | None = None) -> None:
        """Say when anything is different, for ever. Raises KafkaError."""
        while True:
            if await self.read() and changed:
                await changed()


def _in_order(found: Mapping[Any, Sequence[Any]]) -> Iterable[Any]:
    """The messages of several partitions as they were published; those of each as they stand there."""
    return heapq.merge(*found.values(), key=lambda message: message.timestamp)


async def read_all(kafka: str, partitions: Iterable[TopicPartition], take: Callable[[Any], object]) -> None:
    """Take in all that these partitions hold by now (as aiokafka has it), each in order. Raises KafkaError."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        guard(consumer)
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
    try:
        await producer.start()
        await producer.send_and_wait(topic, value, key=key.encode())
    finally:
        await producer.stop()
