"""Canaries: sent by one worker, once in an interval, under an id that lasts as long; what comes of it is measured."""

import asyncio

import pytest

from services.notifier import signs
from services.notifier.canary import Canaries, canary_id
from services.notifier.config import Target
from services.notifier.outbox import Accepted, Failure, Refused, TryAgain
from services.notifier.wording import LANGUAGES, Style
from tests.unit.notifier.builders import MINUTE, at
from tests.unit.notifier.health import Clock, HealthTally, at_work, until
from tests.unit.notifier.test_sender import Recorder
from tests.views import MemoryView

HOUR = 60 * MINUTE


class Aviary:
    """Targets that ask for canaries, and what they get."""

    def __init__(self, **channels: Recorder) -> None:
        self.view, self.meter, self.clock = MemoryView(), HealthTally(), Clock(10)
        self.targets = [Target(name, "email", channel, Style("es"), canary=HOUR) for name, channel in channels.items()]

    def canaries(self) -> Canaries:
        """As a worker that has just started."""
        return Canaries(self.view, self.targets, self.meter, self.clock)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs, "LOOK", 0.01)


async def test_a_target_gets_one_in_each_interval() -> None:
    """In its language, marked as what it is, with nothing to do; each has an id of its own."""
    desk = Recorder()
    aviary = Aviary(desk=desk)
    async with at_work(aviary.canaries().run()):
        await until(lambda: len(desk.sent) == 1)
        await asyncio.sleep(0.05)
        aviary.clock.minutes = 70
        await until(lambda: len(desk.sent) == 2)
    first, second = desk.sent
    assert (first.kind, first.severity, first.target) == ("canary", "info", "desk")
    assert first.subject == "Puntual puede avisarle: no hay nada que hacer."
    assert first.over == (first.delivery_id,)
    assert first.delivery_id != second.delivery_id
    assert aviary.meter.canaries["email"] == (at(70) / 1e6, at(190) / 1e6)


async def test_after_a_restart_in_the_interval_it_is_the_same() -> None:
    """So that whoever knows copies by their id takes it for one."""
    desk = Recorder()
    aviary = Aviary(desk=desk)
    for minutes in (10, 50, 70):
        aviary.clock.minutes = minutes
        sent = len(desk.sent)
        async with at_work(aviary.canaries().run()):
            await until(lambda sent=sent: len(desk.sent) > sent)  # type: ignore[misc]
    before, again, later = (message.delivery_id for message in desk.sent)
    assert before == again != later


async def test_a_target_that_does_not_ask_gets_none() -> None:
    """Nobody is woken by surprise."""
    phone = Recorder()
    aviary = Aviary(phone=phone)
    aviary.targets = [aviary.targets[0]._replace(canary=0)]
    await asyncio.wait_for(aviary.canaries().run(), 1)
    assert not phone.sent


async def test_another_workers_canary_is_not_sent() -> None:
    """Nor is anything expected of this one; once the partition comes here, it is."""
    desk = Recorder()
    aviary = Aviary(desk=desk)
    aviary.view.owners = {aviary.view.partition_of("~canary/desk"): "elsewhere"}
    async with at_work(aviary.canaries().run()):
        await until(lambda: "email" in aviary.meter.canaries)
        await asyncio.sleep(0.05)
        assert aviary.meter.canaries["email"] == (0, 0)
        assert not desk.sent
        aviary.view.owners = {}
        await until(lambda: len(desk.sent) == 1)


async def test_of_a_channel_only_what_this_worker_sends_counts() -> None:
    """Another worker sends to the other target, and measures that."""
    ours, theirs = Recorder(), Recorder()
    aviary = Aviary(ours=ours, theirs=theirs)
    aviary.view.owners = {aviary.view.partition_of("~canary/theirs"): "elsewhere"}
    assert aviary.view.owns(aviary.view.partition_of("~canary/ours"))
    async with at_work(aviary.canaries().run()):
        await until(lambda: len(ours.sent) == 1)
        await asyncio.sleep(0.05)
        assert aviary.meter.canaries["email"] == (at(10) / 1e6, at(130) / 1e6)
    assert not theirs.sent


async def test_one_that_is_held_up_holds_up_no_other() -> None:
    """And while one target of a channel has had none, the channel counts as not reached."""
    slow, quick = Recorder(), Recorder()
    slow.free.clear()
    aviary = Aviary(slow=slow, quick=quick)
    async with at_work(aviary.canaries().run()):
        await until(lambda: bool(quick.sent and slow.sent))
        slow.ends = [Refused(Failure.AUTH)]
        slow.free.set()
        await until(lambda: aviary.meter.canaries.get("email") == (0, at(130) / 1e6))
        aviary.clock.minutes = 70
        await until(lambda: aviary.meter.canaries["email"] == (at(70) / 1e6, at(190) / 1e6))


async def test_what_fails_is_tried_again_under_the_same_id(caplog: pytest.LogCaptureFixture) -> None:
    """Also where the channel breaks; no text of an error is logged, as it may hold a secret."""
    desk = Recorder(TryAgain(Failure.NETWORK), RuntimeError("hunter2"), Accepted())
    aviary = Aviary(desk=desk)
    async with at_work(aviary.canaries().run()):
        for sent in (1, 2, 3):
            await until(lambda sent=sent: len(desk.sent) == sent)  # type: ignore[misc]
            await asyncio.sleep(0.03)
            assert len(desk.sent) == sent
            aviary.clock.minutes += 2
    assert len({message.delivery_id for message in desk.sent}) == 1
    assert "RuntimeError" in "".join(str(vars(record)) for record in caplog.records)
    assert "hunter2" not in "".join(str(vars(record)) for record in caplog.records)


async def test_one_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as failed, and the next comes."""
    monkeypatch.setattr(signs, "ATTEMPT", 0.02)
    desk = Recorder()
    desk.free.clear()
    aviary = Aviary(desk=desk)
    async with at_work(aviary.canaries().run()):
        await until(lambda: "email" in aviary.meter.canaries)
        assert aviary.meter.canaries["email"] == (0, at(130) / 1e6)
        aviary.clock.minutes = 12
        await until(lambda: len(desk.sent) == 2)


def test_ids_differ_by_target_and_by_interval() -> None:
    """Two targets may lead to the same people."""
    target = Target("a", "email", Recorder(), Style(), canary=HOUR)
    ids = {canary_id(aimed, at(minutes)) for aimed in (target, target._replace(name="b")) for minutes in (0, 59, 60)}
    assert len(ids) == 4


@pytest.mark.parametrize("language", sorted(LANGUAGES))
async def test_every_language_has_words(language: str) -> None:
    """A subject, and a text that names the target."""
    desk = Recorder()
    aviary = Aviary(desk=desk)
    aviary.targets = [aviary.targets[0]._replace(style=Style(language))]
    async with at_work(aviary.canaries().run()):
        await until(lambda: bool(desk.sent))
    assert desk.sent[0].subject.startswith("Puntual ")
    assert "desk" in desk.sent[0].text
