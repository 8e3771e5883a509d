"""The services as child processes of one command: started together, watched, stopped tidily."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from services.shared.broker import HOST, free_port, is_free
from services.shared.errors import PuntualError

#: Seconds: to drain and commit after SIGTERM, and to become ready after the start.
_GRACE, _PATIENCE = 30.0, 60.0
_TAIL = 15


class ServiceDied(PuntualError):
    """A service ended, or never became ready."""


class Child(NamedTuple):
    """One running service."""

    name: str
    process: subprocess.Popen[str]
    metrics_port: int
    grpc_port: int
    log: Path

    @property
    def output(self) -> IO[str]:
        """What it prints."""
        assert self.process.stdout is not None  # noqa: S101 - it was opened as a pipe
        return self.process.stdout

    def is_ready(self) -> bool:
        """Whether it answers for its partitions."""
        try:
            with urlopen(f"http://{HOST}:{self.metrics_port}/readyz", timeout=2) as answer:
                return int(answer.status) == 200  # noqa: PLR2004 - OK
        except (URLError, OSError):
            return False

    def check(self) -> None:
        """Raise ServiceDied, with the end of its log, where it has ended."""
        code = self.process.poll()
        if code is not None:
            raise ServiceDied(f"{self.name} ended with {code}; the end of its log:\n{self._tail()}")

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL:])


@contextmanager
def services(ports: Mapping[str, tuple[int, int]], environment: Mapping[str, str], logs: Path) -> Iterator[list[Child]]:
    """Run services for the length of the `with` block; `ports` says which, and their metrics and gRPC ports.

    A port that is taken is replaced by a free one. At the end all are asked to stop, and waited for.
    """
    children: list[Child] = []
    try:
        for name, wanted in ports.items():
            children.append(_start(name, wanted, environment, logs))
        yield children
    finally:
        _stop(children)


def await_ready(children: Sequence[Child]) -> None:
    """Return once all answer for their partitions. Raises ServiceDied where one ends or takes too long."""
    deadline = time.monotonic() + _PATIENCE
    while not all(child.is_ready() for child in children):
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            slow = ", ".join(child.name for child in children if not child.is_ready())
            raise ServiceDied(f"{slow} not ready after {_PATIENCE:.0f} s")
        time.sleep(0.1)


def _start(name: str, wanted: tuple[int, int], environment: Mapping[str, str], logs: Path) -> Child:
    metrics_port, grpc_port = (port if is_free(port) else free_port() for port in wanted)
    log = logs / f"{name}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", f"services.{name}"],
            env={
                **os.environ,
                **environment,
                "PUNTUAL_INSTANCE": f"{name}-0",
                "PUNTUAL_METRICS_PORT": str(metrics_port),
                "PUNTUAL_GRPC_PORT": str(grpc_port),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C is for the command, which stops them in order
        )
    return Child(name, process, metrics_port, grpc_port, log)


def _stop(children: Sequence[Child]) -> None:
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    for child in children:
        try:
            child.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
