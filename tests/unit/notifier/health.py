"""What tests of the watch over the notifier share: a meter that remembers, a clock, and something at work."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from services.shared.instant import Instant
from tests.unit.notifier.builders import at


class HealthTally:
    """A meter that remembers what it was told last."""

    def __init__(self) -> None:
        self.stuck_by: dict[str, int] = {}
        self.overdue = -1.0
        self.held: dict[str, int] = {}
        self.lost_sight_of = -1
        self.audits = 0
        self.canaries: dict[str, tuple[float, float]] = {}
        self.beats: tuple[float, float] | None = None

    def stuck(self, channel: str, deliveries: int) -> None:
        self.stuck_by[channel] = deliveries

    def audited(self, at: float, overdue: float) -> None:
        assert at > 1_700_000_000
        self.audits += 1
        self.overdue = overdue

    def held_back(self, reason: str, items: int) -> None:
        self.held[reason] = items

    def unfollowed(self, items: int) -> None:
        self.lost_sight_of = items

    def canary(self, channel: str, last_success: float, expected: float) -> None:
        self.canaries[channel] = last_success, expected

    def heartbeat(self, last_success: float, expected: float) -> None:
        self.beats = last_success, expected


class Clock:
    """Shows the time that a test sets."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes

    def __call__(self) -> Instant:
        return at(self.minutes)


@asynccontextmanager
async def at_work(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """While something runs; where it fails, so does the test."""
    task = asyncio.create_task(work)
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that should come soon."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
