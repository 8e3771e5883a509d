"""Repeated breaches of one customer, on real brokers: counted over both topics, over restarts and rebalances."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from puntual.notifier.v1.incident_pb2 import SEVERITY_CRITICAL, Dispatch, Item
from puntual.promises.v1.promise_pb2 import Promise, PromiseState
from puntual.sla.v1.clock_pb2 import Clock, ClockState
from services.shared.clock import set_timestamp, wall_clock
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.partitioner import home_of
from services.shared.topics import DISPATCH, PROMISES, SLA, Topic
from tests.integration.notifier.test_service import PARTITIONS, Site
from tests.processes import ServiceProcess, wait_for

CONFIG = """
targets:
  crm: {{channel: webhook, settings: {{url: "http://{host}:{web}/hook", networks: [127.0.0.0/8]}}}}
  desk:
    channel: email
    settings:
      {{host: {host}, port: {smtp}, tls: none, networks: [127.0.0.0/8], from: a@example.com, to: [desk@example.com]}}
repeated: {{breaches: 3, within: 30d}}
severity: [{{match: {{repeated: [yes]}}, severity: critical}}]
routes:
  - {{name: again, match: {{repeated: [yes]}}, targets: [crm], group_by: [customer]}}
  - {{name: once, targets: [desk], group_by: [customer]}}
"""


class Shop(Site):
    """A site whose customers are let down."""

    def promise(self, customer: str, subject: str, state: str, transition: str) -> None:
        """Write a promise as the promise service does, due a second ago."""
        promise = Promise(
            promise_id=f"{customer}/order_ready/{subject}", state=PromiseState.Value(f"PROMISE_STATE_{state}")
        )
        self._send(PROMISES, promise, promise.promise_id, transition)

    def clock(self, customer: str, subject: str, state: str, transition: str) -> None:
        """Write a clock as the sla service does, due a second ago."""
        clock = Clock(clock_id=f"{customer}/first_reply/{subject}", state=ClockState.Value(f"CLOCK_STATE_{state}"))
        self._send(SLA, clock, clock.clock_id, transition)

    def _send(self, topic: Topic, record: Promise | Clock, record_id: str, transition: str) -> None:
        now = wall_clock()
        set_timestamp(record.due_at, Instant(now - SECOND))
        set_timestamp(record.settled_at if isinstance(record, Promise) else record.stopped_at, Instant(now - SECOND))
        headers = [("transition", transition.encode()), ("announced-at", format_instant(now).encode())]
        key = record_id.encode()
        self.publisher.send(
            topic.under(self.prefix), key, record.SerializeToString(), headers, home_of(key, PARTITIONS)
        )
        self.publisher.flush()

    def dispatched(self, route: str) -> list[Item]:
        """What was sent to a route, and not only because it may have been told before."""
        sent = [Dispatch.FromString(entry.value or b"") for entry in self.read(DISPATCH.name)]
        return [dispatch.item for dispatch in sent if dispatch.route == route and not dispatch.item.follow_up]


@pytest.fixture
def shop(kafka: str, prefix: str, tmp_path: Path) -> Iterator[Shop]:
    """On each broker in turn."""
    with opened(kafka, prefix, tmp_path) as place:
        yield place


@pytest.fixture
def real_shop(real_kafka: str, prefix: str, tmp_path: Path) -> Iterator[Shop]:
    """On Apache Kafka only: the embedded broker does not share partitions out."""
    with opened(real_kafka, prefix, tmp_path) as place:
        yield place


@contextmanager
def opened(kafka: str, prefix: str, directory: Path) -> Iterator[Shop]:
    """A shop, closed in the end."""
    place = Shop(kafka, prefix, directory)
    place.configure(CONFIG)
    with place.publisher:
        yield place
    place.close()


def test_the_third_breach_of_a_customer_takes_the_other_route(shop: Shop) -> None:
    """Promises and clocks together, over a restart; what was taken back does not count, nor another customer's."""
    with shop.worker() as worker:
        shop.promise("ana", "A-1", "BROKEN", "broken")
        shop.promise("bob", "B-1", "BROKEN", "broken")
        shop.promise("ana", "A-2", "BROKEN", "broken")
        wait_for(lambda: "A-2" in "".join(mail.get_content() for mail in shop.mailbox.mails), 30, worker.output)
        shop.promise("ana", "A-2", "KEPT", "retracted")
        wait_for(lambda: "All well" in str([mail["subject"] for mail in shop.mailbox.mails]), 30, worker.output)
        shop.clock("ana", "T-1", "BREACHED", "breached")
        wait_for(lambda: "T-1" in "".join(mail.get_content() for mail in shop.mailbox.mails), 30, worker.output)
        assert shop.web.types() == []
        assert worker.terminate() == 0
    mails = len(shop.mailbox.mails)
    with shop.worker() as worker:
        assert "Breaches of 3 partitions remembered" in worker.output()
        shop.promise("ana", "A-3", "BROKEN", "broken")
        wait_for(lambda: shop.web.types() == ["incident.breach"], 30, worker.output)
        (third,) = shop.dispatched("again")
        assert (third.severity, third.breaches) == (SEVERITY_CRITICAL, 3)
        shop.promise("ana", "A-3", "KEPT_LATE", "kept_late")
        wait_for(lambda: shop.web.types() == ["incident.breach", "incident.resolved"], 30, worker.output)
    assert len(shop.mailbox.mails) == mails


def test_whoever_takes_partitions_over_knows_what_was_broken_there(real_shop: Shop) -> None:
    """A second worker joins between the second breach and the third; whoever has a customer, has it in both topics."""
    shop, customers = real_shop, [f"c-{number}" for number in range(9)]
    assert {home_of(f"{customer}/x/y".encode(), PARTITIONS) for customer in customers} == set(range(PARTITIONS))
    with shop.worker() as first:
        for customer in customers:
            shop.promise(customer, "A-1", "BROKEN", "broken")
            shop.clock(customer, "T-1", "BREACHED", "breached")
        wait_for(lambda: len(shop.dispatched("once")) == 2 * len(customers), 40, first.output)
        with ServiceProcess(
            "notifier", shop.kafka, shop.prefix, partitions=PARTITIONS, notifier=shop.config, instance="other"
        ) as second:
            assert "partitions remembered" in second.output()
            for customer in customers:
                shop.promise(customer, "A-2", "BROKEN", "broken")
            wait_for(lambda: len(shop.web.types()) == len(customers), 40, lambda: first.output() + second.output())
    assert [item.breaches for item in shop.dispatched("again")] == [3] * len(customers)
    assert len(shop.dispatched("once")) == 2 * len(customers)
