"""The golden examples: what a message of every kind looks like, for people and for the tools of other languages."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from services.promises import codec as promises, rules
from services.shared.engine.machine import Machine
from services.shared.envelope import Limits
from services.shared.instant import Instant, parse_instant
from services.shared.keys import record_key, split_key
from services.shared.publisher import checked, key_of
from services.shared.topics import DEAD_LETTERS, EVENTS, PROMISES, SLA, TOPICS, Topic
from services.sla import codec as sla
from services.sla.policies import BUILT_IN, load_policies
from services.sla.standards import InForce, Standards

EXAMPLES = Path(__file__).parent.parent / "examples"
FILES = sorted(file for topic in TOPICS for file in (EXAMPLES / topic.name).glob("*.json"))
TOPIC = {topic.name: topic for topic in TOPICS}
LATER = parse_instant("2025-12-25T00:00:00Z")
LIMITS = Limits(now=lambda: LATER)
MACHINES: dict[Topic, Machine[Any, Any]] = {
    PROMISES: promises.machine(rules.read_rules(), LIMITS),
    SLA: sla.machine(InForce(Standards.of(load_policies(BUILT_IN))), LIMITS),
}
# Record example → the event examples it is judged from, and the instant at which it stands so.
STORIES = {
    "promises.v1/kept": (["orders.v1/promised", "orders.v1/renegotiated", "orders.v1/ready"], LATER),
    "promises.v1/broken": (["appointments.v1/booked", "appointments.v1/no_show"], LATER),
    "promises.v1/at_risk": (["callbacks.v1/requested"], parse_instant("2025-11-27T13:50:00Z")),
    "sla.v1/met": (["contacts.v1/received", "contacts.v1/replied"], LATER),
    "sla.v1/breached": (["callbacks.v1/requested"], parse_instant("2025-11-27T13:50:00Z")),
}


def fields_of(name: str) -> dict[str, Any]:
    """The JSON of an example, "orders.v1/placed"."""
    fields: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return fields


def read(name: str) -> Message:
    """The message of an example."""
    kind = TOPIC[name.partition("/")[0]].message
    assert kind is not None
    return ParseDict(fields_of(name), kind())


def names(*topics: Topic) -> list[str]:
    """The examples of some topics."""
    return [f"{file.parent.name}/{file.stem}" for file in FILES if TOPIC[file.parent.name] in topics]


@pytest.mark.parametrize("name", names(*TOPICS))
def test_json_and_binary_say_the_same(name: str) -> None:
    """An example becomes bytes and comes back as the same JSON: no field unknown, misspelt, or at its default."""
    message = read(name)
    assert MessageToDict(type(message).FromString(message.SerializeToString())) == fields_of(name)


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic is not DEAD_LETTERS], ids=lambda t: t.name)
def test_every_kind_of_message_has_an_example(topic: Topic) -> None:
    """Each input topic shows every arm, in a file of its name; each other topic shows at least one message."""
    assert topic.message is not None
    shown = {name.partition("/")[2] for name in names(topic)}
    arms = topic.message.DESCRIPTOR.oneofs_by_name.get("event")
    assert shown == {arm.name for arm in arms.fields} if arms else shown


@pytest.mark.parametrize("name", names(*EVENTS))
def test_events_are_complete_and_keyed_by_their_customer(name: str) -> None:
    """What the publisher demands is there, and the arm is what the file is named after; heartbeats concern nobody."""
    event: Any = read(name)
    checked(event)
    arm = event.WhichOneof("event")
    assert key_of(event) == (event.source if arm == "heartbeat" else event.customer_id)
    assert event.customer_id == ("" if arm == "heartbeat" else "c-1042")
    assert arm == name.partition("/")[2]


@pytest.mark.parametrize("name", STORIES)
def test_a_record_is_what_its_service_makes_of_the_events(name: str) -> None:
    """The example events, folded and judged as of the instant, give the example record, under its own id."""
    events, at = STORIES[name]
    topic = TOPIC[name.partition("/")[0]]
    expected: Any = read(name)
    key = (expected.promise_id if topic is PROMISES else expected.clock_id).encode()
    value = judged(MACHINES[topic], key, events, at)
    assert type(expected).FromString(value) == expected
    assert key == record_key(expected.customer_id, split_key(key)[1], expected.subject_id)


def judged(machine: Machine[Any, Any], key: bytes, events: list[str], at: Instant) -> bytes:
    """The packed record that a machine has under a key for some example events, as of an instant."""
    facts = [
        fact
        for event in events
        for found, fact in machine.inputs[TOPIC[event.partition("/")[0]].under()](
            read(event).SerializeToString(), False
        )
        if found == key
    ]
    record = machine.due(machine.fold(key, None, facts), at)
    assert record is not None
    return machine.pack(record)
