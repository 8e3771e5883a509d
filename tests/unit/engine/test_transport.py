"""The pace of fetching, and what is fetched."""

import asyncio
from time import monotonic
from typing import Any

import pytest
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition

from services.shared.engine import transport
from services.shared.engine.stage import JSON_HEADER
from services.shared.engine.transport import paced, undressed

PACE = 0.5


@pytest.fixture(autouse=True)
def _slow_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow enough to be told from the hiccups of a busy machine."""
    monkeypatch.setattr(transport, "_PACE", PACE)


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


async def test_a_fetch_cancelled_while_it_waits_ends_like_any() -> None:
    """The consumer cancels fetches that no longer matter, and expects no more of them than an end."""

    async def fetch() -> bool:
        return False

    fetching = asyncio.ensure_future(paced(fetch)())
    await asyncio.sleep(0)
    fetching.cancel()
    assert await fetching is False


TP = TopicPartition("t", 0)


def a_result(*keys: bytes) -> Any:
    """What aiokafka makes of a fetched batch."""
    batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 10_000)
    for number, key in enumerate(keys):
        batch.append(number, timestamp=7, key=key, value=b"v", headers=[JSON_HEADER])
    records = PartitionRecords(TP, MemoryRecords(bytes(batch.build())), [], 0, None, None, True, 0)
    return FetchResult(TP, assignment=None, partition_records=records, backoff=0)


@pytest.mark.parametrize("found", [True, False])
async def test_records_are_handed_over_as_they_were_decoded(found: bool) -> None:
    """With all that a message has; the fetch is asked as ever, and its answer passed on."""
    fetched: dict[TopicPartition, Any] = {}

    async def fetch(*request: object) -> bool:
        assert request == ("assignment", 1)
        fetched[TP] = a_result(b"a", b"b")
        return found

    assert await undressed(fetch, fetched)("assignment", 1) is found
    first, second = fetched[TP]._partition_records  # noqa: SLF001
    assert not isinstance(first, ConsumerRecord)
    assert (first.offset, first.timestamp, first.key, first.value) == (0, 7, b"a", b"v")
    assert (second.offset, second.key, list(second.headers)) == (1, b"b", [JSON_HEADER])


async def test_what_are_no_records_is_left_alone() -> None:
    """A fetch also brings errors, and results that were read already are kept."""
    error, read = FetchError(error=OSError(), backoff=0), a_result(b"a")
    read._partition_records = None  # noqa: SLF001 - as aiokafka has it then
    before = dict(vars(error)), dict(vars(read))

    async def fetch() -> bool:
        return True

    assert await undressed(fetch, {TP: error, TopicPartition("t", 1): read})() is True
    assert (vars(error), vars(read)) == before
