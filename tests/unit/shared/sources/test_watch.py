"""What a worker writes of a stream that it answers for."""

import asyncio
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from services.promises.codec import INPUTS
from services.promises.settings import PromiseSettings
from services.shared.engine.worker import Worker
from services.shared.instant import SECOND, Instant
from services.shared.metrics import Registry, SourceMeter
from services.shared.sources.codec import unpack
from services.shared.sources.model import EVERY, Heard, Record, State, Stream
from services.shared.sources.watch import Sources

SHOP = Stream("shop", EVERY, EVERY)
SILENT_AFTER = 60


def at(seconds: float) -> Instant:
    """So many seconds after some instant."""
    return Instant(round((1_000_000 + seconds) * SECOND))


class Runtime(NamedTuple):
    """Of each partition: up to when all that was in Kafka is read, in seconds."""

    read: dict[int, float]

    def read_until(self, partition: int) -> Instant:
        """As the engine's runtime."""
        return at(self.read[partition])


class Reader(NamedTuple):
    """A worker that owns all partitions, and reads them."""

    runtime: Runtime

    def not_ready(self) -> None:
        """As the engine's worker: it is caught up."""

    def partitions(self) -> list[int]:
        """As the engine's worker."""
        return list(self.runtime.read)


async def written(read: dict[int, float], directory: Path) -> list[int]:
    """The states that are written, a long while after the shop was last heard, at 0 s."""
    declared = directory / "sources.yaml"
    declared.write_text(f"sources: {{shop: {{silent_after: {SILENT_AFTER}s}}}}\n")
    meter = SourceMeter(Registry(), "promises")
    sources = Sources("promises", PromiseSettings(sources=declared), INPUTS, lambda _record: (frozenset(), ""), meter)
    sources.book.hear(Stream("shop", "orders", ""), "ready", Heard(at(0), at(0)))
    worker = cast(Worker, Reader(Runtime(read)))
    out = [
        out
        for seconds in (300, 310)
        for out in sources._to_write([SHOP], worker, at(seconds))  # noqa: SLF001 - all else speaks to Kafka
    ]
    records = [unpack(each.value) for each in out if each.value]
    return [record.state for record in records if isinstance(record, Record)]


@pytest.mark.parametrize(
    ("read", "states"),
    [
        ({0: 305.0, 1: 309.0}, [State.SILENT]),
        ({0: SILENT_AFTER + 1, 1: SILENT_AFTER + 1}, [State.SILENT]),
        ({0: 305.0, 1: SILENT_AFTER - 1}, []),
        ({0: 305.0, 1: 0.0}, []),
    ],
)
def test_nobody_is_called_silent_whose_events_may_lie_unread(
    read: dict[int, float], states: list[int], tmp_path: Path
) -> None:
    """While a partition is not read up to when the silence began, what would end it may be there."""
    assert asyncio.run(written(read, tmp_path)) == states
