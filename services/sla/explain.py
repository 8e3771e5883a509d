"""Why a clock's verdict is what it is, in words. Pure."""

from collections.abc import Mapping

from services.shared.duration import format_duration
from services.shared.explanation import Explanation, Local, Step, distance, local
from services.sla.domain import Clock, FactKind, Metric, State

_SUBJECTS: Mapping[int, str] = {
    Metric.FIRST_REPLY: "First reply to contact {}",
    Metric.CALLBACK_RETURNED: "Callback {} returned",
    Metric.CUSTOMER_TOLD: "Customer told that order {} is ready",
}


def explain(clock: Clock) -> Explanation:
    """The verdict, each fact with what it did, and the arithmetic; times in the customer's zone, else in UTC."""
    times = local(clock.context.customer_time_zone)
    subject = _SUBJECTS[clock.metric].format(clock.subject_id)
    whom = f" for customer {clock.customer_id}" if clock.customer_id else ""
    effects = _effects(clock)
    steps = (
        Step(times.time(fact.occurred_at), fact.what, effect, f"{fact.source}/{fact.event_id}")
        for fact, effect in zip(clock.facts, effects, strict=True)
    )
    state = State(clock.state).name.lower().replace("_", " ")
    return Explanation(f"{subject}{whom}: {state}", tuple(steps), _reasoning(clock, times))


def _effects(clock: Clock) -> list[str]:
    """What each fact did: the first start starts, the first stop stops, the first calling off in time calls off."""
    effects, seen = [], set[int]()
    for fact in clock.facts:
        counts = fact.kind not in seen
        seen.add(fact.kind)
        if fact.kind == FactKind.STARTED and counts:
            effects.append("starts the clock")
        elif fact.kind == FactKind.STOPPED and counts and fact.occurred_at == clock.stopped_at:
            effects.append("stops the clock")
        elif fact.kind == FactKind.CANCELLED and counts and clock.state == State.CANCELLED:
            effects.append("calls it off")
        else:
            effects.append("changes nothing")
    return effects


def _reasoning(clock: Clock, times: Local) -> tuple[str, ...]:
    judged = f"Judged by standards version {clock.standards_version}."
    if clock.state == State.NOTED:
        return "Something is known of it, but nothing started the clock yet.", judged
    limit = format_duration(clock.due_at - clock.started_at)
    lines = [
        f"Standard: {clock.policy}.",
        f"Started {times.time(clock.started_at)} + {limit} = due {times.time(clock.due_at)}.",
        _verdict(clock, times),
    ]
    if clock.preferred_due_at:
        lines.append(_preferred(clock, times))
    return (*lines, judged)


def _verdict(clock: Clock, times: Local) -> str:
    last = times.time(clock.breach_at)
    grace = clock.breach_at - clock.due_at
    waiting = f" ({format_duration(grace)} after due)" if grace else ""
    match clock.state:
        case State.MET | State.MISSED:
            after = format_duration(max(clock.stopped_at - clock.started_at, 0))
            margin = distance(clock.stopped_at, clock.due_at)
            return f"Stopped {times.time(clock.stopped_at)}, after {after}: {margin}."
        case State.BREACHED:
            return f"Nothing had stopped it by {last}{waiting}, so the standard is breached."
        case State.CANCELLED:
            return "It was called off before it was due, so it does not count."
        case _:
            at_risk = f"At risk since {times.time(clock.warn_at)}. " if clock.state == State.AT_RISK else ""
            return f"{at_risk}Breached if nothing stops it by {last}{waiting}."


def _preferred(clock: Clock, times: Local) -> str:
    outcome = {None: "not known yet", True: "met", False: "not met"}[clock.preferred_met]
    return f"Preferred: by {times.time(clock.preferred_due_at)}; {outcome}. It is reported apart and breaches nothing."
