"""The writes of one record in their order: whether each follows from the last, and was right when it was said."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set as AbstractSet
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from tests.chaos.report import Finding, Kind, Report
from tests.chaos.rules import SECOND
from tests.chaos.silence import Silence
from tests.chaos.subject import Account, Judge, Stage
from tests.chaos.tape import Entry, Holes

#: How long a fact may be in Kafka, in microseconds, before the clock must have heard of it.
FRESH = 3 * SECOND
#: What is announced of a breach.
_BREACHES = frozenset({"broken", "breached"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Told(NamedTuple):
    """A fact, and when it was appended to its topic."""

    at: int
    said: Any


class _Write(NamedTuple):
    """A write of a record, understood."""

    entry: Entry
    account: Account
    announced_at: int
    transition: str


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
    #: The source that fell silent, where one did.
    silence: Silence | None = None


class Chain:
    """One key: what was published about it, and what was written."""

    def __init__(
        self,
        judge: Judge,
        key: bytes,
        told: Sequence[Told],
        entries: Sequence[Entry],
        run: Circumstances,
        report: Report,
    ) -> None:
        self._judge = judge
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
        for stage in self._stages():
            stood = any(stage.claim in write.account.claims for write in self._writes)
            if stage.end - stage.start > self._run.patience and not stood:
                self._find("lost", f"{stage.name} was never announced for {stage.due}", None)

    def _find(self, kind: Kind, what: str, entry: Entry | None) -> None:
        where = f" @{entry.partition}:{entry.offset}" if entry else ""
        self._report.findings.append(Finding(kind, f"{self._key.decode()}{where}", what))

    def _understood(self, entry: Entry) -> _Write | None:
        if entry.value is None:
            self._find("lost", "the record was deleted", entry)
            return None
        try:
            account = self._judge.account(entry.value)
            announced_at = (datetime.fromisoformat(entry.header("announced-at")) - _EPOCH) // timedelta(microseconds=1)
        except (DecodeError, ValueError) as error:
            self._find("wrong", f"cannot be read: {error}", entry)
            return None
        return _Write(entry, account, announced_at, entry.header("transition"))

    # --- one step

    def _check_step(self, old: _Write | None, new: _Write) -> None:
        report, entry, was, now = self._report, new.entry, old.account if old else None, new.account
        report.writes += 1
        report.announced[new.transition] += 1
        if old and old.entry.value == entry.value:
            self._find("double", f"written again as it was, as {new.transition!r}", entry)
            return
        if entry.value not in self._judge.possible(self._key, now.said, now, new.announced_at):
            self._find("wrong", "the record is not what its own facts come to", entry)
        known = {told.said for told in self._told if told.at <= new.announced_at}
        if now.said - known:
            self._find("wrong", f"knows what nobody had published: {_ids(now.said - known)}", entry)
        if was and (gone := {_id(said) for said in was.said} - {_id(said) for said in now.said}):
            self._find("lost", f"overwritten by what was known before: without {gone}", entry)
        if not self._unseen(old, new):
            self._check_words(old, new)
        if claims := {claim: at for claim, at in now.claims.items() if not was or claim not in was.claims}:
            self._check_ground(new, claims)

    def _unseen(self, old: _Write | None, new: _Write) -> bool:
        """Whether there may have been another write between the two, compacted before it was seen."""
        after = old.entry.offset if old else -1
        return any(
            partition == new.entry.partition and after < offset <= new.entry.offset
            for partition, offset in self._run.holes
        )

    def _check_words(self, old: _Write | None, new: _Write) -> None:
        name, expected = self._judge.step(self._key, old.account.record if old else None, new.account.record)
        if new.transition != name:
            self._find("wrong", f"announced as {new.transition!r}, but the step is {name!r}", new.entry)
        if (found := new.entry.header("transition-id")) != expected:
            self._find("wrong", f"its transition-id is {found!r}, expected {expected!r}", new.entry)

    def _check_ground(self, new: _Write, claims: Mapping[Any, int]) -> None:
        """Whether the clock could say so when it did."""
        said_at, moment = new.announced_at, max(claims.values())
        if said_at < moment:
            self._find("false", f"{new.transition} {(moment - said_at) / SECOND:.3f} s early", new.entry)
        if forbidding := self._forbidding(new, claims, said_at - FRESH):
            ages = (said_at - forbidding.at) / SECOND, (forbidding.at - moment) / SECOND
            what = f"for {ages[0]:.1f} s a fact had forbidden it, since {ages[1]:.1f} s after it was so"
            self._find("false", f"{new.transition}, but {what}: {'/'.join(_id(forbidding.said))}", new.entry)
        elif self._forbidding(new, claims, said_at):
            self._report.hasty += 1
        heard_at = max((told.at for told in self._told if told.said in new.account.said), default=0)
        late = max(0, new.entry.at - max(moment, heard_at))
        self._report.lateness.append(late / SECOND)
        if self._run.silence and new.transition in _BREACHES:
            self._check_silence(new, claims, self._run.silence, late)

    def _check_silence(self, new: _Write, claims: Mapping[Any, int], silence: Silence, late: int) -> None:
        """Whether a breach was told although only a source that was silent could say that there was none."""
        said_at, (claim, moment) = new.announced_at, max(claims.items(), key=itemgetter(1))
        if late > self._run.patience:
            self._find("lost", f"{new.transition} is told {late / SECOND:.1f} s late", new.entry)
        until = silence.heard_until(said_at)
        if until is None or until >= moment:
            return
        source = silence.source
        if said_at < moment + silence.after and (fact := self._disproof(new, claim, moment, source)):
            what = f"{source} was silent for {(said_at - until) / SECOND:.1f} s, and then said otherwise"
            self._find("false", f"{new.transition}, but {what}: {'/'.join(_id(fact.said))}", new.entry)
        if said_at >= moment + silence.after and source not in new.entry.header("unheard"):
            self._find("wrong", f"{new.transition} does not say that {source} is not heard", new.entry)

    def _disproof(self, new: _Write, claim: Any, moment: int, source: str) -> Told | None:
        """What the source had to say of before the breach, was heard only after it was told, and forbids it."""
        known, judge = set(new.account.said), self._judge
        for told in self._told:
            if told.at > new.announced_at and told.said.source == source and told.said.occurred_at < moment:
                known.add(told.said)
                if judge.forbids(judge.record(self._key, known, new.announced_at), claim):
                    return told
        return None

    def _forbidding(self, new: _Write, claims: Iterable[Any], heard: int) -> Told | None:
        """The first fact, of those in Kafka by then, with which it is not so; None: it is so by all of them."""
        known, judge = set(new.account.said), self._judge
        for told in self._told:
            if self._readable(told) < heard:
                known.add(told.said)
                truth = judge.record(self._key, known, new.announced_at)
                if any(judge.forbids(truth, claim) for claim in claims):
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
            if name in last and all(
                between.account.place == write.account.place for between in self._writes[last[name] : number]
            ):
                self._find(
                    "double", f"{write.transition} was announced before, and nothing happened since", write.entry
                )
            last[name] = number

    def _stages(self) -> Iterator[Stage]:
        """What time brought about, between one fact and the next."""
        known: set[Any] = set()
        for told, until in zip(self._told, [*(told.at for told in self._told[1:]), self._run.now], strict=True):
            known.add(told.said)
            yield from self._judge.stages(self._key, known, told.at, until)


def _id(said: Any) -> tuple[str, str]:
    return said.source, said.event_id


def _ids(said: AbstractSet[Any]) -> str:
    return ", ".join("/".join(_id(one)) for one in sorted(said))
