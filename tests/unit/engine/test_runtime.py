"""The runtime: nothing moves that is frozen, nothing is committed or told too early, and the clock waits for input."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.shared.engine.dead_letters import DeadLetters
from services.shared.engine.deadlines import DeadlineQueue
from services.shared.engine.lane import FRESH, Jump, Lane
from services.shared.engine.machine import OwnFact
from services.shared.engine.outbox import MAX_IN_FLIGHT
from services.shared.engine.relay import Relay
from services.shared.engine.runtime import PATIENCE, READING_IN_FLIGHT, SLICE, SWEEP
from services.shared.engine.store import ForeignWriter
from services.shared.engine.view import PartitionsMoved, SlowReader
from services.shared.instant import SECOND, Instant
from tests.unit.engine.fakes import FakeMessage, Tally, a_message, a_tick, a_write, raw, settle
from tests.unit.engine.site import NOW, Site, idle, table_of
from tests.unit.engine.toy import DEAD_LETTERS, DIARIST, DIARY, INPUT, OTHER_INPUT, RECORDS, Fact

RING = Instant(500 * SECOND)


def said(name: str = "x", at: int = 1, ring_at: int = 0) -> Fact:
    """A fact."""
    return Fact(Instant(at), name, Instant(ring_at))


def stream(start: int, stop: int) -> list[FakeMessage]:
    """Contiguous messages, each of a key of its own."""
    return [a_message(offset, (f"k{offset}", said())) for offset in range(start, stop)]


def long_stream(slices: int) -> list[FakeMessage]:
    """So many slices, with a reminder in the first message of each."""
    return [a_message(offset, *[(f"k{offset}", said())][offset % SLICE :]) for offset in range(slices * SLICE)]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """One that owns partition 0 of the input, from the beginning of an empty log."""
    place = Site()
    place.own(Lane(INPUT, 0, 0, 0))
    yield place
    await place.outbox.stop()


@pytest.fixture
async def replay() -> AsyncIterator[Site]:
    """One whose time is what its input says, with partition 0 of two inputs and partition 1 of one."""
    place = Site(event_clock=True)
    place.own(Lane(INPUT, 0, 0, 0), Lane(OTHER_INPUT, 0, 0, 0), Lane(INPUT, 1, 0, 0))
    yield place
    await place.outbox.stop()


# --- input


async def test_what_is_read_may_be_committed_once_acknowledged(site: Site) -> None:
    """Memory follows at once, the frontier and those who listen only when the log has it."""
    site.producer.holding = True
    await site.feed(*stream(0, 3))
    await settle()
    assert len(site.keeper.stores[0].keys()) == 3
    assert (site.lane().position, site.lane().frontier, site.told) == (3, 0, [])
    site.producer.answer_all()
    await settle()
    assert (site.lane().frontier, len(site.told), site.keeper.stores[0].next_offset) == (3, 3, 3)


async def test_only_writes_of_records_are_told() -> None:
    """Neither dead letters nor what a relay passes on."""
    relay = Relay({"in": lambda message: [a_write(message.offset)]}, Tally(), DeadLetters(DEAD_LETTERS, 1))
    site = Site(stages=[relay])
    site.own(Lane(INPUT, 0, 0, 0), Lane("in", 0, 0, 0))
    await site.feed(a_message(0), topic="in")
    await site.feed(raw(0, b"?"), a_message(1, ("a", said())))
    await settle()
    assert {topic: len(log) for (topic, _), log in site.producer.logs.items()} == {"t": 1, DEAD_LETTERS: 1, RECORDS: 1}
    assert (site.transitions(), site.failures) == ([(b"a", "waiting")], [])
    await site.outbox.stop()


async def test_what_is_journalled_stands_in_the_log_before_its_record_is_even_sent() -> None:
    """Whatever becomes of this process: a step that is told, committed or found by a successor is in the journal."""
    site = Site(DIARIST)
    site.own(Lane(INPUT, 0, 0, 0))
    site.producer.holding = True
    await site.feed(a_message(0, ("a", said("done"))))
    await settle()
    assert [topic for topic, _ in site.producer.logs] == [DIARY]
    site.producer.answer()
    await settle()
    assert len(site.producer.logs[RECORDS, 0]) == 1
    assert (site.lane().frontier, site.told, site.keeper.stores[0].next_offset) == (0, [], 0)
    site.producer.answer_all()
    await settle()
    assert (site.lane().frontier, site.transitions(), site.keeper.stores[0].next_offset) == (1, [(b"a", "done")], 1)
    await site.outbox.stop()


async def test_a_journal_that_cannot_be_written_ends_the_worker() -> None:
    """Its records are not sent: nobody is told what is not written down."""
    site = Site(DIARIST)
    site.own(Lane(INPUT, 0, 0, 0))
    site.producer.holding = True
    await site.feed(a_message(0, ("a", said("done"))))
    await settle()
    site.producer.owed.pop()[0].set_exception(OSError("no replica"))
    await settle()
    assert ([topic for topic, _ in site.producer.logs], [*map(str, site.failures)]) == ([DIARY], ["no replica"])
    assert site.told == []
    await site.outbox.stop()


async def test_input_that_changes_nothing_is_committed_too(site: Site) -> None:
    """A batch without writes has nothing to wait for but those before it."""
    site.producer.holding = True
    await site.feed(a_message(0, ("a", said())))
    await site.feed(a_message(1))
    await settle()
    assert site.lane().frontier == 0
    site.producer.answer_all()
    await settle()
    assert site.lane().frontier == 2


async def test_long_batches_are_folded_in_slices(site: Site) -> None:
    """Others get their turn in between; every message is read once."""
    await site.feed(*stream(0, 2 * SLICE + 1))
    await site.outbox.drained()
    assert site.lane().frontier == 2 * SLICE + 1
    assert len(table_of(site.producer.logs[RECORDS, 0])) == 2 * SLICE + 1


async def test_what_an_earlier_epoch_fetched_is_dropped(site: Site) -> None:
    """Also where the partition is owned again and the offsets would fit."""
    old = site.runtime.epoch
    await site.runtime.freeze()
    site.own(Lane(INPUT, 0, 0, 0))
    assert await site.feed(*stream(0, 2), epoch=old) is None
    assert (site.lane().position, site.producer.logs) == (0, {})


async def test_what_is_not_owned_is_dropped(site: Site) -> None:
    """A batch for a partition without a lane changes nothing."""
    assert await site.feed(a_message(0, ("a", said())), partition=7) is None
    assert site.producer.logs == {}


async def test_a_gap_is_reported_and_nothing_read(site: Site) -> None:
    """Seen again, it is believed, and counted."""
    assert await site.feed(*stream(2, 4)) == Jump(0, 2)
    assert site.keeper.stores[0].keys() == []
    assert await site.feed(*stream(2, 4)) is None
    assert (site.lane().position, site.tally.jumps) == (4, ["believed"])


async def test_reading_waits_while_too_much_is_unacknowledged(site: Site) -> None:
    """It goes on where it stopped."""
    site.producer.holding = True
    feeding = asyncio.create_task(site.feed(*long_stream(READING_IN_FLIGHT + 2)))
    assert await idle(feeding)
    assert site.lane().position == READING_IN_FLIGHT * SLICE
    site.producer.answer_all()
    await feeding
    await site.outbox.drained()
    assert site.lane().frontier == (READING_IN_FLIGHT + 2) * SLICE


async def test_announcements_do_not_wait_where_reading_does(site: Site) -> None:
    """What is due need not queue behind all that is being read."""
    site.own(site.lane(), Lane(INPUT, 1, 0, 0))
    await site.feed(a_message(0, ("a", said(ring_at=RING))), partition=1)
    site.producer.holding = True
    feeding = asyncio.create_task(site.feed(*long_stream(READING_IN_FLIGHT + 2)))
    assert await idle(feeding)
    async with asyncio.timeout(1):
        await site.runtime.sweep()
    site.producer.answer_all()
    await feeding
    await site.outbox.drained()
    assert (b"a", "rung") in site.transitions()


async def test_a_burst_takes_turns_with_reading(site: Site) -> None:
    """Input that arrives while very much is due is not kept waiting until all of that is announced."""
    site.own(site.lane(), Lane(INPUT, 1, 0, 0))
    await site.feed(a_message(0, *((f"k{number}", said(ring_at=RING)) for number in range(2 * MAX_IN_FLIGHT * SWEEP))))
    await site.outbox.drained()
    site.now = site.reader.heard_at = RING
    site.producer.holding = True
    sweeping = asyncio.create_task(site.runtime.sweep())
    assert await idle(sweeping)
    feeding = asyncio.create_task(site.feed(a_message(0, ("new", said())), partition=1))
    assert await idle(feeding)
    for _ in range(2):
        site.producer.answer()
        await settle()
    assert feeding.done()
    assert not sweeping.done()
    site.producer.answer_all()
    await sweeping


async def test_a_feed_cancelled_while_waiting_has_done_whole_slices(site: Site) -> None:
    """What was read will be acknowledged; the rest can be fetched again."""
    site.producer.holding = True
    feeding = asyncio.create_task(site.feed(*long_stream(READING_IN_FLIGHT + 2)))
    assert await idle(feeding)
    feeding.cancel()
    site.producer.answer_all()
    await site.outbox.drained()
    assert site.lane().frontier == site.lane().position == READING_IN_FLIGHT * SLICE
    await site.feed(*stream(READING_IN_FLIGHT * SLICE, READING_IN_FLIGHT * SLICE + 1))


async def test_somebody_elses_write_ends_the_worker(site: Site) -> None:
    """Two owners at once: this one's memory lacks what the other wrote; nothing more is committed."""
    site.producer.logs[RECORDS, 0].append((b"a", b"foreign"))
    await site.feed(*stream(0, 1))
    await settle()
    assert [type(failure) for failure in site.failures] == [ForeignWriter]
    assert (site.lane().frontier, site.told) == (0, [])


# --- rebalances


async def test_freezing_waits_until_all_is_acknowledged(site: Site) -> None:
    """Then everything that was read can be committed."""
    site.producer.holding = True
    await site.feed(*stream(0, 3))
    freezing = asyncio.create_task(site.runtime.freeze())
    assert await idle(freezing)
    site.producer.answer_all()
    await freezing
    assert site.lane().frontier == site.lane().position == 3


async def test_a_revoke_in_the_middle_of_a_feed_drops_the_rest(site: Site) -> None:
    """What was folded is acknowledged and committed, and what was not is left to the next owner, untouched."""
    site.producer.holding = True
    feeding = asyncio.create_task(site.feed(*long_stream(READING_IN_FLIGHT + 3)))
    assert await idle(feeding)
    freezing = asyncio.create_task(site.runtime.freeze())
    site.producer.answer_all()
    await asyncio.gather(feeding, freezing)
    assert site.lane().frontier == site.lane().position
    assert len(site.keeper.stores[0].keys()) * SLICE == site.lane().frontier < (READING_IN_FLIGHT + 3) * SLICE


async def test_nothing_moves_between_freeze_and_start(site: Site) -> None:
    """Neither input fetched meanwhile, nor deadlines, nor own facts: the partition may be somebody else's already."""
    await site.feed(a_message(0, ("a", said(ring_at=RING))))
    await site.runtime.freeze()
    before = list(site.producer.logs[RECORDS, 0])
    await site.feed(*stream(1, 2))
    await site.runtime.sweep()
    assert await site.runtime.submit([OwnFact(0, b"a", said("own"))]) == [False]
    await settle()
    assert site.producer.logs[RECORDS, 0] == before
    assert site.lane().position == 1
    site.own(Lane(INPUT, 0, 1, 2))
    await site.feed(*stream(1, 2))
    await site.runtime.sweep()
    await settle()
    assert site.transitions() == [(b"a", "waiting"), (b"k1", "waiting"), (b"a", "rung")]


async def test_nothing_is_owned_while_an_assignment_is_restored(site: Site) -> None:
    """Absence from the records is knowledge only where they are recovered."""
    assert (set(site.runtime.partitions()), site.runtime.assigned) == ({0}, True)
    await site.runtime.freeze()
    site.runtime.clear()
    assert (set(site.runtime.partitions()), site.runtime.assigned) == (set(), False)
    site.runtime.start([])
    assert (set(site.runtime.partitions()), site.runtime.assigned) == (set(), True)


# --- the wall clock


async def test_what_is_overdue_is_announced_without_any_event(site: Site) -> None:
    """An idle partition's deadlines come too."""
    await site.feed(a_message(0, ("a", said(ring_at=RING))))
    site.now = site.reader.heard_at = Instant(RING - 1)
    await site.runtime.sweep()
    site.now = site.reader.heard_at = RING
    await site.runtime.sweep()
    await site.runtime.sweep()
    await site.outbox.drained()
    assert site.transitions() == [(b"a", "waiting"), (b"a", "rung")]


async def test_a_deadline_that_the_queue_lost_is_met_once_somebody_asks(site: Site) -> None:
    """Of partitions that are owned; asked too often or too early, nothing is announced twice or too soon."""
    await site.feed(a_message(0, ("a", said(ring_at=RING)), ("b", said(ring_at=Instant(RING + 1)))))
    site.keeper.stores[0].deadlines = DeadlineQueue()
    site.now = site.reader.heard_at = RING
    await site.runtime.sweep()
    assert site.transitions() == []
    for _ in range(2):
        site.runtime.look_again(0, [b"a", b"b", b"gone"])
        site.runtime.look_again(1, [b"a"])
    for _ in range(2):
        await site.runtime.sweep()
    await site.outbox.drained()
    assert [(key, name) for key, name in site.transitions() if name == "rung"] == [(b"a", "rung")]


async def test_nothing_is_announced_before_the_backlog_is_read() -> None:
    """What was in the log at take-over may hold the fulfilment: read to its end, in every input of the partition."""
    site = Site()
    site.own(Lane(INPUT, 0, 0, 2), Lane(OTHER_INPUT, 0, 0, 1), Lane(INPUT, 1, 0, 0))
    await site.feed(a_message(0, ("late", said(ring_at=RING)), ("kept", said(ring_at=RING))))
    await site.feed(a_message(0, ("elsewhere", said(ring_at=RING))), partition=1)
    await site.runtime.sweep()
    await site.feed(a_message(1))
    await site.runtime.sweep()
    await site.outbox.drained()
    assert [key for key, name in site.transitions() if name == "rung"] == [b"elsewhere"]
    assert not site.runtime.caught_up()
    await site.feed(a_message(0, ("kept", said("done", 2))), topic=OTHER_INPUT)
    await site.runtime.sweep()
    await site.outbox.drained()
    assert [key for key, name in site.transitions() if name == "rung"] == [b"elsewhere", b"late"]
    assert site.runtime.caught_up()
    await site.outbox.stop()


async def test_the_clock_waits_for_input_that_is_unread(site: Site) -> None:
    """While a backlog grows, time comes only as far as the last message read: its broker time, here 0.7 s."""
    await site.feed(
        a_message(0, ("early", said(ring_at=600_000)), ("late", said(ring_at=800_000))),
        *(a_message(offset) for offset in range(1, 701)),
    )
    site.reader.ends[INPUT, 0] = 900
    site.now = site.reader.heard_at = Instant(SECOND)
    await site.runtime.sweep()
    await site.outbox.drained()
    assert [key for key, name in site.transitions() if name == "rung"] == [b"early"]
    await site.feed(*(a_message(offset) for offset in range(701, 900)))
    await site.runtime.sweep()
    await site.outbox.drained()
    assert [key for key, name in site.transitions() if name == "rung"] == [b"early", b"late"]


async def test_far_behind_it_says_nothing_for_a_while(site: Site) -> None:
    """What is unread may take the news back; but what lasts must not keep deadlines unwatched."""
    await site.feed(a_message(0, ("a", said(ring_at=500))), a_message(1))
    site.reader.ends[INPUT, 0] = 9
    rung = []
    for passed in (FRESH, FRESH + 2_000, FRESH + 2_000 + PATIENCE, FRESH + 2_001 + PATIENCE):
        site.now = site.reader.heard_at = Instant(1_000 + passed)
        await site.runtime.sweep()
        await site.outbox.drained()
        rung.append([name for _, name in site.transitions()].count("rung"))
        if passed == FRESH:
            await site.feed(a_message(2, ("b", said(ring_at=900))))
    assert rung == [1, 1, 1, 2]


async def test_patience_begins_anew_with_an_assignment(site: Site) -> None:
    """How long a partition was behind under another one says nothing."""
    await site.feed(a_message(0, ("a", said(ring_at=500))), a_message(1))
    site.reader.ends[INPUT, 0] = 9
    site.now = site.reader.heard_at = Instant(1_000 + FRESH + 1)
    await site.runtime.sweep()
    lane = site.lane()
    await site.runtime.freeze()
    site.own(lane)
    site.now = site.reader.heard_at = Instant(2_000 + FRESH + PATIENCE)
    await site.runtime.sweep()
    await site.outbox.drained()
    assert site.transitions() == [(b"a", "waiting")]


@pytest.mark.parametrize("heard_at", [None, RING - FRESH - 1], ids=["never", "long ago"])
async def test_the_clock_waits_for_word_from_the_broker(heard_at: int | None) -> None:
    """Whether anything is unread is unknown: no fetch was answered since take-over, or none for a while."""
    site = Site()
    site.own(Lane(INPUT, 0, 0, 0))
    await site.feed(a_message(0, ("a", said(ring_at=RING))))
    if heard_at is None:
        site.reader.ends.clear()
    else:
        site.reader.heard_at = Instant(heard_at)
    await site.runtime.sweep()
    await site.outbox.drained()
    assert site.transitions() == [(b"a", "waiting")]
    await site.outbox.stop()


async def test_one_silent_input_holds_the_partition_back(site: Site) -> None:
    """The partition's time is that of its slowest input."""
    site.own(site.lane(), Lane(OTHER_INPUT, 0, 0, 0))
    del site.reader.ends[OTHER_INPUT, 0]
    assert site.runtime.clock(0) == 0
    site.reader.ends[OTHER_INPUT, 0] = 0
    assert site.runtime.clock(0) == NOW


async def test_one_sweep_announces_all_that_is_due(site: Site) -> None:
    """Also more than others are made to wait for, and behind many that come later in the same minute."""
    first = [(f"k{number}", said(ring_at=RING - number % 3)) for number in range(2 * SWEEP + 1)]
    later = [(f"l{number}", said(ring_at=RING + 9 * SECOND)) for number in range(2 * SWEEP + 1)]
    await site.feed(a_message(0, *first), a_message(1, *later))
    site.now = site.reader.heard_at = RING
    await site.runtime.sweep()
    await site.outbox.drained()
    assert sum(name == "rung" for _, name in site.transitions()) == len(first)


async def test_a_sweep_measures_how_reading_stands(site: Site) -> None:
    """Lag is the age of the last message read while there are unread ones, and nothing where there are none."""
    site.now = Instant(10 * SECOND)
    await site.feed(*(a_message(offset) for offset in range(3)))
    await site.runtime.sweep()
    assert site.tally.lags == {(INPUT, 0): 0.0}
    site.reader.ends[INPUT, 0] = 4
    await site.runtime.sweep()
    assert site.tally.lags[INPUT, 0] == pytest.approx(10 - 0.002)


async def test_a_sweep_measures_how_late_deadlines_are_noticed() -> None:
    """Not at all where all is read; by the age of what is unread; since take-over where a backlog is being read."""
    site = Site()
    site.now = Instant(10 * SECOND)
    site.own(Lane(INPUT, 0, 0, 3), Lane(INPUT, 1, 0, 0))
    site.now = Instant(12 * SECOND)
    await site.runtime.sweep()
    await site.feed(*(a_message(offset) for offset in range(3)))
    await site.runtime.sweep()
    site.reader.ends[INPUT, 0] = 4
    await site.runtime.sweep()
    assert site.tally.sweeps == pytest.approx([2, 0, 12 - 0.002])
    await site.outbox.stop()


# --- the event clock


async def test_input_moves_the_event_clock(replay: Site) -> None:
    """A partition's time is what its events say, its own only, whatever this machine's clock shows."""
    await replay.feed(a_message(0, ("a", said(ring_at=RING)), ("b", said(at=RING - 1))))
    await replay.feed(a_message(0, ("c", said(at=RING + 9, ring_at=RING))), partition=1)
    await replay.runtime.sweep()
    await replay.outbox.drained()
    assert [key for key, name in replay.transitions() if name == "rung"] == [b"c"]
    await replay.feed(a_message(0, ("d", said(at=RING))), topic=OTHER_INPUT)
    await replay.runtime.sweep()
    await replay.outbox.drained()
    assert [key for key, name in replay.transitions() if name == "rung"] == [b"c", b"a"]


async def test_ticks_move_idle_partitions_and_time_never_turns_back(replay: Site) -> None:
    """The end of a replay is dated by a tick; older events and ticks after it change nothing."""
    await replay.feed(a_message(0, ("a", said(ring_at=RING))))
    await replay.feed(a_tick(1, RING))
    await replay.feed(a_tick(2, Instant(RING - 5 * SECOND)), a_message(3, ("b", said(ring_at=RING))))
    assert replay.runtime.clock(0) == RING
    await replay.runtime.sweep()
    await replay.outbox.drained()
    assert {key for key, name in replay.transitions() if name == "rung"} == {b"a", b"b"}


async def test_the_event_clock_waits_for_the_backlog_too() -> None:
    """What was in the log at take-over is read before anything is announced."""
    site = Site(event_clock=True)
    site.own(Lane(INPUT, 0, 0, 2), Lane(OTHER_INPUT, 0, 0, 1))
    await site.feed(a_message(0, ("a", said(ring_at=RING))), a_tick(1, NOW))
    await site.runtime.sweep()
    await site.feed(a_message(0, ("a", said("done", 2))), topic=OTHER_INPUT)
    await site.runtime.sweep()
    await site.outbox.drained()
    assert site.transitions() == [(b"a", "waiting"), (b"a", "done")]
    await site.outbox.stop()


async def test_on_the_event_clock_nothing_is_committed_before_it_was_swept(replay: Site) -> None:
    """Read again after a crash, input tells the time again; committed, it would be forgotten with what it made due."""
    await replay.feed(a_message(0, ("a", said(ring_at=RING))), a_tick(1, RING))
    await replay.outbox.drained()
    assert replay.lane().frontier == 0
    replay.producer.holding = True
    await replay.runtime.sweep()
    await settle()
    assert (replay.lane().frontier, replay.told[-1].transition) == (0, "waiting")
    replay.producer.answer_all()
    await replay.outbox.drained()
    assert (replay.lane().frontier, replay.told[-1].transition) == (2, "rung")


async def test_on_the_event_clock_a_backlog_is_committed_once_it_is_read() -> None:
    """Nothing is swept before; useless input is committed too."""
    site = Site(event_clock=True)
    site.own(Lane(INPUT, 0, 0, 1), Lane(OTHER_INPUT, 0, 0, 1))
    await site.feed(a_message(0))
    await site.runtime.sweep()
    await site.outbox.drained()
    assert site.lane().frontier == 0
    await site.feed(a_message(0), topic=OTHER_INPUT)
    await site.runtime.sweep()
    await site.outbox.drained()
    assert (site.lane().frontier, site.lane(OTHER_INPUT).frontier) == (1, 1)
    await site.outbox.stop()


async def test_on_the_event_clock_a_rebalance_leaves_what_is_unswept_to_the_next_owner(replay: Site) -> None:
    """It reads it again; what was held for the old lanes does not move the new ones."""
    await replay.feed(a_tick(0, RING))
    await replay.runtime.freeze()
    assert replay.lane().frontier == 0
    replay.own(Lane(INPUT, 0, 0, 1))
    await replay.feed(a_tick(0, RING))
    await replay.outbox.drained()
    await replay.runtime.sweep()
    await replay.outbox.drained()
    assert replay.lane().frontier == 1


# --- own facts and readers


async def test_own_facts_are_announced_like_any(site: Site) -> None:
    """For partitions that are owned; others have to be told elsewhere."""
    facts = [OwnFact(0, b"a", said("x")), OwnFact(1, b"b", said("x")), OwnFact(0, b"a", said("done", 2))]
    assert await site.runtime.submit(facts) == [True, False, True]
    assert site.transitions() == [(b"a", "done")]
    assert site.lane().frontier == 0
    assert await site.runtime.submit([OwnFact(1, b"b", said("x"))]) == [False]


async def test_own_facts_are_kept_once_they_are_in_the_log(site: Site) -> None:
    """Before, nobody may rely on it."""
    site.producer.holding = True
    submitting = asyncio.create_task(site.runtime.submit([OwnFact(0, b"a", said("done"))]))
    await settle()
    assert not submitting.done()
    site.producer.answer_all()
    assert await submitting == [True]
    assert site.transitions() == [(b"a", "done")]


async def test_own_facts_of_many_partitions_hold_up_input_no_more_than_those_of_one(site: Site) -> None:
    """They are one submission: each is announced, and each store follows its own part of it."""
    site.own(*(Lane(INPUT, partition, 0, 0) for partition in range(3)))
    site.producer.holding = True
    facts = [OwnFact(partition, b"k%d" % partition, said("done")) for partition in range(3)]
    submitting = asyncio.create_task(site.runtime.submit(facts))
    await settle()
    await asyncio.wait_for(site.outbox.room(2), 1)
    site.producer.answer_all()
    assert await submitting == [True] * 3
    assert site.transitions() == [(b"k0", "done"), (b"k1", "done"), (b"k2", "done")]
    assert [store.next_offset for store in site.keeper.stores.values()] == [1, 1, 1]


async def test_watchers_hear_what_is_acknowledged(site: Site) -> None:
    """From when they began to listen, in order, each all of it; one that left hears nothing."""
    site.producer.holding = True
    with site.runtime.watch() as gone:
        pass
    with site.runtime.watch() as one, site.runtime.watch() as two:
        await site.feed(a_message(0, ("a", said()), ("b", said())))
        hearing = [asyncio.create_task(anext(watcher)) for watcher in (one, two, gone)]
        assert await idle(hearing[0])
        site.producer.answer_all()
        await settle()
        assert [task.result().key for task in hearing[:2]] == [b"a", b"a"]
        assert [(await anext(watcher)).key for watcher in (one, two)] == [b"b", b"b"]
        assert not hearing[2].done()
        hearing[2].cancel()


async def test_a_slow_watcher_is_told_to_start_again(site: Site) -> None:
    """It holds up nobody, and never mistakes a part for the whole."""
    with site.runtime.watch() as slow, site.runtime.watch() as quick:
        heard = 0
        for start in range(0, 12_000, 2_000):
            await site.feed(*stream(start, start + 2_000))
            await site.outbox.drained()
            for _ in range(2_000):
                await anext(quick)
                heard += 1
        with pytest.raises(SlowReader):
            await anext(slow)
    assert heard == 12_000


async def test_a_slow_watcher_is_told_of_partitions_that_were_given_away_meanwhile(site: Site) -> None:
    """Whether it was too slow before or after."""
    with site.runtime.watch() as before, site.runtime.watch() as after:
        await site.feed(*stream(0, 10_000))
        await site.outbox.drained()
        await anext(after)
        site.runtime.clear()
        site.own(Lane(INPUT, 0, 10_000, 10_000))
        await site.feed(*stream(10_000, 10_001))
        await site.outbox.drained()
        for watcher in (before, after):
            with pytest.raises(PartitionsMoved):
                [news async for news in watcher]


async def test_watchers_are_told_when_partitions_are_given_away(site: Site) -> None:
    """After all that was announced before; those who begin to watch meanwhile hear what comes after."""
    with site.runtime.watch() as watcher:
        await site.feed(a_message(0, ("a", said())))
        await site.runtime.freeze()
        site.runtime.clear()
        with site.runtime.watch() as later:
            site.own(Lane(INPUT, 0, 1, 1))
            await site.feed(a_message(1, ("b", said())))
            assert (await anext(later)).key == b"b"
        assert (await anext(watcher)).key == b"a"
        with pytest.raises(PartitionsMoved):
            await anext(watcher)


async def test_what_was_committed_and_jumped_is_measured(site: Site) -> None:
    """The consumer reports, the meter counts."""
    site.runtime.committed([(INPUT, 0)])
    site.runtime.jumped(INPUT, "expired")
    assert (site.tally.commits, site.tally.jumps) == ([(INPUT, 0)], ["expired"])
