"""A worker whose clock jumps, as NTP, a hypervisor or somebody's hand makes it: nothing is told that is not so."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from puntual.promises.v1.promise_pb2 import PROMISE_STATE_BROKEN, PROMISE_STATE_KEPT, PROMISE_STATE_OPEN
from services.shared.clock import wall_clock
from services.shared.topics import DEAD_LETTERS
from tests.builders import ready
from tests.conftest import left_out
from tests.integration.engine.reading import read_topic
from tests.integration.engine.test_worker import Site, publish_orders
from tests.processes import ServiceProcess, wait_for

#: As the packages of Debian and Ubuntu have it.
LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")
SKEW = "puntual_clock_skew_seconds"


class Clock:
    """The wall clock of a process, set from here; its monotonic clock is the machine's, as after any real step."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        found = [path for pattern in LIBRARIES for path in Path("/").glob(pattern[1:])]
        if not found or sys.platform != "linux":
            left_out("libfaketime is not installed: apt-get install faketime")
        self._file = file
        self.set(0)
        for name, value in {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }.items():
            monkeypatch.setenv(name, value)

    def set(self, seconds: int) -> None:
        """So far ahead of the machine's; below 0: behind."""
        partial = self._file.with_suffix(".new")
        partial.write_text(f"{seconds:+d}\n")
        partial.replace(self._file)


@pytest.fixture
def site(real_kafka: str, prefix: str, tmp_path: Path) -> Iterator[Site]:
    """On Apache Kafka, which stamps what is written."""
    place = Site(real_kafka, prefix, tmp_path)
    with place.publisher:
        yield place


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Of the processes that are made after it."""
    return Clock(tmp_path / "faketime", monkeypatch)


def says_its_clock_is_off(worker: ServiceProcess, how: str) -> bool:
    status, text = worker.health("/readyz")
    return status == 503 and how in text


def test_a_clock_ahead_breaks_nothing(site: Site, clock: Clock) -> None:
    """Neither what was due in half an hour when it jumped, nor what comes meanwhile; and what is due is told after."""
    with site.worker(instance="only") as worker:
        publish_orders(site, 8, due_in=1800, keep=lambda _: False)
        wait_for(lambda: site.states() == {PROMISE_STATE_OPEN: 8}, 30, worker.output)
        wait_for(lambda: abs(worker.metrics()[SKEW]) < 1, 10, worker.output)
        clock.set(3600)
        wait_for(lambda: says_its_clock_is_off(worker, "3600 s ahead of Kafka's"), 10, worker.output)
        publish_orders(site, 4, due_in=1800, keep=lambda _: False, name="new")
        publish_orders(site, 2, due_in=1800, keep=lambda _: True, name="kept")
        wait_for(lambda: site.states() == {PROMISE_STATE_OPEN: 12, PROMISE_STATE_KEPT: 2}, 10, worker.output)
        time.sleep(5)
        assert site.states()[PROMISE_STATE_BROKEN] == 0
        metrics = worker.metrics()
        wait_for(lambda: abs(worker.metrics()[SKEW] - 3600) < 1, 10, worker.output)
        assert metrics["puntual_ready"] == 0
        assert worker.health("/livez") == (200, "ok")
        clock.set(0)
        wait_for(lambda: worker.health("/readyz") == (200, "ok"), 10, worker.output)
        publish_orders(site, 3, due_in=1, keep=lambda _: False, name="soon")
        expected = {PROMISE_STATE_OPEN: 12, PROMISE_STATE_KEPT: 2, PROMISE_STATE_BROKEN: 3}
        wait_for(lambda: site.states() == expected, 20, worker.output)
        assert site.states() == expected


def test_a_clock_behind_refuses_nothing(site: Site, clock: Clock) -> None:
    """Events that happened just now lie in the future of that clock; they are used all the same."""
    with site.worker(instance="only") as worker:
        publish_orders(site, 8, due_in=1800, keep=lambda _: False)
        wait_for(lambda: site.states() == {PROMISE_STATE_OPEN: 8}, 30, worker.output)
        clock.set(-7200)
        publish_orders(site, 4, due_in=1800, keep=lambda _: True, name="new")
        site.publisher.publish(ready("o-0", wall_clock(), "c-0"))
        site.publisher.flush()
        wait_for(lambda: says_its_clock_is_off(worker, "7200 s behind Kafka's"), 10, worker.output)
        wait_for(lambda: site.states() == {PROMISE_STATE_OPEN: 7, PROMISE_STATE_KEPT: 5}, 20, worker.output)
        assert read_topic(site.kafka, DEAD_LETTERS.under(site.prefix)) == []
        clock.set(0)
        wait_for(lambda: worker.health("/readyz") == (200, "ok"), 10, worker.output)


def test_a_worker_that_starts_with_a_wrong_clock_breaks_nothing(site: Site, clock: Clock) -> None:
    """What it writes to take its partitions over tells it the time before it looks at anything that is due."""
    clock.set(7200)
    with ExitStack() as stack:
        worker = site.worker(instance="only")
        stack.push(worker)
        worker.start()
        publish_orders(site, 8, due_in=1800, keep=lambda _: False)
        wait_for(lambda: site.states() == {PROMISE_STATE_OPEN: 8}, 40, worker.output)
        wait_for(lambda: says_its_clock_is_off(worker, "7200 s ahead of Kafka's"), 10, worker.output)
        time.sleep(3)
        assert site.states() == {PROMISE_STATE_OPEN: 8}
        clock.set(0)
        wait_for(lambda: worker.health("/readyz") == (200, "ok"), 10, worker.output)
        assert site.states() == {PROMISE_STATE_OPEN: 8}
