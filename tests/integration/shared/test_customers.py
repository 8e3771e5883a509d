"""Customers that are merged: promises and clocks of either id are one, across workers, partitions and crashes."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.events.v1.customer_event_pb2 import CustomerEvent
from puntual.promises.v1.promise_pb2 import PROMISE_STATE_BROKEN, PROMISE_STATE_KEPT, PROMISE_STATE_NOTED, Promise
from puntual.sla.v1.clock_pb2 import CLOCK_STATE_MET, CLOCK_STATE_NOTED, Clock
from services.shared.clock import set_timestamp, wall_clock
from services.shared.instant import SECOND, Instant, parse_instant
from services.shared.partitioner import partition_of
from services.shared.publisher import Publisher
from services.shared.topics import PROMISES, SLA, provision
from tests.builders import promised, quick_rules, ready
from tests.integration.engine.reading import latest, read_topic
from tests.processes import ServiceProcess, wait_for

PARTITIONS = 4
#: Seconds until promises are due; one more is their grace.
DUE = 12
PAIRS = 40


class Site:
    """Topics of its own, a publisher, and workers on them."""

    def __init__(self, kafka: str, prefix: str, directory: Path) -> None:
        provision(kafka, prefix, PARTITIONS)
        self.kafka, self.prefix = kafka, prefix
        self._rules = quick_rules(directory)
        self.publisher = Publisher(kafka, prefix)

    def worker(self, service: str = "promises", **settings: Any) -> ServiceProcess:
        """Not started."""
        more = {"rules": self._rules} if service == "promises" else {}
        return ServiceProcess(service, self.kafka, self.prefix, partitions=PARTITIONS, **more, **settings)

    def merge(self, one: str, into: str) -> None:
        """Say that two ids are one customer's."""
        event = CustomerEvent(event_id=f"{one}-{into}", source="crm", customer_id=one)
        set_timestamp(event.occurred_at, wall_clock())
        event.merged.into = into
        self.publisher.publish(event)

    def promises(self) -> dict[str, int]:
        """Promise → its state."""
        entries = latest(read_topic(self.kafka, PROMISES.under(self.prefix)))
        return {key.decode(): Promise.FromString(value).state for key, value in entries.items()}

    def broken(self) -> list[tuple[str, Instant]]:
        """Each time that a promise was announced broken, and when."""
        entries = read_topic(self.kafka, PROMISES.under(self.prefix))
        return [
            (entry.key.decode(), parse_instant(entry.headers["announced-at"]))
            for entry in entries
            if entry.headers["transition"] == "broken"
        ]


@pytest.fixture
def real_site(real_kafka: str, prefix: str, tmp_path: Path) -> Iterator[Site]:
    """On Apache Kafka."""
    place = Site(real_kafka, prefix, tmp_path)
    with place.publisher:
        yield place


@pytest.fixture
def site(kafka: str, prefix: str, tmp_path: Path) -> Iterator[Site]:
    """On each broker in turn."""
    place = Site(kafka, prefix, tmp_path)
    with place.publisher:
        yield place


def test_a_promise_is_kept_under_the_other_id_whatever_worker_has_it_and_dies(real_site: Site) -> None:
    """Of two workers each has half of the ids, and one is killed while customers are merged and orders get ready."""
    site = real_site
    broken = {number for number in range(PAIRS) if number % 8 == 0}
    with site.worker(instance="a", session_seconds=6) as killed, site.worker(instance="b", session_seconds=6) as stays:
        now = wall_clock()
        due_at = Instant(now + DUE * SECOND)
        for number in range(PAIRS):
            site.publisher.publish(promised(f"o-{number}", now, due_at, f"old-{number}"))
        for number in range(0, PAIRS, 2):
            site.merge(f"old-{number}", f"new-{number}")
        site.publisher.flush()
        for number in set(range(PAIRS)) - broken:
            site.publisher.publish(ready(f"o-{number}", wall_clock(), f"new-{number}"))
        site.publisher.flush()
        killed.kill()
        for number in range(1, PAIRS, 2):
            site.merge(f"old-{number}", f"new-{number}")
        site.publisher.flush()
        with site.worker(instance="a", session_seconds=6) as successor:
            wait_for(lambda: len(site.broken()) >= len(broken), DUE + 30, successor.output)
            settled = {f"old-{number}/order_ready/o-{number}" for number in range(PAIRS)}
            wait_for(
                lambda: (
                    Counter(state for key, state in site.promises().items() if key in settled)
                    == {PROMISE_STATE_KEPT: PAIRS - len(broken), PROMISE_STATE_BROKEN: len(broken)}
                ),
                30,
                lambda: stays.output() + successor.output(),
            )
    apart = [n for n in range(PAIRS) if partition_of(f"old-{n}", PARTITIONS) != partition_of(f"new-{n}", PARTITIONS)]
    assert len(apart) > PAIRS // 2
    told = site.broken()
    assert Counter(key for key, _ in told) == {f"old-{number}/order_ready/o-{number}": 1 for number in broken}
    delays = [(at - due_at) / SECOND - 1 for _, at in told]
    assert max(delays) < 10, delays
    noted = {state for key, state in site.promises().items() if key.startswith("new-")}
    assert noted == {PROMISE_STATE_NOTED}


def test_a_breach_is_told_once_and_its_end_to_whoever_was_told(site: Site) -> None:
    """What was told under the old id stays there: it is not told under the new one, whose fulfilment ends it."""
    with site.worker() as worker, site.worker("notifier") as notifier:
        now = wall_clock()
        site.publisher.publish(promised("o-1", now, Instant(now + SECOND), "c-4"))
        site.publisher.flush()
        wait_for(lambda: notifier.output().count("Promise broken") == 1, 30, notifier.output)
        site.merge("c-4", "c-40")
        site.publisher.publish(ready("o-1", wall_clock(), "c-40"))
        site.publisher.publish(promised("o-2", now, Instant(wall_clock() + SECOND), "c-40"))
        site.publisher.flush()
        for told in ("Done, but late: getting order o-1 ready", "Promise broken: getting order o-2 ready"):
            wait_for(lambda told=told: told in notifier.output(), 30, notifier.output)  # type: ignore[misc]
        output = notifier.output()
    assert [key for key, _ in site.broken()] == ["c-4/order_ready/o-1", "c-40/order_ready/o-2"], worker.output()
    assert output.count("getting order o-1 ready, for c-40") == 0


def a_contact(customer: str, event_id: str, at: Instant) -> ContactEvent:
    """Without its arm."""
    event = ContactEvent(event_id=event_id, source="desk", customer_id=customer, subject_id="m-1")
    set_timestamp(event.occurred_at, at)
    return event


def test_a_reply_to_the_other_id_stops_the_clock(site: Site) -> None:
    """What c-4 asked is answered to c-40, before the two are known to be one."""
    received, replied = a_contact("c-4", "1", wall_clock()), a_contact("c-40", "2", wall_clock())
    received.received.SetInParent()
    replied.replied.SetInParent()
    with site.worker("sla") as worker:
        site.publisher.publish(received)
        site.publisher.publish(replied)
        site.merge("c-40", "c-4")
        site.publisher.flush()

        def clocks() -> dict[str, int]:
            entries = latest(read_topic(site.kafka, SLA.under(site.prefix)))
            states = {key.decode(): Clock.FromString(value).state for key, value in entries.items()}
            return {key: state for key, state in states.items() if "first_reply" in key}

        expected = {"c-4/first_reply/m-1": CLOCK_STATE_MET, "c-40/first_reply/m-1": CLOCK_STATE_NOTED}
        wait_for(lambda: clocks() == expected, 30, worker.output)
