"""Processes that stand still, as on a machine that is suspended."""

import os
import signal
import time
from pathlib import Path

_SECONDS = 30.0


def freeze(pid: int) -> None:
    """SIGSTOP a process; on return it does nothing any more. Raises TimeoutError.

    The signal is taken by one of its threads. On a busy machine the others go on until that one has its turn.
    """
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + _SECONDS
    while moving := _moving(pid):
        if time.monotonic() > end:
            raise TimeoutError(f"{moving} threads of {pid} still go on after {_SECONDS} s")
        time.sleep(0.001)


def thaw(pid: int) -> None:
    """SIGCONT: it goes on, and knows nothing of the time between."""
    os.kill(pid, signal.SIGCONT)


def _moving(pid: int) -> int:
    # After the name, which is in brackets and may hold anything: the state, "T" where stopped (man proc_pid_stat).
    states = [task.read_text().rpartition(") ")[2][0] for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    return sum(state not in "TtZX" for state in states)
