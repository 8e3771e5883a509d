"""The promise worker as a process, on real brokers: what it announces, and that it loses and repeats nothing."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from kafka import KafkaProducer

from puntual.promises.v1.promise_pb2 import PROMISE_STATE_BROKEN, PROMISE_STATE_KEPT, PROMISE_STATE_OPEN, Promise
from puntual.promises.v1.promise_service_pb2 import GetPromiseRequest
from puntual.promises.v1.promise_service_pb2_grpc import PromiseServiceStub
from services.shared.clock import wall_clock
from services.shared.instant import SECOND, Instant
from services.shared.publisher import Publisher
from services.shared.topics import ORDERS, provision
from tests.builders import promised, quick_rules, ready
from tests.integration.engine.reading import latest, read_topic
from tests.processes import ServiceProcess, wait_for

PARTITIONS = 4


class Site:
    """A broker with topics of its own, a publisher, and workers on them."""

    def __init__(self, kafka: str, prefix: str, directory: Path) -> None:
        provision(kafka, prefix, PARTITIONS)
        self.kafka = kafka
        self.records = f"{prefix}promises.v1"
        self.prefix = prefix
        self._rules = quick_rules(directory)
        self.publisher = Publisher(kafka, prefix)

    def worker(self, **settings: Any) -> ServiceProcess:
        """A promise worker; not started."""
        return ServiceProcess("promises", self.kafka, self.prefix, partitions=PARTITIONS, rules=self._rules, **settings)

    def states(self) -> Counter[int]:
        """How many promises stand in each state, by the topic alone."""
        values = latest(read_topic(self.kafka, self.records)).values()
        return Counter(Promise.FromString(value).state for value in values)

    def transitions(self) -> Counter[str]:
        """How often each transition id was announced."""
        return Counter(entry.headers["transition-id"] for entry in read_topic(self.kafka, self.records))


@pytest.fixture
def site(kafka: str, prefix: str, tmp_path: Path) -> Iterator[Site]:
    """On each broker in turn."""
    place = Site(kafka, prefix, tmp_path)
    with place.publisher:
        yield place


@pytest.fixture
def real_site(real_kafka: str, prefix: str, tmp_path: Path) -> Iterator[Site]:
    """On Apache Kafka: what takes several workers or a crash."""
    place = Site(real_kafka, prefix, tmp_path)
    with place.publisher:
        yield place


def publish_orders(site: Site, count: int, due_in: float, *, name: str = "o", keep: Callable[[int], bool]) -> None:
    """`count` promises; those that `keep` names are fulfilled in time."""
    now = wall_clock()
    due_at = Instant(now + int(due_in * SECOND))
    for number in range(count):
        subject, customer = f"{name}-{number}", f"c-{number % 50}"
        site.publisher.publish(promised(subject, now, due_at, customer))
        if keep(number):
            site.publisher.publish(ready(subject, now, customer))
    site.publisher.flush()


def test_promises_are_kept_or_announced_broken_on_idle_partitions(site: Site) -> None:
    """What is fulfilled is kept; what is overdue is announced although no event ever comes again."""
    with site.worker(instance="only") as worker:
        publish_orders(site, 200, due_in=2, keep=lambda number: number % 2 == 0)
        wait_for(lambda: site.states() == {PROMISE_STATE_KEPT: 100, PROMISE_STATE_BROKEN: 100}, 30, worker.output)
        assert set(site.transitions().values()) == {1}
        assert worker.terminate() == 0, worker.output()


def test_a_worker_with_nothing_to_do_does_next_to_nothing(site: Site) -> None:
    """However fast the broker answers that there is nothing: within three seconds, less than half a second of CPU."""
    with site.worker(instance="only") as worker:
        time.sleep(1)
        before = worker.metrics()["process_cpu_seconds_total"]
        time.sleep(3)
        assert worker.metrics()["process_cpu_seconds_total"] - before < 0.5


def test_a_fulfilment_in_the_backlog_is_no_breach(site: Site) -> None:
    """What came while no worker ran is read before anything is announced, though it is long overdue."""
    with site.worker(instance="only") as worker:
        publish_orders(site, 200, due_in=1, keep=lambda _: False)
        wait_for(lambda: sum(site.states().values()) == 200, 30, worker.output)
        worker.terminate()
    for number in range(200):
        site.publisher.publish(ready(f"o-{number}", wall_clock(), f"c-{number % 50}"))
    site.publisher.flush()
    broken_before = sum("broken" in transition for transition in site.transitions())
    time.sleep(3)
    with site.worker(instance="only") as worker:
        wait_for(lambda: PROMISE_STATE_OPEN not in site.states(), 30, worker.output)
        assert sum("broken" in transition for transition in site.transitions()) == broken_before


def test_a_restarted_worker_repeats_nothing(site: Site) -> None:
    """After a restart the records are those of before, and replayed input writes nothing."""
    with site.worker(instance="only") as worker:
        publish_orders(site, 100, due_in=1, keep=lambda number: number % 2 == 0)
        wait_for(lambda: site.states() == {PROMISE_STATE_KEPT: 50, PROMISE_STATE_BROKEN: 50}, 30, worker.output)
        assert worker.terminate() == 0
    before = read_topic(site.kafka, site.records)
    with site.worker(instance="only") as worker:
        publish_orders(site, 100, due_in=1, keep=lambda number: number % 2 == 0, name="new")
        wait_for(lambda: sum(site.states().values()) == 200 and PROMISE_STATE_OPEN not in site.states(), 30)
    after = read_topic(site.kafka, site.records)
    known = {entry.key for entry in before}
    assert [entry for entry in after if entry.key in known] == before


def test_transactions_of_publishers_count_once_committed(real_site: Site) -> None:
    """What was aborted never happened; the marker at the end of a log keeps nobody waiting for what comes behind it."""
    site = real_site
    now = wall_clock()
    publisher = KafkaProducer(bootstrap_servers=site.kafka, transactional_id=f"{site.records}-shop")
    publisher.init_transactions()
    with site.worker(instance="only") as worker:
        for event, committed in (
            (promised("o-1", now, Instant(now + SECOND)), True),
            (ready("o-1", now), False),
            (promised("o-2", now, Instant(now + SECOND)), True),
            (ready("o-2", now), True),
        ):
            publisher.begin_transaction()
            publisher.send(ORDERS.under(site.prefix), key=b"c-1", value=event.SerializeToString())
            publisher.flush()
            (publisher.commit_transaction if committed else publisher.abort_transaction)()
        wait_for(lambda: site.states() == {PROMISE_STATE_KEPT: 1, PROMISE_STATE_BROKEN: 1}, 30, worker.output)
        assert {name: count for name, count in worker.metrics().items() if "offset_jumps_total" in name and count} == {}
    publisher.close()
    with site.worker(instance="only") as worker:  # it starts behind the marker, and is ready
        publish_orders(site, 10, due_in=1, keep=lambda _: False, name="new")
        wait_for(lambda: site.states() == {PROMISE_STATE_KEPT: 1, PROMISE_STATE_BROKEN: 11}, 30, worker.output)


def test_killed_workers_lose_nothing(real_site: Site) -> None:
    """A worker killed in the middle of its work leaves every promise to its successor."""
    site = real_site
    with site.worker(instance="a") as first:
        publish_orders(site, 3_000, due_in=4, keep=lambda number: number % 2 == 0)
        first.kill()
    with site.worker(instance="a") as second:
        wait_for(lambda: site.states() == {PROMISE_STATE_KEPT: 1_500, PROMISE_STATE_BROKEN: 1_500}, 40, second.output)


def test_a_worker_names_the_one_to_ask(real_site: Site) -> None:
    """Of two, each answers for its own partitions and knows where the other listens."""
    site = real_site
    with site.worker() as one, site.worker() as other:
        publish_orders(site, 8, due_in=60, keep=lambda _: False)
        wait_for(lambda: sum(site.states().values()) == 8, 30, one.output)
        addresses = (one.address, other.address)
        found = {
            asked: [_ask(asked, f"c-{number}/order_ready/o-{number}") for number in range(8)] for asked in addresses
        }
    assert {owner for answers in found.values() for owner in answers} == set(addresses)
    assert found[addresses[0]] == found[addresses[1]]


def _ask(address: str, promise_id: str) -> str:
    """The address of the worker that has a promise, as the one at `address` says."""
    with grpc.insecure_channel(address) as channel:
        try:
            PromiseServiceStub(channel).GetPromise(GetPromiseRequest(promise_id=promise_id))
        except grpc.RpcError as refused:
            return next(str(item.value) for item in refused.trailing_metadata() if item.key == "puntual-owner")
        return address


def test_workers_that_come_and_go_under_load_skip_nothing(real_site: Site) -> None:
    """The scenario in which Faust itself skips records: a second worker joins and leaves while input flows."""
    site = real_site
    with site.worker() as stays:
        for turn in range(3):
            publish_orders(site, 1_000, due_in=30, keep=lambda _: True, name=f"a{turn}")
            with site.worker() as guest:
                publish_orders(site, 1_000, due_in=30, keep=lambda _: True, name=f"b{turn}")
                assert guest.metrics()["puntual_rebalances_total"] >= 1
            publish_orders(site, 1_000, due_in=30, keep=lambda _: True, name=f"c{turn}")
        wait_for(lambda: site.states() == {PROMISE_STATE_KEPT: 9_000}, 60, stays.output)
    assert set(site.transitions().values()) == {1}
