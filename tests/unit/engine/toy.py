"""A machine that is easy to see through: reminders. A reminder rings at its time unless it was done before."""

import json
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple

from services.shared.engine.machine import Journal, Labels, Machine, Step
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant

INPUT, OTHER_INPUT, RECORDS, DEAD_LETTERS = "reminders.in", "more-reminders.in", "reminders", "dead"
DIARY = "diary"
#: Input that no decoder understands, each in its way.
POISON = {"unusable": b"?", "broken": b"{", "no message": b"[[1]]", "not even text": b"\xff\xfe"}


class Fact(NamedTuple):
    """Something said about a reminder: when to ring, that it is done, or that it should be forgotten."""

    occurred_at: Instant
    name: str
    ring_at: Instant = Instant(0)


class State(StrEnum):
    """How a reminder stands."""

    WAITING = "waiting"
    RUNG = "rung"
    DONE = "done"


class Reminder(NamedTuple):
    """The record."""

    key: bytes
    facts: tuple[Fact, ...]
    state: State = State.WAITING

    @property
    def ring_at(self) -> Instant:
        """As last said; 0: never."""
        return next((fact.ring_at for fact in reversed(self.facts) if fact.ring_at), Instant(0))


def value_of(*facts: tuple[str, Fact]) -> bytes:
    """A message value with facts, each with its key."""
    return json.dumps([[key, *fact] for key, fact in facts]).encode()


def decode(value: bytes, _is_json: bool) -> list[tuple[bytes, Fact]]:
    """The facts in a message value. Empty: none. Some values it refuses, others break it."""
    if value == b"?":
        raise Unusable(DeadLetterReason.UNDECODABLE, "nobody understands it")
    return [
        (key.encode(), Fact(Instant(at), name, Instant(ring))) for key, at, name, ring in json.loads(value or b"[]")
    ]


def judge(key: bytes, facts: tuple[Fact, ...], now: int) -> Reminder:
    """How a reminder stands on its facts, as of an instant."""
    ring_at = Reminder(key, facts).ring_at
    done_at = next((fact.occurred_at for fact in facts if fact.name == "done"), None)
    if done_at is not None and (not ring_at or done_at <= ring_at):
        return Reminder(key, facts, State.DONE)
    return Reminder(key, facts, State.RUNG if ring_at and now >= ring_at else State.WAITING)


def fold(key: bytes, old: Reminder | None, facts: Sequence[Fact]) -> Reminder | None:
    """The reminder with more facts. A fact named "impossible" breaks it; one named "nothing" needs no record."""
    if any(fact.name == "impossible" for fact in facts):
        raise ArithmeticError("an impossible fact")
    merged = tuple(sorted({*(old.facts if old else ()), *(fact for fact in facts if fact.name != "nothing")}))
    if not merged or (old and merged == old.facts):
        return old
    return judge(key, merged, old.ring_at if old and old.state == State.RUNG else -1)


def due(reminder: Reminder, now: Instant) -> Reminder | None:
    """The reminder as of `now`; None: forgotten."""
    if any(fact.name == "forget" and fact.occurred_at <= now for fact in reminder.facts):
        return None
    return judge(reminder.key, reminder.facts, now)


def next_deadline(reminder: Reminder) -> Instant | None:
    """When to look at it again."""
    forget_at = (fact.occurred_at for fact in reminder.facts if fact.name == "forget")
    ring_at = (reminder.ring_at,) if reminder.state == State.WAITING and reminder.ring_at else ()
    return min([*forget_at, *ring_at], default=None)


def pack(reminder: Reminder) -> bytes:
    """The same bytes for equal reminders."""
    return json.dumps(reminder._replace(key=reminder.key.decode())).encode()  # type: ignore[arg-type]


def unpack(value: bytes) -> Reminder:
    """The reminder in `pack`'s bytes."""
    key, facts, state = json.loads(value)
    return Reminder(key.encode(), tuple(Fact(*fact) for fact in facts), State(state))


def labels(reminder: Reminder) -> Labels:
    """What it is counted under."""
    return "reminder", reminder.state.value


def step(key: bytes, old: Reminder | None, new: Reminder | None) -> Step:
    """What a write means. All is done a second before it is due."""
    before = None if old is None else labels(old)
    if new is None:
        return Step(b"forgotten", key + b":forgotten", before, None)
    margin = -1.0 if new.state == State.DONE else None
    breached_at = new.ring_at if new.state == State.RUNG and old and old.state != State.RUNG else None
    name = new.state.value.encode()
    return Step(name, key + b":" + name, before, labels(new), margin, breached_at)


MACHINE: Machine[Reminder, Fact] = Machine(
    name="reminders",
    inputs={INPUT: decode, OTHER_INPUT: decode},
    record=Reminder,
    records=RECORDS,
    pack=pack,
    unpack=unpack,
    fold=fold,
    due=due,
    next_deadline=next_deadline,
    step=step,
    labels=labels,
)


def diary(
    _key: bytes, old: Reminder | None, new: Reminder | None, facts: Sequence[Fact], now: Instant
) -> Sequence[bytes]:
    """What becomes of a reminder: nothing while it waits, else from what to what, by which facts, and when."""
    states = "-".join(each.state if each else "none" for each in (old, new))
    said = ",".join(fact.name for fact in facts)
    return [] if new and new.state == State.WAITING else [f"{states} by {said or 'the clock'} at {now}".encode()]


#: With a diary beside its records.
DIARIST = replace(MACHINE, journal=Journal(DIARY, diary))
