"""Protobuf ⇄ the clock domain, and the machine the engine runs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from librt.strings import BytesWriter
from mypy_extensions import i64

from puntual.events.v1.appointment_event_pb2 import (
    AppointmentBooked,
    AppointmentEvent,
    AppointmentNoShow,
    AppointmentRescheduled,
)
from puntual.events.v1.callback_event_pb2 import CallbackEvent, CallbackRequested
from puntual.events.v1.common_pb2 import CONSENT_ACCEPTED, PARTY_CUSTOMER, Cancelled
from puntual.events.v1.contact_event_pb2 import (
    AUTHOR_AUTOMATIC,
    AUTHOR_HUMAN,
    AUTHOR_UNSPECIFIED,
    ContactCustomerWrote,
    ContactEvent,
    ContactHeld,
    ContactKind,
    ContactReceived,
    ContactReplied,
    ContactUpdated,
    Priority,
)
from puntual.events.v1.order_event_pb2 import MILESTONE_UNSPECIFIED, OrderDelivered, OrderEvent, OrderWaived
from puntual.sla.v1 import clock_pb2 as pb
from services.shared.clock import from_timestamp, from_timestamps
from services.shared.contexts import put_context, stated_in, unpack_context
from services.shared.engine.machine import Decoder, Joining, Labels, Machine, Step
from services.shared.envelope import Envelope, Hearing, Limits
from services.shared.errors import DeadLetterReason, NewerVersion, Unusable
from services.shared.facts import NO_CONTEXT, as_told_of, displaced, reuse, site_of
from services.shared.instant import Instant, from_datetime
from services.shared.joined import read_joined, sibling
from services.shared.keys import ids_of, record_key
from services.shared.opener import EARLIEST, LATEST, Opener, blank_arm
from services.shared.packing import MANY, Pieces
from services.shared.partitioner import home_of
from services.shared.wire import COMPILED, NotPlain, Reader, put_flag, put_message, put_number, put_text, put_timestamp
from services.sla import domain
from services.sla.model import NONE, Clock, Cycle, Fact, FactKind, Identity, Metric, State, Transition
from services.sla.standards import InForce

CONTACTS, CALLBACKS, ORDERS, APPOINTMENTS = "contacts.v1", "callbacks.v1", "orders.v1", "appointments.v1"
RECORDS, JOINED = "sla.v1", "sla-joined.v1"

_METRIC_NAMES: Mapping[int, str] = {metric: metric.name.lower() for metric in Metric}
_METRICS = {name: metric for metric, name in _METRIC_NAMES.items()}
_LABELS: Mapping[int, Mapping[int, Labels]] = {
    metric: {state: (name, state.name.lower()) for state in State} for metric, name in _METRIC_NAMES.items()
}
_TRANSITION_NAMES = {transition: transition.name.lower().encode() for transition in Transition}

#: For each arm of an event that clocks know, how it is read. Other events concern others.
_Arms = Mapping[str, Callable[[Any], "_Said"]]


def machine(
    known: InForce, limits: Limits, prefix: str = "puntual.", hearing: Mapping[str, Hearing] | None = None
) -> Machine[Clock, Fact]:
    """The sla service as the engine sees it.

    `prefix` goes before every topic name. `hearing`: input topic, without it → where to note who was heard.
    """
    inputs: dict[str, Decoder[Fact]] = {}
    for topic, reading in readings(known, limits, hearing).items():
        # What cannot be used of the others cannot be used by the promise service either: one dead letter is enough.
        inputs[prefix + topic] = reading if topic == CONTACTS else _quiet(reading)
    return Machine(
        name="sla",
        inputs=inputs,
        record=Clock,
        records=prefix + RECORDS,
        pack=pack,
        unpack=unpack,
        fold=lambda key, old, facts: (
            domain.fold(old, facts, known.standards) if old else domain.note(identity(key), facts, known.standards)
        ),
        due=lambda clock, now: domain.due(clock, now, known.standards),
        next_deadline=lambda clock: domain.next_deadline(clock, known.standards),
        step=_step,
        labels=_labels,
        home=home_of,
        reuse=lambda old, new, facts: reuse(old.facts if old else (), new.facts, facts),
        joining=Joining(prefix + JOINED, _told_elsewhere),
        displaced=lambda old, new: displaced(old.facts, new.facts),
    )


def _told_elsewhere(key: bytes, value: bytes) -> list[Fact]:
    """The facts of a record as they are told of another: the same clock, under another id of the customer."""
    record = read_joined(unpack, value)
    return as_told_of(record.facts, record.customer_id, sibling(key, record.key))


def asked() -> Callable[[Clock], tuple[frozenset[str], str]]:
    """Says of a clock which events could stop it ("contacts.replied"), and where."""
    wanted = {metric: frozenset(_stopping(metric)) for metric in Metric}
    return lambda clock: (wanted[Metric(clock.metric)], site_of(clock.context))


_STOPS = frozenset({FactKind.STOPPED, FactKind.ANSWERED, FactKind.RENEWED})


def _stopping(metric: Metric) -> Iterator[str]:
    for topic, (message, arms) in _TOPICS.items():
        for arm, read in arms.items():
            if read(blank_arm(message, arm)).kinds.get(metric) in _STOPS:
                yield f"{topic.partition('.')[0]}.{arm}"


def identity(key: bytes) -> Identity:
    """Which clock a record key, as the decoders make it, names."""
    customer, metric, subject = ids_of(key)
    return key, _METRICS[metric], customer, subject


def _step(key: bytes, old: Clock | None, new: Clock | None) -> Step:
    before = None if old is None else _labels(old)
    if new is None:
        return Step(b"forgotten", key + b":forgotten", before, None)
    change = domain.change(old, new)
    name = _TRANSITION_NAMES[change.transition]
    # Of a warning its own time: there may be several.
    about = new.changed_at if change.transition == Transition.AT_RISK else change.cycle.due_at
    transition_id = b"%b:%b:%d" % (key, name, about)
    if change.number > 1:
        transition_id += b":%d" % change.number
    return Step(name, transition_id, before, _labels(new), domain.margin(change), domain.breached_at(change))


def _labels(clock: Clock) -> Labels:
    return _LABELS[clock.metric][clock.cycle.state]


# --- events to facts


class Reading:
    """Reads the events of one topic as facts. What no standard times leaves none, but is looked at all the same."""

    def __init__(
        self, message_type: type[Message], arms: _Arms, known: InForce, limits: Limits, hearing: Hearing | None = None
    ) -> None:
        self._opener, self._arms, self._known = Opener(message_type, limits, hearing), arms, known

    def __call__(self, value: bytes, is_json: bool) -> Iterable[tuple[bytes, Fact]]:
        """Those of a message, each with the key of its record. Raises `Unusable`."""
        return self._facts(self._opener.open(value, is_json))

    def of_fields(self, fields: dict[str, Any]) -> Iterable[tuple[bytes, Fact]]:
        """Those of an event in protobuf's JSON mapping, loaded. Raises `Unusable`."""
        return self._facts(self._opener.open_fields(fields))

    def _facts(self, event: Envelope) -> Iterable[tuple[bytes, Fact]]:
        if not event.arm:
            raise Unusable(DeadLetterReason.UNKNOWN_TYPE, "no event is set, or one that this version does not know")
        read = self._arms.get(event.arm)
        if read is None:
            return ()
        said, timed = read(event.body), self._known.standards.metrics
        return [
            (
                record_key(event.customer_id, _METRIC_NAMES[metric], event.subject_id),
                _fact(event, kind, said),
            )
            for metric, kind in said.kinds.items()
            if metric in timed
        ]


def _fact(event: Envelope, kind: FactKind, said: "_Said") -> Fact:
    case, window_start, window_end = (*said.more, *_NO_MORE[len(said.more) :])
    return Fact(
        event.occurred_at, event.source, event.event_id, kind, said.what, event.context, case, window_start, window_end,
        event.sequence,
    )  # fmt: skip


_NO_MORE: tuple[Any, ...] = (NO_CONTEXT, NONE, NONE)


def readings(known: InForce, limits: Limits, hearing: Mapping[str, Hearing] | None = None) -> Mapping[str, Reading]:
    """By topic, without prefix. `hearing`: of each, where to note who was heard."""
    noted = hearing or {}
    return {
        topic: Reading(message, arms, known, limits, noted.get(topic)) for topic, (message, arms) in _TOPICS.items()
    }


def _quiet(decode: Decoder[Fact]) -> Decoder[Fact]:
    """The decoder without complaints: input that it cannot use holds no facts."""

    def decode_quietly(value: bytes, is_json: bool) -> Iterable[tuple[bytes, Fact]]:
        try:
            return decode(value, is_json)
        except Unusable:
            return ()

    return decode_quietly


class _Said(NamedTuple):
    """What an event says: what it does to which clocks, and what to call it."""

    kinds: Mapping[int, FactKind]
    what: str
    #: The fields of Fact after the context.
    more: tuple[Any, ...] = ()


def _is(kinds: Mapping[int, FactKind], what: str) -> Callable[[object], _Said]:
    said = _Said(kinds, what)
    return lambda _event: said


def _each(kind: FactKind, *metrics: int) -> dict[int, FactKind]:
    return dict.fromkeys(metrics, kind)


_FIRST, _NEXT, _UPDATE = Metric.FIRST_REPLY, Metric.NEXT_REPLY, Metric.PERIODIC_UPDATE
_RESOLUTION, _WAIT, _EFFORT = Metric.RESOLUTION, Metric.REQUESTER_WAIT, Metric.CONTACTS_TO_RESOLVE
_OF_CONTACTS = (_FIRST, _NEXT, _UPDATE, _RESOLUTION, _WAIT, _EFFORT)
_TO_THE_END = (_RESOLUTION, _WAIT, _EFFORT)
#: What holds stop. To make contact again is none the less to make contact.
_PAUSABLE = (_FIRST, _NEXT, _UPDATE, _RESOLUTION, _WAIT)

_RECEIVED = _each(FactKind.STARTED, _FIRST, *_TO_THE_END)
_WRITTEN: Mapping[int, FactKind] = {_NEXT: FactKind.FOLLOWED_UP, _EFFORT: FactKind.STARTED}
#: Only people answer.
_ANSWERED: Mapping[int, FactKind] = {
    _FIRST: FactKind.STOPPED,
    _NEXT: FactKind.ANSWERED,
    _UPDATE: FactKind.RENEWED,
}
#: Settled without a reply: none was needed.
_RESOLVED = _each(FactKind.CANCELLED, _FIRST, _NEXT, _UPDATE) | _each(FactKind.STOPPED, *_TO_THE_END)
_AGAIN = _each(FactKind.OPENED, _NEXT, _UPDATE) | _each(FactKind.REOPENED, *_TO_THE_END)
_HOLD, _RESUME = _each(FactKind.HELD, *_PAUSABLE), _each(FactKind.RESUMED, *_PAUSABLE)


def _received(event: ContactReceived) -> _Said:
    return _Said(_RECEIVED, "received", _case(event.kind, event.priority))


def _updated(event: ContactUpdated) -> _Said:
    return _Said(_each(FactKind.OTHER, *_OF_CONTACTS), "updated", _case(0, event.priority))


def _case(kind: int, priority: int) -> tuple[Any, ...]:
    """What a case is, in the words of the standards; a number that this version does not know is not stated."""
    case = _KINDS.get(kind, ""), _PRIORITIES.get(priority, "")
    return (case,) if any(case) else ()


def _words(enum: Any, prefix: str) -> Mapping[int, str]:  # noqa: ANN401 - enums of protobuf have no type in common
    return {number: name.removeprefix(prefix).lower() for name, number in enum.items() if number}


_KINDS, _PRIORITIES = _words(ContactKind, "CONTACT_KIND_"), _words(Priority, "PRIORITY_")


def _replied(event: ContactReplied) -> _Said:
    """A reply whose author is not stated is a person's."""
    said = _AUTHORS.get(event.author)
    if said is None:
        raise Unusable(
            DeadLetterReason.INVALID, "replied.author must be AUTHOR_HUMAN or AUTHOR_AUTOMATIC: the verdict hangs on it"
        )
    return said


_REPLIED = _Said(_ANSWERED, "replied")
_AUTHORS: Mapping[int, _Said] = {
    AUTHOR_UNSPECIFIED: _REPLIED,
    AUTHOR_HUMAN: _REPLIED,
    AUTHOR_AUTOMATIC: _Said(_each(FactKind.OTHER, _FIRST, _NEXT, _UPDATE), "replied (automatic)"),
}


def _wrote(event: ContactCustomerWrote) -> _Said:
    """A "thank you" wants no reply."""
    return _THANKED if event.HasField("expects_reply") and not event.expects_reply else _WROTE


_WROTE = _Said(_WRITTEN, "the customer wrote")
_THANKED = _Said(_each(FactKind.OTHER, _NEXT), "the customer wrote (no reply expected)")


def _held(event: ContactHeld) -> _Said:
    return _Said(_HOLD, event.reason)


_CALLBACK_RETURNED, _TOLD, _STARTED = Metric.CALLBACK_RETURNED, Metric.CUSTOMER_TOLD, Metric.APPOINTMENT_STARTED


def _requested(event: CallbackRequested) -> _Said:
    """Of a promised day its midnight, UTC: it only tells one promise from another."""
    due = event.promised
    at = from_timestamp(due.at) if due.HasField("at") else _midnight(due.day.date)
    return _Said(_REQUESTED, "requested", (NO_CONTEXT, NONE, at) if EARLIEST <= at <= LATEST else ())


_REQUESTED = _each(FactKind.STARTED, _CALLBACK_RETURNED)


def _midnight(day: str) -> Instant:
    """NONE where it is no date; the promise service refuses it."""
    try:
        return from_datetime(datetime.fromisoformat(day).replace(tzinfo=UTC))
    except ValueError:
        return NONE


def _cancelled(metric: int) -> Callable[[Cancelled], _Said]:
    """Who was promised something may call it off, or agree to it; the company alone may not."""
    by_customer = _Said(_each(FactKind.CANCELLED, metric), "cancelled by the customer")
    agreed = _Said(_each(FactKind.CANCELLED, metric), "cancelled by agreement")
    by_us = _Said(_each(FactKind.OTHER, metric), "cancelled by us")

    def read(event: Cancelled) -> _Said:
        if event.by == PARTY_CUSTOMER:
            return by_customer
        return agreed if event.consent == CONSENT_ACCEPTED else by_us

    return read


def _delivered(event: OrderDelivered) -> _Said:
    """Who has the whole order need not be told that it is ready."""
    return _IN_PART if event.HasField("in_full") and not event.in_full else _DELIVERED


_DELIVERED = _Said(_each(FactKind.STOPPED, _TOLD), "delivered")
_IN_PART = _Said(_each(FactKind.OTHER, _TOLD), "delivered in part")


def _order_waived(event: OrderWaived) -> _Said:
    """A waiver of one promise of the order is no waiver of this standard."""
    return _Said(_each(FactKind.CANCELLED, *((_TOLD,) if event.milestone == MILESTONE_UNSPECIFIED else ())), "waived")


def _window(what: str) -> Callable[[AppointmentBooked | AppointmentRescheduled], _Said]:
    """A window without a beginning, or one that ends before it, says nothing here; the promise service refuses it."""

    def read(event: AppointmentBooked | AppointmentRescheduled) -> _Said:
        start, end = from_timestamp(event.window_start), from_timestamp(event.window_end)
        if not EARLIEST <= start <= end <= LATEST:
            return _Said({}, what)
        return _Said({_STARTED: FactKind.SCHEDULED}, what, (NO_CONTEXT, start, end))

    return read


def _no_show(event: AppointmentNoShow) -> _Said:
    """Where nobody of the company came, time will tell."""
    by_customer = event.by == PARTY_CUSTOMER
    kinds = _each(FactKind.CANCELLED if by_customer else FactKind.OTHER, _STARTED)
    return _Said(kinds, "the customer did not come" if by_customer else "nobody came")


_CONTACT: _Arms = {
    "received": _received,
    "updated": _updated,
    "customer_wrote": _wrote,
    "replied": _replied,
    "held": _held,
    "resumed": _is(_RESUME, "resumed"),
    "resolved": _is(_RESOLVED, "resolved"),
    "closed": _is(_RESOLVED, "closed"),
    "reopened": _is(_AGAIN, "reopened"),
}
_CALLBACK: _Arms = {
    "requested": _requested,
    "attempted": _is({_CALLBACK_RETURNED: FactKind.OTHER}, "attempted"),
    "returned": _is({_CALLBACK_RETURNED: FactKind.STOPPED}, "returned"),
    "cancelled": _cancelled(_CALLBACK_RETURNED),
    "waived": _is({_CALLBACK_RETURNED: FactKind.CANCELLED}, "waived"),
}
_ORDER: _Arms = {
    "ready": _is({_TOLD: FactKind.STARTED}, "ready"),
    "customer_told": _is({_TOLD: FactKind.STOPPED}, "customer told"),
    "delivered": _delivered,
    "cancelled": _is({_TOLD: FactKind.CANCELLED}, "cancelled"),
    "waived": _order_waived,
}
_APPOINTMENT: _Arms = {
    "booked": _window("booked"),
    "rescheduled": _window("rescheduled"),
    "started": _is({_STARTED: FactKind.STOPPED}, "started"),
    # What was completed was started; where only the end is published, it counts.
    "completed": _is({_STARTED: FactKind.STOPPED}, "completed"),
    "cancelled": _cancelled(_STARTED),
    "no_show": _no_show,
    "waived": _is({_STARTED: FactKind.CANCELLED}, "waived"),
}
#: Input topic → its messages, and what their arms mean.
_TOPICS: Mapping[str, tuple[type[Message], _Arms]] = {
    CONTACTS: (ContactEvent, _CONTACT),
    CALLBACKS: (CallbackEvent, _CALLBACK),
    ORDERS: (OrderEvent, _ORDER),
    APPOINTMENTS: (AppointmentEvent, _APPOINTMENT),
}
INPUTS = tuple(_TOPICS)


# --- records


def pack(clock: Clock) -> bytes:
    """The record as bytes: the same for equal clocks. The numbers are those of the fields in `clock.proto`."""
    cycle, out = clock.cycle, BytesWriter()
    put_message(out, 1, clock.key)
    put_number(out, 2, clock.metric)
    put_text(out, 3, clock.customer_id)
    put_text(out, 4, clock.subject_id)
    put_number(out, 5, cycle.state)
    put_text(out, 6, cycle.policy)
    put_text(out, 7, cycle.version)
    put_timestamp(out, 8, cycle.started_at)
    put_timestamp(out, 9, cycle.due_at)
    put_timestamp(out, 10, cycle.preferred_due_at)
    put_timestamp(out, 11, cycle.warn_at[0] if cycle.warn_at else NONE)
    put_timestamp(out, 12, cycle.breach_at)
    put_timestamp(out, 13, cycle.stopped_at)
    if cycle.preferred_met is not None:
        put_flag(out, 14, cycle.preferred_met)
    put_context(out, 15, clock.context)
    facts = clock.facts
    if len(facts) < MANY:
        for fact in facts:
            put_message(out, 16, _pack_fact(fact))
    else:
        out.write(_PIECES.of(clock.key, facts))
    put_text(out, 17, cycle.first_version)
    put_text(out, 18, cycle.calendar)
    for at in cycle.warn_at[1:]:
        put_timestamp(out, 19, at)
    put_timestamp(out, 20, clock.changed_at)
    put_timestamp(out, 21, clock.changes_at)
    for earlier in clock.earlier:
        put_message(out, 22, _pack_cycle(earlier))
    return out.getvalue()


def _pack_cycle(cycle: Cycle) -> bytes:
    out = BytesWriter()
    put_number(out, 1, cycle.state)
    put_text(out, 2, cycle.policy)
    put_text(out, 3, cycle.version)
    put_text(out, 4, cycle.first_version)
    put_text(out, 5, cycle.calendar)
    put_timestamp(out, 6, cycle.started_at)
    put_timestamp(out, 7, cycle.due_at)
    put_timestamp(out, 8, cycle.preferred_due_at)
    for at in cycle.warn_at:
        put_timestamp(out, 9, at)
    put_timestamp(out, 10, cycle.breach_at)
    put_timestamp(out, 11, cycle.stopped_at)
    if cycle.preferred_met is not None:
        put_flag(out, 12, cycle.preferred_met)
    return out.getvalue()


def _pack_fact(fact: Fact) -> bytes:
    out = BytesWriter()
    put_text(out, 1, fact.event_id)
    put_text(out, 2, fact.source)
    put_timestamp(out, 3, fact.occurred_at)
    put_number(out, 4, fact.kind)
    put_text(out, 5, fact.what)
    put_context(out, 6, fact.context)
    if fact.case:
        put_text(out, 7, fact.case[0])
        put_text(out, 8, fact.case[1])
    put_timestamp(out, 9, fact.window_start)
    put_timestamp(out, 10, fact.window_end)
    put_number(out, 11, fact.sequence)
    put_text(out, 12, fact.customer_id)
    return out.getvalue()


_PIECES: Final = Pieces(16, _pack_fact)


def _unpack_plain(value: bytes) -> Clock:
    record = Reader(value)
    key, metric, customer_id, subject_id = record.chunk(1), record.number(2), record.text(3), record.text(4)
    state, policy, version = record.number(5), record.text(6), record.text(7)
    started_at, due_at, preferred_due_at = record.timestamp(8), record.timestamp(9), record.timestamp(10)
    first_warning, breach_at, stopped_at = record.timestamp(11), record.timestamp(12), record.timestamp(13)
    preferred_met = _plain_flag(record, 14)
    context = stated_in(record, 15)
    facts = []
    while fact := record.message(16):
        facts.append(_unpack_plain_fact(fact))
    first_version, calendar = record.text(17), record.text(18)
    warn_at = (first_warning, *_plain_timestamps(record, 19)) if first_warning else ()
    changed_at, changes_at = record.timestamp(20), record.timestamp(21)
    earlier = []
    while cycle := record.message(22):
        earlier.append(_unpack_plain_cycle(cycle))
    record.done()
    last = Cycle(
        state, policy, version, first_version, calendar, started_at, due_at, preferred_due_at, warn_at, breach_at,
        stopped_at, preferred_met,
    )  # fmt: skip
    return Clock(
        key, metric, customer_id, subject_id, last, tuple(earlier), changed_at, changes_at, context, tuple(facts)
    )


def _unpack_plain_cycle(cycle: Reader) -> Cycle:
    unpacked = Cycle(
        cycle.number(1), cycle.text(2), cycle.text(3), cycle.text(4), cycle.text(5), cycle.timestamp(6),
        cycle.timestamp(7), cycle.timestamp(8), _plain_timestamps(cycle, 9), cycle.timestamp(10), cycle.timestamp(11),
        _plain_flag(cycle, 12),
    )  # fmt: skip
    cycle.done()
    return unpacked


def _unpack_plain_fact(fact: Reader) -> Fact:
    event_id, source, occurred_at = fact.text(1), fact.text(2), fact.timestamp(3)
    kind, what, context = fact.number(4), fact.text(5), stated_in(fact, 6)
    case = fact.text(7), fact.text(8)
    unpacked = Fact(
        occurred_at, source, event_id, kind, what, context, case if any(case) else NO_CONTEXT,
        fact.timestamp(9), fact.timestamp(10), fact.long(11), fact.text(12),
    )  # fmt: skip
    fact.done()
    return unpacked


def _plain_flag(reader: Reader, field: i64) -> bool | None:
    """Present also where it is false."""
    return reader.number(field) != 0 if reader.field == field else None


def _plain_timestamps(reader: Reader, field: i64) -> tuple[Instant, ...]:
    found = []
    while reader.field == field:
        at = reader.timestamp(field)
        if not at:  # it says nothing, or is of another type
            raise NotPlain
        found.append(at)
    return tuple(found)


def unpack(value: bytes) -> Clock:
    """The clock in `pack`'s bytes. Raises NewerVersion where this one would misjudge it."""
    return _known_clock(_unpacked(value))


_NEWEST_METRIC: Final[int] = max(Metric)
_NEWEST_STATE: Final[int] = max(State)
_NEWEST_FACT: Final[int] = max(FactKind)


def _known_clock(clock: Clock) -> Clock:
    """The clock, if every number in it means something here."""
    newest = max([cycle.state for cycle in (*clock.earlier, clock.cycle)])
    if clock.metric > _NEWEST_METRIC or newest > _NEWEST_STATE:
        raise NewerVersion("a metric or state")
    for fact in clock.facts:
        if fact.kind > _NEWEST_FACT:
            raise NewerVersion("a fact of a kind")
    return clock


def _unpacked(value: bytes) -> Clock:
    if COMPILED:
        try:
            return _unpack_plain(value)
        except ValueError:  # NotPlain
            pass
    record = pb.Clock.FromString(value)
    warnings = [record.warn_at, *record.later_warnings] if record.HasField("warn_at") else []
    return Clock(
        record.clock_id.encode(), record.metric, record.customer_id, record.subject_id,
        _unpack_cycle(record, warnings), tuple([_unpack_cycle(cycle, cycle.warn_at) for cycle in record.earlier]),
        from_timestamp(record.changed_at), from_timestamp(record.changes_at),
        unpack_context(record), tuple([_unpack_fact(fact) for fact in record.facts]),
    )  # fmt: skip


def _unpack_cycle(message: pb.Clock | pb.Cycle, warnings: Iterable[Timestamp]) -> Cycle:
    started_at, due_at, preferred_due_at, breach_at, stopped_at = from_timestamps(_TIMES(message))
    return Cycle(
        message.state, message.policy, message.standards_version, message.first_version, message.calendar,
        started_at, due_at, preferred_due_at, tuple([from_timestamp(at) for at in warnings]), breach_at, stopped_at,
        message.preferred_met if message.HasField("preferred_met") else None,
    )  # fmt: skip


_TIMES = attrgetter("started_at", "due_at", "preferred_due_at", "breach_at", "stopped_at")


def _unpack_fact(fact: pb.Fact) -> Fact:
    case = fact.contact_kind, fact.priority
    return Fact(
        from_timestamp(fact.occurred_at), fact.source, fact.event_id, fact.kind, fact.what, unpack_context(fact),
        case if any(case) else NO_CONTEXT, from_timestamp(fact.window_start), from_timestamp(fact.window_end),
        fact.sequence, fact.customer_id,
    )  # fmt: skip
