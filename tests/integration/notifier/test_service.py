"""The notifier as a process, on real brokers: from announced records to a webhook and a mailbox."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any

import grpc
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from puntual.notifier.v1.incident_pb2 import INCIDENT_STATE_RESOLVED, Incident
from puntual.notifier.v1.notifier_service_pb2 import GetIncidentRequest, ListIncidentsRequest
from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceStub
from puntual.promises.v1.promise_pb2 import Context, Promise, PromiseKind, PromiseState
from services.shared.broker import HOST, free_port
from services.shared.clock import set_timestamp, wall_clock
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.publisher import Publisher
from services.shared.topics import DEAD_LETTERS, INCIDENTS, PROMISES, provision
from tests.integration.engine.reading import Entry, read_topic
from tests.processes import ServiceProcess, wait_for

PARTITIONS = 3
CONFIG = """
targets:
  crm:
    channel: webhook
    settings: {{url: "http://{host}:{web}/hook", networks: [127.0.0.0/8], timeout: 30s}}
  desk:
    channel: email
    settings:
      {{host: {host}, port: {smtp}, tls: none, networks: [127.0.0.0/8], from: a@example.com, to: [desk@example.com]}}
routes:
  - {{name: everything, targets: [crm, desk], group_by: [kind]}}
"""

#: By severity to the webhook, by kind and team to the mailbox, and the rest to the console.
ROUTED = """
targets:
  console: {{channel: console}}
  crm: {{channel: webhook, settings: {{url: "http://{host}:{web}/hook", networks: [127.0.0.0/8]}}}}
  desk:
    channel: email
    settings:
      {{host: {host}, port: {smtp}, tls: none, networks: [127.0.0.0/8], from: a@example.com, to: [desk@example.com]}}
severity:
  - {{match: {{kind: [appointment]}}, severity: critical}}
routes:
  - {{name: pager, match: {{severity: [critical]}}, targets: [crm], group_by: [kind]}}
  - {{name: workshop, match: {{kind: [order_ready], team: [workshop]}}, targets: [desk], group_by: [team]}}
  - {{name: rest, targets: [console], group_by: [team]}}
"""

#: To the mailbox, and what is so many seconds late to the webhook, too.
LATENESS = 15
LATE = (
    ROUTED[: ROUTED.index("severity:")]
    + """
severity:
  - {{match: {{kind: [order_ready]}}, late: {late}s, severity: critical}}
routes:
  - {{name: pager, match: {{severity: [critical]}}, targets: [crm]}}
  - {{name: desk, targets: [desk]}}
""".replace("{late}", str(LATENESS))
)

#: To whoever is on call: the webhook, unless this is changed.
ON_CALL = (
    CONFIG.replace("targets: [crm, desk]", 'targets: ["on-call:shop"]')
    + """
schedules:
  shop:
    zone: Europe/Madrid
    fallback: desk
    layers: [{{rotation: [crm], from: 2026-01-01, at: "09:00"}}]
"""
)


class WebServer:
    """A webhook's receiver; `free` and `delay` (seconds) hold its answers back.

    It answers with `status`, and before that with each of `first`.
    """

    def __init__(self) -> None:
        self.received: list[Mapping[str, str]] = []
        self.times: list[float] = []
        self.first: list[int] = []
        self.free = Event()
        self.free.set()
        self.status = 204
        self.delay = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["content-length"])))
                link = message["data"].get("link", "")
                outer.received.append({"id": self.headers["webhook-id"], "type": message["type"], "link": link})
                outer.times.append(time.monotonic())
                outer.free.wait(20)
                time.sleep(outer.delay)
                self.send_response(outer.first.pop(0) if outer.first else outer.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    def types(self) -> list[str]:
        """The types of what was received, each id once."""
        return list({message["id"]: message["type"] for message in self.received}.values())


class Mailbox:
    """A mail server's handler that keeps what it takes."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802 - a hook
        """Keep it."""
        assert isinstance(envelope.content, bytes)
        self.mails.append(BytesParser(_class=EmailMessage, policy=default).parsebytes(envelope.content))
        return "250 ok"


class Site:
    """A broker with topics of its own, receivers, and one notifier."""

    def __init__(self, kafka: str, prefix: str, directory: Path) -> None:
        provision(kafka, prefix, PARTITIONS)
        self.kafka, self.prefix = kafka, prefix
        self.web, self.mailbox = WebServer(), Mailbox()
        self.mail_server = Controller(self.mailbox, hostname=HOST, port=free_port())
        self.mail_server.start()
        self.config = directory / "notifier.yaml"
        self.configure(CONFIG)
        self.publisher = Publisher(kafka, prefix)

    def configure(self, config: str) -> None:
        """Write the document that the next worker reads."""
        ports = {"web": self.web.server.server_port, "smtp": self.mail_server.port}
        self.config.write_text(config.format(host=HOST, **ports))

    def worker(self) -> ServiceProcess:
        """A notifier, not started yet."""
        return ServiceProcess(
            "notifier", self.kafka, self.prefix, partitions=PARTITIONS, notifier=self.config, instance="only"
        )

    def announce(
        self, subject: str, state: str, transition: str, *, kind: str = "order_ready", team: str = "workshop"
    ) -> None:
        """Write a promise as the promise service does."""
        promise = Promise(
            promise_id=f"ana/{kind}/{subject}",
            kind=PromiseKind.Value(f"PROMISE_KIND_{kind.upper()}"),
            state=PromiseState.Value(f"PROMISE_STATE_{state}"),
            context=Context(team=team),
        )
        self.write(promise, transition)

    def write(self, promise: Promise, transition: str) -> None:
        """Write a record, due a second ago, announced now."""
        now = wall_clock()
        for stamp in (promise.due_at, promise.original_due_at, promise.settled_at):
            set_timestamp(stamp, Instant(now - SECOND))
        headers = [("transition", transition.encode()), ("announced-at", format_instant(now).encode())]
        topic = PROMISES.under(self.prefix)
        self.publisher.send(topic, promise.promise_id.encode(), promise.SerializeToString(), headers)
        self.publisher.flush()

    def read(self, topic: str) -> Sequence[Entry]:
        """Everything in a topic."""
        return read_topic(self.kafka, f"{self.prefix}{topic}")

    def transitions(self) -> list[str]:
        """What was announced of incidents, in order."""
        return [entry.headers["transition"] for entry in self.read(INCIDENTS.name)]

    def mailed(self) -> set[str]:
        """The orders and appointments that mails speak of."""
        text = "".join(mail.get_content() for mail in self.mailbox.mails)
        return {subject for subject in ("A-1", "A-2", "A-3", "V-1") if subject in text}

    def heard(self, *expected: str) -> Callable[[], bool]:
        """Whether webhook and mailbox received messages of these types, in this order."""
        return lambda: self.web.types() == list(expected) and len(self.mailbox.mails) == len(expected)

    def close(self) -> None:
        """Stop the receivers."""
        self.web.free.set()
        self.mail_server.stop()
        self.web.server.shutdown()
        self.web.server.server_close()


@pytest.fixture
def site(kafka: str, prefix: str, tmp_path: Path) -> Iterator[Site]:
    """On each broker in turn."""
    place = Site(kafka, prefix, tmp_path)
    with place.publisher:
        yield place
    place.close()


@pytest.fixture
def real_site(real_kafka: str, prefix: str, tmp_path: Path) -> Iterator[Site]:
    """On Apache Kafka only: the embedded broker does not let go of a killed worker."""
    place = Site(real_kafka, prefix, tmp_path)
    with place.publisher:
        yield place
    place.close()


def test_a_breach_is_told_once_and_its_end_to_whoever_was_told(site: Site) -> None:
    """By webhook and by mail; the second mail stands in the thread of the first; gRPC shows the incident resolved."""
    with site.worker() as worker:
        site.announce("A-1", "BROKEN", "broken")
        wait_for(site.heard("incident.breach"), 30, worker.output)
        site.announce("A-1", "BROKEN", "noted")
        site.announce("A-2", "KEPT", "kept")
        site.announce("A-1", "KEPT_LATE", "kept_late")
        wait_for(site.heard("incident.breach", "incident.resolved"), 30, worker.output)
        breach, resolved = site.mailbox.mails
        assert resolved["References"] == breach["Message-ID"]
        wait_for(lambda: "resolved" in site.transitions(), 10, worker.output)
        with grpc.insecure_channel(worker.address) as channel:
            stub = NotifierServiceStub(channel)
            incident_id = "everything/kind=order_ready"
            incident = stub.GetIncident(GetIncidentRequest(incident_id=incident_id), timeout=10).incident
            assert incident.state == INCIDENT_STATE_RESOLVED
            assert len(stub.ListIncidents(ListIncidentsRequest(), timeout=10).incidents) == 1
        metrics = worker.metrics()
        told = 'puntual_notifier_notifications_total{channel="webhook",kind="breach",severity="warning"}'
        assert metrics[told] == 1


def test_everybody_hears_what_is_theirs(site: Site) -> None:
    """By severity, kind and team; one incident for each receiver group; and what cannot be read holds nobody up."""
    site.configure(ROUTED)
    with site.worker() as worker:
        newer: Any = 99
        site.write(Promise(promise_id="ana/order_ready/A-0", state=newer), "excused")
        site.announce("V-1", "BROKEN", "broken", kind="appointment")
        for subject, team in (("A-1", "workshop"), ("A-2", "workshop"), ("A-3", "counter")):
            site.announce(subject, "BROKEN", "broken", team=team)
        wait_for(lambda: site.web.types() == ["incident.breach"], 30, worker.output)
        wait_for(lambda: {"A-1", "A-2"} <= site.mailed(), 30, worker.output)
        wait_for(lambda: "WARNING  Promise broken: getting order A-3 ready" in worker.output(), 30, worker.output)
        with grpc.insecure_channel(worker.address) as channel:
            answer = NotifierServiceStub(channel).ListIncidents(ListIncidentsRequest(), timeout=10)
        assert {incident.incident_id: len(incident.items) for incident in answer.incidents} == {
            "pager/kind=appointment": 1,
            "workshop/team=workshop": 2,
            "rest/team=counter": 1,
        }
        assert not site.mailed() & {"V-1", "A-3"}
    (put_aside,) = site.read(DEAD_LETTERS.name)
    assert (put_aside.headers["reason"], put_aside.headers["topic"]) == ("invalid", PROMISES.under(site.prefix))


def test_whoever_is_on_call_is_told_and_its_end_to_whoever_was(site: Site) -> None:
    """Over a hand-off and a restart: the next breach goes to the next one on call, the end of this one to the first."""
    site.configure(ON_CALL)
    with site.worker() as worker:
        site.announce("A-1", "BROKEN", "broken")
        wait_for(lambda: site.web.types() == ["incident.breach"], 30, worker.output)
        assert worker.metrics()['puntual_notifier_schedules_uncovered{horizon="7d"}'] == 0
        assert worker.terminate() == 0
    site.configure(ON_CALL.replace("[crm]", "[desk]"))
    with site.worker() as worker:
        site.announce("A-2", "BROKEN", "broken")
        wait_for(lambda: site.mailed() == {"A-2"}, 30, worker.output)
        site.announce("A-1", "KEPT_LATE", "kept_late")
        wait_for(lambda: site.web.types() == ["incident.breach", "incident.resolved"], 30, worker.output)
    assert len(site.mailbox.mails) == 1


def test_what_stays_broken_is_told_by_another_route_once_it_is_late(site: Site) -> None:
    """When the time has come, over a restart; of what was fulfilled before that it says nothing."""
    site.configure(LATE)
    with site.worker() as worker:
        announced = time.monotonic()
        site.announce("A-1", "BROKEN", "broken")
        site.announce("A-2", "BROKEN", "broken")
        wait_for(lambda: site.mailed() == {"A-1", "A-2"}, 10, worker.output)
        site.announce("A-2", "KEPT_LATE", "kept_late")
        wait_for(lambda: any("Done, but late" in str(mail["Subject"]) for mail in site.mailbox.mails), 10)
        assert worker.terminate() == 0
    assert not site.web.received
    with site.worker() as worker:
        wait_for(lambda: site.web.types() == ["incident.breach"], 30, worker.output)
        assert site.web.times[0] - announced > LATENESS - 1
        site.announce("A-1", "KEPT_LATE", "kept_late")
        wait_for(lambda: site.web.types() == ["incident.breach", "incident.resolved"], 30, worker.output)
    records = [entry.value for entry in site.read(INCIDENTS.name) if entry.key == b"pager" and entry.value]
    paged = [delivery for record in records for delivery in Incident.FromString(record).deliveries]
    assert {item.record_id for delivery in paged for item in delivery.items} == {"ana/order_ready/A-1"}
    assert len(site.web.received) == len({delivery.delivery_id for delivery in paged}) == 2


def test_a_target_in_trouble_is_tried_until_it_takes_the_message(site: Site) -> None:
    """Later each time, under the same id, and counted; what is retracted afterwards is told as well."""
    site.web.first = [503, 429]
    with site.worker() as worker:
        site.announce("A-1", "BROKEN", "broken")
        wait_for(lambda: len(site.web.received) == 3, 40, worker.output)
        assert len({message["id"] for message in site.web.received}) == 1
        assert all(later - earlier >= 1 for earlier, later in pairwise(site.web.times))
        site.announce("A-1", "KEPT", "retracted")
        wait_for(site.heard("incident.breach", "incident.resolved"), 30, worker.output)
        attempts = {
            outcome: worker.metrics()[f'puntual_notifier_attempts_total{{channel="webhook",outcome="{outcome}"}}']
            for outcome in ("retryable", "success", "permanent")
        }
        assert attempts == {"retryable": 2, "success": 2, "permanent": 0}


def test_a_restart_tells_nothing_again(site: Site) -> None:
    """What was told is in the record, and the relay goes on where it was."""
    with site.worker() as worker:
        site.announce("A-1", "BROKEN", "broken")
        wait_for(site.heard("incident.breach"), 30, worker.output)
        assert worker.terminate() == 0
    with site.worker() as worker:
        site.announce("A-2", "BROKEN", "broken")
        wait_for(site.heard("incident.breach", "incident.breach"), 30, worker.output)
        assert len(site.web.received) == 2


def test_what_is_under_way_when_the_worker_is_told_to_stop_is_told_once(site: Site) -> None:
    """The attempt ends, and what came of it is in the record before the worker ends."""
    site.web.delay = 1.5
    with site.worker() as worker:
        site.announce("A-1", "BROKEN", "broken")
        wait_for(lambda: len(site.web.received) == 1, 30, worker.output)
        assert worker.terminate() == 0
    site.web.delay = 0
    with site.worker() as worker:
        site.announce("A-2", "BROKEN", "broken")
        wait_for(site.heard("incident.breach", "incident.breach"), 30, worker.output)
        assert len(site.web.received) == 2


def test_a_message_that_was_under_way_when_the_worker_died_is_sent_again(real_site: Site) -> None:
    """Killed between the provider's acceptance and the report: the same id comes again, and nothing is lost."""
    site = real_site
    site.web.free.clear()
    with site.worker() as worker:
        site.announce("A-1", "BROKEN", "broken")
        wait_for(lambda: len(site.web.received) == 1, 30, worker.output)
        worker.kill()
    site.announce("A-1", "KEPT_LATE", "kept_late")
    site.web.free.set()
    with site.worker() as worker:
        wait_for(lambda: site.web.types() == ["incident.breach", "incident.resolved"], 60, worker.output)
    assert [message["id"] for message in site.web.received].count(site.web.received[0]["id"]) == 2


def test_what_a_target_refuses_is_said_on_the_console(site: Site) -> None:
    """The other target is told all the same."""
    site.web.status = 404
    with site.worker() as worker:
        site.announce("A-1", "BROKEN", "broken")
        wait_for(
            lambda: "[not delivered to crm] Promise broken: getting order A-1 ready" in worker.output(),
            30,
            worker.output,
        )
        wait_for(lambda: len(site.mailbox.mails) == 1, 10, worker.output)
        wait_for(lambda: worker.metrics()[FAILED] == 1, 10)


FAILED = 'puntual_notifier_notifications_failed_total{channel="webhook",reason="client_error"}'
