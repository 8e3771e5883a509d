"""What input costs grows as its bytes: what is many in it is made eight times as many, door by door."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.notifier.v1.incident_pb2 import SEVERITY_WARNING, STANDING_BROKEN, Dispatch
from puntual.promises.v1.promise_pb2 import PROMISE_STATE_BROKEN, Promise
from puntual.sla.v1.clock_pb2 import CLOCK_STATE_BREACHED, Clock
from services.notifier.silences_log import SilencesLog
from services.shared.documents import DocumentError, parse_document
from services.shared.engine.keeper import Keeper
from services.shared.engine.store import PartitionStore
from services.shared.ical import read_ical
from tests.fuzz.doors import MACHINES, NOW, relay
from tests.growth import growth
from tests.unit.engine.fakes import FakeMessage, Tally
from tests.unit.shared.mutants import chunk, varint

HEAD = {"event_id": "1", "source": "s", "subject_id": "m", "occurred_at": "2025-12-01T00:00:00Z"}
JSON = [("content-type", b"application/json")]
Work = Callable[[], object]


def kept(service: str, topic: str, *messages: FakeMessage) -> Work:
    """Messages into the engine, all of a batch."""
    keeper = Keeper(MACHINES[service], Tally(), dead_letters="dead", dead_letter_partitions=3)
    keeper.stores[0] = PartitionStore(MACHINES[service])
    return lambda: keeper.process(f"puntual.{topic}", 0, messages, NOW)


def a_json(fields: dict[str, Any]) -> Work:
    """An event in JSON, with what is many in it."""
    return kept("sla", "contacts.v1", FakeMessage(1, 1, b"k", json.dumps(HEAD | fields).encode(), JSON))


def a_value(more: bytes, *, topic: str = "contacts.v1") -> Work:
    """An event on the wire, and more behind it."""
    event = ContactEvent(event_id="1", source="s", subject_id="m").SerializeToString()
    return kept("sla", topic, FakeMessage(1, 1, b"k", event + more, ()))


def a_promise(count: int) -> Work:
    """A record of many facts, forwarded."""
    promise = Promise(promise_id="c/callback/b", state=PROMISE_STATE_BROKEN)
    for number in range(count):
        promise.facts.add(event_id=str(number), kind=1).context.site = f"s{number}"
    return forwarded("promises.v1", promise.SerializeToString())


def a_clock(count: int) -> Work:
    """A record of many cycles, forwarded."""
    clock = Clock(clock_id="c/first_reply/b", state=CLOCK_STATE_BREACHED)
    for number in range(count):
        clock.facts.add(event_id=str(number), kind=1).context.team = f"t{number}"
        clock.earlier.add(state=CLOCK_STATE_BREACHED)
    return forwarded("sla.v1", clock.SerializeToString())


def forwarded(topic: str, value: bytes) -> Work:
    """A record into the relay."""
    into = relay()
    return lambda: into.process(f"puntual.{topic}", 0, [FakeMessage(1, 1, b"k", value, ())], NOW)


def a_silence(count: int) -> Work:
    """One of many conditions."""
    message = chunk(1, b"s") + chunk(2, chunk(1, b"site") + b"".join(chunk(2, b"%d" % n) for n in range(count)))
    return lambda: SilencesLog().take(FakeMessage(1, 1, b"s", message, ()))


def a_document(text: str) -> Work:
    """YAML, whatever becomes of it."""

    def read() -> None:
        try:
            parse_document(text, "a.yaml")
        except DocumentError:
            return

    return read


def a_calendar(count: int) -> Work:
    """Of many events."""
    events = "".join(f"BEGIN:VEVENT\r\nUID:{n}\r\nDTSTART:20260101T000000Z\r\nEND:VEVENT\r\n" for n in range(count))
    content = f"BEGIN:VCALENDAR\r\n{events}END:VCALENDAR\r\n".encode()
    return lambda: read_ical(content, "a.ics", 2030)


def dispatches(count: int) -> Work:
    """Into one incident, all at once."""
    made = Dispatch(incident_id="everything", route="everything")
    made.item.service, made.item.standing, made.item.severity = "promises", STANDING_BROKEN, SEVERITY_WARNING
    messages = []
    for number in range(count):
        made.item.record_id, made.item.offset = f"c/callback/{number}", number + 1
        messages.append(FakeMessage(number, 1, b"k", made.SerializeToString(), ()))
    return kept("notifier", "dispatch.v1", *messages)


#: What is many → how it comes in with so many, and how many are few.
MANY: dict[str, tuple[Callable[[int], Work], int]] = {
    "names of JSON": (lambda count: a_json({str(number): 0 for number in range(count)}), 120),
    "lists of JSON": (lambda count: a_json({"received": [[]] * count}), 2_000),
    "objects of JSON": (lambda count: a_json({"received": [{"a": {}}] * count}), 60),
    "digits of JSON": (lambda count: a_json({"received": {"kind": [int("1" * 400)] * count}}), 60),
    "characters of JSON": (lambda count: a_json({"site": "\n" * count}), 8_000),
    "bodies of JSON": (lambda count: a_json({"held": {"reason": "x" * count}}), 8_000),
    "unknown fields": (lambda count: a_value((varint(900 << 3) + b"\1") * count), 2_000),
    "fields that come again": (lambda count: a_value(chunk(1, b"again") * count), 2_000),
    "bodies that come again": (lambda count: a_value(chunk(20, chunk(1, b"")) * count), 1_000),
    "facts of a promise": (a_promise, 100),
    "cycles of a clock": (a_clock, 60),
    "conditions of a silence": (a_silence, 500),
    "dispatches to an incident": (dispatches, 60),
    "keys of YAML": (lambda count: a_document("".join(f"k{number}: 1\n" for number in range(count))), 150),
    "depth of YAML": (lambda count: a_document("[" * count), 20),
    "words of YAML": (lambda count: a_document(f"a: {'word ' * count}"), 500),
    "events of a calendar": (a_calendar, 30),
}


@pytest.mark.parametrize(("many", "few"), MANY.values(), ids=MANY)
def test_what_input_costs_grows_as_it_does(many: Callable[[int], Work], few: int) -> None:
    """Not with its square."""
    many(few)()
    assert growth(many, few) < 3
