"""The sender: makes the attempts that records call for, once each, and reports how they ended."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from io import StringIO

import pytest

from services.notifier import sender as sender_module, throttle
from services.notifier.beliefs import Receivers
from services.notifier.channels.channel import Message
from services.notifier.channels.console import Console
from services.notifier.codec import pack, unpack
from services.notifier.config import Target
from services.notifier.domain import due, fold
from services.notifier.incident import Incident, Plan
from services.notifier.outbox import (
    Accepted,
    Delivery,
    DeliverySettled,
    DeliveryState,
    Failure,
    Kind,
    Outcome,
    Pause,
    Refused,
    TryAgain,
)
from services.notifier.own_words import OwnWords
from services.notifier.sender import CONCURRENT, Link, Sender
from services.notifier.throttle import FAILURES, Rate
from services.notifier.wording import Style
from services.shared.engine.machine import OwnFact
from services.shared.instant import SECOND
from tests.unit.notifier.builders import BOTH, INCIDENT, MAIL, at, broken, settle
from tests.unit.notifier.test_own_words import SAMPLES
from tests.views import MemoryView


class Recorder:
    """A channel that remembers what it was given and ends as it is told; it can be held up."""

    def __init__(self, *ends: Outcome | Exception) -> None:
        self.ends = list(ends)
        self.sent: list[Message] = []
        self.free = asyncio.Event()
        self.free.set()
        self.closed = False

    async def send(self, message: Message) -> Outcome:
        """Remember it."""
        self.sent.append(message)
        await self.free.wait()
        end = self.ends.pop(0) if self.ends else Accepted()
        if isinstance(end, Exception):
            raise end
        return end

    async def close(self) -> None:
        """Remember that, too."""
        self.closed = True


class Tally:
    """A meter that adds up."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.gauges: dict[tuple[str, ...], float] = {}

    def decided(self, channel: str, kind: str, severity: str) -> None:
        self.counts["decided", channel, kind, severity] += 1

    def attempted(self, channel: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.counts["attempted", channel, outcome] += 1

    def delivered(self, channel: str, severity: str, seconds: float) -> None:
        self.gauges["latency", channel, severity] = seconds

    def misworded(self, channel: str) -> None:
        self.counts["misworded", channel] += 1

    def given_up(self, channel: str, reason: str) -> None:
        self.counts["given up", channel, reason] += 1

    def waiting(self, channel: str, state: str, messages: int) -> None:
        self.gauges["waiting", channel, state] = messages

    def oldest(self, channel: str, seconds: float) -> None:
        self.gauges["oldest", channel] = seconds

    def breakers(self, channel: str, targets: int) -> None:
        self.gauges["breakers", channel] = targets

    def uncovered(self, horizon: str, schedules: int) -> None:
        self.gauges["uncovered", horizon] = schedules


class Stage:
    """An engine in memory around one incident: submissions are folded, and every record is announced."""

    def __init__(self, *, plan: Plan = MAIL, rate: Rate | None = None, **channels: Recorder) -> None:
        self.view, self.meter, self.plan = MemoryView(unpack), Tally(), plan
        self.refusals = 0
        self.full = False
        #: Cleared where nothing can be written for a while.
        self.writing = asyncio.Event()
        self.writing.set()
        self.trouble: Exception | None = None
        self.submitted: list[DeliverySettled] = []
        self.targets = {
            name: Target(name, plan.routes["ops"].targets[name], channel, Style("en"), rate=rate)
            for name, channel in channels.items()
        }
        self.pauses: dict[str, Pause] = {}
        self.sender = Sender(self.view, self.submit, self.targets, self.meter, now=lambda: at(20), pauses=self.pauses)

    def keep(self, incident: Incident) -> None:
        """Write a record, and announce it."""
        key = incident.incident_id
        self.view.put(key, key, pack(incident))
        self.view.announce(key, key, pack(incident), "updated")

    async def submit(self, facts: Sequence[OwnFact]) -> Sequence[bool]:
        """As the worker does it; a few refusals first, and facts that no record can take, where a test wants them."""
        await self.writing.wait()
        return [self.fold(*fact) for fact in facts]

    def fold(self, partition: int, key: bytes, fact: object) -> bool:
        """Fold an end."""
        assert isinstance(fact, DeliverySettled)
        if self.refusals:
            self.refusals -= 1
            return False
        if self.trouble:
            raise self.trouble
        self.submitted.append(fact)
        if self.full:
            return True
        incident = fold(INCIDENT, unpack(self.view.records[partition][key]), [fact], self.plan)
        assert incident is not None
        self.keep(incident)
        return True

    def incident(self) -> Incident:
        """The record."""
        (value,) = [value for records in self.view.records.values() for value in records.values()]
        return unpack(value)

    def deliveries(self) -> list[Delivery]:
        """As the record has them."""
        return list(self.incident().deliveries)


#: By a channel on which nobody knows copies by their id.
SLACK = MAIL._replace(routes={"ops": Receivers({"mail": "slack"})})


def sending(minutes: float = 10, plan: Plan = MAIL) -> Incident:
    """An incident whose first message is to be sent now."""
    incident = due(broken(plan=plan), at(minutes), plan)
    assert incident is not None
    return incident


def elsewhere(subject: str, plan: Plan = MAIL) -> Incident:
    """Another incident whose message to the same target is to be sent now."""
    incident = due(broken(subject, plan=plan), at(10), plan)
    assert incident is not None
    return incident._replace(incident_id=f"ops/{subject}")


@asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[None]:
    """The sender at work."""
    task = asyncio.create_task(stage.sender.run())
    await until(lambda: bool(stage.view.watchers))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stage.sender.close()


@asynccontextmanager
async def crowded(monkeypatch: pytest.MonkeyPatch, *subjects: str) -> AsyncIterator[tuple[Stage, Recorder]]:
    """The sender at work for a target that takes one message at a time: the first is under way, the others wait."""
    monkeypatch.setattr(sender_module, "CONCURRENT", 1)
    hook = Recorder()
    hook.free.clear()
    stage = Stage(plan=SLACK, mail=hook)
    async with running(stage):
        await asyncio.sleep(0.05)  # until all partitions are looked at
        for subject in subjects:
            stage.keep(elsewhere(subject, SLACK))
        await until(lambda: len(hook.sent) == 1)
        yield stage, hook


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that should come soon."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "LOOK", 0.02)
    monkeypatch.setattr(sender_module, "_RETRY", 0.01)


async def test_a_record_that_says_sending_is_sent_once() -> None:
    """However often it is announced; and the end is reported."""
    mail = Recorder()
    stage = Stage(mail=mail)
    async with running(stage):
        for _ in range(3):
            stage.keep(sending())
        await until(lambda: bool(stage.submitted))
        await asyncio.sleep(0.05)
    assert [message.incident_id for message in mail.sent] == [INCIDENT]
    assert stage.deliveries()[0].state == DeliveryState.ACCEPTED
    assert mail.closed


async def test_a_message_whose_own_words_fail_is_sent_in_the_built_in_ones(caplog: pytest.LogCaptureFixture) -> None:
    """That is counted, and said without what the events hold."""
    mail = Recorder()
    stage = Stage(mail=mail)
    fails = OwnWords("Look {% if target == 'mail' %}{{ lines[4].subject }}{% endif %}", SAMPLES)
    stage.targets["mail"] = stage.targets["mail"]._replace(style=Style("en", templates={"breach": fails}))
    async with running(stage):
        stage.keep(sending())
        await until(lambda: bool(stage.submitted))
    assert [message.subject for message in mail.sent] == ["Promise broken: getting order A-1 ready"]
    assert stage.submitted[0].outcome == Accepted()
    assert stage.meter.counts["misworded", "email"] == 1
    (said,) = [record for record in caplog.records if record.message == "own words failed"]
    assert (vars(said)["target"], vars(said)["error"]) == ("mail", "UndefinedError")


async def test_a_message_of_an_incident_that_cannot_follow_all_says_how_many_are_open() -> None:
    """Those that it follows and those that it only counts."""
    mail = Recorder()
    stage = Stage(mail=mail)
    async with running(stage):
        stage.keep(sending()._replace(unfollowed=9_999))
        await until(lambda: bool(mail.sent))
    assert "(about 10000 open in all)" in mail.sent[0].subject


async def test_however_many_messages_wait_few_are_under_way_and_all_arrive_in_order() -> None:
    """A turn is over as soon as the attempt is, whether or not its end is written down."""
    mail = Recorder()
    mail.free.clear()
    stage = Stage(mail=mail)
    stage.writing.clear()
    async with running(stage):
        others = len(asyncio.all_tasks())
        for number in range(500):
            stage.keep(elsewhere(f"B-{number:03}"))
        await until(lambda: len(mail.sent) == CONCURRENT)
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) - others == CONCURRENT
        mail.free.set()
        await until(lambda: len(mail.sent) == 500)
        assert not stage.submitted
        stage.writing.set()
        await until(lambda: len(stage.submitted) == 500)
    assert [message.incident_id for message in mail.sent] == [f"ops/B-{number:03}" for number in range(500)]


async def test_what_was_settled_or_moved_while_it_waited_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one is not sent, the other may have been sent elsewhere meanwhile."""
    async with crowded(monkeypatch, "first", "settled", "moved") as (stage, hook):
        settled_since = settle(elsewhere("settled", SLACK), Accepted(), plan=SLACK)
        stage.view.put("ops/settled", "ops/settled", pack(settled_since))
        stage.view.move()
        await asyncio.sleep(0.05)
        hook.free.set()
        await until(lambda: len(stage.submitted) == 2)
        await asyncio.sleep(0.05)
    assert [message.incident_id for message in hook.sent] == ["ops/first", "ops/moved"]
    assert ["(may repeat)" in message.subject for message in hook.sent] == [False, True]


async def test_who_only_was_too_slow_to_hear_everything_repeats_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited meanwhile was attempted nowhere else."""
    async with crowded(monkeypatch, "first", "second") as (stage, hook):
        stage.view.lose_patience()
        await asyncio.sleep(0.05)
        hook.free.set()
        await until(lambda: len(stage.submitted) == 2)
    assert ["(may repeat)" in message.subject for message in hook.sent] == [False, False]


async def test_an_attempt_that_is_called_for_before_the_last_ones_end_is_heard_is_made_after_it() -> None:
    """Both can be acknowledged together: then nothing else would ever ask for it."""
    hook = Recorder(TryAgain(Failure.NETWORK))
    stage = Stage(plan=SLACK, mail=hook)
    stage.writing.clear()
    async with running(stage):
        await asyncio.sleep(0.05)
        stage.keep(elsewhere("late", SLACK))
        await until(lambda: len(hook.sent) == 1)
        ended = settle(elsewhere("late", SLACK), TryAgain(Failure.NETWORK), plan=SLACK)
        again = due(ended, at(11), SLACK)
        assert again is not None
        for record in (ended, again):
            stage.keep(record._replace(incident_id="ops/late"))
        await asyncio.sleep(0.05)
        stage.full = True  # it says so already
        stage.writing.set()
        await until(lambda: len(hook.sent) == 2)
        await until(lambda: len(stage.submitted) == 2)
    assert ["(may repeat)" in message.subject for message in hook.sent] == [False, False]
    assert [type(end.outcome) for end in stage.submitted] == [TryAgain, Accepted]


async def test_what_waits_for_its_turn_and_is_called_for_anew_is_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where its partition was elsewhere, was attempted there, and came back."""
    async with crowded(monkeypatch, "first", "second") as (stage, hook):
        again = due(settle(elsewhere("second", SLACK), TryAgain(Failure.NETWORK), plan=SLACK), at(11), SLACK)
        assert again is not None
        stage.view.move()
        stage.keep(again._replace(incident_id="ops/second"))
        await asyncio.sleep(0.05)
        hook.free.set()
        await until(lambda: len(stage.submitted) == 2)
        await asyncio.sleep(0.05)
    assert [message.incident_id for message in hook.sent] == ["ops/first", "ops/second"]


async def test_a_sender_that_is_to_stop_ends_what_is_under_way_and_begins_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The attempt ends and is reported; what waits for its turn, or comes only now, is left as SENDING."""
    monkeypatch.setattr(sender_module, "CONCURRENT", 1)
    mail = Recorder()
    mail.free.clear()
    stage = Stage(mail=mail)
    async with running(stage):
        stage.keep(sending())
        await until(lambda: bool(mail.sent))
        stage.keep(elsewhere("waiting"))
        await asyncio.sleep(0.05)
        finishing = asyncio.create_task(stage.sender.finish())
        await asyncio.sleep(0.05)
        assert not finishing.done()
        stage.keep(elsewhere("late"))
        mail.free.set()
        await finishing
        await asyncio.sleep(0.05)
    assert [message.incident_id for message in mail.sent] == [INCIDENT]
    assert [end.outcome for end in stage.submitted] == [Accepted()]


async def test_a_sender_that_is_to_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that takes longer than the grace is cut off, and told again under the same id."""
    monkeypatch.setattr(sender_module, "GRACE", 0.05)
    mail = Recorder()
    mail.free.clear()
    stage = Stage(mail=mail)
    async with running(stage):
        stage.keep(sending())
        await until(lambda: bool(mail.sent))
        await stage.sender.finish()
    assert not stage.submitted


async def test_an_old_announcement_sends_nothing() -> None:
    """The record has moved on since: what it says no longer is not done again."""
    mail = Recorder()
    stage = Stage(mail=mail)
    async with running(stage):
        stage.keep(sending())
        await until(lambda: bool(stage.submitted))
        stage.view.announce(INCIDENT, INCIDENT, pack(sending()), "updated")
        await asyncio.sleep(0.05)
    assert len(mail.sent) == 1


async def test_what_a_crash_interrupted_is_found_and_sent_again() -> None:
    """A record recovered as SENDING is announced by nobody; the sender looks for it itself."""
    mail = Recorder()
    stage = Stage(mail=mail)
    stage.view.put(INCIDENT, INCIDENT, pack(sending()))
    async with running(stage):
        await until(lambda: bool(stage.submitted))
    assert mail.sent[0].delivery_id == sending().deliveries[0].delivery_id


async def test_a_sender_that_cannot_keep_up_looks_at_everything_again() -> None:
    """Announcements were lost; no message is."""
    mail = Recorder()
    stage = Stage(mail=mail)
    async with running(stage):
        stage.view.put(INCIDENT, INCIDENT, pack(sending()))
        stage.view.lose_patience()
        await until(lambda: bool(stage.submitted))
    assert len(mail.sent) == 1


async def test_an_end_is_reported_when_the_partition_comes_back() -> None:
    """A rebalance takes everything away for a moment; what was sent is not forgotten for it."""
    mail = Recorder()
    stage = Stage(mail=mail)
    stage.refusals = 3
    async with running(stage):
        stage.keep(sending())
        await until(lambda: bool(stage.submitted))
    assert (len(mail.sent), len(stage.submitted)) == (1, 1)


async def test_what_was_accepted_is_not_sent_again_although_the_record_cannot_say_so() -> None:
    """The lease ends and the record asks for another attempt: the end is reported again, until it can be written."""
    mail = Recorder()
    stage = Stage(mail=mail)
    stage.full = True
    async with running(stage):
        stage.keep(sending())
        await until(lambda: len(stage.submitted) == 1)
        stage.full = False
        again = due(stage.incident(), at(11), MAIL)
        assert again is not None
        stage.keep(again)
        await until(lambda: len(stage.submitted) == 2)
    assert len(mail.sent) == 1
    assert stage.submitted[1] == stage.submitted[0]
    assert stage.deliveries()[0].state == DeliveryState.ACCEPTED
    assert stage.meter.counts["attempted", "email", "success"] == 1


async def test_what_failed_is_tried_again_although_the_record_cannot_say_so() -> None:
    """The lease ends, and so the target hears it after all."""
    mail = Recorder(TryAgain(Failure.NETWORK))
    stage = Stage(mail=mail)
    stage.full = True
    async with running(stage):
        stage.keep(sending())
        await until(lambda: len(stage.submitted) == 1)
        stage.full = False
        again = due(stage.incident(), at(11), MAIL)
        assert again is not None
        stage.keep(again)
        await until(lambda: len(stage.submitted) == 2)
    assert stage.deliveries()[0].state == DeliveryState.ACCEPTED


async def test_what_others_own_is_not_sent() -> None:
    """Neither what is there nor what is still announced."""
    mail = Recorder()
    stage = Stage(mail=mail)
    stage.view.owners = dict.fromkeys(range(12))
    async with running(stage):
        stage.keep(sending())
        await asyncio.sleep(0.1)
    assert not mail.sent


async def test_a_slow_target_holds_up_no_other() -> None:
    """The webhook gets its message while the mail server keeps silent."""
    mail, hook = Recorder(), Recorder()
    mail.free.clear()
    stage = Stage(plan=BOTH, mail=mail, hook=hook)
    async with running(stage):
        stage.keep(sending(plan=BOTH))
        await until(lambda: bool(stage.submitted))
        assert [(d.target, d.state) for d in stage.deliveries()] == [
            ("mail", DeliveryState.SENDING),
            ("hook", DeliveryState.ACCEPTED),
        ]


async def test_an_attempt_that_takes_too_long_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """No attempt outlives its lease."""
    monkeypatch.setattr(sender_module, "ATTEMPT", 0.05)
    mail = Recorder()
    mail.free.clear()
    stage = Stage(mail=mail)
    async with running(stage):
        stage.keep(sending())
        await until(lambda: bool(stage.submitted))
    assert stage.submitted[0].outcome == TryAgain(Failure.TIMEOUT)
    assert stage.deliveries()[0].state == DeliveryState.PENDING


async def test_a_channel_that_breaks_breaks_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """An error nobody thought of counts as a failed attempt, and its text, which may hold a secret, is not logged."""
    stage = Stage(mail=Recorder(RuntimeError("https://hooks.example.com/hunter2")))
    async with running(stage):
        stage.keep(sending())
        await until(lambda: bool(stage.submitted))
    assert stage.submitted[0].outcome == TryAgain(Failure.OTHER)
    assert "RuntimeError" in "".join(str(vars(record)) for record in caplog.records)
    assert "hunter2" not in "".join(str(vars(record)) for record in caplog.records)


async def test_an_end_that_cannot_be_reported_ends_the_sender() -> None:
    """The process starts again and sends it again: better than a message that nobody ever hears of."""
    stage = Stage(mail=Recorder())
    stage.trouble = RuntimeError("the engine is broken")
    stage.view.put(INCIDENT, INCIDENT, pack(sending()))
    with pytest.raises(ExceptionGroup):
        async with asyncio.timeout(5):
            await stage.sender.run()


async def test_a_channel_of_a_newer_version_is_counted_as_its_stand_in() -> None:
    """After a step back: the target is told by the channel it has now, and metric labels stay closed."""
    mail = Recorder()
    stage = Stage(mail=mail)
    incident = sending()
    newer = tuple(delivery._replace(channel="pager") for delivery in incident.deliveries)
    async with running(stage):
        stage.keep(incident._replace(deliveries=newer))
        await until(lambda: bool(stage.submitted))
    assert len(mail.sent) == 1
    assert stage.meter.counts["attempted", "console", "success"] == 1


async def test_what_is_refused_is_said_on_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    """In the name of the target that did not get it, and why."""
    stage = Stage(mail=Recorder(Refused(Failure.AUTH)))
    async with running(stage):
        stage.keep(sending())
        await until(lambda: bool(stage.submitted))
        after = due(stage.incident(), at(11), MAIL)
        assert after is not None
        stage.keep(after)
        await until(lambda: len(stage.submitted) == 2)
    assert "[not delivered to mail] Promise broken: getting order A-1 ready" in capsys.readouterr().out
    assert {d.state for d in stage.deliveries()} == {DeliveryState.DEAD, DeliveryState.ACCEPTED}


async def down(stage: Stage, failures: int) -> None:
    """So many incidents have something to tell a target, one after the other."""
    for number in range(failures):
        stage.keep(elsewhere(f"B-{number}"))
        await until(lambda ends=number + 1: len(stage.submitted) == ends)  # type: ignore[misc]


async def test_a_target_that_keeps_failing_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes meanwhile waits without an attempt, and counts as none; other targets are told as ever."""
    monkeypatch.setattr(throttle, "SHORTEST", 60.0)
    mail, hook = Recorder(*[TryAgain(Failure.NETWORK)] * FAILURES), Recorder()
    stage = Stage(plan=BOTH, mail=mail, hook=hook)
    began = time.monotonic()
    async with running(stage):
        await down(stage, FAILURES)
        stage.keep(sending(plan=BOTH))
        await until(lambda: len(stage.submitted) == FAILURES + 2)
        await until(lambda: stage.meter.gauges.get(("breakers", "email")) == 1)
    assert (len(mail.sent), len(hook.sent)) == (FAILURES, 1)
    (held,) = [end.outcome for end in stage.submitted[FAILURES:] if isinstance(end.outcome, TryAgain)]
    assert (held.failure, held.made) == (Failure.BREAKER_OPEN, False)
    assert 60 * SECOND <= held.retry_after <= 180 * SECOND
    assert stage.meter.counts["attempted", "email", "retryable"] == FAILURES
    assert stage.meter.gauges["breakers", "webhook"] == 0
    assert stage.pauses.keys() == {"mail"}
    # The stage's clock stands still, the breaker's does not.
    passed = round((time.monotonic() - began) * SECOND)
    assert at(21) - passed <= stage.pauses["mail"].until <= at(21) + 2 * SECOND
    assert stage.pauses["mail"].spread == 2 * SECOND


async def test_a_pause_that_is_over_is_forgotten() -> None:
    """Also where nothing waits for its target here any more."""
    stage = Stage()
    stage.pauses |= {"over": Pause(at(20), 0), "lasts": Pause(at(21), 0)}
    async with running(stage):
        await until(lambda: stage.pauses.keys() == {"lasts"})


async def test_a_target_that_is_back_is_told_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt finds out."""
    monkeypatch.setattr(throttle, "SHORTEST", 0.0)
    monkeypatch.setattr(throttle, "LONGEST", 0.0)
    mail = Recorder(*[TryAgain(Failure.NETWORK)] * FAILURES)
    stage = Stage(mail=mail)
    async with running(stage):
        await down(stage, FAILURES + 2)
        assert [type(end.outcome) for end in stage.submitted[FAILURES:]] == [Accepted, Accepted]
        await until(lambda: stage.meter.gauges.get(("breakers", "email")) == 0)
    assert not stage.pauses


async def test_a_target_that_is_being_tried_is_left_alone_by_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the one attempt lasts."""
    monkeypatch.setattr(throttle, "SHORTEST", 0.0)
    monkeypatch.setattr(throttle, "LONGEST", 0.0)
    mail = Recorder(*[TryAgain(Failure.NETWORK)] * FAILURES)
    stage = Stage(mail=mail)
    async with running(stage):
        await down(stage, FAILURES)
        assert not stage.pauses
        monkeypatch.setattr(throttle, "SHORTEST", 5.0)
        mail.free.clear()
        stage.keep(elsewhere("B-last"))
        await until(lambda: len(mail.sent) == FAILURES + 1)
        assert stage.pauses["mail"].until == at(20) + 5 * SECOND
        mail.free.set()
        await until(lambda: len(stage.submitted) == FAILURES + 1)
        assert not stage.pauses


async def test_a_message_refused_for_good_says_nothing_against_its_target() -> None:
    """It answers, so the next message goes through."""
    mail = Recorder(*[Refused(Failure.CLIENT_ERROR)] * (FAILURES + 1))
    stage = Stage(mail=mail)
    async with running(stage):
        await down(stage, FAILURES + 2)
    assert len(mail.sent) == FAILURES + 2


async def test_attempts_that_last_too_long_open_the_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like any that fail."""
    monkeypatch.setattr(sender_module, "ATTEMPT", 0.02)
    monkeypatch.setattr(throttle, "SHORTEST", 60.0)
    mail = Recorder()
    mail.free.clear()
    stage = Stage(mail=mail)
    async with running(stage):
        await down(stage, FAILURES + 1)
    failures = [end.outcome.failure for end in stage.submitted if isinstance(end.outcome, TryAgain)]
    assert failures == [*[Failure.TIMEOUT] * FAILURES, Failure.BREAKER_OPEN]


@pytest.mark.parametrize(("channel", "said"), [("slack", True), ("email", False)])
async def test_a_copy_is_called_one_where_nobody_knows_it_by_its_id(channel: str, said: bool) -> None:
    """The attempt was never heard of: made again after its lease, or by whoever took over.

    Whoever takes over may hear of the record for another reason before looking at it.
    """
    plan = MAIL._replace(routes={"ops": Receivers({"mail": channel})})
    mail = Recorder()
    stage = Stage(plan=plan, mail=mail)
    again = due(elsewhere("again", plan), at(11), plan)
    assert again is not None
    for left in (elsewhere("left", plan), elsewhere("heard", plan)):
        stage.view.put(left.incident_id, left.incident_id, pack(left))
    async with running(stage):
        stage.keep(elsewhere("heard", plan)._replace(next_sequence=9))
        await until(lambda: len(stage.submitted) == 2)
        stage.keep(again)
        await until(lambda: len(stage.submitted) == 3)
        stage.keep(broken("new", plan=plan)._replace(incident_id="ops/new"))
        stage.keep(elsewhere("new", plan))
        await until(lambda: len(stage.submitted) == 4)
        stage.keep(elsewhere("at-once", plan))
        await until(lambda: len(stage.submitted) == 5)
    repeated = ["(may repeat)" in message.subject for message in mail.sent]
    assert repeated == [said, said, said, False, False]


async def test_partitions_that_come_back_may_have_been_sent_for_elsewhere() -> None:
    """What waited here when they went away may be under way since."""
    plan = MAIL._replace(routes={"ops": Receivers({"mail": "slack"})})
    mail = Recorder()
    stage = Stage(plan=plan, mail=mail)
    async with running(stage):
        await asyncio.sleep(0.05)
        stage.keep(broken(plan=plan))
        await asyncio.sleep(0)
        stage.view.move()
        stage.keep(sending(plan=plan))
        await until(lambda: len(stage.submitted) == 1)
    assert ["(may repeat)" in message.subject for message in mail.sent] == [True]


def at_risk(subject: str) -> Incident:
    """Another incident that warns the same target now."""
    incident = elsewhere(subject)
    warned = tuple(delivery._replace(kind=Kind.AT_RISK, delivery_id=subject) for delivery in incident.deliveries)
    return incident._replace(deliveries=warned)


async def test_what_exceeds_the_rate_is_told_in_one_message() -> None:
    """All of them are accepted under the id of that one."""
    mail = Recorder(Accepted("1"), Accepted("all", "thread"))
    stage = Stage(mail=mail, rate=Rate(2, 60.0))
    async with running(stage):
        for number in range(10):
            stage.keep(elsewhere(f"B-{number}"))
        await until(lambda: len(stage.submitted) == 10)
    assert len(mail.sent) == 2
    assert mail.sent[1].subject.endswith("(9 notifications in one)")
    assert [end.outcome for end in stage.submitted[1:]] == [Accepted("all", "thread")] * 9


async def test_breaches_are_told_before_risks() -> None:
    """Whichever came first; and one message is kept for them, so that the first leaves at once."""
    mail = Recorder()
    stage = Stage(mail=mail, rate=Rate(2, 1.0))
    async with running(stage):
        stage.keep(at_risk("R-0"))
        await until(lambda: len(stage.submitted) == 1)
        stage.keep(at_risk("R-1"))
        await asyncio.sleep(0.02)
        stage.keep(elsewhere("B-0"))
        await until(lambda: len(stage.submitted) == 2)
        stage.keep(elsewhere("B-1"))
        await until(lambda: len(stage.submitted) == 4)
    assert [message.kind for message in mail.sent] == ["at_risk", "breach", "breach", "at_risk"]


async def test_nobody_waits_for_long_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt would outlive its lease: the message comes back shortly before it may be sent."""
    mail = Recorder()
    stage = Stage(mail=mail, rate=Rate(1, 3_600.0))
    async with running(stage):
        stage.keep(elsewhere("B-0"))
        await until(lambda: len(mail.sent) == 1)
        stage.keep(elsewhere("B-1"))
        await until(lambda: len(stage.submitted) == 2)
        monkeypatch.setattr(sender_module, "HELD", 4_000.0)
        stage.keep(elsewhere("B-2"))
        await asyncio.sleep(0.05)
        assert len(stage.submitted) == 2
    end = stage.submitted[1].outcome
    assert isinstance(end, TryAgain)
    assert (end.failure, end.made) == (Failure.RATE_LIMITED, False)
    assert 3_590 * SECOND <= end.retry_after <= 3_596 * SECOND


async def test_what_waits_for_its_turn_is_left_as_it_is_when_the_sender_stops() -> None:
    """It is sent after the restart."""
    mail = Recorder()
    stage = Stage(mail=mail, rate=Rate(1, 8.0))
    async with running(stage):
        stage.keep(elsewhere("B-0"))
        await until(lambda: len(mail.sent) == 1)
        stage.keep(elsewhere("B-1"))
        await until(lambda: len(stage.submitted) == 1)
        async with asyncio.timeout(2):
            await stage.sender.finish()
    assert (len(mail.sent), len(stage.submitted)) == (1, 1)


@pytest.mark.slow
async def test_a_storm_is_told_in_few_messages() -> None:
    """10,000 breaches in ten seconds to one target: at once, no more than it can bear, and none is left out."""
    mail = Recorder()
    stage = Stage(mail=mail, rate=Rate(20, 60.0))
    loop = asyncio.get_running_loop()
    async with running(stage):
        began, first = loop.time(), 0.0
        for number in range(10_000):
            stage.keep(elsewhere(f"B-{number}"))
            await asyncio.sleep(max(0.0, began + number / 1_000 - loop.time()))
            first = first or (loop.time() - began if mail.sent else 0.0)
        async with asyncio.timeout(30):
            while len(stage.submitted) < 10_000:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.1)
        took = loop.time() - began
    assert 0 < first < 2
    assert 20 <= len(mail.sent) <= 20 + took / 3
    assert all(isinstance(end.outcome, Accepted) for end in stage.submitted)
    assert {unpack(value).deliveries[0].state for held in stage.view.records.values() for value in held.values()} == {
        DeliveryState.ACCEPTED
    }
    spoken_of = sum(int(message.subject.split()[0]) if "in one" in message.subject else 1 for message in mail.sent)
    assert spoken_of == 10_000


async def test_a_target_that_is_gone_is_given_up() -> None:
    """The configuration changed while a message was waiting; the console takes over."""
    stage = Stage()
    async with running(stage):
        stage.keep(sending())
        await until(lambda: bool(stage.submitted))
    assert stage.submitted[0].outcome == Refused(Failure.OTHER)


async def test_everything_is_counted() -> None:
    """Decided once, every attempt, the latency, what was given up, and what waits."""
    stage = Stage(mail=Recorder(TryAgain(Failure.NETWORK), Accepted()))
    async with running(stage):
        stage.keep(broken())
        await until(lambda: stage.meter.gauges.get(("waiting", "email", "pending")) == 1)
        assert stage.meter.gauges["oldest", "email"] == 19 * 60
        stage.keep(sending())
        await until(lambda: len(stage.submitted) == 1)
        again = due(stage.incident(), at(30), MAIL)
        assert again is not None
        stage.keep(again)
        await until(lambda: len(stage.submitted) == 2)
        await until(lambda: stage.meter.gauges["waiting", "email", "pending"] == 0)
        await until(lambda: ("attempted", "email", "success") in stage.meter.counts)
    assert stage.meter.counts == {
        ("decided", "email", "breach", "critical"): 1,
        ("attempted", "email", "retryable"): 1,
        ("attempted", "email", "success"): 1,
    }
    assert stage.meter.gauges["latency", "email", "critical"] == 19 * 60
    assert stage.meter.gauges["oldest", "email"] == 0


async def test_a_console_is_given_no_link() -> None:
    """What it prints is kept in logs, and a link is as good as a key; nor where it stands in for a target."""
    out, stage = StringIO(), Stage(mail=Recorder())
    console = Target("mail", "email", Console(out), Style("en"))
    links: Link = lambda *_: "https://puntual.example.com/a/hunter2"  # noqa: E731 - what a Link is
    for target, is_linked in ((stage.targets["mail"], True), (console, False)):
        stage.sender = Sender(stage.view, stage.submit, {"mail": target}, stage.meter, lambda: at(20), links)
        async with running(stage):
            stage.keep(sending())
            await until(lambda: stage.deliveries()[0].state != DeliveryState.SENDING)
        recorder = stage.targets["mail"].channel
        assert isinstance(recorder, Recorder)
        assert ("hunter2" in recorder.sent[0].text) is True
        assert ("hunter2" in out.getvalue()) is False
        assert bool(out.getvalue()) is not is_linked
