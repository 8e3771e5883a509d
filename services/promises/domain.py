"""What a promise is worth: facts in, verdict out. Pure; it knows no Kafka, no protobuf and no clock.

A `Promise` is a function of the *set* of facts, the rules and an instant (`judge`), so neither the order nor the
repetition of input can change it. Two functions bring that to a stream:

* `fold` adds facts and judges at the latest instant the old record already implies. It never lets the clock speak: only
  facts that say so break a promise here.
* `due` judges at the present. The engine calls it when a deadline passes and all input is read, so that is where
  "broken, because nothing came" and "at risk" are decided.
"""

from collections.abc import Sequence
from typing import Final

from services.promises.model import (
    NONE,
    Consent,
    Fact,
    FactKind,
    Identity,
    Party,
    Promise,
    Reason,
    Rules,
    State,
    Transition,
)
from services.shared.facts import last_stated, merge
from services.shared.instant import SECOND, Instant

_LONG_AGO: Final = Instant(-(2**62))


# These are asked of every event. A name that is Final costs compiled code nothing, and a number less than a member.
_PROMISED: Final[int] = FactKind.PROMISED
_FULFILLED: Final[int] = FactKind.FULFILLED
_CANCELLED: Final[int] = FactKind.CANCELLED
_NO_SHOW: Final[int] = FactKind.NO_SHOW
_WAIVED: Final[int] = FactKind.WAIVED
_NOTED: Final[int] = State.NOTED
_OPEN: Final[int] = State.OPEN
_AT_RISK: Final[int] = State.AT_RISK
_BROKEN: Final[int] = State.BROKEN
_KEPT: Final[int] = State.KEPT
_KEPT_LATE: Final[int] = State.KEPT_LATE
_DUE_PASSED: Final[int] = Reason.DUE_PASSED
_BY_FULFILMENT: Final[int] = Reason.FULFILLED


def note(identity: Identity, facts: Sequence[Fact], rules: Rules) -> Promise:
    """The record of a key met for the first time."""
    return judge(identity, merge((), facts), rules, _LONG_AGO)


def fold(old: Promise, facts: Sequence[Fact], rules: Rules) -> Promise:
    """The record with more facts. Returns `old` itself where they say nothing new."""
    merged = merge(old.facts, facts)
    if merged == old.facts:
        return old
    new = judge(_identity(old), merged, rules, _implied_now(old))
    if new.reason == _DUE_PASSED != old.reason:
        # An earlier word put due into the past. Its fulfilment may be unread: `due` decides, once all is read.
        return judge(_identity(old), merged, rules, new.breach_at)
    return new


def due(promise: Promise, now: Instant, rules: Rules) -> Promise | None:
    """The record as of `now`; None once its time to be remembered is over."""
    forget_at = _forget_at(promise, rules)
    if forget_at is not None and now >= forget_at:
        return None
    return judge(_identity(promise), promise.facts, rules, now)


def next_deadline(promise: Promise, rules: Rules) -> Instant | None:
    """The next instant at which `due` would change the record; None if only facts can."""
    state = promise.state
    if state == _OPEN and promise.warn_at:
        return promise.warn_at
    if state in (_OPEN, _AT_RISK):
        return Instant(promise.breach_at + 1)
    return _forget_at(promise, rules)


def judge(identity: Identity, facts: tuple[Fact, ...], rules: Rules, now: Instant) -> Promise:
    """The verdict on a set of facts (sorted) as of an instant."""
    key, kind, customer_id, subject_id = identity
    context, version = last_stated(facts), rules.version
    word = _word(facts)
    if word is None:
        return Promise(
            key, kind, customer_id, subject_id, _NOTED, 0, NONE, NONE, False, NONE, NONE, NONE, NONE, context, version,
            facts,
        )  # fmt: skip
    original, due_at, given_at, agreed, announced = word
    tolerance, grace, warning = rules.kinds[kind]
    breach_at = Instant(due_at + max(tolerance, grace))
    # A lead longer than half of the time given would warn of nearly every promise as soon as it is made.
    half = (due_at - given_at) // 2
    lead = min(warning, half)
    warn_at = Instant(due_at - lead) if lead > 0 else NONE
    state, reason, settled_at = _settled(facts, due_at + tolerance)
    if state == _OPEN:
        if now > breach_at:
            state, reason, settled_at = _BROKEN, _DUE_PASSED, due_at
        elif warn_at and now >= warn_at:
            state = _AT_RISK
    return Promise(
        key, kind, customer_id, subject_id, state, reason, original, due_at, agreed, announced, warn_at, breach_at,
        settled_at, context, version, facts,
    )  # fmt: skip


def transition(old: Promise | None, new: Promise) -> Transition:
    """What the step from `old` to `new` announces."""
    before = old.state if old else _NOTED
    if new.state == before:
        renegotiated = old is not None and new.due_at != old.due_at
        return Transition.RENEGOTIATED if renegotiated else Transition.NOTED
    if before in (_BROKEN, _KEPT_LATE) and new.state in (_OPEN, _AT_RISK, _KEPT):
        return Transition.RETRACTED
    if new.state == _OPEN and before == _AT_RISK:
        return Transition.RENEGOTIATED
    return _ENTERING[new.state]


def breached_at(old: Promise | None, new: Promise) -> Instant | None:
    """Where this step announces that time ran out: the first instant at which that was true."""
    if new.state == _BROKEN and new.reason == _DUE_PASSED and (old is None or old.state != _BROKEN):
        return Instant(new.breach_at + 1)
    return None


def margin(old: Promise | None, new: Promise) -> float | None:
    """Seconds from due to fulfilment (below 0: in time) where this step settles a promise by fulfilment."""
    if new.reason == _BY_FULFILMENT and (old is None or old.state != new.state):
        return (new.settled_at - new.due_at) / SECOND
    return None


_ENTERING: Final[dict[int, Transition]] = {
    State.NOTED: Transition.NOTED,
    State.OPEN: Transition.MADE,
    State.AT_RISK: Transition.AT_RISK,
    State.BROKEN: Transition.BROKEN,
    State.KEPT: Transition.KEPT,
    State.KEPT_LATE: Transition.KEPT_LATE,
    State.WITHDRAWN: Transition.WITHDRAWN,
}


def _identity(promise: Promise) -> Identity:
    return promise.key, promise.kind, promise.customer_id, promise.subject_id


def _word(facts: tuple[Fact, ...]) -> tuple[Instant, Instant, Instant, bool, Instant] | None:
    """The word in force: original, due, given_at, agreed, announced. None where nothing was promised.

    The first promise is the original. Any later date is a renegotiation, also where it is published as a second
    promise: it moves the due time only if the customer accepted it before the time in force had passed, and before the
    word was fulfilled.
    """
    first, dates = None, 0
    for fact in facts:
        if fact.due_at:
            dates += 1
            if first is None and fact.kind == _PROMISED:
                first = fact
    if first is None:
        return None
    original = due = announced = first.due_at
    given_at, agreed = first.occurred_at, False
    if dates > 1:
        for fact in facts:
            if fact.kind == _FULFILLED:
                break
            if not fact.due_at or fact is first or fact.occurred_at < first.occurred_at:
                continue
            announced = fact.due_at
            if fact.due_at != due and fact.occurred_at <= due and _accepted(fact):
                due, given_at, agreed = fact.due_at, fact.occurred_at, True
    return original, due, given_at, agreed, announced


def _accepted(fact: Fact) -> bool:
    asked_for_it = fact.by == Party.CUSTOMER and fact.consent == Consent.UNSPECIFIED
    return fact.consent == Consent.ACCEPTED or asked_for_it


def _settled(facts: tuple[Fact, ...], latest: int) -> tuple[int, int, Instant]:
    """What the facts alone decide; OPEN where only time can tell. `latest` is the last instant that keeps the word.

    The first of these that holds: fulfilled in time; waived; called off by the customer, or with the customer's
    consent, before anything else decided; fulfilled late; called off or not attended by the company. Who calls off
    after the word was broken changes nothing; a no-show tells, however late, why it was.
    """
    fulfilled = ended = waived = None
    for fact in facts:
        kind = fact.kind
        if kind == _FULFILLED:
            fulfilled = fulfilled or fact
        elif kind == _WAIVED:
            waived = waived or fact
        elif (kind == _NO_SHOW or (kind == _CANCELLED and fact.occurred_at <= latest)) and not (ended or fulfilled):
            ended = fact
    if not (fulfilled or ended or waived):
        return _OPEN, 0, NONE
    called_off = ended is not None and _ending(ended)[0] == State.WITHDRAWN
    if fulfilled and fulfilled.occurred_at <= latest and not called_off:
        return _KEPT, _BY_FULFILMENT, fulfilled.occurred_at
    if waived:
        return State.WITHDRAWN, Reason.WAIVED, waived.occurred_at
    if fulfilled and not called_off:
        return _KEPT_LATE, _BY_FULFILMENT, fulfilled.occurred_at
    assert ended is not None  # noqa: S101 - one of the three is set
    return *_ending(ended), ended.occurred_at


def _ending(fact: Fact) -> tuple[State, Reason]:
    """What a cancellation or a no-show means."""
    by_customer = fact.by == Party.CUSTOMER
    if fact.kind == FactKind.NO_SHOW:
        if by_customer:
            return State.WITHDRAWN, Reason.CUSTOMER_NO_SHOW
        return State.BROKEN, Reason.NO_SHOW_BY_US
    if by_customer:
        return State.WITHDRAWN, Reason.CANCELLED_BY_CUSTOMER
    if fact.consent == Consent.ACCEPTED:
        return State.WITHDRAWN, Reason.CANCELLED_BY_AGREEMENT
    return State.BROKEN, Reason.CANCELLED_BY_US


def _implied_now(promise: Promise) -> Instant:
    """The latest instant that must have passed for the record to stand where it stands."""
    if promise.state == _BROKEN and promise.reason == _DUE_PASSED:
        return Instant(promise.breach_at + 1)
    return promise.warn_at if promise.state == _AT_RISK else _LONG_AGO


def _forget_at(promise: Promise, rules: Rules) -> Instant | None:
    if rules.horizon is None:
        return None
    return Instant(max(promise.facts[-1].occurred_at, promise.breach_at) + rules.horizon)
