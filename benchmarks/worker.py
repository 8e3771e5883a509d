"""The promise worker as a benchmark sees it: how far it is, and what it has needed."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks.report import Row
from tests.processes import ServiceProcess, wait_for

#: Seconds that recovery may take, and after which a worker that makes no progress counts as stopped.
PATIENCE, STALLED = 900.0, 90.0
MB = 1_000_000
_BROKEN = 'puntual_promise_transitions_total{kind="order_ready",transition="broken"}'


class Sample(NamedTuple):
    """How far a worker was, and what it had cost by then: CPU seconds of all its threads, user and system."""

    events: int
    cpu: float
    wall: float


class Cost(NamedTuple):
    """What events needed."""

    events: int
    cpu_us_per_event: float
    events_per_second: float

    @classmethod
    def between(cls, first: Sample, last: Sample) -> "Cost":
        """From two samples."""
        events = last.events - first.events
        return cls(events, (last.cpu - first.cpu) / events * 1e6, events / (last.wall - first.wall))

    @classmethod
    def mean(cls, costs: Sequence["Cost"]) -> "Cost":
        """Of all that was measured."""
        events = sum(cost.events for cost in costs)
        cpu = sum(cost.events * cost.cpu_us_per_event for cost in costs)
        seconds = sum(cost.events / cost.events_per_second for cost in costs)
        return cls(events, cpu / events, events / seconds)


class Process(ServiceProcess):
    """One process of a service. In a `with` statement it is started; whoever wants it ready waits for it."""

    def __enter__(self) -> Self:
        return self.start()

    def wait_ready(self) -> Self:
        """Wait until all is recovered and read. Fails where it ends."""
        wait_for(lambda: self.get("/readyz") == "ok\n" or not self._runs(), PATIENCE, self.output)
        assert self._runs(), f"it ended\n{self.output()}"
        return self

    def cpu(self) -> float:
        """CPU seconds of all its threads since it started, user and system; 0 as long as it says nothing."""
        return self.metrics().get("process_cpu_seconds_total", 0.0)

    def memory(self) -> float:
        """What it holds, RSS in MB."""
        return self._status("VmRSS")

    def peak_memory(self) -> float:
        """The most it ever held, RSS in MB."""
        return self._status("VmHWM")

    def waiting(self) -> Callable[[], Row]:
        """A figure to ask for later: the share of the time from now on that it could have run, but others did.

        Where that is much, the machine was busy and no time measured on it is to be trusted.
        """
        began, before = time.perf_counter(), self._waited()

        def row() -> Row:
            share = (self._waited() - before) / (time.perf_counter() - began)
            return Row("share of the time that the worker waited for a CPU", share * 100, "%")

        return row

    def _waited(self) -> float:
        """Seconds, since it started, of its main thread."""
        return int(self._proc("schedstat").split()[1]) / 1e9

    def _status(self, name: str) -> float:
        lines = self._proc("status").splitlines()
        return next(int(line.split()[1]) * 1024 / MB for line in lines if line.startswith(f"{name}:"))

    def _proc(self, name: str) -> str:
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/{name}").read_text()


class Worker(Process):
    """One process of the promise service."""

    def __init__(self, kafka: str, prefix: str, *, code: Path | None, **settings: str | int | Path) -> None:
        super().__init__("promises", kafka, prefix, code=code, **settings)
        self._used = f'puntual_events_consumed_total{{outcome="used",topic="{prefix}orders.v1"}}'
        self._lag = f'puntual_consumer_lag_seconds{{topic="{prefix}orders.v1"}}'

    def sample(self) -> Sample:
        """Its events are 0 as long as it has none."""
        metrics = self.metrics()
        assert self._runs(), f"it ended\n{self.output()}"
        return Sample(
            int(metrics.get(self._used, 0)), metrics.get("process_cpu_seconds_total", 0.0), time.perf_counter()
        )

    def wait_used(self, count: int) -> None:
        """Wait until it has used so many events."""
        wait_for(lambda: self.sample().events >= count, STALLED, self.output)

    def wait_broken(self, count: int) -> None:
        """Wait until it has announced so many broken promises since it started, and Kafka has them."""
        wait_for(lambda: self.metrics().get(_BROKEN, 0) >= count, STALLED, self.output)
        time.sleep(1.0)  # they are counted when they are sent

    def lag(self) -> float:
        """Seconds that its reading is behind."""
        return self.metrics()[self._lag]

    def recovery_seconds(self) -> float:
        """From the assignment of partitions until they were served."""
        return self.metrics()["puntual_recovery_seconds"]


def reading(workers: Sequence[Worker], count: int) -> Cost:
    """Wait until workers have used `count` events; what they cost together, from the first second of work on."""
    first = last = together(workers)
    began = time.perf_counter()
    while last.events < count:
        time.sleep(1.0)
        sample = together(workers)
        if sample.events > last.events:
            first, last = (first, sample) if first.events else (sample, sample)
        stuck = sample.wall - (last.wall if last.events else began)
        limit = STALLED if last.events else PATIENCE
        assert stuck < limit, f"stopped at {last.events} events\n{workers[0].output()}"
    return Cost.between(first, last)


def together(workers: Sequence[Worker]) -> Sample:
    """All of them as one."""
    samples = [worker.sample() for worker in workers]
    events, cpu, _ = map(sum, zip(*samples, strict=True))
    return Sample(int(events), cpu, samples[-1].wall)
