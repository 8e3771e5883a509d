"""The oracle of clocks finds no fault with a worker that has none, and every fault with one that has."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from puntual.sla.v1 import clock_pb2 as pb
from puntual.sla.v1.standards_pb2 import StandardsVersion
from tests.chaos.chain import FRESH, Circumstances
from tests.chaos.clocks.standards import LAWS, document, hastened
from tests.chaos.clocks.subject import CLOCKS
from tests.chaos.honest import PARTITIONS, Logs, logs_of, retold
from tests.chaos.oracle import Published, examine, table_of
from tests.chaos.poison import spoiled
from tests.chaos.report import Report
from tests.chaos.rules import SECOND
from tests.chaos.tape import Entry
from tests.chaos.traffic import Mix, plan

START = 1_790_000_000 * SECOND
PATIENCE = 2 * SECOND
#: Seconds from the start to when the second version is published; it is in force ten later.
CHANGE = 2


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    """What stands in Kafka after some seconds in which standards change, and a worker without faults."""
    return honest_logs(3, tmp_path_factory.mktemp("honest"))


def honest_logs(seed: int, directory: Path, **more: Any) -> Logs:
    """The same for any seed; `more`: of the traffic."""
    random = Random(seed)
    made = plan(CLOCKS.tales, random, Mix(seconds=17.0, rate=20.0, **more), START)
    shots = spoiled(random, CLOCKS.inputs, made.shots, START, 0.12)
    first = document("1", START / SECOND)
    laws = [
        law(0, START - 1_000 * SECOND, first),
        law(1, START + CHANGE * SECOND, hastened({**first, "version": "2", "apply_to_open": True})),
        law(2, START + 2 * CHANGE * SECOND, {**first, "version": "3"}),
    ]
    return logs_of(CLOCKS, made._replace(shots=shots), START, directory, laws)


def law(offset: int, at: int, words: dict[str, object]) -> Entry:
    """A version, as the topic of standards has it."""
    value = StandardsVersion(document=json.dumps(words)).SerializeToString()
    return Entry(LAWS, 0, offset, at, str(words["version"]).encode(), value)


def judged(logs: Logs) -> Report:
    """What the oracle says of them."""
    published = Published.of(CLOCKS.judge(logs.laws), logs.inputs, PARTITIONS)
    run = Circumstances(logs.now, PATIENCE, {}, [])
    return examine(published, logs.records, table_of(logs.records), logs.dead, run)


@pytest.mark.parametrize("seed", range(1, 3))
def test_a_worker_without_faults_is_found_without_fault(seed: int, tmp_path: Path) -> None:
    """Whatever the traffic: all kinds of announcements are in it, every metric, later cycles, and moved clocks."""
    logs = honest_logs(seed, tmp_path)
    report = judged(logs)
    assert report.findings == []
    assert report.announced.keys() >= {
        "noted", "started", "at_risk", "breached", "met", "missed", "cancelled", "paused",
    }  # fmt: skip
    clocks = [pb.Clock.FromString(value) for value in table_of(logs.records).values()]
    assert {clock.metric for clock in clocks} == set(pb.Metric.values()) - {pb.METRIC_UNSPECIFIED}
    assert {(clock.first_version, clock.standards_version) for clock in clocks} >= {("1", "2"), ("", "3")}
    assert any(clock.earlier for clock in clocks)
    assert report.dead_letters > 5
    assert max(report.lateness) < 0.1


def test_what_publishers_ahead_of_time_say_is_judged_by_the_version_that_is_then_in_force(tmp_path: Path) -> None:
    """Also where it was over before that version was known."""
    logs = honest_logs(4, tmp_path, clocks=(0.0, 5.0))
    assert judged(logs).findings == []
    assert any(_clock(entry).standards_version == "3" for entry in logs.records)


# --- faults, each done to logs without fault

Tamper = Callable[[Logs], Logs]


def _clock(entry: Entry) -> pb.Clock:
    return pb.Clock.FromString(entry.value or b"")


def _rewritten(logs: Logs, number: int, change: Callable[[pb.Clock], object]) -> Logs:
    """With one write changed."""
    clock = _clock(logs.records[number])
    change(clock)
    return logs.altered(number, logs.records[number]._replace(value=clock.SerializeToString(deterministic=True)))


def _moved(logs: Logs) -> int:
    """The place of the first write that moves a clock to another version."""
    return next(number for number, entry in enumerate(logs.records) if _clock(entry).first_version)


def lost_write(logs: Logs) -> Logs:
    """The last write of a clock never came."""
    return logs.altered(logs.place_of("met", last=True))


def lost_clock(logs: Logs) -> Logs:
    """Nothing of a clock ever came."""
    key = logs.records[0].key
    return logs._replace(records=[entry for entry in logs.records if entry.key != key])


def silent_breach(logs: Logs) -> Logs:
    """What was breached for longer than patience allows, then stopped late, was never announced breached."""
    for number, entry in enumerate(logs.records):
        later = next((each for each in logs.records[number + 1 :] if each.key == entry.key), entry)
        said = entry.header("transition"), later.header("transition")
        if said == ("breached", "missed") and later.at - entry.at > PATIENCE + SECOND:
            return logs.altered(number)
    raise AssertionError("there is none")


def stale_overwrite(logs: Logs) -> Logs:
    """A worker that was thought dead writes what it knew."""
    number = logs.place_of("met", last=True)
    stale = next(entry for entry in logs.records if entry.key == logs.records[number].key)
    return logs._replace(records=[*logs.records, stale])


def wrong_state(logs: Logs) -> Logs:
    """Called met, though its facts say otherwise."""
    return _rewritten(logs, logs.place_of("missed"), lambda clock: setattr(clock, "state", pb.CLOCK_STATE_MET))


def wrong_limit(logs: Logs) -> Logs:
    """A microsecond too generous."""
    number = logs.place_of("met")
    return _rewritten(logs, number, lambda clock: setattr(clock.due_at, "nanos", clock.due_at.nanos + 1_000))


def lost_cycle(logs: Logs) -> Logs:
    """What was before it was reopened is forgotten."""
    number = next(number for number, entry in enumerate(logs.records) if _clock(entry).earlier)
    return _rewritten(logs, number, lambda clock: clock.ClearField("earlier"))


def unmoved(logs: Logs) -> Logs:
    """A clock that the new version should have moved is as it was."""
    key = logs.records[_moved(logs)].key
    kept = [entry for entry in logs.records if entry.key != key or not _clock(entry).first_version]
    return logs._replace(records=kept)


def moved_early(logs: Logs) -> Logs:
    """A worker that does not wait until the new version is in force."""
    number = _moved(logs)
    before = _clock(logs.records[number]).changed_at
    before.FromMicroseconds(before.ToMicroseconds() - 1)
    return logs.altered(number, retold(logs.records[number], "announced-at", before.ToJsonString()))


def moved_apart(logs: Logs) -> Logs:
    """A worker for which the new version is in force a second later than for the others."""

    def later(clock: pb.Clock) -> None:
        clock.changed_at.seconds += 1

    return _rewritten(logs, _moved(logs), later)


def early_breach(logs: Logs) -> Logs:
    """Announced at the last instant of grace."""
    number = logs.place_of("breached")
    breach_at = _clock(logs.records[number]).breach_at
    return logs.altered(number, retold(logs.records[number], "announced-at", breach_at.ToJsonString()))


def early_warning(logs: Logs) -> Logs:
    """Announced one microsecond before its time."""
    number = logs.place_of("at_risk")
    warn_at = _clock(logs.records[number]).warn_at
    warn_at.FromMicroseconds(warn_at.ToMicroseconds() - 1)
    return logs.altered(number, retold(logs.records[number], "announced-at", warn_at.ToJsonString()))


def stop_known_for(span: int) -> Tamper:
    """A breach is announced although what retracts it has been in Kafka for so long."""

    def tamper(logs: Logs) -> Logs:
        number = next(
            number
            for number, entry in enumerate(logs.records)
            if entry.header("transition") == "retracted" and _clock(entry).state == pb.CLOCK_STATE_MET
        )
        key = logs.records[number].key
        breached = [entry for entry in logs.records[:number] if entry.key == key][-1]
        known = {fact.event_id for fact in _clock(breached).facts}
        news = {fact.event_id for fact in _clock(logs.records[number]).facts} - known
        inputs = {
            name: [
                entry._replace(at=breached.at - span)
                if any(event_id.encode() in (entry.value or b"") for event_id in news)
                else entry
                for entry in entries
            ]
            for name, entries in logs.inputs.items()
        }
        return logs._replace(inputs=inputs)

    return tamper


def repeated_write(logs: Logs) -> Logs:
    """The same write twice, as after a retry that was no retry."""
    number = logs.place_of("breached")
    return logs.altered(number, logs.records[number], logs.records[number])


def repeated_announcement(logs: Logs) -> Logs:
    """What only adds a fact is announced as a breach again."""
    for number, entry in enumerate(logs.records):
        before = next((each for each in reversed(logs.records[:number]) if each.key == entry.key), entry)
        if (before.header("transition"), entry.header("transition")) == ("breached", "noted"):
            again = retold(entry, "transition", "breached")
            return logs.altered(number, retold(again, "transition-id", before.header("transition-id")))
    raise AssertionError("there is none")


def wrong_words(logs: Logs) -> Logs:
    """A breach called a warning."""
    number = logs.place_of("breached")
    return logs.altered(number, retold(logs.records[number], "transition", "at_risk"))


def wrong_id(logs: Logs) -> Logs:
    """An id that readers know from another cycle."""
    number = next(number for number, entry in enumerate(logs.records) if entry.header("transition-id").endswith(":2"))
    text = logs.records[number].header("transition-id").removesuffix(":2")
    return logs.altered(number, retold(logs.records[number], "transition-id", text))


def lost_dead_letter(logs: Logs) -> Logs:
    """An unusable contact vanished."""
    return logs._replace(dead=logs.dead[1:])


def alien_dead_letter(logs: Logs) -> Logs:
    """An unusable order is the promise service's to put aside."""
    place = ("orders.v1", 0, next(entry.offset for entry in logs.inputs["orders.v1"] if not entry.partition))
    letter = logs.dead[0]
    for name, value in zip(("topic", "partition", "offset"), place, strict=True):
        letter = retold(letter, name, str(value))
    return logs._replace(dead=[*logs.dead, letter])


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (lost_write, "lost: * not the final record"),
        (lost_clock, "lost: * there is no record"),
        (silent_breach, "lost: * breached was never announced"),
        (stale_overwrite, "lost: * overwritten by what was known before"),
        (wrong_state, "wrong: * the record is not what its own facts come to"),
        (wrong_limit, "wrong: * the record is not what its own facts come to"),
        (lost_cycle, "wrong: * the record is not what its own facts come to"),
        (unmoved, "lost: * not the final record"),
        (moved_early, "false: * 0.000 s early"),
        (moved_apart, "wrong: * the record is not what its own facts come to"),
        (early_breach, "false: * breached 0.000 s early"),
        (early_warning, "false: * at_risk 0.000 s early"),
        (stop_known_for(FRESH + 1_000), "false: * breached, but for 3.0 s a fact had forbidden it"),
        (repeated_write, "double: * written again as it was"),
        (repeated_announcement, "double: * breached was announced before"),
        (wrong_words, "wrong: * announced as 'at_risk', but the step is 'breached'"),
        (wrong_id, "wrong: * its transition-id is"),
        (lost_dead_letter, "lost: * but no dead letter"),
        (alien_dead_letter, "wrong: * but usable"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_is_found(logs: Logs, tamper: Tamper, found: str) -> None:
    """Each is found, and named for what it is."""
    kind, words = found.split(" * ")
    said = [str(finding) for finding in judged(tamper(logs)).findings]
    assert any(line.startswith(kind) and words in line for line in said), said
