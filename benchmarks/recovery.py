"""How long a worker that starts takes to have its promises again, from the changelog."""

import time
from collections.abc import Iterator

from benchmarks.report import Row
from benchmarks.site import Site


def measure(site: Site) -> Iterator[Row]:
    """From the start of the process until it is ready, and the part of it after partitions were assigned."""
    count = site.size(1_000_000, 100_000)
    prefix = site.topics()
    with site.worker(prefix) as worker:
        worker.wait_ready()  # a cluster that never had a worker needs some seconds for itself
    site.stock(prefix, count)
    began = time.perf_counter()
    with site.worker(prefix) as worker:
        crowd = worker.waiting()
        worker.wait_ready()
        yield Row(f"from start to ready with {count:,} promises", time.perf_counter() - began, "s", 10)
        yield Row("of it, to restore them", worker.recovery_seconds(), "s")
        yield crowd()
        yield Row("CPU it took, all threads", worker.sample().cpu, "s")
