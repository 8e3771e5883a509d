"""Whether memory and lag stay as they are over a long time.

Records are remembered for a day, and events tell of what happened nearly a day ago: so each is forgotten after two
minutes, and while ever new promises come in their number stays the same.
"""

import time
from collections.abc import Iterator
from statistics import mean

from benchmarks.report import Row
from benchmarks.site import Site

RATE = 5_000
#: Seconds between two looks, and those before the first: by then as many are forgotten as come in.
_EVERY, _WARM = 5.0, 180.0


def measure(site: Site) -> Iterator[Row]:
    """Growth from the first quarter of the time to the last, and how far reading was ever behind."""
    seconds = int(site.minutes * 60)
    events = RATE * (seconds + int(_WARM))
    prefix = site.topics()
    with site.worker(prefix, horizon_days=1) as worker:
        worker.wait_ready()
        with site.publishing(prefix, RATE, dated_back=True, count=events, apart=20_000):
            time.sleep(_WARM)
            crowd = worker.waiting()
            looks = []
            for _ in range(int(seconds / _EVERY)):
                looks.append((worker.memory(), worker.lag()))
                time.sleep(_EVERY)
        crowded = crowd()
        worker.wait_used(events)
    held, lags = zip(*looks, strict=True)
    quarter = len(held) // 4
    first, last = mean(held[:quarter]), mean(held[-quarter:])
    yield Row(f"memory in the first quarter of {site.minutes:g} min at {RATE:,} events/s", first, "MB")
    yield Row("memory in the last quarter", last, "MB")
    yield Row("growth of memory", (last / first - 1) * 100, "%", 5)
    yield Row("longest lag", max(lags), "s", 1)
    yield crowded
