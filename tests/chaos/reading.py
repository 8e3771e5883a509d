"""What the oracle understands of a message: the facts in it, or why it cannot be used. Its own words throughout."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo, available_timezones

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from kafka.partitioner.default import murmur2

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.common_pb2 import Consent, Due, Party
from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.events.v1.order_event_pb2 import MILESTONE_DELIVERED, MILESTONE_READY, OrderEvent
from puntual.promises.v1 import promise_pb2 as pb
from tests.chaos.rules import CALENDARS, KINDS, SECOND
from tests.chaos.tape import Entry

ORDERS, CALLBACKS, APPOINTMENTS, CONTACTS = "orders.v1", "callbacks.v1", "appointments.v1", "contacts.v1"
EVENTS: Mapping[str, type[Message]] = {
    ORDERS: OrderEvent,
    CALLBACKS: CallbackEvent,
    APPOINTMENTS: AppointmentEvent,
    CONTACTS: ContactEvent,
}

CONTEXT = tuple(field.name for field in pb.Context.DESCRIPTOR.fields)
EARLIEST, LATEST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * SECOND for year in (2000, 2200))
_HOUR, _HORIZON = 3_600 * SECOND, 400 * 86_400 * SECOND
_LARGEST, _LONGEST = 256 * 1024, 255
_ZONES = available_timezones()
_READY, _DELIVERED, _CALLBACK, _APPOINTMENT = KINDS
_BOTH = (_READY, _DELIVERED)


class Said(NamedTuple):
    """One fact. Its fields are in the order by which facts are told apart and sorted; times in microseconds."""

    occurred_at: int
    source: str
    event_id: str
    kind: int
    due_at: int = 0
    due_day: str = ""
    by: int = 0
    consent: int = 0
    reason: str = ""
    context: tuple[str, ...] = ()
    sequence: int = 0


class Refused(Exception):
    """The message is a dead letter; the argument is the reason."""


def micros(stamp: Timestamp) -> int:
    """A timestamp in microseconds."""
    return stamp.seconds * SECOND + stamp.nanos // 1_000


def home(customer: str, subject: str, partitions: int) -> int:
    """The partition where everything about a customer belongs."""
    return int(murmur2((customer or subject).encode()) & 0x7FFFFFFF) % partitions


def facts_of(name: str, entry: Entry, partitions: int) -> list[tuple[bytes, Said]]:
    """The facts in a message of the topic `name`, each with the id of its promise. Raises Refused."""
    event, arm = event_in(name, entry)
    found = list(_MEANING[name, arm](getattr(event, arm)))
    if found and entry.partition != home(event.customer_id, event.subject_id, partitions):
        raise Refused("misplaced")
    return [(record_id(event, kind), _said(event, *what)) for kind, what in found]


def event_in(name: str, entry: Entry) -> tuple[Any, str]:
    """The event in a message of the topic `name`, and what happened. Raises Refused."""
    event = _parsed(EVENTS[name], entry)
    _check(event, entry.at)
    arm = event.WhichOneof("event")
    if arm is None:
        raise Refused("unknown_type")
    return event, arm


def record_id(event: Any, kind: str) -> bytes:
    """The key of a record."""
    customer, subject = (quote(text, safe="").replace("~", "%7E") for text in (event.customer_id, event.subject_id))
    return f"{customer or '~' + subject}/{kind}/{subject}".encode()


def _parsed(kind: type[Message], entry: Entry) -> Any:
    value = entry.value or b""
    if len(value) > _LARGEST:
        raise Refused("too_large")
    try:
        if ("content-type", b"application/json") in entry.headers:
            return Parse(value.decode(), kind())
        return kind.FromString(value)
    except (DecodeError, ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("undecodable") from error


def _check(event: Any, appended_at: int) -> None:
    at = micros(event.occurred_at)
    ids = (event.event_id, event.source, event.customer_id, event.subject_id)
    problems = (
        (max(map(len, ids)) > _LONGEST, "too_large"),
        (at == 0, "no_time"),
        (not EARLIEST <= at <= LATEST, "absurd_time"),
        (at > appended_at + _HOUR, "future_time"),
        (at < appended_at - _HORIZON, "too_late"),
        (not event.event_id, "no_event_id"),
        (not event.subject_id, "no_subject"),
        (bool(event.customer_name) and not event.customer_id, "no_customer"),
    )
    for is_so, reason in problems:
        if is_so:
            raise Refused(reason)


def _said(
    event: Any, kind: int, due: tuple[int, str] = (0, ""), by: int = 0, consent: int = 0, reason: str = ""
) -> Said:
    context = tuple(getattr(event, field) for field in CONTEXT)
    return Said(
        micros(event.occurred_at), event.source, event.event_id, kind, *due, by, consent, reason,
        context if any(context) else (),
    )  # fmt: skip


# --- what each arm means

_Meaning = Iterator[tuple[str, tuple[Any, ...]]]


def _insist(holds: bool) -> None:
    if not holds:
        raise Refused("invalid")


def _at(stamp: Timestamp) -> int:
    _insist(EARLIEST <= micros(stamp) <= LATEST)
    return micros(stamp)


def _when(due: Due, kind: str) -> tuple[int, str]:
    if due.WhichOneof("when") == "at":
        return _at(due.at), ""
    _insist(due.WhichOneof("when") == "day")
    name = due.day.calendar or KINDS[kind].calendar
    _insist(name in CALENDARS)
    zone = due.day.time_zone or CALENDARS[name].zone
    _insist(zone in _ZONES)
    try:
        day = date.fromisoformat(due.day.date)
    except ValueError as error:
        raise Refused("invalid") from error
    _insist(2000 <= day.year < 2200)
    closing = CALENDARS[name].closing[day.weekday()]
    end = datetime.combine(day, closing) if closing else datetime.combine(day + timedelta(days=1), time(0))
    return int(end.replace(tzinfo=ZoneInfo(zone)).timestamp()) * SECOND, f"{due.day.date} {zone} {name}"


def _window(arm: Any) -> tuple[int, str]:
    end = _at(arm.window_end)
    _insist(not arm.HasField("window_start") or micros(arm.window_start) <= end)
    return end, ""


def _milestone(arm: Any) -> str:
    _insist(arm.milestone in (MILESTONE_READY, MILESTONE_DELIVERED))
    return _READY if arm.milestone == MILESTONE_READY else _DELIVERED


def _answered(arm: Any, by: str) -> tuple[int, int]:
    _insist(getattr(arm, by) in Party.values() and arm.consent in Consent.values())
    return getattr(arm, by), arm.consent


def _nothing(_arm: Any) -> _Meaning:
    return iter(())


def _plain(kind: int, *promises: str) -> Callable[[Any], _Meaning]:
    return lambda _arm: ((promise, (kind,)) for promise in promises)


def _order_promised(arm: Any) -> _Meaning:
    kind = _milestone(arm)
    yield kind, (pb.FACT_KIND_PROMISED, _when(arm.due, kind))


def _order_moved(arm: Any) -> _Meaning:
    kind = _milestone(arm)
    yield kind, (pb.FACT_KIND_RENEGOTIATED, _when(arm.due, kind), *_answered(arm, "asked_by"))


def _order_delivered(arm: Any) -> _Meaning:
    partly = arm.HasField("in_full") and not arm.in_full
    yield _DELIVERED, (pb.FACT_KIND_ATTEMPTED if partly else pb.FACT_KIND_FULFILLED,)


def _order_waived(arm: Any) -> _Meaning:
    for kind in (_milestone(arm),) if arm.milestone else _BOTH:
        yield kind, (pb.FACT_KIND_WAIVED, (0, ""), 0, 0, arm.reason)


def _cancelled(*kinds: str) -> Callable[[Any], _Meaning]:
    def mean(arm: Any) -> _Meaning:
        _insist(arm.by in (Party.PARTY_CUSTOMER, Party.PARTY_COMPANY))
        for kind in kinds:
            yield kind, (pb.FACT_KIND_CANCELLED, (0, ""), *_answered(arm, "by"), arm.reason)

    return mean


def _waived(kind: str) -> Callable[[Any], _Meaning]:
    return lambda arm: iter([(kind, (pb.FACT_KIND_WAIVED, (0, ""), 0, 0, arm.reason))])


def _requested(arm: Any) -> _Meaning:
    if arm.HasField("promised"):
        yield _CALLBACK, (pb.FACT_KIND_PROMISED, _when(arm.promised, _CALLBACK))


def _call_promised(arm: Any) -> _Meaning:
    yield _CALLBACK, (pb.FACT_KIND_PROMISED, _when(arm.due, _CALLBACK))


def _call_moved(arm: Any) -> _Meaning:
    yield _CALLBACK, (pb.FACT_KIND_RENEGOTIATED, _when(arm.due, _CALLBACK), *_answered(arm, "asked_by"))


def _booked(arm: Any) -> _Meaning:
    yield _APPOINTMENT, (pb.FACT_KIND_PROMISED, _window(arm))


def _rescheduled(arm: Any) -> _Meaning:
    yield _APPOINTMENT, (pb.FACT_KIND_RENEGOTIATED, _window(arm), *_answered(arm, "asked_by"))


def _no_show(arm: Any) -> _Meaning:
    _insist(arm.by in (Party.PARTY_CUSTOMER, Party.PARTY_COMPANY))
    yield _APPOINTMENT, (pb.FACT_KIND_NO_SHOW, (0, ""), arm.by)


_MEANING: Mapping[tuple[str, str], Callable[[Any], _Meaning]] = {
    (ORDERS, "placed"): _nothing,
    (ORDERS, "promised"): _order_promised,
    (ORDERS, "renegotiated"): _order_moved,
    (ORDERS, "ready"): _plain(pb.FACT_KIND_FULFILLED, _READY),
    (ORDERS, "customer_told"): _nothing,
    (ORDERS, "delivered"): _order_delivered,
    (ORDERS, "cancelled"): _cancelled(*_BOTH),
    (ORDERS, "waived"): _order_waived,
    (CALLBACKS, "requested"): _requested,
    (CALLBACKS, "promised"): _call_promised,
    (CALLBACKS, "attempted"): _plain(pb.FACT_KIND_ATTEMPTED, _CALLBACK),
    (CALLBACKS, "returned"): _plain(pb.FACT_KIND_FULFILLED, _CALLBACK),
    (CALLBACKS, "renegotiated"): _call_moved,
    (CALLBACKS, "cancelled"): _cancelled(_CALLBACK),
    (CALLBACKS, "waived"): _waived(_CALLBACK),
    (APPOINTMENTS, "booked"): _booked,
    (APPOINTMENTS, "rescheduled"): _rescheduled,
    (APPOINTMENTS, "started"): _plain(pb.FACT_KIND_FULFILLED, _APPOINTMENT),
    (APPOINTMENTS, "completed"): _plain(pb.FACT_KIND_FULFILLED, _APPOINTMENT),
    (APPOINTMENTS, "cancelled"): _cancelled(_APPOINTMENT),
    (APPOINTMENTS, "no_show"): _no_show,
    (APPOINTMENTS, "waived"): _waived(_APPOINTMENT),
}
