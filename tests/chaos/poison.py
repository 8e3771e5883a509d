"""Messages that cannot be used, of every kind that publishers have come up with."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from google.protobuf.message import Message

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.events.v1.order_event_pb2 import MILESTONE_READY, OrderEvent
from tests.chaos.reading import APPOINTMENTS, CALLBACKS, CONTACTS, ORDERS
from tests.chaos.rules import SECOND
from tests.chaos.traffic import Shot

_HOUR = 3_600 * SECOND
_JSON = (("content-type", b"application/json"),)
#: Field 30, which no event has, with one byte in it.
_UNKNOWN_ARM = b"\xf2\x01\x01x"


def spoiled(random: Random, topics: Sequence[str], shots: Sequence[Shot], start: int, part: float) -> list[Shot]:
    """The shots, and among them a part as many that cannot be used: alone, in rows, first and last."""
    mixed = list(shots)
    places = sorted(random.randrange(len(shots)) for _ in range(int(len(shots) * part / 2)))
    for place in reversed([0, *places, len(shots)]):
        beside = shots[min(place, len(shots) - 1)]
        row = random.choice([1, 1, 1, 2, 5])
        mixed[place:place] = [_shot(random, topics, start, beside) for _ in range(row)]
    return mixed


def _shot(random: Random, topics: Sequence[str], start: int, beside: Shot) -> Shot:
    if random.random() < 0.3:
        topic, value, headers = random.choice([raw for raw in _RAW if raw[0] in topics])
        return Shot(beside.at, topic, beside.key, value, headers)
    topic = random.choice(topics)
    event = _good(topic, start)
    random.choice(_SPOILS[topic])(event, start)
    return Shot(beside.at, topic, beside.key, event.SerializeToString(), ())


def _good(topic: str, at: int) -> Any:
    """An event with no fault yet."""
    message, arm = _GOOD[topic]
    event: Any = message(event_id="poison", source="shop", customer_id="c-1", subject_id="poison")
    event.occurred_at.FromMicroseconds(at)
    getattr(event, arm).SetInParent()
    return event


_GOOD: Mapping[str, tuple[type[Message], str]] = {
    ORDERS: (OrderEvent, "ready"),
    CALLBACKS: (CallbackEvent, "returned"),
    APPOINTMENTS: (AppointmentEvent, "started"),
    CONTACTS: (ContactEvent, "resolved"),
}
_PLAIN = _good(ORDERS, 1_700_000_000 * SECOND)
_RAW: Sequence[tuple[str, bytes | None, tuple[tuple[str, bytes], ...]]] = (
    (ORDERS, b"\xff\xfe garbage \x00", ()),
    (CALLBACKS, b"", ()),
    (APPOINTMENTS, None, ()),
    (ORDERS, b'{"event_id": "1"}', ()),
    (ORDERS, _PLAIN.SerializeToString(), _JSON),
    (ORDERS, _PLAIN.SerializeToString()[:-3], ()),
    (CALLBACKS, b"", _JSON),
    (CALLBACKS, b'{"event_id": "1", ', _JSON),
    (CALLBACKS, b"[1, 2]", _JSON),
    (CALLBACKS, b'{"no_such_field": 1}', _JSON),
    (APPOINTMENTS, b'{"occurred_at": "yesterday"}', _JSON),
    (APPOINTMENTS, b"\xff{}", _JSON),
    (APPOINTMENTS, b"[" * 20_000, _JSON),
    (ORDERS, b"x" * 300_000, ()),
    (CONTACTS, b"\xff\xfe garbage \x00", ()),
    (CONTACTS, None, ()),
    (CONTACTS, b'{"event_id": "1"}', ()),
    (CONTACTS, b'{"received": ', _JSON),
    (CONTACTS, b'{"received": {"priority": "PRIORITY_OF_THE_DAY"}}', _JSON),
    (CONTACTS, b"x" * 300_000, ()),
)

_Spoil = Callable[[Any, int], object]


def _clear(name: str) -> _Spoil:
    return lambda event, _start: event.ClearField(name)


def _late(by: int) -> _Spoil:
    """Happened at another time than now."""
    return lambda event, start: event.occurred_at.FromMicroseconds(start + by)


def _set(name: str, value: str) -> _Spoil:
    return lambda event, _start: setattr(event, name, value)


def _nameless(event: Any, _start: int) -> None:
    event.customer_id, event.customer_name = "", "Zoë"


def _armless(event: Any, _start: int) -> None:
    event.ClearField(event.WhichOneof("event"))


def _unknown(event: Any, start: int) -> None:
    _armless(event, start)
    event.MergeFromString(_UNKNOWN_ARM)


def _promise(event: Any, **day: str) -> None:
    event.promised.milestone = MILESTONE_READY
    event.promised.due.day.date = day.pop("date", "2030-01-07")
    for name, text in day.items():
        setattr(event.promised.due.day, name, text)


def _unheard_of(event: Any, start: int) -> None:
    event.renegotiated.consent = 9
    event.renegotiated.due.at.FromMicroseconds(start)


def _backwards(event: Any, start: int) -> None:
    event.booked.window_end.FromMicroseconds(start)
    event.booked.window_start.FromMicroseconds(start + 1)


_ANY: Sequence[_Spoil] = (
    _clear("event_id"),
    _clear("subject_id"),
    _clear("occurred_at"),
    _armless,
    _late(2 * _HOUR),
    _late(20_000 * 24 * _HOUR),
    _late(-500 * 24 * _HOUR),
    _late(-20_600 * 24 * _HOUR),
    _set("event_id", "e" * 300),
    _set("customer_id", "ñ" * 256),
    _set("customer_name", "n" * 300_000),
    _nameless,
    _unknown,
)
_SPOILS: Mapping[str, Sequence[_Spoil]] = {
    ORDERS: (
        *_ANY,
        lambda event, _: event.promised.SetInParent(),
        lambda event, _: event.promised.due.at.FromSeconds(2_000_000_000),  # ready or delivered?
        lambda event, _: _promise(event, date="2030-02-30"),
        lambda event, _: _promise(event, date="1999-01-01"),
        lambda event, _: _promise(event, time_zone="Mars/Olympus"),
        lambda event, _: _promise(event, calendar="nobody's"),
        lambda event, _: event.waived.MergeFromString(b"\x08\x63"),  # a milestone to come
        lambda event, _: event.cancelled.SetInParent(),
    ),
    CALLBACKS: (
        *_ANY,
        lambda event, _: event.promised.SetInParent(),
        lambda event, _: event.requested.promised.SetInParent(),
        lambda event, _: event.promised.due.at.FromSeconds(9_000_000_000),
        lambda event, _: event.cancelled.MergeFromString(b"\x08\x07"),  # a party to come
        _unheard_of,
    ),
    APPOINTMENTS: (
        *_ANY,
        lambda event, _: event.booked.SetInParent(),
        lambda event, _: event.no_show.SetInParent(),
        _backwards,
    ),
    CONTACTS: (
        *_ANY,
        lambda event, _: event.replied.MergeFromString(b"\x08\x09"),  # an author to come
    ),
}  # fmt: skip
