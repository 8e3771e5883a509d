"""Processes of a benchmark that are no service: they are given one JSON object."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

ROOT = Path(__file__).parent.parent


def environment(code: Path | None) -> dict[str, str]:
    """Of a Python that finds the packages in `code`, compiled; None: here."""
    places = [*([code] if code else []), ROOT, ROOT / "protos"]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}


class Child:
    """A module run with its task, for a `with` statement; at the end it is waited for, or killed after an error."""

    def __init__(self, module: str, task: NamedTuple, code: Path | None, *, lives: bool = False) -> None:
        """`lives`: it ends when its standard input does, which is at the end of the statement."""
        # -P: the packages come from where the environment says, not from where it is started.
        self._command = [sys.executable, "-P", "-m", module, json.dumps(task._asdict())]
        self._environment = environment(code)
        self._input = subprocess.PIPE if lives else None
        #: What it has printed, once it has ended.
        self.output = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdin=self._input, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        output, _ = self._process.communicate()
        if error is None:
            assert self._process.returncode == 0, f"{self._command[3]} failed"
            self.output = output
