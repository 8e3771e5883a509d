"""The dashboard over a real run: the three services, a broker, made-up traffic, and a Prometheus that scrapes them."""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import grpc
import pytest
from kafka import KafkaProducer

from puntual.notifier.v1.incident_pb2 import INCIDENT_STATE_OPEN
from puntual.notifier.v1.notifier_service_pb2 import ListIncidentsRequest, RespondRequest
from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceStub
from puntual.notifier.v1.response_pb2 import RESPONSE_ACTION_ACKNOWLEDGE, Response
from puntual.promises.v1.promise_service_pb2 import ListPromisesRequest
from puntual.promises.v1.promise_service_pb2_grpc import PromiseServiceStub
from services.cli.inputs import INPUTS
from services.cli.traffic import CUSTOMERS, Happening, stories
from services.shared.clock import wall_clock
from services.shared.instant import SECOND, Instant
from services.shared.publisher import Publisher
from services.shared.topics import provision
from tests.conftest import left_out
from tests.deployed import DEPLOY, dashboard_queries, rule_queries
from tests.processes import ServiceProcess, eventually
from tests.prometheus import Prometheus, prometheus

DEMO = Path(__file__).parents[2] / "services" / "cli" / "demo"
SERVICES = ("promises", "sla", "notifier")
PARTITIONS = 4
STORIES = 60
#: Seconds between two stories.
PACE = 0.4
#: Longer than the run, so that a rate sees all of it.
WHOLE_RUN = "5m"
#: So that a busy service has answered by then: what cannot be scraped has no gauges.
SCRAPE_INTERVAL = "3s"

NOTIFIER = """
targets:
  console: {{channel: console, canary: {{every: 1min}}}}
  crm: {{channel: webhook, settings: {{url: "http://127.0.0.1:{port}/", networks: [127.0.0.0/8]}}}}
severity:
  - {{match: {{service: [promises]}}, severity: critical}}
routes:
  - {{name: everything, targets: [console, crm], group_by: [kind], at_risk: true}}
"""

#: Panels about what must not happen, and does not in a run that is well.
EMPTY_WHERE_ALL_IS_WELL = {
    "is-our-word-kept: Offsets that jumped A",
    "is-our-word-kept: Sources silent A",
    "is-our-word-kept: Fulfilled, never promised A",
}


class Unfriendly(BaseHTTPRequestHandler):
    """A receiver that lets nobody in."""

    def do_POST(self) -> None:
        self.send_error(HTTPStatus.UNAUTHORIZED)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def unfriendly_receiver() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Unfriendly)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def server(embedded_kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped a run from its start to its end."""
    if not shutil.which("prometheus"):
        left_out("Prometheus is not installed: apt-get install prometheus")
    directory, prefix = tmp_path_factory.mktemp("monitoring"), "monitoring."
    provision(embedded_kafka, prefix, PARTITIONS)
    with ExitStack() as stack:
        config = directory / "notifier.yaml"
        config.write_text(NOTIFIER.format(port=stack.enter_context(unfriendly_receiver())))
        settings: dict[str, Any] = {
            "partitions": PARTITIONS,
            "rules": DEMO / "rules.yaml",
            "standards": DEMO / "standards.yaml",
            "notifier": config,
        }
        workers = {
            name: stack.enter_context(ServiceProcess(name, embedded_kafka, prefix, **settings)) for name in SERVICES
        }
        targets = {name: worker.metrics_port for name, worker in workers.items()}
        watching = stack.enter_context(prometheus(targets, DEPLOY / "prometheus" / "rules", SCRAPE_INTERVAL))
        eventually(lambda: len(watching.query("puntual_ready == 1")) == len(workers), 20)
        live(embedded_kafka, prefix, workers["promises"].address)
        answer(workers["notifier"].address)
        yield watching


def live(bootstrap: str, prefix: str, promises: str) -> None:
    """Let stories happen, one message be unusable, and somebody ask about each customer."""
    rubbish = KafkaProducer(bootstrap_servers=bootstrap)
    rubbish.send(f"{prefix}orders.v1", b"\xff\xff", key=b"c-101").get(timeout=10)
    rubbish.close()
    with grpc.insecure_channel(promises) as channel:
        stub = PromiseServiceStub(channel)
        with Publisher(bootstrap, prefix) as publisher:
            for number, happening in enumerate(told(wall_clock())):
                time.sleep(max(happening.at - wall_clock(), 0) / SECOND)
                publisher.publish_json(INPUTS[happening.topic], happening.event)
                stub.ListPromises(ListPromisesRequest(customer_id=CUSTOMERS[number % len(CUSTOMERS)].id), timeout=5)


def answer(notifier: str) -> None:
    """Let somebody see to one of the incidents."""
    with grpc.insecure_channel(notifier) as channel:
        stub = NotifierServiceStub(channel)
        listed = stub.ListIncidents(ListIncidentsRequest(state=INCIDENT_STATE_OPEN), timeout=10)
        response = Response(incident_id=listed.incidents[0].incident_id, action=RESPONSE_ACTION_ACKNOWLEDGE, by="ana")
        stub.Respond(RespondRequest(response=response), timeout=10)


def told(start: Instant) -> list[Happening]:
    """What happens in all stories, in order."""
    happenings = [
        happening
        for number, tell in enumerate(islice(stories(Random(7)), STORIES))
        for happening in tell(Instant(start + round(number * PACE * SECOND)))
    ]
    return sorted(happenings, key=lambda happening: happening.at)


@pytest.mark.slow
def test_every_panel_shows_what_happened_in_a_real_run(server: Prometheus) -> None:
    """Each query of the dashboard finds data that the services exported; only what is not well is absent."""
    wanted = [query for query in dashboard_queries() if query.where not in EMPTY_WHERE_ALL_IS_WELL]

    def all_shown() -> bool:
        wanted[:] = [query for query in wanted if not server.query(query.expr, WHOLE_RUN)]
        return not wanted

    eventually(all_shown, 20)
    assert [query.where for query in wanted] == []


@pytest.mark.slow
def test_what_was_provoked_in_a_real_run_is_alerted_and_nothing_else(server: Prometheus) -> None:
    """The unusable message, the receiver that refuses and that nobody answers are reported; what is well is not."""
    refused = {"PuntualNotificationsGivenUp", "PuntualChannelFailing", "PuntualNotificationsLate"}
    expected = {"PuntualWatchdog", "PuntualDeadLetters", "PuntualUnacknowledged", *refused}
    alerts = [query for query in rule_queries() if query.where.startswith("Puntual")]
    about_us = [query for query in alerts if not query.where.endswith("Breaking")]  # the traffic breaks on purpose

    def raised() -> set[str]:
        return {query.where for query in about_us if server.query(query.expr)}

    # A busy machine may lag for a while; the alert itself waits for that to last.
    eventually(lambda: raised() == expected, 60)
    assert raised() == expected
