"""What the common part of an event is refused for, in words that help and hold nothing of the content."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson

from puntual.events.v1.order_event_pb2 import OrderEvent
from services.shared.envelope import Limits, open_envelope
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import parse_instant
from services.shared.parsing import parse_fields

SECRET = "Ana Garcia 600123123"
HEAD = {"event_id": "1", "customer_id": "c", "subject_id": "o", "occurred_at": "2026-01-01T00:00:00Z"}
NOW = parse_instant("2026-01-02T00:00:00Z")
TIME = 'must be a time such as "2026-11-26T17:00:00Z"'
MILESTONES = "promised.milestone must be one of MILESTONE_READY, MILESTONE_DELIVERED"


def refused(value: bytes, *, is_json: bool = True) -> str:
    """The detail of the refusal."""
    with pytest.raises(Unusable) as caught:
        open_envelope(OrderEvent, value, is_json, Limits(now=lambda: NOW))
    assert caught.value.reason is DeadLetterReason.UNDECODABLE
    assert caught.value.__cause__ is None, "a traceback would show the value"
    assert caught.value.__suppress_context__
    return caught.value.detail


def test_json_and_bytes_are_read() -> None:
    """The event the others spoil."""
    event, at = open_envelope(OrderEvent, json.dumps(HEAD | {"ready": {}}).encode(), True, Limits(now=lambda: NOW))
    assert open_envelope(OrderEvent, event.SerializeToString(), False, Limits(now=lambda: NOW)) == (event, at)
    assert (event.WhichOneof("event"), at) == ("ready", parse_instant("2026-01-01T00:00:00Z"))


@pytest.mark.parametrize("is_json", [True, False])
@pytest.mark.parametrize("name", ["event_id", "source", "customer_id", "subject_id"])
def test_ids_have_a_length(name: str, is_json: bool) -> None:
    """255 characters, however many bytes that are; what is longer is no id, and is refused without it."""

    def opened(text: str) -> OrderEvent:
        event = parse_fields(OrderEvent, HEAD | {name: text, "ready": {}})
        value = MessageToJson(event).encode() if is_json else event.SerializeToString()
        return open_envelope(OrderEvent, value, is_json, Limits(now=lambda: NOW))[0]

    assert getattr(opened("é" * 255), name) == "é" * 255
    with pytest.raises(Unusable) as caught:
        opened("é" * 256)
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


@pytest.mark.parametrize(
    "value", [b"\xff\xff", b"\x0a\x03\xff\xfe\xfd", b"\x0a\x7fAna Garcia", b'{"site": "Ana Garcia"}']
)
def test_bytes_that_are_no_event_are_refused_without_them(value: bytes) -> None:
    """With the header that JSON needs."""
    assert refused(value, is_json=False) == (
        "not a puntual.events.v1.OrderEvent: the bytes are corrupt, or are something else"
        " (JSON needs the header content-type: application/json)"
    )


def test_json_in_another_encoding_is_said_to_be() -> None:
    """With the place of the first byte."""
    said = refused('{"site": "Málaga"}'.encode("latin-1"))
    assert said == "not a puntual.events.v1.OrderEvent: no JSON: not UTF-8 at byte 12"
