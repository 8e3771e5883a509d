"""Whether an event costs more where many promises are open. Each event is another promise's; as many stay open."""

from collections.abc import Iterator

from benchmarks.report import Row
from benchmarks.site import Site
from benchmarks.worker import Cost, reading


def measure(site: Site) -> Iterator[Row]:
    """The cost of an event with few, many, and few open promises again: shared machines change their pace."""
    few, many = 10_000, site.size(5_000_000, 200_000)
    before, full, after = (_cost(site, waiting) for waiting in (few, many, few))
    least = Cost.mean([before, after]).cpu_us_per_event
    yield Row(f"CPU of an event with {few:,} open", least, "µs")
    yield Row(f"CPU of an event with {many:,} open", full.cpu_us_per_event, "µs")
    yield Row("the second, of the first", full.cpu_us_per_event / least, "times", 1.5)


def _cost(site: Site, waiting: int) -> Cost:
    count = site.size(500_000, 100_000)
    prefix = site.topics()
    site.stock(prefix, waiting)
    site.publish(prefix, "steady", count=count, waiting=waiting)
    with site.worker(prefix) as worker:
        return reading([worker], count)
