"""Events become facts, and clocks become bytes and clocks again."""

import json
from unittest.mock import patch

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError
from hypothesis import example, given, strategies as st
from msgspec.structs import replace

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.events.v1.order_event_pb2 import OrderEvent
from puntual.sla.v1 import clock_pb2 as pb
from services.shared.engine.machine import Step
from services.shared.engine.store import PartitionStore
from services.shared.envelope import Limits
from services.shared.errors import AbsurdTime, DeadLetterReason, Unusable
from services.shared.facts import Context
from services.shared.instant import Instant, parse_instant
from services.shared.partitioner import partition_of
from services.sla import codec, model
from services.sla.domain import fold
from services.sla.model import NONE, Clock, Cycle, Fact, FactKind, Metric
from services.sla.policies import METRICS, Goal
from services.sla.standards import InForce, Standards
from tests.unit.shared.mutants import chunk, mutants, varint
from tests.unit.sla.builders import MINUTE, STANDARDS, a_fact, at, judged, minutes, standards
from tests.unit.sla.strategies import ALL_STANDARDS, fact_sets, instants

HEAD = {"eventId": "e-1", "source": "crm", "occurredAt": "2026-03-02T12:00:00.000001Z", "subjectId": "s/9"}
STARTED, STOPPED, CANCELLED, OTHER = FactKind.STARTED, FactKind.STOPPED, FactKind.CANCELLED, FactKind.OTHER
NOW = parse_instant("2026-03-02T12:30:00Z")
#: A limit and nothing else.
BARE = standards(Goal(minutes(60)))
MACHINE = codec.machine(InForce(STANDARDS), Limits(now=lambda: NOW, horizon=10_000 * MINUTE))
TOPICS = {
    ContactEvent: ("puntual.contacts.v1", "first_reply"),
    CallbackEvent: ("puntual.callbacks.v1", "callback_returned"),
    OrderEvent: ("puntual.orders.v1", "customer_told"),
    AppointmentEvent: ("puntual.appointments.v1", "appointment_started"),
}
Message = type[ContactEvent] | type[CallbackEvent] | type[OrderEvent] | type[AppointmentEvent]
CONTEXT = Context("Ana", "es-ES", "Europe/Madrid", "gold", "Vigo", "blue", "phone")
FACT = Fact(NOW, "crm", "e-1", 2, "ñ", CONTEXT)
NEVER = Instant(0)
FACTS = (
    replace(FACT, case=("email", "high"), window_start=Instant(21), window_end=Instant(22), sequence=23),
    Fact(NEVER, "", "", 0),
    replace(FACT, event_id="e-2", what=""),
)
#: Whatever a record can say, each to be told from the others; and nothing.
CYCLE = Cycle(
    6, "everybody", "7", "6", "office", Instant(11), Instant(12), Instant(13), (Instant(14), Instant(15)), Instant(16),
    Instant(17), False,
)  # fmt: skip
FULL = Clock(
    b"c1/first_reply/s1", 1, "c1", "s1", CYCLE, (Cycle(0), replace(CYCLE, state=5)), Instant(18), Instant(19),
    CONTEXT._replace(team="red"), FACTS,
)  # fmt: skip
EMPTY = Clock(b"", 0, "", "", Cycle(0), (), NEVER, NEVER, (), ())
RECORDS = st.builds(
    lambda facts, now, by: judged(*facts, minutes=now, by=by),
    fact_sets(),
    instants(),
    st.sampled_from([BARE, *ALL_STANDARDS]),
)


def encoded(message: Message, **fields: object) -> bytes:
    return ParseDict(HEAD | fields, message()).SerializeToString()


def decoded(message: Message, value: bytes, *, is_json: bool = False) -> list[tuple[bytes, Fact]]:
    """The facts for the topic's first metric."""
    topic, metric = TOPICS[message]
    found = MACHINE.inputs[topic](value, is_json)
    return [(key, fact) for key, fact in found if codec.identity(key)[1] == Metric[metric.upper()]]


@pytest.mark.parametrize(
    ("message", "event", "kind", "what"),
    [
        (ContactEvent, {"received": {}}, STARTED, "received"),
        (ContactEvent, {"replied": {}}, STOPPED, "replied"),
        (ContactEvent, {"replied": {"author": "AUTHOR_HUMAN"}}, STOPPED, "replied"),
        (ContactEvent, {"replied": {"author": "AUTHOR_AUTOMATIC"}}, OTHER, "replied (automatic)"),
        (ContactEvent, {"resolved": {}}, CANCELLED, "resolved"),
        (ContactEvent, {"closed": {}}, CANCELLED, "closed"),
        (CallbackEvent, {"requested": {}}, STARTED, "requested"),
        (CallbackEvent, {"attempted": {}}, OTHER, "attempted"),
        (CallbackEvent, {"returned": {}}, STOPPED, "returned"),
        (CallbackEvent, {"cancelled": {"by": "PARTY_CUSTOMER"}}, CANCELLED, "cancelled by the customer"),
        (CallbackEvent, {"cancelled": {"consent": "CONSENT_ACCEPTED"}}, CANCELLED, "cancelled by agreement"),
        (CallbackEvent, {"cancelled": {"by": "PARTY_COMPANY"}}, OTHER, "cancelled by us"),
        (CallbackEvent, {"waived": {}}, CANCELLED, "waived"),
        (OrderEvent, {"ready": {}}, STARTED, "ready"),
        (OrderEvent, {"customerTold": {}}, STOPPED, "customer told"),
        (OrderEvent, {"delivered": {}}, STOPPED, "delivered"),
        (OrderEvent, {"delivered": {"inFull": True}}, STOPPED, "delivered"),
        (OrderEvent, {"delivered": {"inFull": False}}, OTHER, "delivered in part"),
        (OrderEvent, {"cancelled": {"by": "PARTY_COMPANY"}}, CANCELLED, "cancelled"),
        (OrderEvent, {"waived": {}}, CANCELLED, "waived"),
        (ContactEvent, {"held": {"reason": "parts"}}, FactKind.HELD, "parts"),
        (ContactEvent, {"resumed": {}}, FactKind.RESUMED, "resumed"),
        (ContactEvent, {"updated": {}}, OTHER, "updated"),
        (AppointmentEvent, {"started": {}}, STOPPED, "started"),
        (AppointmentEvent, {"completed": {}}, STOPPED, "completed"),
        (AppointmentEvent, {"cancelled": {"by": "PARTY_CUSTOMER"}}, CANCELLED, "cancelled by the customer"),
        (AppointmentEvent, {"noShow": {"by": "PARTY_CUSTOMER"}}, CANCELLED, "the customer did not come"),
        (AppointmentEvent, {"noShow": {"by": "PARTY_COMPANY"}}, OTHER, "nobody came"),
        (AppointmentEvent, {"waived": {}}, CANCELLED, "waived"),
    ],
)
def test_an_event_becomes_a_fact(message: Message, event: dict[str, object], kind: FactKind, what: str) -> None:
    """In protobuf and in JSON alike, keyed by customer, metric and subject."""
    fact = Fact(parse_instant("2026-03-02T12:00:00.000001Z"), "crm", "e-1", kind, what)
    expected = [(f"c%201/{TOPICS[message][1]}/s%2F9".encode(), fact)]
    assert decoded(message, encoded(message, customerId="c 1", **event)) == expected
    assert decoded(message, json.dumps(HEAD | {"customerId": "c 1"} | event).encode(), is_json=True) == expected


@pytest.mark.parametrize(
    ("promised", "end"),
    [
        ({"at": "2026-03-03T10:00:00+01:00"}, parse_instant("2026-03-03T09:00:00Z")),
        ({"day": {"date": "2026-03-03", "timeZone": "Europe/Madrid"}}, parse_instant("2026-03-03T00:00:00Z")),
        # What the promise service refuses is told once there.
        ({"day": {"date": "Thursday"}}, NONE),
        ({"day": {"date": "9999-12-31"}}, NONE),
        ({}, NONE),
    ],
)
def test_a_request_knows_by_when_it_was_promised(promised: dict[str, object], end: Instant) -> None:
    """Of a day its midnight: what is requested for the same time is told once more."""
    ((_, fact),) = decoded(CallbackEvent, encoded(CallbackEvent, requested={"promised": promised}))
    assert (fact.kind, fact.window_start, fact.window_end) == (STARTED, NONE, end)


RESOLVING = {"resolution": STARTED, "requester_wait": STARTED, "contacts_to_resolve": STARTED}
CALLED_OFF = {"first_reply": CANCELLED, "next_reply": CANCELLED, "periodic_update": CANCELLED}


@pytest.mark.parametrize(
    ("event", "kinds"),
    [
        ({"received": {}}, {"first_reply": STARTED} | RESOLVING),
        ({"customerWrote": {}}, {"next_reply": FactKind.FOLLOWED_UP, "contacts_to_resolve": STARTED}),
        (
            {"customerWrote": {"expectsReply": True}},
            {"next_reply": FactKind.FOLLOWED_UP, "contacts_to_resolve": STARTED},
        ),
        ({"customerWrote": {"expectsReply": False}}, {"next_reply": OTHER}),
        (
            {"replied": {}},
            {"first_reply": STOPPED, "next_reply": FactKind.ANSWERED, "periodic_update": FactKind.RENEWED},
        ),
        ({"replied": {"author": "AUTHOR_AUTOMATIC"}}, dict.fromkeys(CALLED_OFF, OTHER)),
        ({"resolved": {}}, CALLED_OFF | dict.fromkeys(RESOLVING, STOPPED)),
        ({"closed": {}}, CALLED_OFF | dict.fromkeys(RESOLVING, STOPPED)),
        (
            {"reopened": {}},
            {"next_reply": FactKind.OPENED, "periodic_update": FactKind.OPENED}
            | dict.fromkeys(RESOLVING, FactKind.REOPENED),
        ),
        ({"updated": {}}, dict.fromkeys({**CALLED_OFF, **RESOLVING}, OTHER)),
        ({"held": {}}, dict.fromkeys((*CALLED_OFF, "resolution", "requester_wait"), FactKind.HELD)),
        ({"resumed": {}}, dict.fromkeys((*CALLED_OFF, "resolution", "requester_wait"), FactKind.RESUMED)),
    ],
)
def test_an_event_of_a_contact_moves_several_clocks(event: dict[str, object], kinds: dict[str, FactKind]) -> None:
    """Each in its own way."""
    found = MACHINE.inputs["puntual.contacts.v1"](encoded(ContactEvent, **event), False)
    assert {_METRICS[codec.identity(key)[1]]: fact.kind for key, fact in found} == kinds


_METRICS: dict[int, str] = {metric: metric.name.lower() for metric in Metric}


def test_every_metric_of_the_standards_has_its_clock() -> None:
    """But for complaints, which are resolved as other contacts are."""
    assert {*_METRICS.values(), "complaint_resolved"} == set(METRICS)


def test_what_is_stated_of_a_case_and_of_a_window_comes_along() -> None:
    """In the words of the standards; what this version does not know is not stated."""
    received = {"kind": "CONTACT_KIND_EMAIL", "priority": "PRIORITY_HIGH"}
    [(_, fact)] = decoded(ContactEvent, encoded(ContactEvent, received=received))
    assert fact.case == ("email", "high")
    [(_, fact)] = decoded(ContactEvent, encoded(ContactEvent, updated={"priority": "PRIORITY_URGENT"}))
    assert fact.case == ("", "urgent")
    window = {"windowStart": "2026-03-02T12:00:00Z", "windowEnd": "2026-03-02T13:00:00Z"}
    for event in ("booked", "rescheduled"):
        [(_, fact)] = decoded(AppointmentEvent, encoded(AppointmentEvent, **{event: window}))
        assert (fact.kind, fact.window_start, fact.window_end) == (FactKind.SCHEDULED, at(0), at(60))
    sharp = {"windowStart": "2026-03-02T12:00:00Z", "windowEnd": "2026-03-02T12:00:00Z"}
    [(_, fact)] = decoded(AppointmentEvent, encoded(AppointmentEvent, booked=sharp))
    assert (fact.window_start, fact.window_end) == (at(0), at(0))


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (OrderEvent, {"placed": {}}),
        (OrderEvent, {"promised": {"milestone": "MILESTONE_READY"}}),
        (OrderEvent, {"waived": {"milestone": "MILESTONE_READY"}}),
        (CallbackEvent, {"promised": {}}),
        (ContactEvent, {"reopened": {}}),
        (ContactEvent, {"customerWrote": {}}),
        (AppointmentEvent, {"booked": {}}),
        (AppointmentEvent, {"booked": {"windowStart": "2026-03-02T12:00:00Z", "windowEnd": "2200-01-01T00:00:01Z"}}),
        (
            AppointmentEvent,
            {"rescheduled": {"windowStart": "2026-03-02T12:00:00Z", "windowEnd": "2026-03-02T11:00:00Z"}},
        ),
    ],
)
def test_events_that_move_no_clock_leave_no_fact(message: Message, event: dict[str, object]) -> None:
    """They concern the other services."""
    assert decoded(message, encoded(message, **event)) == []


def test_the_context_of_an_event_comes_along() -> None:
    """All seven fields, each to its own."""
    stated = {
        "customerId": "~7",
        "customerName": "Ana",
        "customerLocale": "es-ES",
        "customerTimeZone": "Europe/Madrid",
        "customerTier": "gold",
        "site": "Vigo",
        "team": "blue",
        "channel": "phone",
    }
    [(key, fact)] = decoded(OrderEvent, encoded(OrderEvent, ready={}, **stated))
    assert fact.context == Context("Ana", "es-ES", "Europe/Madrid", "gold", "Vigo", "blue", "phone")
    assert codec.identity(key) == (key, model.Metric.CUSTOMER_TOLD, "~7", "s/9")


@pytest.mark.parametrize(
    ("value", "is_json", "reason"),
    [
        (b"\xff\xff", False, DeadLetterReason.UNDECODABLE),
        (b"{", True, DeadLetterReason.UNDECODABLE),
        (b"[" * 100_000, True, DeadLetterReason.UNDECODABLE),
        (b'{"recieved": {}}', True, DeadLetterReason.UNDECODABLE),
        (encoded(ContactEvent), False, DeadLetterReason.UNKNOWN_TYPE),
        (encoded(ContactEvent, received={}, eventId=""), False, DeadLetterReason.NO_EVENT_ID),
        (encoded(ContactEvent, received={}, occurredAt="2026-03-02T14:00:00Z"), False, DeadLetterReason.FUTURE_TIME),
        (encoded(ContactEvent, received={}, occurredAt="2026-02-02T14:00:00Z"), False, DeadLetterReason.TOO_LATE),
    ],
)
def test_contacts_that_cannot_be_used_are_refused_with_the_reason(
    value: bytes, is_json: bool, reason: DeadLetterReason
) -> None:
    """Nobody else reads contacts, so this service answers for them."""
    with pytest.raises(Unusable) as error:
        decoded(ContactEvent, value, is_json=is_json)
    assert error.value.reason == reason


@pytest.mark.parametrize("event", [{"received": {"kind": 99, "priority": 99}}, {"updated": {"priority": 99}}])
def test_numbers_of_a_newer_publisher_that_decide_nothing_do_no_harm(event: dict[str, object]) -> None:
    """An enum value this version does not know counts as not stated."""
    assert decoded(ContactEvent, encoded(ContactEvent, **event)) == decoded(
        ContactEvent, encoded(ContactEvent, **{name: {} for name in event})
    )


@pytest.mark.parametrize("unknown", [{"by": 99}, {"consent": 99}, {"by": 99, "consent": 99}])
def test_a_callback_is_not_called_off_by_nobody_knows_whom(unknown: dict[str, object]) -> None:
    """As where it is not stated: only the customer, or the customer's agreement, ends it."""
    [(_, fact)] = decoded(CallbackEvent, encoded(CallbackEvent, cancelled=unknown))
    assert fact.kind == OTHER


def test_a_reply_of_an_author_this_version_does_not_know_is_refused() -> None:
    """Person or machine: the verdict hangs on it. As a dead letter it can be sent again to a newer version."""
    with pytest.raises(Unusable, match=r"replied\.author must be AUTHOR_HUMAN or AUTHOR_AUTOMATIC") as error:
        decoded(ContactEvent, encoded(ContactEvent, replied={"author": 99}))
    assert error.value.reason is DeadLetterReason.INVALID


@pytest.mark.parametrize("message", [OrderEvent, CallbackEvent])
def test_orders_and_callbacks_that_cannot_be_used_are_left_to_the_promise_service(message: Message) -> None:
    """It refuses them too, and one dead letter is enough."""
    assert decoded(message, b"\xff\xff") == []


def test_what_no_standard_times_leaves_no_fact() -> None:
    """A company may promise nothing of a kind; its events are no dead letters, but those that cannot be used are."""
    book = STANDARDS.versions[0].book
    callbacks = book.policies[0]._replace(goals={"callback_returned": book.policies[0].goals["callback_returned"]})
    bare = Standards.of(book._replace(policies=[callbacks]))
    inputs = codec.machine(InForce(bare), Limits(now=lambda: NOW)).inputs
    assert list(inputs["puntual.contacts.v1"](encoded(ContactEvent, received={}), False)) == []
    assert len(list(inputs["puntual.callbacks.v1"](encoded(CallbackEvent, requested={}), False))) == 1
    with pytest.raises(Unusable):
        inputs["puntual.contacts.v1"](b"\xff", False)


@pytest.mark.parametrize("compiled", [False, True])
@example(clock=judged(a_fact(STARTED, 0), minutes=70))  # the preferred level is missed, which is no absence
@given(clock=RECORDS)
def test_a_record_survives_its_bytes(compiled: bool, clock: Clock) -> None:
    """What is unpacked, in either way, equals what was packed, and packs to the same bytes."""
    packed = codec.pack(clock)
    with patch.object(codec, "COMPILED", compiled):
        assert codec.unpack(packed) == clock
        assert codec.pack(codec.unpack(packed)) == packed
    assert pb.Clock.FromString(packed).SerializeToString(deterministic=True) == packed


@example(clock=judged(a_fact(STARTED, 0), minutes=70))
@given(clock=RECORDS)
def test_a_record_survives_in_memory(clock: Clock) -> None:
    """Put or restored, the store has what it was, and gives it out as the changelog has it."""
    packed = codec.pack(clock)
    put, restored = PartitionStore(MACHINE), PartitionStore(MACHINE)
    put.keep(clock.key, put.encoded(clock))
    restored.restore([(clock.key, packed)])
    list(restored.index())
    assert put.get(clock.key) == restored.get(clock.key) == clock
    assert put.packed(clock.key) == restored.packed(clock.key) == packed


def test_the_machine_runs_a_clock_from_start_to_retraction() -> None:
    """Decoded, folded, announced by the clock, taken back: what the engine does, with its headers and metrics."""
    [(key, start)] = decoded(ContactEvent, encoded(ContactEvent, received={}))
    running = MACHINE.fold(key, None, [start])
    assert running is not None
    assert MACHINE.home is not None
    assert [MACHINE.home(key, count) for count in (1, 12, 50)] == [partition_of("s/9", count) for count in (1, 12, 50)]
    assert MACHINE.labels(running) == ("first_reply", "running")
    assert MACHINE.step(key, None, running) == Step(
        b"started", b"%b:started:%d" % (key, running.cycle.due_at), None, ("first_reply", "running")
    )
    breached = MACHINE.due(running, at(63))
    assert breached is not None
    breach = MACHINE.step(key, running, breached)
    assert (breach.name, breach.before, breach.after) == (
        b"breached",
        MACHINE.labels(running),
        MACHINE.labels(breached),
    )
    assert (breach.breached_at, breach.margin) == (running.cycle.breach_at + 1, None)
    met = MACHINE.fold(key, breached, [a_fact(STOPPED, 5)])
    assert met is not None
    retraction = MACHINE.step(key, breached, met)
    assert (retraction.name, retraction.breached_at) == (b"retracted", None)
    assert (retraction.before, retraction.after) == (MACHINE.labels(breached), MACHINE.labels(met))
    assert retraction.margin == pytest.approx(-55 * 60)
    assert MACHINE.step(key, met, None) == Step(b"forgotten", key + b":forgotten", MACHINE.labels(met), None)


def test_a_transition_has_an_id_of_its_own() -> None:
    """A warning by its time, all others by the limit they speak of; from the second cycle on with its number."""
    steps = [judged(a_fact(STARTED, 0), minutes=now) for now in (0, 45)]
    key, number = steps[0].key, b"%b:%b:%d"
    assert MACHINE.step(key, *steps).id == number % (key, b"at_risk", at(45))
    again = fold(steps[1], [a_fact(STOPPED, 50), a_fact(FactKind.REOPENED, 55)], STANDARDS)
    assert MACHINE.step(key, fold(steps[1], [a_fact(STOPPED, 50)], STANDARDS), again).id == number % (
        key, b"started", at(115)
    ) + b":2"  # fmt: skip


def test_a_record_says_to_others_what_it_says_inside() -> None:
    """Read as plain protobuf, field by field."""
    message = pb.Clock.FromString(codec.pack(judged(a_fact(STARTED, 0), a_fact(STOPPED, 5), minutes=9)))
    assert (message.clock_id, message.customer_id, message.subject_id) == ("c-1/first_reply/mail-9", "c-1", "mail-9")
    assert (message.metric, message.state) == (pb.METRIC_FIRST_REPLY, pb.CLOCK_STATE_MET)
    assert message.due_at.ToJsonString() == "2026-03-02T13:00:00Z"
    assert message.stopped_at.ToJsonString() == "2026-03-02T12:05:00Z"
    assert [fact.kind for fact in message.facts] == [pb.FACT_KIND_STARTED, pb.FACT_KIND_STOPPED]
    assert not pb.Clock.FromString(codec.pack(judged(a_fact(OTHER, 0)))).HasField("due_at")


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (model.Metric, pb.Metric, "METRIC"),
        (model.State, pb.ClockState, "CLOCK_STATE"),
        (model.FactKind, pb.FactKind, "FACT_KIND"),
        (model.Transition, pb.ClockTransition, "CLOCK_TRANSITION"),
    ],
)
def test_our_numbers_are_those_of_the_contract(ours: type[model.State], theirs: object, prefix: str) -> None:
    """The codec relies on it: each enum has the same names and numbers as its protobuf twin."""
    contract = dict(theirs.items())  # type: ignore[attr-defined]
    assert {f"{prefix}_{member.name}": member.value for member in ours} | {f"{prefix}_UNSPECIFIED": 0} == contract


def test_every_field_of_the_context_has_a_place_in_the_contract() -> None:
    """A field added on one side only is found here."""
    assert list(Context._fields) == [field.name for field in pb.Context.DESCRIPTOR.fields]


# --- records read by hand


def by_hand(value: bytes) -> Clock | None:
    """The record; None where protobuf must be asked."""
    try:
        clock = codec._unpack_plain(value)  # noqa: SLF001
        clock.key.decode()  # the one text that is kept as bytes, and so is not looked at
    except ValueError:
        return None
    return clock


def by_protobuf(value: bytes) -> Clock | None:
    """The record; None where that is none. A field that nobody knows leaves it to protobuf, in compiled code too."""
    try:
        return codec._unpacked(chunk(99, b"") + value)  # noqa: SLF001
    except (DecodeError, AbsurdTime):
        return None


@example(clock=FULL)
@example(clock=EMPTY)
@given(clock=RECORDS)
def test_a_record_is_read_by_hand_as_by_protobuf(clock: Clock) -> None:
    """Every field in its place, be it there or not, and of its type: msgpack tells a bool from a number."""
    packed = codec.pack(clock)
    assert by_hand(packed) == by_protobuf(packed) == clock
    assert repr(by_hand(packed)) == repr(by_protobuf(packed))


@pytest.mark.parametrize("content", [b"", chunk(1, b""), chunk(7, b"")])
def test_a_context_that_states_nothing_is_none(content: bytes) -> None:
    """Though it is there, and so is a text in it."""
    fact = Fact(Instant(0), "", "", 0)
    value = chunk(15, content) + chunk(16, chunk(6, content))
    assert by_hand(value) == by_protobuf(value) == replace(EMPTY, facts=(fact,))


@pytest.mark.parametrize("places", [(15,), (16,), (16, 6)], ids=["context", "fact", "context of a fact"])
@pytest.mark.parametrize("content", [chunk(2, b"b") + chunk(1, b"a"), chunk(1, b"b") + chunk(1, b"a")])
def test_what_stands_inside_is_read_in_order_or_not_at_all(places: tuple[int, ...], content: bytes) -> None:
    """Nothing of it is lost."""
    for number in reversed(places):
        content = chunk(number, content)
    assert by_hand(content) is None
    assert "'a'" in repr(by_protobuf(content))


@pytest.mark.parametrize("compiled", [False, True])
@example(clock=FULL)
@given(clock=RECORDS)
def test_a_record_that_is_not_plain_is_read_all_the_same(compiled: bool, clock: Clock) -> None:
    """With fields of a newer version, wherever they stand, or with its facts before the rest."""
    packed, rest = codec.pack(clock), codec.pack(replace(clock, facts=()))
    newer = pb.Clock.FromString(packed)
    facts = b"".join(chunk(16, fact.SerializeToString(deterministic=True)) for fact in newer.facts)
    for one in (*newer.facts, *(fact.context for fact in newer.facts), newer.context):
        one.MergeFromString(chunk(99, b"new"))
    with patch.object(codec, "COMPILED", compiled):
        for value in (newer.SerializeToString(), packed + chunk(99, b"new"), facts + rest):
            assert codec.unpack(value) == clock


@pytest.mark.parametrize("warning", [varint(19 << 3) + varint(1), chunk(19, b"")], ids=["a number", "nothing"])
def test_a_warning_that_is_no_instant_does_not_hold_up_the_rest(warning: bytes) -> None:
    """It is read, or left to protobuf, like everything else."""
    value = chunk(11, varint(1 << 3) + varint(1_800_000_000)) + warning
    assert by_hand(value) in (None, by_protobuf(value))


@given(data=st.data())
def test_unusual_bytes_are_read_as_protobuf_reads_them_or_not_at_all(data: st.DataObject) -> None:
    """Cut, changed, repeated or unheard of; what protobuf refuses is not read."""
    value = data.draw(mutants(codec.pack(data.draw(st.just(FULL) | RECORDS))))
    assert by_hand(value) in (None, by_protobuf(value))


@pytest.mark.parametrize("compiled", [False, True])
def test_bytes_that_are_no_record_are_refused(compiled: bool) -> None:
    """As protobuf refuses them."""
    with patch.object(codec, "COMPILED", compiled):
        for value in (b"\xff", codec.pack(FULL)[:-1], chunk(3, b"\xff")):
            with pytest.raises(DecodeError):
                codec.unpack(value)


def test_what_could_stop_a_clock_is_what_the_arms_say() -> None:
    """Of every metric something; to begin, to hold or to call off is no answer."""
    ask = codec.asked()
    blank = Clock(b"c/k/s", 0, "c", "s", Cycle(1), (), NONE, NONE, (), ())
    wanted = {metric: ask(replace(blank, metric=metric))[0] for metric in Metric}
    assert all(wanted.values())
    assert wanted[Metric.FIRST_REPLY] == {"contacts.replied"}
    assert wanted[Metric.CUSTOMER_TOLD] == {"orders.customer_told", "orders.delivered"}
    assert wanted[Metric.RESOLUTION] == {"contacts.resolved", "contacts.closed"}
