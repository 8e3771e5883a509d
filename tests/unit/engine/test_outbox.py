"""The outbox: everything in order, nothing reported before it is in the log, and no failure in silence."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import count

import pytest
from hypothesis import given, strategies as st

from services.shared.engine import outbox
from services.shared.engine.outbox import MAX_IN_FLIGHT, Ack, Outbox
from services.shared.engine.stage import Write
from tests.unit.engine.fakes import FakeProducer, a_write, settle


class Site:
    """An outbox on a producer, what it reported done and what it failed with."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.producer = FakeProducer(room)
        self.failures: list[BaseException] = []
        self.done: list[tuple[str, Sequence[Ack]]] = []
        self.outbox = Outbox(lambda: self.producer, self.failures.append)
        self.outbox.start()

    def submit(self, name: str, *numbers: int, topic: str = "t", ahead: Sequence[Write] = ()) -> None:
        """Writes under a name."""
        writes = [a_write(number, topic) for number in numbers]
        self.outbox.submit(writes, lambda acks: self.done.append((name, acks)), ahead)

    def names(self) -> list[str]:
        """What is done, in order."""
        return [name for name, _ in self.done]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """One whose producer owes its answers."""
    place = Site()
    place.producer.holding = True
    yield place
    await place.outbox.stop()


async def test_nothing_is_done_before_it_is_acknowledged(site: Site) -> None:
    """Sent is not done; the report says where in the log the writes lie."""
    site.submit("a", 1, 2)
    await settle()
    assert [key for key, _ in site.producer.logs["t", 0]] == [b"1", b"2"]
    assert site.done == []
    site.producer.answer()
    await settle()
    assert site.done == [("a", [Ack("t", 0, 0, 2)])]


async def test_reports_keep_the_order_of_submission(site: Site) -> None:
    """Answers may come in any order; a later submission waits for the earlier ones, one without writes too."""
    site.submit("a", 1, topic="t")
    site.submit("b", 2, topic="u")
    site.submit("nothing")
    await settle()
    site.producer.answer(1)
    await settle()
    assert site.done == []
    site.producer.answer(0)
    await settle()
    assert site.names() == ["a", "b", "nothing"]


async def test_a_submission_is_done_when_all_of_it_is(site: Site) -> None:
    """Dead letters and records go to different topics; both must be in the log."""
    writes = [a_write(1, "t"), a_write(2, "u"), a_write(3, "t"), a_write(4, "t", 1)]
    site.outbox.submit(writes, lambda acks: site.done.append(("a", acks)))
    await settle()
    site.producer.answer()
    site.producer.answer()
    await settle()
    assert site.done == []
    site.producer.answer()
    await settle()
    assert site.done == [("a", [Ack("t", 0, 0, 2), Ack("u", 0, 0, 1), Ack("t", 1, 0, 1)])]


@given(st.lists(st.integers(0, 7), max_size=10), st.integers(1, 4))
async def test_full_batches_go_on_in_the_next(sizes: list[int], room: int) -> None:
    """Nothing is lost or reordered where a record batch is full, and the acknowledged parts add up without gaps."""
    site, number, expected = Site(room), 0, list[bytes]()
    for size in sizes:
        site.submit("x", *range(number, number + size))
        expected += [str(n).encode() for n in range(number, number + size)]
        number += size
    await site.outbox.drained()
    await site.outbox.stop()
    assert [key for key, _ in site.producer.logs["t", 0]] == expected
    end = 0
    for ack in (ack for _, acks in site.done for ack in acks):
        assert (ack.base_offset, ack.topic) == (end, "t")
        end += ack.size
    assert end == len(expected)
    assert len(site.done) == len(sizes)


async def test_a_submission_has_one_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """In milliseconds: the clock is asked once for all of its records, wherever they go."""
    nanoseconds = count(1_767_225_600_123_999_999, 1_000_000)
    monkeypatch.setattr(outbox, "time_ns", lambda: next(nanoseconds))
    writes = [a_write(1, "t"), a_write(2, "u"), a_write(3, "t", 1)]
    site.outbox.submit(writes, lambda _acks: None)
    await settle()
    site.submit("b", 4, 5)
    await settle()
    assert site.producer.times == [1_767_225_600_123] * 3 + [1_767_225_600_124] * 2


async def test_there_is_room_for_so_many_submissions(site: Site) -> None:
    """A feed waits while too much is unacknowledged, and goes on when some of it is."""
    for number in range(MAX_IN_FLIGHT):
        await asyncio.wait_for(site.outbox.room(), 1)
        site.submit(str(number), number)
    waiting = [asyncio.create_task(site.outbox.room()) for _ in range(2)]
    await settle()
    assert not any(task.done() for task in waiting)
    site.producer.answer()
    await settle()
    assert all(task.done() for task in waiting)


async def test_drained_means_that_all_is_acknowledged(site: Site) -> None:
    """Also what is still queued counts, and when it returns everything has been reported."""
    site.submit("a", 1)
    await settle()
    site.submit("b", 2)
    drained = asyncio.create_task(site.outbox.drained())
    await settle()
    site.producer.answer()
    await settle()
    assert not drained.done()
    site.producer.answer_all()
    await drained
    assert site.names() == ["a", "b"]


async def test_an_outbox_with_nothing_to_do_is_drained(site: Site) -> None:
    """Neither wait needs anything to happen."""
    await asyncio.wait_for(site.outbox.drained(), 1)
    await asyncio.wait_for(site.outbox.room(), 1)


async def test_what_goes_ahead_is_acknowledged_before_the_rest_is_sent(site: Site) -> None:
    """Also where it lies on another broker. All that waits goes ahead together, and nothing overtakes it."""
    for name in ("a", "b"):
        site.submit(name, 1, ahead=[a_write(2, "j"), a_write(3, "j", 1)])
    site.submit("c", 4)
    await settle()
    assert {place: len(log) for place, log in site.producer.logs.items()} == {("j", 0): 2, ("j", 1): 2}
    site.producer.answer(1)
    await settle()
    assert ("t", 0) not in site.producer.logs
    site.producer.answer()
    await settle()
    assert [key for key, _ in site.producer.logs["t", 0]] == [b"1", b"1", b"4"]
    assert site.done == []
    site.producer.answer_all()
    await settle()
    assert site.done == [("a", [Ack("t", 0, 0, 3)]), ("b", []), ("c", [])]


async def test_what_waits_at_the_same_time_is_sent_together(site: Site) -> None:
    """In one record batch for each place, in the order of submission; the first of them hears where all of it lies."""
    site.submit("a", 1)
    site.submit("b", 2, 3)
    site.submit("c", 4, topic="u")
    await settle()
    assert len(site.producer.owed) == 2
    site.producer.answer()
    await settle()
    assert site.done == []
    site.producer.answer()
    await settle()
    assert [key for key, _ in site.producer.logs["t", 0]] == [b"1", b"2", b"3"]
    assert site.done == [("a", [Ack("t", 0, 0, 3), Ack("u", 0, 0, 1)]), ("b", []), ("c", [])]


def _refuse(site: Site) -> None:
    site.producer.owed.pop(0)[0].set_exception(OSError("no replica"))


def _cancel(site: Site) -> None:
    site.producer.owed.pop(0)[0].cancel()


@pytest.mark.parametrize(("trouble", "error"), [(_refuse, OSError), (_cancel, asyncio.CancelledError)])
async def test_an_answer_that_is_none_ends_it(
    site: Site, trouble: Callable[[Site], None], error: type[BaseException]
) -> None:
    """Nothing more is reported done, though later writes may be in the log; the process is told to end."""
    site.submit("a", 1)
    await settle()
    site.submit("b", 2)
    await settle()
    trouble(site)
    site.producer.answer()
    await settle()
    assert site.done == []
    assert [type(failure) for failure in site.failures] == [error]


async def test_a_producer_that_refuses_ends_it(site: Site) -> None:
    """Where sending itself fails, the process is told to end."""
    site.producer.refusal = OSError("closed")
    site.submit("a", 1)
    await settle()
    assert site.done == []
    assert [type(failure) for failure in site.failures] == [OSError]


async def test_a_report_that_fails_ends_it(site: Site) -> None:
    """Who finds the log not as expected when told must end the process."""

    def shout(_acks: Sequence[Ack]) -> None:
        raise RuntimeError("somebody else wrote here")

    site.outbox.submit([a_write(1)], shout)
    site.submit("b", 2)
    site.producer.holding = False
    await settle()
    site.producer.answer_all()
    await settle()
    assert site.done == []
    assert [type(failure) for failure in site.failures] == [RuntimeError]


async def test_stopping_is_no_failure(site: Site) -> None:
    """What is under way is dropped, silently."""
    site.submit("a", 1)
    await settle()
    await site.outbox.stop()
    assert (site.done, site.failures) == ([], [])
