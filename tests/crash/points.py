"""The points at which a notifier is killed, one line each, and how a process is made to kill itself there.

Nothing in the services knows of this: what they call is wrapped from outside, before they start.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from puntual.notifier.v1 import incident_pb2 as pb
from services.notifier.channels.console import Console
from services.notifier.channels.email import Email
from services.notifier.channels.sms import Sms
from services.notifier.channels.webhook import Webhook
from services.notifier.codec import DISPATCH, RECORDS, unpack_deliveries
from services.notifier.outbox import FALLBACK_CHANNEL, Accepted, Delivery, DeliveryState, Kind, Refused, TryAgain
from services.shared.engine.outbox import Outbox
from services.shared.engine.recovery import LaneRecovery
from services.shared.engine.runtime import Runtime
from services.shared.engine.stage import Write
from services.shared.engine.transport import LaneConsumer, LaneProducer

#: Called each time the point is reached: it ends the process, now or another time.
Reached = Callable[[], None]
Function = Callable[..., Any]
Test = Callable[..., bool]


class Reply(StrEnum):
    """What a provider answers."""

    TAKEN = "taken"
    LATER = "later"
    NEVER = "never"


TAKEN = (Reply.TAKEN,)


class Arm(NamedTuple):
    """How to get there."""

    #: What is wrapped, in words.
    wrapped: str
    wrap: Callable[[Reached], None]


class Point(NamedTuple):
    """One line of the table."""

    #: What has happened, and what has not.
    what: str
    #: None: the provider kills the worker, as soon as it has the whole message.
    arm: Arm | None
    #: How often the provider must be called for the message over which the worker dies. Two, where the log cannot know.
    calls: int = 1
    #: What the provider answers to these calls, the last one for ever.
    replies: Sequence[Reply] = TAKEN
    #: How often the console must say what the provider refused.
    copies: int = 0
    #: At which messages it can be: the breach, the resolution.
    messages: Sequence[int] = (1, 2)
    #: The resolution is announced while the breach is under way.
    meanwhile: bool = False
    #: Where another worker died before, over the same message.
    earlier: str = ""
    #: How many seconds old the news is: what is not fresh is not attempted by the write that decides it.
    age: int = 0


def told(write: Write) -> str:
    """What a write says: `dispatch`, or how the newest delivery of an incident stands, or nothing of interest."""
    if write.topic.endswith(DISPATCH):
        return "dispatch"
    newest = _newest(write)
    if newest is None:
        return ""
    copy = "copy " if newest.delivery_id.endswith(FALLBACK_CHANNEL) else ""
    waits = newest.state == DeliveryState.PENDING and newest.attempts
    return copy + ("waiting" if waits else DeliveryState(newest.state).name.lower())


def _newest(write: Write) -> Delivery | None:
    deliveries = unpack_deliveries(_incident(write).deliveries)
    return max(deliveries, key=lambda delivery: (delivery.sequence, delivery.delivery_id), default=None)


def _incident(write: Write) -> pb.Incident:
    return pb.Incident.FromString(write.value or b"" if write.topic.endswith(RECORDS) else b"")


# --- wrapping


def _before(owners: Iterable[type], name: str, test: Test = lambda *_: True) -> Arm:
    """As it is called, with arguments that pass the test."""

    def made(real: Function, reached: Reached) -> Function:
        def wrapped(*given: Any) -> Any:
            if test(*given):
                reached()
            return real(*given)

        return wrapped

    return _arm("before", owners, name, made)


def _after(owners: Iterable[type], name: str, test: Test = lambda *_: True) -> Arm:
    """As it has ended, with a result and arguments that pass the test. Its caller does not hear of it."""

    def made(real: Function, reached: Reached) -> Function:
        def ended(result: Any, given: Sequence[Any]) -> Any:
            if test(result, *given):
                reached()
            return result

        async def awaited(*given: Any) -> Any:
            return ended(await real(*given), given)

        def called(*given: Any) -> Any:
            return ended(real(*given), given)

        return awaited if inspect.iscoroutinefunction(real) else called

    return _arm("after", owners, name, made)


def _arm(when: str, owners: Iterable[type], name: str, made: Callable[[Function, Reached], Function]) -> Arm:
    def wrap(reached: Reached) -> None:
        for owner in owners:
            setattr(owner, name, made(getattr(owner, name), reached))

    return Arm(" and ".join(f"{when} `{owner.__name__}.{name}`" for owner in owners), wrap)


def _decided(what: str) -> Arm:
    """Memory says so, the log does not."""
    return _before([Outbox], "submit", lambda _, writes, *__: _any(writes, what))


def _unheard(what: str) -> Arm:
    """The log says so, and the worker has not heard of it."""
    return _before([Runtime], "_after", lambda _, __, result, *___: _any(result.writes, what))


def _heard(what: str) -> Arm:
    """The log says so, and the worker knows."""
    return _after([Runtime], "_after", lambda _, __, ___, result, *____: _any(result.writes, what))


def _any(writes: Iterable[Write], what: str) -> bool:
    return any(told(write) == what for write in writes)


_CHANNELS = (Webhook, Email, Sms)


def _answered(outcome: type) -> Arm:
    return _after(_CHANNELS, "send", lambda result, *_: isinstance(result, outcome))


def _uncommitted() -> Arm:
    """Nothing is committed until a message is accepted and the worker knows; then the process ends instead."""

    def wrap(reached: Reached) -> None:
        real, accepted = LaneConsumer._commit_offsets, []  # noqa: SLF001

        def hear() -> None:
            accepted.append(True)

        async def commit(*given: Any, **named: Any) -> bool:
            if not accepted:
                return False
            while accepted:
                accepted.pop()
                reached()
            return await real(*given, **named)

        _heard("accepted").wrap(hear)
        LaneConsumer._commit_offsets = commit  # type: ignore[method-assign]  # noqa: SLF001

    return Arm("before `LaneConsumer._commit_offsets`", wrap)


def _answered_meanwhile() -> Arm:
    """The breach's acceptance is held back until its end is known, so that one write must say both."""

    def wrap(reached: Reached) -> None:
        over = asyncio.Event()
        for channel in _CHANNELS:
            _hold(channel, over)

        def is_over(_: object, writes: Sequence[Write], *__: object) -> bool:
            if any(item.standing == pb.STANDING_FULFILLED_LATE for write in writes for item in _incident(write).items):
                over.set()
            newest = next(filter(None, map(_newest, writes)), None)
            return newest is not None and (newest.kind, newest.state) == (Kind.RESOLVED, DeliveryState.SENDING)

        _before([Outbox], "submit", is_over).wrap(reached)

    def _hold(channel: Any, over: asyncio.Event) -> None:
        real = channel.send

        async def send(*given: Any) -> Any:
            result = await real(*given)
            await over.wait()
            return result

        channel.send = send

    return Arm("before `Outbox.submit`", wrap)


# --- the table

_LATER, _NEVER = (Reply.LATER, Reply.TAKEN), (Reply.NEVER,)
#: Seconds, more than what counts as fresh.
_OLD = 10

POINTS: Mapping[str, Point] = {
    "promise_read": Point("a promise is read, no dispatch is written", _decided("dispatch")),
    "dispatch_written": Point("the dispatch is in the log, nothing is committed", _unheard("dispatch")),
    "dispatch_read": Point(
        "old news is read, the message decided, the incident not written", _decided("pending"), age=_OLD
    ),
    "incident_written": Point(
        "the incident is in the log, PENDING; the worker has not heard", _unheard("pending"), age=_OLD
    ),
    "incident_heard": Point("the incident is acknowledged, nothing is attempted", _heard("pending"), age=_OLD),
    "attempt_due": Point("the attempt is due, SENDING is not written", _decided("sending"), age=_OLD),
    "attempt_decided": Point("fresh news is read, its attempt decided, SENDING is not written", _decided("sending")),
    "attempt_written": Point("SENDING is in the log; the worker has not heard", _unheard("sending")),
    "attempt_heard": Point("SENDING is acknowledged, the attempt not begun", _heard("sending")),
    "attempt_begun": Point("the attempt is begun, nothing is sent", _before(_CHANNELS, "send")),
    "request_under_way": Point("the provider has the message and has not answered", None, calls=2),
    "answer_heard": Point("the provider took it, that is not reported", _answered(Accepted), calls=2),
    "end_decided": Point("ACCEPTED is reported, not written", _decided("accepted"), calls=2),
    "end_written": Point("ACCEPTED is in the log; the worker has not heard", _unheard("accepted")),
    "end_uncommitted": Point("ACCEPTED is acknowledged, no offset is committed", _uncommitted()),
    "delay_heard": Point("the provider said: later; that is not reported", _answered(TryAgain), 2, _LATER),
    "delay_written": Point("it waits to be tried again, as the log says", _heard("waiting"), 2, _LATER),
    "refusal_heard": Point("the provider refused it, that is not reported", _answered(Refused), 2, _NEVER, copies=1),
    "refusal_decided": Point("DEAD is reported, not written", _decided("copy pending"), 2, _NEVER, copies=1),
    "refusal_written": Point(
        "DEAD and the console's copy are in the log; nothing is said", _unheard("copy pending"), 1, _NEVER, copies=1
    ),
    "copy_heard": Point("the copy's SENDING is acknowledged, nothing is said", _heard("copy sending"), 1, _NEVER, 1),
    "copy_said": Point("the console has said it, that is not reported", _after([Console], "send"), 1, _NEVER, copies=2),
    "copy_written": Point(
        "the copy's end is in the log; the worker has not heard", _unheard("copy accepted"), 1, _NEVER, copies=1
    ),
    "resolution_decided": Point(
        "a breach's acceptance and the resolution it frees are decided, neither is written",
        _answered_meanwhile(), calls=2, messages=(1,), meanwhile=True,
    ),
    "recovery_fenced": Point(
        "recovery has shut out the one before, read nothing", _after([LaneProducer], "fence"), earlier="attempt_heard"
    ),
    "recovery_read": Point(
        "recovery has read records, not taken them in", _after([LaneRecovery], "restore"), earlier="attempt_heard"
    ),
    "recovery_over": Point(
        "recovery is over, nothing is swept or sent", _after([Runtime], "start"), earlier="attempt_heard"
    ),
}  # fmt: skip
