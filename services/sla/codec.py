"""Protobuf ⇄ the clock domain, and the machine the engine runs."""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, TypeVar

from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.common_pb2 import CONSENT_ACCEPTED, PARTY_CUSTOMER, Cancelled
from puntual.events.v1.contact_event_pb2 import (
    AUTHOR_AUTOMATIC,
    AUTHOR_HUMAN,
    AUTHOR_UNSPECIFIED,
    ContactEvent,
    ContactReplied,
)
from puntual.events.v1.order_event_pb2 import MILESTONE_UNSPECIFIED, OrderDelivered, OrderEvent, OrderWaived
from puntual.sla.v1 import clock_pb2 as pb
from services.shared.clock import from_timestamp, from_timestamps
from services.shared.contexts import pack_context, read_context, unpack_context
from services.shared.engine.machine import Decoder, Machine
from services.shared.envelope import Limits, open_envelope
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.facts import NO_CONTEXT
from services.shared.keys import ids_of, record_key, routing_key
from services.shared.wire import text, timestamp, varint
from services.sla import domain
from services.sla.domain import Clock, Fact, FactKind, Identity, Metric, Standards, State

CONTACTS, CALLBACKS, ORDERS = "contacts.v1", "callbacks.v1", "orders.v1"
RECORDS = "sla.v1"

_METRIC_NAMES: Mapping[int, str] = {metric: metric.name.lower() for metric in Metric}
_METRICS = {name: metric for metric, name in _METRIC_NAMES.items()}
_STATE_NAMES: Mapping[int, str] = {state: state.name.lower() for state in State}
_TRANSITION_NAMES = {transition: transition.name.lower() for transition in domain.Transition}

#: What an event does to the clock, and what to call it; None: nothing this clock has to know.
_Meaning = tuple[FactKind, str] | None
#: For each arm of an event that the clock knows, its meaning. Other events concern others.
_Arms = Mapping[str, Callable[[Any], _Meaning]]
E = TypeVar("E", ContactEvent, CallbackEvent, OrderEvent)


def machine(standards: Standards, limits: Limits, prefix: str = "puntual.") -> Machine[Clock, Fact]:
    """The sla service as the engine sees it. `prefix` goes before every topic name."""

    def decoder(message_type: type[E], arms: _Arms, metric: Metric) -> Decoder[Fact]:
        # What no standard times leaves no facts, but is looked at all the same.
        return _decoder(message_type, arms if metric in standards.metrics else {}, metric, limits)

    decoders: Mapping[str, Decoder[Fact]] = {
        CONTACTS: decoder(ContactEvent, _CONTACT, Metric.FIRST_REPLY),
        # What cannot be used here cannot be used by the promise service either, and one dead letter is enough.
        CALLBACKS: _quiet(decoder(CallbackEvent, _CALLBACK, Metric.CALLBACK_RETURNED)),
        ORDERS: _quiet(decoder(OrderEvent, _ORDER, Metric.CUSTOMER_TOLD)),
    }
    return Machine(
        name="sla",
        inputs={prefix + topic: decoder for topic, decoder in decoders.items()},
        records=prefix + RECORDS,
        pack=pack,
        unpack=unpack,
        fold=lambda key, old, facts: (
            domain.fold(old, facts, standards) if old else domain.note(identity(key), facts, standards)
        ),
        due=lambda clock, now: domain.due(clock, now, standards),
        next_deadline=lambda clock: domain.next_deadline(clock, standards),
        transition=_transition,
        labels=lambda clock: (_METRIC_NAMES[clock.metric], _STATE_NAMES[clock.state]),
        routing=routing_key,
        margin=domain.margin,
        breached_at=domain.breached_at,
    )


def identity(key: bytes) -> Identity:
    """Which clock a record key, as the decoders make it, names."""
    customer, metric, subject = ids_of(key)
    return key, _METRICS[metric], customer, subject


def _transition(key: bytes, old: Clock | None, new: Clock | None) -> tuple[str, str]:
    if new is None:
        return "forgotten", f"{key.decode()}:forgotten"
    name = _TRANSITION_NAMES[domain.transition(old, new)]
    return name, f"{key.decode()}:{name}:{new.due_at}"


# --- events to facts


def _decoder(message_type: type[E], arms: _Arms, metric: Metric, limits: Limits) -> Decoder[Fact]:
    """Reads the events of one topic as facts for the clocks of one metric."""
    name = _METRIC_NAMES[metric]

    def decode(value: bytes, is_json: bool) -> Iterable[tuple[bytes, Fact]]:
        event, at = open_envelope(message_type, value, is_json, limits)
        arm = event.WhichOneof("event")
        if arm is None:
            raise Unusable(DeadLetterReason.UNKNOWN_TYPE, "no event is set, or one that this version does not know")
        read = arms.get(arm)
        meaning = read(getattr(event, arm)) if read else None
        if not meaning:
            return ()
        fact = Fact(at, event.source, event.event_id, *meaning, read_context(event))
        return ((record_key(event.customer_id, name, event.subject_id), fact),)

    return decode


def _quiet(decode: Decoder[Fact]) -> Decoder[Fact]:
    """The decoder without complaints: input that it cannot use holds no facts."""

    def decode_quietly(value: bytes, is_json: bool) -> Iterable[tuple[bytes, Fact]]:
        try:
            return decode(value, is_json)
        except Unusable:
            return ()

    return decode_quietly


def _is(kind: FactKind, what: str) -> Callable[[object], _Meaning]:
    return lambda _event: (kind, what)


def _replied(event: ContactReplied) -> _Meaning:
    """Only people answer; a reply whose author is not stated is a person's."""
    meaning = _AUTHORS.get(event.author)
    if meaning is None:
        raise Unusable(
            DeadLetterReason.INVALID, "replied.author must be AUTHOR_HUMAN or AUTHOR_AUTOMATIC: the verdict hangs on it"
        )
    return meaning


_AUTHORS: Mapping[int, _Meaning] = {
    AUTHOR_UNSPECIFIED: (FactKind.STOPPED, "replied"),
    AUTHOR_HUMAN: (FactKind.STOPPED, "replied"),
    AUTHOR_AUTOMATIC: (FactKind.OTHER, "replied (automatic)"),
}


def _callback_cancelled(event: Cancelled) -> _Meaning:
    """Who asked to be called back may call it off, or agree to it; the company alone may not."""
    if event.by == PARTY_CUSTOMER:
        return FactKind.CANCELLED, "cancelled by the customer"
    if event.consent == CONSENT_ACCEPTED:
        return FactKind.CANCELLED, "cancelled by agreement"
    return FactKind.OTHER, "cancelled by us"


def _delivered(event: OrderDelivered) -> _Meaning:
    """Who has the whole order need not be told that it is ready."""
    if event.HasField("in_full") and not event.in_full:
        return FactKind.OTHER, "delivered in part"
    return FactKind.STOPPED, "delivered"


def _order_waived(event: OrderWaived) -> _Meaning:
    """A waiver of one promise of the order is no waiver of this standard."""
    return (FactKind.CANCELLED, "waived") if event.milestone == MILESTONE_UNSPECIFIED else None


_CONTACT: _Arms = {
    "received": _is(FactKind.STARTED, "received"),
    "replied": _replied,
    # Settled without a reply: none was needed.
    "resolved": _is(FactKind.CANCELLED, "resolved"),
    "closed": _is(FactKind.CANCELLED, "closed"),
}
_CALLBACK: _Arms = {
    "requested": _is(FactKind.STARTED, "requested"),
    "attempted": _is(FactKind.OTHER, "attempted"),
    "returned": _is(FactKind.STOPPED, "returned"),
    "cancelled": _callback_cancelled,
    "waived": _is(FactKind.CANCELLED, "waived"),
}
_ORDER: _Arms = {
    "ready": _is(FactKind.STARTED, "ready"),
    "customer_told": _is(FactKind.STOPPED, "customer told"),
    "delivered": _delivered,
    "cancelled": _is(FactKind.CANCELLED, "cancelled"),
    "waived": _order_waived,
}


# --- records


def pack(clock: Clock) -> bytes:
    """The record as bytes: the same for equal clocks. Each tag is a number in `clock.proto` and a type."""
    (
        key, metric, customer_id, subject_id, state, policy, standards_version, started_at, due_at, preferred_due_at,
        warn_at, breach_at, stopped_at, preferred_met, context, facts,
    ) = clock  # fmt: skip
    parts = [
        b"\x0a", varint(len(key)), key, b"\x10", varint(metric), text(b"\x1a", customer_id), text(b"\x22", subject_id),
        b"\x28", varint(state), text(b"\x32", policy), text(b"\x3a", standards_version),
    ]  # fmt: skip
    if started_at:
        parts += b"\x42", timestamp(started_at), b"\x4a", timestamp(due_at)
        if preferred_due_at:
            parts += b"\x52", timestamp(preferred_due_at)
        if warn_at:
            parts += b"\x5a", timestamp(warn_at)
        parts += b"\x62", timestamp(breach_at)
        if stopped_at:
            parts += b"\x6a", timestamp(stopped_at)
        if preferred_met is not None:
            parts.append(b"\x70\x01" if preferred_met else b"\x70\x00")
    if context is not NO_CONTEXT:
        parts.append(pack_context(b"\x7a", context))
    for fact in facts:
        packed = _pack_fact(fact)
        parts += b"\x82\x01", varint(len(packed)), packed
    return b"".join(parts)


def _pack_fact(fact: Fact) -> bytes:
    occurred_at, source, event_id, kind, what, context = fact
    packed = text(b"\x0a", event_id) + text(b"\x12", source) + b"\x1a" + timestamp(occurred_at)
    packed += b"\x20" + varint(kind) + text(b"\x2a", what)
    if context is not NO_CONTEXT:
        packed += pack_context(b"\x32", context)
    return packed


_TIMES = attrgetter("started_at", "due_at", "preferred_due_at", "warn_at", "breach_at", "stopped_at")


def unpack(value: bytes) -> Clock:
    """The clock in `pack`'s bytes."""
    record = pb.Clock.FromString(value)
    started_at, due_at, preferred_due_at, warn_at, breach_at, stopped_at = from_timestamps(_TIMES(record))
    return Clock(
        record.clock_id.encode(), record.metric, record.customer_id, record.subject_id, record.state, record.policy,
        record.standards_version, started_at, due_at, preferred_due_at, warn_at, breach_at, stopped_at,
        record.preferred_met if record.HasField("preferred_met") else None,
        unpack_context(record), tuple([_unpack_fact(fact) for fact in record.facts]),
    )  # fmt: skip


def _unpack_fact(fact: pb.Fact) -> Fact:
    return Fact(
        from_timestamp(fact.occurred_at), fact.source, fact.event_id, fact.kind, fact.what, unpack_context(fact)
    )
