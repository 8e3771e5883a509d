"""Real Apache Kafka for tests and benchmarks: KRaft nodes from Maven Central, on 127.0.0.1, gone at the end."""

import contextlib
import fcntl
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from services.shared.broker import HOST, is_listening, running
from tests import freezing

ROOT = Path(__file__).parent.parent
POM = ROOT / "tests" / "kafka" / "pom.xml"
VERSION = re.findall(r"<version>(\d+\.\d+\.\d+)</version>", POM.read_text())[0]
#: `make` and CI may keep it between runs.
CACHE = Path(os.environ.get("PUNTUAL_CACHE", ROOT / ".cache")) / f"kafka-{VERSION}"

_HEAP = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-Xshare:auto")
_CLUSTER = "cHVudHVhbC10ZXN0cy0wMQ"  # Any 16 bytes in base64.
#: Seconds of silence after which the others of a cluster take over from a node.
SESSION_SECONDS = 5
_START = 60.0  # seconds a node may take to listen, and all of them to be whole
_ANSWER_MS = 5_000
#: Below those the system gives to clients: while a node is away nobody may be given its port.
_PORTS = range(20_000, 32_000)
_PROPERTIES = """\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={directory}/logs
auto.create.topics.enable=false
min.insync.replicas={in_sync}
offsets.topic.replication.factor={size}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={size}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms={session}000
broker.heartbeat.interval.ms=500
controlled.shutdown.enable={several}
"""


class Unavailable(Exception):
    """This machine cannot run Apache Kafka; the message says what it lacks."""


class _Node:
    """One Kafka process. Gone or frozen, it is the same node when it comes back: its ports and data stay."""

    def __init__(self, number: int, directory: Path, java: Sequence[str]) -> None:
        """`directory` is its own."""
        self.number = number
        #: None: gone.
        self.pid: int | None = None
        self.port, self.controller = _steady_port(), _steady_port()
        self._directory = directory
        self._java = java
        self._config = directory / "server.properties"
        self._running = contextlib.ExitStack()
        self._starts = 0

    def format(self, nodes: Collection["_Node"]) -> None:
        """Make it one of these nodes, with nothing in it."""
        self._directory.mkdir()
        text = _PROPERTIES.format(
            host=HOST,
            number=self.number,
            port=self.port,
            controller=self.controller,
            directory=self._directory,
            voters=",".join(f"{node.number}@{HOST}:{node.controller}" for node in nodes),
            size=len(nodes),
            in_sync=max(1, len(nodes) - 1),
            several=len(nodes) > 1,
            session=SESSION_SECONDS,
        )
        self._config.write_text(text)
        format_ = ["kafka.tools.StorageTool", "format", "--cluster-id", _CLUSTER, "--config", str(self._config)]
        subprocess.run([*self._java, *format_], check=True, capture_output=True)

    def start(self) -> None:
        """Start it; it listens on return, for which more than half of all nodes must be there."""
        self._starts += 1
        log = self._directory / f"kafka-{self._starts}.log"
        command = [*self._java, "kafka.Kafka", str(self._config)]
        self.pid = self._running.enter_context(running(command, port=self.port, log=log, patience=_START))

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        self._running.close()
        self.pid = None

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
        self.stop()


class Cluster:
    """Several Kafka nodes, numbered from 1: `with Cluster() as cluster: cluster.bootstrap`.

    Topics get as many replicas as their maker asks for; Kafka's own get one on every node. Logs and data are a
    directory that is deleted. `kill` and the like take the numbers of nodes; without any they mean all.
    """

    bootstrap: str
    #: Half the CPU at the start, less speed later.
    _java_options: Sequence[str] = ("-XX:TieredStopAtLevel=1",)

    def __init__(self, size: int = 3) -> None:
        self._size = size

    def __enter__(self) -> Self:
        """Start it (the first time Maven brings 45 MB). Raises Unavailable without Java or Maven."""
        libraries = _libraries()
        with contextlib.ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="puntual-kafka-")))
            java = ["java", *_HEAP, *self._java_options, "-cp", f"{libraries}/*"]
            self._nodes = {n: _Node(n, directory / str(n), java) for n in range(1, self._size + 1)}
            self.bootstrap = ",".join(f"{HOST}:{node.port}" for node in self._nodes.values())
            # Nobody misses what they hold: an orderly end would only take longer.
            stack.callback(self.kill)
            _at_once(lambda node: node.format(self._nodes.values()), self._nodes.values())
            self.start()
            self.wait_whole()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._stack.close()

    @property
    def nodes(self) -> Sequence[int]:
        """The numbers of all nodes."""
        return list(self._nodes)

    def start(self, *numbers: int) -> None:
        """Start nodes that are gone, on the ports and data they had; they answer on return.

        More than half of all nodes must be there then, so start those together that need each other.
        """
        _at_once(_Node.start, self._named(numbers))

    def stop(self, *numbers: int) -> None:
        """SIGTERM: they hand over what they lead and end, one after the other."""
        for node in self._named(numbers):
            node.stop()

    def kill(self, *numbers: int) -> None:
        """SIGKILL; frozen ones too. What they have written is in the system's hands, and so is not lost."""
        for node in self._named(numbers):
            node.kill()

    def freeze(self, *numbers: int) -> None:
        """Connections stay open, nothing answers."""
        for node in self._named(numbers):
            if node.pid is not None:
                freezing.freeze(node.pid)

    def thaw(self, *numbers: int) -> None:
        """They go on."""
        for node in self._named(numbers):
            if node.pid is not None:
                freezing.thaw(node.pid)

    def address(self, number: int) -> str:
        """Where a node listens, "host:port"."""
        return f"{HOST}:{self._nodes[number].port}"

    def wait_whole(self, seconds: float = _START) -> None:
        """Wait until all nodes are there and every replica is in sync: only then may the next one go.

        Raises TimeoutError with what is missing.
        """
        end = time.monotonic() + seconds
        while lacks := self._lacks():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s: {lacks}")
            time.sleep(0.2)

    def is_given_up(self, number: int, seconds: float) -> bool:
        """Whether, within this time, all other nodes do without it: what it had not copied can be read."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(KafkaError):
                if all(number not in _view(self.address(other))[0] for other in self._nodes if other != number):
                    return True
            time.sleep(0.1)
        return False

    def _lacks(self) -> str:
        """What a whole cluster would have; empty: it is whole."""
        if gone := {node.number for node in self._nodes.values() if node.pid is None}:
            return f"nodes {sorted(gone)}"
        behind: set[str] = set()
        try:
            # Each is asked: one that is cut off still tells of the time when all was well.
            for number in self._nodes:
                present, partitions = _view(self.address(number))
                gone |= self._nodes.keys() - present
                behind |= partitions
        except KafkaError as error:
            return f"an answer ({error})"
        return f"nodes {sorted(gone)}" if gone else ", ".join(sorted(behind))

    def _named(self, numbers: Sequence[int]) -> Sequence[_Node]:
        return [self._nodes[number] for number in numbers or self._nodes]


class Broker(Cluster):
    """One Kafka node that becomes as fast as it can: `with Broker() as broker: broker.bootstrap`."""

    _java_options = ()

    def __init__(self) -> None:
        super().__init__(size=1)

    def start(self, *numbers: int) -> None:
        """Start it again, with the data it had; on return it serves them."""
        super().start(*numbers)
        self.wait_whole()

    def thaw(self, *numbers: int) -> None:
        """It goes on; on return it serves what it has. Until it has heard of itself it says that there is no broker."""
        super().thaw(*numbers)
        self.wait_whole()

    @property
    def pid(self) -> int | None:
        """Its process, another one after a restart; None: gone."""
        return self._nodes[1].pid


def _view(bootstrap: str) -> tuple[set[int], set[str]]:
    """The nodes that take part, and the partitions that lack a replica in sync, as a node sees it."""
    admin = KafkaAdminClient(
        bootstrap_servers=bootstrap, bootstrap_timeout_ms=_ANSWER_MS, request_timeout_ms=_ANSWER_MS
    )
    try:
        nodes = {broker["broker_id"] for broker in admin.describe_cluster()["brokers"] if not broker["is_fenced"]}
        behind = {
            f"replicas of {topic['name']}/{partition['partition_index']}"
            for topic in admin.describe_topics()
            for partition in topic["partitions"]
            if len(partition["isr_nodes"]) < len(partition["replica_nodes"])
        }
    finally:
        admin.close()
    return nodes, behind


def _at_once(work: Callable[[_Node], None], nodes: Collection[_Node]) -> None:
    """Do it for all nodes at the same time. Raises what the first of them raised, once all are done."""
    with ThreadPoolExecutor(len(nodes)) as pool:
        for done in [pool.submit(work, node) for node in nodes]:
            done.result()


def _steady_port() -> int:
    """A port that is free, and that the system gives to nobody else."""
    return next(port for port in iter(lambda: random.choice(_PORTS), None) if not is_listening(port))


def _libraries() -> Path:
    """The directory of Kafka's jars, brought by Maven at the first call."""
    if not shutil.which("java"):
        raise Unavailable("Java (17 or newer) is not installed: apt-get install default-jre-headless")
    if (CACHE / "complete").exists():
        return CACHE
    if not shutil.which("mvn"):
        raise Unavailable("Maven is not installed: apt-get install maven")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Runs side by side bring it once.
        if (CACHE / "complete").exists():
            return CACHE
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={CACHE}", "-DincludeScope=runtime"]
        maven = subprocess.run(["mvn", "-q", "-B", "-f", str(POM), *copy], check=False, capture_output=True, text=True)
        if maven.returncode != 0:
            raise Unavailable(f"Maven could not bring Apache Kafka {VERSION}:\n{maven.stdout[-2000:]}")
        (CACHE / "complete").touch()
    return CACHE
