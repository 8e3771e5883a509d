"""The pace of fetching."""

import asyncio
from time import monotonic

import pytest

from services.shared.engine import transport
from services.shared.engine.transport import paced

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
