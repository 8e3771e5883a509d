"""The oracle finds no fault with a worker that has none, and every fault with one that has."""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from puntual.promises.v1 import promise_pb2 as pb
from tests.chaos.chain import Circumstances
from tests.chaos.honest import PARTITIONS, Logs, logs_of, retold
from tests.chaos.oracle import Published, examine, table_of
from tests.chaos.poison import spoiled
from tests.chaos.promises import PROMISES
from tests.chaos.report import Report
from tests.chaos.rules import SECOND
from tests.chaos.tape import Entry, Holes
from tests.chaos.traffic import Mix, plan

START = 1_790_000_000 * SECOND
PATIENCE = 2 * SECOND
#: As the oracle allows.
FRESH = 3 * SECOND


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    """What stands in Kafka after some seconds of traffic, an eighth of it unusable, and a worker without faults."""
    return honest_logs(1, tmp_path_factory.mktemp("honest"))


def honest_logs(seed: int, directory: Path) -> Logs:
    """The same for any seed."""
    random = Random(seed)
    made = plan(PROMISES.tales, random, Mix(seconds=8.0, rate=40.0), START)
    return logs_of(
        PROMISES, made._replace(shots=spoiled(random, PROMISES.inputs, made.shots, START, 0.12)), START, directory
    )


def judged(logs: Logs, *, holes: Holes | None = None, hidden: Sequence[tuple[int, int]] = ()) -> Report:
    """What the oracle says of them."""
    published = Published.of(PROMISES.judge(()), logs.inputs, PARTITIONS)
    run = Circumstances(logs.now, PATIENCE, holes or {}, hidden)
    return examine(published, logs.records, table_of(logs.records), logs.dead, run)


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_worker_without_faults_is_found_without_fault(seed: int, tmp_path: Path) -> None:
    """Whatever the traffic: and all kinds of announcements are in it."""
    report = judged(honest_logs(seed, tmp_path))
    assert report.findings == []
    assert report.announced.keys() == {
        "noted", "made", "renegotiated", "at_risk", "broken", "kept", "kept_late", "withdrawn", "retracted",
    }  # fmt: skip
    assert report.dead_letters > 20
    assert max(report.lateness) < 0.1


# --- faults, each done to logs without fault

Tamper = Callable[[Logs], Logs]


def _promise(entry: Entry) -> pb.Promise:
    return pb.Promise.FromString(entry.value or b"")


def lost_write(logs: Logs) -> Logs:
    """The last write of a promise never came."""
    return logs.altered(logs.place_of("kept", last=True))


def lost_promise(logs: Logs) -> Logs:
    """Nothing of a promise ever came."""
    key = logs.records[0].key
    return logs._replace(records=[entry for entry in logs.records if entry.key != key])


def silent_breach(logs: Logs) -> Logs:
    """What was broken for longer than patience allows, then fulfilled late, was never announced broken."""
    for number, entry in enumerate(logs.records):
        later = next((each for each in logs.records[number + 1 :] if each.key == entry.key), entry)
        said = entry.header("transition"), later.header("transition")
        if said == ("broken", "kept_late") and later.at - entry.at > PATIENCE + SECOND:
            return logs.altered(number)
    raise AssertionError("there is none")


def deleted_record(logs: Logs) -> Logs:
    """A tombstone."""
    number = logs.place_of("kept", last=True)
    return logs.altered(number, logs.records[number], logs.records[number]._replace(value=None))


def stale_overwrite(logs: Logs) -> Logs:
    """A worker that was thought dead writes what it knew."""
    number = logs.place_of("kept", last=True)
    stale = next(entry for entry in logs.records if entry.key == logs.records[number].key)
    return logs._replace(records=[*logs.records, stale])


def stale_overwrite_mended(logs: Logs) -> Logs:
    """The same, and the rightful owner writes again: all is well at the end, but was not."""
    number = logs.place_of("kept", last=True)
    stale = next(entry for entry in logs.records if entry.key == logs.records[number].key)
    return logs._replace(records=[*logs.records, stale, logs.records[number]])


def wrong_byte(logs: Logs) -> Logs:
    """In the last write of a promise."""
    number = logs.place_of("kept", last=True)
    promise = _promise(logs.records[number])
    promise.rules_version = "chaot"
    return logs.altered(number, logs.records[number]._replace(value=promise.SerializeToString(deterministic=True)))


def wrong_verdict(logs: Logs) -> Logs:
    """Called kept, though its facts say otherwise."""
    number = logs.place_of("kept_late")
    promise = _promise(logs.records[number])
    promise.state = pb.PROMISE_STATE_KEPT
    return logs.altered(number, logs.records[number]._replace(value=promise.SerializeToString(deterministic=True)))


def early_breach(logs: Logs) -> Logs:
    """Announced at the last instant of grace."""
    number = next(
        number
        for number, entry in enumerate(logs.records)
        if entry.header("transition") == "broken" and _promise(entry).reason == pb.PROMISE_REASON_DUE_PASSED
    )
    breach_at = _promise(logs.records[number]).breach_at
    return logs.altered(number, retold(logs.records[number], "announced-at", breach_at.ToJsonString()))


def early_warning(logs: Logs) -> Logs:
    """Announced one microsecond before its time."""
    number = logs.place_of("at_risk")
    warn_at = _promise(logs.records[number]).warn_at
    warn_at.FromMicroseconds(warn_at.ToMicroseconds() - 1)
    return logs.altered(number, retold(logs.records[number], "announced-at", warn_at.ToJsonString()))


def fulfilment_known_for(span: int) -> Tamper:
    """A breach is announced although the fulfilment has been in Kafka for so long."""

    def tamper(logs: Logs) -> Logs:
        retracted = next(
            entry
            for entry in logs.records[logs.place_of("retracted") :]
            if entry.header("transition") == "retracted" and _promise(entry).state == pb.PROMISE_STATE_KEPT
        )
        (done,) = (fact for fact in _promise(retracted).facts if fact.kind == pb.FACT_KIND_FULFILLED)
        broken = next(
            entry for entry in logs.records if (entry.key, entry.header("transition")) == (retracted.key, "broken")
        )
        inputs = {
            name: [
                entry._replace(at=broken.at - span) if done.event_id.encode() in (entry.value or b"") else entry
                for entry in entries
            ]
            for name, entries in logs.inputs.items()
        }
        return logs._replace(inputs=inputs)

    return tamper


def repeated_write(logs: Logs) -> Logs:
    """The same write twice, as after a retry that was no retry."""
    number = logs.place_of("broken")
    return logs.altered(number, logs.records[number], logs.records[number])


def repeated_announcement(logs: Logs) -> Logs:
    """What only adds a fact is announced as a breach again."""
    number = next(
        number
        for number, entry in enumerate(logs.records)
        if entry.header("transition") == "noted"
        and any(before.key == entry.key and before.header("transition") == "broken" for before in logs.records[:number])
    )
    entry = logs.records[number]
    broken = next(each for each in logs.records if (each.key, each.header("transition")) == (entry.key, "broken"))
    again = retold(retold(entry, "transition", "broken"), "transition-id", broken.header("transition-id"))
    return logs.altered(number, again)


def wrong_words(logs: Logs) -> Logs:
    """A breach called a warning."""
    number = logs.place_of("broken")
    return logs.altered(number, retold(logs.records[number], "transition", "at_risk"))


def wrong_id(logs: Logs) -> Logs:
    """An id that readers know from another transition."""
    number = logs.place_of("broken")
    return logs.altered(number, retold(logs.records[number], "transition-id", logs.records[0].header("transition-id")))


def knows_the_future(logs: Logs) -> Logs:
    """Announced before the facts in it were published."""
    number = logs.place_of("kept")
    return logs.altered(number, retold(logs.records[number], "announced-at", "2020-01-01T00:00:00Z"))


def invented(logs: Logs) -> Logs:
    """A promise that nobody published."""
    return logs._replace(records=[*logs.records, logs.records[0]._replace(key=b"c-0/callback/nobody")])


def elsewhere(logs: Logs) -> Logs:
    """Written to a partition that is not its customer's."""
    number = logs.place_of("kept")
    return logs.altered(
        number, logs.records[number]._replace(partition=(logs.records[number].partition + 1) % PARTITIONS)
    )


def lost_dead_letter(logs: Logs) -> Logs:
    """Unusable input vanished."""
    return logs._replace(dead=logs.dead[1:])


def altered_dead_letter(logs: Logs) -> Logs:
    """Not the bytes that were sent."""
    return logs._replace(dead=[logs.dead[0]._replace(value=b"?"), *logs.dead[1:]])


def unreasoned_dead_letter(logs: Logs) -> Logs:
    """Put aside for a reason that is not so."""
    return logs._replace(dead=[retold(logs.dead[0], "reason", "no reason"), *logs.dead[1:]])


def needless_dead_letter(logs: Logs) -> Logs:
    """A message that could be used was put aside."""
    usable = {(letter.header("topic"), letter.header("partition"), letter.header("offset")) for letter in logs.dead}
    entry = next(
        entry
        for entries in logs.inputs.values()
        for entry in entries
        if (entry.topic, str(entry.partition), str(entry.offset)) not in usable
    )
    letter = logs.dead[0]
    for name, text in (("topic", entry.topic), ("partition", str(entry.partition)), ("offset", str(entry.offset))):
        letter = retold(letter, name, text)
    return logs._replace(dead=[*logs.dead, letter])


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (lost_write, "lost: * not the final record"),
        (lost_promise, "lost: * there is no record"),
        (silent_breach, "lost: * broken was never announced"),
        (deleted_record, "lost: * the record was deleted"),
        (stale_overwrite, "lost: * not the final record"),
        (stale_overwrite_mended, "lost: * overwritten by what was known before"),
        (wrong_byte, "wrong: * the record is not what its own facts come to"),
        (wrong_verdict, "wrong: * the record is not what its own facts come to"),
        (early_breach, "false: * broken 0.000 s early"),
        (early_warning, "false: * at_risk 0.000 s early"),
        (fulfilment_known_for(FRESH + 1_000), "false: * broken, but for 3.0 s a fact had forbidden it"),
        (repeated_write, "double: * written again as it was"),
        (repeated_announcement, "double: * broken was announced before"),
        (wrong_words, "wrong: * announced as 'at_risk', but the step is 'broken'"),
        (wrong_id, "wrong: * its transition-id is"),
        (knows_the_future, "wrong: * knows what nobody had published"),
        (invented, "wrong: * a record that nobody's word stands behind"),
        (elsewhere, "wrong: * written to partition"),
        (lost_dead_letter, "lost: * but no dead letter"),
        (altered_dead_letter, "wrong: * the dead letter is not the message that was sent"),
        (unreasoned_dead_letter, "wrong: * put aside as 'no reason'"),
        (needless_dead_letter, "wrong: * but usable"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_is_found(logs: Logs, tamper: Tamper, found: str) -> None:
    """Each is found, and named for what it is."""
    kind, words = found.split(" * ")
    said = [str(finding) for finding in judged(tamper(logs)).findings]
    assert any(line.startswith(kind) and words in line for line in said), said


def test_what_was_only_just_published_need_not_be_known(logs: Logs) -> None:
    """Less than three seconds in Kafka: counted, and no fault."""
    before = judged(logs)
    after = judged(fulfilment_known_for(FRESH - 1_000)(logs))
    assert after.findings == []
    assert after.hasty > before.hasty


def test_dead_letters_may_repeat(logs: Logs) -> None:
    """After a crash the same message is put aside again."""
    report = judged(logs._replace(dead=[*logs.dead, logs.dead[0]]))
    assert report.findings == []
    assert report.repeated_dead_letters == 1


def test_what_nobody_could_read_need_not_be_known(logs: Logs) -> None:
    """Appended while replicas were missing: it counts from when they were back."""
    tampered = fulfilment_known_for(FRESH + 1_000)(logs)
    assert judged(tampered).count("false") == 1
    assert judged(tampered, hidden=[(START, logs.now)]).findings == []


def test_what_was_compacted_unseen_is_not_missed(logs: Logs) -> None:
    """A step over a hole is not judged by its words, but by its facts."""
    later = logs.records[logs.place_of("retracted")]
    number = next(
        n for n, entry in enumerate(logs.records) if (entry.key, entry.header("transition")) == (later.key, "broken")
    )
    assert judged(logs.altered(number)).count("wrong") > 0
    assert judged(logs.altered(number), holes={(later.partition, later.offset): 1}).findings == []
