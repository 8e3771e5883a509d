"""Reads record topics with kafka-python: a second, independent implementation of the protocol."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition

from services.shared.engine.fence import KEY


class Entry(NamedTuple):
    """One message of a topic."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: Mapping[str, str]


def read_topic(kafka: str, topic: str) -> Sequence[Entry]:
    """Everything in a topic but fences, in the order of each partition."""
    return [entry for entry in read_all(kafka, topic) if entry.key != KEY]


def read_all(kafka: str, topic: str) -> Sequence[Entry]:
    """Everything in a topic, in the order of each partition."""
    consumer = KafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning(*partitions)
        entries: list[Entry] = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for batch in consumer.poll(timeout_ms=500).values():
                entries += [
                    Entry(m.partition, m.offset, m.key, m.value, {k: v.decode() for k, v in m.headers}) for m in batch
                ]
        return entries
    finally:
        consumer.close()


def latest(entries: Sequence[Entry]) -> Mapping[bytes, bytes]:
    """The last value of each key; forgotten ones left out."""
    table = {entry.key: entry.value for entry in entries}
    return {key: value for key, value in table.items() if value is not None}
