"""The sla service as a process, on real brokers: from published events to verdicts on the topic and over gRPC."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from kafka import KafkaProducer

from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.sla.v1.clock_pb2 import CLOCK_STATE_MET, CLOCK_STATE_MISSED
from puntual.sla.v1.sla_service_pb2 import ExplainClockRequest, GetClockRequest, ListClocksRequest
from puntual.sla.v1.sla_service_pb2_grpc import SlaServiceStub
from services.shared.clock import set_timestamp, wall_clock
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.partitioner import partition_of
from services.shared.publisher import Publisher
from services.shared.topics import CALLBACKS, CONTACTS, ORDERS, Topic, provision
from tests.integration.engine.reading import read_topic
from tests.processes import ServiceProcess, wait_for

PARTITIONS = 3
STANDARDS = """
version: "quick"
calendars: {always: {zone: UTC, hours: {mon-sun: "00:00-24:00"}}}
policies:
  - name: at once
    calendar: always
    pauses: {}
    targets:
      first_reply: {limit: 3s, warnings: [1s]}
      callback_returned: {limit: 3s}
      customer_told: {limit: 3s}
      resolution: {limit: 3s}
"""


class Site:
    """A broker with topics of its own, a publisher, and one sla worker."""

    def __init__(self, kafka: str, prefix: str, directory: Path) -> None:
        provision(kafka, prefix, PARTITIONS)
        standards = directory / "standards.yaml"
        standards.write_text(STANDARDS)
        self.kafka, self.prefix = kafka, prefix
        self.publisher = Publisher(kafka, prefix)
        # Last: its ports are free only until somebody else connects.
        self.worker = ServiceProcess("sla", kafka, prefix, partitions=PARTITIONS, standards=standards, instance="only")

    def say(self, topic: Topic, arm: str, at: Instant) -> None:
        """Publish that something happened to the one contact, callback or order of this test."""
        head = {"eventId": arm, "source": "test", "customerId": "ana", "subjectId": "s1"}
        self.publisher.publish_json(topic, head | {"occurredAt": format_instant(at), arm: {}})
        self.publisher.flush()

    def transitions(self, key: bytes) -> list[str]:
        """What was announced of a clock, in order."""
        entries = read_topic(self.kafka, f"{self.prefix}sla.v1")
        return [entry.headers["transition"] for entry in entries if entry.key == key]

    def dead_letters(self) -> list[str]:
        """The reasons of all dead letters."""
        return [entry.headers["reason"] for entry in read_topic(self.kafka, f"{self.prefix}dead-letters.v1")]

    def announced(self, key: bytes, *expected: str) -> Callable[[], bool]:
        return lambda: self.transitions(key) == list(expected)


@pytest.fixture
def site(kafka: str, prefix: str, tmp_path: Path) -> Iterator[Site]:
    """On each broker in turn, with the worker ready."""
    place = Site(kafka, prefix, tmp_path)
    with place.publisher, place.worker:
        yield place


def test_a_contact_nobody_answers_is_breached_and_the_truth_corrects_it(site: Site) -> None:
    """At risk and breached by the clock alone; a late reply makes it missed, one in time retracts it."""
    mail, start = b"ana/first_reply/s1", wall_clock()
    site.say(CONTACTS, "received", start)
    wait_for(site.announced(mail, "started", "at_risk", "breached"), 20, site.worker.output)
    site.say(CONTACTS, "replied", Instant(start + 9 * SECOND))
    wait_for(site.announced(mail, "started", "at_risk", "breached", "missed"), 20, site.worker.output)
    site.say(CONTACTS, "resolved", Instant(start + 2 * SECOND))
    wait_for(site.announced(mail, "started", "at_risk", "breached", "missed", "retracted"), 20, site.worker.output)


def test_callbacks_and_orders_have_clocks_and_grpc_serves_them(site: Site) -> None:
    """One late, one in time, both found by id and by customer."""
    start = Instant(wall_clock() - 10 * SECOND)
    site.say(CALLBACKS, "requested", start)
    site.say(CALLBACKS, "returned", Instant(start + 5 * SECOND))
    site.say(ORDERS, "customerTold", Instant(start + 3 * SECOND))
    site.say(ORDERS, "ready", start)
    wait_for(lambda: "missed" in site.transitions(b"ana/callback_returned/s1"), 20, site.worker.output)
    wait_for(lambda: "met" in site.transitions(b"ana/customer_told/s1"), 20, site.worker.output)
    with grpc.insecure_channel(site.worker.address) as channel:
        stub = SlaServiceStub(channel)
        clock = stub.GetClock(GetClockRequest(clock_id="ana/customer_told/s1"), timeout=10).clock
        assert (clock.state, clock.policy) == (CLOCK_STATE_MET, "at once")
        clocks = stub.ListClocks(ListClocksRequest(customer_id="ana"), timeout=10).clocks
        assert {clock.state for clock in clocks} == {CLOCK_STATE_MISSED, CLOCK_STATE_MET}
        told = stub.ExplainClock(ExplainClockRequest(clock_id="ana/callback_returned/s1"), timeout=10)
        assert told.headline == "Return of callback s1 for customer ana: missed"
        assert "Counted until it was stopped: 5 s. The limit: 3 s." in told.reasoning
        assert [(interval.length, interval.counts) for interval in told.intervals] == [("5 s", True)]
        assert told.picture.startswith("<svg ")


def test_a_held_contact_waits_and_a_reopened_one_runs_anew(site: Site) -> None:
    """Paused it breaches nothing; the first cycle is met, the second breached by the clock alone."""
    start, case = Instant(wall_clock() - 10 * SECOND), b"ana/resolution/s1"
    # The hold first: a contact that is read before it has long been due, and rightly breached.
    site.say(CONTACTS, "held", Instant(start + SECOND))
    site.say(CONTACTS, "received", start)
    wait_for(lambda: "paused" in site.transitions(case), 20, site.worker.output)
    site.say(CONTACTS, "resolved", Instant(start + 9 * SECOND))
    wait_for(lambda: "met" in site.transitions(case), 20, site.worker.output)
    assert "breached" not in site.transitions(case)
    site.say(CONTACTS, "reopened", Instant(start + 10 * SECOND))
    wait_for(lambda: site.transitions(case)[-2:] == ["started", "breached"], 20, site.worker.output)


def test_unusable_contacts_are_set_aside_once_and_orders_left_to_the_promise_service(site: Site) -> None:
    """The rest goes on unharmed."""
    for topic in (ORDERS, CONTACTS):
        site.publisher.send(topic.under(site.prefix), b"ana", b"\xff")
    site.say(CONTACTS, "received", wall_clock())
    wait_for(lambda: "started" in site.transitions(b"ana/first_reply/s1"), 20, site.worker.output)
    wait_for(lambda: site.dead_letters() == ["undecodable"], 20, site.worker.output)


def test_a_publisher_with_another_partitioner_is_told_and_alerts_nobody(site: Site) -> None:
    """A contact whose events lie on two partitions would be breached on one and answered on the other."""
    start = Instant(wall_clock() - 10 * SECOND)
    received = ContactEvent(event_id="1", source="test", customer_id="ana", subject_id="s2")
    set_timestamp(received.occurred_at, start)
    received.received.SetInParent()
    wrong = (partition_of("ana", PARTITIONS) + 1) % PARTITIONS
    topic = CONTACTS.under(site.prefix)
    publisher = KafkaProducer(bootstrap_servers=site.kafka)
    publisher.send(topic, received.SerializeToString(), key=b"ana", partition=wrong).get(timeout=10)
    publisher.close()
    site.say(CONTACTS, "received", start)
    wait_for(site.announced(b"ana/first_reply/s1", "started", "breached"), 20, site.worker.output)
    wait_for(lambda: site.dead_letters() == ["misplaced"], 20, site.worker.output)
    assert site.transitions(b"ana/first_reply/s2") == []


def test_a_service_without_its_topics_says_so_and_ends(kafka: str, prefix: str) -> None:
    """Rather than to be ready and serve nothing; also where they have another number of partitions."""
    missing = pytest.raises(AssertionError, match=r"has no topic .*`puntual topics --create` makes them")
    with missing, ServiceProcess("sla", kafka, prefix, partitions=PARTITIONS):
        pytest.fail("it serves nothing, and says that it is ready")
    provision(kafka, prefix, PARTITIONS)
    differing = pytest.raises(AssertionError, match=f"PUNTUAL_PARTITIONS={PARTITIONS}")
    with differing, ServiceProcess("sla", kafka, prefix, partitions=PARTITIONS + 1):
        pytest.fail("it would look for customers where they are not")
