"""Very many promises due at the same instant: how long until all are announced, and how long input has to wait.

All times end in Kafka, by the broker's own time. That of input begins when an event happens, up to 100 ms before it is
published.
"""

from collections.abc import Iterator

from benchmarks.announcements import announcements, log_ends
from benchmarks.delay import GRACE
from benchmarks.report import Row, percentile
from benchmarks.site import Site
from puntual.promises.v1.promise_pb2 import PROMISE_STATE_BROKEN
from services.shared.clock import from_timestamp, wall_clock
from services.shared.instant import SECOND, Instant

RATE = 5_000
#: How long before the burst events begin to arrive, and how long they go on after it.
_BEFORE, _AFTER = 10 * SECOND, 20 * SECOND
#: Input counts from so long before the burst until so long after it.
_AROUND = 5 * SECOND


def measure(site: Site) -> Iterator[Row]:
    """The burst, and the input around it."""
    count = site.size(100_000, 10_000)
    prefix = site.topics()
    records = f"{prefix}promises.v1"
    # A whole minute, as words are given, and far enough away for everything to be ready.
    due_at = Instant(-(-(wall_clock() + 20 * SECOND) // (60 * SECOND)) * 60 * SECOND)
    breach_at = Instant(due_at + GRACE + 1)
    site.stock(prefix, count, soon=count, due_at=due_at)
    with site.worker(prefix) as worker:
        worker.wait_ready()
        since = log_ends(site.kafka, records)
        total = RATE * (_BEFORE + _AFTER) // SECOND
        start = Instant(breach_at - _BEFORE)
        with site.publishing(prefix, RATE, start=start, count=total, apart=20_000, first=count) as times:
            assert times.start == start, "everything took too long; the burst is over before input arrives"
            crowd = worker.waiting()
        crowded = crowd()
        worker.wait_used(total)
        worker.wait_broken(count)
        found = announcements(site.kafka, records, since, {"broken", "made", "kept"})
    broken = [(each.appended_at - breach_at) / SECOND for each in found if each.record.state == PROMISE_STATE_BROKEN]
    assert len(broken) == count, f"{len(broken)} of {count} were announced"
    happened = [(from_timestamp(each.record.facts[-1].occurred_at), each) for each in found]
    delays = sorted((each.appended_at - at) / SECOND for at, each in happened if abs(at - breach_at) <= _AROUND)
    yield Row(f"{count:,} due at once: last announced after", max(broken), "s", 2)
    yield Row(f"input meanwhile ({RATE:,} events/s): longest delay", delays[-1], "s", 1)
    yield Row("input meanwhile: delay, p50", percentile(delays, 0.5), "s")
    yield crowded
