"""What an event costs: the promise worker beside the same work in other Python stream processors.

Events are in the log before a worker starts, so that it never waits for them.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import Row
from benchmarks.rivals.judge import Task
from benchmarks.rivals.run import Stopped, run
from benchmarks.site import PARTITIONS, Site
from benchmarks.worker import Cost, Worker, reading

#: Promises between a promise and its fulfilment, so that they meet in no batch.
_APART = 20_000
#: How often a rival may try: Faust now and then stops for good after its first fetch.
_ATTEMPTS = 3


class Rival(NamedTuple):
    """One line of the table."""

    name: str
    module: str
    #: Enough events for it: their number does not change what one costs.
    events: int
    #: What the Python that has the rivals must have installed; empty: it runs in this one.
    package: str
    compiled: bool = True


FAUST = Rival("idiomatic Faust, interpreted", "idiomatic_faust", 40_000, "", compiled=False)
RIVALS = (
    Rival("Quix Streams", "quix_streams", 200_000, "quixstreams"),
    Rival("Quix Streams, interpreted", "quix_streams", 200_000, "quixstreams", compiled=False),
    Rival("Bytewax", "bytewax_flow", 200_000, "bytewax"),
    Rival("Bytewax, interpreted", "bytewax_flow", 200_000, "bytewax", compiled=False),
)


def measure(site: Site) -> Iterator[Row]:
    """All of them. Faust before and after the others, and the mean of it: shared machines change their pace."""
    before = _rival(site, FAUST)
    ours = _worker(site, site.code, site.size(1_000_000, 200_000))
    yield Row("CPU of an event, promise worker", ours.cpu_us_per_event, "µs", 10)
    yield Row("events a second, promise worker", ours.events_per_second, "events/s")
    if site.code:
        interpreted = _worker(site, None, site.size(200_000, 100_000))
        yield Row("CPU of an event, promise worker, interpreted", interpreted.cpu_us_per_event, "µs")
    for rival in RIVALS:
        if _is_there(site, rival):
            yield from _beside(rival, _rival(site, rival), ours, None)
    yield from _beside(FAUST, [*before, *_rival(site, FAUST)], ours, 20)


def _beside(rival: Rival, costs: Sequence[Cost], ours: Cost, target: float | None) -> Iterator[Row]:
    if costs:
        theirs = Cost.mean(costs).cpu_us_per_event
        yield Row(f"CPU of an event, {rival.name}", theirs, "µs")
        yield Row(
            f"{rival.name}, of the promise worker", theirs / ours.cpu_us_per_event, "times", target, at_least=True
        )


def _worker(site: Site, code: Path | None, count: int) -> Cost:
    prefix = site.topics()
    site.publish(prefix, "paired", count=count, apart=_APART)
    with Worker(site.kafka, prefix, code=code, partitions=PARTITIONS) as worker:
        return reading([worker], count)


def _is_there(site: Site, rival: Rival) -> bool:
    find = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({rival.package!r}) is None)"
    if site.rivals and subprocess.run([site.rivals, "-c", find], check=False).returncode == 0:
        return True
    print(f"  {rival.name} is left out: there is no Python with {rival.package}.")
    return False


def _rival(site: Site, rival: Rival) -> Sequence[Cost]:
    """What it measured; nothing where it never got to the end."""
    python = site.rivals if rival.package else Path(sys.executable)
    for _ in range(_ATTEMPTS):
        prefix = site.topics()
        count = site.size(rival.events, min(rival.events, 40_000))
        site.publish(prefix, "paired", count=count, apart=min(_APART, count // 4))
        task = Task(site.kafka, prefix, PARTITIONS, count)
        try:
            return [run(rival.module, str(python), site.code if rival.compiled else None, task)]
        except Stopped as error:
            print(f"  {error}")
    return []
