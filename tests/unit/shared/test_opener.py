"""Events are opened as protobuf has them, whoever reads them, or refused in words that help and hold no content."""

import json
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToJson, ParseDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given, settings, strategies as st

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.events.v1.order_event_pb2 import OrderEvent, OrderReady
from services.shared import opener
from services.shared.envelope import Envelope, Limits
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.facts import NO_CONTEXT
from services.shared.instant import SECOND, parse_instant
from services.shared.opener import Opener
from services.shared.parsing import parse_fields
from tests.growth import growth
from tests.unit.shared.mutants import chunk, mutants

SECRET = "Ana Garcia 600123123"
HEAD = {"event_id": "1", "customer_id": "c", "subject_id": "o", "occurred_at": "2026-01-01T00:00:00Z"}
NOW = parse_instant("2026-01-02T00:00:00Z")
TIME = 'must be a time such as "2026-11-26T17:00:00Z"'
MILESTONES = "promised.milestone must be one of MILESTONE_READY, MILESTONE_DELIVERED"
OPENERS = {
    kind: Opener(kind, Limits(now=lambda: NOW)) for kind in (OrderEvent, CallbackEvent, AppointmentEvent, ContactEvent)
}
OPENER = OPENERS[OrderEvent]


@pytest.fixture(params=["by protobuf", "by hand"])
def either_way(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Bytes are read as interpreted code does it, then as compiled code does it."""
    monkeypatch.setattr(opener, "COMPILED", request.param == "by hand")


def refused(value: bytes, *, is_json: bool = True) -> str:
    """The detail of the refusal."""
    with pytest.raises(Unusable) as caught:
        OPENER.open(value, is_json)
    assert caught.value.reason is DeadLetterReason.UNDECODABLE
    assert caught.value.__cause__ is None, "a traceback would show the value"
    assert caught.value.__suppress_context__
    return caught.value.detail


@pytest.mark.usefixtures("either_way")
def test_json_and_bytes_are_read() -> None:
    """The event the others spoil."""
    fields: dict[str, Any] = HEAD | {"ready": {}}
    event = OPENER.open(json.dumps(fields).encode(), True)
    assert OPENER.open(parse_fields(OrderEvent, fields).SerializeToString(), False) == event
    at = parse_instant("2026-01-01T00:00:00Z")
    assert event == Envelope("1", "", at, "c", "o", NO_CONTEXT, "ready", OrderReady())


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("written", [0, 7, "8", (1 << 63) - 1])
def test_the_number_that_a_source_gives_an_event_comes_along(written: int | str) -> None:
    """As a number or, as protobuf's JSON has it, as a text; in bytes, too."""
    fields: dict[str, Any] = HEAD | {"ready": {}, "sequence": written}
    assert OPENER.open(json.dumps(fields).encode(), True).sequence == int(written)
    assert OPENER.open(parse_fields(OrderEvent, fields).SerializeToString(), False).sequence == int(written)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("is_json", [True, False])
def test_a_number_that_cannot_be_kept_is_refused_with_the_remedy(is_json: bool) -> None:
    """Beyond 63 bits."""
    event = parse_fields(OrderEvent, HEAD | {"ready": {}, "sequence": 1 << 63})
    with pytest.raises(Unusable, match="sequence must be at most 9223372036854775807") as caught:
        OPENER.open(MessageToJson(event).encode() if is_json else event.SerializeToString(), is_json)
    assert caught.value.reason is DeadLetterReason.INVALID


@pytest.mark.usefixtures("either_way")
def test_the_fields_of_the_context_come_in_their_order() -> None:
    """Also those that are not stated."""
    event = parse_fields(OrderEvent, HEAD | {"ready": {}, "customer_name": "Ana", "channel": "web", "site": "Vigo"})
    assert OPENER.open(event.SerializeToString(), False).context == ("Ana", "", "", "", "Vigo", "", "web")


@pytest.mark.usefixtures("either_way")
def test_an_event_that_says_nothing_is_its_own_body() -> None:
    """Or says what this version does not know: whoever opens it decides."""
    event = parse_fields(OrderEvent, HEAD)
    newer = OrderEvent.FromString(event.SerializeToString() + chunk(99, b""))
    for each in (event, newer):
        opened = OPENER.open(each.SerializeToString(), False)
        assert (opened.arm, opened.body) == ("", each)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("is_json", [True, False])
@pytest.mark.parametrize("name", ["event_id", "source", "customer_id", "subject_id"])
def test_ids_have_a_length(name: str, is_json: bool) -> None:
    """255 characters, however many bytes that are; what is longer is no id, and is refused without it."""

    def opened(text: str) -> Envelope:
        event = parse_fields(OrderEvent, HEAD | {name: text, "ready": {}})
        return OPENER.open(MessageToJson(event).encode() if is_json else event.SerializeToString(), is_json)

    for letter in "eé":
        assert getattr(opened(letter * 255), name) == letter * 255
        with pytest.raises(Unusable) as caught:
            opened(letter * 256)
        assert caught.value.reason is DeadLetterReason.TOO_LARGE
        assert caught.value.detail == f"{name} has 256 characters; at most 255 are accepted: send ids, not data"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"promised": {"milestone": SECRET}}, MILESTONES),
        ({"promised": {"milestone": {SECRET: 1}}}, MILESTONES),
        ({"promised": {"milestone": [SECRET]}}, MILESTONES),
        ({"customer_id": {SECRET: SECRET}}, "customer_id must be a text"),
        ({"customerId": [SECRET]}, "customerId must be a text"),
        ({"customer_id": 600123123}, "customer_id must be a text"),
        ({"customer_id": f"\ud800{SECRET}"}, "customer_id must be a text"),
        ({"delivered": {"in_full": SECRET}}, "delivered.in_full must be true or false"),
        ({"ready": SECRET}, "ready must be an object"),
        ({"ready": [SECRET]}, "ready must be an object"),
        ({"ready": 600123123}, "ready must be an object"),
        ({"occurred_at": SECRET}, f"occurred_at {TIME}"),
        ({"occurred_at": f"2026-01-01T{SECRET}Z"}, f"occurred_at {TIME}"),
        ({"occurred_at": "2026-01-01T00:00:00"}, f"occurred_at {TIME}"),
        ({"occurred_at": {SECRET: 1}}, f"occurred_at {TIME}"),
        ({"occurred_at": 600123123}, f"occurred_at {TIME}"),
        ({"promised": {"due": {"at": SECRET}}}, f"promised.due.at {TIME}"),
        ({SECRET: SECRET}, "OrderEvent has no field of a name that is not shown here; it has event_id, source, "),
        ({"[x.y]": SECRET}, "OrderEvent has no field of a name that is not shown here; it has event_id, source, "),
        ({"occured_at": SECRET}, 'OrderEvent has no field named "occured_at"; it has event_id, source, occurred_at'),
        ({"promised": {"due": {"on": SECRET}}}, 'promised.due has no field named "on"; it has at, day'),
        ({"ready": {}, "placed": {}}, "OrderEvent may hold only one of placed, promised, "),
        ({"delivered": {"in_full": True, "inFull": True}}, "delivered may hold only one of in_full, and that once"),
    ],
)
def test_json_that_does_not_fit_is_refused_by_its_place_without_its_content(fields: dict[str, Any], said: str) -> None:
    """The field and what is expected there; never what was there. So too in the publisher."""
    detail = refused(json.dumps(HEAD | fields).encode())
    assert detail.startswith(f"not a puntual.events.v1.OrderEvent: {said}")
    with pytest.raises(Unusable) as caught:
        parse_fields(OrderEvent, HEAD | fields)
    assert caught.value.detail == detail
    assert not any(part in detail for part in (*SECRET.split(), "2026-01-01"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (f'{{"customer_id": {SECRET}}}', "no JSON: Expecting value at column 17"),
        (f'{{"customer_id": "c",\n "site": "{SECRET}', "no JSON: Unterminated string starting at line 2 column 10"),
        (f'{{"site": "\\{SECRET}"}}', "no JSON: Invalid \\escape at column 11"),
        (f"{{}} {SECRET}", "no JSON: Extra data at column 4"),
        (f'{{"customer_id": "{SECRET}", "customer_id": "c"}}', 'the JSON gives a field named "customer_id" twice'),
        (f'{{"{SECRET}": 1, "{SECRET}": 2}}', "the JSON gives a field of a name that is not shown here twice"),
        (f'["{SECRET}"]', "a JSON object is expected, not an array"),
        (f'"{SECRET}"', "a JSON object is expected, not a string"),
        ("600123123", "a JSON object is expected, not a number"),
        ("null", "a JSON object is expected, not null"),
        ("", "no JSON: Expecting value at column 1"),
        ("[" * 100_000, "no JSON: nested too deeply, or a number is too long"),
        ('{"site": ' + "600123123" * 1000 + "}", "no JSON: nested too deeply, or a number is too long"),
        ('{"ready": ' + '{"ready": ' * 200 + "{}" + "}" * 201, 'ready has no field named "ready"; it has none'),
    ],
)
def test_broken_json_is_refused_by_its_position_without_its_content(value: str, said: str) -> None:
    """Line and column, or the name that is there twice."""
    detail = refused(value.encode())
    assert detail == f"not a puntual.events.v1.OrderEvent: {said}"


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize(
    "value", [b"\xff\xff", b"\x0a\x03\xff\xfe\xfd", b"\x0a\x7fAna Garcia", b'{"site": "Ana Garcia"}']
)
def test_bytes_that_are_no_event_are_refused_without_them(value: bytes) -> None:
    """With the header that JSON needs."""
    assert refused(value, is_json=False) == (
        "not a puntual.events.v1.OrderEvent: the bytes are corrupt, or are something else"
        " (JSON needs the header content-type: application/json)"
    )


@pytest.mark.parametrize("is_json", [False, True])
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"customer_name": "ñ" * 256},
            "customer_name has 256 characters; at most 255 are accepted: send ids, not data",
        ),
        ({"site": "x" * 100_000}, "site has 100000 characters; at most 255 are accepted"),
        ({"waived": {"reason": "x" * 501}}, "waived.reason has 501 characters; at most 500 are accepted"),
        (
            {"promised": {"milestone": 1, "due": {"day": {"date": "2026-01-01", "calendar": "x" * 501}}}},
            "promised.due.day.calendar has 501 characters",
        ),
    ],
)
def test_texts_that_are_too_long_are_refused(fields: dict[str, Any], said: str, is_json: bool) -> None:
    """Whatever they say, by the name of the field."""
    message = ParseDict(HEAD | {"customer_id": "c"} | fields, OrderEvent())
    value = MessageToJson(message).encode() if is_json else message.SerializeToString()
    with pytest.raises(Unusable) as caught:
        OPENER.open(value, is_json)
    assert caught.value.reason == DeadLetterReason.TOO_LARGE
    assert caught.value.detail.startswith(said)


def test_json_with_too_many_names_is_refused() -> None:
    """In one object or in all of them together: no event has as many."""
    names = ", ".join(f'"{number}": 0' for number in range(1_001))
    objects = ", ".join('{"a": 0}' for _ in range(1_001))
    for value in (f"{{{names}}}", f'{{"ready": [{objects}]}}'):
        assert refused(value.encode()).endswith("the JSON has more than 1,000 names; send ids, not data")


def test_what_json_costs_grows_as_its_names() -> None:
    """Also where the last is there twice."""

    def refusing(count: int) -> Callable[[], object]:
        names = ", ".join(f'"{number}": 0' for number in range(count))
        value = f'{{{names}, "{count - 1}": 0}}'.encode()
        return lambda: refused(value)

    assert growth(refusing, 120) < 3


def test_json_in_another_encoding_is_said_to_be() -> None:
    """With the place of the first byte."""
    said = refused('{"site": "Málaga"}'.encode("latin-1"))
    assert said == "not a puntual.events.v1.OrderEvent: no JSON: not UTF-8 at byte 12"


# --- bytes read by hand


_TIMES = st.builds(Timestamp, seconds=st.integers(0, 1 << 34), nanos=st.integers(0, 999_999_999))
_TEXTS = st.text(max_size=9) | st.sampled_from(["", "ñ" * 70])


def _values(field: FieldDescriptor) -> st.SearchStrategy[object]:
    if field.message_type:
        return _messages(field.message_type)
    if field.enum_type:
        return st.integers(-1, 5)
    if field.type == field.TYPE_UINT64:
        return st.integers(0, (1 << 64) - 1) | st.integers(0, (1 << 63) - 1)
    return st.booleans() if field.type == field.TYPE_BOOL else _TEXTS


def _messages(kind: Descriptor) -> st.SearchStrategy[Message]:
    """Each field is there or not; of alternatives at most one is, and of what happens to an event one."""
    if kind.full_name == "google.protobuf.Timestamp":
        return _TIMES
    values = {each.name: _values(each) for each in kind.fields}
    arms = [each.name for oneof in kind.oneofs for each in oneof.fields]
    fields = st.fixed_dictionaries({}, optional={name: value for name, value in values.items() if name not in arms})
    arm = st.one_of([st.fixed_dictionaries({name: values[name]}) for name in arms])
    if "event" not in kind.oneofs_by_name:
        arm |= st.just({})
    return st.builds(lambda fields, arm: GetMessageClass(kind)(**fields, **arm), fields, arm)


_EVENTS = st.one_of([_messages(kind.DESCRIPTOR) for kind in OPENERS])


def bytes_of(event: Message) -> bytes:
    """Those that a publisher sends."""
    return event.SerializeToString()


def by_hand(kind: Any, value: bytes) -> Envelope | None:
    """The event; None where protobuf must be asked."""
    return OPENERS[kind]._plain(value)  # noqa: SLF001


def by_protobuf(kind: Any, value: bytes) -> Envelope | None:
    """The event; None where protobuf refuses it."""
    try:
        return OPENERS[kind]._parsed(kind.FromString(value))  # noqa: SLF001
    except DecodeError:
        return None


@given(event=_EVENTS)
def test_usual_events_are_read_by_hand(event: Any) -> None:
    """Every field is there or not, and every arm has its turn: all of it as protobuf has it."""
    value = bytes_of(event)
    assert by_hand(type(event), value) == by_protobuf(type(event), value)
    assert (by_hand(type(event), value) is not None) == (event.sequence < 1 << 63)


@settings(max_examples=200)
@given(data=st.data())
def test_unusual_bytes_are_read_as_protobuf_reads_them_or_not_at_all(data: st.DataObject) -> None:
    """Cut, changed, repeated or unheard of; what protobuf refuses is not read."""
    event: Any = data.draw(_EVENTS)
    more = data.draw(st.just(b"") | _messages(event.DESCRIPTOR).map(bytes_of))
    value = data.draw(mutants(bytes_of(event) + more))
    assert by_hand(type(event), value) in (None, by_protobuf(type(event), value))


# --- JSON, the short way

_ODD: st.SearchStrategy[Any] = st.sampled_from(["", "x", "ñ", "\ud800", 1, None, True, [], {}, "2026-01-01T00:00:00Z"])
_SPELLED = st.sampled_from(
    [
        "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.123Z", "2026-01-01T00:00:00.123456Z",
        "2026-01-01T00:00:00.123456789Z", "2026-01-01T02:00:00+02:00", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00",
        "2026-01-01T24:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00+25:00", "soon",
    ]
)  # fmt: skip
_FIELDS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"event_id": st.just("1"), "subject_id": st.just("o")},
    optional={
        "occurred_at": _SPELLED,
        "occurredAt": _SPELLED,
        "customer_id": _ODD,
        "customerName": st.sampled_from(["Ana", None]),
        "team": st.sampled_from(["", "blue"]),
        "site": _ODD,
        "nothing": _ODD,
        "received": st.sampled_from(
            [{}, None, [], {"kind": "CONTACT_KIND_EMAIL"}, {"kind": 1}, {"kind": "X"}, {"priority": 99}, {"x": 1}]
        ),
        "resolved": st.sampled_from([{}, None, {"x": 1}]),
    },
)


@example(fields={**HEAD, "received": {"kind": "CONTACT_KIND_EMAIL", "priority": "PRIORITY_HIGH"}, "team": "blue"})
@given(fields=_FIELDS)
def test_json_is_read_the_short_way_as_by_protobuf_or_refused_as_by_it(fields: dict[str, Any]) -> None:
    """Whatever the short way takes, the long way takes, too, and finds the same in it."""
    short = OPENERS[ContactEvent]

    def opened(opener: Opener) -> Envelope | str:
        try:
            return opener.open_fields(fields)
        except Unusable as error:
            return str(error)

    with patch.object(Opener, "_plain_fields", lambda *_: None):
        expected = opened(short)
    assert opened(short) == expected


@pytest.mark.parametrize(
    ("now", "at", "reason"),
    [
        ("2026-01-01T10:00:00Z", "2026-01-01T12:00:00Z", None),
        ("2026-01-01T10:00:00Z", "2026-01-01T13:00:01Z", DeadLetterReason.FUTURE_TIME),
        ("2027-06-01T00:00:00Z", "2026-01-01T12:00:00Z", None),
        ("2027-06-01T00:00:00Z", "2024-11-01T12:00:00Z", DeadLetterReason.TOO_LATE),
    ],
)
def test_an_event_is_refused_for_its_time_only_where_every_clock_says_so(
    now: str, at: str, reason: DeadLetterReason | None
) -> None:
    """The machine's may be off: the brokers' says that it is noon."""
    mine, noon = parse_instant(now), parse_instant("2026-01-01T12:00:00Z")
    limits = Limits(now=lambda: mine, horizon=400 * 86_400 * SECOND, between=lambda: (min(mine, noon), max(mine, noon)))
    event = json.dumps(HEAD | {"occurred_at": at, "ready": {}}).encode()
    if reason is None:
        assert Opener(OrderEvent, limits).open(event, True).event_id == "1"
        return
    with pytest.raises(Unusable) as caught:
        Opener(OrderEvent, limits).open(event, True)
    assert caught.value.reason is reason
