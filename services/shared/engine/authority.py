"""A worker's records as others may see them: those who ask by gRPC or on a page, whom another worker could answer."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from services.shared.engine.view import Announcement, RecordView


class AuthoritativeView:
    """A `RecordView` that owns nothing while the partitions may be another worker's by now.

    What goes on inside the worker keeps to the worker's own view: nothing moves there before the group has met again.
    """

    def __init__(self, view: RecordView, lost: Callable[[], str | None]) -> None:
        self._view, self._lost = view, lost

    def partition_of(self, routing_key: str) -> int:
        return self._view.partition_of(routing_key)

    def owns(self, partition: int) -> bool:
        return self._lost() is None and self._view.owns(partition)

    def owner_of(self, partition: int) -> str | None:
        """None, too, where this worker was the last one known."""
        return None if self._view.owns(partition) and self._lost() else self._view.owner_of(partition)

    def partitions(self) -> Iterable[int]:
        return () if self._lost() else self._view.partitions()

    def get(self, partition: int, key: bytes) -> bytes | None:
        return self._view.get(partition, key)

    def record(self, partition: int, key: bytes) -> Any:  # noqa: ANN401 - as the view has it
        return self._view.record(partition, key)

    def keys(self, partition: int) -> list[bytes]:
        return self._view.keys(partition)

    def watch(self) -> AbstractContextManager[AsyncIterator[Announcement]]:
        return self._view.watch()
