"""The writes of one promise in their order: whether each follows from the last, and was right when it was said."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from google.protobuf.message import DecodeError

from puntual.promises.v1 import promise_pb2 as pb
from tests.chaos.reading import Said, micros
from tests.chaos.report import Finding, Kind, Report
from tests.chaos.rules import SECOND
from tests.chaos.tape import Entry, Holes
from tests.chaos.verdict import LONG_AGO, packed, record, said_in

#: How long a fact may be in Kafka, in microseconds, before the clock must have heard of it.
FRESH = 3 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NOTED, _OPEN, _AT_RISK = pb.PROMISE_STATE_NOTED, pb.PROMISE_STATE_OPEN, pb.PROMISE_STATE_AT_RISK
_BROKEN, _KEPT, _KEPT_LATE = pb.PROMISE_STATE_BROKEN, pb.PROMISE_STATE_KEPT, pb.PROMISE_STATE_KEPT_LATE
_ENTERED = {
    _NOTED: "noted", _OPEN: "made", _AT_RISK: "at_risk", _BROKEN: "broken", _KEPT: "kept", _KEPT_LATE: "kept_late",
    pb.PROMISE_STATE_WITHDRAWN: "withdrawn",
}  # fmt: skip
_ALERTED, _ALL_WELL = {_BROKEN, _KEPT_LATE}, {_OPEN, _AT_RISK, _KEPT}


class Told(NamedTuple):
    """A fact, and when it was appended to its topic."""

    at: int
    said: Said


class _Write(NamedTuple):
    """A write of a record, understood."""

    entry: Entry
    promise: pb.Promise
    said: frozenset[Said]
    announced_at: int
    transition: str

    @property
    def place(self) -> tuple[int, int]:
        """Where the promise stands, and for when."""
        return self.promise.state, micros(self.promise.due_at)

    @property
    def speaks_by_clock(self) -> bool:
        """Whether it stands there because time passed."""
        return self.promise.state == _AT_RISK or self.promise.reason == pb.PROMISE_REASON_DUE_PASSED

    @property
    def moment(self) -> int:
        """The instant from which on that is so; long ago where time has no part in it."""
        if not self.speaks_by_clock:
            return LONG_AGO
        promise = self.promise
        return micros(promise.warn_at) if promise.state == _AT_RISK else micros(promise.breach_at) + 1


class Circumstances(NamedTuple):
    """What a run was like; times in microseconds."""

    #: Its end.
    now: int
    #: How long anything due may stay unsaid.
    patience: int
    #: What of the records was compacted before it could be read.
    holes: Holes
    #: From when to when what was appended could be read by nobody, for want of replicas.
    hidden: Sequence[tuple[int, int]]


class Chain:
    """One key: what was published about it, and what was written."""

    def __init__(
        self, key: bytes, told: Sequence[Told], entries: Sequence[Entry], run: Circumstances, report: Report
    ) -> None:
        self._key = key
        first = {each.said: each for each in sorted(told, reverse=True)}
        self._told = sorted(first.values())
        self._report = report
        self._run = run
        self._writes = [write for entry in entries if (write := self._understood(entry))]

    def check(self) -> None:
        """Report everything that is wrong with it."""
        for old, new in pairwise([None, *self._writes]):
            if new is not None:
                self._check_step(old, new)
        self._check_repetition()
        for state, due in self._overdue(self._run.now, self._run.patience):
            if not any(write.place == (state, due) for write in self._writes):
                self._find("lost", f"{_ENTERED[state]} was never announced for {due}", None)

    def _find(self, kind: Kind, what: str, entry: Entry | None) -> None:
        where = f" @{entry.partition}:{entry.offset}" if entry else ""
        self._report.findings.append(Finding(kind, f"{self._key.decode()}{where}", what))

    def _understood(self, entry: Entry) -> _Write | None:
        if entry.value is None:
            self._find("lost", "the record was deleted", entry)
            return None
        try:
            promise = pb.Promise.FromString(entry.value)
            announced_at = (datetime.fromisoformat(entry.header("announced-at")) - _EPOCH) // timedelta(microseconds=1)
        except (DecodeError, ValueError) as error:
            self._find("wrong", f"cannot be read: {error}", entry)
            return None
        return _Write(entry, promise, frozenset(said_in(promise)), announced_at, entry.header("transition"))

    # --- one step

    def _check_step(self, old: _Write | None, new: _Write) -> None:
        report, entry = self._report, new.entry
        report.writes += 1
        report.announced[new.transition] += 1
        if old and old.entry.value == entry.value:
            self._find("double", f"written again as it was, as {new.transition!r}", entry)
            return
        if packed(record(self._key, new.said, new.moment)) != entry.value:
            self._find("wrong", "the record is not what its own facts come to", entry)
        known = {told.said for told in self._told if told.at <= new.announced_at}
        if new.said - known:
            self._find("wrong", f"knows what nobody had published: {_ids(new.said - known)}", entry)
        if old and (gone := {_id(said) for said in old.said} - {_id(said) for said in new.said}):
            self._find("lost", f"overwritten by what was known before: without {gone}", entry)
        if not self._unseen(old, new):
            self._check_words(old, new)
        if new.speaks_by_clock and (old is None or old.place != new.place or not old.speaks_by_clock):
            self._check_ground(new)

    def _unseen(self, old: _Write | None, new: _Write) -> bool:
        """Whether there may have been another write between the two, compacted before it was seen."""
        after = old.entry.offset if old else -1
        return any(
            partition == new.entry.partition and after < offset <= new.entry.offset
            for partition, offset in self._run.holes
        )

    def _check_words(self, old: _Write | None, new: _Write) -> None:
        name = _transition(old, new)
        if new.transition != name:
            self._find("wrong", f"announced as {new.transition!r}, but the step is {name!r}", new.entry)
        expected = f"{self._key.decode()}:{name}:{micros(new.promise.due_at)}"
        if (found := new.entry.header("transition-id")) != expected:
            self._find("wrong", f"its transition-id is {found!r}, expected {expected!r}", new.entry)

    def _check_ground(self, new: _Write) -> None:
        """Whether the clock could say so when it did."""
        said_at = new.announced_at
        if said_at < new.moment:
            self._find("false", f"{new.transition} {(new.moment - said_at) / SECOND:.3f} s early", new.entry)
        if forbidding := self._forbidding(new, said_at - FRESH):
            ages = (said_at - forbidding.at) / SECOND, (forbidding.at - new.moment) / SECOND
            what = f"for {ages[0]:.1f} s a fact had forbidden it, since {ages[1]:.1f} s after it was so"
            self._find("false", f"{new.transition}, but {what}: {'/'.join(_id(forbidding.said))}", new.entry)
        elif self._forbidding(new, said_at):
            self._report.hasty += 1
        heard_at = max((told.at for told in self._told if told.said in new.said), default=0)
        self._report.lateness.append(max(0.0, (new.entry.at - max(new.moment, heard_at)) / SECOND))

    def _forbidding(self, new: _Write, heard: int) -> Told | None:
        """The first fact, of those in Kafka by then, with which it is not so; None: it is so by all of them.

        What was fulfilled late had been broken.
        """
        known = set(new.said)
        for told in self._told:
            if self._readable(told) < heard:
                known.add(told.said)
                if record(self._key, known, new.announced_at).state not in {_BROKEN, _KEPT_LATE, new.promise.state}:
                    return told
        return None

    def _readable(self, told: Told) -> int:
        """When anybody could read it."""
        return next((end for start, end in self._run.hidden if start <= told.at < end), told.at)

    # --- all steps

    def _check_repetition(self) -> None:
        last: dict[str, int] = {}
        for number, write in enumerate(self._writes):
            if write.transition == "noted":
                continue
            name = write.entry.header("transition-id")
            if name in last and all(between.place == write.place for between in self._writes[last[name] : number]):
                self._find(
                    "double", f"{write.transition} was announced before, and nothing happened since", write.entry
                )
            last[name] = number

    def _overdue(self, now: int, patience: int) -> Iterator[tuple[pb.PromiseState.ValueType, int]]:
        """Each (state, due) that time brought about and that then stood for longer than `patience`."""
        known: set[Said] = set()
        for told, until in zip(self._told, [*(told.at for told in self._told[1:]), now], strict=True):
            known.add(told.said)
            promise = record(self._key, known, until)
            due, warn_at, breach_at = micros(promise.due_at), micros(promise.warn_at), micros(promise.breach_at)
            if promise.reason == pb.PROMISE_REASON_DUE_PASSED and until - max(told.at, breach_at) > patience:
                yield _BROKEN, due
            unsettled = promise.state == _AT_RISK or promise.reason == pb.PROMISE_REASON_DUE_PASSED
            if unsettled and warn_at and min(until, breach_at) - max(told.at, warn_at) > patience:
                yield _AT_RISK, due


def _transition(old: _Write | None, new: _Write) -> str:
    """What the step between two records announces."""
    before, after = old.promise.state if old else _NOTED, new.promise.state
    if before == after:
        return "renegotiated" if old and old.place != new.place else "noted"
    if before in _ALERTED and after in _ALL_WELL:
        return "retracted"
    if (before, after) == (_AT_RISK, _OPEN):
        return "renegotiated"
    return _ENTERED[after]


def _id(said: Said) -> tuple[str, str]:
    return said.source, said.event_id


def _ids(said: frozenset[Said]) -> str:
    return ", ".join("/".join(_id(one)) for one in sorted(said))
