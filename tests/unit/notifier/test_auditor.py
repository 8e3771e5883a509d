"""The auditor finds what nobody attends to, says so once, measures it and has it judged again."""

import asyncio
from collections.abc import Iterable

import pytest

from services.notifier import auditor as auditor_module
from services.notifier.auditor import Auditor
from services.notifier.codec import pack, unpack
from services.notifier.domain import due
from services.notifier.holds import Holds, Reason
from services.notifier.incident import Incident
from services.notifier.outbox import Accepted, Failure, TryAgain
from tests.unit.notifier.builders import INCIDENT, MAIL, at, broken, settle
from tests.unit.notifier.health import Clock, HealthTally, at_work, until
from tests.unit.notifier.test_held import silence
from tests.views import MemoryView


class StrictView(MemoryView):
    """Like the worker's, it has no records of what it does not own."""

    def get(self, partition: int, key: bytes) -> bytes | None:
        assert self.owns(partition)
        return super().get(partition, key)


class Ward:
    """A worker's records, and an auditor that looks at them."""

    def __init__(self) -> None:
        self.view, self.meter, self.clock = StrictView(unpack), HealthTally(), Clock(10)
        self.asked: list[bytes] = []
        self.plan = MAIL._replace(holds=Holds())
        self.auditor = Auditor(self.view, self.look_again, self.plan, self.meter, self.clock)

    def keep(self, incident: Incident, incident_id: str = INCIDENT) -> None:
        """Write a record. Nobody is told."""
        self.view.put(incident_id, incident_id, pack(incident._replace(incident_id=incident_id)))

    def look_again(self, partition: int, keys: Iterable[bytes]) -> None:
        """As the runtime does it."""
        assert self.view.owns(partition)
        self.asked += keys

    async def at(self, minutes: float) -> None:
        """One look at that minute."""
        self.clock.minutes = minutes
        await self.auditor.look()


@pytest.fixture
def ward() -> Ward:
    return Ward()


def sending() -> Incident:
    """A mail that is being sent since minute 10."""
    incident = due(broken(), at(10), MAIL)
    assert incident is not None
    return incident


async def test_where_all_is_well_nothing_is_found(ward: Ward, caplog: pytest.LogCaptureFixture) -> None:
    """An attempt under way, one to come, and an incident that everybody knows of."""
    ward.keep(sending())
    ward.keep(settle(sending(), TryAgain(Failure.NETWORK)), "ops/waiting")
    ward.keep(settle(sending(), Accepted()), "ops/known")
    await ward.at(10)
    assert ward.auditor.trouble() is None
    assert (ward.meter.overdue, set(ward.meter.stuck_by.values())) == (0, {0})
    assert not ward.asked
    assert not caplog.records


async def test_a_delivery_whose_attempt_was_lost_is_found_counted_and_judged_again(
    ward: Ward, caplog: pytest.LogCaptureFixture
) -> None:
    """By channel and by how long; the heartbeat is to be withheld; the log says it once, in ids."""
    ward.keep(sending())
    ward.keep(settle(sending(), Accepted()), "ops/known")
    for minutes in (13, 14):
        await ward.at(minutes)
    assert (ward.meter.stuck_by["email"], ward.meter.stuck_by["webhook"]) == (1, 0)
    assert ward.meter.overdue == 3 * 60
    assert ward.auditor.trouble() == "Overdue incidents: 1."
    assert ward.asked == [INCIDENT.encode()] * 2
    (said,) = caplog.records
    assert (vars(said)["incident"], vars(said)["deliveries"]) == (INCIDENT, sending().deliveries[0].delivery_id)
    assert vars(said)["seconds"] == 2 * 60


async def test_what_was_put_right_is_found_no_more(ward: Ward, caplog: pytest.LogCaptureFixture) -> None:
    """All is zero again; and if it gets stuck once more, that is said again."""
    caplog.set_level("INFO")
    ward.keep(sending())
    await ward.at(13)
    ward.keep(settle(sending(), Accepted()))
    await ward.at(14)
    assert ward.auditor.trouble() is None
    assert (ward.meter.stuck_by["email"], ward.meter.overdue) == (0, 0)
    ward.keep(sending())
    await ward.at(15)
    assert caplog.messages == ["overdue, and looked at again now", "nothing is overdue any more", caplog.messages[0]]


async def test_a_message_due_at_once_that_nobody_takes_up_is_found_a_minute_later(ward: Ward) -> None:
    """Between its decision and its first attempt there is no instant to go by."""
    ward.keep(broken())
    for minutes, stuck in ((100, 0), (100.9, 0), (101.1, 1)):
        await ward.at(minutes)
        assert ward.meter.stuck_by["email"] == stuck


async def test_a_channel_of_a_newer_version_is_counted_as_its_stand_in(ward: Ward) -> None:
    """Metric labels stay closed."""
    incident = sending()
    ward.keep(incident._replace(deliveries=tuple(d._replace(channel="pager") for d in incident.deliveries)))
    await ward.at(13)
    assert ward.meter.stuck_by["console"] == 1


async def test_what_incidents_cannot_follow_is_counted(ward: Ward) -> None:
    """Of those that this worker has."""
    ward.keep(broken()._replace(unfollowed=4))
    ward.keep(broken()._replace(unfollowed=3), "ops/other")
    await ward.at(10)
    assert ward.meter.lost_sight_of == 7
    ward.view.owners[ward.view.partition_of("ops/other")] = "another:9113"
    await ward.at(11)
    assert ward.meter.lost_sight_of == 4


async def test_what_is_held_back_is_counted_and_no_longer_once_it_is_told(ward: Ward) -> None:
    """Items, not incidents; of every reason there is a number, and of partitions given away none."""
    nothing = dict.fromkeys(Reason, 0)
    ward.plan.holds.follow([silence(0, 60)], at(0))
    ward.keep(broken("A-1", "A-2", plan=ward.plan))
    ward.keep(broken(plan=ward.plan), "ops/another")
    ward.keep(broken(), "ops/told")
    await ward.at(10)
    assert ward.meter.held == {**nothing, Reason.SILENCED: 3}
    ward.view.owners = {ward.view.partition_of(INCIDENT): "elsewhere"}
    await ward.at(11)
    assert ward.meter.held == {**nothing, Reason.SILENCED: 1}
    ward.plan.holds.follow([], at(12))
    await ward.at(12)
    assert ward.meter.held == nothing


async def test_what_others_own_is_not_looked_at(ward: Ward) -> None:
    """Nor is what was given away during the look."""
    ward.keep(sending())
    ward.view.owners = {ward.view.partition_of(INCIDENT): "elsewhere"}
    await ward.at(13)
    assert (ward.meter.overdue, ward.asked) == (0, [])
    ward.view.owners = {}
    ward.keep(sending(), "ops/another")
    look = asyncio.create_task(ward.auditor.look())
    await asyncio.sleep(0)
    ward.view.owners = dict.fromkeys(range(12))
    await look
    assert (ward.meter.overdue, ward.asked) == (0, [])


async def test_others_have_their_turn_after_each_record(ward: Ward) -> None:
    """A look at a thousand incidents holds up nobody."""
    for number in range(1000):
        ward.keep(sending(), f"ops/{number}")
    turns, look = 0, asyncio.create_task(ward.auditor.look())
    while not look.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 1000


async def test_a_worker_that_was_not_audited_is_not_well(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first look, of partitions that came since, and when the last look is too long ago."""
    lately = "Incidents have not been looked through lately."
    assert ward.auditor.trouble() == lately
    ward.view.owners = {3: "elsewhere"}
    await ward.at(10)
    assert ward.auditor.trouble() is None
    ward.view.owners = {}
    assert ward.auditor.trouble() == lately
    monkeypatch.setattr(auditor_module, "_OVERTIME", -60.0)
    await ward.at(10)
    await asyncio.sleep(0.01)
    assert ward.auditor.trouble() == lately


async def test_it_looks_again_and_again_and_at_new_partitions_at_once(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause between two looks is not waited for where nothing is known yet."""
    monkeypatch.setattr(auditor_module, "STEP", 0.01)
    ward.view.owners = {3: "elsewhere"}
    async with at_work(ward.auditor.run()):
        await until(lambda: ward.meter.audits == 1)
        await asyncio.sleep(0.05)
        assert ward.meter.audits == 1
        ward.view.owners = {}
        await until(lambda: ward.meter.audits == 2)
        monkeypatch.setattr(auditor_module, "LOOK", 0.01)
        ward.view.owners = {3: "elsewhere"}
        await ward.auditor.look()
        ward.view.owners = {}
        await until(lambda: ward.meter.audits > 5)
