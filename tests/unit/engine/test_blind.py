"""A worker that cannot trust its clock, or does not hear from Kafka: what it withholds, claims and measures."""

from collections.abc import AsyncIterator
from dataclasses import replace
from time import monotonic

import pytest

from services.shared.engine import contact as contact_module, worker as worker_module
from services.shared.engine.authority import AuthoritativeView
from services.shared.engine.contact import NameTaken
from services.shared.engine.fence import KEY, Fenced
from services.shared.engine.lane import Lane
from services.shared.instant import SECOND, Instant
from tests.unit.engine.fakes import Metadata, a_message, settle
from tests.unit.engine.site import NOW, Site
from tests.unit.engine.test_runtime import said, stream
from tests.unit.engine.test_worker import SETTINGS, Rehearsal
from tests.unit.engine.toy import INPUT, RECORDS
from tests.views import MemoryView

HOUR = 3600 * SECOND


def stamped(site: Site, at: Instant) -> None:
    """A write was acknowledged just now with this time of the broker."""
    site.runtime.skew.learn((RECORDS, 0), monotonic(), Metadata(0, at // 1_000, 1))


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """One that owns two partitions of the input, and knows that its clock is right."""
    place = Site()
    place.own(Lane(INPUT, 0, 0, 0), Lane(INPUT, 1, 0, 0))
    stamped(place, NOW)
    yield place
    await place.outbox.stop()


# --- the clock


@pytest.mark.parametrize("off", [HOUR, -HOUR])
async def test_nothing_is_announced_by_a_clock_that_is_off(site: Site, off: int) -> None:
    """It waits, and how late that is, is measured; what events say is announced all the same."""
    await site.feed(a_message(0, ("a", said(ring_at=Instant(NOW - 1))), ("b", said(ring_at=Instant(NOW + HOUR // 2)))))
    site.now = Instant(NOW + off)
    await site.runtime.sweep()
    await site.feed(a_message(1, ("c", said("done"))))
    await site.runtime.sweep()
    await site.outbox.drained()
    assert site.transitions() == [(b"a", "waiting"), (b"b", "waiting"), (b"c", "done")]
    assert site.tally.sweeps[-1] > 0
    site.now = NOW
    await site.runtime.sweep()
    await site.outbox.drained()
    assert site.transitions()[3:] == [(b"a", "rung")]
    assert site.tally.sweeps[-1] == 0


async def test_what_is_announced_meanwhile_bears_the_brokers_time(site: Site) -> None:
    """It is what all workers have in common."""
    site.now = Instant(NOW + HOUR)
    await site.feed(a_message(0, ("a", said("done"))))
    await site.outbox.drained()
    assert abs(site.told[0].announced_at - NOW) < SECOND


async def test_a_replay_goes_by_the_time_of_its_events() -> None:
    """What this machine's clock says is nothing to it."""
    site = Site(event_clock=True)
    site.own(Lane(INPUT, 0, 0, 0))
    stamped(site, NOW)
    site.now = Instant(NOW + HOUR)
    await site.feed(a_message(0, ("a", said(at=7, ring_at=Instant(5)))))
    await site.runtime.sweep()
    await site.outbox.drained()
    assert site.transitions() == [(b"a", "waiting"), (b"a", "rung")]
    await site.outbox.stop()


async def test_a_probe_is_a_fence_and_no_news(site: Site) -> None:
    """On one partition after the other; the records' lengths follow, and nobody is told."""
    for _ in range(3):
        await site.runtime.probe()
    await site.outbox.drained()
    await settle()
    assert {place: log for place, log in site.producer.logs.items() if log} == {
        (RECORDS, 0): [(KEY, None)] * 2,
        (RECORDS, 1): [(KEY, None)],
    }
    assert [site.keeper.stores[partition].next_offset for partition in (0, 1)] == [2, 1]
    assert (site.told, site.failures) == ([], [])
    await site.runtime.freeze()
    await site.runtime.probe()
    assert len(site.producer.logs[RECORDS, 1]) == 1


# --- Kafka


async def test_what_kafka_has_not_told_for_long_is_not_said_to_be_nothing(site: Site) -> None:
    """All is known to have been read up to the last word of where the log ends, and that recedes."""
    await site.feed(*stream(0, 3))
    site.reader.heard_at = Instant(NOW - 2 * SECOND)
    await site.runtime.sweep()
    assert site.tally.lags == {(INPUT, 0): 0, (INPUT, 1): 0}
    site.reader.heard_at = Instant(NOW - 70 * SECOND)
    await site.runtime.sweep()
    assert site.tally.lags == {(INPUT, 0): 70, (INPUT, 1): 70}


class Watched:
    """A worker whose partitions are served, and the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 1_000.0
        monkeypatch.setattr(contact_module, "monotonic", lambda: self.time)
        self.worker = Rehearsal().worker
        self.worker.runtime.start([])

    def pass_by(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


async def test_a_worker_without_kafka_is_not_ready_and_not_to_be_restarted(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it has not done meanwhile; and when Kafka is back it gets as long as ever."""
    worker = watched.worker
    assert (worker.not_ready(), worker.lost(), worker.stuck()) == (None, None, None)
    watched.pass_by(31)
    assert "Kafka has not answered for 31 s, since " in (worker.not_ready() or "")
    assert worker.lost() == worker.not_ready()
    monkeypatch.setattr(worker_module, "STUCK", -1.0)
    assert worker.stuck() is None
    watched.pass_by(-31)
    assert "Deadlines were last looked at" in (worker.stuck() or "")


async def test_who_has_waited_for_kafka_is_not_stuck_once_it_is_back(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep has waited for an acknowledgement; it gets its minute again."""
    worker = watched.worker
    for name in ("_swept_at", "_served_at", "_silent_until"):  # nobody lets it sweep
        monkeypatch.setattr(worker, name, getattr(worker, name) - 600)
    assert worker.stuck()
    watched.pass_by(31)
    await worker._look()  # noqa: SLF001 - as it does four times a second
    watched.pass_by(-31)
    assert worker.stuck() is None
    monkeypatch.setattr(worker_module, "STUCK", -1.0)
    assert worker.stuck()


async def test_others_are_answered_by_who_is_sure_to_own() -> None:
    """While it is not, it is not named as the one to ask either."""
    memory, lost = MemoryView(), list[str]()
    memory.owners[3] = "other:1"
    view = AuthoritativeView(memory, lambda: lost[0] if lost else None)
    assert (view.owns(1), view.owns(3), view.owner_of(3)) == (True, False, "other:1")
    assert len(list(view.partitions())) == 11
    lost.append("Kafka has not answered for 31 s.")
    assert (view.owns(1), view.owner_of(1), view.owner_of(3), list(view.partitions())) == (False, None, "other:1", [])


async def test_who_was_shut_out_by_its_own_name_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka may refuse a write before the group tells of the namesake; so the group is asked."""
    rehearsal = Rehearsal()
    worker = rehearsal.worker
    monkeypatch.setattr(worker, "_settings", replace(SETTINGS, instance="sla-1"))

    async def confirm() -> None:
        worker._end_for_name(NameTaken("sla-1"))  # noqa: SLF001 - as the consumer's thread calls it

    monkeypatch.setattr(worker._app.consumer, "confirm", confirm, raising=False)  # noqa: SLF001
    with pytest.raises(NameTaken, match="another worker is called sla-1"):
        await rehearsal.until(error=Fenced("records", 1))
