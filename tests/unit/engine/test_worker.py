"""The worker's end: in order when it is told to stop, at once when it failed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from services.shared.engine import worker as worker_module
from services.shared.engine.app import WorkerSettings
from services.shared.engine.worker import Worker
from tests.unit.engine.fakes import FakeProducer, Tally
from tests.unit.engine.toy import DEAD_LETTERS, MACHINE

SETTINGS = WorkerSettings(name="toy", kafka="127.0.0.1:1", partitions=2, dead_letters=DEAD_LETTERS)


class FakeConsumer:
    """Takes input until it is halted."""

    def __init__(self, diary: list[str]) -> None:
        self._diary = diary

    async def halt(self) -> None:
        self._diary.append("halted")


class FakeApp:
    """In the place of Faust: it notes what becomes of it."""

    crashed = rebalancing = False

    def __init__(self, diary: list[str]) -> None:
        self.consumer, self.producer, self._diary = FakeConsumer(diary), self, diary
        self._producer = FakeProducer()

    async def start(self) -> None:
        """Like Faust's, for as long as it is not stopped."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self._diary.append("stopped")

    def _ensure_producer(self) -> FakeProducer:
        return self._producer


class Rehearsal:
    """A worker without Kafka, and a diary of its end."""

    def __init__(self, stopping: Callable[["Rehearsal"], Awaitable[None]] | None = None) -> None:
        self.diary: list[str] = []
        self.worker = Worker(SETTINGS, MACHINE, Tally(), stopping=None if stopping is None else lambda: stopping(self))
        app: Any = self.worker._app  # noqa: SLF001 - made for a thread that never starts
        app.consumer._thread.thread_loop.close()  # noqa: SLF001
        self.worker._app = FakeApp(self.diary)  # type: ignore[assignment]  # noqa: SLF001 - Faust is another test's

    async def until(self, *, error: BaseException | None = None) -> Sequence[str]:
        """Run it until it is told to stop, or fails; what then happened, in order."""
        stop = asyncio.Event()
        serving = asyncio.create_task(self.worker.serve_until(stop))
        await asyncio.sleep(0.01)
        if error is None:
            stop.set()
        else:
            self.worker.fail(error)
        await serving
        return self.diary


async def test_work_under_way_ends_before_the_worker_stops() -> None:
    """When it is told to stop: no more input, then the hook, then Faust."""

    async def stopping(rehearsal: Rehearsal) -> None:
        rehearsal.diary.append("hook begins")
        await asyncio.sleep(0.01)
        rehearsal.diary.append("hook ends")

    assert await Rehearsal(stopping).until() == ["halted", "hook begins", "hook ends", "stopped"]


async def test_what_is_written_while_stopping_is_acknowledged() -> None:
    """The outbox works until the hook has ended."""
    done: list[str] = []

    async def stopping(rehearsal: Rehearsal) -> None:
        outbox = rehearsal.worker._outbox  # noqa: SLF001
        outbox.submit([], lambda _acks: done.append("acknowledged"))
        await outbox.drained()

    await Rehearsal(stopping).until()
    assert done == ["acknowledged"]


async def test_a_failed_worker_takes_no_leave() -> None:
    """What is in memory is worth nothing then."""
    called: list[Rehearsal] = []

    async def stopping(rehearsal: Rehearsal) -> None:
        called.append(rehearsal)

    rehearsal = Rehearsal(stopping)
    with pytest.raises(ArithmeticError):
        await rehearsal.until(error=ArithmeticError())
    assert (called, rehearsal.diary) == ([], [])


@pytest.mark.parametrize("trouble", ["hangs", "raises"])
async def test_a_hook_in_trouble_does_not_keep_the_worker(monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    """It is given a while, then the worker leaves its group as ever."""
    monkeypatch.setattr(worker_module, "_LEAVE_TIMEOUT", 0.05)

    async def stopping(rehearsal: Rehearsal) -> None:
        if trouble == "raises":
            raise ArithmeticError
        try:
            await asyncio.Event().wait()
        finally:
            rehearsal.diary.append("broken off")

    assert (await Rehearsal(stopping).until())[-1] == "stopped"


async def test_a_failure_while_stopping_ends_the_leave() -> None:
    """The hook could wait for ever for what can no longer be written."""

    async def stopping(rehearsal: Rehearsal) -> None:
        rehearsal.worker.fail(ArithmeticError())
        await asyncio.Event().wait()

    rehearsal = Rehearsal(stopping)
    async with asyncio.timeout(5):
        with pytest.raises(ArithmeticError):
            await rehearsal.until()
    assert rehearsal.diary == ["halted"]


async def test_a_stop_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust's overhears that it is cancelled; the process must end all the same, and says why."""
    monkeypatch.setattr(worker_module, "_STOP_TIMEOUT", 0.05)
    rehearsal, release = Rehearsal(), asyncio.Event()

    async def stop() -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    monkeypatch.setattr(rehearsal.worker._app, "stop", stop)  # noqa: SLF001
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError, match="stopping took longer"):
            await rehearsal.until()
    release.set()


async def test_nothing_of_the_worker_runs_on_after_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sweep has really ended before Faust is stopped, not only been told to."""
    rehearsal = Rehearsal()

    async def sweep() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            rehearsal.diary.append("sweep ended")

    monkeypatch.setattr(rehearsal.worker.runtime, "sweep", sweep)
    assert await rehearsal.until() == ["sweep ended", "stopped"]
