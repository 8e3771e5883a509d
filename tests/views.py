"""A worker's records in memory, as gRPC and the sender see them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from services.shared.engine.view import Announcement, PartitionsMoved, SlowReader
from services.shared.instant import Instant
from services.shared.partitioner import partition_of

PARTITIONS = 12


class MemoryView:
    """A `RecordView` that owns every partition until told otherwise."""

    def __init__(self, unpack: Callable[[bytes], object] = bytes) -> None:
        self.unpack = unpack
        self.owners: dict[int, str | None] = {}
        self.records: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self.watchers: list[asyncio.Queue[Announcement | SlowReader]] = []

    def put(self, routing: str, key: str, value: bytes) -> None:
        self.records[self.partition_of(routing)][key.encode()] = value

    def announce(self, routing: str, key: str, value: bytes | None, transition: str) -> None:
        change = Announcement(self.partition_of(routing), key.encode(), value, transition, Instant(1_000_000))
        for watcher in self.watchers:
            watcher.put_nowait(change)

    def lose_patience(self) -> None:
        """Treat every watcher as too slow."""
        self._interrupt(SlowReader())

    def move(self) -> None:
        """Give partitions away."""
        self._interrupt(PartitionsMoved())

    def _interrupt(self, reason: SlowReader) -> None:
        for watcher in self.watchers:
            watcher.put_nowait(reason)

    def partition_of(self, routing_key: str) -> int:
        return partition_of(routing_key, PARTITIONS)

    def owns(self, partition: int) -> bool:
        return partition not in self.owners

    def owner_of(self, partition: int) -> str | None:
        return self.owners[partition]

    def partitions(self) -> list[int]:
        return [partition for partition in range(PARTITIONS) if self.owns(partition)]

    def get(self, partition: int, key: bytes) -> bytes | None:
        return self.records[partition].get(key)

    def record(self, partition: int, key: bytes) -> object | None:
        packed = self.get(partition, key)
        return None if packed is None else self.unpack(packed)

    def keys(self, partition: int) -> list[bytes]:
        return list(self.records[partition])

    @contextmanager
    def watch(self) -> Iterator[AsyncIterator[Announcement]]:
        queue = asyncio.Queue[Announcement | SlowReader]()
        self.watchers.append(queue)
        try:
            yield self._changes(queue)
        finally:
            self.watchers.remove(queue)

    async def _changes(self, queue: "asyncio.Queue[Announcement | SlowReader]") -> AsyncIterator[Announcement]:
        while not isinstance(news := await queue.get(), SlowReader):
            yield news
        raise news
