"""A second opinion: what a promise is worth, written as plainly as the rules are told, with no thought of speed."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple

from services.promises.model import Consent, Fact, FactKind, KindRules, Party, Reason, State
from services.shared.instant import Instant

_DATES = {FactKind.PROMISED, FactKind.RENEGOTIATED}
_ENDS = {FactKind.CANCELLED, FactKind.NO_SHOW, FactKind.WAIVED}


class Opinion(NamedTuple):
    """The part of a cycle that people read; None where there is nothing to say."""

    state: State
    reason: Reason
    original_due_at: Instant | None = None
    due_at: Instant | None = None
    by_agreement: bool = False
    settled_at: Instant | None = None


def opinions(said: Iterable[Fact], rules: KindRules, now: Instant) -> list[Opinion]:
    """What the facts come to, as of an instant: cycle by cycle."""
    return [_opinion(number, facts, rules, now) for number, facts in enumerate(cycles(in_order(said)))]


def _opinion(number: int, facts: list[Fact], rules: KindRules, now: Instant) -> Opinion:
    word = _word(facts, number)
    if word is None:
        return Opinion(State.NOTED, Reason.NONE)
    due, agreed, stands_from = _in_force(facts, word)
    # What the company called off before it was agreed anew is as if it had not been.
    state, reason, settled = _outcome(facts[stands_from:], rules, due, now)
    return Opinion(state, reason, word.due_at, due, agreed, settled)


# --- in which order


def in_order(said: Iterable[Fact]) -> list[Fact]:
    """Each event once, by time; what is of one instant is told off like queues at a counter, one queue a source."""
    found: list[Fact] = []
    for _, together in groupby(_each_event_once(said), lambda fact: fact.occurred_at):
        at_once = list(together)
        order = ["PROMISED", "RENEGOTIATED", "ATTEMPTED", "FULFILLED", "NO_SHOW", "CANCELLED", "WAIVED"]
        if all(fact.kind != FactKind.FULFILLED for fact in at_once):
            order = [*order[2:], *order[:2]]
        queues = [[fact] for fact in at_once if not fact.sequence]
        for source in {fact.source for fact in at_once}:
            numbered = [fact for fact in at_once if fact.source == source and fact.sequence]
            queues.append(sorted(numbered, key=lambda fact: (fact.sequence, _weight(fact, order))))
        while queues := [queue for queue in queues if queue]:
            first = min(queues, key=lambda queue: _weight(queue[0], order))
            found.append(first.pop(0))
    return found


def _weight(fact: Fact, order: list[str]) -> Any:
    """What it is and says before whose it is: ids are the last thing that is looked at."""
    said = fact.due_at, fact.due_day, fact.by, fact.consent, fact.reason, fact.context
    return order.index(FactKind(fact.kind).name), said, fact.source, fact.sequence, fact.event_id


def _each_event_once(said: Iterable[Fact]) -> list[Fact]:
    kept: list[Fact] = []
    for fact in sorted(said):  # the smaller of two tellings comes first
        if not any((fact.source, fact.event_id) == (other.source, other.event_id) for other in kept):
            kept.append(fact)
    return kept


# --- of which cycle


def cycles(facts: list[Fact]) -> list[list[Fact]]:
    """The facts, cut where a word is given that is another word."""
    done: list[list[Fact]] = []
    present: list[Fact] = []
    for fact in facts:
        if fact.kind in _DATES and (word := _word(present, len(done))) and _is_another(fact, present, word):
            here = fact.occurred_at
            ended_before = min(each.occurred_at for each in _since_it_stands(present, word) if _is_end(each)) < here
            since = present[present.index(word) + 1 :]
            taken = [each for each in since if ended_before and each.occurred_at == here]
            done.append(present[: len(present) - len(taken)])
            present = taken
        present.append(fact)
    return [*done, present]


def _word(facts: list[Fact], cycle: int) -> Fact | None:
    """Only what was promised can be agreed anew."""
    words = [fact for fact in facts if fact.kind == FactKind.PROMISED or (cycle and _agreed_anew(fact))]
    return words[0] if words else None


def _agreed_anew(fact: Fact) -> bool:
    return fact.kind == FactKind.RENEGOTIATED and _accepted(fact)


def _is_another(fact: Fact, before: list[Fact], word: Fact) -> bool:
    due, *_ = _in_force(before, word)
    ends = [each for each in _since_it_stands(before, word) if each.kind in _ENDS]
    is_promise = fact.kind == FactKind.PROMISED
    if any(each.kind == FactKind.FULFILLED for each in before):
        return is_promise and (bool(ends) or fact.due_at != due)
    if not ends:
        return False
    still_held = fact.occurred_at <= due and all(_by_us_alone(each) for each in ends)
    return is_promise or (_accepted(fact) and not still_held)


def _since_it_stands(facts: list[Fact], word: Fact) -> list[Fact]:
    return facts[_in_force(facts, word)[2] :]


def _is_end(fact: Fact) -> bool:
    return fact.kind in _ENDS or fact.kind == FactKind.FULFILLED


def _by_us_alone(fact: Fact) -> bool:
    return fact.kind == FactKind.CANCELLED and fact.by != Party.CUSTOMER and fact.consent != Consent.ACCEPTED


def _accepted(fact: Fact) -> bool:
    return fact.consent == Consent.ACCEPTED or (fact.by == Party.CUSTOMER and fact.consent == Consent.UNSPECIFIED)


# --- what it comes to


def _in_force(facts: list[Fact], word: Fact) -> tuple[Instant, bool, int]:
    """When it is due, whether that is agreed, and from which fact on nothing has been agreed since."""
    due, agreed, stands_from = word.due_at, False, 0
    done = next((number for number, fact in enumerate(facts) if fact.kind == FactKind.FULFILLED), len(facts))
    for number, fact in enumerate(facts[:done]):
        later = number > facts.index(word)
        if later and fact.kind in _DATES and _accepted(fact) and fact.occurred_at <= due:
            due, agreed, stands_from = fact.due_at, agreed or fact.due_at != due, number
    return due, agreed, stands_from


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
