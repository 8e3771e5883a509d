"""What a promise is worth: facts in, verdict out. Pure; it knows no Kafka, no protobuf and no clock.

A `Promise` is a function of the *set* of facts, the rules and an instant (`judge`), so neither the order nor the
repetition of input can change it. Two functions bring that to a stream:

* `fold` adds facts and judges at the latest instant the old record already implies. It never lets the clock speak: only
  facts that say so break a promise here.
* `due` judges at the present. The engine calls it when a deadline passes and all input is read, so that is where
  "broken, because nothing came" and "at risk" are decided.

Facts and promises are tuples because both are made for every event.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from services.shared.facts import NO_CONTEXT, Context, last_stated, merge
from services.shared.instant import SECOND, Instant

#: "No such instant". No event carries it: times before 2000 are dead letters.
NONE = Instant(0)
_LONG_AGO = Instant(-(2**62))


class PromiseKind(IntEnum):
    """What was promised. Numbers as in the protobuf enum, as in all enums here."""

    ORDER_READY = 1
    ORDER_DELIVERED = 2
    CALLBACK = 3
    APPOINTMENT = 4


class State(IntEnum):
    """Where a promise stands."""

    NOTED = 1
    OPEN = 2
    AT_RISK = 3
    BROKEN = 4
    KEPT = 5
    KEPT_LATE = 6
    WITHDRAWN = 7


class Reason(IntEnum):
    """Why it stands there."""

    NONE = 0
    FULFILLED = 1
    DUE_PASSED = 2
    CANCELLED_BY_US = 3
    NO_SHOW_BY_US = 4
    CANCELLED_BY_CUSTOMER = 5
    CANCELLED_BY_AGREEMENT = 6
    CUSTOMER_NO_SHOW = 7
    WAIVED = 8


class FactKind(IntEnum):
    """What an event means for a promise."""

    PROMISED = 1
    RENEGOTIATED = 2
    FULFILLED = 3
    ATTEMPTED = 4
    CANCELLED = 5
    NO_SHOW = 6
    WAIVED = 7


class Party(IntEnum):
    """Who did or asked."""

    UNSPECIFIED = 0
    CUSTOMER = 1
    COMPANY = 2


class Consent(IntEnum):
    """The customer's answer."""

    UNSPECIFIED = 0
    ACCEPTED = 1
    DECLINED = 2
    SILENT = 3


class Transition(IntEnum):
    """What a write announces."""

    NOTED = 1
    MADE = 2
    RENEGOTIATED = 3
    AT_RISK = 4
    BROKEN = 5
    KEPT = 6
    KEPT_LATE = 7
    WITHDRAWN = 8
    RETRACTED = 9


class Fact(NamedTuple):
    """One event, reduced to what the verdict depends on. Orders by time, then source and id."""

    occurred_at: Instant
    source: str
    event_id: str
    kind: int
    due_at: Instant = NONE
    due_day: str = ""
    by: int = 0
    consent: int = 0
    reason: str = ""
    context: Context = NO_CONTEXT


class KindRules(NamedTuple):
    """The rules of one kind of promise; spans in microseconds."""

    #: How long after due a fulfilment still keeps the promise.
    tolerance: int = 0
    #: How long after due to wait before saying "broken".
    grace: int = 0
    #: How long before due an open promise is at risk; 0: no warning.
    warning: int = 0


class Rules(NamedTuple):
    """What promises are judged by."""

    version: str
    kinds: Mapping[int, KindRules]
    #: How long a record is remembered after its last fact and deadline; None: for ever.
    horizon: int | None = None


class Promise(NamedTuple):
    """The record: identity, verdict and the facts it was judged from, in order."""

    key: bytes
    kind: int
    customer_id: str
    subject_id: str
    state: int
    reason: int
    original_due_at: Instant
    due_at: Instant
    by_agreement: bool
    announced_due_at: Instant
    warn_at: Instant
    breach_at: Instant
    settled_at: Instant
    context: Context
    rules_version: str
    facts: tuple[Fact, ...]


# Looking up a member of an enum costs more than comparing it, and these are asked of every event.
_PROMISED, _FULFILLED, _NO_SHOW, _WAIVED = FactKind.PROMISED, FactKind.FULFILLED, FactKind.NO_SHOW, FactKind.WAIVED
_UNDECIDED = frozenset({State.OPEN, State.AT_RISK})
_ENDS = frozenset({FactKind.CANCELLED, FactKind.NO_SHOW})
_NOTED, _OPEN, _AT_RISK, _BROKEN = State.NOTED, State.OPEN, State.AT_RISK, State.BROKEN
_NO_REASON, _BY_FULFILMENT, _DUE_PASSED = Reason.NONE, Reason.FULFILLED, Reason.DUE_PASSED

#: Which promise it is, the first four fields of the record: key, kind, customer_id, subject_id.
Identity = tuple[bytes, int, str, str]


def note(identity: Identity, facts: Sequence[Fact], rules: Rules) -> Promise:
    """The record of a key met for the first time."""
    return judge(identity, merge((), facts), rules, _LONG_AGO)


def fold(old: Promise, facts: Sequence[Fact], rules: Rules) -> Promise:
    """The record with more facts. Returns `old` itself where they say nothing new."""
    merged = merge(old.facts, facts)
    if merged == old.facts:
        return old
    new = judge(old[:4], merged, rules, _implied_now(old))
    if new.reason == Reason.DUE_PASSED != old.reason:
        # An earlier word put due into the past. Its fulfilment may be unread: `due` decides, once all is read.
        return judge(old[:4], merged, rules, new.breach_at)
    return new


def due(promise: Promise, now: Instant, rules: Rules) -> Promise | None:
    """The record as of `now`; None once its time to be remembered is over."""
    forget_at = _forget_at(promise, rules)
    if forget_at is not None and now >= forget_at:
        return None
    return judge(promise[:4], promise.facts, rules, now)


def next_deadline(promise: Promise, rules: Rules) -> Instant | None:
    """The next instant at which `due` would change the record; None if only facts can."""
    state = promise.state
    if state == _OPEN and promise.warn_at:
        return promise.warn_at
    if state in _UNDECIDED:
        return Instant(promise.breach_at + 1)
    return _forget_at(promise, rules)


def judge(identity: Identity, facts: tuple[Fact, ...], rules: Rules, now: Instant) -> Promise:
    """The verdict on a set of facts (sorted) as of an instant."""
    word = _word(facts)
    if word is None:
        return Promise(
            *identity,
            _NOTED,
            _NO_REASON,
            NONE,
            NONE,
            False,
            NONE,
            NONE,
            NONE,
            NONE,
            last_stated(facts),
            rules.version,
            facts,
        )
    original, due_at, given_at, agreed, announced = word
    tolerance, grace, warning = rules.kinds[identity[1]]
    breach_at = Instant(due_at + max(grace, tolerance))
    # A lead longer than half of the time given would warn of nearly every promise as soon as it is made.
    lead, half = warning, (due_at - given_at) // 2
    lead = min(lead, half)
    warn_at = Instant(due_at - lead) if lead > 0 else NONE
    state, reason, settled_at = _settled(facts, due_at + tolerance)
    if state == _OPEN:
        if now > breach_at:
            state, reason, settled_at = State.BROKEN, Reason.DUE_PASSED, due_at
        elif warn_at and now >= warn_at:
            state = State.AT_RISK
    return Promise(
        *identity, state, reason, original, due_at, agreed, announced, warn_at, breach_at, settled_at,
        last_stated(facts), rules.version, facts,
    )  # fmt: skip


def transition(old: Promise | None, new: Promise) -> Transition:
    """What the step from `old` to `new` announces."""
    before = old.state if old else _NOTED
    if new.state == before:
        renegotiated = old is not None and new.due_at != old.due_at
        return Transition.RENEGOTIATED if renegotiated else Transition.NOTED
    if before in _LET_DOWN and new.state in _WORD_HOLDS:
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


_LET_DOWN = frozenset({State.BROKEN, State.KEPT_LATE})
_WORD_HOLDS = frozenset({State.OPEN, State.AT_RISK, State.KEPT})
_ENTERING: Mapping[int, Transition] = {
    State.NOTED: Transition.NOTED,
    State.OPEN: Transition.MADE,
    State.AT_RISK: Transition.AT_RISK,
    State.BROKEN: Transition.BROKEN,
    State.KEPT: Transition.KEPT,
    State.KEPT_LATE: Transition.KEPT_LATE,
    State.WITHDRAWN: Transition.WITHDRAWN,
}


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


def _settled(facts: tuple[Fact, ...], latest: int) -> tuple[State, Reason, Instant]:
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
        elif kind in _ENDS and not (ended or fulfilled) and (kind == _NO_SHOW or fact.occurred_at <= latest):
            ended = fact
    if not (fulfilled or ended or waived):
        return _OPEN, _NO_REASON, NONE
    called_off = ended is not None and _ending(ended)[0] == State.WITHDRAWN
    if fulfilled and fulfilled.occurred_at <= latest and not called_off:
        return State.KEPT, Reason.FULFILLED, fulfilled.occurred_at
    if waived:
        return State.WITHDRAWN, Reason.WAIVED, waived.occurred_at
    if fulfilled and not called_off:
        return State.KEPT_LATE, Reason.FULFILLED, fulfilled.occurred_at
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
    if promise.state == State.BROKEN and promise.reason == Reason.DUE_PASSED:
        return Instant(promise.breach_at + 1)
    return promise.warn_at if promise.state == State.AT_RISK else _LONG_AGO


def _forget_at(promise: Promise, rules: Rules) -> Instant | None:
    if rules.horizon is None:
        return None
    return Instant(max(promise.facts[-1].occurred_at, promise.breach_at) + rules.horizon)
