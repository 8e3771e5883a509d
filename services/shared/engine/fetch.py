"""aiokafka's fetching, made to the lane's measure.

At its own pace where a broker answers at once that there is nothing; only what is committed, where publishers use
transactions; whole batches of records as they were decoded, for a third of what single ones cost; and an account of the
offsets under which nothing stands for readers, so that a lane can tell them from a hole.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice, pairwise
from time import monotonic
from typing import Any, NamedTuple, cast
from weakref import proxy

from aiokafka.consumer import fetcher as aiokafka_fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import ConsumerRecord, TopicPartition

from services.shared.engine.dead_letters import Unread
from services.shared.engine.lane import Bridges
from services.shared.engine.record_batches import DAMAGED, RecordBatches, count_of, opened, salvaged, unread

log = logging.getLogger(__name__)

#: Milliseconds that Kafka keeps a fetch for which there is nothing. It answers one request after the other, so that
#: whatever else a take-over asks waits as long; Faust would have 1,500.
_LONGEST_FETCH = 100
#: Seconds that a fetch without result lasts at least. Kafka answers one once there is something, or after a while; a
#: broker that answers at once, as the embedded one does, would be asked thousands of times a second.
_PACE = 0.05

#: Records taken at a time, where nobody says how many.
_MOST = 20_000
#: Bytes that are opened in one poll, of all partitions together; the batch with which they are reached comes whole.
POLL_BYTES = 16 << 20

Fetch = Callable[..., Awaitable[bool]]
GetAll = Callable[..., Sequence[Any]]
#: By topic and partition.
Key = tuple[str, int]


class Shared:
    """By all that one consumer fetches."""

    def __init__(self) -> None:
        self.bridges: defaultdict[Key, Bridges] = defaultdict(dict)
        #: Where a batch was damaged when it was last fetched.
        self.doubted: dict[Key, int] = {}
        #: Bytes that may still be opened in this poll.
        self.room = POLL_BYTES

    def by_polls(self, poll: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """A poll that has all the room again."""

        async def begin(*args: Any, **settings: Any) -> Any:  # noqa: ANN401
            self.room = POLL_BYTES
            return await poll(*args, **settings)

        return begin


class Fetched(NamedTuple):
    """What a fetcher that was adapted tells beside messages."""

    bridges: Mapping[Key, Bridges]
    #: As of when it was answered last, by the monotonic clock, in seconds: a step of the wall clock must not make old
    #: news new.
    heard: Mapping[Key, float]


def adapt(fetcher: Any) -> Fetched:  # noqa: ANN401 - aiokafka's own
    """Change a fetcher that has not fetched yet: it brings whole batches, of records as they were decoded."""
    heard: dict[Key, float] = {}
    shared = Shared()
    fetcher._fetch_max_wait_ms = _LONGEST_FETCH  # noqa: SLF001
    _adapt(fetcher, paced(dated(fetcher._proc_fetch_request, heard)), shared, _getall)  # noqa: SLF001
    return Fetched(shared.bridges, heard)


def guard(consumer: Any) -> None:  # noqa: ANN401 - aiokafka's own
    """Let a consumer that has started, but not fetched yet, bring only what was committed and can be read.

    The rest is left out, and said. It takes its time where there is nothing.
    """
    _adapt(consumer._fetcher, paced(consumer._fetcher._proc_fetch_request), Shared(), _get_readable)  # noqa: SLF001


def _adapt(fetcher: Any, fetch: Fetch, shared: "Shared", getall: GetAll) -> None:  # noqa: ANN401
    aiokafka_fetcher.MemoryRecords = RecordBatches
    fetcher._isolation_level = READ_COMMITTED  # noqa: SLF001
    fetcher._proc_fetch_request = batched(fetch, fetcher._records, shared, getall)  # noqa: SLF001
    fetcher.fetched_records = shared.by_polls(fetcher.fetched_records)


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


def batched(fetch: Fetch, fetched: Mapping[Any, Any], shared: Shared, getall: GetAll | None = None) -> Fetch:
    """A fetch whose results, in `fetched` by topic and partition, are taken by whole batches."""
    take = getall or _getall

    async def bring(*request: object) -> bool:
        found = await fetch(*request)
        for place, result in fetched.items():
            records = getattr(result, "_partition_records", None)
            if type(records) is PartitionRecords:
                records.__class__ = Batches
                cast(Batches, records).begin(place, shared)
                # Not the result itself: in a cycle it would keep what nobody takes any more, hundreds of MB, for long.
                result.getall = partial(take, proxy(result))
        return found

    return bring


class Batches(PartitionRecords):  # type: ignore[misc]  # aiokafka ships no types
    """What a fetch brought of a partition."""

    #: aiokafka's.
    next_fetch_offset: int

    def begin(self, place: Key, shared: Shared) -> None:
        """Before anything is taken. What is shared is added to."""
        # Not used here, and it refers back: in a cycle with it, what was fetched would outlast its use by far.
        self._records_iterator = None
        self._place = place
        self._shared = shared
        #: What is left of the batch that is being taken; None: nothing.
        self._current: Iterator[Any] | None = None
        #: That batch, and what gives its bytes where it has to be read another way; None: that was done.
        self._batch: Any = None
        self._content: Callable[[], bytes] | None = None
        #: Behind all that was opened.
        self._end: int = self.next_fetch_offset
        self._is_broken_off = False

    def take(self, most: int) -> Sequence[Any]:
        """The next records, so many at most; none where there are no more, or nothing more may be opened in this poll.

        In the place of what nobody can read stands `Unread`. Raises CorruptRecordException where not even that is sure.
        """
        taken: list[Any] = []
        while (missing := most - len(taken)) and (self._current is not None or self._open()):
            if self._current is None:
                continue
            known = taken[-1].offset if taken else self.next_fetch_offset - 1
            try:
                found = list(islice(self._current, missing))
                _check_order(found, known, self._end)
            except Exception as error:  # noqa: BLE001 - whatever aiokafka's decoder raises
                self._current = self._read_otherwise(error, known)
                continue
            taken += found
            if len(found) < missing:
                self._current = None
        if self._current is None:
            self.next_fetch_offset = self._end
        elif taken:
            self.next_fetch_offset = taken[-1].offset + 1
        return taken

    def left(self) -> bool:
        """Whether there is more."""
        return self._current is not None or self._has_next()

    def _has_next(self) -> bool:
        return not self._is_broken_off and bool(self._records.has_next())

    def _open(self) -> bool:
        """Go to the next batch; False: there is none, or not in this poll."""
        if self._shared.room <= 0 or not self._has_next():
            return False
        batch, start = self._records.next_batch(), self._end
        if not batch.validate_crc():
            self._current = self._damaged(batch)
        elif self._is_void(batch):
            self._bridges[max(batch.base_offset, start)] = batch.next_offset
        else:
            self._batch = batch
            size, records, self._content = opened(batch, self._records)
            self._current = self._bridged(records) if batch.compression_type else records
            self._shared.room -= size
            if batch.base_offset < start:
                self._current = (record for record in self._current if record.offset >= start)
        if not self._is_broken_off:
            self._end = max(start, batch.next_offset)
        return True

    def _read_otherwise(self, error: Exception, known: int) -> Iterator[Any]:
        """What aiokafka could not read of the batch, behind the offset `known`."""
        content, self._content = self._content, None
        if content is None:
            raise error
        return self._bridged(salvaged(self._batch, content(), known))

    def _damaged(self, batch: Any) -> Iterator[Any] | None:  # noqa: ANN401
        """A batch whose checksum is wrong. That may come of its transport: it is fetched once more."""
        if self._shared.doubted.get(self._place) != batch.base_offset:
            self._shared.doubted[self._place] = batch.base_offset
            self._is_broken_off = True
            return None
        if count_of(self._records.raw()) != batch.next_offset - batch.base_offset:
            raise CorruptRecordException(f"Invalid CRC - {self._tp}, and nobody can say where what follows begins")
        return self._bridged(iter([unread(batch, DAMAGED, self._records.raw())]))

    def _bridged(self, records: Iterator[Any]) -> Iterator[Any]:
        for record in records:
            if isinstance(record, Unread) and record.first < record.offset:
                self._bridges[record.first] = record.offset
            yield record

    @property
    def _bridges(self) -> Bridges:
        return self._shared.bridges[self._place]

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


def _check_order(records: Sequence[Any], known: int, end: int) -> None:
    """Raises ValueError where offsets do not rise, from behind `known` to before `end`: a batch says them itself."""
    if not records:
        return
    offsets = [record.offset for record in records]
    if not known < offsets[0] <= offsets[-1] < end:
        raise ValueError("offsets outside their batch")
    # Mostly there are no gaps, which is quickly seen; compaction leaves some.
    whole = offsets == list(range(offsets[0], offsets[0] + len(offsets)))
    if not whole and any(after <= before for before, after in pairwise(offsets)):
        raise ValueError("offsets that do not rise")


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


def _get_readable(result: Any, max_records: int | None = None) -> Sequence[Any]:  # noqa: ANN401
    """The same for who asks for aiokafka's messages, and has no place for what cannot be read."""
    place, found = result._topic_partition, []  # noqa: SLF001
    for record in _getall(result, max_records):
        if isinstance(record, Unread):
            log.error("%s/%d: offsets %d to %d are left out: %s", *place, record.first, record.offset, record.detail)
        else:
            found.append(
                ConsumerRecord(
                    *place, record.offset, record.timestamp, 0, record.key, record.value, None, -1, -1,
                    tuple(record.headers),
                )
            )  # fmt: skip
    return found
