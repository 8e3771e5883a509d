"""Protobuf ⇄ the clock domain, and the machine the engine runs."""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

from google.protobuf.message import Message
from librt.strings import BytesWriter

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
from services.shared.contexts import put_context, stated_in, unpack_context
from services.shared.engine.machine import Decoder, Labels, Machine, Step
from services.shared.envelope import Limits
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.keys import ids_of, record_key
from services.shared.opener import Opener
from services.shared.partitioner import home_of
from services.shared.wire import COMPILED, Reader, put_flag, put_message, put_number, put_text, put_timestamp
from services.sla import domain
from services.sla.model import Clock, Fact, FactKind, Identity, Metric, Standards, State, Transition

CONTACTS, CALLBACKS, ORDERS = "contacts.v1", "callbacks.v1", "orders.v1"
RECORDS = "sla.v1"

_METRIC_NAMES: Mapping[int, str] = {metric: metric.name.lower() for metric in Metric}
_METRICS = {name: metric for metric, name in _METRIC_NAMES.items()}
_LABELS: Mapping[int, Mapping[int, Labels]] = {
    metric: {state: (name, state.name.lower()) for state in State} for metric, name in _METRIC_NAMES.items()
}
_TRANSITION_NAMES = {transition: transition.name.lower().encode() for transition in Transition}

#: What an event does to the clock, and what to call it; None: nothing this clock has to know.
_Meaning = tuple[FactKind, str] | None
#: For each arm of an event that the clock knows, its meaning. Other events concern others.
_Arms = Mapping[str, Callable[[Any], _Meaning]]


def machine(standards: Standards, limits: Limits, prefix: str = "puntual.") -> Machine[Clock, Fact]:
    """The sla service as the engine sees it. `prefix` goes before every topic name."""

    def decoder(message_type: type[Message], arms: _Arms, metric: Metric) -> Decoder[Fact]:
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
        record=Clock,
        records=prefix + RECORDS,
        pack=pack,
        unpack=unpack,
        fold=lambda key, old, facts: (
            domain.fold(old, facts, standards) if old else domain.note(identity(key), facts, standards)
        ),
        due=lambda clock, now: domain.due(clock, now, standards),
        next_deadline=lambda clock: domain.next_deadline(clock, standards),
        step=_step,
        labels=_labels,
        home=home_of,
    )


def identity(key: bytes) -> Identity:
    """Which clock a record key, as the decoders make it, names."""
    customer, metric, subject = ids_of(key)
    return key, _METRICS[metric], customer, subject


def _step(key: bytes, old: Clock | None, new: Clock | None) -> Step:
    before = None if old is None else _labels(old)
    if new is None:
        return Step(b"forgotten", key + b":forgotten", before, None)
    name = _TRANSITION_NAMES[domain.transition(old, new)]
    transition_id = b"%b:%b:%d" % (key, name, new.due_at)
    return Step(name, transition_id, before, _labels(new), domain.margin(old, new), domain.breached_at(old, new))


def _labels(clock: Clock) -> Labels:
    return _LABELS[clock.metric][clock.state]


# --- events to facts


def _decoder(message_type: type[Message], arms: _Arms, metric: Metric, limits: Limits) -> Decoder[Fact]:
    """Reads the events of one topic as facts for the clocks of one metric."""
    name, opener = _METRIC_NAMES[metric], Opener(message_type, limits)

    def decode(value: bytes, is_json: bool) -> Iterable[tuple[bytes, Fact]]:
        event = opener.open(value, is_json)
        if not event.arm:
            raise Unusable(DeadLetterReason.UNKNOWN_TYPE, "no event is set, or one that this version does not know")
        read = arms.get(event.arm)
        meaning = read(event.body) if read else None
        if not meaning:
            return ()
        fact = Fact(event.occurred_at, event.source, event.event_id, *meaning, event.context)
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
    """The record as bytes: the same for equal clocks. The numbers are those of the fields in `clock.proto`."""
    out = BytesWriter()
    put_message(out, 1, clock.key)
    put_number(out, 2, clock.metric)
    put_text(out, 3, clock.customer_id)
    put_text(out, 4, clock.subject_id)
    put_number(out, 5, clock.state)
    put_text(out, 6, clock.policy)
    put_text(out, 7, clock.standards_version)
    put_timestamp(out, 8, clock.started_at)
    put_timestamp(out, 9, clock.due_at)
    put_timestamp(out, 10, clock.preferred_due_at)
    put_timestamp(out, 11, clock.warn_at)
    put_timestamp(out, 12, clock.breach_at)
    put_timestamp(out, 13, clock.stopped_at)
    if clock.preferred_met is not None:
        put_flag(out, 14, clock.preferred_met)
    put_context(out, 15, clock.context)
    for fact in clock.facts:
        put_message(out, 16, _pack_fact(fact))
    return out.getvalue()


def _pack_fact(fact: Fact) -> bytes:
    out = BytesWriter()
    put_text(out, 1, fact.event_id)
    put_text(out, 2, fact.source)
    put_timestamp(out, 3, fact.occurred_at)
    put_number(out, 4, fact.kind)
    put_text(out, 5, fact.what)
    put_context(out, 6, fact.context)
    return out.getvalue()


def _unpack_plain(value: bytes) -> Clock:
    record = Reader(value)
    clock = Clock(
        record.chunk(1), record.number(2), record.text(3), record.text(4), record.number(5), record.text(6),
        record.text(7), record.timestamp(8), record.timestamp(9), record.timestamp(10), record.timestamp(11),
        record.timestamp(12), record.timestamp(13),
        record.number(14) != 0 if record.field == 14 else None,  # noqa: PLR2004 - present also where it is false
        stated_in(record, 15), _unpack_plain_facts(record),
    )  # fmt: skip
    record.done()
    return clock


def _unpack_plain_facts(record: Reader) -> tuple[Fact, ...]:
    facts = []
    while fact := record.message(16):
        event_id, source, occurred_at = fact.text(1), fact.text(2), fact.timestamp(3)
        facts.append(Fact(occurred_at, source, event_id, fact.number(4), fact.text(5), stated_in(fact, 6)))
        fact.done()
    return tuple(facts)


_TIMES = attrgetter("started_at", "due_at", "preferred_due_at", "warn_at", "breach_at", "stopped_at")


def unpack(value: bytes) -> Clock:
    """The clock in `pack`'s bytes."""
    if COMPILED:
        try:
            return _unpack_plain(value)
        except ValueError:  # NotPlain
            pass
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
