"""What is measured of who sees to incidents: against records in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from services.notifier import acknowledging
from services.notifier.acknowledging import Acknowledging
from services.notifier.codec import pack
from services.notifier.domain import due
from services.notifier.incident import Incident, ItemSeen
from services.notifier.items import Severity, Standing
from services.notifier.outbox import Accepted
from services.notifier.responses import Action, Response
from services.shared.instant import Instant
from tests.unit.notifier.builders import INCIDENT, MAIL, NOON, WATCHFUL, an_item, at, broken, see, seen, settle
from tests.views import PARTITIONS, MemoryView


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other quickly."""
    monkeypatch.setattr(acknowledging, "LOOK", 0.01)


class Tally:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.times: list[tuple[str, float]] = []
        self.waiting: dict[str, int] = {}

    def acknowledged(self, severity: str, seconds: float) -> None:
        self.times.append((severity, seconds))

    def unacknowledged(self, severity: str, incidents: int) -> None:
        self.waiting[severity] = incidents


class Desk:
    """Records that are written and measured."""

    def __init__(self) -> None:
        self.view, self.meter = MemoryView(), Tally()
        self.clock = NOON
        self.said = 0

    @asynccontextmanager
    async def measuring(self) -> AsyncIterator[None]:
        """While it runs."""
        task = asyncio.create_task(Acknowledging(self.view, self.meter, lambda: self.clock).run())
        await self.looked()
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def looked(self) -> None:
        """Several looks."""
        await asyncio.sleep(0.1)

    def write(self, incident: Incident | None, name: str = INCIDENT, *, announced: bool = True) -> None:
        """As the engine does it."""
        value = pack(incident) if incident else None
        if value:
            self.view.put(name, name, value)
        else:
            self.view.records[self.view.partition_of(name)].clear()
        if announced:
            self.view.announce(name, name, value, "updated")

    def answered(
        self, incident: Incident, minute: float, action: Action = Action.ACKNOWLEDGE, by: str = "ana"
    ) -> Incident:
        """The incident after somebody said something."""
        self.said += 1
        until = at(minute + 60) if action == Action.SNOOZE else Instant(0)
        return see(incident, Response(f"r-{self.said}", action, by, at(minute), until=until, heard_at=at(minute)))


NOTHING = {"critical": 0, "warning": 0, "info": 0}
KNOWN = settle(broken(), Accepted(), 1)


async def test_the_first_answer_is_timed_once() -> None:
    """From the opening of this run of it; no comment, no second answer, none after the first has lapsed."""
    desk = Desk()
    async with desk.measuring():
        noted = desk.answered(KNOWN, 4, Action.COMMENT)
        acknowledged = desk.answered(noted, 6)
        second = desk.answered(acknowledged, 7, by="bob")
        lapsed = due(second, at(2000), MAIL)
        assert lapsed is not None
        again = desk.answered(settle(lapsed, Accepted(), 2000), 2001)
        for minute in range(2002, 2030):  # the answers are among the last twenty no longer
            again = desk.answered(again, minute, Action.COMMENT)
        again = desk.answered(again, 2040, Action.TAKE_OVER, by="bob")
        for incident in (KNOWN, noted, acknowledged, acknowledged, second, lapsed, again):
            desk.write(incident)
        await desk.looked()
        assert desk.meter.times == [("critical", 300.0)]
        over = settle(see(settle(again, Accepted(), 2041), seen(Standing.FULFILLED_LATE, 2050)), Accepted(), 2051)
        anew = see(over, seen(Standing.BROKEN, 2060))
        for incident in (over, anew, desk.answered(anew, 2070, Action.TAKE_OVER)):
            desk.write(incident)
        await desk.looked()
    assert desk.meter.times[1:] == [("critical", 600.0)]


async def test_an_answer_is_timed_where_it_was_taken_in() -> None:
    """One heard before this worker had the partition was timed elsewhere; one since is, even if its news was missed."""
    desk = Desk()
    desk.clock = at(10)
    desk.write(desk.answered(KNOWN, 6))
    desk.write(KNOWN._replace(incident_id="other"), "other")
    async with desk.measuring():
        assert desk.meter.waiting == {**NOTHING, "critical": 1}
        assert desk.meter.times == []
        desk.write(desk.answered(KNOWN, 12), "other", announced=False)
        desk.view.lose_patience()
        await desk.looked()
        assert desk.meter.times == [("critical", 660.0)]
        assert desk.meter.waiting == NOTHING


async def test_an_answer_heard_before_the_first_look_is_timed() -> None:
    """As when a worker starts and finds it in Kafka."""
    desk = Desk()
    desk.view.owners = dict.fromkeys(range(PARTITIONS))
    async with desk.measuring():
        desk.view.owners = {}
        desk.write(desk.answered(KNOWN, 6))
        await desk.looked()
    assert desk.meter.times == [("critical", 300.0)]


async def test_an_answer_that_ends_it_with_the_same_write_is_timed() -> None:
    """By how bad it was."""
    desk = Desk()
    async with desk.measuring():
        desk.write(KNOWN)
        desk.write(desk.answered(desk.answered(KNOWN, 6), 6, Action.RESOLVE))
        await desk.looked()
        assert (desk.meter.times, desk.meter.waiting) == ([("critical", 300.0)], NOTHING)


async def test_incidents_that_nobody_sees_to_are_counted_by_the_worst_of_it() -> None:
    """What is put off is seen to until then; what breaks later is not; what is over or forgotten counts no more."""
    desk = Desk()
    async with desk.measuring():
        desk.write(KNOWN)
        risk = ItemSeen("ops", an_item(Standing.AT_RISK, severity=Severity.INFO), at(1))
        desk.write(see(None, risk, plan=WATCHFUL), "other")
        await desk.looked()
        assert desk.meter.waiting == {**NOTHING, "critical": 1, "info": 1}
        put_off = desk.answered(KNOWN, 2, Action.SNOOZE)
        desk.write(put_off)
        await desk.looked()
        assert desk.meter.waiting == {**NOTHING, "info": 1}
        later = ItemSeen("ops", an_item(Standing.BROKEN, 3, subject="A-2", severity=Severity.WARNING), at(3))
        more = see(put_off, later)
        desk.write(more)
        await desk.looked()
        assert desk.meter.waiting == {**NOTHING, "warning": 1, "info": 1}
        desk.write(desk.answered(more, 4, Action.RESOLVE))
        desk.write(None, "other")
        await desk.looked()
    assert desk.meter.waiting == NOTHING
    assert desk.meter.times == []


async def test_what_another_worker_owns_is_counted_there() -> None:
    """And here again once it is back, as it stands then."""
    desk = Desk()
    desk.write(KNOWN)
    async with desk.measuring():
        desk.view.owners = dict.fromkeys(range(PARTITIONS))
        desk.view.move()
        await desk.looked()
        assert desk.meter.waiting == NOTHING
        desk.write(desk.answered(KNOWN, 2), announced=False)
        desk.clock = at(3)
        await desk.looked()
        desk.view.owners = {}
        await desk.looked()
        assert (desk.meter.waiting, desk.meter.times) == (NOTHING, [])
