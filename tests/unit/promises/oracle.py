"""A second opinion: what a promise is worth, written as plainly as the rules are told, with no thought of speed."""

from collections.abc import Iterable
from typing import NamedTuple

from services.promises.model import Consent, Fact, FactKind, KindRules, Party, Reason, State
from services.shared.instant import Instant


class Opinion(NamedTuple):
    """The part of a promise that people read; None where there is nothing to say."""

    state: State
    reason: Reason
    original_due_at: Instant | None = None
    due_at: Instant | None = None
    by_agreement: bool = False
    settled_at: Instant | None = None


def opinion(said: Iterable[Fact], rules: KindRules, now: Instant) -> Opinion:
    """What the facts come to, as of an instant."""
    facts = _each_event_once(said)
    words = [fact for fact in facts if fact.kind == FactKind.PROMISED]
    if not words:
        return Opinion(State.NOTED, Reason.NONE)
    due, agreed = _in_force(facts, words[0])
    state, reason, settled = _outcome(facts, rules, due, now)
    return Opinion(state, reason, words[0].due_at, due, agreed, settled)


def _each_event_once(said: Iterable[Fact]) -> list[Fact]:
    kept: list[Fact] = []
    for fact in sorted(said):  # the smaller of two tellings comes first
        if not any((fact.source, fact.event_id) == (other.source, other.event_id) for other in kept):
            kept.append(fact)
    return kept


def _in_force(facts: list[Fact], word: Fact) -> tuple[Instant, bool]:
    due, agreed = word.due_at, False
    done = next((number for number, fact in enumerate(facts) if fact.kind == FactKind.FULFILLED), len(facts))
    for fact in facts[:done]:
        dated = fact.kind in {FactKind.PROMISED, FactKind.RENEGOTIATED} and fact is not word
        the_customer_asked = fact.by == Party.CUSTOMER and fact.consent == Consent.UNSPECIFIED
        in_time = word.occurred_at <= fact.occurred_at <= due
        if dated and in_time and (the_customer_asked or fact.consent == Consent.ACCEPTED) and fact.due_at != due:
            due, agreed = fact.due_at, True
    return due, agreed


def _outcome(facts: list[Fact], rules: KindRules, due: Instant, now: Instant) -> tuple[State, Reason, Instant | None]:
    done = next((fact for fact in facts if fact.kind == FactKind.FULFILLED), None)
    waived = next((fact for fact in facts if fact.kind == FactKind.WAIVED), None)
    before = facts if done is None else facts[: facts.index(done)]
    ends = [fact for fact in before if _ends(fact, due + rules.tolerance)]
    end = _ending(ends[0]) if ends else None
    excused = end is not None and end[0] == State.WITHDRAWN
    if done and not excused and done.occurred_at <= due + rules.tolerance:
        return State.KEPT, Reason.FULFILLED, done.occurred_at
    if waived:
        return State.WITHDRAWN, Reason.WAIVED, waived.occurred_at
    if done and not excused:
        return State.KEPT_LATE, Reason.FULFILLED, done.occurred_at
    if end:
        return *end, ends[0].occurred_at
    if now > due + rules.tolerance and now > due + rules.grace:
        return State.BROKEN, Reason.DUE_PASSED, due
    return State.OPEN, Reason.NONE, None


def _ends(fact: Fact, latest: int) -> bool:
    """A no-show ends it whenever it is told; a cancellation only while the word could still be kept."""
    return fact.kind == FactKind.NO_SHOW or (fact.kind == FactKind.CANCELLED and fact.occurred_at <= latest)


def _ending(fact: Fact) -> tuple[State, Reason]:
    by_customer = fact.by == Party.CUSTOMER
    if fact.kind == FactKind.NO_SHOW and by_customer:
        return State.WITHDRAWN, Reason.CUSTOMER_NO_SHOW
    if fact.kind == FactKind.NO_SHOW:
        return State.BROKEN, Reason.NO_SHOW_BY_US
    if by_customer:
        return State.WITHDRAWN, Reason.CANCELLED_BY_CUSTOMER
    if fact.consent == Consent.ACCEPTED:
        return State.WITHDRAWN, Reason.CANCELLED_BY_AGREEMENT
    return State.BROKEN, Reason.CANCELLED_BY_US


def as_read(state: int, warn_at: Instant, now: Instant) -> State:
    """At risk is open, with a warning: the oracle does not tell them apart, but says when which is right."""
    if state == State.AT_RISK:
        assert warn_at
        assert now >= warn_at
        return State.OPEN
    assert not (state == State.OPEN and warn_at and now >= warn_at)
    return State(state)
