"""Services as the processes they are: started, stopped and killed by tests."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import HTTPError, URLError

from click.testing import CliRunner

from services.cli.__main__ import main
from services.shared.broker import HOST
from tests import freezing

START = 40.0  # seconds a service may take to be ready, on a busy machine
_PORTS = re.compile(rb"metrics on http://\S+:(\d+)/metrics, gRPC on \S+:(\d+)\s")
_ANSWERS = re.compile(rb"answers on (http://\S+:\d+)/a/")


class _SilentYet(Exception):
    """The process has not said yet where it listens."""


class ServiceProcess:
    """One worker process, for a `with` statement: it is ready inside, and gone after."""

    def __init__(
        self, service: str, kafka: str, prefix: str, *, code: Path | None = None, **settings: str | int | Path
    ) -> None:
        """`code`: where the packages lie, if not here."""
        self._code = code
        mine = {
            "KAFKA": kafka,
            "TOPIC_PREFIX": prefix,
            "METRICS_PORT": 0,
            "GRPC_PORT": 0,
            "ANSWERS_PORT": 0,
            **{name.upper(): value for name, value in settings.items()},
        }
        environment = {f"PUNTUAL_{name}": str(value) for name, value in mine.items()}
        self._environment = {**os.environ, **environment}
        self._command = self._starting(service, environment)
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self._process: subprocess.Popen[str] | None = None

    @property
    def metrics_port(self) -> int:
        """Of its HTTP server. It takes any port that is free and says which: a port picked for it could be taken."""
        return self._ports()[0]

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    @property
    def address(self) -> str:
        """Of its gRPC server."""
        return f"{HOST}:{self._ports()[1]}"

    @property
    def answers(self) -> str:
        """Where the notifier's pages are, before the path."""
        told = _ANSWERS.search(self._logged(self._log_start))
        assert told, self.output()
        return told[1].decode()

    def start(self) -> Self:
        """Start it; does not wait."""
        self._log_start = os.fstat(self._log.fileno()).st_size
        self._process = subprocess.Popen(
            self._command, env=self._environment, cwd=self._code, stdout=self._log, stderr=subprocess.STDOUT, text=True
        )
        return self

    def wait_ready(self) -> Self:
        """Wait until it serves its partitions. Fails where it ends."""
        wait_for(lambda: self.get("/readyz") == "ok\n" or not self._runs(), START, self.output)
        assert self._runs(), f"it ended\n{self.output()}"
        return self

    def get(self, path: str) -> str:
        """The body of an answer of its HTTP server; empty while there is none."""
        with (
            suppress(URLError, ConnectionError, _SilentYet),
            urllib.request.urlopen(f"http://{HOST}:{self.metrics_port}{path}", timeout=5) as answer,
        ):
            return str(answer.read().decode())
        return ""

    def health(self, path: str) -> tuple[int, str]:
        """The status and the text of `/readyz` or `/livez`; 0 while there is no answer."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.metrics_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode().strip()
        except HTTPError as refused:
            return refused.code, refused.read().decode().strip()
        except (URLError, ConnectionError, _SilentYet):
            return 0, ""

    def metrics(self) -> Mapping[str, float]:
        """Every series by its name and labels, as exposed."""
        lines = (line for line in self.get("/metrics").splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """Wait until it ends by itself; returns the exit code. Fails where it does not."""
        wait_for(lambda: not self._runs(), seconds, self.output)
        assert self._process is not None
        return self._process.wait()

    def freeze(self) -> None:
        """On return it stands still, unless it has ended."""
        if self._runs():
            freezing.freeze(self.pid)

    def thaw(self) -> None:
        """It goes on, unless it has ended."""
        if self._runs():
            freezing.thaw(self.pid)

    def kill(self) -> int:
        """SIGKILL: no goodbye."""
        return self._end(signal.SIGKILL)

    def output(self) -> str:
        """All it has logged."""
        return self._logged(0).decode()

    def _starting(self, service: str, _environment: Mapping[str, str]) -> Sequence[str]:
        """The command that starts it."""
        return [sys.executable, "-m", f"services.{service}"]

    def _worker(self, started: int) -> int:
        """The process that signals are for, by the one that was started."""
        return started

    def _logged(self, start: int) -> bytes:
        # Reading must not move the file's position: it is where the process writes.
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, start)

    def _ports(self) -> tuple[int, int]:
        told = _PORTS.search(self._logged(self._log_start))
        if told is None:
            raise _SilentYet
        return int(told[1]), int(told[2])

    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _end(self, number: int) -> int:
        assert self._process is not None
        if self._process.poll() is None:
            os.kill(self._worker(self._process.pid), number)
        return self._process.wait(40)

    def __enter__(self) -> Self:
        try:
            return self.start().wait_ready()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._runs():
            self._end(signal.SIGTERM if error is None else signal.SIGKILL)
        self._log.close()


def typed(*arguments: str) -> str:
    """What `puntual` says to these; in this process, as to start another takes over a second."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def wait_for(condition: Callable[[], bool], seconds: float, explain: Callable[[], str] = lambda: "") -> None:
    """Wait until a condition holds. Fails after `seconds`, later on a busy machine, with what `explain` says."""
    assert eventually(condition, seconds), f"not within {seconds} s\n{explain()}"


def eventually(holds: Callable[[], object], seconds: float) -> bool:
    """Whether something came to hold within so many seconds of a machine that has nothing else to do.

    What waits for a processor makes everything late: where twice as many want to run as can, four times as late. On
    such a machine it may not hold a moment later.
    """
    began, limit = time.monotonic(), 0.0
    while not holds():
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        limit = max(limit, seconds * max(1.0, 2 * load))
        if time.monotonic() - began > limit:
            return False
        time.sleep(0.1)
    return True
