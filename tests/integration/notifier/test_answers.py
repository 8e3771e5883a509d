"""Answering incidents, as it is used: a notifier, a command line and a gRPC client, each in a process of its own."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import grpc
import pytest

from puntual.notifier.v1.incident_pb2 import INCIDENT_STATE_ACKNOWLEDGED, INCIDENT_STATE_RESOLVED, IncidentState
from puntual.notifier.v1.notifier_service_pb2 import GetIncidentRequest, ListIncidentsRequest, RespondRequest
from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceStub
from puntual.notifier.v1.response_pb2 import RESPONSE_ACTION_ACKNOWLEDGE, RESPONSE_ACTION_RESOLVE, Response
from puntual.promises.v1.promise_pb2 import PROMISE_KIND_ORDER_READY, PROMISE_STATE_BROKEN, Promise
from services.shared.broker import HOST
from services.shared.clock import set_timestamp, wall_clock
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.publisher import Publisher
from services.shared.topics import PROMISES, provision
from tests.processes import ServiceProcess, typed, wait_for

PARTITIONS = 3
INCIDENT = "everything/kind=order_ready"
CONFIG = """
targets:
  shop: {{channel: webhook, settings: {{url: "http://{host}:{port}/shop", networks: [127.0.0.0/8]}}}}
  boss: {{channel: webhook, settings: {{url: "http://{host}:{port}/boss", networks: [127.0.0.0/8]}}}}
escalations:
  up: {{steps: [{{after: {after}, targets: [boss]}}], acknowledged_for: {counts}}}
routes: [{{name: everything, targets: [shop], group_by: [kind], escalation: up}}]
"""


class Ears:
    """What the targets hear, in order: who, and the type; each message once."""

    def __init__(self) -> None:
        heard = self._heard = dict[str, tuple[str, str]]()
        #: The names of those who answered, by type.
        by = self.by = dict[str, str]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["content-length"])))
                heard[self.headers["webhook-id"]] = self.path.removeprefix("/"), message["type"].split(".")[1]
                by[message["type"].split(".")[1]] = message["data"].get("by", "")
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    def heard(self) -> list[tuple[str, str]]:
        """Who heard what."""
        return list(self._heard.values())


class Site:
    """A broker with topics of its own, ears, and what people type."""

    def __init__(self, kafka: str, prefix: str, directory: Path) -> None:
        provision(kafka, prefix, PARTITIONS)
        self.kafka, self.prefix, self.ears = kafka, prefix, Ears()
        self.config = directory / "notifier.yaml"

    def worker(self, counts: str = "1h", after: str = "5s") -> ServiceProcess:
        """A notifier, not started yet: for how long an acknowledgement counts, and when what has none escalates."""
        port = self.ears.server.server_port
        self.config.write_text(CONFIG.format(host=HOST, port=port, counts=counts, after=after))
        return ServiceProcess(
            "notifier", self.kafka, self.prefix, partitions=PARTITIONS, notifier=self.config, instance="only"
        )

    def breaks(self, subject: str) -> None:
        """A promise is broken, as the promise service announces it."""
        now = wall_clock()
        promise = Promise(
            promise_id=f"ana/order_ready/{subject}", kind=PROMISE_KIND_ORDER_READY, state=PROMISE_STATE_BROKEN
        )
        for stamp in (promise.due_at, promise.original_due_at, promise.settled_at):
            set_timestamp(stamp, Instant(now - SECOND))
        headers = [("transition", b"broken"), ("announced-at", format_instant(now).encode())]
        with Publisher(self.kafka, self.prefix) as publisher:
            publisher.send(
                PROMISES.under(self.prefix), promise.promise_id.encode(), promise.SerializeToString(), headers
            )

    def types(self, *arguments: str) -> str:
        """What `puntual incidents` says."""
        return typed("incidents", *arguments, "--kafka", self.kafka, "--prefix", self.prefix)

    def knows(self, subject: str) -> bool:
        """Whether the incident is there, and tells of it."""
        return INCIDENT in self.types("list", "--all") and subject in self.types("show", INCIDENT)

    def hears(self, worker: ServiceProcess, *expected: tuple[str, str], seconds: float = 20) -> None:
        """Wait until exactly that was heard; those at the same time in any order."""
        wait_for(
            lambda: sorted(self.ears.heard()) == sorted(expected),
            seconds,
            lambda: f"{self.ears.heard()}\n{worker.output()}",
        )

    def close(self) -> None:
        """Hear no more."""
        self.ears.server.shutdown()
        self.ears.server.server_close()


@pytest.fixture
def site(kafka: str, prefix: str, tmp_path: Path) -> Iterator[Site]:
    """On each broker in turn."""
    place = Site(kafka, prefix, tmp_path)
    yield place
    place.close()


@pytest.fixture
def real_site(real_kafka: str, prefix: str, tmp_path: Path) -> Iterator[Site]:
    """On Apache Kafka only: the embedded broker does not let go of a killed worker."""
    place = Site(real_kafka, prefix, tmp_path)
    yield place
    place.close()


TOLD = ("shop", "breach"), ("boss", "escalation")
HEARD_OF_IT = ("shop", "acknowledged"), ("boss", "acknowledged")
REMINDED = ("shop", "reminder"), ("boss", "reminder")
CLOSED = ("shop", "resolved"), ("boss", "resolved")


def test_a_breach_escalates_until_somebody_answers_and_again_when_that_lapses(site: Site) -> None:
    """Told, escalated, acknowledged, reminded three seconds later, escalated anew, and closed: everybody hears it."""
    with site.worker(counts="3s") as worker:
        site.breaks("A-1")
        site.hears(worker, *TOLD)
        said = site.types("ack", INCIDENT, "--by", "ana", "--comment", "on my way")
        assert said.startswith("Acknowledged by ana until ")
        assert said.endswith("Z; nobody further is told.\n")
        wait_for(lambda: set(HEARD_OF_IT) <= set(site.ears.heard()), 10, worker.output)
        assert site.ears.by["acknowledged"] == "ana"
        wait_for(lambda: REMINDED[0] in site.ears.heard(), 20, worker.output)
        wait_for(lambda: REMINDED[1] in site.ears.heard(), 20, worker.output)
        shown = site.types("show", INCIDENT)
        assert "acknowledged by ana through cli: on my way" in shown
        resolved = site.types("resolve", INCIDENT, "--by", "bob")
        assert resolved == "Closed by bob; whoever was told hears it. What breaks from now on is told.\n"
        wait_for(lambda: set(CLOSED) <= set(site.ears.heard()), 20, worker.output)
        assert site.ears.by["resolved"] == "bob"
        metrics = worker.metrics()
        assert metrics['puntual_notifier_time_to_acknowledge_seconds_count{severity="warning"}'] == 1
        assert 2 <= metrics['puntual_notifier_time_to_acknowledge_seconds_sum{severity="warning"}'] <= 30
        wait_for(lambda: worker.metrics()['puntual_notifier_unacknowledged_incidents{severity="warning"}'] == 0, 10)
        assert site.types("list") == ""


def test_an_answer_survives_the_notifier(real_site: Site) -> None:
    """Killed after it was acknowledged: nobody is reminded, escalated to or told again; its end is heard by all."""
    site = real_site
    with site.worker(after="15s") as worker:
        site.breaks("A-1")
        site.hears(worker, TOLD[0])
        site.types("ack", INCIDENT, "--by", "boss")
        site.hears(worker, TOLD[0], HEARD_OF_IT[0])
        worker.kill()
    with site.worker(after="15s") as worker:
        listed = site.types("list")
        assert "acknowledged by" in listed
        (found,) = map(json.loads, site.types("list", "--json").splitlines())
        assert (found["state"], found["acknowledgement"]["by"]) == ("INCIDENT_STATE_ACKNOWLEDGED", "boss")
        taken_over = json.loads(site.types("take-over", INCIDENT, "--by", "shop", "--json"))
        assert (taken_over["acknowledgement"]["by"], len(taken_over["responses"])) == ("shop", 2)
        site.breaks("A-2")
        site.hears(worker, TOLD[0], HEARD_OF_IT[0], ("shop", "breach"), ("boss", "escalation"), seconds=40)
        site.types("resolve", INCIDENT)
        wait_for(lambda: set(CLOSED) <= set(site.ears.heard()), 20, worker.output)
    assert not {"reminder"} & {kind for _, kind in site.ears.heard()}


def test_incidents_are_answered_over_grpc(site: Site) -> None:
    """Acknowledged, listed by that, closed; a response that says too little is refused."""
    with site.worker() as worker, grpc.insecure_channel(worker.address) as channel:
        stub = NotifierServiceStub(channel)

        def stands(state: IncidentState.ValueType) -> bool:
            incident = stub.GetIncident(GetIncidentRequest(incident_id=INCIDENT), timeout=10).incident
            return incident.state == state

        site.breaks("A-1")
        site.hears(worker, *TOLD)
        ack = Response(incident_id=INCIDENT, action=RESPONSE_ACTION_ACKNOWLEDGE, by="boss")
        response_id = stub.Respond(RespondRequest(response=ack), timeout=15).response_id
        wait_for(lambda: stands(INCIDENT_STATE_ACKNOWLEDGED), 10, worker.output)
        (incident,) = stub.ListIncidents(ListIncidentsRequest(state=INCIDENT_STATE_ACKNOWLEDGED), timeout=10).incidents
        assert [(said.response_id, said.via) for said in incident.responses] == [(response_id, "grpc")]
        with pytest.raises(grpc.RpcError, match="response_id, incident_id, by and action must be set"):
            stub.Respond(RespondRequest(response=Response(incident_id=INCIDENT)), timeout=15)
        ack.action = RESPONSE_ACTION_RESOLVE
        stub.Respond(RespondRequest(response=ack), timeout=15)
        wait_for(lambda: stands(INCIDENT_STATE_RESOLVED), 10, worker.output)
        site.hears(worker, *TOLD, HEARD_OF_IT[0], *CLOSED)
