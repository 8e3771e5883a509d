"""The image: its three services, started as the compose file starts them, on real Kafka."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.shared.clock import wall_clock
from services.shared.instant import SECOND, Instant
from services.shared.publisher import Publisher
from services.shared.topics import provision
from tests.builders import promised, quick_rules
from tests.processes import ServiceProcess, wait_for

SERVICES = ("promises", "sla", "notifier")
PARTITIONS = 3


@pytest.fixture
def container(request: pytest.FixtureRequest) -> str:
    """A container made of the image; nothing runs in it yet."""
    return str(request.config.getoption("--container"))


def inside(container: str, *command: str, options: Sequence[str] = ()) -> Sequence[str]:
    """The command that runs a command in the container, as the user and with the environment of the image."""
    return ["buildah", "run", "--network=host", *options, container, "--", *command]


class Contained(ServiceProcess):
    """A service, started as the compose file starts it, with one directory of this machine."""

    container: str
    mounted: Path

    def _starting(self, service: str, environment: Mapping[str, str]) -> Sequence[str]:
        settings = [f"--env={name}={value}" for name, value in environment.items()]
        command = ["python", "-m", f"services.{service}"]
        return inside(self.container, *command, options=[*settings, f"--volume={self.mounted}:{self.mounted}:ro"])

    def _worker(self, started: int) -> int:
        """The last of a chain of processes each of which started the next: signals are not passed on to it."""
        threads = Path(f"/proc/{started}/task").iterdir()
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
        return self._worker(children[0]) if children else started


@pytest.fixture
def running(container: str, real_kafka: str, prefix: str, tmp_path: Path) -> Iterator[Mapping[str, ServiceProcess]]:
    """All three, ready."""
    provision(real_kafka, prefix, PARTITIONS)
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)  # the image's user is nobody here
    Contained.container, Contained.mounted = container, tmp_path
    with ExitStack() as stack:
        rules = quick_rules(tmp_path)
        processes = {
            name: Contained(name, real_kafka, prefix, partitions=PARTITIONS, rules=rules).start() for name in SERVICES
        }
        for process in processes.values():
            stack.push(process)
        for process in processes.values():
            process.wait_ready()
        yield processes


def test_a_promise_breaks_and_somebody_is_told(
    running: Mapping[str, ServiceProcess], real_kafka: str, prefix: str
) -> None:
    """From the event to the message on the console of the notifier; SIGTERM ends all three in order."""
    assert all(process.get("/readyz") == "ok\n" for process in running.values())
    now = wall_clock()
    with Publisher(real_kafka, prefix) as publisher:
        publisher.publish(promised("o-1", Instant(now - 60 * SECOND), now, "ana"))
    notifier = running["notifier"]
    wait_for(lambda: "Promise broken: getting order o-1 ready" in notifier.output(), 30, notifier.output)
    assert [process.terminate() for process in running.values()] == [0, 0, 0]


def test_what_runs_for_every_event_is_compiled(container: str) -> None:
    """And the command is there, for a user who owns nothing."""

    def said(*command: str) -> str:
        return subprocess.run(inside(container, *command), check=True, capture_output=True, text=True).stdout

    assert "True" in said("python", "-c", "from services.shared.wire import COMPILED; print(COMPILED)")
    assert "Puntual keeps a company's word" in said("puntual", "--help")
    assert said("id", "-u").strip() == "10001"
    assert os.getuid() != 10001
