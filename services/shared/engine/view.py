"""How readers inside the worker (gRPC, the notifier's sender) see the records the engine keeps."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from services.shared.instant import Instant


class Announcement(NamedTuple):
    """One acknowledged write."""

    partition: int
    key: bytes
    #: None: forgotten.
    value: bytes | None
    transition: str
    announced_at: Instant


class RecordView(Protocol):
    """Read access to the packed records of the partitions this worker owns."""

    def partition_of(self, routing_key: str) -> int:
        """The partition (murmur2) of a customer id, or of the subject id where there is no customer."""

    def owns(self, partition: int) -> bool:
        """Whether this worker owns the partition and has recovered it; only then is absence knowledge."""

    def owner_of(self, partition: int) -> str | None:
        """Address of the worker that owns the partition, "host:port" of its gRPC server; None while unknown."""

    def partitions(self) -> Iterable[int]:
        """The partitions this worker owns and has recovered."""

    def get(self, partition: int, key: bytes) -> bytes | None:
        """The packed record, or None."""

    def record(self, partition: int, key: bytes) -> Any:  # noqa: ANN401 - of the type that the worker's machine keeps
        """The record itself, or None: it need not be packed for who only looks at it."""

    def keys(self, partition: int) -> list[bytes]:
        """All keys of a partition, in no order: a snapshot."""

    def watch(self) -> AbstractContextManager[AsyncIterator[Announcement]]:
        """Announcements from now on. A reader that falls more than 10,000 behind gets `SlowReader`.

        When partitions are given away it gets `PartitionsMoved`, after what was announced before.
        """


class SlowReader(Exception):
    """The watcher did not hear everything; it must start again."""


class PartitionsMoved(SlowReader):
    """Partitions were given away. Those that come back may have changed elsewhere, unheard."""

    def __init__(self) -> None:
        super().__init__("The partitions of this worker moved; watch again, and read what was missed by Get or List.")
