"""People on call as it is used: a notifier on real Kafka, two people who take turns, and a phone and a mailbox each."""

import json
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from puntual.promises.v1.promise_pb2 import Context, Promise, PromiseKind, PromiseState
from services.shared.broker import HOST
from services.shared.clock import set_timestamp, wall_clock
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.publisher import Publisher
from services.shared.topics import PROMISES, provision
from tests.processes import ServiceProcess, typed, wait_for

PARTITIONS = 3
INCIDENT = "everything/team=workshop"
#: Seconds that Ana's turn lasts at least, from when the notifier is started; hand-offs are at full minutes.
TURN, MINUTE = 25, 60 * SECOND
TARGET = '  {name}: {{channel: webhook, settings: {{url: "http://{host}:{port}/{name}", networks: [127.0.0.0/8]}}}}\n'
PERSON = """  {name}:
    contact:
      - {{severity: [critical], targets: [{name}-phone, {name}-mail]}}
      - {{targets: [{name}-mail]}}
"""
REST = """
severity:
  - {{match: {{kind: [appointment]}}, severity: critical}}
schedules:
  shop:
    zone: UTC
    fallback: ana-mail
    layers: [{{rotation: [ana, bob], every: day, from: {yesterday}, at: "{at}"}}]
routes: [{{name: everything, targets: ["on-call:shop"], group_by: [team]}}]
"""


class Ears:
    """What the targets hear: who, the type, and what of; each message once."""

    def __init__(self) -> None:
        heard = self._heard = dict[str, tuple[str, str, str]]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["content-length"])))
                subjects = sorted(item["record_id"].rpartition("/")[2] for item in message["data"]["items"])
                kind = message["type"].removeprefix("incident.")
                heard[self.headers["webhook-id"]] = self.path.removeprefix("/"), kind, " ".join(subjects)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    def heard(self) -> Sequence[tuple[str, str, str]]:
        """All of it, of those at the same time in any order."""
        return sorted(self._heard.values())

    def close(self) -> None:
        """Hear no more."""
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def ears() -> Iterator[Ears]:
    """Of phones and mailboxes."""
    place = Ears()
    yield place
    place.close()


def announce(publisher: Publisher, prefix: str, kind: str, subject: str, state: str) -> None:
    """Write a promise as the promise service does."""
    promise = Promise(
        promise_id=f"eve/{kind}/{subject}",
        kind=PromiseKind.Value(f"PROMISE_KIND_{kind.upper()}"),
        state=PromiseState.Value(f"PROMISE_STATE_{state}"),
        context=Context(team="workshop"),
    )
    now = wall_clock()
    for stamp in (promise.due_at, promise.original_due_at, promise.settled_at):
        set_timestamp(stamp, Instant(now - SECOND))
    headers = [("transition", state.lower().encode()), ("announced-at", format_instant(now).encode())]
    publisher.send(PROMISES.under(prefix), promise.promise_id.encode(), promise.SerializeToString(), headers)
    publisher.flush()


def test_two_people_hand_over_while_a_breach_is_open(real_kafka: str, prefix: str, tmp_path: Path, ears: Ears) -> None:
    """Each is called by what is theirs for a severity; nobody hears again what the schedule knows, nor what he did."""
    provision(real_kafka, prefix, PARTITIONS)
    hand_over = Instant(-(-(wall_clock() + TURN * SECOND) // MINUTE) * MINUTE)
    yesterday, at = format_instant(Instant(hand_over - 86_400 * SECOND))[:16].split("T")
    ways = [f"{name}-{way}" for name in ("ana", "bob") for way in ("phone", "mail")]
    file = tmp_path / "notifier.yaml"
    file.write_text(
        "targets:\n"
        + "".join(TARGET.format(name=way, host=HOST, port=ears.server.server_port) for way in ways)
        + "people:\n"
        + "".join(PERSON.format(name=name) for name in ("ana", "bob"))
        + REST.format(yesterday=yesterday, at=at)
    )
    expected: list[tuple[str, str, str]] = []
    with (
        ServiceProcess("notifier", real_kafka, prefix, partitions=PARTITIONS, notifier=file, instance="only") as worker,
        Publisher(real_kafka, prefix) as publisher,
    ):

        def hears(*more: tuple[str, str, str]) -> None:
            expected.extend(more)
            wait_for(lambda: ears.heard() == sorted(expected), 20, lambda: f"{ears.heard()}\n{worker.output()}")

        announce(publisher, prefix, "appointment", "V-1", "BROKEN")
        hears(("ana-phone", "breach", "V-1"), ("ana-mail", "breach", "V-1"))
        announce(publisher, prefix, "order_ready", "A-1", "BROKEN")
        hears(("ana-mail", "breach", "A-1"))
        assert wall_clock() < hand_over
        time.sleep(max(hand_over - wall_clock(), 0) / SECOND)
        announce(publisher, prefix, "order_ready", "A-2", "BROKEN")
        hears(("bob-mail", "breach", "A-2"))
        announce(publisher, prefix, "appointment", "V-2", "BROKEN")
        hears(("bob-phone", "breach", "V-2"), ("bob-mail", "breach", "V-2"))
        announce(publisher, prefix, "appointment", "V-1", "KEPT_LATE")
        hears(("ana-phone", "resolved", "V-1"), ("ana-mail", "resolved", "V-1"))
        acknowledge(real_kafka, prefix, "bob")
        hears(("ana-mail", "acknowledged", "A-1"))
        announce(publisher, prefix, "appointment", "V-2", "KEPT_LATE")
        hears(("bob-phone", "resolved", "V-2"), ("bob-mail", "resolved", "V-2"))


def acknowledge(kafka: str, prefix: str, by: str) -> None:
    """As somebody types it."""
    typed("incidents", "ack", INCIDENT, "--by", by, "--kafka", kafka, "--prefix", prefix)
