"""Whatever goes wrong with what a message or a record holds: it is set aside, and nothing is half done."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.shared.engine.keeper import PUT_OFF, Keeper
from services.shared.engine.machine import Journal, Machine
from services.shared.engine.stage import LARGEST_MESSAGE, Result
from services.shared.engine.store import PartitionStore
from services.shared.instant import SECOND, Instant
from tests.unit.engine.fakes import Tally, a_message
from tests.unit.engine.toy import DEAD_LETTERS, DIARIST, DIARY, INPUT, MACHINE, RECORDS, Fact, Reminder, State

NOW = Instant(1_000 * SECOND)
RING = Instant(500 * SECOND)
BAD = "bad"

ToyMachine = Machine[Reminder, Fact]


def is_bad(*records: Reminder | None) -> bool:
    """Whether somebody said so of one of them."""
    return any(fact.name == BAD for record in records if record for fact in record.facts)


def failing(work: Callable[..., Any], *, on: int) -> Callable[..., Any]:
    """The same function, which breaks on a bad record as its argument number `on`."""

    def broken(*arguments: Any) -> Any:
        if is_bad(arguments[on]):
            raise OverflowError("no number is that large")
        return work(*arguments)

    return broken


def too_much(_key: bytes, _old: object, new: Reminder | None, _facts: object, _now: object) -> Sequence[bytes]:
    """What nobody could write down."""
    return [b"x" * LARGEST_MESSAGE] if is_bad(new) else [b"fine"]


#: In which of the machine's functions a bad fact breaks its record.
BREAKS: dict[str, ToyMachine] = {
    "fold": replace(MACHINE, fold=lambda key, old, facts: failing(MACHINE.fold, on=1)(key, judged(old, facts), facts)),
    "pack": replace(MACHINE, pack=failing(MACHINE.pack, on=0)),
    "step": replace(MACHINE, step=failing(MACHINE.step, on=2)),
    "next_deadline": replace(MACHINE, next_deadline=failing(MACHINE.next_deadline, on=0)),
    "labels": replace(MACHINE, step=lambda key, old, new: {False: MACHINE.step(key, old, new)}[is_bad(new)]),
    "journal": replace(MACHINE, journal=Journal(DIARY, failing(lambda *_: [b"fine"], on=2))),
    "journal too large": replace(MACHINE, journal=Journal(DIARY, too_much)),
    "memory": replace(
        MACHINE,
        fold=lambda key, old, facts: changed(MACHINE.fold(key, old, facts), 2**70),
        pack=lambda _record: b"packed",
    ),
    "key and headers": replace(
        MACHINE,
        step=lambda key, old, new: (
            MACHINE.step(key, old, new)
            if not is_bad(new)
            else type(MACHINE.step(key, old, new))(b"waiting", b"x" * 5_000_000, None, None)
        ),
    ),
}


def judged(old: Reminder | None, facts: Sequence[Fact]) -> Reminder:
    """A reminder of all that is said."""
    return Reminder(b"", (*(old.facts if old else ()), *facts))


def changed(record: Reminder | None, at: int) -> Reminder | None:
    """A bad reminder with a time that msgspec cannot encode."""
    if record is None or not is_bad(record):
        return record
    return record._replace(facts=tuple(fact._replace(ring_at=Instant(at)) for fact in record.facts))


def a_keeper(machine: ToyMachine, tally: Tally | None = None) -> Keeper[Reminder, Fact]:
    """One with an empty partition 0."""
    keeper = Keeper(machine, tally or Tally(), dead_letters=DEAD_LETTERS, dead_letter_partitions=1)
    keeper.stores[0] = PartitionStore(machine)
    return keeper


def said(name: str, at: int = 1, ring_at: int = 0) -> Fact:
    """A fact."""
    return Fact(Instant(at), name, Instant(ring_at))


def dead(result: Result) -> list[tuple[int, str]]:
    """Offset and reason of each dead letter."""
    letters = [dict(write.headers) for write in result.writes if write.topic == DEAD_LETTERS]
    return [(int(letter["offset"]), letter["reason"].decode()) for letter in letters]


def state_of(keeper: Keeper[Reminder, Fact]) -> Any:
    """All that a keeper remembers of partition 0."""
    store = keeper.stores[0]
    keys = store.keys()
    return {key: store.get(key) for key in keys}, len(store.deadlines), dict(store.counts)


@pytest.mark.parametrize("machine", BREAKS.values(), ids=BREAKS)
def test_a_fact_that_breaks_its_record_is_set_aside(machine: ToyMachine) -> None:
    """Wherever it breaks: memory, deadlines, counts and writes are as if it had never come; the batch is used."""
    tally, spared = Tally(), a_keeper(machine)
    keeper = a_keeper(machine, tally)
    before = [a_message(0, ("a", said("before", 1, RING)))]
    good = [a_message(2, ("b", said("fine", 2, RING))), a_message(3, ("a", said("after", 3, RING + 1)))]
    for each in (keeper, spared):
        each.process(INPUT, 0, before, NOW)
    result = keeper.process(INPUT, 0, [a_message(1, ("a", said(BAD, 2))), *good], NOW)
    expected = spared.process(INPUT, 0, good, NOW)
    assert [offset for offset, _ in dead(result)] == [1]
    assert sorted(write for write in map(str, result.writes) if DEAD_LETTERS not in write) == (
        sorted(map(str, expected.writes))
    )
    assert state_of(keeper) == state_of(spared)
    assert tally.outcomes == {"used": 3, "dead": 1}
    rung = {write.key for write in keeper.sweep(0, NOW, NOW, 100).writes}
    assert rung == {b"a", b"b"}


@pytest.mark.parametrize("machine", BREAKS.values(), ids=BREAKS)
def test_an_own_fact_that_breaks_its_record_spares_the_others(machine: ToyMachine) -> None:
    """What this worker did itself is kept all the same, of the same record, too."""
    keeper = a_keeper(machine)
    facts = [(b"a", said("before")), (b"a", said(BAD, 2)), (b"b", said("fine", 2))]
    keeper.submit(0, facts, NOW)
    keys = keeper.stores[0].keys()
    records = {key: keeper.stores[0].get(key) for key in keys}
    assert {key: [fact.name for fact in record.facts] for key, record in records.items() if record} == {
        b"a": ["before"],
        b"b": ["fine"],
    }


#: In which of its functions a machine breaks once a record that is named so is due.
LATE_BREAKS: dict[str, ToyMachine] = {
    "due": replace(MACHINE, due=failing(MACHINE.due, on=0)),
    "pack": replace(
        MACHINE, pack=lambda record: failing(MACHINE.pack, on=0)(record) if record.state == State.RUNG else b"{}"
    ),
    "step": replace(MACHINE, step=failing(MACHINE.step, on=1)),
    "journal": replace(DIARIST, journal=Journal(DIARY, failing(lambda *_: [b"fine"], on=1))),
}  # fmt: skip


@pytest.mark.parametrize("machine", LATE_BREAKS.values(), ids=LATE_BREAKS)
def test_a_record_that_cannot_be_judged_stays_as_it_is(machine: ToyMachine, caplog: pytest.LogCaptureFixture) -> None:
    """The others are announced. It is counted, said once a sweep, and looked at again, but not at once."""
    keeper = a_keeper(machine)
    names = {"a": "fine", "b": BAD, "c": "fine", "d": BAD}
    messages = [a_message(offset, (key, said(name, 1, RING))) for offset, (key, name) in enumerate(names.items())]
    keeper.process(INPUT, 0, messages, NOW)
    before = {key: keeper.stores[0].get(key) for key in (b"b", b"d")}
    result = keeper.sweep(0, NOW, NOW, 100)
    assert {write.key for write in result.writes if write.topic == RECORDS} == {b"a", b"c"}
    assert {key: keeper.stores[0].get(key) for key in before} == before
    assert keeper.not_understood() == 2
    assert len(caplog.records) == 1
    assert keeper.sweep(0, Instant(NOW + PUT_OFF - 61 * SECOND), NOW, 100).looked == 0
    assert keeper.sweep(0, Instant(NOW + PUT_OFF), NOW, 100).looked == 2


def test_a_record_that_can_be_judged_again_is_announced() -> None:
    """Nothing is left of the trouble: it is counted no more."""
    trouble = True

    def due(record: Reminder, now: Instant) -> Reminder | None:
        if trouble:
            raise OverflowError
        return MACHINE.due(record, now)

    keeper = a_keeper(replace(MACHINE, due=due))
    keeper.process(INPUT, 0, [a_message(0, ("a", said("x", 1, RING)))], NOW)
    assert keeper.sweep(0, NOW, NOW, 100).writes == []
    trouble = False
    assert [write.key for write in keeper.sweep(0, Instant(NOW + PUT_OFF), NOW, 100).writes] == [b"a"]
    assert keeper.not_understood() == 0


# --- records that recovery cannot read

ODD = {
    "damaged": b"\xff\xfe",
    "of a newer version": json.dumps(["a", [[1, "x", 0]], "snoozed"]).encode(),
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_a_record_that_cannot_be_read_is_left_alone(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Recovery goes on; its bytes are shown as they are, nothing is judged, and later facts of it are set aside."""
    keeper = a_keeper(MACHINE)
    store = keeper.stores[0]
    good = MACHINE.pack(Reminder(b"b", (said("x", 1, RING),)))
    store.restore([(b"a", value), (b"b", good)])
    list(store.index())
    assert (store.packed(b"a"), store.get(b"a"), sorted(store.keys())) == (value, None, [b"a", b"b"])
    assert keeper.not_understood() == 1
    assert store.counts == {("reminder", "waiting"): 1}
    assert len(caplog.records) == 1
    result = keeper.process(INPUT, 0, [a_message(0, ("a", said("later"))), a_message(1, ("b", said("later")))], NOW)
    assert dead(result) == [(0, "not_understood")]
    assert [write.key for write in keeper.sweep(0, NOW, NOW, 100).writes] == [b"b"]
    assert store.packed(b"a") == value


def test_a_record_is_understood_again_once_it_is_written_anew() -> None:
    """By whichever worker: the log's last word counts."""
    store = PartitionStore(MACHINE)
    readable = Reminder(b"a", (said("x"),))
    for value, opaque in ((b"?", True), (MACHINE.pack(readable), False), (b"?", True), (None, False)):
        store.restore([(b"a", value)])
        list(store.index())
        assert (b"a" in store.opaque) == opaque
        assert store.counts.total() == (value == MACHINE.pack(readable))
        assert store.get(b"a") == (readable if value == MACHINE.pack(readable) else None)
