"""Whether an event costs more where several workers share the partitions."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.report import Row
from benchmarks.site import Site
from benchmarks.worker import Cost, reading

MANY = 3
#: Seconds after which nobody joins the group any more.
_SETTLED = 5.0


def measure(site: Site) -> Iterator[Row]:
    """The cost of an event with one worker, with several, and with one again: shared machines change their pace."""
    before, shared, after = (_cost(site, workers) for workers in (1, MANY, 1))
    alone = Cost.mean([before, after]).cpu_us_per_event
    yield Row("CPU of an event with 1 worker", alone, "µs")
    yield Row(f"CPU of an event with {MANY} workers", shared.cpu_us_per_event, "µs")
    yield Row("the second, of the first", shared.cpu_us_per_event / alone, "times", 1.15)


def _cost(site: Site, number: int) -> Cost:
    """Of events that are published once the partitions are shared out."""
    count = site.size(600_000, 150_000)
    prefix = site.topics()
    with ExitStack() as stack:
        workers = [stack.enter_context(site.worker(prefix)) for _ in range(number)]
        time.sleep(_SETTLED)
        for worker in workers:
            worker.wait_ready()
        site.publish(prefix, "paired", count=count, apart=20_000)
        cost = reading(workers, count)
        assert all(worker.sample().events for worker in workers), "a worker had nothing to do"
        return cost
