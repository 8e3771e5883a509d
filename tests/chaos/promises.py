"""The promise service as a subject of the fault suite."""

from collections.abc import Collection, Iterable, Iterator, Sequence

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
_ALERTED, _ALL_WELL = {_BROKEN, _KEPT_LATE}, {_OPEN, _AT_RISK, _KEPT}


class _Judge:
    """What promises are worth; what they are judged by is known beforehand."""

    def facts_of(self, topic: str, entry: Entry, partitions: int) -> Sequence[tuple[bytes, Said]]:
        return facts_of(topic, entry, partitions)

    def record(self, key: bytes, said: Iterable[Said], now: int) -> pb.Promise:
        return record(key, said, now)

    def possible(self, key: bytes, said: Iterable[Said], moment: int, _at: int) -> Collection[bytes]:
        return [packed(record(key, said, moment))]

    def account(self, value: bytes) -> Account:
        promise = pb.Promise.FromString(value)
        return Account(promise, frozenset(said_in(promise)), _place(promise), _moment(promise))

    def step(self, key: bytes, old: pb.Promise | None, new: pb.Promise) -> tuple[str, str]:
        name = _transition(old, new)
        return name, f"{key.decode()}:{name}:{micros(new.due_at)}"

    def forbids(self, truth: pb.Promise, said: pb.Promise) -> bool:
        """What was fulfilled late had been broken."""
        return truth.state not in {_BROKEN, _KEPT_LATE, said.state}

    def stages(self, key: bytes, said: Iterable[Said], since: int, until: int) -> Iterator[Stage]:
        promise = record(key, said, until)
        due, warn_at, breach_at = micros(promise.due_at), micros(promise.warn_at), micros(promise.breach_at)
        if promise.reason == pb.PROMISE_REASON_DUE_PASSED:
            yield Stage("broken", due, (_BROKEN, due), max(since, breach_at), until)
        unsettled = promise.state == _AT_RISK or promise.reason == pb.PROMISE_REASON_DUE_PASSED
        if unsettled and warn_at:
            yield Stage("at_risk", due, (_AT_RISK, due), max(since, warn_at), min(until, breach_at))


def _place(promise: pb.Promise) -> tuple[int, int]:
    return promise.state, micros(promise.due_at)


def _moment(promise: pb.Promise) -> int:
    if promise.state == _AT_RISK:
        return micros(promise.warn_at)
    return micros(promise.breach_at) + 1 if promise.reason == pb.PROMISE_REASON_DUE_PASSED else LONG_AGO


def _transition(old: pb.Promise | None, new: pb.Promise) -> str:
    before, after = old.state if old else _NOTED, new.state
    if before == after:
        return "renegotiated" if old and _place(old) != _place(new) else "noted"
    if before in _ALERTED and after in _ALL_WELL:
        return "retracted"
    if (before, after) == (_AT_RISK, _OPEN):
        return "renegotiated"
    return _ENTERED[after]


PROMISES = Subject(
    "promises", "promises.v1", (ORDERS, CALLBACKS, APPOINTMENTS), TALES,
    lambda directory: {"rules": write_rules(directory)}, lambda _laws: _Judge(),
)  # fmt: skip
