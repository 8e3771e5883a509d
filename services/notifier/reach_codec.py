"""What is asked of the rules, and whom it would reach, in protobuf: `puntual incidents test-route` and TestRoute."""

from collections.abc import Iterable

from puntual.notifier.v1 import reach_pb2 as pb
from puntual.notifier.v1.incident_pb2 import Severity
from services.notifier.items import NONE, TROUBLE, Details, Item, Standing
from services.notifier.kinds import KINDS
from services.notifier.reach import Condition, Miss, Reach, Taken, Told
from services.shared.clock import set_timestamp
from services.shared.errors import PuntualError
from services.shared.instant import Instant
from services.shared.keys import record_key


class Misasked(PuntualError):
    """A question that makes no sense: which part of it, and what is right."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}.")
        self.field, self.problem = field, problem


def asked(service: str, kind: str, standing: int, customer: str, details: Details, due_at: Instant = NONE) -> Item:
    """The item that is asked about. Raises Misasked."""
    if service not in KINDS:
        raise Misasked("service", f"{service!r} is no service; write one of {', '.join(KINDS)}")
    if kind not in KINDS[service]:
        raise Misasked("kind", f"{service} has no kind {kind!r}; write one of {', '.join(KINDS[service])}")
    if standing not in TROUBLE:
        raise Misasked("standing", "it is no trouble; write at risk or broken")
    if due_at and standing != Standing.BROKEN:
        raise Misasked("late", "only what is broken is late; ask of what is broken")
    return Item(
        service=service,
        record_id=record_key(customer, kind, "any").decode(),
        kind=kind,
        standing=Standing(standing),
        due_at=due_at,
        since=NONE,
        offset=0,
        announced_at=NONE,
        details=details,
    )


def pack_reach(found: Reach) -> pb.Reach:
    """All that is known of it."""
    message = pb.Reach(
        severity=Severity.ValueType(found.severity),
        severity_rule=found.severity_rule or 0,
        severity_met=_conditions(found.severity_met),
        severity_misses=map(_miss, found.severity_misses),
        routes=(_route(taken, found.at) for taken in found.routes),
        route_misses=map(_miss, found.route_misses),
        risk_told_by=(route.name for route in found.risk.values() if route.at_risk),
    )
    set_timestamp(message.at, found.at)
    return message


def _conditions(conditions: Iterable[Condition]) -> Iterable[pb.RuleCondition]:
    return [pb.RuleCondition(label=label, value=value, accepted=accepted) for label, value, accepted in conditions]


def _miss(miss: Miss) -> pb.MissedRule:
    return pb.MissedRule(number=miss.number, name=miss.name, unmet=_conditions(miss.unmet))


def _route(taken: Taken, at: Instant) -> pb.ReachedRoute:
    message = pb.ReachedRoute(
        number=taken.number,
        name=taken.route.name,
        met=_conditions(taken.met),
        continues=taken.route.proceeds,
        incident_id=taken.incident_id,
        told=map(_target, taken.told),
    )
    for turn in taken.turns:
        step = message.steps.add(told=map(_target, turn.told))
        step.after.FromMicroseconds(turn.after)
        set_timestamp(step.at, Instant(at + turn.after))
    for held in taken.held:
        hold = message.held.add(reason=held.reason, by=held.by)
        set_timestamp(hold.until, held.until or NONE)
    for number, rule in taken.causes:
        cause = [pb.RuleCondition(label=label, accepted=sorted(values)) for label, values in rule.cause.items()]
        message.inhibitions.add(number=number, cause=cause, equal=rule.equal)
    return message


def _target(told: Told) -> pb.ReachedTarget:
    message = pb.ReachedTarget(
        target=told.target, channel=told.channel, schedule=told.schedule, person=told.person, fallbacks=told.fallbacks
    )
    if told.shift:
        message.is_fallback = not told.shift.who
        set_timestamp(message.on_call_until, told.shift.end)
    if told.quiet_until:
        set_timestamp(message.quiet_until, told.quiet_until)
    return message
