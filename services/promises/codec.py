"""Protobuf ⇄ the promise domain, and the machine the engine runs."""

from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.common_pb2 import Cancelled, Due
from puntual.events.v1.order_event_pb2 import OrderEvent
from puntual.promises.v1 import promise_pb2 as pb
from services.promises import domain
from services.promises.domain import (
    NO_CONTEXT,
    NONE,
    Context,
    Fact,
    FactKind,
    Identity,
    Party,
    Promise,
    PromiseKind,
    State,
)
from services.promises.rules import RuleBook
from services.shared.calendar import end_of_day
from services.shared.clock import from_timestamp, set_timestamp
from services.shared.engine.machine import Machine
from services.shared.envelope import Limits, checked_instant, open_envelope
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant
from services.shared.keys import customer_of, record_key, split_key

ORDERS, CALLBACKS, APPOINTMENTS = "orders.v1", "callbacks.v1", "appointments.v1"
RECORDS = "promises.v1"

_KIND_NAMES: dict[int, str] = {kind: kind.name.lower() for kind in PromiseKind}
_KINDS = {name: kind for kind, name in _KIND_NAMES.items()}
_STATE_NAMES: dict[int, str] = {state: state.name.lower() for state in State}
_TRANSITION_NAMES = {transition: transition.name.lower() for transition in domain.Transition}


class _Base(NamedTuple):
    """What each arm's function is told of the event it belongs to."""

    at: Instant
    source: str
    event_id: str
    context: Context
    book: RuleBook


_Found = tuple[tuple[PromiseKind, ...], Fact]
#: For each arm of an event: what it means for promises. None: nothing.
_Arms = Mapping[str, Callable[[_Base, Any], _Found] | None]
E = TypeVar("E", OrderEvent, CallbackEvent, AppointmentEvent)


def machine(book: RuleBook, limits: Limits, prefix: str = "puntual.") -> Machine[Promise, Fact]:
    """The promise service as the engine sees it. `prefix` goes before every topic name."""
    rules = book.rules
    decoders = {
        ORDERS: partial(_decode, OrderEvent, _ORDER, book, limits),
        CALLBACKS: partial(_decode, CallbackEvent, _CALLBACK, book, limits),
        APPOINTMENTS: partial(_decode, AppointmentEvent, _APPOINTMENT, book, limits),
    }
    return Machine(
        name="promises",
        inputs={prefix + topic: decoder for topic, decoder in decoders.items()},
        records=prefix + RECORDS,
        pack=pack,
        unpack=unpack,
        fold=lambda key, old, facts: (
            domain.fold(old, facts, rules) if old else domain.note(_identity(key), facts, rules)
        ),
        due=lambda promise, now: domain.due(promise, now, rules),
        next_deadline=lambda promise: domain.next_deadline(promise, rules),
        transition=_transition,
        labels=lambda promise: (_KIND_NAMES[promise.kind], _STATE_NAMES[promise.state]),
        margin=domain.margin,
        breached_at=domain.breached_at,
    )


def _identity(key: bytes) -> Identity:
    _, kind, subject = split_key(key)
    return key, _KINDS[kind], customer_of(key), subject


def _transition(key: bytes, old: Promise | None, new: Promise | None) -> tuple[str, str]:
    if new is None:
        return "forgotten", f"{key.decode()}:forgotten"
    name = _TRANSITION_NAMES[domain.transition(old, new)]
    return name, f"{key.decode()}:{name}:{new.due_at}"


# --- events to facts


def _decode(
    message_type: type[E],
    arms: _Arms,
    book: RuleBook,
    limits: Limits,
    value: bytes,
    is_json: bool,
) -> list[tuple[bytes, Fact]]:
    event, at = open_envelope(message_type, value, is_json, limits)
    arm = event.WhichOneof("event")
    if arm is None:
        raise Unusable(DeadLetterReason.UNKNOWN_TYPE, f"no known event is set; one of {', '.join(arms)} is expected")
    meaning = arms[arm]
    if meaning is None:
        return []
    kinds, fact = meaning(_Base(at, event.source, event.event_id, _event_context(event), book), getattr(event, arm))
    customer, subject = event.customer_id, event.subject_id
    return [(record_key(customer, _KIND_NAMES[kind], subject), fact) for kind in kinds]


def _event_context(event: OrderEvent | CallbackEvent | AppointmentEvent) -> Context:
    context = (
        event.customer_name, event.customer_locale, event.customer_time_zone, event.customer_tier,
        event.site, event.team, event.channel,
    )  # fmt: skip
    return Context(*context) if any(context) else NO_CONTEXT


def _promised(base: _Base, kind: PromiseKind, due: Due, fact_kind: FactKind, by: int = 0, consent: int = 0) -> _Found:
    due_at, day = _due(due, kind, base.book)
    return (kind,), Fact(base.at, base.source, base.event_id, fact_kind, due_at, day, by, consent, "", base.context)


def _plain(
    base: _Base, kinds: tuple[PromiseKind, ...], fact_kind: FactKind, by: int = 0, consent: int = 0, reason: str = ""
) -> _Found:
    return kinds, Fact(base.at, base.source, base.event_id, fact_kind, NONE, "", by, consent, reason, base.context)


def _due(due: Due, kind: PromiseKind, book: RuleBook) -> tuple[Instant, str]:
    """The instant a promise is due, and the day as it was said."""
    if due.HasField("at"):
        return checked_instant(due.at, "due.at"), ""
    if not due.HasField("day"):
        raise Unusable(DeadLetterReason.INVALID, "due is absent; set due.at (an instant) or due.day (a date)")
    return _end_of_day(due.day.date, due.day.time_zone, due.day.calendar, kind, book)


def _end_of_day(text: str, zone: str, name: str, kind: PromiseKind, book: RuleBook) -> tuple[Instant, str]:
    calendar = book.calendars.get(name) if name else book.calendar_of[kind]
    if calendar is None:
        known = ", ".join(sorted(book.calendars))
        raise Unusable(DeadLetterReason.INVALID, f"due.day.calendar is unknown; the rules name {known}")
    zone = zone or calendar.zone
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Unusable(
            DeadLetterReason.INVALID, "due.day.time_zone is no IANA time zone, such as Europe/Madrid"
        ) from error
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise Unusable(DeadLetterReason.INVALID, "due.day.date is no date; write for example 2026-11-26") from error
    if not 2000 <= day.year < 2200:  # noqa: PLR2004 - as `checked_instant`
        raise Unusable(DeadLetterReason.INVALID, "due.day.date must lie between 2000 and 2200")
    return end_of_day(calendar, day, zone), f"{text} {zone} {calendar.name}"


def _party(value: int, field: str) -> int:
    if value in {Party.CUSTOMER, Party.COMPANY}:
        return value
    raise Unusable(
        DeadLetterReason.INVALID, f"{field} must be PARTY_CUSTOMER or PARTY_COMPANY: the verdict hangs on it"
    )


_MILESTONES = {1: PromiseKind.ORDER_READY, 2: PromiseKind.ORDER_DELIVERED}


def _milestone(value: int) -> PromiseKind:
    if value in _MILESTONES:
        return _MILESTONES[value]
    raise Unusable(DeadLetterReason.INVALID, "milestone must be MILESTONE_READY or MILESTONE_DELIVERED")


def _cancelled(base: _Base, arm: Cancelled, *kinds: PromiseKind) -> _Found:
    return _plain(base, kinds, FactKind.CANCELLED, _party(arm.by, "cancelled.by"), arm.consent, arm.reason)


def _window(base: _Base, arm: Any, fact_kind: FactKind, by: int = 0, consent: int = 0) -> _Found:  # noqa: ANN401
    due_at = checked_instant(arm.window_end, "window_end")
    if arm.HasField("window_start") and from_timestamp(arm.window_start) > due_at:
        raise Unusable(DeadLetterReason.INVALID, "window_start lies after window_end; swap them")
    return (_APPT,), Fact(base.at, base.source, base.event_id, fact_kind, due_at, "", by, consent, "", base.context)


_READY, _DELIVERED, _CALL, _APPT = PromiseKind
_ORDER: _Arms = {
    "placed": None,
    "promised": lambda base, arm: _promised(base, _milestone(arm.milestone), arm.due, FactKind.PROMISED),
    "renegotiated": lambda base, arm: _promised(
        base, _milestone(arm.milestone), arm.due, FactKind.RENEGOTIATED, arm.asked_by, arm.consent
    ),
    "ready": lambda base, _arm: _plain(base, (_READY,), FactKind.FULFILLED),
    "customer_told": None,
    "delivered": lambda base, arm: _plain(
        base, (_DELIVERED,), FactKind.ATTEMPTED if arm.HasField("in_full") and not arm.in_full else FactKind.FULFILLED
    ),
    "cancelled": lambda base, arm: _cancelled(base, arm, _READY, _DELIVERED),
    "waived": lambda base, arm: _plain(
        base,
        (_milestone(arm.milestone),) if arm.milestone else (_READY, _DELIVERED),
        FactKind.WAIVED,
        reason=arm.reason,
    ),
}
_CALLBACK: _Arms = {
    "requested": lambda base, arm: (
        _promised(base, _CALL, arm.promised, FactKind.PROMISED)
        if arm.HasField("promised")
        else _plain(base, (), FactKind.ATTEMPTED)
    ),
    "promised": lambda base, arm: _promised(base, _CALL, arm.due, FactKind.PROMISED),
    "attempted": lambda base, _arm: _plain(base, (_CALL,), FactKind.ATTEMPTED),
    "returned": lambda base, _arm: _plain(base, (_CALL,), FactKind.FULFILLED),
    "renegotiated": lambda base, arm: _promised(base, _CALL, arm.due, FactKind.RENEGOTIATED, arm.asked_by, arm.consent),
    "cancelled": lambda base, arm: _cancelled(base, arm, _CALL),
    "waived": lambda base, arm: _plain(base, (_CALL,), FactKind.WAIVED, reason=arm.reason),
}
_APPOINTMENT: _Arms = {
    "booked": lambda base, arm: _window(base, arm, FactKind.PROMISED),
    "rescheduled": lambda base, arm: _window(base, arm, FactKind.RENEGOTIATED, arm.asked_by, arm.consent),
    "started": lambda base, _arm: _plain(base, (_APPT,), FactKind.FULFILLED),
    # What was completed was started; where only the end is published, it counts.
    "completed": lambda base, _arm: _plain(base, (_APPT,), FactKind.FULFILLED),
    "cancelled": lambda base, arm: _cancelled(base, arm, _APPT),
    "no_show": lambda base, arm: _plain(base, (_APPT,), FactKind.NO_SHOW, _party(arm.by, "no_show.by")),
    "waived": lambda base, arm: _plain(base, (_APPT,), FactKind.WAIVED, reason=arm.reason),
}


# --- records

#: Instant fields of the record: name in the message and in the domain alike.
_INSTANTS = ("original_due_at", "due_at", "announced_due_at", "warn_at", "breach_at", "settled_at")


def pack(promise: Promise) -> bytes:
    """The record as bytes: the same for equal records."""
    record = pb.Promise(
        promise_id=promise.key.decode(),
        kind=promise.kind,  # type: ignore[arg-type]
        customer_id=promise.customer_id,
        subject_id=promise.subject_id,
        state=promise.state,  # type: ignore[arg-type]
        reason=promise.reason,  # type: ignore[arg-type]
        by_agreement=promise.by_agreement,
        rules_version=promise.rules_version,
    )
    for name in _INSTANTS:
        at = getattr(promise, name)
        if at:
            set_timestamp(getattr(record, name), at)
    _pack_context(promise.context, record)
    for fact in promise.facts:
        _pack_fact(fact, record.facts.add())
    return record.SerializeToString(deterministic=True)


def _pack_fact(fact: Fact, into: pb.Fact) -> None:
    into.event_id = fact.event_id
    into.source = fact.source
    into.kind = fact.kind  # type: ignore[assignment]
    set_timestamp(into.occurred_at, fact.occurred_at)
    if fact.due_at:
        set_timestamp(into.due_at, fact.due_at)
        into.due_day = fact.due_day
    if fact.by or fact.consent or fact.reason:
        into.by = fact.by  # type: ignore[assignment]
        into.consent = fact.consent  # type: ignore[assignment]
        into.reason = fact.reason
    _pack_context(fact.context, into)


def _pack_context(context: Context, into: pb.Promise | pb.Fact) -> None:
    if context is not NO_CONTEXT and any(context):
        into.context.CopyFrom(pb.Context(**context._asdict()))


def unpack(value: bytes) -> Promise:
    """The record in `pack`'s bytes."""
    record = pb.Promise.FromString(value)
    return Promise(
        record.promise_id.encode(), record.kind, record.customer_id, record.subject_id, record.state, record.reason,
        from_timestamp(record.original_due_at), from_timestamp(record.due_at), record.by_agreement,
        from_timestamp(record.announced_due_at), from_timestamp(record.warn_at), from_timestamp(record.breach_at),
        from_timestamp(record.settled_at), _unpack_context(record), record.rules_version,
        tuple(map(_unpack_fact, record.facts)),
    )  # fmt: skip


def _unpack_fact(fact: pb.Fact) -> Fact:
    return Fact(
        from_timestamp(fact.occurred_at), fact.source, fact.event_id, fact.kind,
        from_timestamp(fact.due_at) if fact.HasField("due_at") else NONE,
        fact.due_day, fact.by, fact.consent, fact.reason, _unpack_context(fact),
    )  # fmt: skip


def _unpack_context(message: pb.Promise | pb.Fact) -> Context:
    if not message.HasField("context"):
        return NO_CONTEXT
    context = message.context
    return Context(
        context.customer_name, context.customer_locale, context.customer_time_zone, context.customer_tier,
        context.site, context.team, context.channel,
    )  # fmt: skip
