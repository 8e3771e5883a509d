"""A source that stops: what it may only not have said yet is not told broken, and what is broken is told in time."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from click.testing import CliRunner

from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.events.v1.order_event_pb2 import OrderEvent
from puntual.sources.v1.source_pb2 import SOURCE_STATE_SILENT, SourceEntry
from services.cli.__main__ import main
from services.shared.clock import set_timestamp, wall_clock
from services.shared.instant import SECOND, Instant
from services.shared.partitioner import partition_of
from services.shared.publisher import Publisher
from services.shared.sources.codec import key_of, pack_record
from services.shared.sources.declared import BUILT_IN
from services.shared.sources.model import Heard, Record, State, Stream
from services.shared.sources.rhythm import Rhythm
from services.shared.topics import PROMISES, SLA, SOURCES, provision
from tests.builders import promised, quick_rules, ready
from tests.integration.engine.reading import read_topic
from tests.processes import ServiceProcess, wait_for

PARTITIONS = 4
HOUR = 3_600 * SECOND
#: Seconds. Promises run due while the shop is silent.
DUE, SILENT_AFTER = 8, 4
ORDERS = [f"o-{number}" for number in range(8)]
#: Never ready; all others are ready in time, and the shop says so late.
BROKEN = ORDERS[-1]


class Shop:
    """Publishes orders, each of a customer of its own, and can stop."""

    def __init__(self, kafka: str, prefix: str, notifier: ServiceProcess) -> None:
        self.kafka, self.prefix = kafka, prefix
        self._notifier = notifier
        self._publisher = Publisher(kafka, prefix)

    def publish(self, *events: OrderEvent) -> None:
        """In order."""
        for event in events:
            self._publisher.publish(event)
        self._publisher.flush()

    def promise(self) -> Instant:
        """One order that is promised and ready, and then those that are promised; when these are due."""
        now = wall_clock()
        first_due = Instant(now + DUE * SECOND)
        self.publish(promised("o-first", now, first_due, "c-first"), ready("o-first", now, "c-first"))
        # What a source can fulfil is known to the other worker once the one that read it has said so.
        wait_for(self._is_known, 20)
        now = wall_clock()
        due_at = Instant(now + DUE * SECOND)
        self.publish(*(promised(order, now, due_at, f"c-{order}") for order in ORDERS))
        return due_at

    def _is_known(self) -> bool:
        """Whether some worker has said that it makes orders ready."""
        said = [
            SourceEntry.FromString(entry.value or b"") for entry in read_topic(self.kafka, SOURCES.under(self.prefix))
        ]
        return any("orders.ready" in each.heard.fulfils for each in said)

    def come_back(self, due_at: Instant) -> None:
        """What it had to say meanwhile, and that it is there."""
        in_time = Instant(due_at - SECOND)
        self.publish(*(ready(order, in_time, f"c-{order}") for order in ORDERS if order != BROKEN))
        self.beat()

    def beat(self) -> None:
        """Say that it is there."""
        event = OrderEvent(event_id=f"beat-{wall_clock()}", source="shop")
        set_timestamp(event.occurred_at, wall_clock())
        event.heartbeat.SetInParent()
        self.publish(event)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Inside it says all the while that it is there."""
        stop = Event()

        def work() -> None:
            while not stop.wait(0.5):
                self.beat()

        thread = Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def heard_of(self) -> str:
        """What was announced of it, and told."""
        return f"{self.silences()}\n{self._notifier.output()}"

    def told(self, transition: str) -> dict[str, str]:
        """The orders of which this was announced, each with who was not heard."""
        entries = read_topic(self.kafka, PROMISES.under(self.prefix))
        found = [entry for entry in entries if entry.headers.get("transition") == transition]
        return {entry.key.decode().rpartition("/")[2]: entry.headers.get("unheard", "") for entry in found}

    def silences(self) -> list[bool]:
        """Of each time that a stream was announced as silent (True) or heard again."""
        entries = read_topic(self.kafka, SOURCES.under(self.prefix))
        steps = (entry.headers.get("transition") for entry in entries)
        return [step == "silent" for step in steps if step in ("silent", "heard")]

    def listed(self) -> tuple[int, set[str]]:
        """The exit code of `puntual sources`, and the states that it lists."""
        listed = CliRunner().invoke(main, ["sources", "--kafka", self.kafka, "--prefix", self.prefix, "--json"])
        return listed.exit_code, {json.loads(line)["state"] for line in listed.stdout.splitlines()}

    def messages(self, about: str) -> int:
        """How many messages with this in their subject people got."""
        return self._notifier.output().count(about)

    def waiting(self) -> int:
        """How many breaches wait, as the record of the silent stream says."""
        entries = (entry.value for entry in read_topic(self.kafka, SOURCES.under(self.prefix)))
        said = [SourceEntry.FromString(value).stream for value in entries if value]
        return max((each.waiting for each in said if each.state == SOURCE_STATE_SILENT), default=0)


@contextmanager
def watched(kafka: str, prefix: str, directory: Path, after: int | None, workers: int = 1) -> Iterator[Shop]:
    """A shop that is watched by promise workers; `after`: None: nothing is declared of it."""
    provision(kafka, prefix, PARTITIONS)
    declared = directory / "sources.yaml"
    declared.write_text(f"after: {after}s\nsources: {{shop: {{silent_after: {SILENT_AFTER}s}}}}\n")
    with ExitStack() as stack:
        running = [
            ServiceProcess(
                "promises", kafka, prefix, partitions=PARTITIONS, rules=quick_rules(directory),
                sources=BUILT_IN if after is None else declared, instance=f"promises-{number}",
            ).start()
            for number in range(workers)
        ]  # fmt: skip
        notifier = ServiceProcess("notifier", kafka, prefix, partitions=PARTITIONS, instance="notifier").start()
        for process in (*running, notifier):
            stack.push(process)
        for process in (*running, notifier):
            process.wait_ready()
        yield Shop(kafka, prefix, notifier)


def learned(kafka: str, prefix: str) -> None:
    """What workers learned of the shop in four weeks: it is heard every minute, and in these hours every second."""
    now, rhythm = wall_clock(), Rhythm()
    busy = {(now // HOUR + step) % 168 for step in (-1, 0, 1)}
    at = Instant(now - 29 * 24 * HOUR)
    while at < now:
        rhythm.heard(at)
        at = Instant(at + (SECOND if at // HOUR % 168 in busy else 60 * SECOND))
    stream, last = Stream("shop", "orders", ""), Instant(now - SECOND)
    record = Record(stream, State.HEARD, heard=Heard(last, last), rhythm=rhythm.pack(), fulfils=("orders.ready",))
    with Publisher(kafka, prefix) as publisher:
        place = partition_of(stream.source, PARTITIONS)
        publisher.send(SOURCES.under(prefix), key_of(stream), pack_record(record), partition=place)


def until(due_at: Instant, seconds: float) -> bool:
    """Whether so much time has passed since they were due."""
    return wall_clock() >= due_at + seconds * SECOND


def b3(shop: Shop) -> None:
    """It stops, promises run due, it comes back: no alarm is false, and the breach is told."""
    due_at = shop.promise()
    wait_for(lambda: until(due_at, 6), DUE + 8)
    wait_for(lambda: shop.silences() == [True], 15, shop.heard_of)
    assert shop.told("broken") == {}
    wait_for(lambda: shop.waiting() == len(ORDERS), 15)
    assert shop.listed() == (1, {"silent"})
    shop.come_back(due_at)
    with shop.beating():
        wait_for(lambda: BROKEN in shop.told("broken"), 20)
        assert shop.told("broken") == {BROKEN: ""}
        assert shop.told("kept").keys() == {"o-first", *ORDERS} - {BROKEN}
        assert not shop.told("retracted")
        wait_for(lambda: shop.messages("Heard again: shop") == 1, 20, shop.heard_of)
        assert shop.silences() == [True, False]
        assert shop.listed() == (0, {"heard"})
        wait_for(lambda: shop.messages("Promise broken") == 1, 20, shop.heard_of)
    assert shop.messages("Source silent: shop") == 1
    assert shop.messages("Promise broken") == 1
    assert shop.messages("so it may have been done") == 0


def test_no_alarm_is_false_while_a_source_is_silent(kafka: str, prefix: str, tmp_path: Path) -> None:
    """Eight promises run due in its silence; once it is back one is told broken, and nobody was told otherwise."""
    with watched(kafka, prefix, tmp_path, after=120) as shop:
        b3(shop)


def test_a_source_that_nobody_declared_is_missed_once_its_rhythm_is_known(
    real_kafka: str, prefix: str, tmp_path: Path
) -> None:
    """As workers find it in Kafka when they start: after ten events that did not come it is silent."""
    provision(real_kafka, prefix, PARTITIONS)
    learned(real_kafka, prefix)
    with watched(real_kafka, prefix, tmp_path, after=None) as shop:
        b3(shop)


def test_two_workers_know_alike_who_is_silent(real_kafka: str, prefix: str, tmp_path: Path) -> None:
    """Wherever a promise lies, and wherever the source is heard again."""
    with watched(real_kafka, prefix, tmp_path, after=120, workers=2) as shop:
        b3(shop)


def test_what_nobody_declared_is_told_at_once(embedded_kafka: str, prefix: str, tmp_path: Path) -> None:
    """As without sources: all are told broken, and what was not is taken back."""
    with watched(embedded_kafka, prefix, tmp_path, after=None) as shop:
        due_at = shop.promise()
        wait_for(lambda: shop.told("broken").keys() == set(ORDERS), DUE + 10)
        shop.come_back(due_at)
        wait_for(lambda: shop.told("retracted").keys() == set(ORDERS) - {BROKEN}, 15)
        assert not shop.silences()


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_never_heard_is_told_in_the_end(real_kafka: str, prefix: str, tmp_path: Path, workers: int) -> None:
    """After `after` all are told broken, and that the shop is not heard, and since when."""
    with watched(real_kafka, prefix, tmp_path, after=10, workers=workers) as shop:
        due_at = shop.promise()
        wait_for(lambda: until(due_at, 8), DUE + 10)
        assert shop.told("broken") == {}
        wait_for(lambda: shop.told("broken").keys() == set(ORDERS), 15)
        assert not until(due_at, 10 + 5)
        assert {said.split(" ")[0] for said in shop.told("broken").values()} == {"shop"}
        assert shop.silences() == [True]
        wait_for(lambda: shop.messages("nothing heard from shop since") > len(ORDERS), 10)
        assert shop.messages("so it may have been done") == len(ORDERS)
        assert shop.messages("Source silent: shop") == 1


def test_a_heartbeat_is_enough(embedded_kafka: str, prefix: str, tmp_path: Path) -> None:
    """A shop that says that it is there, and nothing else, has nothing to say: what is due is broken."""
    with watched(embedded_kafka, prefix, tmp_path, after=120) as shop:
        due_at = shop.promise()

        with shop.beating():
            wait_for(lambda: shop.told("broken").keys() == set(ORDERS), DUE + 15)
        assert not until(due_at, 10)
        assert set(shop.told("broken").values()) == {""}
        assert not shop.silences()


STANDARDS = """\
version: quick
calendars: {always: {zone: UTC, hours: {mon-sun: "00:00-24:00"}}}
policies: [{name: all, calendar: always, targets: {first_reply: {limit: 8s, grace: 1s}}}]
"""


def a_contact(number: int, arm: str, at: Instant) -> ContactEvent:
    """What the help desk says of a contact."""
    event = ContactEvent(event_id=f"{number}-{arm}", source="desk", customer_id=f"c-{number}", subject_id=f"m-{number}")
    set_timestamp(event.occurred_at, at)
    getattr(event, arm).SetInParent()
    return event


def test_standards_wait_for_their_sources_too(embedded_kafka: str, prefix: str, tmp_path: Path) -> None:
    """A reply that was written in time and published late leaves nobody told that it was missed."""
    provision(embedded_kafka, prefix, PARTITIONS)
    declared, standards = tmp_path / "sources.yaml", tmp_path / "standards.yaml"
    declared.write_text(f"sources: {{desk: {{silent_after: {SILENT_AFTER}s, topics: [contacts]}}}}\n")
    standards.write_text(STANDARDS)
    service = ServiceProcess(
        "sla", embedded_kafka, prefix, partitions=PARTITIONS, sources=declared, standards=standards, instance="sla-0"
    )
    with service as worker, Publisher(embedded_kafka, prefix) as desk:

        def told() -> list[str]:
            entries = read_topic(embedded_kafka, SLA.under(prefix))
            steps = [(entry.key.decode().rpartition("/")[2], entry.headers["transition"]) for entry in entries]
            return [subject for subject, step in steps if step == "breached"]

        now = wall_clock()
        desk.publish(a_contact(0, "received", now))
        desk.publish(a_contact(0, "replied", now))
        for number in range(1, 5):
            desk.publish(a_contact(number, "received", now))
        desk.flush()
        wait_for(lambda: until(now, 14), 20, worker.output)
        assert told() == []
        assert worker.metrics()['puntual_unheard{service="sla"}'] == 4
        assert worker.metrics()['puntual_source_silent{source="desk",topic="contacts"}'] == 1
        for number in range(1, 4):
            desk.publish(a_contact(number, "replied", Instant(now + 2 * SECOND)))
        desk.publish(a_contact(9, "received", wall_clock()))
        desk.flush()
        wait_for(lambda: told() == ["m-4"], 20, worker.output)
        wait_for(lambda: worker.metrics()['puntual_unheard{service="sla"}'] == 0, 10)
