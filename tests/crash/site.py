"""One run: topics of its own, one provider that records calls, and workers that die and are started again."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from puntual.notifier.v1 import incident_pb2 as pb
from puntual.promises.v1.promise_pb2 import Promise, PromiseKind, PromiseState
from services.notifier.channels import KNOWING_COPIES
from services.shared.clock import set_timestamp, wall_clock
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.publisher import Publisher
from services.shared.topics import DEAD_LETTERS, INCIDENTS, PROMISES, provision
from tests.brokers import ROOT
from tests.crash.evidence import Evidence
from tests.crash.providers import MARK, PROVIDERS, Calls
from tests.integration.engine.reading import latest, read_topic
from tests.processes import ServiceProcess, wait_for

_CONFIG = """
targets:
  crm: {{channel: {channel}, settings: {settings}}}
routes:
  - {{name: everything, targets: [crm], group_by: [kind]}}
"""
#: Seconds in which everything must have come, on a busy machine.
PATIENCE = 60.0
#: How the console begins what the provider refused.
_COPY = "[not delivered to crm]"
#: What becomes of the promise: its state and the transition announced.
BREACH, RESOLUTION = ("BROKEN", "broken"), ("KEPT_LATE", "kept_late")


class Notifier(ServiceProcess):
    """A notifier that may be told where to kill itself. Its log goes on over restarts."""

    def begin(self, point: str = "", times: int = 1) -> None:
        """Start it, an ordinary one where no point is named; does not wait."""
        module = ("tests.crash.worker", point, str(times)) if point else ("services.notifier",)
        self._command = [sys.executable, "-m", *module]
        self._environment["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT, ROOT / "protos")))
        self.start()

    def wait_dead(self) -> int | None:
        """Wait until it has ended by itself; its exit code."""
        wait_for(lambda: not self.runs, PATIENCE, lambda: f"it did not die\n{self.output()}")
        assert self._process is not None
        return self._process.returncode

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._runs()


class Site:
    """Where a run happens."""

    def __init__(
        self, kafka: str, prefix: str, partitions: int, config: Path, calls: Calls, *, copies_known: bool
    ) -> None:
        self._copies_known = copies_known
        self._kafka, self._prefix, self._partitions, self._config = kafka, prefix, partitions, config
        self._workers: list[Notifier] = []
        self.calls = calls
        #: How those workers ended that were to die.
        self.deaths: list[int | None] = []

    def worker(self, instance: str = "only", session_seconds: int = 30) -> Notifier:
        """A notifier, not started yet."""
        notifier = Notifier(
            "notifier", self._kafka, self._prefix,
            partitions=self._partitions, notifier=self._config, instance=instance, session_seconds=session_seconds,
        )  # fmt: skip
        self._workers.append(notifier)
        return notifier

    def announce(self, news: tuple[str, str], age: int = 0) -> None:
        """Write the promise as the promise service does `age` seconds ago, due a second before that."""
        state, transition = news
        now = Instant(wall_clock() - age * SECOND)
        promise = Promise(
            promise_id="ana/order_ready/A-1",
            kind=PromiseKind.PROMISE_KIND_ORDER_READY,
            state=PromiseState.Value(f"PROMISE_STATE_{state}"),
        )
        for stamp in (promise.due_at, promise.original_due_at, promise.settled_at):
            set_timestamp(stamp, Instant(now - SECOND))
        headers = [("transition", transition.encode()), ("announced-at", format_instant(now).encode())]
        with Publisher(self._kafka, self._prefix) as publisher:
            publisher.send(
                PROMISES.under(self._prefix), promise.promise_id.encode(), promise.SerializeToString(), headers
            )

    def wait_called(self) -> None:
        """Wait until the provider has been called."""
        wait_for(lambda: bool(self.calls.made), PATIENCE, self.output)

    def wait_settled(self, messages: int) -> None:
        """Wait until so many messages were sent, and the incident says how all of them ended."""
        wait_for(lambda: self._is_settled(messages), PATIENCE, self.output)

    def _is_settled(self, messages: int) -> bool:
        if len(self.calls.ids()) < messages:
            return False
        incident = self._incident()
        states = [pb.DELIVERY_STATE_PENDING, pb.DELIVERY_STATE_SENDING]
        return (
            incident is not None
            and incident.next_sequence >= messages
            and not any(delivery.state in states for delivery in incident.deliveries)
        )

    def _incident(self) -> pb.Incident | None:
        records = latest(read_topic(self._kafka, INCIDENTS.under(self._prefix)))
        return next((pb.Incident.FromString(value) for value in records.values()), None)

    def evidence(self) -> Evidence:
        """What is there now."""
        dead_letters = read_topic(self._kafka, DEAD_LETTERS.under(self._prefix))
        copies = [line for line in self.output().splitlines() if _COPY in line]
        return Evidence(
            tuple(self.deaths), tuple(self.calls.made), len(copies), self._incident(), len(dead_letters),
            sum(MARK in line for line in copies), self._copies_known,
        )  # fmt: skip

    def output(self) -> str:
        """What the workers have logged."""
        return "\n".join(worker.output() for worker in self._workers)

    def close(self) -> None:
        """End what still runs."""
        self.calls.free.set()
        for worker in self._workers:
            if worker.runs:
                worker.kill()
            worker.__exit__(None, None, None)


@contextmanager
def site(kafka: str, prefix: str, channel: str, partitions: int = 1) -> Iterator[Site]:
    """Make one."""
    provision(kafka, prefix, partitions)
    calls = Calls()
    with tempfile.TemporaryDirectory(prefix="puntual-crash-") as directory, PROVIDERS[channel](calls) as settings:
        config = Path(directory) / "notifier.yaml"
        config.write_text(_CONFIG.format(channel=channel, settings=settings))
        place = Site(kafka, prefix, partitions, config, calls, copies_known=channel in KNOWING_COPIES)
        try:
            yield place
        finally:
            place.close()
