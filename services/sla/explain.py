"""Why a clock's verdict is what it is, in words. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from services.shared.duration import format_duration
from services.shared.explanation import (
    Explanation,
    Interval,
    Local,
    Step,
    distance,
    judged_elsewhere,
    local,
    told_under,
)
from services.shared.facts import time_zone
from services.sla.domain import elsewhere
from services.sla.evidence import Evidence, Stretch, counted, evidence_of
from services.sla.model import Clock, Cycle, Fact, FactKind, Metric, State
from services.sla.runs import Case, Run, case_of
from services.sla.standards import Standards
from services.sla.targets import format_target

_SUBJECTS: Mapping[int, str] = {
    Metric.FIRST_REPLY: "First reply to contact {}",
    Metric.CALLBACK_RETURNED: "Return of callback {}",
    Metric.CUSTOMER_TOLD: "Telling that order {} is ready",
    Metric.NEXT_REPLY: "Next reply to contact {}",
    Metric.PERIODIC_UPDATE: "News of contact {}",
    Metric.RESOLUTION: "Resolution of contact {}",
    Metric.REQUESTER_WAIT: "Wait of the customer for contact {}",
    Metric.APPOINTMENT_STARTED: "Start of appointment {}",
    Metric.CONTACTS_TO_RESOLVE: "How often the customer makes contact about {}",
}
_STATES: Mapping[int, str] = {state: state.name.lower().replace("_", " ") for state in State}
_EFFECTS: Mapping[int, str] = {
    FactKind.STARTED: "starts the clock",
    FactKind.STOPPED: "stops the clock",
    FactKind.ANSWERED: "stops the clock",
    FactKind.RENEWED: "stops the clock that runs and starts the next",
    FactKind.REOPENED: "starts it again",
    FactKind.OPENED: "opens it again",
    FactKind.FOLLOWED_UP: "starts the clock",
    FactKind.SCHEDULED: "sets the time",
    FactKind.HELD: "holds it",
    FactKind.RESUMED: "ends the hold",
}
_NOTHING = "changes nothing"
_STARTING = frozenset({FactKind.STARTED, FactKind.SCHEDULED})
_KINDS = frozenset(FactKind)


def explain(clock: Clock, standards: Standards | None = None) -> Explanation:
    """The verdict, each fact with what it did, and the arithmetic; times in the customer's zone, else in UTC.

    With the standards it is judged by, also every interval that was counted or left out.
    """
    here = local(time_zone(clock.context))
    state = _STATES.get(clock.cycle.state, "in a state that this version does not know")
    whom = f" for customer {clock.customer_id}" if clock.customer_id else ""
    subject = f"{_SUBJECTS.get(clock.metric, '{}').format(clock.subject_id)}{whom}"
    if home := elsewhere(clock):
        there = tuple(_step(fact, here, "counts there") for fact in clock.facts)
        return Explanation(f"{subject}: judged as {home}'s", there, tuple(judged_elsewhere(clock.key, home)))
    case = case_of(clock.facts, clock.metric)
    steps = (_step(fact, here, _effect(clock, case, fact)) for fact in clock.facts)
    headline = f"{subject}: {state}"
    evidence = evidence_of(clock, standards) if standards else []
    intervals = (
        _interval(stretch, here, number)
        for number, each in enumerate(evidence, start=1)
        for stretch in (each.stretches if each else ())
    )
    return Explanation(headline, tuple(steps), tuple(_reasoning(clock, evidence, here)), tuple(intervals))


def _step(fact: Fact, here: Local, effect: str) -> Step:
    what = f"{_what(fact)}{told_under(fact.customer_id)}"
    return Step(here.time(fact.occurred_at), what, effect, f"{fact.source}/{fact.event_id}")


def _interval(stretch: Stretch, here: Local, cycle: int) -> Interval:
    length = format_duration(stretch.end - stretch.start)
    return Interval(here.time(stretch.start), here.time(stretch.end), length, stretch.counts, stretch.why, cycle)


def _sum(evidence: Evidence, cycle: Cycle) -> str:
    spent = format_duration(counted(evidence.stretches))
    until = "until it was stopped" if cycle.stopped_at else "until it is due" if cycle.due_at else "so far"
    return f"Counted {until}: {spent}. The limit: {format_target(evidence.goal.limit)}."


def _what(fact: Fact) -> str:
    return f"held: {fact.what or 'no reason given'}" if fact.kind == FactKind.HELD else fact.what


def _effect(clock: Clock, case: Case, fact: Fact) -> str:
    if fact.kind not in _KINDS:
        return "not understood by this version"
    if fact.kind == FactKind.OTHER:
        return _NOTHING
    if not case.runs:
        return f"{_NOTHING}: it was over before" if fact.kind in _STARTING else "waits for a start"
    for run, cycle in zip(case.runs, (*clock.earlier, clock.cycle), strict=False):
        if effect := _of_cancellation(run, cycle.state == State.CANCELLED, fact):
            return effect
    without = case_of([other for other in clock.facts if other is not fact], clock.metric)
    changes = (case.runs, case.holds) != (without.runs, without.holds)
    return _EFFECTS.get(fact.kind, _NOTHING) if changes else _NOTHING


def _of_cancellation(run: Run, called_off: bool, fact: Fact) -> str | None:
    """What a fact did to a run that was called off, or would have been; None: this is none of it."""
    if called_off and fact.occurred_at == run.ended_at:
        return f"{_NOTHING}: it was called off before"
    if fact.kind != FactKind.CANCELLED:
        return None
    if run.ended_at and run.ended_at <= fact.occurred_at:
        return f"{_NOTHING}: it was stopped before"
    if run.cancelled_at == fact.occurred_at:
        return "calls the clock off" if called_off else "excuses nothing: the limit had passed"
    return None


def _reasoning(clock: Clock, evidence: Sequence[Evidence | None], here: Local) -> Iterator[str]:
    cycles = (*clock.earlier, clock.cycle)
    if not clock.cycle.started_at and any(fact.kind in _STARTING for fact in clock.facts):
        yield "It was over before it began, so there is nothing to time."
        return
    for number, (cycle, each) in enumerate(zip_longest(cycles, evidence[: len(cycles)]), start=1):
        if len(cycles) > 1:
            yield f"Cycle {number} of {len(cycles)}:"
        yield from _of_cycle(cycle, here)
        if each and each.stretches:
            yield _sum(each, cycle)


def _of_cycle(cycle: Cycle, here: Local) -> Iterator[str]:
    if not cycle.started_at:
        yield "Something is known of it, but nothing started the clock yet."
        return
    if not cycle.policy:
        yield f"Started {here.time(cycle.started_at)}; no policy of standards version {cycle.version} is for it."
        return
    started = f"Started {here.time(cycle.started_at)}"
    if cycle.due_at:
        yield f"{started}, due {here.time(cycle.due_at)}."
    else:
        yield f"{started}; when it is due is not known yet."
    yield _verdict(cycle, here)
    if cycle.preferred_due_at:
        yield _preferred(cycle, here)
    moved = f", to which it was moved from version {cycle.first_version}" if cycle.first_version else ""
    yield f"Judged by standards version {cycle.version}{moved}: policy {cycle.policy}, calendar {cycle.calendar}."


def _verdict(cycle: Cycle, here: Local) -> str:
    grace = cycle.breach_at - cycle.due_at
    last = here.time(cycle.breach_at) + (f" ({format_duration(grace)} after due)" if grace else "")
    at_risk = f"At risk since {here.time(cycle.warn_at[0])}. " if cycle.state == State.AT_RISK else ""
    coming = f"{at_risk}Breached if nothing stops it by {last}."
    late = f": {distance(cycle.stopped_at, cycle.due_at)}" if cycle.due_at else ""
    stopped = f"Stopped {here.time(cycle.stopped_at)}{late}."
    said: Mapping[int, str] = {
        State.RUNNING: coming if cycle.due_at else "Nothing has happened yet that would break it.",
        State.AT_RISK: coming,
        State.CANCELLED: "It was called off in time and before any stop, so it does not count.",
        State.BREACHED: f"Nothing had stopped it by {last}, so it is breached.",
        State.MET: stopped,
        State.MISSED: stopped if cycle.stopped_at else "It was called off too late, and begun again.",
        State.PAUSED: "It is held: nothing is counted until it is resumed, or has been held for too long.",
    }
    return said.get(cycle.state, "A newer version judged it.")


def _preferred(cycle: Cycle, here: Local) -> str:
    level = f"The preferred level, {here.time(cycle.preferred_due_at)},"
    if cycle.preferred_met is None:
        return f"{level} is reported apart once the clock ends."
    return f"{level} was {'met' if cycle.preferred_met else 'not met'}; it is reported apart."
