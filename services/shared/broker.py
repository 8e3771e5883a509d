"""The embedded broker: one small binary that speaks Kafka's protocol, for trying out and for tests with one worker.

It keeps its data in memory and saves it about once a second; it never evicts a killed group member. Production, several
workers, and whatever must survive a crash belong on real Kafka.
"""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from services.shared.errors import PuntualError

HOST = "127.0.0.1"
_GRACE = 15.0  # Seconds a server is given to save its data after being asked to stop.


class BrokerFailed(PuntualError):
    """A local broker did not start, or died while starting."""


@contextlib.contextmanager
def start_embedded(data_dir: Path, port: int | None = None) -> Iterator[str]:
    """Run the embedded broker on 127.0.0.1 for the length of the `with` block; yields its bootstrap address.

    `port` None takes a free one. Data lives in `data_dir` and is there again at the next start.
    """
    binary = Path(str(files("noida_db"))) / ("noida-db.exe" if sys.platform == "win32" else "noida-db")
    if not binary.is_file():
        raise BrokerFailed("the embedded broker has no build for this machine; set PUNTUAL_KAFKA to a Kafka you have")
    if not os.access(binary, os.X_OK):  # wheels carry no executable bit
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    data_dir.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    options = ["--only", "kafka", "--host", HOST, "--data-dir", str(data_dir), "--kafka-port", str(port)]
    with running([str(binary), "start", *options], port=port, log=data_dir / "broker.log", patience=10):
        yield f"{HOST}:{port}"


@contextlib.contextmanager
def running(command: Sequence[str], *, port: int, log: Path, patience: float) -> Iterator[int]:
    """Run a server for the length of the `with` block, from when it listens on `port`; yields its process id.

    Raises BrokerFailed, with the end of its log, where it exits or is silent for `patience` seconds. The server gets a
    session of its own: Ctrl-C must reach the services first, and the broker last.
    """
    if is_listening(port):
        raise BrokerFailed(f"port {port} on {HOST} is taken; stop what runs there, or choose another port")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + patience
        while not is_listening(port):
            if process.poll() is not None or time.monotonic() > deadline:
                state = "is not listening" if process.returncode is None else f"exited with {process.returncode}"
                raise BrokerFailed(f"the broker {state} on port {port}; the end of {log}:\n{_tail(log)}")
            time.sleep(0.02)
        yield process.pid
    finally:
        _stop(process)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def is_free(port: int) -> bool:
    """Whether a server can have this port of 127.0.0.1: nor may a connection have been made from there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
