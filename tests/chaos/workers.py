"""Workers as processes that scenarios kill, freeze and start again."""

import os
import signal
import sys
from pathlib import Path
from threading import Lock
from typing import Any

from tests.brokers import ROOT
from tests.processes import ServiceProcess, wait_for

#: Seconds that a worker may take to end by itself once it should.
_END = 30.0


class Worker(ServiceProcess):
    """One worker process with a name."""

    def __init__(self, service: str, name: str, kafka: str, prefix: str, *, module: str = "", **settings: Any) -> None:
        """`module`: what Python runs with the service's name, if not the service."""
        super().__init__(service, kafka, prefix, **settings)
        if module:
            self._command = [sys.executable, "-m", module, service]
        # For modules of the tests, wherever the services lie.
        self._environment["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT, ROOT / "protos")))
        self.name = name
        self._lock = Lock()
        #: Whether it should be running: where it does not, it ended by itself.
        self.wanted = False

    @property
    def runs(self) -> bool:
        """Whether its process is there; frozen ones are."""
        return self._runs()

    def begin(self) -> None:
        """Start it, also again; does not wait."""
        with self._lock:
            self.start()
            self.wanted = True

    def revive(self) -> bool:
        """Start it where it should run and does not; whether that was so."""
        with self._lock:
            fallen = self.wanted and not self.runs
            if fallen:
                self.start()
            return fallen

    def leave(self) -> None:
        """SIGTERM, as a rollout does. Fails where it does not end well."""
        code = self.quit()
        # Who is told so while Python still imports ends by the signal itself.
        well = 0 if b"gRPC on" in self._logged(self._log_start) else -signal.SIGTERM
        assert code in (0, well), f"{self.name} left with exit code {code}\n{self.output()[-2_000:]}"

    def quit(self) -> int:
        """SIGTERM; how it ended."""
        with self._lock:
            self.wanted = False
            return self.terminate()

    def strike(self) -> None:
        """SIGKILL."""
        with self._lock:
            self.wanted = False
            self.kill()

    def last_words(self) -> str:
        """Wait until it ends by itself, with an error; the last line of its log."""
        self.wanted = False
        wait_for(lambda: not self.runs, _END, lambda: f"{self.name} goes on\n{self.output()[-2_000:]}")
        assert self._process is not None
        assert self._process.returncode != 0, f"{self.name} ended as if all were well"
        return self.output().strip().rpartition("\n")[2]

    def save_log(self, directory: Path) -> None:
        """Keep what it said."""
        (directory / f"{self.name}.log").write_text(self.output())

    def close(self) -> None:
        """End it however it is, and forget its log."""
        self.strike()
        self.__exit__(None, None, None)
