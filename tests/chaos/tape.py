"""What stands in Kafka, read back with kafka-python: a second, independent implementation of the protocol."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from threading import Lock
from types import TracebackType
from typing import Any, NamedTuple, Self

from kafka import KafkaConsumer, TopicPartition


class Entry(NamedTuple):
    """One message."""

    topic: str
    partition: int
    offset: int
    #: When the broker appended it, in microseconds.
    at: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    def header(self, name: str) -> str:
        """The text of a header; empty where there is none."""
        return next((value.decode() for given, value in self.headers if given == name), "")


#: Partition and offset of a message → how many before it are missing.
Holes = Mapping[tuple[int, int], int]


class Tape:
    """Everything that was ever seen in some topics: what is deleted or compacted later stays on it."""

    def __init__(self, kafka: str, topics: Iterable[str]) -> None:
        self._consumer = KafkaConsumer(
            bootstrap_servers=kafka,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=50,
            max_poll_records=20_000,
            max_partition_fetch_bytes=4 << 20,
        )
        self._lock = Lock()
        self._partitions = [
            TopicPartition(topic, number)
            for topic in topics
            for number in sorted(self._consumer.partitions_for_topic(topic) or ())
        ]
        self._consumer.assign(self._partitions)
        self._consumer.seek_to_beginning(*self._partitions)
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        self._next: dict[TopicPartition, int] = {}
        self._holes: dict[str, dict[tuple[int, int], int]] = defaultdict(dict)

    def catch_up(self) -> None:
        """Read to the present ends."""
        with self._lock:
            ends: Mapping[TopicPartition, int] = self._consumer.end_offsets(self._partitions)
            while any(self._consumer.position(place) < ends[place] for place in self._partitions):
                for place, messages in self._consumer.poll(timeout_ms=500).items():
                    for message in messages:
                        self._keep(place, message)

    def _keep(self, place: TopicPartition, m: Any) -> None:
        if missed := m.offset - self._next.get(place, 0):
            self._holes[place.topic][place.partition, m.offset] = missed
        self._next[place] = m.offset + 1
        self._entries[place.topic].append(
            Entry(m.topic, m.partition, m.offset, m.timestamp * 1_000, m.key, m.value, tuple(m.headers))
        )

    def ends(self, topic: str) -> Mapping[TopicPartition, int]:
        """Where each partition of a topic now ends."""
        with self._lock:
            ends: Mapping[TopicPartition, int] = self._consumer.end_offsets(
                [place for place in self._partitions if place.topic == topic]
            )
            return ends

    def holes(self, topic: str) -> Holes:
        """What was compacted before it could be seen, or never was."""
        return self._holes[topic]

    def seen(self, place: TopicPartition) -> int:
        """The first offset of a partition that was not seen yet."""
        return self._next.get(place, 0)

    def of(self, topic: str) -> list[Entry]:
        """What was seen of a topic, in the order of each partition."""
        return self._entries[topic]

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self._consumer.close()

    def __enter__(self) -> Self:
        """Use it for the length of a `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        self.close()
