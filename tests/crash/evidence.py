"""What a run left behind, and what is wrong with it. Pure."""

import signal
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from puntual.notifier.v1 import incident_pb2 as pb
from tests.crash.points import Point, Reply
from tests.crash.providers import Call

_ENDED = {pb.DELIVERY_STATE_ACCEPTED, pb.DELIVERY_STATE_DEAD}


class Evidence(NamedTuple):
    """All that can be seen from outside after a breach and its resolution."""

    #: How those workers ended that were to die.
    deaths: Sequence[int | None]
    calls: Sequence[Call]
    #: How often the console said what the provider refused.
    copies: int
    #: The last record; None: there is none.
    incident: pb.Incident | None
    dead_letters: int
    #: How often the console, when it said that, said that it may repeat.
    marked_copies: int = 0
    #: Whether whoever is told knows copies by their id, and need not be told of them.
    copies_known: bool = True

    def messages(self) -> Sequence[Sequence[Call]]:
        """The calls for each message, in the order of the first ones."""
        ids = dict.fromkeys(call.message_id for call in self.calls)
        return [[call for call in self.calls if call.message_id == message_id] for message_id in ids]

    def lost(self) -> int:
        """How many of the two messages reached neither the provider nor the console."""
        taken = sum(any(call.reply == Reply.TAKEN for call in calls) for calls in self.messages())
        return max(0, 2 - taken - bool(self.copies))

    def repeats(self) -> int:
        """How often the provider took, or the console said, what it had before."""
        taken = (sum(call.reply == Reply.TAKEN for call in calls) for calls in self.messages())
        return sum(max(0, times - 1) for times in (*taken, self.copies))


def faults(evidence: Evidence, point: Point, message: int) -> Iterator[str]:
    """What is not as the table has it. `message`: over which the worker died."""
    if not evidence.deaths or any(code != -signal.SIGKILL for code in evidence.deaths):
        yield f"the worker did not die at the point: {list(evidence.deaths)}"
    yield from misdelivered(evidence, {number: {point.calls if number == message else 1} for number in (1, 2)})
    lost = sum(calls[-1].reply != Reply.TAKEN for calls in evidence.messages())
    if lost != bool(point.copies):
        yield f"{lost} messages were not taken in the end"
    if evidence.copies != point.copies:
        yield f"the console said {evidence.copies} times what was refused, not {point.copies} times"


def misdelivered(evidence: Evidence, expected: dict[int, Collection[int]]) -> Iterator[str]:
    """What is wrong with the messages. `expected`: how many calls may have been made for each."""
    messages = evidence.messages()
    if len(messages) != len(expected):
        yield f"{len(messages)} messages came, not a breach and its resolution"
        return
    breach, resolution = messages
    if breach[0].answers or resolution[0].answers not in {None, breach[0].message_id}:
        yield "the messages are not a breach and its resolution, in this order"
    for number, calls in enumerate(messages, 1):
        if len(calls) not in expected[number]:
            yield f"message {number} was sent {len(calls)} times, not {' or '.join(map(str, expected[number]))}"
        if len({call._replace(reply=Reply.TAKEN, marked=False) for call in calls}) > 1:
            yield f"message {number} was not the same when it was sent again"
        yield from _mismarked(number, calls, copies_known=evidence.copies_known)
    if evidence.marked_copies < evidence.copies - 1:
        yield "the console did not say that it may have said it before"
    yield from _unsettled(evidence.incident)
    if evidence.dead_letters:
        yield f"{evidence.dead_letters} dead letters"


def _mismarked(number: int, calls: Sequence[Call], *, copies_known: bool) -> Iterator[str]:
    """Whoever was told already hears that it may be a copy, unless he knows that by himself.

    So may somebody who was not: whether an attempt that is in the log was made, nobody can know.
    """
    if copies_known and any(call.marked for call in calls):
        yield f"message {number} said that it may repeat where copies are known by their id"
    for before, again in pairwise(calls):
        if before.reply == Reply.TAKEN and not (again.marked or copies_known):
            yield f"message {number} did not say that it may repeat when it came again"


def _unsettled(incident: pb.Incident | None) -> Iterator[str]:
    if incident is None:
        yield "there is no incident"
    elif incident.state != pb.INCIDENT_STATE_RESOLVED or not all(d.state in _ENDED for d in incident.deliveries):
        yield f"the incident is not settled: {incident}"
