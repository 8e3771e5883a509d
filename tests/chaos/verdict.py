"""What a promise is worth, told once more: from its facts to the record, plainly and with no thought of speed."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import unquote

from google.protobuf.timestamp_pb2 import Timestamp

from puntual.events.v1.common_pb2 import CONSENT_ACCEPTED, CONSENT_UNSPECIFIED, PARTY_CUSTOMER, Consent, Party
from puntual.promises.v1 import promise_pb2 as pb
from tests.chaos.reading import CONTEXT, Said, micros
from tests.chaos.rules import KINDS, SECOND, VERSION, Spans


class _Fact(Protocol):
    @property
    def source(self) -> str: ...
    @property
    def event_id(self) -> str: ...
    def __lt__(self, other: Any, /) -> bool: ...


F = TypeVar("F", bound=_Fact)


class _Word(NamedTuple):
    """The word in force."""

    original: int
    due: int
    given_at: int
    by_agreement: bool
    announced: int
    #: The first fact since the last agreement: what the company called off before that counts no more.
    stands_from: int = 0


def record(key: bytes, told: Iterable[Said], now: int, before: Sequence[int] = ()) -> pb.Promise:
    """The record of a promise, as of an instant; `before`: its earlier cycles as of others."""
    routing, kind, subject = key.decode().split("/")
    facts = once_each(told)
    promise = pb.Promise(
        promise_id=key.decode(),
        kind=pb.PromiseKind.Value(f"PROMISE_KIND_{kind.upper()}"),
        customer_id="" if routing.startswith("~") else unquote(routing),
        subject_id=unquote(subject),
        state=pb.PROMISE_STATE_NOTED,
        rules_version=VERSION,
        facts=map(_fact, facts),
    )
    ordered = in_order(facts)
    set_context(promise.context, latest([fact.context for fact in ordered if fact.context]))
    *earlier, last = list(cycles(ordered))
    for number, cycle in enumerate(earlier):
        at = before[number] if number < len(before) else now
        _judge(promise.earlier.add(), cycle, word_of(cycle, number), KINDS[kind], at)
    if _begins(last, len(earlier)):
        _judge(promise, last, word_of(last, len(earlier)), KINDS[kind], now)
    return promise


def said_in(promise: pb.Promise) -> list[Said]:
    """The facts of a record."""
    return [
        Said(
            micros(fact.occurred_at), fact.source, fact.event_id, fact.kind, micros(fact.due_at), fact.due_day, fact.by,
            fact.consent, fact.reason, tuple(getattr(fact.context, name) for name in CONTEXT)
            if fact.HasField("context") else (), fact.sequence,
        )
        for fact in promise.facts
    ]  # fmt: skip


def once_each(told: Iterable[F]) -> list[F]:
    """Sorted; of two tellings of one event the smaller."""
    kept: dict[tuple[str, str], F] = {}
    for fact in sorted(told):
        kept.setdefault((fact.source, fact.event_id), fact)
    return list(kept.values())


def latest(stated: Sequence[Sequence[str]]) -> Sequence[str]:
    """Column by column the last that is not empty."""
    return [next((text for text in reversed(column) if text), "") for column in zip(*stated, strict=True)]


# --- order and cycles


def in_order(facts: Sequence[Said]) -> list[Said]:
    """As they happened; of one instant what was done comes before what was called off, and that before a new word."""
    done = {fact.occurred_at for fact in facts if fact.kind == pb.FACT_KIND_FULFILLED}

    def place(fact: Said) -> tuple[object, ...]:
        rank = _RANKS.index(fact.kind)
        if fact.due_at and fact.occurred_at not in done:
            rank += len(_RANKS)
        return fact.occurred_at, rank, fact[4:10], fact.source, fact.event_id

    assert not any(fact.sequence for fact in facts), "no tale numbers its events"
    return sorted(facts, key=place)


_RANKS = (
    pb.FACT_KIND_PROMISED, pb.FACT_KIND_RENEGOTIATED, pb.FACT_KIND_ATTEMPTED, pb.FACT_KIND_FULFILLED,
    pb.FACT_KIND_NO_SHOW, pb.FACT_KIND_CANCELLED, pb.FACT_KIND_WAIVED,
)  # fmt: skip
_ENDS = (pb.FACT_KIND_NO_SHOW, pb.FACT_KIND_CANCELLED, pb.FACT_KIND_WAIVED)


def cycles(facts: Sequence[Said]) -> Iterator[list[Said]]:
    """Cut where a word is given that is another one."""
    present: list[Said] = []
    number = 0
    for fact in facts:
        if fact.due_at and _begins(present, number) and _is_another(fact, present, word_of(present, number)):
            ended = next(each.occurred_at for each in present if each.kind in (*_ENDS, pb.FACT_KIND_FULFILLED))
            first = present.index(_first(present, number))
            keep = [
                each for index, each in enumerate(present)
                if index <= first or ended == fact.occurred_at or each.occurred_at < fact.occurred_at
            ]  # fmt: skip
            yield keep
            present, number = [each for each in present if each not in keep], number + 1
        present.append(fact)
    yield present


def _begins(facts: Sequence[Said], number: int) -> bool:
    return any(_gives(fact, number) for fact in facts)


def _gives(fact: Said, number: int) -> bool:
    return fact.kind == pb.FACT_KIND_PROMISED or (number > 0 and bool(fact.due_at) and _agreed(fact))


def _first(facts: Sequence[Said], number: int) -> Said:
    return next(fact for fact in facts if _gives(fact, number))


def _agreed(fact: Said) -> bool:
    wanted = fact.by == PARTY_CUSTOMER and fact.consent == CONSENT_UNSPECIFIED
    return wanted or fact.consent == CONSENT_ACCEPTED


def _is_another(fact: Said, before: Sequence[Said], word: _Word) -> bool:
    ends = [each for each in before[word.stands_from :] if each.kind in _ENDS]
    is_promise = fact.kind == pb.FACT_KIND_PROMISED
    if any(each.kind == pb.FACT_KIND_FULFILLED for each in before):
        return is_promise and (bool(ends) or fact.due_at != word.due)
    if is_promise or not ends:
        return is_promise and bool(ends)
    ours = all(
        each.kind == pb.FACT_KIND_CANCELLED and each.by != PARTY_CUSTOMER and each.consent != CONSENT_ACCEPTED
        for each in ends
    )
    return _agreed(fact) and not (ours and fact.occurred_at <= word.due)


def word_of(facts: Sequence[Said], number: int) -> _Word:
    """The word in force in a cycle."""
    first = _first(facts, number)
    word = _Word(first.due_at, first.due_at, first.occurred_at, False, first.due_at)
    start = facts.index(first)
    for index, fact in enumerate(takewhile(lambda fact: fact.kind != pb.FACT_KIND_FULFILLED, facts)):
        if index <= start or not fact.due_at:
            continue
        word = word._replace(announced=fact.due_at)
        if _agreed(fact) and fact.occurred_at <= word.due:
            word = word._replace(stands_from=index)
            if fact.due_at != word.due:
                word = word._replace(due=fact.due_at, given_at=fact.occurred_at, by_agreement=True)
    return word


# --- the verdict


def _judge(promise: pb.Promise | pb.Cycle, facts: Sequence[Said], word: _Word, spans: Spans, now: int) -> None:
    latest = word.due + spans.tolerance
    breach_at = word.due + max(spans.tolerance, spans.grace)
    lead = min(spans.warning, (word.due - word.given_at) // 2)
    warn_at = word.due - lead if lead > 0 else 0
    outcome = _outcome(facts[word.stands_from :], latest)
    if outcome is None and now > breach_at:
        outcome = pb.PROMISE_STATE_BROKEN, pb.PROMISE_REASON_DUE_PASSED, word.due
    if outcome is None:
        at_risk = warn_at and now >= warn_at
        promise.state = pb.PROMISE_STATE_AT_RISK if at_risk else pb.PROMISE_STATE_OPEN
    else:
        promise.state, promise.reason, settled_at = outcome
        set_time(promise.settled_at, settled_at)
    promise.by_agreement = word.by_agreement
    set_time(promise.original_due_at, word.original)
    set_time(promise.due_at, word.due)
    set_time(promise.announced_due_at, word.announced)
    set_time(promise.breach_at, breach_at)
    if warn_at:
        set_time(promise.warn_at, warn_at)


#: State, reason, and when it was settled.
_Outcome = tuple[pb.PromiseState.ValueType, pb.PromiseReason.ValueType, int]


def _outcome(facts: Sequence[Said], latest: int) -> _Outcome | None:
    """What facts alone decide. `latest`: the last instant that keeps the word."""
    done = next((fact for fact in facts if fact.kind == pb.FACT_KIND_FULFILLED), None)
    waived = next((fact for fact in facts if fact.kind == pb.FACT_KIND_WAIVED), None)
    before = facts[: facts.index(done)] if done else facts
    end = next((ending for fact in before if (ending := _ending(fact, latest))), None)
    called_off = end is not None and end[0] == pb.PROMISE_STATE_WITHDRAWN
    if done and not called_off and done.occurred_at <= latest:
        return pb.PROMISE_STATE_KEPT, pb.PROMISE_REASON_FULFILLED, done.occurred_at
    if waived:
        return pb.PROMISE_STATE_WITHDRAWN, pb.PROMISE_REASON_WAIVED, waived.occurred_at
    if done and not called_off:
        return pb.PROMISE_STATE_KEPT_LATE, pb.PROMISE_REASON_FULFILLED, done.occurred_at
    return end


def _ending(fact: Said, latest: int) -> _Outcome | None:
    """A no-show ends it whenever it is told; a cancellation only while the word could still be kept."""
    by_customer, at = fact.by == PARTY_CUSTOMER, fact.occurred_at
    if fact.kind == pb.FACT_KIND_NO_SHOW:
        if by_customer:
            return pb.PROMISE_STATE_WITHDRAWN, pb.PROMISE_REASON_CUSTOMER_NO_SHOW, at
        return pb.PROMISE_STATE_BROKEN, pb.PROMISE_REASON_NO_SHOW_BY_US, at
    if fact.kind != pb.FACT_KIND_CANCELLED or at > latest:
        return None
    if by_customer:
        return pb.PROMISE_STATE_WITHDRAWN, pb.PROMISE_REASON_CANCELLED_BY_CUSTOMER, at
    if fact.consent == CONSENT_ACCEPTED:
        return pb.PROMISE_STATE_WITHDRAWN, pb.PROMISE_REASON_CANCELLED_BY_AGREEMENT, at
    return pb.PROMISE_STATE_BROKEN, pb.PROMISE_REASON_CANCELLED_BY_US, at


# --- onto the wire


def _fact(said: Said) -> pb.Fact:
    fact = pb.Fact(
        event_id=said.event_id, source=said.source, kind=pb.FactKind.ValueType(said.kind), due_day=said.due_day,
        by=Party.ValueType(said.by), consent=Consent.ValueType(said.consent), reason=said.reason,
        sequence=said.sequence,
    )  # fmt: skip
    set_time(fact.occurred_at, said.occurred_at)
    if said.due_at:
        set_time(fact.due_at, said.due_at)
    set_context(fact.context, said.context)
    return fact


def set_time(stamp: Timestamp, at: int) -> None:
    """A timestamp in microseconds."""
    stamp.SetInParent()
    stamp.seconds, rest = divmod(at, SECOND)
    stamp.nanos = rest * 1_000


def set_context(context: Any, stated: Sequence[str]) -> None:
    """What of a context is stated."""
    for name, text in zip(CONTEXT, stated, strict=False):
        if text:
            setattr(context, name, text)
