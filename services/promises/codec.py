"""Protobuf ⇄ the promise domain, and the machine the engine runs."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from enum import IntEnum
from functools import partial
from operator import attrgetter
from typing import Any, Final

from google.protobuf.message import Message
from librt.strings import BytesWriter
from msgspec.structs import astuple

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.common_pb2 import Cancelled, Due
from puntual.events.v1.order_event_pb2 import OrderEvent
from puntual.promises.v1 import promise_pb2 as pb
from services.promises import domain
from services.promises.model import (
    NONE,
    Consent,
    Cycle,
    Fact,
    FactKind,
    Identity,
    Party,
    Promise,
    PromiseKind,
    Reason,
    State,
    Transition,
)
from services.promises.rules import RuleBook
from services.shared.clock import from_timestamp, from_timestamps
from services.shared.contexts import put_context, stated_in, unpack_context
from services.shared.engine.machine import Joining, Labels, Machine, Step
from services.shared.envelope import Hearing, Limits
from services.shared.errors import DeadLetterReason, NewerVersion, Unusable
from services.shared.facts import as_told_of, displaced, reuse, site_of
from services.shared.instant import Instant
from services.shared.joined import read_joined, sibling
from services.shared.keys import ids_of, record_key
from services.shared.opener import Opener, blank_arm, checked_instant
from services.shared.packing import MANY, Pieces
from services.shared.partitioner import home_of
from services.shared.wire import COMPILED, Reader, put_message, put_number, put_text, put_timestamp
from services.shared.working_time import end_of_day
from services.shared.zones import time_zone

ORDERS, CALLBACKS, APPOINTMENTS = "orders.v1", "callbacks.v1", "appointments.v1"
RECORDS, JOINED = "promises.v1", "promises-joined.v1"

_KIND_NAMES: Final[dict[int, str]] = {kind: kind.name.lower() for kind in PromiseKind}
_KINDS: Final = {name: kind for kind, name in _KIND_NAMES.items()}
_LABELS: Final[dict[int, dict[int, Labels]]] = {
    kind: {state: (name, state.name.lower()) for state in State} for kind, name in _KIND_NAMES.items()
}
_TRANSITION_NAMES: Final[dict[int, bytes]] = {transition: transition.name.lower().encode() for transition in Transition}


#: A fact without its event: kind, due_at, due_day, by, consent, reason.
_Said = tuple[int, Instant, str, int, int, str]
#: For each arm of an event: what it says, of which promises. None: nothing.
_Arms = Mapping[str, Callable[[Any, RuleBook], tuple[tuple[PromiseKind, ...], _Said]] | None]


def machine(
    book: RuleBook, limits: Limits, prefix: str = "puntual.", hearing: Mapping[str, Hearing] | None = None
) -> Machine[Promise, Fact]:
    """The promise service as the engine sees it.

    `prefix` goes before every topic name. `hearing`: input topic, without it → where to note who was heard.
    """
    rules, noted = book.rules, hearing or {}
    decoders = {
        topic: partial(_decode, Opener(message, limits, noted.get(topic)), arms, book)
        for topic, (message, arms) in _TOPICS.items()
    }
    return Machine(
        name="promises",
        inputs={prefix + topic: decoder for topic, decoder in decoders.items()},
        record=Promise,
        records=prefix + RECORDS,
        pack=pack,
        unpack=unpack,
        fold=lambda key, old, facts: (
            domain.fold(old, facts, rules) if old else domain.note(_identity(key), facts, rules)
        ),
        due=lambda promise, now: domain.due(promise, now, rules),
        next_deadline=lambda promise: domain.next_deadline(promise, rules),
        step=_step,
        labels=_labels,
        home=home_of,
        reuse=lambda old, new, facts: reuse(old.facts if old else (), new.facts, facts),
        joining=Joining(prefix + JOINED, _told_elsewhere),
        displaced=lambda old, new: displaced(old.facts, new.facts),
    )


def _told_elsewhere(key: bytes, value: bytes) -> list[Fact]:
    """The facts of a record as they are told of another: the same promise, under another id of the customer."""
    record = read_joined(unpack, value)
    return as_told_of(record.facts, record.customer_id, sibling(key, record.key))


def _identity(key: bytes) -> Identity:
    customer, kind, subject = ids_of(key)
    return key, _KINDS[kind], customer, subject


def _step(key: bytes, old: Promise | None, new: Promise | None) -> Step:
    before = None if old is None else _labels(old)
    if new is None:
        return Step(b"forgotten", key + b":forgotten", before, None)
    transition, number, was, now = domain.change(old, new)
    name = _TRANSITION_NAMES[transition]
    transition_id = b"%b:%b:%d" % (key, name, now.due_at)
    if number > 1:
        transition_id += b":%d" % number
    return Step(name, transition_id, before, _labels(new), domain.margin(was, now), domain.breached_at(was, now))


def _labels(promise: Promise) -> Labels:
    return _LABELS[promise.kind][promise.state]


def asked(book: RuleBook) -> Callable[[Promise], tuple[frozenset[str], str]]:
    """Says of a promise which events could fulfil it ("orders.ready"), and where."""
    wanted = {kind: frozenset(_fulfilling(kind, book)) for kind in PromiseKind}
    return lambda promise: (wanted[PromiseKind(promise.kind)], site_of(promise.context))


def _fulfilling(kind: PromiseKind, book: RuleBook) -> Iterator[str]:
    for topic, (message, arms) in _TOPICS.items():
        for arm, read in arms.items():
            try:
                kinds, said = read(blank_arm(message, arm), book) if read else ((), _ATTEMPTED)
            except Unusable:  # it says more than that it happened
                continue
            if kind in kinds and said[0] == FactKind.FULFILLED:
                yield f"{topic.partition('.')[0]}.{arm}"


# --- events to facts


def _decode(opener: Opener, arms: _Arms, book: RuleBook, value: bytes, is_json: bool) -> list[tuple[bytes, Fact]]:
    event = opener.open(value, is_json)
    if not event.arm:
        raise Unusable(DeadLetterReason.UNKNOWN_TYPE, f"no known event is set; one of {', '.join(arms)} is expected")
    read = arms.get(event.arm)
    if read is None:
        return []
    kinds, said = read(event.body, book)
    what, due_at, due_day, by, consent, reason = said
    fact = Fact(
        event.occurred_at, event.source, event.event_id, what, due_at, due_day, by, consent, reason, event.context,
        event.sequence,
    )  # fmt: skip
    return [(record_key(event.customer_id, _KIND_NAMES[kind], event.subject_id), fact) for kind in kinds]


def _plain(kind: FactKind, by: int = 0, consent: int = 0, reason: str = "") -> _Said:
    return kind, NONE, "", by, consent, reason


def _given(kind: PromiseKind, due: Due, book: RuleBook) -> tuple[tuple[PromiseKind, ...], _Said]:
    due_at, day = _due(due, kind, book)
    return (kind,), (_PROMISED, due_at, day, 0, 0, "")


def _moved(kind: PromiseKind, arm: Any, book: RuleBook) -> tuple[tuple[PromiseKind, ...], _Said]:  # noqa: ANN401
    (due_at, day), (by, consent) = _due(arm.due, kind, book), _asked(arm)
    return (kind,), (_RENEGOTIATED, due_at, day, by, consent, "")


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
    zone = zone or calendar.zone.key
    try:
        time_zone(zone)
    except ValueError as error:
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


_MILESTONES: Final = {1: PromiseKind.ORDER_READY, 2: PromiseKind.ORDER_DELIVERED}


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
_PROMISED: Final = FactKind.PROMISED
_RENEGOTIATED: Final = FactKind.RENEGOTIATED
_FULFILLED: Final = _plain(FactKind.FULFILLED)
_ATTEMPTED: Final = _plain(FactKind.ATTEMPTED)
_ORDER: _Arms = {
    "heartbeat": None,
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
    "heartbeat": None,
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
    "heartbeat": None,
    "booked": lambda arm, _book: (_APPT, (_PROMISED, *_window_end(arm), 0, 0, "")),
    "rescheduled": lambda arm, _book: (_APPT, (_RENEGOTIATED, *_window_end(arm), *_asked(arm), "")),
    "started": lambda _arm, _book: (_APPT, _FULFILLED),
    # What was completed was started; where only the end is published, it counts.
    "completed": lambda _arm, _book: (_APPT, _FULFILLED),
    "cancelled": lambda arm, _book: (_APPT, _cancelled(arm)),
    "no_show": lambda arm, _book: (_APPT, _plain(FactKind.NO_SHOW, _party(arm.by, "no_show.by"))),
    "waived": lambda arm, _book: (_APPT, _plain(FactKind.WAIVED, reason=arm.reason)),
}
#: Input topic → its messages, and what their arms mean.
_TOPICS: Final[dict[str, tuple[type[Message], _Arms]]] = {
    ORDERS: (OrderEvent, _ORDER),
    CALLBACKS: (CallbackEvent, _CALLBACK),
    APPOINTMENTS: (AppointmentEvent, _APPOINTMENT),
}
INPUTS: Final = tuple(_TOPICS)


# --- records


def pack(promise: Promise) -> bytes:
    """The record as bytes: the same for equal records. The numbers are those of the fields in `promise.proto`."""
    (
        key, kind, customer_id, subject_id, state, reason, original_due_at, due_at, by_agreement, announced_due_at,
        warn_at, breach_at, settled_at, context, rules_version, facts, earlier,
    ) = astuple(promise)  # fmt: skip
    out = BytesWriter()
    put_message(out, 1, key)
    put_number(out, 2, kind)
    put_text(out, 3, customer_id)
    put_text(out, 4, subject_id)
    put_number(out, 5, state)
    put_number(out, 6, reason)
    put_timestamp(out, 7, original_due_at)
    put_timestamp(out, 8, due_at)
    put_number(out, 9, by_agreement)
    put_timestamp(out, 10, announced_due_at)
    put_timestamp(out, 11, warn_at)
    put_timestamp(out, 12, breach_at)
    put_timestamp(out, 13, settled_at)
    put_context(out, 14, context)
    put_text(out, 15, rules_version)
    if len(facts) < MANY:
        for fact in facts:
            put_message(out, 16, _pack_fact(fact))
    else:
        out.write(_PIECES.of(key, facts))
    for cycle in earlier:
        put_message(out, 17, _pack_cycle(cycle))
    return out.getvalue()


def _pack_cycle(cycle: Cycle) -> bytes:
    out = BytesWriter()
    put_number(out, 1, cycle.state)
    put_number(out, 2, cycle.reason)
    put_timestamp(out, 3, cycle.original_due_at)
    put_timestamp(out, 4, cycle.due_at)
    put_number(out, 5, cycle.by_agreement)
    put_timestamp(out, 6, cycle.announced_due_at)
    put_timestamp(out, 7, cycle.warn_at)
    put_timestamp(out, 8, cycle.breach_at)
    put_timestamp(out, 9, cycle.settled_at)
    return out.getvalue()


def _pack_fact(fact: Fact) -> bytes:
    (
        occurred_at, source, event_id, kind, due_at, due_day, by, consent, reason, context, sequence, customer_id,
    ) = astuple(fact)  # fmt: skip
    out = BytesWriter()
    put_text(out, 1, event_id)
    put_text(out, 2, source)
    put_timestamp(out, 3, occurred_at)
    put_number(out, 4, kind)
    put_timestamp(out, 5, due_at)
    put_text(out, 6, due_day)
    put_number(out, 7, by)
    put_number(out, 8, consent)
    put_text(out, 9, reason)
    put_context(out, 10, context)
    put_number(out, 11, sequence)
    put_text(out, 12, customer_id)
    return out.getvalue()


_PIECES: Final = Pieces(16, _pack_fact)


def _unpack_plain(value: bytes) -> Promise:
    record = Reader(value)
    promise = Promise(
        record.chunk(1), record.number(2), record.text(3), record.text(4), record.number(5), record.number(6),
        record.timestamp(7), record.timestamp(8), record.number(9) != 0, record.timestamp(10), record.timestamp(11),
        record.timestamp(12), record.timestamp(13), stated_in(record, 14), record.text(15), _unpack_plain_facts(record),
        _unpack_plain_cycles(record),
    )  # fmt: skip
    record.done()
    return promise


def _unpack_plain_facts(record: Reader) -> tuple[Fact, ...]:
    facts = []
    while fact := record.message(16):
        event_id, source, occurred_at = fact.text(1), fact.text(2), fact.timestamp(3)
        facts.append(
            Fact(
                occurred_at, source, event_id, fact.number(4), fact.timestamp(5), fact.text(6), fact.number(7),
                fact.number(8), fact.text(9), stated_in(fact, 10), fact.long(11), fact.text(12),
            )
        )  # fmt: skip
        fact.done()
    return tuple(facts)


def _unpack_plain_cycles(record: Reader) -> tuple[Cycle, ...]:
    cycles = []
    while cycle := record.message(17):
        cycles.append(
            Cycle(
                cycle.number(1), cycle.number(2), cycle.timestamp(3), cycle.timestamp(4), cycle.number(5) != 0,
                cycle.timestamp(6), cycle.timestamp(7), cycle.timestamp(8), cycle.timestamp(9),
            )
        )  # fmt: skip
        cycle.done()
    return tuple(cycles)


_TIMES: Final = attrgetter("original_due_at", "due_at", "announced_due_at", "warn_at", "breach_at", "settled_at")


def unpack(value: bytes) -> Promise:
    """The record in `pack`'s bytes. Raises NewerVersion where this one would misjudge it."""
    return _known_promise(_unpacked(value))


def _unpacked(value: bytes) -> Promise:
    if COMPILED:
        try:
            return _unpack_plain(value)
        except ValueError:  # NotPlain
            pass
    record = pb.Promise.FromString(value)
    original_due_at, due_at, announced_due_at, warn_at, breach_at, settled_at = from_timestamps(_TIMES(record))
    return Promise(
        record.promise_id.encode(), record.kind, record.customer_id, record.subject_id, record.state, record.reason,
        original_due_at, due_at, record.by_agreement, announced_due_at, warn_at, breach_at, settled_at,
        unpack_context(record), record.rules_version, tuple([_unpack_fact(fact) for fact in record.facts]),
        tuple([_unpack_cycle(cycle) for cycle in record.earlier]),
    )  # fmt: skip


def _unpack_cycle(cycle: pb.Cycle) -> Cycle:
    original_due_at, due_at, announced_due_at, warn_at, breach_at, settled_at = from_timestamps(_TIMES(cycle))
    return Cycle(
        cycle.state, cycle.reason, original_due_at, due_at, cycle.by_agreement, announced_due_at, warn_at, breach_at,
        settled_at,
    )  # fmt: skip


_NEWEST_KIND: Final[int] = max(PromiseKind)
_NEWEST_STATE: Final[int] = max(State)
_NEWEST_REASON: Final[int] = max(Reason)
_NEWEST_FACT: Final[int] = max(FactKind)
_NEWEST_PARTY: Final[int] = max(Party)
_NEWEST_CONSENT: Final[int] = max(Consent)


def _known_promise(promise: Promise) -> Promise:
    """The promise, if every number in it means something here."""
    if promise.kind > _NEWEST_KIND or promise.state > _NEWEST_STATE or promise.reason > _NEWEST_REASON:
        raise NewerVersion("a kind, state or reason")
    for cycle in promise.earlier:
        if cycle.state > _NEWEST_STATE or cycle.reason > _NEWEST_REASON:
            raise NewerVersion("an earlier state or reason")
    for fact in promise.facts:
        if fact.kind > _NEWEST_FACT or fact.by > _NEWEST_PARTY or fact.consent > _NEWEST_CONSENT:
            raise NewerVersion("a fact of a kind, party or consent")
    return promise


def _unpack_fact(fact: pb.Fact) -> Fact:
    return Fact(
        from_timestamp(fact.occurred_at), fact.source, fact.event_id, fact.kind, from_timestamp(fact.due_at),
        fact.due_day, fact.by, fact.consent, fact.reason, unpack_context(fact), fact.sequence, fact.customer_id,
    )  # fmt: skip
