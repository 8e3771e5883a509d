"""What open promises take: the resident memory of the worker, recovered from the changelog and come in as events."""

import time
from collections.abc import Iterator

from benchmarks.report import Row
from benchmarks.site import Site
from benchmarks.worker import MB, reading


def measure(site: Site) -> Iterator[Row]:
    """An empty worker, then full ones."""
    empty = _recovered(site, 0)[0]
    yield Row("memory of an empty worker", empty, "MB")
    million = site.size(1_000_000, 100_000)
    for count, target in ((million, 500), (5 * million, 2_200)):
        held, peak = _recovered(site, count)
        name = f"memory with {count:,} open promises, recovered"
        yield Row(name, held, "MB", target)
        yield Row("the most it held on the way", peak, "MB")
        yield Row("of a promise", (held - empty) * MB / count, "bytes")
    held = _read(site, million)
    yield Row(f"memory with {million:,} open promises, come in as events", held, "MB", 500)
    yield Row("of a promise", (held - empty) * MB / million, "bytes")


def _recovered(site: Site, count: int) -> tuple[float, float]:
    prefix = site.topics()
    site.stock(prefix, count)
    with site.worker(prefix) as worker:
        worker.wait_ready()
        time.sleep(2.0)
        return worker.memory(), worker.peak_memory()


def _read(site: Site, count: int) -> float:
    prefix = site.topics()
    site.publish(prefix, "promises", count=count)
    with site.worker(prefix) as worker:
        reading([worker], count)
        time.sleep(2.0)
        return worker.memory()
