"""What the worker announced, by the records topic."""

import asyncio
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from puntual.promises.v1.promise_pb2 import Promise
from services.shared.instant import Instant, parse_instant


class Announcement(NamedTuple):
    """One record as it was announced."""

    record: Promise
    #: When the worker said so, and when Kafka had it.
    announced_at: Instant
    appended_at: Instant


def log_ends(kafka: str, topic: str) -> Mapping[int, int]:
    """Where each partition ends."""
    return asyncio.run(_log_ends(kafka, topic))


def announcements(kafka: str, topic: str, since: Mapping[int, int], transitions: Container[str]) -> list[Announcement]:
    """All of these transitions, from the given offsets to the end of the log."""
    return asyncio.run(_announcements(kafka, topic, since, transitions))


async def _log_ends(kafka: str, topic: str) -> Mapping[int, int]:
    async with AIOKafkaConsumer(topic, bootstrap_servers=kafka) as consumer:
        return {tp.partition: offset for tp, offset in (await consumer.end_offsets(consumer.assignment())).items()}


async def _announcements(
    kafka: str, topic: str, since: Mapping[int, int], transitions: Container[str]
) -> list[Announcement]:
    found = []
    async with AIOKafkaConsumer(bootstrap_servers=kafka, max_partition_fetch_bytes=8 << 20) as consumer:
        starts = {TopicPartition(topic, partition): offset for partition, offset in since.items()}
        consumer.assign(list(starts))
        left = {tp: end for tp, end in (await consumer.end_offsets(list(starts))).items() if end > starts[tp]}
        for tp, offset in starts.items():
            consumer.seek(tp, offset)
        while left:
            for tp, messages in (await consumer.getmany(timeout_ms=1_000)).items():
                if messages[-1].offset + 1 >= left.get(tp, 0):
                    left.pop(tp, None)
                found += [_announcement(message) for message in messages if _transition(message) in transitions]
    return found


def _transition(message: Any) -> str:  # noqa: ANN401 - aiokafka's, untyped
    return next((value.decode() for name, value in message.headers if name == "transition"), "")


def _announcement(message: Any) -> Announcement:  # noqa: ANN401 - aiokafka's, untyped
    announced_at = parse_instant(dict(message.headers)["announced-at"].decode())
    return Announcement(Promise.FromString(message.value), announced_at, Instant(message.timestamp * 1_000))
