"""How long after its time a broken promise is announced, while many are open and events arrive.

Of the promises that are open, some fall due all the time. The delay is from the first instant at which a promise could
be announced broken (due and grace have passed) until the worker said so, by the header `announced-at`; and until Kafka
had it, by the broker's own time.
"""

from collections.abc import Iterator

from benchmarks.announcements import announcements, log_ends
from benchmarks.report import Row, percentile
from benchmarks.site import Site
from services.promises.model import PromiseKind
from services.promises.rules import read_rules
from services.shared.clock import from_timestamp, wall_clock
from services.shared.instant import SECOND, Instant

GRACE = read_rules().rules.kinds[PromiseKind.ORDER_READY].grace
#: Microseconds from one promise that falls due to the next, and for how long it goes on.
_EVERY, _FOR = 5_000, 600 * SECOND
#: Events arrive for so long before delays count.
_WARM = 5 * SECOND


def measure(site: Site) -> Iterator[Row]:
    """The delays' percentiles."""
    waiting, rate, seconds = site.size(1_000_000, 150_000), site.size(10_000, 2_000), site.size(60, 20)
    prefix = site.topics()
    records = f"{prefix}promises.v1"
    due_at = wall_clock()
    site.stock(prefix, waiting, soon=_FOR // _EVERY, due_at=due_at, every=_EVERY)
    with site.worker(prefix) as worker:
        worker.wait_ready()
        since = log_ends(site.kafka, records)
        first = Instant(due_at + GRACE)
        with site.publishing(prefix, rate, start=first, count=rate * seconds, apart=20_000, first=waiting) as times:
            crowd = worker.waiting()
        crowded = crowd()
        worker.wait_used(rate * seconds)
        worker.wait_broken((times.end - first) // _EVERY)
        broken = announcements(site.kafka, records, since, {"broken"})
    begin, end = times.start + _WARM, min(times.end, due_at + GRACE + _FOR)
    due = [(from_timestamp(found.record.breach_at) + 1, found) for found in broken]
    counted = [(at, found) for at, found in due if begin <= at < end]
    expected = (end - begin) // _EVERY
    assert abs(len(counted) - expected) <= 1, f"{len(counted)} of {expected} were announced"
    said = sorted((found.announced_at - at) / 1_000 for at, found in counted)
    kept = sorted((found.appended_at - at) / 1_000 for at, found in counted)
    load = f"{waiting:,} open, {rate:,} events/s"
    yield Row(f"detection delay, p50 ({load})", percentile(said, 0.50), "ms", 100)
    yield Row("detection delay, p99", percentile(said, 0.99), "ms", 250)
    yield Row("detection delay, longest", said[-1], "ms")
    yield Row("until it is in Kafka, p50", percentile(kept, 0.50), "ms")
    yield Row("until it is in Kafka, p99", percentile(kept, 0.99), "ms")
    yield crowded
