"""Events become facts of the right promises, and promises become bytes and promises again."""

import json
from typing import Any
from unittest.mock import patch

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError
from hypothesis import example, given, strategies as st
from msgspec.structs import replace

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.order_event_pb2 import OrderEvent
from puntual.promises.v1 import promise_pb2 as pb
from services.promises import codec, model
from services.promises.domain import note
from services.promises.model import NONE, Consent, Cycle, Fact, FactKind, Party, Promise, PromiseKind
from services.promises.rules import read_rules
from services.shared.engine.machine import Step
from services.shared.engine.store import PartitionStore
from services.shared.envelope import Limits
from services.shared.errors import AbsurdTime, DeadLetterReason, NewerVersion, Unusable
from services.shared.facts import Context
from services.shared.instant import Instant, parse_instant
from services.shared.partitioner import partition_of
from tests.unit.promises.builders import MINUTE, NOON, fulfilled, judged, promised
from tests.unit.promises.strategies import fact_sets, instants
from tests.unit.shared.mutants import chunk, mutants

HEAD = {"eventId": "e-1", "source": "shop", "occurredAt": "2026-03-02T12:00:00Z", "subjectId": "s1", "customerId": "c1"}
MACHINE = codec.machine(read_rules(), Limits(now=lambda: NOON, horizon=10_000 * MINUTE))
TOPICS = {
    OrderEvent: "puntual.orders.v1",
    CallbackEvent: "puntual.callbacks.v1",
    AppointmentEvent: "puntual.appointments.v1",
}
Message = type[OrderEvent] | type[CallbackEvent] | type[AppointmentEvent]
READY, DELIVERED, CALL, APPT = b"c1/order_ready/s1", b"c1/order_delivered/s1", b"c1/callback/s1", b"c1/appointment/s1"
FIVE, SIX = "2026-03-02T17:00:00Z", "2026-03-02T18:00:00Z"
CONTEXT = Context("Ana", "es-ES", "Europe/Madrid", "gold", "Vigo", "blue", "web")
FACT = Fact(NOON, "shop", "e-1", 2, Instant(NOON + 1), "2026-03-02", 1, 3, "ñ", CONTEXT, (1 << 63) - 1)
FACTS = FACT, Fact(NOON, "", "", 0), replace(FACT, event_id="e-2", due_at=NONE)
#: Whatever a record can say, each to be told from the others; and nothing.
FULL = Promise(
    b"c1/order_ready/s1", 1, "c1", "s1", 6, 2, Instant(11), Instant(12), True, Instant(13), Instant(14), Instant(15),
    Instant(16), CONTEXT._replace(team="red"), "7", FACTS,
    (
        Cycle(4, 3, Instant(21), Instant(22), True, Instant(23), Instant(24), Instant(25), Instant(26)),
        Cycle(0, 0, NONE, NONE, False, NONE, NONE, NONE, NONE),
    ),
)  # fmt: skip
EMPTY = Promise(b"", 0, "", "", 0, 0, NONE, NONE, False, NONE, NONE, NONE, NONE, (), "", ())
RECORDS = st.builds(lambda facts, now: judged(*facts, minutes=now), fact_sets(), instants())


def decoded(message: Message, event: dict[str, Any], *, is_json: bool = False) -> list[tuple[bytes, Fact]]:
    stated = HEAD | event
    value = json.dumps(stated).encode() if is_json else ParseDict(stated, message()).SerializeToString()
    return list(MACHINE.inputs[TOPICS[message]](value, is_json))


def fact(kind: FactKind, due: str = "", by: int = 0, consent: int = 0, reason: str = "") -> Fact:
    return Fact(NOON, "shop", "e-1", kind, parse_instant(due) if due else NONE, "", by, consent, reason)


def at(due: str) -> dict[str, Any]:
    return {"due": {"at": due}}


@pytest.mark.parametrize(
    ("message", "event", "keys", "expected"),
    [
        (OrderEvent, {"promised": {"milestone": 1} | at(FIVE)}, [READY], fact(FactKind.PROMISED, FIVE)),
        (OrderEvent, {"promised": {"milestone": 2} | at(FIVE)}, [DELIVERED], fact(FactKind.PROMISED, FIVE)),
        (
            OrderEvent,
            {"renegotiated": {"milestone": 2, "askedBy": "PARTY_COMPANY", "consent": "CONSENT_ACCEPTED"} | at(SIX)},
            [DELIVERED],
            fact(FactKind.RENEGOTIATED, SIX, Party.COMPANY, Consent.ACCEPTED),
        ),
        (OrderEvent, {"ready": {}}, [READY], fact(FactKind.FULFILLED)),
        (OrderEvent, {"delivered": {}}, [DELIVERED], fact(FactKind.FULFILLED)),
        (OrderEvent, {"delivered": {"inFull": True}}, [DELIVERED], fact(FactKind.FULFILLED)),
        (OrderEvent, {"delivered": {"inFull": False}}, [DELIVERED], fact(FactKind.ATTEMPTED)),
        (
            OrderEvent,
            {"cancelled": {"by": "PARTY_COMPANY", "consent": "CONSENT_DECLINED", "reason": "sold out"}},
            [READY, DELIVERED],
            fact(FactKind.CANCELLED, "", Party.COMPANY, Consent.DECLINED, "sold out"),
        ),
        (OrderEvent, {"waived": {"reason": "voucher"}}, [READY, DELIVERED], fact(FactKind.WAIVED, reason="voucher")),
        (OrderEvent, {"waived": {"milestone": 1}}, [READY], fact(FactKind.WAIVED)),
        (CallbackEvent, {"requested": {"promised": {"at": FIVE}}}, [CALL], fact(FactKind.PROMISED, FIVE)),
        (CallbackEvent, {"promised": at(FIVE)}, [CALL], fact(FactKind.PROMISED, FIVE)),
        (CallbackEvent, {"attempted": {}}, [CALL], fact(FactKind.ATTEMPTED)),
        (CallbackEvent, {"returned": {}}, [CALL], fact(FactKind.FULFILLED)),
        (
            CallbackEvent,
            {"renegotiated": {"askedBy": "PARTY_CUSTOMER"} | at(SIX)},
            [CALL],
            fact(FactKind.RENEGOTIATED, SIX, Party.CUSTOMER),
        ),
        (CallbackEvent, {"cancelled": {"by": 1}}, [CALL], fact(FactKind.CANCELLED, "", Party.CUSTOMER)),
        (CallbackEvent, {"waived": {"reason": "ill"}}, [CALL], fact(FactKind.WAIVED, reason="ill")),
        (
            AppointmentEvent,
            {"booked": {"windowStart": FIVE, "windowEnd": SIX}},
            [APPT],
            fact(FactKind.PROMISED, SIX),
        ),
        (
            AppointmentEvent,
            {"rescheduled": {"windowEnd": SIX, "askedBy": 2, "consent": 3}},
            [APPT],
            fact(FactKind.RENEGOTIATED, SIX, Party.COMPANY, Consent.SILENT),
        ),
        (AppointmentEvent, {"started": {}}, [APPT], fact(FactKind.FULFILLED)),
        (AppointmentEvent, {"completed": {}}, [APPT], fact(FactKind.FULFILLED)),
        (AppointmentEvent, {"noShow": {"by": 1}}, [APPT], fact(FactKind.NO_SHOW, "", Party.CUSTOMER)),
        (AppointmentEvent, {"cancelled": {"by": 2}}, [APPT], fact(FactKind.CANCELLED, "", Party.COMPANY)),
        (AppointmentEvent, {"waived": {}}, [APPT], fact(FactKind.WAIVED)),
        (OrderEvent, {"placed": {}}, [], None),
        (OrderEvent, {"customerTold": {}}, [], None),
        (CallbackEvent, {"requested": {}}, [], None),
    ],
)
def test_an_event_becomes_a_fact_of_each_promise_it_concerns(
    message: Message, event: dict[str, Any], keys: list[bytes], expected: Fact | None
) -> None:
    """In protobuf and in JSON alike; one order can carry two promises."""
    assert decoded(message, event) == [(key, expected) for key in keys]
    assert decoded(message, event, is_json=True) == [(key, expected) for key in keys]


def test_an_arm_without_a_line_in_the_table_concerns_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that the contract has got and this service has no use for."""
    monkeypatch.delitem(codec._ORDER, "ready")  # noqa: SLF001 - the table itself
    assert decoded(OrderEvent, {"ready": {}}) == []


@pytest.mark.parametrize(
    ("milestone", "day", "due", "said"),
    [
        (1, {"date": "2026-03-05"}, "2026-03-05T17:00:00Z", "2026-03-05 Europe/Madrid office"),
        (2, {"date": "2026-03-05"}, "2026-03-06T00:00:00Z", "2026-03-05 UTC always"),
        (
            1,
            {"date": "2026-03-05", "timeZone": "America/New_York"},
            "2026-03-05T23:00:00Z",
            "2026-03-05 America/New_York office",
        ),
        (1, {"date": "2026-03-05", "calendar": "always"}, "2026-03-06T00:00:00Z", "2026-03-05 UTC always"),
    ],
)
def test_a_day_is_due_when_it_closes_where_the_customer_is(
    milestone: int, day: dict[str, str], due: str, said: str
) -> None:
    """In the calendar and zone named, else in those of the kind of promise; what was said is kept as it was said."""
    [(_, found)] = decoded(OrderEvent, {"promised": {"milestone": milestone, "due": {"day": day}}})
    assert (found.due_at, found.due_day) == (parse_instant(due), said)


@pytest.mark.parametrize(
    ("message", "event", "detail"),
    [
        (OrderEvent, {"promised": at(FIVE)}, "milestone must be"),
        (OrderEvent, {"promised": {"milestone": 9} | at(FIVE)}, "milestone must be"),
        (OrderEvent, {"promised": {"milestone": 1}}, "due is absent"),
        (OrderEvent, {"promised": {"milestone": 1} | at("1970-01-01T00:00:00Z")}, "due.at must be a time between"),
        (CallbackEvent, {"promised": {"due": {"day": {}}}}, "due.day.date is no date"),
        (CallbackEvent, {"promised": {"due": {"day": {"date": "Thursday"}}}}, "due.day.date is no date"),
        (CallbackEvent, {"promised": {"due": {"day": {"date": "9999-12-31"}}}}, "due.day.date must lie between"),
        (CallbackEvent, {"promised": {"due": {"day": {"date": "1969-12-31"}}}}, "due.day.date must lie between"),
        (CallbackEvent, {"promised": {"due": {"day": {"date": "2026-03-05", "calendar": "x"}}}}, "office"),
        (CallbackEvent, {"promised": {"due": {"day": {"date": "2026-03-05", "timeZone": "CET/Nowhere"}}}}, "no IANA"),
        (CallbackEvent, {"promised": {"due": {"day": {"date": "2026-03-05", "timeZone": "../../x"}}}}, "no IANA"),
        (CallbackEvent, {"cancelled": {}}, "cancelled.by must be"),
        (CallbackEvent, {"cancelled": {"by": 1, "consent": 99}}, "cancelled.consent has the unknown number 99"),
        (CallbackEvent, {"renegotiated": at(SIX) | {"consent": 99}}, "consent has the unknown number 99"),
        (AppointmentEvent, {"rescheduled": {"windowEnd": SIX, "askedBy": 9}}, "asked_by has the unknown number 9"),
        (AppointmentEvent, {"noShow": {}}, "no_show.by must be"),
        (AppointmentEvent, {"booked": {}}, "window_end must be a time between 2000 and 2200; it is absent"),
        (AppointmentEvent, {"booked": {"windowStart": SIX, "windowEnd": FIVE}}, "swap them"),
    ],
)
def test_what_says_too_little_is_refused_with_the_remedy(message: Message, event: dict[str, Any], detail: str) -> None:
    """As invalid, naming the field and no customer's data."""
    with pytest.raises(Unusable) as error:
        decoded(message, event)
    assert error.value.reason == DeadLetterReason.INVALID
    assert detail in error.value.detail


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({}, DeadLetterReason.UNKNOWN_TYPE),
        ({"ready": {}, "eventId": ""}, DeadLetterReason.NO_EVENT_ID),
        ({"ready": {}, "subjectId": ""}, DeadLetterReason.NO_SUBJECT),
        ({"ready": {}, "customerId": "", "customerName": "Ana"}, DeadLetterReason.NO_CUSTOMER),
        ({"ready": {}, "occurredAt": None}, DeadLetterReason.NO_TIME),
        ({"ready": {}, "occurredAt": "1999-12-31T23:59:59Z"}, DeadLetterReason.ABSURD_TIME),
        ({"ready": {}, "occurredAt": "2200-01-01T00:00:01Z"}, DeadLetterReason.ABSURD_TIME),
        ({"ready": {}, "occurredAt": "2026-03-02T13:00:01Z"}, DeadLetterReason.FUTURE_TIME),
        ({"ready": {}, "occurredAt": "2026-02-02T12:00:00Z"}, DeadLetterReason.TOO_LATE),
        ({"ready": {}, "site": "x" * 300_000}, DeadLetterReason.TOO_LARGE),
    ],
)
def test_an_event_without_its_head_is_refused_with_the_reason(event: dict[str, Any], reason: DeadLetterReason) -> None:
    """The closed list of reasons is what dead letters are counted by."""
    with pytest.raises(Unusable) as error:
        decoded(OrderEvent, event)
    assert error.value.reason == reason


@pytest.mark.parametrize(
    ("value", "is_json"),
    [
        (b"\xff\xff", False),
        (b"{", True),
        (b'{"redy": {}}', True),
        (b"[" * 100_000, True),
        (b"\xff", True),
    ],
)
def test_bytes_that_are_no_event_are_refused_as_undecodable(value: bytes, is_json: bool) -> None:
    """Whatever they are."""
    with pytest.raises(Unusable) as error:
        list(MACHINE.inputs["puntual.orders.v1"](value, is_json))
    assert error.value.reason == DeadLetterReason.UNDECODABLE


def test_the_context_of_an_event_comes_along() -> None:
    """All seven fields, each to its own; without a customer the promise travels by its subject."""
    stated = {
        "customerLocale": "es-ES",
        "customerTimeZone": "Europe/Madrid",
        "customerTier": "gold",
        "site": "Vigo",
        "team": "blue",
        "channel": "web",
    }
    [(key, found)] = decoded(OrderEvent, {"ready": {}, "customerName": "Ana"} | stated)
    assert found.context == Context("Ana", "es-ES", "Europe/Madrid", "gold", "Vigo", "blue", "web")
    [(key, _)] = decoded(OrderEvent, {"ready": {}, "customerId": ""} | stated)
    assert key == b"~s1/order_ready/s1"
    promise = MACHINE.fold(key, None, [found])
    assert promise is not None
    identity = promise.key, promise.kind, promise.customer_id, promise.subject_id
    assert identity == (key, model.PromiseKind.ORDER_READY, "", "s1")


@pytest.mark.parametrize("compiled", [False, True])
@given(promise=RECORDS)
def test_a_record_survives_its_bytes(compiled: bool, promise: Promise) -> None:
    """What is unpacked, in either way, equals what was packed, and packs to the same bytes."""
    packed = codec.pack(promise)
    with patch.object(codec, "COMPILED", compiled):
        assert codec.unpack(packed) == promise
        assert codec.pack(codec.unpack(packed)) == packed
    assert pb.Promise.FromString(packed).SerializeToString(deterministic=True) == packed


@given(facts=fact_sets(), now=instants())
def test_a_record_survives_in_memory(facts: list[Fact], now: float) -> None:
    """Put or restored, the store has what it was, and gives it out as the changelog has it."""
    promise = judged(*facts, minutes=now)
    packed = codec.pack(promise)
    put, restored = PartitionStore(MACHINE), PartitionStore(MACHINE)
    put.keep(promise.key, put.encoded(promise))
    restored.restore([(promise.key, packed)])
    list(restored.index())
    assert put.get(promise.key) == restored.get(promise.key) == promise
    assert put.packed(promise.key) == restored.packed(promise.key) == packed


def test_the_machine_says_what_its_writes_mean() -> None:
    """Made, broken by the clock, fulfilled after all, forgotten: headers and metrics of each."""
    [(key, made)] = decoded(OrderEvent, {"promised": {"milestone": 1} | at(FIVE)})
    promise = MACHINE.fold(key, None, [made])
    assert promise is not None
    assert MACHINE.home is not None
    assert [MACHINE.home(key, count) for count in (1, 12, 50)] == [partition_of("c1", count) for count in (1, 12, 50)]
    due_at = parse_instant(FIVE)
    is_open, is_broken, is_late = (("order_ready", name) for name in ("open", "broken", "kept_late"))
    assert MACHINE.labels(promise) == is_open
    assert MACHINE.step(key, None, promise) == Step(b"made", b"%b:made:%d" % (key, due_at), None, is_open)
    broken = MACHINE.due(promise, Instant(due_at + 60 * MINUTE))
    assert MACHINE.step(key, promise, broken) == Step(
        b"broken", b"%b:broken:%d" % (key, due_at), is_open, is_broken, None, Instant(promise.breach_at + 1)
    )
    late = MACHINE.fold(key, broken, [fulfilled(330)])
    assert MACHINE.step(key, broken, late) == Step(
        b"kept_late", b"%b:kept_late:%d" % (key, due_at), is_broken, is_late, 30 * 60.0
    )
    assert MACHINE.step(key, late, None) == Step(b"forgotten", key + b":forgotten", is_late, None)


def test_a_record_says_to_others_what_it_says_inside() -> None:
    """Read as plain protobuf, field by field; what is not so is absent."""
    record = pb.Promise.FromString(codec.pack(judged(promised(0, 60), fulfilled(30))))
    assert (record.promise_id, record.customer_id, record.subject_id) == ("ana/order_ready/o1", "ana", "o1")
    assert (record.kind, record.state) == (pb.PROMISE_KIND_ORDER_READY, pb.PROMISE_STATE_KEPT)
    assert record.original_due_at.ToJsonString() == "2026-03-02T13:00:00Z"
    assert record.settled_at.ToJsonString() == "2026-03-02T12:30:00Z"
    assert [one.kind for one in record.facts] == [pb.FACT_KIND_PROMISED, pb.FACT_KIND_FULFILLED]
    noted = pb.Promise.FromString(codec.pack(judged(fulfilled(30))))
    assert not any(noted.HasField(name) for name in ("due_at", "original_due_at", "settled_at", "warn_at", "context"))


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (model.PromiseKind, pb.PromiseKind, "PROMISE_KIND"),
        (model.State, pb.PromiseState, "PROMISE_STATE"),
        (model.Reason, pb.PromiseReason, "PROMISE_REASON"),
        (model.FactKind, pb.FactKind, "FACT_KIND"),
        (model.Transition, pb.PromiseTransition, "PROMISE_TRANSITION"),
    ],
)
def test_our_numbers_are_those_of_the_contract(ours: type[model.State], theirs: Any, prefix: str) -> None:
    """The codec relies on it: each enum has the same names and numbers as its protobuf twin."""
    contract = {name: number for name, number in theirs.items() if number}
    assert {f"{prefix}_{member.name}": member.value for member in ours if member.value} == contract


def test_every_field_of_the_context_has_a_place_in_the_contract() -> None:
    """A field added on one side only is found here."""
    assert list(Context._fields) == [field.name for field in pb.Context.DESCRIPTOR.fields]


# --- records read by hand


def by_hand(value: bytes) -> Promise | None:
    """The record; None where protobuf must be asked."""
    try:
        promise = codec._unpack_plain(value)  # noqa: SLF001
        promise.key.decode()  # the one text that is kept as bytes, and so is not looked at
    except ValueError:
        return None
    return promise


def by_protobuf(value: bytes) -> Promise | None:
    """The record; None where that is none. A field that nobody knows leaves it to protobuf, in compiled code too."""
    try:
        return codec._unpacked(chunk(99, b"") + value)  # noqa: SLF001
    except (DecodeError, AbsurdTime):
        return None


@example(promise=FULL)
@example(promise=EMPTY)
@given(promise=RECORDS)
def test_a_record_is_read_by_hand_as_by_protobuf(promise: Promise) -> None:
    """Every field in its place, be it there or not, and of its type: msgpack tells a bool from a number."""
    packed = codec.pack(promise)
    assert by_hand(packed) == by_protobuf(packed) == promise
    assert repr(by_hand(packed)) == repr(by_protobuf(packed))


@pytest.mark.parametrize("content", [b"", chunk(1, b""), chunk(7, b"")])
def test_a_context_that_states_nothing_is_none(content: bytes) -> None:
    """Though it is there, and so is a text in it."""
    fact = Fact(Instant(0), "", "", 0)
    value = chunk(14, content) + chunk(16, chunk(10, content))
    assert by_hand(value) == by_protobuf(value) == replace(EMPTY, facts=(fact,))


@pytest.mark.parametrize("places", [(14,), (16,), (16, 10)], ids=["context", "fact", "context of a fact"])
@pytest.mark.parametrize("content", [chunk(2, b"b") + chunk(1, b"a"), chunk(1, b"b") + chunk(1, b"a")])
def test_what_stands_inside_is_read_in_order_or_not_at_all(places: tuple[int, ...], content: bytes) -> None:
    """Nothing of it is lost."""
    for number in reversed(places):
        content = chunk(number, content)
    assert by_hand(content) is None
    assert "'a'" in repr(by_protobuf(content))


@pytest.mark.parametrize("compiled", [False, True])
@example(promise=FULL)
@given(promise=RECORDS)
def test_a_record_that_is_not_plain_is_read_all_the_same(compiled: bool, promise: Promise) -> None:
    """With fields of a newer version, wherever they stand, or with its facts before the rest."""
    packed, rest = codec.pack(promise), codec.pack(replace(promise, facts=(), earlier=()))
    newer = pb.Promise.FromString(packed)
    for one in (*newer.facts, *(fact.context for fact in newer.facts), newer.context, *newer.earlier):
        one.MergeFromString(chunk(99, b"new"))
    with patch.object(codec, "COMPILED", compiled):
        for value in (newer.SerializeToString(), packed + chunk(99, b"new"), packed[len(rest) :] + rest):
            assert codec.unpack(value) == promise


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


def test_what_could_fulfil_a_promise_is_what_the_arms_say() -> None:
    """Of every kind; a date, a waiver or a cancellation is no fulfilment."""
    book = read_rules()
    ask = codec.asked(book)
    wanted: dict[int, set[str]] = {
        PromiseKind.ORDER_READY: {"orders.ready"},
        PromiseKind.ORDER_DELIVERED: {"orders.delivered"},
        PromiseKind.CALLBACK: {"callbacks.returned"},
        PromiseKind.APPOINTMENT: {"appointments.started", "appointments.completed"},
    }
    for kind, arms in wanted.items():
        record = note((b"c/k/s", kind, "c", "s"), (), book.rules)
        assert ask(record) == (frozenset(arms), "")


def test_a_cycle_that_this_version_would_misjudge_is_refused() -> None:
    """As the record is whose own state or reason has a number of a newer one."""
    for past in (replace(FULL.earlier[0], state=9), replace(FULL.earlier[0], reason=99)):
        with pytest.raises(NewerVersion):
            codec.unpack(codec.pack(replace(FULL, earlier=(past,))))
