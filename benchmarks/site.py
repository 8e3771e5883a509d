"""Where a benchmark runs: one Kafka of its own, topics, and the processes on it."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.child import Child
from benchmarks.load import Load
from benchmarks.stock import Stock
from benchmarks.worker import Worker
from services.shared.clock import wall_clock
from services.shared.instant import SECOND, Instant
from services.shared.topics import provision

PARTITIONS = 12
#: Microseconds that making an event ready to be sent may take, and until the process that does it is up.
_MAKING, _STARTING = 100, 5 * SECOND
#: Seconds that a batch may be sent late without a word.
_LATE = 0.1


class Times(NamedTuple):
    """When events are published."""

    start: Instant
    end: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A Kafka and what is measured on it."""

    kafka: str
    #: Where the packages lie compiled; None: interpreted, from here.
    code: Path | None
    #: The Python that has Quix Streams and Bytewax; None: they are left out.
    rivals: Path | None
    #: Less of everything, for trying out.
    short: bool
    #: How long to soak.
    minutes: float
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def size(self, full: int, short: int) -> int:
        """One of two sizes."""
        return short if self.short else full

    def topics(self) -> str:
        """All topics anew; returns their prefix."""
        prefix = f"bench{next(self._numbers)}."
        provision(self.kafka, prefix, PARTITIONS)
        return prefix

    def worker(self, prefix: str, **settings: str | int | Path) -> Worker:
        """A promise worker, for a `with` statement."""
        return Worker(self.kafka, prefix, code=self.code, partitions=PARTITIONS, **settings)

    def stock(self, prefix: str, count: int, **soon: int) -> None:
        """Open promises, ready to be recovered. `soon`: as in `Stock`."""
        with Child("benchmarks.stock", Stock(self.kafka, prefix, PARTITIONS, count, wall_clock(), **soon), self.code):
            pass

    def publish(self, prefix: str, stream: str, **arguments: int) -> None:
        """Order events, as fast as may be. Returns when all are in the log."""
        with Child("benchmarks.load", self._load(prefix, stream, arguments, wall_clock()), self.code):
            pass

    @contextmanager
    def publishing(
        self, prefix: str, rate: int, *, start: Instant | None = None, dated_back: bool = False, **paired: int
    ) -> Iterator[Times]:
        """Order events at a steady rate, from `start` on; None: as soon as they are made. At the end all are out."""
        making = 0 if dated_back else paired["count"] * _MAKING
        start = Instant(max(start or 0, wall_clock() + _STARTING + making))
        load = self._load(prefix, "paired", paired, start)
        load = load._replace(rate=rate, beforehand=not dated_back, dated_back=dated_back)
        with Child("benchmarks.load", load, self.code) as child:
            yield Times(start, Instant(start + paired["count"] * SECOND // rate))
        if (late := float(child.output)) > _LATE:
            print(f"This machine is busy: events were published up to {late:.1f} s late.")

    def _load(self, prefix: str, stream: str, arguments: Mapping[str, int], start: Instant) -> Load:
        return Load(self.kafka, f"{prefix}orders.v1", PARTITIONS, stream, arguments, start)
