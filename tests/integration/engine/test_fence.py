"""Fences on real brokers: who sets one is the only writer from then on."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiokafka.errors import ProducerFenced
from aiokafka.producer.producer import AIOKafkaProducer

from services.shared.engine.fence import KEY, Fences
from services.shared.topics import PROMISES, provision
from tests.integration.engine.reading import read_all

TOPIC = PROMISES.name


class Writer:
    """A producer and its fences."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.producer, self.fences = producer, Fences(producer)

    async def write(self, topic: str, partition: int, *keys: bytes) -> int:
        """The offset of the first of them, once all replicas have them."""
        batch = self.producer.create_batch()
        for key in keys:
            batch.append(timestamp=None, key=key, value=b"record", headers=[])
        answer = await self.producer.send_batch(batch, topic, partition=partition)
        return int((await answer).offset)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Closes what a test opens."""
    async with AsyncExitStack() as opened:
        yield opened


async def a_writer(kafka: str, stack: AsyncExitStack) -> Writer:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await stack.enter_async_context(producer)
    return Writer(producer)


async def test_a_fence_shuts_out_who_wrote_before(kafka: str, prefix: str, stack: AsyncExitStack) -> None:
    """The earlier writer is refused on that partition, and on no other; nothing of its own comes after the fence."""
    provision(kafka, prefix, 2)
    topic = prefix + TOPIC
    first, second = await a_writer(kafka, stack), await a_writer(kafka, stack)
    assert await first.fences.set(topic, [0, 1]) == {0: 0, 1: 0}
    assert await first.write(topic, 0, b"a", b"b") == 1
    assert await first.write(topic, 0, b"c") == 3
    assert await second.fences.set(topic, [0]) == {0: 4}
    with pytest.raises(ProducerFenced):
        await first.write(topic, 0, b"late")
    assert await second.write(topic, 0, b"d") == 5
    assert await first.write(topic, 1, b"e") == 1
    entries = read_all(kafka, topic)
    assert [entry.key for entry in entries if entry.partition == 0] == [KEY, b"a", b"b", b"c", KEY, b"d"]


async def test_a_fence_can_be_set_again(kafka: str, prefix: str, stack: AsyncExitStack) -> None:
    """By the owner itself, as at every rebalance: it goes on writing."""
    provision(kafka, prefix, 1)
    writer = await a_writer(kafka, stack)
    for turn in range(3):
        assert await writer.fences.set(prefix + TOPIC, [0]) == {0: turn * 2}
        assert await writer.write(prefix + TOPIC, 0, b"a") == turn * 2 + 1
