"""What a standard is worth: facts in, verdict out. Pure; it knows no Kafka, no protobuf and no clock.

A `Clock` is a function of the *set* of facts about one contact, callback or order, of the standards and an instant
(`judge`). It starts with the first start and ends with the first stop, in whatever order they arrive:

* met: stopped at or before `due_at`; a stop that happened before the start counts as met, with nothing elapsed;
* missed: stopped after `due_at`;
* breached: not stopped, and `breach_at` has passed. Grace only delays the announcement, for facts still on their way;
* cancelled: called off at or before `due_at` and before any stop. Called off later, it excuses nothing.

Two functions bring that to a stream: `fold` adds facts and never lets time speak; `due` judges at the present. The
engine calls `due` when a deadline has passed and all input is read, so only there is a breach announced by the clock.
"""

from collections.abc import Mapping, Sequence

from services.shared.facts import last_stated, merge
from services.shared.instant import SECOND, Instant
from services.sla.model import NONE, Clock, Fact, FactKind, Identity, Standards, State, Transition

_LONG_AGO = Instant(-(2**62))


# Looking up a member of an enum costs more than comparing it, and these are asked of every event.
_STARTED, _STOPPED, _CALLED_OFF = FactKind.STARTED, FactKind.STOPPED, FactKind.CANCELLED
_NOTED, _RUNNING, _AT_RISK, _BREACHED = State.NOTED, State.RUNNING, State.AT_RISK, State.BREACHED
_MET, _MISSED, _CANCELLED = State.MET, State.MISSED, State.CANCELLED
_UNDECIDED, _ENDED = frozenset({_RUNNING, _AT_RISK}), frozenset({_MET, _MISSED})


def note(identity: Identity, facts: Sequence[Fact], standards: Standards) -> Clock:
    """The record of a key met for the first time."""
    return judge(identity, merge((), facts), standards, _LONG_AGO)


def fold(old: Clock, facts: Sequence[Fact], standards: Standards) -> Clock:
    """The record with more facts. Returns `old` itself where they say nothing new."""
    merged = merge(old.facts, facts)
    if merged == old.facts:
        return old
    new = judge(_identity(old), merged, standards, _implied_now(old))
    if new.state == _BREACHED and old.state != _BREACHED:
        # An earlier start moved the limit into the past. Its stop may be unread: `due` decides, once all is read.
        return judge(_identity(old), merged, standards, new.breach_at)
    return new


def due(clock: Clock, now: Instant, standards: Standards) -> Clock | None:
    """The record as of `now`; None once its time to be remembered is over, or where its standard is no more."""
    forget_at = _forget_at(clock, standards)
    if clock.metric not in standards.metrics or (forget_at is not None and now >= forget_at):
        return None
    return judge(_identity(clock), clock.facts, standards, now)


def next_deadline(clock: Clock, standards: Standards) -> Instant | None:
    """The next instant at which `due` would change the record; None if only facts can."""
    state = clock.state
    if state == _RUNNING and clock.warn_at:
        return clock.warn_at
    if state in _UNDECIDED:
        return Instant(clock.breach_at + 1)
    return _forget_at(clock, standards)


def judge(identity: Identity, facts: tuple[Fact, ...], standards: Standards, now: Instant) -> Clock:
    """The verdict on a set of facts (sorted) as of an instant. Raises KeyError where no standard times the metric."""
    standard = standards.metrics[identity[1]]
    started_at = _first(facts, _STARTED)
    if not started_at:
        return Clock(
            *identity, _NOTED, standard.name, standards.version, NONE, NONE, NONE, NONE, NONE, NONE, None,
            last_stated(facts), facts,
        )  # fmt: skip
    due_at = Instant(started_at + standard.limit)
    preferred_due_at = Instant(started_at + standard.preferred) if standard.preferred else NONE
    warn_at = Instant(due_at - standard.warning) if standard.warning else NONE
    breach_at = Instant(due_at + standard.grace)
    state, stopped_at = _settled(facts, due_at)
    if state == _RUNNING:
        if now > breach_at:
            state = _BREACHED
        elif warn_at and now >= warn_at:
            state = _AT_RISK
    preferred_met = stopped_at <= preferred_due_at if stopped_at else False
    return Clock(
        *identity, state, standard.name, standards.version, started_at, due_at, preferred_due_at, warn_at, breach_at,
        stopped_at, preferred_met if preferred_due_at and state in _ANSWERABLE else None, last_stated(facts), facts,
    )  # fmt: skip


def transition(old: Clock | None, new: Clock) -> Transition:
    """What the step from `old` to `new` announces."""
    before = old.state if old else _NOTED
    if new.state == before:
        return Transition.NOTED
    if before in _FAILED and new.state not in _FAILED:
        return Transition.RETRACTED
    return _ENTERING[new.state]


def breached_at(old: Clock | None, new: Clock) -> Instant | None:
    """Where this step announces a breach: the first instant at which that was true."""
    if new.state == _BREACHED and (old is None or old.state != _BREACHED):
        return Instant(new.breach_at + 1)
    return None


def margin(old: Clock | None, new: Clock) -> float | None:
    """Seconds from due to stop (below 0: in time) where this step stops a clock."""
    if new.state in _ENDED and (old is None or old.state != new.state):
        return (new.stopped_at - new.due_at) / SECOND
    return None


_FAILED = frozenset({State.BREACHED, State.MISSED})
#: States in which it is known whether the preferred level was met.
_ANSWERABLE = frozenset({State.BREACHED, State.MET, State.MISSED})
_ENTERING: Mapping[int, Transition] = {
    State.NOTED: Transition.NOTED,
    State.RUNNING: Transition.STARTED,
    State.AT_RISK: Transition.AT_RISK,
    State.BREACHED: Transition.BREACHED,
    State.MET: Transition.MET,
    State.MISSED: Transition.MISSED,
    State.CANCELLED: Transition.CANCELLED,
}


def _identity(clock: Clock) -> Identity:
    return clock.key, clock.metric, clock.customer_id, clock.subject_id


def _settled(facts: tuple[Fact, ...], due_at: Instant) -> tuple[State, Instant]:
    """What the facts of a started clock decide, and when it stopped; RUNNING where only time can tell."""
    stopped_at, cancelled_at = _first(facts, _STOPPED), _first(facts, _CALLED_OFF)
    if cancelled_at and cancelled_at <= due_at and not NONE < stopped_at <= cancelled_at:
        return _CANCELLED, NONE
    if not stopped_at:
        return _RUNNING, NONE
    return _MET if stopped_at <= due_at else _MISSED, stopped_at


def _first(facts: tuple[Fact, ...], kind: int) -> Instant:
    for fact in facts:
        if fact.kind == kind:
            return fact.occurred_at
    return NONE


def _implied_now(clock: Clock) -> Instant:
    """The latest instant that must have passed for the record to stand where it stands."""
    if clock.state == _BREACHED:
        return Instant(clock.breach_at + 1)
    return clock.warn_at if clock.state == _AT_RISK else _LONG_AGO


def _forget_at(clock: Clock, standards: Standards) -> Instant | None:
    if standards.horizon is None:
        return None
    return Instant(max(clock.facts[-1].occurred_at, clock.breach_at) + standards.horizon)
