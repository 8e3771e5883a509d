"""`make bench`: throughput of the promise worker against idiomatic Faust, on one real broker in one run.

Options: --compiled DIR (made by `make compile`; without it only interpreted code is measured), --events N (1,000,000),
--interpreted-events N (200,000), --faust-events N (40,000, twice: Faust is slow, and its cost per event does not depend
on it), --apart N (promises between a promise and its fulfilment; 20,000, so that they meet in no batch), --json FILE.
"""

import argparse
import asyncio
import itertools
import json
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import load, order_events
from services.shared.clock import wall_clock
from services.shared.topics import provision
from tests.brokers import Broker
from tests.processes import ServiceProcess

PARTITIONS = 12
#: Seconds without progress after which a worker counts as stopped, and how often Faust may try.
STALLED = 30.0
ATTEMPTS = 3
_prefixes = (f"bench{number}." for number in itertools.count())


class Sample(NamedTuple):
    """How far a worker was, and what it had cost by then."""

    events: int
    cpu: float
    wall: float


class Figure(NamedTuple):
    """What one worker process needs, between its first and its last event."""

    events: int
    cpu_us_per_event: float
    events_per_second: float

    @classmethod
    def between(cls, first: Sample, last: Sample) -> "Figure":
        """From two samples."""
        events = last.events - first.events
        return cls(events, (last.cpu - first.cpu) / events * 1e6, events / (last.wall - first.wall))


def prepare(kafka: str, count: int, apart: int) -> str:
    """Topics of their own with `count` events; returns their prefix."""
    prefix = next(_prefixes)
    provision(kafka, prefix, PARTITIONS)
    load(kafka, f"{prefix}orders.v1", PARTITIONS, order_events(count, apart, wall_clock()))
    return prefix


def puntual(kafka: str, count: int, apart: int, code: Path | None) -> Figure:
    """The promise worker with its full semantics. `code`: where it lies compiled; None: interpreted, from here."""
    prefix = prepare(kafka, count, apart)
    worker = ServiceProcess("promises", kafka, prefix, code=code, partitions=PARTITIONS).start()
    samples: list[Sample] = []
    try:
        while not samples or samples[-1].events < count:
            time.sleep(1.0)
            sample = _scrape(worker, f"{prefix}orders.v1")
            if sample and sample.events and (not samples or sample.events > samples[-1].events):
                samples.append(sample)
            if samples and time.perf_counter() - samples[-1].wall > STALLED:
                sys.exit(f"The promises worker stopped at {samples[-1].events} events.\n{worker.output()}")
    finally:
        worker.terminate()
    return Figure.between(samples[0], samples[-1])


def _scrape(worker: ServiceProcess, topic: str) -> Sample | None:
    metrics = worker.metrics()
    events = metrics.get(f'puntual_events_consumed_total{{outcome="used",topic="{topic}"}}')
    if events is None:
        return None
    return Sample(int(events), metrics["process_cpu_seconds_total"], time.perf_counter())


def faust(kafka: str, count: int, apart: int) -> Figure:
    """The agent and the table. Faust now and then stops for good after its first fetch; then it is started anew."""
    for attempt in range(1, ATTEMPTS + 1):
        prefix = prepare(kafka, count, apart)
        samples = asyncio.run(_idiomatic(kafka, prefix, count))
        if samples and samples[-1].events == count:
            return Figure.between(samples[0], samples[-1])
        print(f"Idiomatic Faust stopped before it was done (attempt {attempt}).")
    sys.exit("Run `python -m benchmarks.idiomatic` by itself to see why.")


async def _idiomatic(kafka: str, prefix: str, count: int) -> list[Sample]:
    command = [sys.executable, "-m", "benchmarks.idiomatic", kafka, prefix, str(PARTITIONS), str(count)]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL)
    assert process.stdout is not None
    samples: list[Sample] = []
    try:
        while not samples or samples[-1].events < count:
            line = await asyncio.wait_for(process.stdout.readline(), STALLED)
            if not line:
                break
            if line.startswith(b"seen "):
                _, events, cpu, wall = line.split()
                samples.append(Sample(int(events), float(cpu), float(wall)))
    except TimeoutError:
        pass
    finally:
        process.kill()
        await process.wait()
    return samples


def mean(figures: Sequence[Figure]) -> Figure:
    """Of all they measured."""
    events = sum(figure.events for figure in figures)
    cpu = sum(figure.events * figure.cpu_us_per_event for figure in figures)
    seconds = sum(figure.events / figure.events_per_second for figure in figures)
    return Figure(events, cpu / events, events / seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--interpreted-events", type=int, default=200_000)
    parser.add_argument("--faust-events", type=int, default=40_000)
    parser.add_argument("--apart", type=int, default=20_000)
    parser.add_argument("--compiled", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    apart, code = options.apart, options.compiled

    def theirs(kafka: str) -> Figure:
        return faust(kafka, options.faust_events, min(apart, options.faust_events // 4))

    with Broker() as broker:
        kafka = broker.bootstrap
        # Before and after ours: machines that are shared change their pace.
        first = theirs(kafka)
        ours = {"promises worker, interpreted": puntual(kafka, options.interpreted_events, apart, None)}
        if code:
            ours["promises worker"] = puntual(kafka, options.events, apart, code.resolve())
        figures = {"idiomatic Faust": mean([first, theirs(kafka)]), **ours}
    report(figures, options.json)


def report(figures: Mapping[str, Figure], file: Path | None) -> None:
    """Print the figures, each beside the first, and write them as JSON."""
    (_, idiomatic), *_ = figures.items()
    print(f"{'':30}{'events':>10}{'CPU µs/event':>14}{'events/s':>12}{'ratio':>8}")
    for name, figure in figures.items():
        ratio = idiomatic.cpu_us_per_event / figure.cpu_us_per_event
        print(
            f"{name:30}{figure.events:>10,}{figure.cpu_us_per_event:>14.1f}"
            f"{figure.events_per_second:>12,.0f}{ratio:>8.1f}"
        )
    if file:
        file.write_text(json.dumps({name: figure._asdict() for name, figure in figures.items()}, indent=2))


if __name__ == "__main__":
    main()
