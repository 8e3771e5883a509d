"""Protobuf ⇄ the notifier's domain, and the machine the engine runs."""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import partial

from google.protobuf.message import Message

from puntual.notifier.v1 import incident_pb2 as pb, response_pb2
from services.notifier import domain
from services.notifier.incident import Fact, Incident, IncidentState, ItemSeen, Plan, Transition
from services.notifier.items import ANNOUNCED, AT_ONCE, NONE, Details, Handling, Item, Rise, Severity, Standing, Told
from services.notifier.journal import journal
from services.notifier.outbox import Delivery, DeliveryState, Kind
from services.notifier.response_codec import decode_response
from services.notifier.responses import Acknowledgement, Action, Attention, Response
from services.notifier.routing import Address
from services.shared.clock import Now, from_timestamp, set_timestamp, wall_clock
from services.shared.engine.machine import Labels, Machine, Step
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant
from services.shared.keys import customer_of, split_key
from services.shared.parsing import parse_bytes, parse_json

DISPATCH, RESPONSES, RECORDS = "dispatch.v1", "responses.v1", "incidents.v1"

#: Under which state an incident is counted when its route is no longer in the configuration.
OTHER_ROUTE = "other"


def machine(plan: Plan, prefix: str = "puntual.", now: Now = wall_clock) -> Machine[Incident, Fact]:
    """The notifier's second half as the engine sees it. `prefix` goes before every topic name."""
    return Machine(
        name="notifier",
        inputs={
            prefix + DISPATCH: lambda value, is_json: decode(value, is_json, now()),
            prefix + RESPONSES: lambda value, is_json: decode_response(value, is_json, now()),
        },
        record=Incident,
        records=prefix + RECORDS,
        pack=pack,
        unpack=unpack,
        fold=lambda key, old, facts: _folded(key, old, facts, plan, now()),
        due=lambda incident, now: domain.due(incident, now, plan),
        next_deadline=lambda incident: domain.next_deadline(incident, plan),
        step=partial(_step, plan),
        labels=partial(_labels, plan),
        journal=journal(prefix, plan),
    )


def _folded(key: bytes, old: Incident | None, facts: Sequence[Fact], plan: Plan, now: Instant) -> Incident | None:
    incident = domain.fold(key.decode(), old, facts, plan)
    return domain.attempted_at_once(old, incident, now, plan) if incident else None


def _step(plan: Plan, key: bytes, old: Incident | None, new: Incident | None) -> Step:
    before = None if old is None else _labels(plan, old)
    if new is None:
        return Step(b"forgotten", key + b":forgotten", before, None)
    name = Transition(domain.transition(old, new)).name.lower()
    progress = [f"{delivery.sequence}.{delivery.attempts}.{delivery.state}" for delivery in new.deliveries]
    newest = max((item.announced_at for item in new.items), default=NONE)
    said = [response.response_id for response in new.attention.responses[-1:]]
    transition_id = ":".join((key.decode(), name, str(newest), str(new.steps_taken), *said, *progress))
    return Step(name.encode(), transition_id.encode(), before, _labels(plan, new))


def _labels(plan: Plan, incident: Incident) -> Labels:
    route = incident.route if incident.route in plan.routes else OTHER_ROUTE
    return route, IncidentState(incident.state).name.lower()


# --- dispatches


def decode(value: bytes, is_json: bool, seen_at: Instant = NONE) -> list[tuple[bytes, Fact]]:
    """What a dispatch says, and the incident it belongs to. Raises `Unusable`."""
    message = parse_json(pb.Dispatch, value) if is_json else parse_bytes(pb.Dispatch, value)
    item = message.item
    if not (message.incident_id and message.route and item.service and item.standing and item.severity):
        raise Unusable(DeadLetterReason.INVALID, "incident_id, route, service, standing and severity must be set")
    try:
        split_key(item.record_id.encode())
    except ValueError:
        raise Unusable(DeadLetterReason.INVALID, "record_id must be customer/kind/subject") from None
    if item.standing not in ANNOUNCED:
        raise Unusable(
            DeadLetterReason.INVALID, f"standing {item.standing} is unknown to this notifier; bring it up to date"
        )
    return [(message.incident_id.encode(), ItemSeen(message.route, _unpack_item(item), seen_at))]


def pack_dispatch(address: Address, item: Item) -> bytes:
    """A dispatch's bytes."""
    message = pb.Dispatch(incident_id=address.incident_id, route=address.route)
    _pack_item(message.item, item)
    return message.SerializeToString()


# --- incidents


def pack(incident: Incident) -> bytes:
    """The record's bytes: the same for equal incidents."""
    message = pb.Incident(
        incident_id=incident.incident_id,
        route=incident.route,
        state=pb.IncidentState.ValueType(incident.state),
        next_sequence=incident.next_sequence,
        unfollowed=incident.unfollowed,
    )
    _set(message, "since", incident.since)
    _pack_attention(message, incident.attention)
    message.steps_taken = incident.steps_taken
    _set(message, "next_step_at", incident.next_step_at)
    _set(message, "next_look_at", incident.next_look_at)
    _set(message, "looked_at", incident.looked_at)
    for item in incident.items:
        _pack_item(message.items.add(), item)
    for delivery in incident.deliveries:
        _pack_delivery(message.deliveries.add(), delivery)
    return message.SerializeToString()


def unpack(value: bytes) -> Incident:
    """The incident in a record's bytes."""
    message = pb.Incident.FromString(value)
    return Incident(
        incident_id=message.incident_id,
        route=message.route,
        state=known(message.state, IncidentState.OPEN),
        since=from_timestamp(message.since),
        items=tuple(map(_unpack_item, message.items)),
        deliveries=unpack_deliveries(message.deliveries),
        next_sequence=message.next_sequence,
        attention=_unpack_attention(message),
        steps_taken=message.steps_taken,
        next_step_at=from_timestamp(message.next_step_at),
        next_look_at=from_timestamp(message.next_look_at),
        looked_at=from_timestamp(message.looked_at),
        unfollowed=message.unfollowed,
    )


def _pack_attention(message: pb.Incident, attention: Attention) -> None:
    _set(message, "opened_at", attention.opened_at)
    if seen_to := attention.acknowledgement:
        message.acknowledgement.by = seen_to.by
        message.acknowledgement.snoozed = seen_to.snoozed
        _set(message.acknowledgement, "acknowledged_at", seen_to.acknowledged_at)
        _set(message.acknowledgement, "until", seen_to.until)
    for response in attention.responses:
        answered = message.responses.add(
            response_id=response.response_id,
            action=response_pb2.ResponseAction.ValueType(response.action),
            by=response.by,
            comment=response.comment,
            via=response.via,
        )
        for name in _RESPONSE_TIMES:
            _set(answered, name, getattr(response, name))


_RESPONSE_TIMES = ("responded_at", "until", "heard_at")


def _unpack_attention(message: pb.Incident) -> Attention:
    seen_to = message.acknowledgement
    acknowledgement = Acknowledgement(
        seen_to.by, from_timestamp(seen_to.acknowledged_at), from_timestamp(seen_to.until), seen_to.snoozed
    )
    return Attention(
        from_timestamp(message.opened_at),
        acknowledgement if message.HasField("acknowledgement") else None,
        tuple(map(_unpack_response, message.responses)),
    )


def _unpack_response(answered: pb.Answered) -> Response:
    return Response(
        response_id=answered.response_id,
        action=known(answered.action, Action.COMMENT),
        by=answered.by,
        comment=answered.comment,
        via=answered.via,
        target="",
        **{name: from_timestamp(getattr(answered, name)) for name in _RESPONSE_TIMES},
    )


def unpack_deliveries(deliveries: Iterable[pb.Delivery]) -> tuple[Delivery, ...]:
    """The deliveries of an incident."""
    return tuple(map(_unpack_delivery, deliveries))


_NUMBERS: Mapping[type[IntEnum], frozenset[int]] = {
    enum: frozenset(map(int, enum))
    for enum in (Action, Handling, Standing, Severity, IncidentState, Kind, DeliveryState)
}


def known(number: int, otherwise: IntEnum) -> int:
    """The number; where a newer version wrote one that this one does not know, what tells people rather than not."""
    return number if number in _NUMBERS[type(otherwise)] else otherwise


_ITEM_TIMES = ("due_at", "since", "announced_at", "flipped_at")
_DETAIL_TEXTS = (
    "customer_name", "customer_locale", "customer_time_zone", "customer_tier", "site", "team", "reason",
)  # fmt: skip


def _pack_item(message: pb.Item, item: Item) -> None:
    message.record_id = item.record_id
    message.service = item.service
    message.kind = item.kind
    message.standing = pb.Standing.ValueType(item.standing)
    message.severity = pb.Severity.ValueType(item.severity)
    message.offset = item.offset
    message.follow_up = item.follow_up
    message.cycle = item.cycle
    message.flips = item.flips
    message.handling = pb.Handling.ValueType(item.handling)
    for name in _ITEM_TIMES:
        _set(message, name, getattr(item, name))
    for told in item.told:
        message.told.add(
            target=told.target,
            standing=pb.Standing.ValueType(told.standing),
            delivery_id=told.delivery_id,
            thread=told.thread,
            lost=told.lost,
        )
    for rise in item.rises:
        _set(message.rises.add(severity=pb.Severity.ValueType(rise.severity)), "at", rise.at)
    if item.details is None:
        return
    key = item.record_id.encode()
    message.customer_id = customer_of(key)
    message.subject_id = split_key(key)[2]
    # Its presence says that there are details.
    set_timestamp(message.original_due_at, item.details.original_due_at)
    for name in _DETAIL_TEXTS:
        setattr(message, name, getattr(item.details, name))
    if item.details.breaches is not None:
        message.breaches = item.details.breaches
    message.waiting, message.unheard = item.details.waiting, item.details.unheard
    _set(message, "unheard_since", item.details.unheard_since)


def _unpack_item(message: pb.Item) -> Item:
    return Item(
        service=message.service,
        record_id=message.record_id,
        kind=message.kind,
        standing=known(message.standing, Standing.BROKEN),
        due_at=from_timestamp(message.due_at),
        since=from_timestamp(message.since),
        offset=message.offset,
        announced_at=from_timestamp(message.announced_at),
        severity=known(message.severity, Severity.CRITICAL),
        cycle=message.cycle or 1,
        follow_up=message.follow_up,
        told=tuple(map(_unpack_told, message.told)),
        details=_unpack_details(message) if message.HasField("original_due_at") else None,
        handling=known(message.handling, Handling.UNSPECIFIED),
        flips=message.flips,
        flipped_at=from_timestamp(message.flipped_at),
        rises=tuple(Rise(from_timestamp(rise.at), known(rise.severity, Severity.CRITICAL)) for rise in message.rises),
    )


def _unpack_told(message: pb.Told) -> Told:
    standing = known(message.standing, Standing.BROKEN)
    return Told(message.target, standing, message.delivery_id, message.thread, message.lost)


def _unpack_details(message: pb.Item) -> Details:
    texts = (getattr(message, name) for name in _DETAIL_TEXTS)
    breaches = message.breaches if message.HasField("breaches") else None
    return Details(from_timestamp(message.original_due_at), *texts)._replace(
        breaches=breaches,
        waiting=message.waiting,
        unheard=message.unheard,
        unheard_since=from_timestamp(message.unheard_since),
    )


def _pack_delivery(message: pb.Delivery, delivery: Delivery) -> None:
    message.delivery_id = delivery.delivery_id
    message.sequence = delivery.sequence
    message.kind = pb.NotificationKind.ValueType(delivery.kind)
    message.severity = pb.Severity.ValueType(delivery.severity)
    message.target = delivery.target
    message.channel = delivery.channel
    message.item_count = delivery.item_count
    message.state = pb.DeliveryState.ValueType(delivery.state)
    message.attempts = delivery.attempts
    message.last_failure = delivery.last_failure
    message.provider_id = delivery.provider_id
    message.may_repeat = delivery.may_repeat
    message.answers.extend(delivery.answers)
    message.over.extend(delivery.over)
    message.threads.extend(delivery.threads)
    message.by = delivery.by
    for name in _DELIVERY_TIMES:
        _set(message, name, getattr(delivery, name))
    if delivery.next_attempt_at != AT_ONCE:
        _set(message, "next_attempt_at", delivery.next_attempt_at)
    for item in delivery.items:
        _pack_item(message.items.add(), item)


_DELIVERY_TIMES = ("decided_at", "settled_at", "give_up_at", "opened_at")


def _unpack_delivery(message: pb.Delivery) -> Delivery:
    return Delivery(
        delivery_id=message.delivery_id,
        sequence=message.sequence,
        kind=known(message.kind, Kind.BREACH),
        severity=known(message.severity, Severity.CRITICAL),
        target=message.target,
        channel=message.channel,
        items=tuple(map(_unpack_item, message.items)),
        item_count=message.item_count,
        decided_at=from_timestamp(message.decided_at),
        answers=tuple(message.answers),
        over=tuple(message.over),
        threads=tuple(message.threads),
        state=known(message.state, DeliveryState.PENDING),
        attempts=message.attempts,
        next_attempt_at=from_timestamp(message.next_attempt_at) or AT_ONCE,
        give_up_at=from_timestamp(message.give_up_at),
        last_failure=message.last_failure,
        provider_id=message.provider_id,
        settled_at=from_timestamp(message.settled_at),
        by=message.by,
        opened_at=from_timestamp(message.opened_at),
        may_repeat=message.may_repeat,
    )


def _set(message: Message, field: str, at: Instant) -> None:
    """Write an instant; "no such instant" is an absent field."""
    if at:
        set_timestamp(getattr(message, field), at)
