"""Services as the processes they are: started, stopped and killed by tests."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError

from services.shared.broker import HOST, free_port

START = 40.0  # seconds a service may take to be ready, on a busy machine


class ServiceProcess:
    """One worker process, for a `with` statement: it is ready inside, and gone after."""

    def __init__(self, service: str, kafka: str, prefix: str, **settings: str | int | Path) -> None:
        self.metrics_port, self.grpc_port = free_port(), free_port()
        self._command = [sys.executable, "-m", f"services.{service}"]
        mine = {
            "KAFKA": kafka,
            "TOPIC_PREFIX": prefix,
            "METRICS_PORT": self.metrics_port,
            "GRPC_PORT": self.grpc_port,
            **{name.upper(): value for name, value in settings.items()},
        }
        self._environment = {**os.environ, **{f"PUNTUAL_{name}": str(value) for name, value in mine.items()}}
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """Of its gRPC server."""
        return f"{HOST}:{self.grpc_port}"

    def start(self) -> Self:
        """Start it; does not wait."""
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdout=self._log, stderr=subprocess.STDOUT, text=True
        )
        return self

    def wait_ready(self) -> Self:
        """Wait until it serves its partitions."""
        wait_for(lambda: self.get("/readyz") == "ok\n", START, self.output)
        return self

    def get(self, path: str) -> str:
        """The body of an answer of its HTTP server; empty while there is none."""
        with (
            suppress(URLError, ConnectionError),
            urllib.request.urlopen(f"http://{HOST}:{self.metrics_port}{path}", timeout=5) as answer,
        ):
            return str(answer.read().decode())
        return ""

    def metrics(self) -> Mapping[str, float]:
        """Every series by its name and labels, as exposed."""
        lines = (line for line in self.get("/metrics").splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL: no goodbye."""
        return self._end(signal.SIGKILL)

    def output(self) -> str:
        """All it has logged."""
        self._log.flush()
        self._log.seek(0)
        return self._log.read()

    def _end(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(40)

    def __enter__(self) -> Self:
        return self.start().wait_ready()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._end(signal.SIGTERM if error is None else signal.SIGKILL)
        self._log.close()


def wait_for(condition: Callable[[], bool], seconds: float, explain: Callable[[], str] = lambda: "") -> None:
    """Wait until a condition holds. Fails after `seconds` with what `explain` says."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s\n{explain()}"
        time.sleep(0.1)
