"""From an assignment to reading: all records are restored, whatever comes in between, and every lane starts right."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Collection
from functools import partialmethod

import pytest
from faust.tables.recovery import RebalanceAgain
from faust.types import TP

from services.shared.engine import recovery
from services.shared.engine.fence import KEY
from services.shared.engine.lane import Jump
from services.shared.engine.recovery import TruncatedLog
from services.shared.engine.store import PartitionStore
from services.shared.instant import Instant
from tests.unit.engine.fakes import FakeMessage, a_message
from tests.unit.engine.rig import Rig
from tests.unit.engine.toy import INPUT, RECORDS, Fact, Reminder, State, pack

IN, IN_1 = TP(INPUT, 0), TP(INPUT, 1)
LOG, LOG_1 = TP(RECORDS, 0), TP(RECORDS, 1)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """One that owns nothing yet."""
    place = Rig()
    yield place
    await place.close()


def entry(offset: int, *, deleted: bool = False) -> FakeMessage:
    """A changelog record: a reminder of its own."""
    key = b"k%d" % offset
    value = pack(Reminder(key, (Fact(Instant(1), "x"),), State.WAITING))
    return FakeMessage(offset, offset, key, None if deleted else value)


async def settled(rig: Rig, tp: TP, frontier: int) -> None:
    """Wait until a lane may be committed up to an offset."""
    await until(lambda: rig.lanes()[tp].frontier >= frontier)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


async def test_records_are_restored_before_reading_begins(rig: Rig) -> None:
    """All of the changelog is applied and indexed; then every lane reads on from where it was committed."""
    rig.kafka.logs[LOG] = [entry(offset) for offset in range(10)] + [entry(3, deleted=True)]
    rig.kafka.logs[LOG][-1].offset = 10
    rig.kafka.logs[IN] = [a_message(offset, (f"new{offset}", Fact(Instant(1), "x"))) for offset in range(6)]
    rig.kafka.offsets[IN] = 4
    await rig.assign(IN, IN_1, LOG, LOG_1)
    assert set(rig.keeper.stores[0].keys()) == {b"k%d" % number for number in range(10)} - {b"k3"}
    assert rig.keeper.stores[1].keys() == []
    assert rig.tally.kept == {("reminder", "waiting"): 9}
    assert {tp: (lane.position, lane.target) for tp, lane in rig.lanes().items()} == {IN: (4, 6), IN_1: (0, 0)}
    await settled(rig, IN, 6)
    assert {b"new4", b"new5"} < set(rig.keeper.stores[0].keys())
    assert rig.keeper.stores[0].get(b"new3") is None
    assert rig.failures == []


async def test_whoever_prepares_for_an_assignment_does_so_before_reading_begins(rig: Rig) -> None:
    """At each of them, and with all partitions that are owned since."""
    prepared: list[tuple[set[int], bool]] = []

    async def prepare(partitions: Collection[int]) -> None:
        await asyncio.sleep(0)
        prepared.append((set(partitions), rig.runtime.assigned))

    rig.recovery.prepare = prepare
    await rig.assign(IN, IN_1, LOG, LOG_1)
    await rig.revoke()
    await rig.assign(IN, LOG)
    assert prepared == [({0, 1}, False), ({0}, False)]


async def test_a_fetch_that_outlasts_the_rebalance_leaves_no_hole(rig: Rig) -> None:
    """It may bring records sought after it began. They must not be dropped as belonging to the past."""
    await rig.assign(IN, LOG)
    rig.kafka.patience = 0.5  # an idle fetch is under way
    await asyncio.sleep(0.03)
    await rig.revoke()
    rig.kafka.logs[LOG_1] = [entry(offset) for offset in range(20)]
    await rig.assign(IN, IN_1, LOG, LOG_1)
    assert len(rig.keeper.stores[1].keys()) == 20


async def test_a_recovery_says_how_far_it_is(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """First what is read, then what is taken in: from nothing to all of it, and in the log by the hundred."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(recovery, "_SAY", -1.0)
    monkeypatch.setattr(PartitionStore, "index", partialmethod(PartitionStore.index, slice_size=2))
    rig.kafka.logs[LOG] = [entry(offset) for offset in range(8)]
    await rig.assign(IN, LOG)
    shares = rig.tally.restored
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert shares == sorted(shares)
    assert 0.5 in shares
    assert len([share for share in shares if 0.5 < share < 1]) > 2
    assert "Restoring: 50 %" in caplog.messages


async def test_recovery_ends_at_the_fence(rig: Rig) -> None:
    """Whatever compaction removed: the last thing in the log is the fence, and nobody else writes after it."""
    rig.kafka.logs[LOG] = [entry(2), entry(5), FakeMessage(9, 9, KEY, None)]
    async with asyncio.timeout(2):
        await rig.assign(IN, LOG)
    assert set(rig.keeper.stores[0].keys()) == {b"k2", b"k5"}
    assert rig.keeper.stores[0].next_offset == 11


async def test_kept_partitions_read_only_what_is_new(rig: Rig) -> None:
    """Their records are in memory; what somebody else wrote meanwhile is read, and what is given away forgotten."""
    rig.kafka.logs[LOG], rig.kafka.logs[LOG_1] = [entry(0)], [entry(1)]
    await rig.assign(IN, IN_1, LOG, LOG_1)
    assert rig.tally.kept == {("reminder", "waiting"): 2}
    await rig.revoke()
    rig.kafka.logs[LOG].append(entry(2))
    await rig.assign(IN, LOG)
    assert {LOG: 2} in rig.kafka.seeks
    assert rig.keeper.stores.keys() == {0}
    assert set(rig.keeper.stores[0].keys()) == {b"k0", b"k2"}
    assert rig.tally.kept == {("reminder", "waiting"): 2}
    assert rig.runtime.partitions() == {0}


async def test_a_restore_broken_off_is_taken_up_again(rig: Rig) -> None:
    """A rebalance in the middle of it loses nothing, and counts nothing twice."""
    rig.kafka.logs[LOG] = [entry(offset) for offset in range(12)]
    rig.kafka.shown[LOG] = 9
    assigning = asyncio.create_task(rig.assign(IN, LOG))
    rig.kafka.patience = 0.2
    await asyncio.sleep(0.01)
    assigning.cancel()
    await asyncio.wait([assigning])
    await rig.revoke()
    rig.kafka.shown.clear()
    await rig.assign(IN, LOG)
    assert len(rig.keeper.stores[0].keys()) == 12
    assert rig.tally.kept == {("reminder", "waiting"): 12}


async def test_an_index_broken_off_is_taken_up_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures say what has been counted so far, then all of it once; given away, nothing is left of it."""
    monkeypatch.setattr(PartitionStore, "index", partialmethod(PartitionStore.index, slice_size=2))
    rig.kafka.logs[LOG] = [entry(offset) for offset in range(9)]
    assigning = asyncio.create_task(rig.assign(IN, LOG))
    async with asyncio.timeout(2):
        while 0 not in rig.keeper.stores or not rig.keeper.stores[0].keys():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    assigning.cancel()
    await asyncio.wait([assigning])
    count = len(rig.keeper.stores[0].keys())
    assert 0 < count < 9
    assert rig.tally.kept == {("reminder", "waiting"): count}
    await rig.revoke()
    await rig.assign(IN, LOG)
    assert len(rig.keeper.stores[0].keys()) == 9
    assert rig.tally.kept == {("reminder", "waiting"): 9}
    await rig.revoke()
    await rig.assign()
    assert rig.tally.kept == {("reminder", "waiting"): 0}


async def test_cycles_are_searched_for_after_a_recovery(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in it: it makes none."""
    searched: list[bool] = []
    monkeypatch.setattr(PartitionStore, "restore", lambda *_: searched.append(gc.isenabled()))
    rig.kafka.logs[LOG] = [entry(offset) for offset in range(12)]
    await rig.assign(IN, LOG)
    assert set(searched) == {False}
    assert gc.isenabled()


async def test_what_was_revoked_meanwhile_is_not_served(rig: Rig) -> None:
    """Between the restored records and the first read the group may have decided otherwise."""
    rig.kafka.seekable.clear()
    assigning = asyncio.create_task(rig.assign(IN, LOG))
    await asyncio.sleep(0.02)
    await rig.revoke()
    rig.kafka.seekable.set()
    with pytest.raises(RebalanceAgain):
        await assigning
    assert (rig.runtime.lanes, rig.runtime.assigned) == ({}, False)


async def test_partitions_taken_away_unheard_are_not_served(rig: Rig) -> None:
    """The client knows of the next rebalance before the app is told of it."""
    rig.kafka.seekable.clear()
    assigning = asyncio.create_task(rig.assign(IN, LOG))
    await asyncio.sleep(0.02)
    rig.kafka.owned = set()
    rig.kafka.seekable.set()
    with pytest.raises(RebalanceAgain):
        await assigning
    assert rig.failures == []


async def test_a_hole_in_what_was_taken_away_is_nobodys(rig: Rig) -> None:
    """It is not read again, and ends no worker."""
    await rig.assign(IN, LOG)
    rig.kafka.owned = set()
    await rig.consumer._explain(IN, Jump(0, 1))  # noqa: SLF001
    assert rig.failures == []


async def test_nothing_to_own_is_an_assignment_too(rig: Rig) -> None:
    """More workers than partitions: it waits, and takes over when it is its turn."""
    await rig.assign()
    assert rig.runtime.assigned
    await rig.runtime.freeze()
    rig.runtime.clear()  # Faust does not stop the flow of one that owns nothing
    rig.kafka.logs[LOG] = [entry(0)]
    async with asyncio.timeout(3):
        await rig.assign(IN, LOG)
    assert set(rig.keeper.stores[0].keys()) == {b"k0"}


async def test_a_changelog_shorter_than_known_ends_the_worker(rig: Rig) -> None:
    """Somebody deleted records or made the topic anew; going on would mix two pasts."""
    rig.kafka.logs[LOG] = [entry(0), entry(1)]
    await rig.assign(IN, LOG)
    await rig.revoke()
    rig.kafka.logs[LOG] = []
    with pytest.raises(TruncatedLog, match="ended at 0, but 3 was acknowledged"):
        await rig.assign(IN, LOG)


async def test_a_changelog_shorter_than_committed_ends_the_worker(rig: Rig) -> None:
    """Also one that has just started learns it: from the note beside the committed offset."""
    rig.kafka.logs[LOG], rig.kafka.offsets[IN], rig.kafka.lengths[IN] = [entry(0), entry(1)], 0, 3
    with pytest.raises(TruncatedLog, match="ended at 2, but 3 was acknowledged"):
        await rig.assign(IN, LOG)


async def test_a_changelog_without_its_beginning_ends_the_worker(rig: Rig) -> None:
    """Compaction leaves holes but never moves the beginning: somebody deleted records."""
    rig.kafka.logs[LOG], rig.kafka.starts[LOG] = [entry(4)], 4
    with pytest.raises(TruncatedLog, match="begins at 4 instead of 0"):
        await rig.assign(IN, LOG)


async def test_renewed_fences_leave_no_gap(rig: Rig) -> None:
    """What is written after them follows them."""
    await rig.assign(IN, LOG)
    await rig.recovery.renew()
    rig.kafka.logs[IN] = [a_message(0, ("a", Fact(Instant(1), "x")))]
    await settled(rig, IN, 1)
    assert [key for key, _ in rig.producer.logs[RECORDS, 0]] == [KEY, KEY, b"a"]
    assert rig.failures == []


async def test_a_commit_beyond_the_end_ends_the_worker(rig: Rig) -> None:
    """An input made anew would be skipped up to where the old one was read."""
    rig.kafka.offsets[IN] = 5
    with pytest.raises(TruncatedLog, match="5 was committed"):
        await rig.assign(IN, LOG)


async def test_what_expired_before_it_was_read_is_told(rig: Rig) -> None:
    """Reading begins where the log does; the hole is counted."""
    rig.kafka.logs[IN], rig.kafka.starts[IN], rig.kafka.offsets[IN] = [a_message(7)], 7, 4
    await rig.assign(IN, LOG)
    await settled(rig, IN, 8)
    assert rig.tally.jumps == ["expired"]


async def test_a_hole_in_the_input_is_read_again(rig: Rig) -> None:
    """A fetch that skips is not believed: it is sought back and nothing is lost."""
    rig.kafka.logs[IN] = [a_message(offset, (f"k{offset}", Fact(Instant(1), "x"))) for offset in range(2)]
    await rig.assign(IN, LOG)
    await settled(rig, IN, 2)
    rig.kafka.positions[IN] = 3  # what must not happen
    rig.kafka.logs[IN] += [a_message(offset, (f"k{offset}", Fact(Instant(1), "x"))) for offset in range(2, 5)]
    await settled(rig, IN, 5)
    assert set(rig.keeper.stores[0].keys()) == {b"k%d" % number for number in range(5)}
    assert rig.tally.jumps == ["refetched"]


async def test_input_that_expires_under_way_is_skipped(rig: Rig) -> None:
    """Retention may overtake a reader: it goes on where the log now begins, and says so."""
    rig.kafka.logs[IN] = [a_message(0)]
    await rig.assign(IN, LOG)
    await settled(rig, IN, 1)
    rig.kafka.starts[IN] = rig.kafka.positions[IN] = 4
    rig.kafka.logs[IN] = [a_message(4), a_message(5)]
    await settled(rig, IN, 6)
    assert rig.tally.jumps == ["expired"]


async def test_only_what_is_acknowledged_is_committed(rig: Rig) -> None:
    """Whatever was read; and nothing twice."""
    await rig.assign(IN, LOG)
    rig.producer.holding = True
    rig.kafka.logs[IN] = [a_message(0, ("a", Fact(Instant(1), "x")))]
    await until(lambda: rig.lanes()[IN].position == 1)
    assert rig.consumer._filter_committable_offsets([IN]) == {}  # noqa: SLF001 - Faust's commit asks it
    rig.producer.answer_all()
    await settled(rig, IN, 1)
    assert rig.consumer._filter_committable_offsets([IN]) == {IN: 1}  # noqa: SLF001
