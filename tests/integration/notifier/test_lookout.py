"""The notifier watched, as a process: what reaches the people and the service outside while it is well."""

import json
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from kafka import KafkaProducer

from puntual.promises.v1.promise_pb2 import PROMISE_KIND_ORDER_READY, PROMISE_STATE_BROKEN, Promise
from services.shared.broker import HOST
from services.shared.clock import set_timestamp, wall_clock
from services.shared.instant import format_instant
from services.shared.publisher import Publisher
from services.shared.topics import DISPATCH, PROMISES, provision
from tests.processes import ServiceProcess, wait_for

PARTITIONS = 3
#: An interval that no test sees the end of, and one that ends at once.
CONFIG = """
targets:
  crm: {{channel: webhook, canary: {{every: 100d}}, settings: {{url: "{url}/hook", networks: [127.0.0.0/8]}}}}
  quiet: {{channel: webhook, settings: {{url: "{url}/quiet", networks: [127.0.0.0/8]}}}}
heartbeat: {{url: "env:HEARTBEAT_URL", every: 1s, networks: [127.0.0.0/8]}}
routes:
  - {{name: everything, targets: [crm, quiet], group_by: [kind]}}
"""
BEAT = "puntual_notifier_heartbeat_{}_timestamp_seconds"
CANARY = 'puntual_notifier_canary_{}_timestamp_seconds{{channel="webhook"}}'


class Outside:
    """Whoever hears from the notifier: the people behind a webhook, and a service that waits for its heartbeat."""

    def __init__(self) -> None:
        #: (path, id, type).
        self.messages: list[tuple[str, str, str]] = []
        self.beats = 0
        self.status = 204
        #: The paths at which all are asked to come again in twenty seconds.
        self.busy: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.messages.append((self.path, self.headers["webhook-id"], message["type"]))
                self.answer(503 if self.path in outer.busy else outer.status)

            def do_GET(self) -> None:
                assert self.path == "/heart"
                outer.beats += 1
                self.answer(outer.status)

            def answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("retry-after", "20")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Hear no more."""
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def outside() -> Iterator[Outside]:
    """Running."""
    server = Outside()
    yield server
    server.close()


@pytest.fixture
def config(outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The document that leads there."""
    monkeypatch.setenv("HEARTBEAT_URL", f"{outside.url}/heart")
    file = tmp_path / "notifier.yaml"
    file.write_text(CONFIG.format(url=outside.url))
    return file


def a_worker(kafka: str, prefix: str, config: Path, name: str = "only") -> ServiceProcess:
    """A notifier, not started yet."""
    return ServiceProcess(
        "notifier", kafka, prefix, partitions=PARTITIONS, notifier=config, instance=name, session_seconds=8
    )


def test_while_it_is_well_it_is_heard_of_outside_and_people_get_canaries(
    kafka: str, prefix: str, outside: Outside, config: Path
) -> None:
    """Only who asked for them; after a restart the same one again. Prometheus sees both, and that all was audited."""
    provision(kafka, prefix, PARTITIONS)
    for run in (1, 2):
        beats = outside.beats
        with a_worker(kafka, prefix, config) as worker:
            wait_for(lambda run=run: len(outside.messages) == run, 20, worker.output)  # type: ignore[misc]
            wait_for(lambda beats=beats: outside.beats >= beats + 3, 20, worker.output)  # type: ignore[misc]
            wait_for(lambda worker=worker: worker.metrics()[CANARY.format("last_success")] > 0, 5)  # type: ignore[misc]
            metrics = worker.metrics()
            assert metrics[BEAT.format("expected")] == pytest.approx(metrics[BEAT.format("last_success")] + 2)
            assert metrics["puntual_notifier_last_audit_timestamp_seconds"] > 0
            assert metrics["puntual_notifier_incident_overdue_seconds"] == 0
            assert worker.terminate() == 0
    ((path, canary_id, kind),) = set(outside.messages)
    assert (path, kind) == ("/hook", "canary")
    assert canary_id


def test_what_is_not_accepted_outside_is_seen_in_the_metrics(
    embedded_kafka: str, prefix: str, outside: Outside, config: Path
) -> None:
    """Both are expected by a time that comes nearer and passes."""
    provision(embedded_kafka, prefix, PARTITIONS)
    outside.status = 403
    with a_worker(embedded_kafka, prefix, config) as worker:
        wait_for(lambda: outside.beats >= 3 and bool(outside.messages), 20, worker.output)
        metrics = worker.metrics()
        assert [metrics[name.format("last_success")] for name in (BEAT, CANARY)] == [0, 0]
        assert all(metrics[name.format("expected")] > 0 for name in (BEAT, CANARY))
        assert "canary not accepted target=crm failure=auth" in worker.output()
        assert "heartbeat not accepted failure=auth" in worker.output()


def test_of_several_workers_one_sends_each(real_kafka: str, prefix: str, outside: Outside, config: Path) -> None:
    """And when it is gone, another does."""
    provision(real_kafka, prefix, PARTITIONS)
    workers = [a_worker(real_kafka, prefix, config, name) for name in ("one", "two")]

    def senders(name: str) -> list[ServiceProcess]:
        return [worker for worker in workers if sees(worker).get(name.format("expected"), 0) > 0]

    def sees(worker: ServiceProcess) -> Mapping[str, float]:
        return worker.metrics() if worker.get("/metrics") else {}

    with workers[0], workers[1]:
        wait_for(lambda: all(worker.get("/readyz") == "ok\n" for worker in workers), 60)
        found: list[ServiceProcess] = []

        def one_sends_each() -> bool:
            """While partitions move to the second worker, nobody may, for a moment."""
            found[:] = senders(BEAT)
            return len(found) == len(senders(CANARY)) == 1

        wait_for(one_sends_each, 20)
        (sender,) = found
        (other,) = {*workers} - {sender}
        sender.terminate()
        wait_for(lambda: senders(BEAT) == senders(CANARY) == [other], 60, other.output)
        beats = outside.beats
        wait_for(lambda: outside.beats > beats, 20, other.output)


@pytest.mark.slow
def test_the_heartbeat_stops_when_a_delivery_is_stuck(
    real_kafka: str, prefix: str, outside: Outside, config: Path
) -> None:
    """A publisher's open transaction holds the worker's time back while a message waits for its next attempt."""
    provision(real_kafka, prefix, PARTITIONS)
    outside.busy = {"/quiet"}
    publisher = KafkaProducer(
        bootstrap_servers=real_kafka, transactional_id=f"{prefix}shop", transaction_timeout_ms=300_000
    )
    publisher.init_transactions()
    with a_worker(real_kafka, prefix, config) as worker:
        wait_for(lambda: outside.beats > 0, 20, worker.output)
        announce_broken(real_kafka, prefix)
        wait_for(lambda: "will be tried again" in worker.output(), 20, worker.output)
        publisher.begin_transaction()
        for partition in range(PARTITIONS):
            publisher.send(DISPATCH.under(prefix), key=b"x", value=b"", partition=partition)
        publisher.flush()
        wait_for(lambda: worker.metrics()[STUCK] == 1, 150, worker.output)
        assert worker.metrics()["puntual_notifier_incident_overdue_seconds"] > 60
        assert worker.output().count("overdue, and looked at again now incident=everything/kind=order_ready") == 1
        time.sleep(2)
        beats = outside.beats
        time.sleep(4)
        assert outside.beats == beats
        assert worker.get("/readyz") == "ok\n"
        outside.busy = set()
        publisher.abort_transaction()
        wait_for(lambda: worker.metrics()[STUCK] == 0, 40, worker.output)
        wait_for(lambda: outside.beats > beats, 20, worker.output)
        assert [path for path, _, kind in outside.messages if kind == "incident.breach"].count("/quiet") == 2
    publisher.close()


STUCK = 'puntual_notifier_stuck_deliveries{channel="webhook"}'


def announce_broken(kafka: str, prefix: str) -> None:
    """As the promise service does it."""
    promise = Promise(promise_id="ana/order_ready/A-1", kind=PROMISE_KIND_ORDER_READY, state=PROMISE_STATE_BROKEN)
    now = wall_clock()
    for stamp in (promise.due_at, promise.original_due_at, promise.settled_at):
        set_timestamp(stamp, now)
    headers = [("transition", b"broken"), ("announced-at", format_instant(now).encode())]
    with Publisher(kafka, prefix) as publisher:
        publisher.send(PROMISES.under(prefix), promise.promise_id.encode(), promise.SerializeToString(), headers)
        publisher.flush()
