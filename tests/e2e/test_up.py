"""`puntual up`: the command of the README, run as people run it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from services.cli.reading import end_offsets
from tests.brokers import Broker
from tests.processes import wait_for

#: What the README promises: seconds from the command to the first alert.
FIRST_ALERT = 60


class Run:
    """One running `puntual up`."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: Path) -> None:
        self.process = process
        self._terminal = terminal

    def shown(self) -> str:
        """All it has printed."""
        return self._terminal.read_text()

    def children(self) -> dict[int, str]:
        """Process id → command line of what it has started."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(pid): Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in listed}

    def wait_for(self, text: str, seconds: float) -> None:
        """Wait until it has printed a text."""
        wait_for(lambda: text in self.shown(), seconds, self.shown)


@contextmanager
def up(directory: Path, *options: str) -> Iterator[Run]:
    """Run the command, without a Kafka of its own unless an option names one; it is gone at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PUNTUAL_")}
    with (directory / "terminal").open("wb") as terminal:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "up", *options],
            env=environment | {"TMPDIR": str(directory)},
            stdout=terminal,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Run(process, directory / "terminal")
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


@contextmanager
def frozen(broker: Broker) -> Iterator[None]:
    """Kafka answers nothing for a while."""
    broker.freeze()
    try:
        yield
    finally:
        broker.thaw()


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Somebody listens on a port of this machine: another run, or else this test."""
    with closing(socket.socket()) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            listener.bind(("127.0.0.1", port))
            listener.listen(100)
        yield


def test_a_promise_breaks_and_somebody_is_told_within_a_minute(tmp_path: Path) -> None:
    """From nothing to the first alert, then promises that are kept; Ctrl-C ends it all, tidily."""
    started = time.monotonic()
    with up(tmp_path) as run:
        run.wait_for("✉ CRITICAL", FIRST_ALERT)
        assert time.monotonic() - started < FIRST_ALERT
        # Alerts and changes come different ways; either may be first.
        run.wait_for("broken       order ready       o-1001", 30)
        run.wait_for("kept", 30)
        shown = run.shown()
        for service in ("promises", "sla", "notifier"):
            assert f"\n{service:<9} metrics http://127.0.0.1:" in shown
        children = run.children()
        assert len(children) == 4, children  # the broker and the three services
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(40) == 0, run.shown()
        assert "stopped; " in run.shown()
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
        assert [path.name for path in tmp_path.iterdir()] == ["terminal"]


def test_a_service_that_dies_ends_the_run_and_is_named(tmp_path: Path) -> None:
    """With the exit code 1, and the others stopped. A second run says where it is, and how to ask it."""
    with taken(9092), taken(9111), up(tmp_path, "--no-traffic") as run:
        run.wait_for("Ctrl-C stops it all", FIRST_ALERT)
        said = re.search(r"9092 is in use \(another `make run`\?\); this one is at (\S+)\n", run.shown())
        assert said, run.shown()
        hint = f"puntual watch --kafka {said[1]}, or puntual explain CUSTOMER/KIND/SUBJECT --promises 127.0.0.1:"
        assert hint in run.shown()
        children = run.children()
        (sla,) = (pid for pid, command in children.items() if "services.sla" in command)
        os.kill(sla, signal.SIGKILL)
        assert run.process.wait(40) == 1
        assert "Error: sla ended with -9" in run.shown()
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_it_runs_on_a_kafka_of_ones_own_for_as_long_as_one_says(real_kafka: str, prefix: str, tmp_path: Path) -> None:
    """Without traffic nothing happens, and the end is as tidy."""
    with up(
        tmp_path, "--for", "2", "--no-traffic", "--kafka", real_kafka, "--prefix", prefix, "--partitions", "2"
    ) as run:
        assert run.process.wait(FIRST_ALERT) == 0, run.shown()
        assert f"Kafka on {real_kafka}" in run.shown()
        assert run.shown().endswith("stopped; nothing happened\n")


@pytest.mark.slow
def test_traffic_goes_on_after_kafka_was_frozen_and_ends_while_it_is(node: Broker, prefix: str, tmp_path: Path) -> None:
    """It is said when Kafka stops to answer and when it is back; SIGTERM ends the run without a traceback."""
    with up(tmp_path, "--kafka", node.bootstrap, "--prefix", prefix, "--partitions", "2") as run:
        run.wait_for("kept", FIRST_ALERT)
        with frozen(node):
            run.wait_for(f"Kafka does not answer at {node.bootstrap}", 30)
        run.wait_for(f"Kafka answers again at {node.bootstrap}", 30)
        events = sum(end_offsets(node.bootstrap, f"{prefix}orders.v1").values())
        wait_for(lambda: sum(end_offsets(node.bootstrap, f"{prefix}orders.v1").values()) > events + 3, 40)
        with frozen(node):
            run.process.send_signal(signal.SIGTERM)
            assert run.process.wait(60) == 0, run.shown()
    assert "stopped; " in run.shown()
    assert "Traceback" not in run.shown()
