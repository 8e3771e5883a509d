"""The records of one partition: packed bytes, as the changelog holds them, and the queue of their deadlines."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Generic

from services.shared.engine.deadlines import DeadlineQueue
from services.shared.engine.machine import F, Machine, R


class PartitionStore(Generic[R, F]):
    """Filled by recovery (`restore`, then `index`), then changed only by the keeper."""

    def __init__(self, machine: Machine[R, F]) -> None:
        self._machine = machine
        self.records: dict[bytes, bytes] = {}
        self.deadlines = DeadlineQueue()
        #: How many records are counted under (kind, state).
        self.counts: Counter[tuple[str, str]] = Counter()
        #: Where this store stands in the changelog: the offset after the last record applied or acknowledged.
        self.next_offset = 0
        #: Whether deadlines and counts speak of all records.
        self.indexed = True

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply changelog entries in order; None deletes."""
        records = self.records
        for key, value in entries:
            if value is None:
                records.pop(key, None)
            else:
                records[key] = value
        self.indexed = False

    def index(self, slice_size: int = 10_000) -> Iterator[int]:
        """Rebuild deadlines and counts from the records; yields after every slice how many are done.

        Takes effect at the end: where it is broken off, all is as before.
        """
        deadlines, counts = DeadlineQueue(), Counter[tuple[str, str]]()
        unpack, next_deadline, labels = self._machine.unpack, self._machine.next_deadline, self._machine.labels
        for done, (key, value) in enumerate(self.records.items(), start=1):
            record = unpack(value)
            counts[labels(record)] += 1
            deadline = next_deadline(record)
            if deadline is not None:
                deadlines.add(deadline, key)
            if done % slice_size == 0:
                yield done
        self.deadlines, self.counts, self.indexed = deadlines, counts, True

    def get(self, key: bytes) -> R | None:
        """The record, unpacked."""
        value = self.records.get(key)
        return None if value is None else self._machine.unpack(value)

    def follow(self, base_offset: int, count: int) -> None:
        """Note own writes as acknowledged. Raises ForeignWriter where something else stands before them in the log."""
        if base_offset != self.next_offset:
            raise ForeignWriter(self._machine.records, self.next_offset, base_offset)
        self.next_offset += count


class ForeignWriter(Exception):
    """Another process wrote to a partition this one owns: memory no longer follows the log; this process must end."""

    def __init__(self, topic: str, expected: int, found: int) -> None:
        super().__init__(f"{topic}: own write stands at offset {found}, expected {expected}; another worker wrote here")
