"""aiokafka's fetching, made to the lane's measure.

At its own pace where a broker answers at once that there is nothing; only what is committed, where publishers use
transactions; whole batches of records as they were decoded, for a third of what single ones cost; and an account of the
offsets under which nothing stands for readers, so that a lane can tell them from a hole.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, cast
from weakref import proxy

from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import TopicPartition

from services.shared.engine.lane import Bridges

#: Milliseconds that Kafka keeps a fetch for which there is nothing. It answers one request after the other, so that
#: whatever else a take-over asks waits as long; Faust would have 1,500.
_LONGEST_FETCH = 100
#: Seconds that a fetch without result lasts at least. Kafka answers one once there is something, or after a while; a
#: broker that answers at once, as the embedded one does, would be asked thousands of times a second.
_PACE = 0.05

#: Records taken at a time, where nobody says how many.
_MOST = 20_000

Fetch = Callable[..., Awaitable[bool]]
#: By topic and partition.
Key = tuple[str, int]


def adapt(fetcher: Any) -> tuple[Mapping[Key, Bridges], Mapping[Key, float]]:  # noqa: ANN401 - aiokafka's own
    """Change a fetcher that has not fetched yet; the bridges it then finds, and as of when it was answered last.

    That is by the monotonic clock, in seconds: a step of the wall clock must not make old news new.
    """
    bridges: defaultdict[Key, Bridges] = defaultdict(dict)
    heard: dict[Key, float] = {}
    fetcher._fetch_max_wait_ms = _LONGEST_FETCH  # noqa: SLF001
    fetcher._isolation_level = READ_COMMITTED  # noqa: SLF001
    fetch = paced(dated(fetcher._proc_fetch_request, heard))  # noqa: SLF001
    fetcher._proc_fetch_request = batched(fetch, fetcher._records, bridges)  # noqa: SLF001
    return bridges, heard


def dated(fetch: Fetch, heard: dict[Key, float]) -> Fetch:
    """A fetch that notes when it was asked: the answer may lie unread for long, and speaks of then, not of now."""

    async def ask(assignment: Any, node_id: int, request: Any) -> bool:  # noqa: ANN401 - aiokafka's own
        asked_at = monotonic()
        places = [(topic, partition) for topic, partitions in request.topics for partition, *_ in partitions]
        states = {place: assignment.state_value(TopicPartition(*place)) for place in places}
        for state in states.values():
            state.timestamp = None  # of the last answer; what stands there in the end is this one's
        found = await fetch(assignment, node_id, request)
        if assignment.active:
            heard.update((place, asked_at) for place, state in states.items() if state.timestamp is not None)
        return found

    return ask


def paced(fetch: Fetch) -> Fetch:
    """A fetch that tells whether it brought anything, and takes its time where it did not."""

    async def wait(*request: object) -> bool:
        started = monotonic()
        found = await fetch(*request)
        if not found:
            with suppress(asyncio.CancelledError):  # aiokafka wants a cancelled fetch to end like any
                await asyncio.sleep(started + _PACE - monotonic())
        return found

    return wait


def batched(fetch: Fetch, fetched: Mapping[Any, Any], bridges: Mapping[Key, Bridges]) -> Fetch:
    """A fetch whose results, in `fetched` by topic and partition, are taken by whole batches."""

    async def bring(*request: object) -> bool:
        found = await fetch(*request)
        for place, result in fetched.items():
            records = getattr(result, "_partition_records", None)
            if type(records) is PartitionRecords:
                records.__class__ = Batches
                cast(Batches, records).begin(bridges[place])
                # Not the result itself: in a cycle it would keep what nobody takes any more, hundreds of MB, for long.
                result.getall = partial(_getall, proxy(result))
        return found

    return bring


class Batches(PartitionRecords):  # type: ignore[misc]  # aiokafka ships no types
    """What a fetch brought of a partition."""

    def begin(self, bridges: Bridges) -> None:
        """Before anything is taken. `bridges` is added to."""
        # Not used here, and it refers back: in a cycle with it, what was fetched would outlast its use by far.
        self._records_iterator = None
        self._bridges = bridges
        self._ready: list[Any] = []
        #: Behind all that is decoded.
        self._end: int = self.next_fetch_offset

    def take(self, most: int) -> Sequence[Any]:
        """The next records, so many at most; none where there are no more. Raises CorruptRecordException."""
        while len(self._ready) < most and self._records.has_next():
            self._decode(self._records.next_batch())
        taken, self._ready = self._ready[:most], self._ready[most:]
        self.next_fetch_offset = self._ready[0].offset if self._ready else self._end
        return taken

    def left(self) -> bool:
        """Whether there is more."""
        return bool(self._ready) or self._records.has_next()

    def _decode(self, batch: Any) -> None:  # noqa: ANN401 - aiokafka's own
        if not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {self._tp}")
        if self._is_void(batch):
            self._bridges[max(batch.base_offset, self._end)] = batch.next_offset
        elif batch.base_offset >= self._end:
            self._ready += batch
        else:
            self._ready += [record for record in batch if record.offset >= self._end]
        self._end = max(self._end, batch.next_offset)

    def _is_void(self, batch: Any) -> bool:  # noqa: ANN401
        """Whether it is a marker, or was aborted."""
        if batch.producer_id is None:
            return False
        self._consume_aborted_up_to(batch.base_offset)
        if not batch.is_control_batch:
            return bool(batch.is_transactional and batch.producer_id in self._aborted_producers)
        if self._contains_abort_marker(batch):
            self._aborted_producers.discard(batch.producer_id)
        return True


def _getall(result: Any, max_records: int | None = None) -> Sequence[Any]:  # noqa: ANN401 - aiokafka's FetchResult
    """In the place of its method."""
    if not result.has_more() or not result.check_assignment(None):
        return []
    records = result._partition_records  # noqa: SLF001
    taken: Sequence[Any] = records.take(max_records or _MOST)
    result._update_position()  # noqa: SLF001
    if not records.left():
        result._partition_records = None  # noqa: SLF001
    return taken
