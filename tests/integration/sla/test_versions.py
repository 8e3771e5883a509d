"""Standards that change while the service runs: on every worker alike, at one instant, and never by a bad file."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from puntual.sla.v1.clock_pb2 import CLOCK_STATE_BREACHED, Clock
from services.shared.clock import from_timestamp, wall_clock
from services.shared.instant import format_instant, parse_instant
from services.shared.publisher import Publisher
from services.shared.topics import CONTACTS, provision
from tests.integration.engine.reading import read_topic
from tests.processes import ServiceProcess, wait_for

PARTITIONS = 2
DOCUMENT = """
version: "{version}"
{more}
calendars: {{always: {{zone: UTC, hours: {{mon-sun: "00:00-24:00"}}}}}}
policies: [{{name: {name}, calendar: always, targets: {{first_reply: {{limit: {limit}}}}}}}]
"""
LAX = DOCUMENT.format(version="1", name="lax", limit="24h", more="")
STRICT = DOCUMENT.format(version="2", name="strict", limit="2s", more="apply_to_open: true")


class Site:
    """Workers over one set of topics, each with a file of its own."""

    def __init__(self, kafka: str, prefix: str, directory: Path, workers: int) -> None:
        provision(kafka, prefix, PARTITIONS)
        self.kafka, self.prefix = kafka, prefix
        self.files = [directory / f"standards-{number}.yaml" for number in range(workers)]
        self.workers = []
        for number, file in enumerate(self.files):
            file.write_text(LAX)
            worker = ServiceProcess(
                "sla", kafka, prefix, partitions=PARTITIONS, standards=file, instance=f"worker-{number}"
            )
            self.workers.append(worker)

    def receive(self, customers: range) -> None:
        """A contact of each customer."""
        with Publisher(self.kafka, self.prefix) as publisher:
            for number in customers:
                head = {"eventId": "1", "source": "test", "customerId": f"c{number}", "subjectId": "s"}
                now = format_instant(wall_clock())
                publisher.publish_json(CONTACTS, head | {"occurredAt": now, "received": {}})

    def clocks(self) -> list[Clock]:
        """As they were written last."""
        entries = read_topic(self.kafka, f"{self.prefix}sla.v1")
        return [
            Clock.FromString(value) for value in {entry.key: entry.value for entry in entries if entry.value}.values()
        ]

    def output(self) -> str:
        return "\n".join(worker.output() for worker in self.workers)

    def all_are(self, policy: str, count: int) -> Callable[[], bool]:
        return lambda: [clock.policy for clock in self.clocks()] == [policy] * count


@pytest.fixture
def lone(real_kafka: str, prefix: str, tmp_path: Path) -> Iterator[Site]:
    """One worker. On the embedded broker the demonstration takes the same way."""
    site = Site(real_kafka, prefix, tmp_path, 1)
    with site.workers[0]:
        yield site


def test_a_new_version_judges_open_clocks_at_one_instant_and_says_so(lone: Site) -> None:
    """Without a restart: the file is changed, the version goes through Kafka, and what is open is moved."""
    lone.receive(range(20))
    wait_for(lone.all_are("lax", 20), 20, lone.output)
    lone.files[0].write_text(STRICT)
    wait_for(lone.all_are("strict", 20), 40, lone.output)
    clocks = lone.clocks()
    assert {(clock.state, clock.standards_version, clock.first_version) for clock in clocks} == {
        (CLOCK_STATE_BREACHED, "2", "1")
    }
    [moved_at] = {from_timestamp(clock.changed_at) for clock in clocks}
    published = read_topic(lone.kafka, f"{lone.prefix}standards.v1")
    assert [entry.key for entry in published] == [b"1", b"2"]
    told = re.search(r"version 2 is in force from (\S+)", lone.output())
    assert told
    assert moved_at == parse_instant(told[1])
    # What comes now is judged by it from the start.
    lone.receive(range(20, 21))
    wait_for(lone.all_are("strict", 21), 20, lone.output)
    assert sum(clock.first_version == "" for clock in lone.clocks()) == 1


def test_a_bad_file_is_refused_and_the_old_standards_stay(lone: Site) -> None:
    """A metric and the log say so, until it is corrected."""
    worker = lone.workers[0]
    for bad, said in (
        (STRICT.replace("2s", "soon"), "'soon' is no target"),
        (LAX.replace("24h", "1h"), "version: '1' is published with other words; give it another name"),
    ):
        lone.files[0].write_text(bad)
        wait_for(lambda said=said: said in worker.output(), 20, worker.output)  # type: ignore[misc]
        assert worker.metrics()["puntual_standards_refused"] == 1
    lone.receive(range(3))
    wait_for(lone.all_are("lax", 3), 20, worker.output)
    lone.files[0].write_text(LAX)
    wait_for(lambda: worker.metrics()["puntual_standards_refused"] == 0, 20, worker.output)
    assert [entry.key for entry in read_topic(lone.kafka, f"{lone.prefix}standards.v1")] == [b"1"]


def test_all_workers_change_together_and_so_does_one_that_comes_later(
    real_kafka: str, prefix: str, tmp_path: Path
) -> None:
    """Only one of them was given the new file; one comes back after it, with an old one."""
    site = Site(real_kafka, prefix, tmp_path, 2)
    first, second = site.workers
    with first, second:
        site.receive(range(40))
        wait_for(site.all_are("lax", 40), 30, site.output)
        second.kill()
        site.files[0].write_text(STRICT)
        wait_for(lambda: "version 2" in first.output(), 20, site.output)
        second.start().wait_ready()
        wait_for(site.all_are("strict", 40), 60, site.output)
        assert len({from_timestamp(clock.changed_at) for clock in site.clocks()}) == 1
        assert "version 2" in second.output()
