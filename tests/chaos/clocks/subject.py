"""The sla service as a subject of the fault suite."""

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from puntual.sla.v1 import clock_pb2 as pb
from tests.chaos.clocks.reading import Said, facts_of
from tests.chaos.clocks.standards import LAWS, Version, versions_in, write_standards
from tests.chaos.clocks.stories import TALES
from tests.chaos.clocks.verdict import record, said_in
from tests.chaos.reading import APPOINTMENTS, CALLBACKS, CONTACTS, ORDERS, micros
from tests.chaos.subject import LONG_AGO, Account, Stage, Subject, packed
from tests.chaos.tape import Entry

_NOTED, _RUNNING, _PAUSED = pb.CLOCK_STATE_NOTED, pb.CLOCK_STATE_RUNNING, pb.CLOCK_STATE_PAUSED
_AT_RISK, _FAILED = pb.CLOCK_STATE_AT_RISK, {pb.CLOCK_STATE_BREACHED, pb.CLOCK_STATE_MISSED}
#: What is announced, the weightiest last: one write may change several cycles.
_WEIGHTS: Sequence[str] = (
    "noted", "resumed", "started", "paused", "cancelled", "met", "at_risk", "missed", "breached", "retracted",
)  # fmt: skip
#: Where the whole record stands, how its last cycle does, and the number of that, from 0.
_Claim = tuple[Hashable, int, int]
_ENTERED: Mapping[int, str] = {
    number: "started" if number == _RUNNING else name.removeprefix("CLOCK_STATE_").lower()
    for name, number in pb.ClockState.items()
}


class _Judge:
    """What clocks are worth by the standards that were published."""

    def __init__(self, laws: Sequence[Entry]) -> None:
        self._versions = versions_in(laws)

    def facts_of(self, topic: str, entry: Entry, partitions: int) -> Sequence[tuple[bytes, Said]]:
        return facts_of(topic, entry, partitions)

    def record(self, key: bytes, said: Iterable[Said], now: int) -> pb.Clock:
        return record(key, said, self._versions, now)

    def possible(self, key: bytes, said: Iterable[Said], account: Account, at: int) -> Collection[bytes]:
        """A version may be known from when it is published, and must be before it is in force."""
        facts = list(said)
        unsure = {version.name for version in self._versions if version.published_at <= at < version.since}
        known = [version for version in self._versions if version.published_at <= at or not version.since]
        choices = [known, *(_without(known, unsure, version) for version in known if version.name in unsure)]
        moment = max(account.claims.values(), default=LONG_AGO)
        return {packed(record(key, facts, choice, moment)) for choice in choices}

    def account(self, value: bytes) -> Account:
        clock = pb.Clock.FromString(value)
        changed_at = micros(clock.changed_at)
        place = tuple((cycle.state, micros(cycle.due_at)) for cycle in _cycles(clock)), changed_at
        claims = {(place, clock.state, len(clock.earlier)): changed_at} if changed_at else {}
        return Account(clock, frozenset(said_in(clock)), place, claims)

    def step(self, key: bytes, old: pb.Clock | None, new: pb.Clock) -> tuple[str, str]:
        """Of the weightiest change, and of equal ones of the last cycle."""
        before, after = _cycles(old) if old else (), _cycles(new)
        warned_again = old is not None and micros(new.changed_at) > micros(old.changed_at)
        steps = [
            (_WEIGHTS.index(_transition(was, now, warned_again=warned_again)), min(number, len(after)))
            for number, (was, now) in enumerate(zip_longest(before, after), start=1)
        ]
        weight, number = max(steps)
        name = _WEIGHTS[weight]
        about = micros(new.changed_at) if name == "at_risk" else micros(after[number - 1].due_at)
        return name, f"{key.decode()}:{name}:{about}" + (f":{number}" if number > 1 else "")

    def forbids(self, truth: pb.Clock, claim: _Claim) -> bool:
        """What was stopped late had been breached."""
        _, state, number = claim
        if state not in {_AT_RISK, pb.CLOCK_STATE_BREACHED}:
            return False
        cycles = _cycles(truth)
        return len(cycles) <= number or cycles[number].state not in {*_FAILED, state}

    def stages(self, key: bytes, said: Iterable[Said], since: int, until: int) -> Iterator[Stage]:
        facts, start = list(said), since
        while start <= until:
            clock = self.record(key, facts, start)
            changes_at = micros(clock.changes_at)
            end = min(until, changes_at or until)
            for claim in self.account(packed(clock)).claims:
                yield Stage(_ENTERED[clock.state], micros(clock.due_at), claim, start, end)
            if not changes_at:
                break
            start = changes_at


def _without(known: Sequence[Version], unsure: Collection[str], version: Version) -> Sequence[Version]:
    """What was known before a version was."""
    return [other for other in known if other.name not in unsure or other.published_at < version.published_at]


def _cycles(clock: pb.Clock) -> Sequence[Any]:
    return (*clock.earlier, clock)


def _transition(was: Any, now: Any, *, warned_again: bool) -> str:
    """What became of one cycle."""
    before, after = was.state if was else _NOTED, now.state if now else _NOTED
    if (before in _FAILED and after not in _FAILED) or (before == _AT_RISK and after == _NOTED):
        return "retracted"  # whoever was warned of what is none must hear of it, too
    if now is None:
        return "noted"
    if before == after:
        return "at_risk" if after == _AT_RISK and warned_again else "noted"
    return "resumed" if (before, after) == (_PAUSED, _RUNNING) else _ENTERED[after]


CLOCKS = Subject(
    "sla", "sla.v1", (CONTACTS, CALLBACKS, ORDERS, APPOINTMENTS), TALES,
    lambda directory: {"standards": write_standards(directory)}, _Judge, LAWS,
)  # fmt: skip
