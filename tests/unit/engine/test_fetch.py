"""The pace of fetching, and what is fetched."""

import asyncio
import gc
from collections.abc import Sequence
from time import monotonic
from types import SimpleNamespace
from typing import Any, Self
from weakref import ref

import pytest
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c_py
from aiokafka.structs import ConsumerRecord, TopicPartition

from services.shared.engine import fetch as fetch_module
from services.shared.engine.fetch import Shared, batched, dated, paced
from services.shared.engine.record_batches import RecordBatches
from services.shared.engine.stage import JSON_HEADER

PACE = 0.5


@pytest.fixture(autouse=True)
def _slow_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow enough to be told from the hiccups of a busy machine."""
    monkeypatch.setattr(fetch_module, "_PACE", PACE)


async def took(*, found: bool, after: float = 0.0) -> float:
    """Seconds that a paced fetch lasts whose answer comes after so many."""

    async def fetch(_assignment: str, _node: int) -> bool:
        await asyncio.sleep(after)
        return found

    started = monotonic()
    assert await paced(fetch)("assignment", 1) is found
    return monotonic() - started


async def test_a_broker_that_answers_empty_at_once_is_not_asked_at_once_again() -> None:
    """Else a worker that has nothing to do would keep a core busy."""
    assert await took(found=False) > PACE - 0.01


async def test_what_was_found_is_handed_over_at_once() -> None:
    """Pace is for brokers that have nothing."""
    assert await took(found=True) < PACE


async def test_a_broker_that_waits_itself_is_asked_again_at_once() -> None:
    """As Kafka does."""
    assert await took(found=False, after=PACE) < 2 * PACE - 0.1


@pytest.mark.parametrize("answered", [True, False])
async def test_an_answer_speaks_of_when_it_was_asked_for(*, answered: bool) -> None:
    """Not of when it was taken up, which may be much later; and where there is none, nothing was heard."""
    state = SimpleNamespace(timestamp=6)
    heard: dict[tuple[str, int], float] = {}

    async def fetch(*_request: object) -> bool:
        await asyncio.sleep(0.05)
        if answered:
            state.timestamp = 7
        return answered

    assignment = SimpleNamespace(active=True, state_value=lambda _place: state)
    started = monotonic()
    await dated(fetch, heard)(assignment, 1, SimpleNamespace(topics=[("orders", [(3, 17, 1_000)])]))
    assert list(heard) == ([("orders", 3)] if answered else [])
    assert all(started <= at <= monotonic() - 0.05 for at in heard.values())


async def test_a_fetch_cancelled_while_it_waits_ends_like_any() -> None:
    """The consumer cancels fetches that no longer matter, and expects no more of them than an end."""

    async def fetch() -> bool:
        return False

    fetching = asyncio.ensure_future(paced(fetch)())
    await asyncio.sleep(0)
    fetching.cancel()
    assert await fetching is False


TP = TopicPartition("t", 0)
ABORT, COMMIT = b"\0\0\0\0", b"\0\0\0\1"


class State:
    """Of a partition, as far as a result asks."""

    paused = False

    def __init__(self, position: int) -> None:
        self.position = position

    def consumed_to(self, position: int) -> None:
        self.position = position


class Assignment:
    """The one that a fetch was made for."""

    active = True

    def __init__(self, position: int) -> None:
        self.state = State(position)

    def state_value(self, _place: TopicPartition) -> State:
        return self.state


def a_batch(base: int, *keys: bytes, transactional: bool = False, control: bool = False) -> bytes:
    """As it stands in a log, of producer 7."""
    builder = DefaultRecordBatchBuilder(2, 0, int(transactional or control), 7, 0, 0, 10_000)
    for number, key in enumerate(keys):
        builder.append(number, timestamp=7, key=key, value=b"v", headers=[] if control else [JSON_HEADER])
    batch = bytearray(builder.build())
    batch[0:8] = base.to_bytes(8, "big")
    if control:
        batch[22] |= 0x20
        batch[17:21] = calc_crc32c_py(bytes(batch[21:])).to_bytes(4, "big")
    return bytes(batch)


class Fetched:
    """One fetch of a partition, from an offset on, and what is taken of it."""

    def __init__(self, log: bytes, start: int = 0, aborted: Sequence[tuple[int, int]] = ()) -> None:
        records = PartitionRecords(TP, RecordBatches(log), aborted, start, None, None, True, 1)
        self.assignment = Assignment(start)
        self.result: Any = FetchResult(TP, assignment=self.assignment, partition_records=records, backoff=0)
        self.shared = Shared()
        self.bridges = self.shared.bridges

    async def bring(self) -> Self:
        """Let it be adapted, as a fetch does it; a second time changes nothing."""

        async def fetch(*request: object) -> bool:
            assert request == ("assignment", 1)
            return True

        for _ in range(2):
            assert await batched(fetch, {TP: self.result}, self.shared)("assignment", 1) is True
        return self

    def take(self, most: int | None = None) -> list[tuple[int, bytes]]:
        """Offsets and keys."""
        return [(record.offset, record.key) for record in self.result.getall(most)]

    @property
    def position(self) -> int:
        """Where the consumer stands."""
        return self.assignment.state.position


async def test_records_are_handed_over_as_they_were_decoded() -> None:
    """With all that a message has."""
    fetched = await Fetched(a_batch(0, b"a", b"b") + a_batch(2, b"c")).bring()
    first, *_, third = fetched.result.getall()
    assert not isinstance(first, ConsumerRecord)
    assert (first.offset, first.timestamp, first.key, first.value) == (0, 7, b"a", b"v")
    assert (third.offset, third.key, list(third.headers)) == (2, b"c", [JSON_HEADER])
    assert (fetched.position, fetched.result.has_more(), fetched.result.getall()) == (3, False, [])


@pytest.mark.parametrize("taken", [True, False])
async def test_what_was_fetched_is_let_go_at_once(*, taken: bool) -> None:
    """Also what nobody takes any more. It may be 50 MB, and a search for cycles may be long in coming."""
    fetched = await Fetched(a_batch(0, b"a", b"b")).bring()
    result, records = ref(fetched.result), ref(fetched.result._partition_records)  # noqa: SLF001
    gc.disable()
    try:
        if taken:
            fetched.take()
            assert records() is None
        fetched.result = None
        assert (result(), records()) == (None, None)
    finally:
        gc.enable()


async def test_so_many_are_taken_at_a_time() -> None:
    """The consumer's position follows what was taken."""
    fetched = await Fetched(a_batch(0, b"a", b"b", b"c") + a_batch(3, b"d", b"e")).bring()
    assert [(fetched.take(2), fetched.position) for _ in range(4)] == [
        ([(0, b"a"), (1, b"b")], 2),
        ([(2, b"c"), (3, b"d")], 4),
        ([(4, b"e")], 5),
        ([], 5),
    ]


async def test_what_was_read_before_is_left_out() -> None:
    """Kafka sends whole batches, also where the position is in the middle of one."""
    fetched = await Fetched(a_batch(0, b"a", b"b", b"c"), start=2).bring()
    assert (fetched.take(), fetched.position) == ([(2, b"c")], 3)


async def test_what_a_sought_position_overtook_is_not_taken() -> None:
    """Nor is the position moved."""
    fetched = await Fetched(a_batch(0, b"a", b"b")).bring()
    fetched.assignment.state.position = 7
    assert (fetched.take(), fetched.position) == ([], 7)


async def test_markers_and_what_was_aborted_are_bridged() -> None:
    """Only what was committed is read; the rest is accounted for, so that it is no hole."""
    log = (
        a_batch(0, b"a")
        + a_batch(1, b"x", b"y", transactional=True)
        + a_batch(3, ABORT, control=True)
        + a_batch(4, b"b", transactional=True)
        + a_batch(5, COMMIT, control=True)
    )
    fetched = await Fetched(log, aborted=[(7, 1)]).bring()
    assert fetched.take() == [(0, b"a"), (4, b"b")]
    assert fetched.bridges == {TP: {1: 3, 3: 4, 5: 6}}
    assert fetched.position == 6


async def test_a_fetch_of_nothing_but_a_marker_moves_on() -> None:
    """Else it would be fetched for ever."""
    fetched = await Fetched(a_batch(5, COMMIT, control=True), start=5).bring()
    assert (fetched.take(), fetched.position, fetched.bridges) == ([], 6, {TP: {5: 6}})


def damaged(batch: bytes, place: int = -5) -> bytes:
    """The batch with a bit of it turned."""
    return bytes([*batch[:place], batch[place] ^ 1, *batch[place:][1:]])


async def test_a_damaged_batch_is_fetched_once_more_and_then_set_aside() -> None:
    """It may have come of the transport. What stands before it is handed over, and reading goes on behind it."""
    log = a_batch(0, b"a") + damaged(a_batch(1, b"bcd", b"e")) + a_batch(3, b"f")
    fetched = await Fetched(log).bring()
    assert (fetched.take(), fetched.position, fetched.result.has_more()) == ([(0, b"a")], 1, False)
    again = Fetched(log, start=1)
    again.shared = fetched.shared
    records = (await again.bring()).result.getall()
    assert [(record.offset, type(record).__name__) for record in records] == [(2, "Unread"), (3, "DefaultRecord")]
    assert (records[0].first, records[0].raw) == (1, damaged(a_batch(1, b"bcd", b"e")))
    assert (fetched.shared.bridges, again.position) == ({TP: {1: 2}}, 4)


async def test_a_damaged_batch_that_does_not_say_where_it_ends_is_refused() -> None:
    """What it says of its length cannot be believed: reading on could pass over anything."""
    log = damaged(a_batch(0, b"abc"), place=26)
    first, second = Fetched(log), Fetched(log)
    second.shared = first.shared
    assert (await first.bring()).take() == []
    with pytest.raises(CorruptRecordException):
        (await second.bring()).take()


async def test_no_more_is_opened_in_one_poll_than_there_is_room_for() -> None:
    """Of all partitions together; the next poll goes on."""
    batches = [a_batch(number, bytes(3 << 20)) for number in range(9)]
    fetched = await Fetched(b"".join(batches)).bring()

    async def poll() -> list[int]:
        return [offset for offset, _ in fetched.take()]

    begin = fetched.shared.by_polls(poll)
    assert [await begin(), await poll(), await begin(), await begin()] == [[0, 1, 2, 3, 4, 5], [], [6, 7, 8], []]


async def test_what_are_no_records_is_left_alone() -> None:
    """A fetch also brings errors, and results that were read already are kept."""
    error, read = FetchError(error=OSError(), backoff=0), Fetched(a_batch(0, b"a")).result
    read._partition_records = None  # noqa: SLF001 - as aiokafka has it then
    before = dict(vars(error)), dict(vars(read))

    async def fetch() -> bool:
        return False

    assert await batched(fetch, {TP: error, TopicPartition("t", 1): read}, Shared())() is False
    assert (vars(error), vars(read)) == before
