"""What a promise is worth: facts in, verdict out. Pure; it knows no Kafka, no protobuf and no clock.

A `Promise` is a function of the *set* of facts, the rules and an instant (`judge`), so neither the order nor the
repetition of input can change it. Two functions bring that to a stream:

* `fold` adds facts and judges at the latest instant the old record already implies. It never lets the clock speak: only
  facts that say so break a promise here.
* `due` judges at the present. The engine calls it when a deadline passes and all input is read, so that is where
  "broken, because nothing came" and "at risk" are decided.

A word given again is a word: what is promised after the promise had ended begins a cycle of its own, and the verdict on
the one before stays. `words` says which facts are of which.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Final

from msgspec.structs import replace

from services.promises.model import (
    NONE,
    Cycle,
    Fact,
    FactKind,
    Identity,
    KindRules,
    Promise,
    Reason,
    Rules,
    State,
    Transition,
)
from services.promises.words import Word, cycle, cycles_of, next_word, ranks
from services.shared.facts import counts_under, in_order, last_stated, merge
from services.shared.instant import SECOND, Instant

_LONG_AGO: Final = Instant(-(2**62))


# These are asked of every event. A name that is Final costs compiled code nothing, and a number less than a member.
_NOTED: Final[int] = State.NOTED
_OPEN: Final[int] = State.OPEN
_AT_RISK: Final[int] = State.AT_RISK
_BROKEN: Final[int] = State.BROKEN
_KEPT: Final[int] = State.KEPT
_KEPT_LATE: Final[int] = State.KEPT_LATE
_DUE_PASSED: Final[int] = Reason.DUE_PASSED
_BY_FULFILMENT: Final[int] = Reason.FULFILLED
#: The facts that decide whose record counts, where a customer has several ids.
_GIVING: Final = frozenset({int(FactKind.PROMISED)})


def note(identity: Identity, facts: Sequence[Fact], rules: Rules) -> Promise:
    """The record of a key met for the first time."""
    return judge(identity, merge((), facts), rules, _LONG_AGO)


def fold(old: Promise, facts: Sequence[Fact], rules: Rules) -> Promise:
    """The record with more facts. Returns `old` itself where they say nothing new."""
    merged = merge(old.facts, facts)
    if merged == old.facts:
        return old
    new = judge(_identity(old), merged, rules, _implied_now(old))
    if new.reason == _DUE_PASSED != old.reason or new.earlier or old.earlier:
        return _as_time_told(old, new)
    return new


def due(promise: Promise, now: Instant, rules: Rules) -> Promise | None:
    """The record as of `now`; None once its time to be remembered is over."""
    forget_at = _forget_at(promise, rules)
    if forget_at is not None and now >= forget_at:
        return None
    return judge(_identity(promise), promise.facts, rules, now)


def next_deadline(promise: Promise, rules: Rules) -> Instant | None:
    """The next instant at which `due` would change the record; None if only facts can."""
    deadline = _changes_at(promise)
    for past in promise.earlier:
        if at := _changes_at(past):
            deadline = min(deadline or at, at)
    return deadline or _forget_at(promise, rules)


def judge(identity: Identity, facts: tuple[Fact, ...], rules: Rules, now: Instant) -> Promise:
    """The verdict on a set of facts (sorted) as of an instant."""
    key, kind, customer_id, subject_id = identity
    ordered, version = in_order(facts, ranks), rules.version
    context = last_stated(ordered)
    first = next_word(ordered, 0)
    if first < 0:
        return Promise(
            key, kind, customer_id, subject_id, _NOTED, 0, NONE, NONE, False, NONE, NONE, NONE, NONE, context, version,
            facts,
        )  # fmt: skip
    spans, count = rules.kinds[kind], len(ordered)
    word, end = cycle(ordered, 0, first, count, spans.tolerance)
    earlier: list[Cycle] = []
    while end < count:
        earlier.append(Cycle(*_verdict(word, spans, now)))
        word, end = cycle(ordered, end, next_word(ordered, end), count, spans.tolerance)
    state, reason, original, due_at, agreed, announced, warn_at, breach_at, settled_at = _verdict(word, spans, now)
    if counts_under(facts, _GIVING, customer_id):
        # The word was first given under another id of the same customer, whose record has all these facts. This one is
        # forgotten when that is, which hangs on `breach_at`.
        return Promise(
            key, kind, customer_id, subject_id, _NOTED, 0, NONE, NONE, False, NONE, NONE, breach_at, NONE, context,
            version, facts,
        )  # fmt: skip
    return Promise(
        key, kind, customer_id, subject_id, state, reason, original, due_at, agreed, announced, warn_at, breach_at,
        settled_at, context, version, facts, tuple(earlier),
    )  # fmt: skip


def elsewhere(promise: Promise) -> str:
    """The other id of the same customer under which the promise was first made and is judged; empty: it is here."""
    return counts_under(promise.facts, _GIVING, promise.customer_id)


#: The fields of a cycle.
_Verdict = tuple[int, int, Instant, Instant, bool, Instant, Instant, Instant, Instant]


def _verdict(word: Word, spans: KindRules, now: Instant) -> _Verdict:
    tolerance, grace, warning = spans
    due_at = word.due_at
    breach_at = Instant(due_at + max(tolerance, grace))
    # A lead longer than half of the time given would warn of nearly every promise as soon as it is made.
    half = (due_at - word.given_at) // 2
    lead = min(warning, half)
    warn_at = Instant(due_at - lead) if lead > 0 else NONE
    state, reason, settled_at = word.settled()
    if state == _OPEN:
        if now > breach_at:
            state, reason, settled_at = _BROKEN, _DUE_PASSED, due_at
        elif warn_at and now >= warn_at:
            state = _AT_RISK
    original, announced = word.original_due_at, word.announced_due_at
    return state, reason, original, due_at, word.agreed, announced, warn_at, breach_at, settled_at


# --- what a write announces


#: What a write announces: of which cycle, counted from 1, and how that stood before and stands now.
Change = tuple[Transition, int, Promise | Cycle | None, Promise | Cycle]


def change(old: Promise | None, new: Promise) -> Change:
    """What the step from `old` to `new` announces: of all its cycles the weightiest change, and of those the last."""
    if not new.earlier and (old is None or not old.earlier):
        return transition(old, new), 1, old, new
    before, after = cycles_of(old) if old else (), cycles_of(new)
    found: Change = (Transition.NOTED, len(after), None, new)
    for index, (was, now) in enumerate(zip_longest(before, after)):
        number = min(index, len(after) - 1) + 1
        announced = _taken_back(was) if now is None else transition(was, now)
        if _WEIGHTS[announced] >= _WEIGHTS[found[0]]:
            found = announced, number, was, after[number - 1]
    return found


def _taken_back(was: Promise | Cycle) -> Transition:
    """Where what came late says that a cycle never was."""
    if was.state in (_BROKEN, _KEPT_LATE):
        return Transition.RETRACTED
    return Transition.RENEGOTIATED if was.state == _AT_RISK else Transition.NOTED


def transition(old: Promise | Cycle | None, new: Promise | Cycle) -> Transition:
    """What the step of a cycle from `old` to `new` announces."""
    before = old.state if old else _NOTED
    if old is not None and new.state == _NOTED:
        return _taken_back(old)
    if new.state == before:
        renegotiated = old is not None and new.due_at != old.due_at
        return Transition.RENEGOTIATED if renegotiated else Transition.NOTED
    if before in (_BROKEN, _KEPT_LATE) and new.state in (_OPEN, _AT_RISK, _KEPT):
        return Transition.RETRACTED
    if new.state == _OPEN and before == _AT_RISK:
        return Transition.RENEGOTIATED
    return _ENTERING[new.state]


def breached_at(old: Promise | Cycle | None, new: Promise | Cycle) -> Instant | None:
    """Where this step announces that time ran out: the first instant at which that was true."""
    if new.state == _BROKEN and new.reason == _DUE_PASSED and (old is None or old.state != _BROKEN):
        return Instant(new.breach_at + 1)
    return None


def margin(old: Promise | Cycle | None, new: Promise | Cycle) -> float | None:
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
#: The weightiest last.
_WEIGHTS: Final[dict[Transition, int]] = {
    transition: weight
    for weight, transition in enumerate(
        (
            Transition.NOTED,
            Transition.MADE,
            Transition.RENEGOTIATED,
            Transition.WITHDRAWN,
            Transition.KEPT,
            Transition.AT_RISK,
            Transition.KEPT_LATE,
            Transition.BROKEN,
            Transition.RETRACTED,
        )
    )
}


# --- time


def _changes_at(one: Promise | Cycle) -> Instant:
    """The next instant at which time changes how a cycle stands; NONE: it does not."""
    state = one.state
    if state == _OPEN and one.warn_at:
        return one.warn_at
    return Instant(one.breach_at + 1) if state in (_OPEN, _AT_RISK) else NONE


def _implied_now(promise: Promise) -> Instant:
    """The latest instant that must have passed for the record to stand where it stands."""
    now = _implied(promise)
    for past in promise.earlier:
        now = max(now, _implied(past))
    return now


def _implied(one: Promise | Cycle) -> Instant:
    if one.state == _BROKEN and one.reason == _DUE_PASSED:
        return Instant(one.breach_at + 1)
    return one.warn_at if one.state == _AT_RISK else _LONG_AGO


def _as_time_told(old: Promise, new: Promise) -> Promise:
    """The record with no more said of any cycle because time passed than was said of it before.

    More facts may put a word into the past, and what keeps it may be unread: `due` decides, once all is read.
    """
    told = _told(cycles_of(old), cycles_of(new))
    earlier = list(new.earlier)
    for index, past in enumerate(earlier):
        if _told_by_time(past) > told.get(past.breach_at, _OPEN):
            earlier[index] = replace(past, state=_waiting(past, told), reason=0, settled_at=NONE)
    if _told_by_time(new) > told.get(new.breach_at, _OPEN):
        return replace(new, state=_waiting(new, told), reason=0, settled_at=NONE, earlier=tuple(earlier))
    return replace(new, earlier=tuple(earlier))


def _told(before: Sequence[Promise | Cycle], after: Sequence[Promise | Cycle]) -> dict[Instant, int]:
    """When a cycle breaks → what was told of it because time passed.

    A cycle is known by its time or, where no other has that time now, by its place.
    """
    times = {each.breach_at for each in after}
    told = dict[Instant, int]()
    for index, was in enumerate(before):
        at = was.breach_at
        if at not in times and index < len(after):
            at = after[index].breach_at
        told[at] = max(told.get(at, _OPEN), _told_by_time(was))
    return told


def _waiting(one: Promise | Cycle, told: Mapping[Instant, int]) -> int:
    """How it stands until the clock says more."""
    return told.get(one.breach_at, _OPEN) if one.warn_at else _OPEN


def _told_by_time(one: Promise | Cycle) -> int:
    """What it is because time passed: AT_RISK or BROKEN, the greater; OPEN: it is not."""
    if one.reason == _DUE_PASSED:
        return _BROKEN
    return _AT_RISK if one.state == _AT_RISK else _OPEN


def _forget_at(promise: Promise, rules: Rules) -> Instant | None:
    if rules.horizon is None:
        return None
    return Instant(max(promise.facts[-1].occurred_at, promise.breach_at) + rules.horizon)


def _identity(promise: Promise) -> Identity:
    return promise.key, promise.kind, promise.customer_id, promise.subject_id
