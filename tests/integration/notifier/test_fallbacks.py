"""A target whose server refuses everything, its fallback, and what is sent again once the server is mended."""

import json
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from puntual.promises.v1.promise_pb2 import (
    PROMISE_KIND_ORDER_READY,
    PROMISE_STATE_BROKEN,
    PROMISE_STATE_KEPT_LATE,
    Promise,
    PromiseState,
)
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
  shop:
    channel: webhook
    fallback: boss
    settings: {{url: "http://{host}:{port}/shop", networks: [127.0.0.0/8]}}
  boss: {{channel: webhook, settings: {{url: "http://{host}:{port}/boss", networks: [127.0.0.0/8]}}}}
routes: [{{name: everything, targets: [shop], group_by: [kind]}}]
"""


class Server:
    """Answers by path: 204, or what `status` says of it. It keeps what it accepted: who, type, and what of."""

    def __init__(self) -> None:
        accepted = self.accepted = list[tuple[str, str, str]]()
        #: Message id → how often it was accepted.
        ids = self.ids = Counter[str]()
        status = self.status = dict[str, int]()
        texts = self.texts = list[str]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["content-length"])))
                who, code = self.path.removeprefix("/"), status.get(self.path, 204)
                if code == 204:
                    ids[self.headers["webhook-id"]] += 1
                    what = ",".join(sorted(item["subject_id"] for item in message["data"]["items"]))
                    accepted.append((who, message["type"].removeprefix("incident."), what))
                    texts.append(message["data"]["text"])
                self.send_response(code)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()


class Site:
    """A broker with topics of its own, a server for both targets, and what people type."""

    def __init__(self, kafka: str, prefix: str, directory: Path) -> None:
        provision(kafka, prefix, PARTITIONS)
        self.kafka, self.prefix, self.web = kafka, prefix, Server()
        self.config = directory / "notifier.yaml"
        self.config.write_text(CONFIG.format(host=HOST, port=self.web.server.server_port))

    def types(self, *arguments: str) -> str:
        """What `puntual incidents` says."""
        return typed("incidents", *arguments, "--kafka", self.kafka, "--prefix", self.prefix)

    def worker(self) -> ServiceProcess:
        """A notifier, not started yet."""
        return ServiceProcess(
            "notifier", self.kafka, self.prefix, partitions=PARTITIONS, notifier=self.config, instance="only"
        )

    def stands(self, subject: str, state: PromiseState.ValueType, transition: bytes) -> None:
        """A promise stands so, as the promise service announces it."""
        now = wall_clock()
        promise = Promise(promise_id=f"ana/order_ready/{subject}", kind=PROMISE_KIND_ORDER_READY, state=state)
        for stamp in (promise.due_at, promise.original_due_at, promise.settled_at):
            set_timestamp(stamp, Instant(now - SECOND))
        headers = [("transition", transition), ("announced-at", format_instant(now).encode())]
        with Publisher(self.kafka, self.prefix) as publisher:
            publisher.send(
                PROMISES.under(self.prefix), promise.promise_id.encode(), promise.SerializeToString(), headers
            )

    def accepted(self, worker: ServiceProcess, *expected: tuple[str, str, str]) -> None:
        """Wait until exactly that was accepted, in this order."""
        wait_for(lambda: self.web.accepted == list(expected), 30, lambda: f"{self.web.accepted}\n{worker.output()}")

    def close(self) -> None:
        """Accept no more."""
        self.web.server.shutdown()
        self.web.server.server_close()


@pytest.fixture
def site(real_kafka: str, prefix: str, tmp_path: Path) -> Iterator[Site]:
    """On Apache Kafka."""
    place = Site(real_kafka, prefix, tmp_path)
    yield place
    place.close()


@pytest.mark.parametrize("status", [400, 410])
def test_the_fallback_is_told_and_the_target_once_it_is_mended(site: Site, status: int) -> None:
    """Instead of the shop the boss, who hears the end, too; then the shop of what is still open, exactly once."""
    site.web.status["/shop"] = status
    with site.worker() as worker:
        site.stands("A-1", PROMISE_STATE_BROKEN, b"broken")
        told = [("boss", "breach", "A-1")]
        site.accepted(worker, *told)
        assert "told here because shop could not be reached" in site.web.texts[0]
        site.stands("A-2", PROMISE_STATE_BROKEN, b"broken")
        told.append(("boss", "breach", "A-2"))
        site.accepted(worker, *told)
        (lost,) = map(json.loads, site.types("list", "--lost", "--json").splitlines())
        assert lost["incidentId"] == INCIDENT
        assert "not delivered: 2 to shop\n" in site.types("show", INCIDENT)
        site.stands("A-1", PROMISE_STATE_KEPT_LATE, b"kept_late")
        told.append(("boss", "resolved", "A-1"))
        site.accepted(worker, *told)
        del site.web.status["/shop"]
        # Of A-1 it is not told: that is over.
        assert site.types("resend", "--all", "--by", "ana") == "Told again: shop.\n"
        told.append(("shop", "reminder", "A-2"))
        site.accepted(worker, *told)
        assert site.types("list", "--lost") == ""
        assert "sent again by ana through cli" in site.types("show", INCIDENT)
        site.stands("A-2", PROMISE_STATE_KEPT_LATE, b"kept_late")
        wait_for(lambda: len(site.web.accepted) == 6, 30, worker.output)
        assert sorted(site.web.accepted[4:]) == [("boss", "resolved", "A-2"), ("shop", "resolved", "A-2")]
        dead = [json.loads(line) for line in site.types("audit", "--outcome", "dead", "--json").splitlines()]
        assert {entry["notification"]["target"] for entry in dead} == {"shop"}
        assert [entry["notification"]["kind"] for entry in dead].count("NOTIFICATION_KIND_BREACH") == 2
        answers = [entry["answer"]["action"] for entry in map(json.loads, site.types("audit", "--json").splitlines())
                   if "answer" in entry]  # fmt: skip
        assert answers == ["resend"]
    assert set(site.web.ids.values()) == {1}
