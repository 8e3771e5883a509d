"""Between protobuf and the domain: events become facts, clocks become records and back.

Hot code: a message's field is read once, and nested messages are written by attribute, which costs half of what keyword
arguments do.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError

from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.common_pb2 import CONSENT_ACCEPTED, PARTY_CUSTOMER, Cancelled
from puntual.events.v1.contact_event_pb2 import AUTHOR_AUTOMATIC, ContactEvent, ContactReplied
from puntual.events.v1.order_event_pb2 import MILESTONE_UNSPECIFIED, OrderDelivered, OrderEvent, OrderWaived
from puntual.sla.v1 import clock_pb2 as pb
from services.shared.clock import from_timestamp, set_timestamp
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant, parse_instant
from services.shared.keys import customer_of, record_key, split_key
from services.sla.domain import NO_CONTEXT, Clock, Context, Fact, FactKind, Identity, Metric

Event: TypeAlias = ContactEvent | CallbackEvent | OrderEvent
#: What an event does to the clock, and what to call it; None: nothing this clock has to know.
_Meaning: TypeAlias = tuple[FactKind, str] | None

_EARLIEST, _LATEST = parse_instant("2000-01-01T00:00:00Z"), parse_instant("2200-01-01T00:00:00Z")


def decode_contact(value: bytes, json: bool) -> list[tuple[bytes, Fact]]:
    """The facts of a ContactEvent for clocks of the first reply. Raises Unusable."""
    return _decode(ContactEvent(), value, json, Metric.FIRST_REPLY)


def decode_callback(value: bytes, json: bool) -> list[tuple[bytes, Fact]]:
    """The facts of a CallbackEvent for clocks of the returned call. Raises Unusable."""
    return _decode(CallbackEvent(), value, json, Metric.CALLBACK_RETURNED)


def decode_order(value: bytes, json: bool) -> list[tuple[bytes, Fact]]:
    """The facts of an OrderEvent for clocks of the customer told. Raises Unusable."""
    return _decode(OrderEvent(), value, json, Metric.CUSTOMER_TOLD)


def identity(key: bytes) -> Identity:
    """Which clock a record key, as the decoders make it, names."""
    _routing, metric, subject_id = split_key(key)
    return Identity(key, _METRICS[metric], customer_of(key), subject_id)


def pack(clock: Clock) -> bytes:
    """The record's bytes: the same for equal clocks."""
    message = pb.Clock()
    message.clock_id = clock.key.decode()
    message.metric = pb.Metric.ValueType(clock.metric)
    message.customer_id = clock.customer_id
    message.subject_id = clock.subject_id
    message.state = pb.ClockState.ValueType(clock.state)
    message.policy = clock.policy
    message.standards_version = clock.standards_version
    if clock.started_at:
        set_timestamp(message.started_at, clock.started_at)
        set_timestamp(message.due_at, clock.due_at)
        set_timestamp(message.breach_at, clock.breach_at)
    if clock.preferred_due_at:
        set_timestamp(message.preferred_due_at, clock.preferred_due_at)
    if clock.warn_at:
        set_timestamp(message.warn_at, clock.warn_at)
    if clock.stopped_at:
        set_timestamp(message.stopped_at, clock.stopped_at)
    if clock.preferred_met is not None:
        message.preferred_met = clock.preferred_met
    _pack_context(message, clock.context)
    for fact in clock.facts:
        _pack_fact(message.facts.add(), fact)
    return message.SerializeToString()


def unpack(value: bytes) -> Clock:
    """The clock in a record's bytes."""
    message = pb.Clock.FromString(value)
    return Clock(
        message.clock_id.encode(),
        message.metric,
        message.customer_id,
        message.subject_id,
        message.state,
        message.policy,
        message.standards_version,
        from_timestamp(message.started_at),
        from_timestamp(message.due_at),
        from_timestamp(message.preferred_due_at),
        from_timestamp(message.warn_at),
        from_timestamp(message.breach_at),
        from_timestamp(message.stopped_at),
        message.preferred_met if message.HasField("preferred_met") else None,
        _context(message.context) if message.HasField("context") else NO_CONTEXT,
        tuple(_unpack_fact(fact) for fact in message.facts),
    )


def _pack_context(message: pb.Clock | pb.Fact, context: Context) -> None:
    if context == NO_CONTEXT:
        return
    target = message.context
    (
        target.customer_name,
        target.customer_locale,
        target.customer_time_zone,
        target.customer_tier,
        target.site,
        target.team,
        target.channel,
    ) = context


def _pack_fact(message: pb.Fact, fact: Fact) -> None:
    message.event_id = fact.event_id
    message.source = fact.source
    set_timestamp(message.occurred_at, fact.occurred_at)
    message.kind = pb.FactKind.ValueType(fact.kind)
    message.what = fact.what
    _pack_context(message, fact.context)


def _unpack_fact(message: pb.Fact) -> Fact:
    return Fact(
        from_timestamp(message.occurred_at),
        message.source,
        message.event_id,
        message.kind,
        message.what,
        _context(message.context) if message.HasField("context") else NO_CONTEXT,
    )


def _context(stated: Event | pb.Context) -> Context:
    """Events and records name these fields alike."""
    return Context(
        stated.customer_name,
        stated.customer_locale,
        stated.customer_time_zone,
        stated.customer_tier,
        stated.site,
        stated.team,
        stated.channel,
    )


def _decode(event: Event, value: bytes, json: bool, metric: Metric) -> list[tuple[bytes, Fact]]:
    _parse(event, value, json)
    arm = event.WhichOneof("event")
    if arm is None:
        raise Unusable(DeadLetterReason.UNKNOWN_TYPE, "no event that this version knows is set")
    read = _MEANINGS[metric].get(arm)
    meaning = read(getattr(event, arm)) if read else None
    if not meaning:
        return []
    event_id, subject_id = event.event_id, event.subject_id
    if not event_id:
        raise Unusable(DeadLetterReason.NO_EVENT_ID, "event_id is empty; give each event an id of its own")
    if not subject_id:
        raise Unusable(DeadLetterReason.NO_SUBJECT, "subject_id is empty; name the contact, callback or order")
    fact = Fact(_occurred_at(event), event.source, event_id, meaning[0], meaning[1], _context(event))
    return [(record_key(event.customer_id, _NAMES[metric], subject_id), fact)]


def _parse(event: Event, value: bytes, json: bool) -> None:
    try:
        if json:
            Parse(value, event)
        else:
            event.ParseFromString(value)
    except (DecodeError, ParseError, UnicodeDecodeError, RecursionError) as error:
        form = "JSON of" if json else "protobuf"
        raise Unusable(DeadLetterReason.UNDECODABLE, f"is no {form} {event.DESCRIPTOR.full_name}") from error


def _occurred_at(event: Event) -> Instant:
    if not event.HasField("occurred_at"):
        raise Unusable(DeadLetterReason.NO_TIME, "occurred_at is missing; say when it happened")
    at = from_timestamp(event.occurred_at)
    if not _EARLIEST <= at < _LATEST:
        raise Unusable(DeadLetterReason.ABSURD_TIME, "occurred_at lies before 2000 or after 2199")
    return at


def _is(kind: FactKind, what: str) -> Callable[[object], _Meaning]:
    return lambda _event: (kind, what)


def _replied(event: ContactReplied) -> _Meaning:
    """Only people answer; a reply whose author is not stated is a person's."""
    if event.author == AUTHOR_AUTOMATIC:
        return FactKind.OTHER, "replied (automatic)"
    return FactKind.STOPPED, "replied"


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


#: For each metric, which events of its topic it knows, and what they mean to it. Other events concern others.
_MEANINGS: Mapping[Metric, Mapping[str, Callable[[Any], _Meaning]]] = {
    Metric.FIRST_REPLY: {
        "received": _is(FactKind.STARTED, "received"),
        "replied": _replied,
        # Settled without a reply: none was needed.
        "resolved": _is(FactKind.CANCELLED, "resolved"),
        "closed": _is(FactKind.CANCELLED, "closed"),
    },
    Metric.CALLBACK_RETURNED: {
        "requested": _is(FactKind.STARTED, "requested"),
        "attempted": _is(FactKind.OTHER, "attempted"),
        "returned": _is(FactKind.STOPPED, "returned"),
        "cancelled": _callback_cancelled,
        "waived": _is(FactKind.CANCELLED, "waived"),
    },
    Metric.CUSTOMER_TOLD: {
        "ready": _is(FactKind.STARTED, "ready"),
        "customer_told": _is(FactKind.STOPPED, "customer told"),
        "delivered": _delivered,
        "cancelled": _is(FactKind.CANCELLED, "cancelled"),
        "waived": _order_waived,
    },
}
_NAMES: Mapping[int, str] = {metric: metric.name.lower() for metric in Metric}
_METRICS = {name: metric for metric, name in _NAMES.items()}
