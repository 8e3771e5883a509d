"""Why a clock's verdict is what it is, in words. Pure."""

from collections.abc import Mapping

from services.shared.duration import format_duration
from services.shared.explanation import Explanation, Local, Step, distance, local
from services.shared.facts import time_zone
from services.sla.model import Clock, Fact, FactKind, Metric, State

_SUBJECTS: Mapping[int, str] = {
    Metric.FIRST_REPLY: "First reply to contact {}",
    Metric.CALLBACK_RETURNED: "Return of callback {}",
    Metric.CUSTOMER_TOLD: "Telling that order {} is ready",
}
_STATES: Mapping[int, str] = {state: state.name.lower().replace("_", " ") for state in State}
_KINDS = frozenset(FactKind)


def explain(clock: Clock) -> Explanation:
    """The verdict, each fact with what it did, and the arithmetic; times in the customer's zone, else in UTC."""
    here = local(time_zone(clock.context))
    state = _STATES.get(clock.state, "in a state that this version does not know")
    whom = f" for customer {clock.customer_id}" if clock.customer_id else ""
    steps = (
        Step(
            here.time(fact.occurred_at),
            fact.what,
            _effect(clock, fact) if fact.kind in _KINDS else "not understood by this version",
            f"{fact.source}/{fact.event_id}",
        )
        for fact in clock.facts
    )
    headline = f"{_SUBJECTS.get(clock.metric, '{}').format(clock.subject_id)}{whom}: {state}"
    return Explanation(headline, tuple(steps), _reasoning(clock, here))


def _effect(clock: Clock, fact: Fact) -> str:
    first = next(other for other in clock.facts if other.kind == fact.kind) is fact
    if not first or fact.kind == FactKind.OTHER:
        return "changes nothing"
    if fact.kind == FactKind.STARTED:
        return "starts the clock"
    if not clock.started_at:
        return "waits for a start"
    called_off = clock.state == State.CANCELLED
    if fact.kind == FactKind.STOPPED:
        return "changes nothing: it was called off before" if called_off else "stops the clock"
    if called_off:
        return "calls the clock off"
    stopped_before = clock.stopped_at and clock.stopped_at <= fact.occurred_at
    return "changes nothing: it was stopped before" if stopped_before else "excuses nothing: the limit had passed"


def _reasoning(clock: Clock, here: Local) -> tuple[str, ...]:
    standard = f"Judged by standards version {clock.standards_version}: {clock.policy}."
    if not clock.started_at:
        return "Something is known of it, but nothing started the clock yet.", standard
    limit = format_duration(clock.due_at - clock.started_at)
    started = f"Started {here.time(clock.started_at)}, due {limit} later: {here.time(clock.due_at)}."
    preferred = (_preferred(clock, here),) if clock.preferred_due_at else ()
    return (started, _verdict(clock, here), *preferred, standard)


def _verdict(clock: Clock, here: Local) -> str:
    grace = clock.breach_at - clock.due_at
    waiting = f" ({format_duration(grace)} after due)" if grace else ""
    last = f"{here.time(clock.breach_at)}{waiting}"
    match clock.state:
        case State.CANCELLED:
            return "It was called off in time and before any stop, so it does not count."
        case State.BREACHED:
            return f"Nothing had stopped it by {last}, so it is breached."
        case State.MET | State.MISSED:
            return f"Stopped {here.time(clock.stopped_at)}: {distance(clock.stopped_at, clock.due_at)}."
        case unknown if unknown not in _STATES:
            return "A newer version judged it."
        case _:
            at_risk = f"At risk since {here.time(clock.warn_at)}. " if clock.state == State.AT_RISK else ""
            return f"{at_risk}Breached if nothing stops it by {last}."


def _preferred(clock: Clock, here: Local) -> str:
    level = f"The preferred level, {here.time(clock.preferred_due_at)},"
    if clock.preferred_met is None:
        return f"{level} is reported apart once the clock ends."
    return f"{level} was {'met' if clock.preferred_met else 'not met'}; it is reported apart."
