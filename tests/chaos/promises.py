"""The promise service as a subject of the fault suite."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest

from puntual.promises.v1 import promise_pb2 as pb
from tests.chaos.reading import APPOINTMENTS, CALLBACKS, ORDERS, Said, facts_of, micros
from tests.chaos.rules import write_rules
from tests.chaos.stories import TALES
from tests.chaos.subject import LONG_AGO, Account, Stage, Subject, packed
from tests.chaos.tape import Entry
from tests.chaos.verdict import record, said_in

_NOTED, _OPEN, _AT_RISK = pb.PROMISE_STATE_NOTED, pb.PROMISE_STATE_OPEN, pb.PROMISE_STATE_AT_RISK
_BROKEN, _KEPT, _KEPT_LATE = pb.PROMISE_STATE_BROKEN, pb.PROMISE_STATE_KEPT, pb.PROMISE_STATE_KEPT_LATE
_ENTERED = {
    _NOTED: "noted", _OPEN: "made", _AT_RISK: "at_risk", _BROKEN: "broken", _KEPT: "kept", _KEPT_LATE: "kept_late",
    pb.PROMISE_STATE_WITHDRAWN: "withdrawn",
}  # fmt: skip
#: The weightiest last.
_WEIGHTS = ["noted", "made", "renegotiated", "withdrawn", "kept", "at_risk", "kept_late", "broken", "retracted"]
#: Of which cycle, counted from 0, what is said to be so by the time of day, and for which due time.
_Claim = tuple[int, int, int]
_ALERTED, _ALL_WELL = {_BROKEN, _KEPT_LATE}, {_OPEN, _AT_RISK, _KEPT}


class _Judge:
    """What promises are worth; what they are judged by is known beforehand."""

    def facts_of(self, topic: str, entry: Entry, partitions: int) -> Sequence[tuple[bytes, Said]]:
        return facts_of(topic, entry, partitions)

    def record(self, key: bytes, said: Iterable[Said], now: int) -> pb.Promise:
        return record(key, said, now)

    def possible(self, key: bytes, said: Iterable[Said], account: Account, _at: int) -> Collection[bytes]:
        """Every cycle may have been judged at an instant of its own."""
        *before, last = map(_since, _cycles(account.record))
        return [packed(record(key, said, last, before))]

    def account(self, value: bytes) -> Account:
        promise = pb.Promise.FromString(value)
        return Account(promise, frozenset(said_in(promise)), _place(promise), _claims(promise))

    def step(self, key: bytes, old: pb.Promise | None, new: pb.Promise) -> tuple[str, str]:
        """Of the weightiest change, and of equal ones of the last cycle."""
        before, after = _cycles(old) if old else (), _cycles(new)
        steps = [
            (_WEIGHTS.index(_transition(was, now)), min(number, len(after)))
            for number, (was, now) in enumerate(zip_longest(before, after), start=1)
        ]
        weight, number = max(steps)
        name = f"{key.decode()}:{_WEIGHTS[weight]}:{micros(after[number - 1].due_at)}"
        return _WEIGHTS[weight], name + (f":{number}" if number > 1 else "")

    def forbids(self, truth: pb.Promise, claim: _Claim) -> bool:
        """What was fulfilled late had been broken."""
        number, state, _ = claim
        cycles = _cycles(truth)
        return len(cycles) <= number or cycles[number].state not in {_BROKEN, _KEPT_LATE, state}

    def stages(self, key: bytes, said: Iterable[Said], since: int, until: int) -> Iterator[Stage]:
        for number, cycle in enumerate(_cycles(record(key, said, until))):
            due, warn_at, breach_at = micros(cycle.due_at), micros(cycle.warn_at), micros(cycle.breach_at)
            broken = cycle.reason == pb.PROMISE_REASON_DUE_PASSED
            if broken:
                yield Stage("broken", due, (number, _BROKEN, due), max(since, breach_at), until)
            if warn_at and (broken or cycle.state == _AT_RISK):
                yield Stage("at_risk", due, (number, _AT_RISK, due), max(since, warn_at), min(until, breach_at))


_Cycle = pb.Promise | pb.Cycle


def _cycles(promise: pb.Promise) -> Sequence[_Cycle]:
    return (*promise.earlier, promise)


def _place(promise: pb.Promise) -> tuple[int, int, int]:
    return len(promise.earlier), promise.state, micros(promise.due_at)


def _claims(promise: pb.Promise) -> Mapping[_Claim, int]:
    return {
        (number, cycle.state, micros(cycle.due_at)): since
        for number, cycle in enumerate(_cycles(promise))
        if (since := _since(cycle)) != LONG_AGO
    }


def _since(cycle: _Cycle) -> int:
    if cycle.state == _AT_RISK:
        return micros(cycle.warn_at)
    return micros(cycle.breach_at) + 1 if cycle.reason == pb.PROMISE_REASON_DUE_PASSED else LONG_AGO


def _transition(old: _Cycle | None, new: _Cycle | None) -> str:
    if new is None:
        assert old is not None
        return "retracted" if old.state in _ALERTED else "renegotiated" if old.state == _AT_RISK else "noted"
    before, after = old.state if old else _NOTED, new.state
    if before == after:
        return "renegotiated" if old and micros(old.due_at) != micros(new.due_at) else "noted"
    if before in _ALERTED and after in _ALL_WELL:
        return "retracted"
    if (before, after) == (_AT_RISK, _OPEN):
        return "renegotiated"
    return _ENTERED[after]


PROMISES = Subject(
    "promises", "promises.v1", (ORDERS, CALLBACKS, APPOINTMENTS), TALES,
    lambda directory: {"rules": write_rules(directory)}, lambda _laws: _Judge(),
)  # fmt: skip
