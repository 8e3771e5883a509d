"""The keeper: a batch becomes one write for each record that changed, and nothing in it harms the rest."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from services.shared.engine.batch import MAX_RECORD_BYTES, transition_of
from services.shared.engine.keeper import Keeper
from services.shared.engine.machine import Machine
from services.shared.engine.stage import Message, Result
from services.shared.engine.store import PartitionStore
from services.shared.instant import SECOND, Instant
from services.shared.partitioner import partition_of
from tests.unit.engine.fakes import FakeMessage, Tally, a_message, a_tick, raw
from tests.unit.engine.toy import (
    DEAD_LETTERS,
    DIARIST,
    DIARY,
    INPUT,
    MACHINE,
    POISON,
    RECORDS,
    Fact,
    Reminder,
    State,
    unpack,
)

NOW = Instant(1_000 * SECOND)
RING = Instant(500 * SECOND)


def a_keeper(tally: Tally | None = None, machine: Machine[Reminder, Fact] = MACHINE) -> Keeper[Reminder, Fact]:
    """One with an empty partition 0."""
    keeper = Keeper(machine, tally or Tally(), dead_letters=DEAD_LETTERS, dead_letter_partitions=3)
    keeper.stores[0] = PartitionStore(machine)
    return keeper


def said(name: str, at: int = 1, ring_at: int = 0) -> Fact:
    """A fact."""
    return Fact(Instant(at), name, Instant(ring_at))


def process(keeper: Keeper[Reminder, Fact], *messages: Message, topic: str = INPUT) -> Result:
    """A batch for partition 0."""
    return keeper.process(topic, 0, messages, NOW)


def records(result: Result) -> dict[bytes, Reminder | None]:
    """The record writes of a result; each key must be written once."""
    writes = [(write.key or b"", write.value) for write in result.writes if write.topic == RECORDS]
    table = {key: unpack(value) if value else None for key, value in writes}
    assert len(table) == len(writes)
    return table


def kept(keeper: Keeper[Reminder, Fact]) -> dict[bytes, bytes]:
    """What memory holds of partition 0, as the changelog has it."""
    store, keys = keeper.stores[0], keeper.stores[0].keys()
    return {key: store.packed(key) or b"" for key in keys}


def dead_offsets(result: Result) -> list[int]:
    """Where the dead letters of a result came from."""
    return sorted(reasons(result))


def reasons(result: Result) -> dict[int, str]:
    """Why each message that is a dead letter is one, by its offset; each must be one only once."""
    letters = [dict(write.headers) for write in result.writes if write.topic == DEAD_LETTERS]
    table = {int(headers["offset"]): headers["reason"].decode() for headers in letters}
    assert len(table) == len(letters)
    return table


# --- batches


def test_a_key_is_written_once_a_batch() -> None:
    """Whatever a batch says of a reminder goes into one write, with its key, its partition and what it means."""
    keeper = a_keeper()
    result = process(
        keeper, a_message(0, ("a", said("first")), ("b", said("other"))), a_message(1, ("a", said("done", 2)))
    )
    assert {key: record and record.state for key, record in records(result).items()} == {
        b"a": State.DONE,
        b"b": State.WAITING,
    }
    assert {write.partition for write in result.writes} == {0}
    assert result.writes[0].headers == [
        ("transition", b"done"),
        ("transition-id", b"a:done"),
        ("announced-at", b"1970-01-01T00:16:40Z"),
    ]
    assert [(write.key, transition_of(write)) for write in result.writes] == [(b"a", "done"), (b"b", "waiting")]
    assert kept(keeper) == {write.key: write.value for write in result.writes}


def test_what_changes_nothing_is_not_written() -> None:
    """Repeated input leaves no trace, neither in the log nor in the figures of records."""
    tally = Tally()
    keeper = a_keeper(tally)
    process(keeper, a_message(0, ("a", said("first"))))
    assert process(keeper, a_message(1, ("a", said("first")))).writes == []
    assert process(keeper, a_message(2, ("b", said("nothing")))).writes == []
    assert tally.kept == {("reminder", "waiting"): 1}


def test_every_message_is_counted_once() -> None:
    """Used, ignored, dead or tick, and the newest event's age."""
    tally = Tally()
    batch = [a_message(0, ("a", said("x", 990 * SECOND))), a_message(1), raw(2, None), raw(3, b"?"), a_tick(4, RING)]
    process(a_keeper(tally), *batch)
    assert tally.outcomes == {"used": 1, "ignored": 2, "dead": 1, "tick": 1}
    assert tally.ages == [10.0]


def test_a_batch_says_how_far_its_events_reach() -> None:
    """The event clock goes by facts and ticks alike; a batch of neither does not move it."""
    keeper = a_keeper()
    assert process(keeper, a_message(0, ("a", said("x", 7)), ("a", said("y", 5)))).event_time == 7
    assert process(keeper, a_tick(1, RING), a_message(2, ("a", said("x", 7)))).event_time == RING
    assert process(keeper, a_message(3), raw(4, b"?")).event_time is None


# --- poison


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
@given(places=st.sets(st.integers(0, 3), min_size=1))
def test_poison_anywhere_harms_nothing_else(poison: bytes, places: set[int]) -> None:
    """Wherever unusable messages stand, the rest folds as if they were not there, and each is set aside, whole."""
    tally = Tally()
    good = [a_message(offset, ("a", said(f"fact {offset}", offset))) for offset in range(4) if offset not in places]
    batch = [*good, *(raw(offset, poison, ("trace", b"t-1")) for offset in places)]
    result = process(a_keeper(tally), *sorted(batch, key=lambda message: message.offset))
    assert dead_offsets(result) == sorted(places)
    assert records(result) == (records(process(a_keeper(), *good)) if good else {})
    assert tally.outcomes == {"dead": len(places)} | ({"used": len(good)} if good else {})
    letter = next(write for write in result.writes if write.topic == DEAD_LETTERS)
    assert (letter.key, letter.value) == (b"k", poison)
    assert {"reason", "detail", "topic", "partition"} < dict(letter.headers).keys()
    assert dict(letter.headers)["original-trace"] == b"t-1"


@pytest.mark.parametrize(
    ("poison", "reason", "logged"), [(b"?", "undecodable", False), (b"{", "invalid", True)], ids=["refused", "broken"]
)
def test_dead_letters_say_why(poison: bytes, reason: str, logged: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A decoder's refusal is told as it is; where it broke, the log says how, and the letter tells of the log."""
    tally = Tally()
    headers = dict(process(a_keeper(tally), raw(7, poison)).writes[0].headers)
    assert headers["reason"] == reason.encode()
    assert (b"log" in headers["detail"]) == logged
    assert tally.refused == {reason: 1}
    assert bool(caplog.records) == logged


@pytest.mark.parametrize("text", [b"yesterday", b"2026-01-01", b"\xff"])
def test_a_tick_without_its_instant_is_a_dead_letter(text: bytes) -> None:
    """It must not move the clock anywhere, nor stop the batch."""
    result = process(a_keeper(), raw(0, b"", ("tick", text)), a_message(1, ("a", said("x"))))
    assert dead_offsets(result) == [0]
    assert b"tick" in dict(result.writes[0].headers)["detail"]
    assert records(result).keys() == {b"a"}


@pytest.mark.parametrize(
    "message", [raw(7, b"?"), a_message(7, ("a", said("impossible")))], ids=["undecodable", "not to be folded"]
)
def test_dead_letters_say_where_they_come_from(message: FakeMessage) -> None:
    """Topic, partition and offset; theirs is the same partition, as far as there are as many."""
    keeper = a_keeper()
    keeper.stores[5] = PartitionStore(MACHINE)
    (letter,) = keeper.process(INPUT, 5, [message], NOW).writes
    headers = dict(letter.headers)
    assert (letter.topic, letter.partition) == (DEAD_LETTERS, 5 % 3)
    assert (headers["topic"], headers["partition"], headers["offset"]) == (INPUT.encode(), b"5", b"7")


def test_facts_that_break_the_fold_are_set_aside(caplog: pytest.LogCaptureFixture) -> None:
    """The messages that break a record are dead letters; every other one is used, also of the same record."""
    tally = Tally()
    keeper = a_keeper(tally)
    process(keeper, a_message(0, ("a", said("before"))))
    before = kept(keeper)
    with caplog.at_level(logging.CRITICAL):
        result = process(
            keeper,
            a_message(1, ("a", said("innocent", 2))),
            a_message(2, ("b", said("fine"))),
            raw(3, b"{"),
            a_message(4, ("a", said("impossible", 3))),
        )
    assert dead_offsets(result) == [3, 4]
    assert records(result).keys() == {b"a", b"b"}
    assert before.keys() == {b"a"}
    assert [fact.name for fact in unpack(kept(keeper)[b"a"]).facts] == ["before", "innocent"]
    assert tally.outcomes == {"used": 3, "dead": 2}


HUGE = "x" * MAX_RECORD_BYTES


def test_a_record_too_large_stays_as_it_was() -> None:
    """What would not fit into a message is set aside as too large, also beside poison; the record lives on."""
    keeper = a_keeper()
    process(keeper, a_message(0, ("a", said("before"))))
    result = process(
        keeper, raw(1, b"{"), raw(2, b"?"), a_message(3, ("a", said(HUGE))), a_message(4, ("b", said("fine")))
    )
    assert reasons(result) == {1: "invalid", 2: "undecodable", 3: "too_large"}
    assert records(result).keys() == {b"b"}
    assert records(process(keeper, a_message(5, ("a", said("after", 2))))).keys() == {b"a"}


def test_one_message_too_large_for_two_records_is_one_dead_letter() -> None:
    """It is counted once as well: of one message read, one is dead and none less than none is used."""
    tally = Tally()
    result = process(a_keeper(tally), a_message(0, ("a", said(HUGE)), ("b", said(HUGE))))
    assert dead_offsets(result) == [0]
    assert tally.outcomes == {"dead": 1}
    assert tally.refused == {"too_large": 1}


def test_a_record_begins_only_on_the_partition_of_its_key() -> None:
    """What was published with another partitioner is set aside; the rest of the batch is unharmed."""
    here = next(name for name in "abcdef" if partition_of(name, 2) == 0)
    there = next(name for name in "abcdef" if partition_of(name, 2) == 1)
    machine = replace(MACHINE, home=partition_of)
    keeper = Keeper(machine, Tally(), dead_letters=DEAD_LETTERS, dead_letter_partitions=1, partitions=2)
    keeper.stores[0] = PartitionStore(machine)
    result = process(keeper, a_message(0, (there, said("lost"))), a_message(1, (here, said("at home"))))
    assert reasons(result) == {0: "misplaced"}
    assert records(result).keys() == {here.encode()}


# --- sweeps


def sweep(keeper: Keeper[Reminder, Fact], clock: int, limit: int = 100) -> Result:
    """Partition 0."""
    return keeper.sweep(0, Instant(clock), NOW, limit)


def test_what_is_due_is_announced_once_and_not_before() -> None:
    """A reminder rings at its instant: a microsecond before, nothing; afterwards, nothing more."""
    tally = Tally()
    keeper = a_keeper(tally)
    process(keeper, a_message(0, ("a", said("x", ring_at=RING))))
    assert sweep(keeper, RING - 1).writes == []
    assert records(sweep(keeper, RING))[b"a"] == Reminder(b"a", (said("x", ring_at=RING),), State.RUNG)
    assert sweep(keeper, NOW).writes == []
    assert tally.delays == [500.0]
    assert tally.kept == {("reminder", "waiting"): 0, ("reminder", "rung"): 1}


def test_a_sweep_looks_at_no_more_than_it_may() -> None:
    """What is left comes with the next one, and the result says how many deadlines were looked at."""
    keeper = a_keeper()
    process(keeper, a_message(0, *((str(number), said("x", ring_at=RING)) for number in range(5))))
    looked = [sweep(keeper, RING, limit=2) for _ in range(4)]
    assert [(len(result.writes), result.looked) for result in looked] == [(2, 2), (2, 2), (1, 1), (0, 0)]


def test_a_time_that_moved_is_kept_to() -> None:
    """Put off, it rings at the later time only; brought forward, at the earlier one; each once."""
    keeper = a_keeper()
    process(keeper, a_message(0, ("a", said("x", 1, RING)), ("b", said("x", 1, RING))))
    process(keeper, a_message(1, ("a", said("y", 2, RING + 60)), ("b", said("y", 2, RING - 60))))
    rung = [
        (clock, list(records(sweep(keeper, clock)))) for clock in (RING - 61, RING - 60, RING, RING + 59, RING + 60)
    ]
    assert rung == [(RING - 61, []), (RING - 60, [b"b"]), (RING, []), (RING + 59, []), (RING + 60, [b"a"])]


def test_putting_off_costs_no_second_entry() -> None:
    """One entry a record, however often its time moves on."""
    keeper = a_keeper()
    for turn in range(10):
        process(keeper, a_message(turn, ("a", said(f"x{turn}", turn + 1, RING + turn * 90 * SECOND))))
        sweep(keeper, RING - 1)
    assert len(keeper.stores[0].deadlines) == 1


def test_what_was_done_does_not_ring() -> None:
    """The entry in the queue is only a reason to look."""
    keeper = a_keeper()
    process(keeper, a_message(0, ("a", said("x", ring_at=RING))))
    process(keeper, a_message(1, ("a", said("done", 2))))
    assert sweep(keeper, NOW).writes == []
    assert len(keeper.stores[0].deadlines) == 0


def test_what_is_forgotten_is_deleted() -> None:
    """The write has no value, memory no record, the figures no count, and a new beginning is possible."""
    tally = Tally()
    keeper = a_keeper(tally)
    process(keeper, a_message(0, ("a", said("forget", 5))))
    result = sweep(keeper, 5)
    assert [(write.key, write.value) for write in result.writes] == [(b"a", None)]
    assert [transition_of(write) for write in result.writes] == ["forgotten"]
    assert kept(keeper) == {}
    assert tally.kept == {("reminder", "waiting"): 0}
    process(keeper, a_message(1, ("a", said("x", ring_at=RING))))
    assert records(sweep(keeper, RING)).keys() == {b"a"}


def test_a_record_at_the_limit_is_announced_all_the_same() -> None:
    """The limit is for what facts add: a verdict by the clock, a few bytes more, is never held back."""
    limit = MAX_RECORD_BYTES
    longer = replace(
        MACHINE, pack=lambda record: MACHINE.pack(record) + b" " * (limit if record.state == "rung" else 0)
    )
    keeper = Keeper(longer, Tally(), dead_letters=DEAD_LETTERS, dead_letter_partitions=1)
    keeper.stores[0] = PartitionStore(longer)
    process(keeper, a_message(0, ("a", said("x", ring_at=RING))))
    assert records(sweep(keeper, RING)).keys() == {b"a"}


def test_what_this_worker_did_itself_is_folded_too() -> None:
    """A submitted fact is announced like one from Kafka, but says nothing of how far input was read."""
    keeper = a_keeper()
    result = keeper.submit(0, [(b"a", said("x")), (b"b", said("y")), (b"a", said("done", 2))], NOW)
    assert [(write.key, transition_of(write)) for write in result.writes] == [(b"a", "done"), (b"b", "waiting")]
    assert result.event_time is None


def test_an_own_fact_that_cannot_be_kept_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """There is no message to set aside; silence would hide it."""
    assert a_keeper().submit(0, [(b"a", said("impossible"))], NOW).writes == []
    assert "own" in caplog.text


# --- the journal


def test_every_step_is_journalled_with_what_made_it() -> None:
    """Facts, own facts and the clock, also what is forgotten: ahead of the record, under its key and partition."""
    keeper = a_keeper(machine=DIARIST)
    steps = [
        process(keeper, a_message(0, ("a", said("x", ring_at=RING)), ("b", said("y")), ("b", said("done", 2)))),
        keeper.sweep(0, RING, NOW, 10),
        keeper.submit(0, [(b"a", said("forget", 600 * SECOND))], NOW),
        keeper.sweep(0, NOW, NOW, 10),
    ]
    assert [[(write.key, write.value) for write in step.ahead] for step in steps] == [
        [(b"b", f"none-done by y,done at {NOW}".encode())],
        [(b"a", f"waiting-rung by the clock at {NOW}".encode())],
        [(b"a", f"rung-rung by forget at {NOW}".encode())],
        [(b"a", f"rung-none by the clock at {NOW}".encode())],
    ]
    assert {(write.topic, write.partition) for step in steps for write in step.ahead} == {(DIARY, 0)}
    assert {write.topic for step in steps for write in step.writes} == {RECORDS}


def test_the_journal_is_asked_of_what_changes_nothing_but_not_of_what_is_refused() -> None:
    """A record may have no room for what has to be on record. Where there is no journal nothing is written."""
    keeper = a_keeper(machine=DIARIST)
    process(keeper, a_message(0, ("a", said("done"))))
    again = process(keeper, a_message(1, ("a", said("done"))))
    assert [write.value for write in again.ahead] == [f"done-done by done at {NOW}".encode()]
    assert again.writes == []
    assert process(keeper, a_message(2, ("a", said("impossible")))).ahead == []
    assert process(a_keeper(), a_message(0, ("a", said("done")))).ahead == []


# --- figures


_FACTS = st.builds(
    Fact,
    st.integers(1, 20).map(Instant),
    st.sampled_from(["x", "y", "done"]),
    st.sampled_from([0, 10, 15]).map(Instant),
)
_BATCHES = st.lists(st.lists(st.tuples(st.sampled_from("abc"), _FACTS), min_size=1, max_size=4), max_size=8)


@given(_BATCHES, st.lists(st.integers(0, 20), max_size=8))
def test_figures_always_count_the_records(batches: Sequence[Sequence[tuple[str, Fact]]], clocks: list[int]) -> None:
    """Whatever comes and goes, what the meter and the store count is what there is."""
    tally = Tally()
    keeper = a_keeper(tally)
    for number, batch in enumerate(batches):
        process(keeper, *(a_message(offset, fact) for offset, fact in enumerate(batch)))
        for clock in clocks[number : number + 1]:
            sweep(keeper, clock)
    states: list[tuple[str, str]] = [("reminder", unpack(v).state.value) for v in kept(keeper).values()]
    for counts in (tally.kept, keeper.stores[0].counts):
        assert +counts == {labels: states.count(labels) for labels in states}


def test_what_a_batch_settled_is_measured() -> None:
    """Every record of it, by what it is and was settled as; what is not settled is not."""
    tally = Tally()
    done = [(key, said("done")) for key in "abc"]
    result = process(a_keeper(tally), a_message(0, *done), a_message(1, ("d", said("x"))))
    assert (tally.margins, len(result.writes)) == ({("reminder", "done"): [-1.0] * 3}, 4)
    assert tally.announced == {"done": 3, "waiting": 1}


def test_the_topics_read_are_the_machines() -> None:
    """The keeper reads what its machine has decoders for."""
    assert set(a_keeper().inputs) == MACHINE.inputs.keys()


def test_json_is_told_apart_by_its_header() -> None:
    """The decoder learns from the header how the value is encoded."""
    told = list[bool]()

    def decode(_value: bytes, is_json: bool) -> list[tuple[bytes, Fact]]:
        told.append(is_json)
        return []

    spying = replace(MACHINE, inputs={"in": decode})
    keeper = Keeper(spying, Tally(), dead_letters=DEAD_LETTERS, dead_letter_partitions=1)
    keeper.stores[0] = PartitionStore(spying)
    json_header = (("content-type", b"application/json"),)
    process(keeper, raw(0, b""), FakeMessage(1, 1, None, b"", json_header), topic="in")
    assert told == [False, True]
