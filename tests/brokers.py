"""Real Apache Kafka for tests and benchmarks: one KRaft node from Maven Central, on 127.0.0.1, gone at the end."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from services.shared.broker import HOST, free_port, running

ROOT = Path(__file__).parent.parent
POM = ROOT / "tests" / "kafka" / "pom.xml"
VERSION = re.findall(r"<version>(\d+\.\d+\.\d+)</version>", POM.read_text())[0]
#: `make` and CI may keep it between runs.
CACHE = Path(os.environ.get("PUNTUAL_CACHE", ROOT / ".cache")) / f"kafka-{VERSION}"

_HEAP = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-Xshare:auto")
_CLUSTER = "cHVudHVhbC10ZXN0cy0wMQ"  # Any 16 bytes in base64.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
controlled.shutdown.enable=false
"""


class Unavailable(Exception):
    """This machine cannot run Apache Kafka; the message says what it lacks."""


class Broker:
    """One Kafka node: `with Broker() as broker: broker.bootstrap`. Its log and data are a directory that is deleted."""

    bootstrap: str
    pid: int

    def __enter__(self) -> Self:
        """Start it (2 to 4 seconds; the first time Maven brings 45 MB). Raises Unavailable without Java or Maven."""
        libraries = _libraries()
        with contextlib.ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="puntual-kafka-")))
            port, controller = free_port(), free_port()
            config = directory / "server.properties"
            config.write_text(_PROPERTIES.format(host=HOST, port=port, controller=controller, logs=directory / "logs"))
            java = ["java", *_HEAP, "-cp", f"{libraries}/*"]
            format_ = ["kafka.tools.StorageTool", "format", "--cluster-id", _CLUSTER, "--config", str(config)]
            subprocess.run([*java, *format_], check=True, capture_output=True)
            command = [*java, "kafka.Kafka", str(config)]
            self.pid = stack.enter_context(running(command, port=port, log=directory / "kafka.log", patience=60))
            self.bootstrap = f"{HOST}:{port}"
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._stack.close()


def _libraries() -> Path:
    """The directory of Kafka's jars, brought by Maven at the first call."""
    if not shutil.which("java"):
        raise Unavailable("Java (17 or newer) is not installed: apt-get install default-jre-headless")
    if not (CACHE / "complete").exists():
        if not shutil.which("mvn"):
            raise Unavailable("Maven is not installed: apt-get install maven")
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={CACHE}", "-DincludeScope=runtime"]
        maven = subprocess.run(["mvn", "-q", "-B", "-f", str(POM), *copy], check=False, capture_output=True, text=True)
        if maven.returncode != 0:
            raise Unavailable(f"Maven could not bring Apache Kafka {VERSION}:\n{maven.stdout[-2000:]}")
        (CACHE / "complete").touch()
    return CACHE
