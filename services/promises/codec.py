"""Protobuf ⇄ the promise domain, and the machine the engine runs."""

from collections.abc import Callable, Mapping
from datetime import date
from enum import IntEnum
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.common_pb2 import Cancelled, Due
from puntual.events.v1.order_event_pb2 import OrderEvent
from puntual.promises.v1 import promise_pb2 as pb
from services.promises import domain
from services.promises.domain import (
    NONE,
    Consent,
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
from services.shared.clock import from_timestamp, from_timestamps
from services.shared.contexts import pack_context, read_context, unpack_context
from services.shared.engine.machine import Machine
from services.shared.envelope import Limits, checked_instant, open_envelope
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.facts import NO_CONTEXT
from services.shared.instant import Instant
from services.shared.keys import ids_of, record_key, routing_key
from services.shared.wire import number, text, timestamp, varint

ORDERS, CALLBACKS, APPOINTMENTS = "orders.v1", "callbacks.v1", "appointments.v1"
RECORDS = "promises.v1"

_KIND_NAMES: dict[int, str] = {kind: kind.name.lower() for kind in PromiseKind}
_KINDS = {name: kind for kind, name in _KIND_NAMES.items()}
_STATE_NAMES: dict[int, str] = {state: state.name.lower() for state in State}
_TRANSITION_NAMES = {transition: transition.name.lower() for transition in domain.Transition}


#: A fact without its event: kind, due_at, due_day, by, consent, reason.
_Said = tuple[int, Instant, str, int, int, str]
#: For each arm of an event: what it says, of which promises. None: nothing.
_Arms = Mapping[str, Callable[[Any, RuleBook], tuple[tuple[PromiseKind, ...], _Said]] | None]
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
        routing=routing_key,
        margin=domain.margin,
        breached_at=domain.breached_at,
    )


def _identity(key: bytes) -> Identity:
    customer, kind, subject = ids_of(key)
    return key, _KINDS[kind], customer, subject


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
    read = arms[arm]
    if read is None:
        return []
    kinds, said = read(getattr(event, arm), book)
    fact = Fact(at, event.source, event.event_id, *said, read_context(event))
    customer, subject = event.customer_id, event.subject_id
    return [(record_key(customer, _KIND_NAMES[kind], subject), fact) for kind in kinds]


def _plain(kind: FactKind, by: int = 0, consent: int = 0, reason: str = "") -> _Said:
    return kind, NONE, "", by, consent, reason


def _given(kind: PromiseKind, due: Due, book: RuleBook) -> tuple[tuple[PromiseKind, ...], _Said]:
    return (kind,), (_PROMISED, *_due(due, kind, book), 0, 0, "")


def _moved(kind: PromiseKind, arm: Any, book: RuleBook) -> tuple[tuple[PromiseKind, ...], _Said]:  # noqa: ANN401
    return (kind,), (_RENEGOTIATED, *_due(arm.due, kind, book), *_asked(arm), "")


def _asked(arm: Any) -> tuple[int, int]:  # noqa: ANN401 - renegotiated and rescheduled alike
    return _known(arm.asked_by, Party, "asked_by"), _known(arm.consent, Consent, "consent")


def _known(value: int, enum: type[IntEnum], field: str) -> int:
    """Refuses what a newer publisher may mean: the verdict hangs on it."""
    if value in enum.__members__.values():
        return value
    known = ", ".join(member.name for member in enum)
    raise Unusable(DeadLetterReason.INVALID, f"{field} has the unknown number {value}; known are {known}")


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


def _cancelled(arm: Cancelled) -> _Said:
    by, consent = _party(arm.by, "cancelled.by"), _known(arm.consent, Consent, "cancelled.consent")
    return _plain(FactKind.CANCELLED, by, consent, arm.reason)


def _window_end(arm: Any) -> tuple[Instant, str]:  # noqa: ANN401 - booked and rescheduled alike
    due_at = checked_instant(arm.window_end, "window_end")
    if arm.HasField("window_start") and from_timestamp(arm.window_start) > due_at:
        raise Unusable(DeadLetterReason.INVALID, "window_start lies after window_end; swap them")
    return due_at, ""


_READY, _DELIVERED, _CALL, _APPT = ((kind,) for kind in PromiseKind)
_BOTH = PromiseKind.ORDER_READY, PromiseKind.ORDER_DELIVERED
_PROMISED, _RENEGOTIATED = FactKind.PROMISED, FactKind.RENEGOTIATED
_FULFILLED, _ATTEMPTED = _plain(FactKind.FULFILLED), _plain(FactKind.ATTEMPTED)
_ORDER: _Arms = {
    "placed": None,
    "promised": lambda arm, book: _given(_milestone(arm.milestone), arm.due, book),
    "renegotiated": lambda arm, book: _moved(_milestone(arm.milestone), arm, book),
    "ready": lambda _arm, _book: (_READY, _FULFILLED),
    "customer_told": None,
    "delivered": lambda arm, _book: (
        _DELIVERED, _ATTEMPTED if arm.HasField("in_full") and not arm.in_full else _FULFILLED,
    ),
    "cancelled": lambda arm, _book: (_BOTH, _cancelled(arm)),
    "waived": lambda arm, _book: (
        (_milestone(arm.milestone),) if arm.milestone else _BOTH, _plain(FactKind.WAIVED, reason=arm.reason),
    ),
}  # fmt: skip
_CALLBACK: _Arms = {
    "requested": lambda arm, book: (
        _given(PromiseKind.CALLBACK, arm.promised, book) if arm.HasField("promised") else ((), _ATTEMPTED)
    ),
    "promised": lambda arm, book: _given(PromiseKind.CALLBACK, arm.due, book),
    "attempted": lambda _arm, _book: (_CALL, _ATTEMPTED),
    "returned": lambda _arm, _book: (_CALL, _FULFILLED),
    "renegotiated": lambda arm, book: _moved(PromiseKind.CALLBACK, arm, book),
    "cancelled": lambda arm, _book: (_CALL, _cancelled(arm)),
    "waived": lambda arm, _book: (_CALL, _plain(FactKind.WAIVED, reason=arm.reason)),
}
_APPOINTMENT: _Arms = {
    "booked": lambda arm, _book: (_APPT, (_PROMISED, *_window_end(arm), 0, 0, "")),
    "rescheduled": lambda arm, _book: (_APPT, (_RENEGOTIATED, *_window_end(arm), *_asked(arm), "")),
    "started": lambda _arm, _book: (_APPT, _FULFILLED),
    # What was completed was started; where only the end is published, it counts.
    "completed": lambda _arm, _book: (_APPT, _FULFILLED),
    "cancelled": lambda arm, _book: (_APPT, _cancelled(arm)),
    "no_show": lambda arm, _book: (_APPT, _plain(FactKind.NO_SHOW, _party(arm.by, "no_show.by"))),
    "waived": lambda arm, _book: (_APPT, _plain(FactKind.WAIVED, reason=arm.reason)),
}


# --- records


def pack(promise: Promise) -> bytes:
    """The record as bytes: the same for equal records. Each tag is a number in `promise.proto` and a type."""
    (
        key, kind, customer_id, subject_id, state, reason, original_due_at, due_at, by_agreement, announced_due_at,
        warn_at, breach_at, settled_at, context, rules_version, facts,
    ) = promise  # fmt: skip
    parts = [
        b"\x0a", varint(len(key)), key, b"\x10", varint(kind), text(b"\x1a", customer_id), text(b"\x22", subject_id),
        b"\x28", varint(state),
    ]  # fmt: skip
    if reason:
        parts += b"\x30", varint(reason)
    if due_at:
        parts += b"\x3a", timestamp(original_due_at), b"\x42", timestamp(due_at)
        if by_agreement:
            parts.append(b"\x48\x01")
        parts += b"\x52", timestamp(announced_due_at)
        if warn_at:
            parts += b"\x5a", timestamp(warn_at)
        parts += b"\x62", timestamp(breach_at)
        if settled_at:
            parts += b"\x6a", timestamp(settled_at)
    if context is not NO_CONTEXT:
        parts.append(pack_context(b"\x72", context))
    parts.append(text(b"\x7a", rules_version))
    for fact in facts:
        packed = _pack_fact(fact)
        parts += b"\x82\x01", varint(len(packed)), packed
    return b"".join(parts)


def _pack_fact(fact: Fact) -> bytes:
    occurred_at, source, event_id, kind, due_at, due_day, by, consent, reason, context = fact
    packed = text(b"\x0a", event_id) + text(b"\x12", source) + b"\x1a" + timestamp(occurred_at) + b"\x20" + varint(kind)
    if due_at:
        packed += b"\x2a" + timestamp(due_at) + text(b"\x32", due_day)
    if by or consent or reason:
        packed += number(b"\x38", by) + number(b"\x40", consent) + text(b"\x4a", reason)
    if context is not NO_CONTEXT:
        packed += pack_context(b"\x52", context)
    return packed


_TIMES = attrgetter("original_due_at", "due_at", "announced_due_at", "warn_at", "breach_at", "settled_at")


def unpack(value: bytes) -> Promise:
    """The record in `pack`'s bytes."""
    record = pb.Promise.FromString(value)
    original_due_at, due_at, announced_due_at, warn_at, breach_at, settled_at = from_timestamps(_TIMES(record))
    return Promise(
        record.promise_id.encode(), record.kind, record.customer_id, record.subject_id, record.state, record.reason,
        original_due_at, due_at, record.by_agreement, announced_due_at, warn_at, breach_at, settled_at,
        unpack_context(record), record.rules_version, tuple([_unpack_fact(fact) for fact in record.facts]),
    )  # fmt: skip


def _unpack_fact(fact: pb.Fact) -> Fact:
    return Fact(
        from_timestamp(fact.occurred_at), fact.source, fact.event_id, fact.kind, from_timestamp(fact.due_at),
        fact.due_day, fact.by, fact.consent, fact.reason, unpack_context(fact),
    )  # fmt: skip
