"""A queue of deadlines for millions of keys, most of them days away.

Far deadlines lie in coarse buckets (a list of keys a minute, 8 bytes an entry); when their minute comes near they move
to a heap that is exact. Nothing is ever removed from the middle: an entry is a reason to *look at* its record when its
time comes, and the record knows whether it is really due.
"""

from collections.abc import Iterator
from heapq import heappop, heappush

from services.shared.instant import SECOND, Instant

_WIDTH = 60 * SECOND


class DeadlineQueue:
    """Keys by the instant at which their record wants to be looked at."""

    def __init__(self) -> None:
        self._near: list[tuple[Instant, bytes]] = []
        self._far: dict[int, list[bytes]] = {}
        #: The starts of the far buckets, smallest first.
        self._minutes: list[int] = []
        #: Buckets before this one have moved to the heap.
        self._horizon = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, at: Instant, key: bytes) -> None:
        """Look at `key` at `at`. An entry made too early only costs a look."""
        self._size += 1
        minute = at // _WIDTH
        if minute < self._horizon:
            heappush(self._near, (at, key))
            return
        bucket = self._far.get(minute)
        if bucket is None:
            self._far[minute] = [key]
            heappush(self._minutes, minute)
        else:
            bucket.append(key)

    def pop_due(self, now: Instant, limit: int) -> Iterator[tuple[Instant, bytes]]:
        """Remove and yield at most `limit` entries that are due, soonest first.

        Keys of a far bucket come with the bucket's start, which may be up to a minute too early: the caller adds those
        again with their exact time (they then go to the heap). Bounded by `limit` as well.
        """
        horizon = now // _WIDTH + 1
        while limit > 0 and self._minutes and self._minutes[0] < horizon:
            minute = self._minutes[0]
            self._horizon = max(self._horizon, minute + 1)
            bucket = self._far[minute]
            while bucket and limit > 0:
                limit -= 1
                self._size -= 1
                yield Instant(minute * _WIDTH), bucket.pop()
            if not bucket:
                del self._far[heappop(self._minutes)]
        if not self._minutes or self._minutes[0] >= horizon:
            self._horizon = max(self._horizon, horizon)
        while limit > 0 and self._near and self._near[0][0] <= now:
            limit -= 1
            self._size -= 1
            yield heappop(self._near)
