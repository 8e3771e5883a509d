"""The doors through which something from outside comes in, each as it is used, in this process.

A door takes a source of chance, makes an input of it and puts it in. What it then raises is an escape, unless it is one
of the errors that the door is documented to raise.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from services.cli import history, mapping
from services.notifier import codec as incidents, config
from services.notifier.audit_search import AuditSearch, Sought
from services.notifier.links import Expired, Links, NotOurs
from services.notifier.relay import forwards
from services.notifier.rpc import notifier_service
from services.notifier.schedules import Feed
from services.notifier.silences_log import SilencesLog
from services.promises import codec as promises, rules
from services.promises.orphans import TOPIC_OF, orphan_of
from services.promises.rpc import promise_service
from services.shared import public_holidays
from services.shared.documents import DocumentError
from services.shared.duration import parse_duration
from services.shared.engine.dead_letters import DeadLetters
from services.shared.engine.keeper import Keeper
from services.shared.engine.machine import Machine
from services.shared.engine.relay import Relay
from services.shared.engine.store import PartitionStore
from services.shared.envelope import Limits
from services.shared.errors import PuntualError
from services.shared.ingress import Ingress, Link, Outgoing, event_service
from services.shared.instant import SECOND, Instant, parse_instant
from services.shared.metrics import Registry, SourceMeter
from services.shared.rpc import Service
from services.shared.sources import codec as sources
from services.shared.sources.orphans import Orphans
from services.shared.topics import INPUTS, TOPICS
from services.sla import codec as clocks, policies
from services.sla.chronicle import Chronicle, pack_version
from services.sla.closing_days import closing_days
from services.sla.rpc import sla_service
from services.sla.standards import InForce, Standards
from services.sla.targets import parse_target
from tests.fuzz.answering import into_page
from tests.fuzz.mutation import INTEGERS, TEXTS, headers, mutated, mutated_json, mutated_text
from tests.unit.engine.fakes import FakeMessage, Tally
from tests.unit.notifier.builders import MAIL
from tests.unit.notifier.desks import Office
from tests.views import MemoryView

EXAMPLES = Path(__file__).parent.parent / "examples"
NOW = parse_instant("2025-12-25T00:00:00Z")
LIMITS = Limits(now=lambda: NOW)
TOPIC = {topic.name: topic for topic in TOPICS}
KNOWN = InForce(Standards.of(policies.load_policies(policies.BUILT_IN)))
MACHINES: Mapping[str, Machine[Any, Any]] = {
    "promises": promises.machine(rules.read_rules(), LIMITS),
    "sla": clocks.machine(KNOWN, LIMITS),
    "notifier": incidents.machine(MAIL, now=lambda: NOW),
}


class Door(NamedTuple):
    """Where input comes in."""

    #: Makes an input and returns what puts it in, so that only that is measured.
    knock: Callable[[Random], Callable[[], object]]
    #: What it may raise.
    raises: tuple[type[Exception], ...] = ()
    #: Milliseconds of CPU that an input may take; more where people wait for it, and nothing else does.
    budget: float = 50.0


def examples(topic: str) -> Sequence[Message]:
    """The golden ones of a topic."""
    kind = TOPIC[topic].message
    assert kind is not None
    return [ParseDict(_json(file), kind()) for file in sorted((EXAMPLES / topic).glob("*.json"))]


def _json(file: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(file.read_text())
    return fields


def _message(rng: Random, kinds: Sequence[Message]) -> FakeMessage:
    """One of these, mutated, as it is fetched."""
    example = rng.choice(kinds)
    is_json = rng.random() < 0.4
    value: bytes | None = (mutated_json if is_json else mutated)(rng, example)
    if rng.random() < 0.01:
        value = rng.choice((None, b"", rng.randbytes(300)))
    said = [*(("content-type", b"application/json") for _ in range(is_json)), *headers(rng)]
    key = rng.choice((b"c-7", b"", None, b"\xff", b"x" * 10_000, rng.choice(TEXTS).encode()))
    return FakeMessage(rng.randrange(1 << 40), rng.choice(INTEGERS), key, value, said)


# --- Kafka


def _into_keeper(service: str, topic: str) -> Callable[[Random], Callable[[], object]]:
    """A batch of messages, and then a look at all deadlines."""
    machine, kinds = MACHINES[service], examples(topic)

    def knock(rng: Random) -> Callable[[], object]:
        keeper = Keeper(machine, Tally(), dead_letters="dead", dead_letter_partitions=3)
        store = keeper.stores[0] = PartitionStore(machine)
        batch = [_message(rng, kinds) for _ in range(rng.choice((1, 1, 2, 5)))]
        at = Instant(NOW + rng.choice((0, 1, 400 * 86_400)) * SECOND)

        def put() -> None:
            for message in batch:
                keeper.process(f"puntual.{topic}", 0, [message], NOW)
            keeper.process(f"puntual.{topic}", 0, batch, NOW)
            keeper.sweep(0, at, at, 100)
            again = PartitionStore(machine)
            again.restore((key, store.packed(key)) for key in store.keys())  # noqa: SIM118 - no dictionary
            list(again.index())

        return put

    return knock


def _into_store(service: str, topic: str) -> Callable[[Random], Callable[[], object]]:
    """A changelog, read at a start."""
    machine, kinds = MACHINES[service], examples(topic)

    def knock(rng: Random) -> Callable[[], object]:
        store = PartitionStore(machine)
        key, value = rng.choice((b"c-7/callback/b-1", b"x", b"\xff")), mutated(rng, rng.choice(kinds))

        def put() -> None:
            store.restore([(key, value)])
            list(store.index())

        return put

    return knock


def relay() -> Relay:
    """The notifier's first half, by the routes that apply where there are no others."""
    routes = forwards(config.load_rules(config.BUILT_IN).routing, 12, now=lambda: NOW)
    return Relay(routes, Tally(), DeadLetters("dead", 3))


def _into_relay(topic: str) -> Callable[[Random], Callable[[], object]]:
    kinds, into = examples(topic), relay()

    def knock(rng: Random) -> Callable[[], object]:
        message = _message(rng, kinds)
        return lambda: into.process(f"puntual.{topic}", 0, [message], NOW)

    return knock


def _into_silences(rng: Random) -> Callable[[], object]:
    message = _message(rng, examples("silences.v1"))
    return lambda: SilencesLog().take(message)


def _into_standards(rng: Random) -> Callable[[], object]:
    value = _message(rng, examples("standards.v1")).value or b""
    return lambda: Chronicle().add(value, NOW)


def _into_audit(rng: Random) -> Callable[[], object]:
    message = _message(rng, examples("audit.v1"))
    return lambda: AuditSearch(Sought(incident_id="")).take(message)


def _into_sources(rng: Random) -> Callable[[], object]:
    message = _message(rng, examples("sources.v1"))
    return lambda: sources.unpack(message.value or b"")


# --- gRPC


class _Nowhere(Ingress):
    """Takes everything, and sends it nowhere."""

    def __init__(self) -> None:
        super().__init__(self._never, "puntual.")

    async def _never(self) -> Link:
        raise PuntualError("nothing is sent here")

    async def send(self, messages: Sequence[Outgoing]) -> None: ...


def _services() -> Sequence[Service]:
    office, view, nowhere = Office(NOW), MemoryView(), _Nowhere()
    return (
        promise_service(view),
        sla_service(KNOWN, view),
        notifier_service(view, nowhere.send, "responses", office.desk),
        event_service(nowhere),
        Orphans(view, orphan_of, TOPIC_OF, 12, SourceMeter(Registry(), "promises"), lambda: NOW).service,
    )


# --- files


def _files(pattern: str) -> Sequence[str]:
    root = Path(__file__).parents[2]
    return [file.read_text(encoding="utf-8") for file in sorted(root.glob(pattern))]


def _into_text(read: Callable[[str], object], texts: Sequence[str]) -> Callable[[Random], Callable[[], object]]:
    def knock(rng: Random) -> Callable[[], object]:
        text = mutated_text(rng, rng.choice(texts))
        return lambda: read(text)

    return knock


def _read_policies(text: str) -> object:
    return pack_version(text, "s.yaml", public_holidays.public_holidays)


def _read_history(folder: Path) -> Callable[[Random], Callable[[], object]]:
    rows, how = (EXAMPLES / "histories/orders.csv").read_text(), (EXAMPLES / "mappings/orders.yaml").read_text()

    def knock(rng: Random) -> Callable[[], object]:
        (folder / "h.csv").write_text(mutated_text(rng, rows) if rng.random() < 0.7 else rows, errors="replace")
        (folder / "m.yaml").write_text(mutated_text(rng, how) if rng.random() < 0.5 else how, errors="replace")
        return lambda: history.read(folder / "h.csv", mapping.load(folder / "m.yaml"), NOW)

    return knock


CALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//test//EN
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20260824
DTEND;VALUE=DATE:20260827
RRULE:FREQ=YEARLY;COUNT=4;INTERVAL=1;BYMONTH=8
SUMMARY:Stock-taking
STATUS:CONFIRMED
END:VEVENT
BEGIN:VEVENT
UID:3
DTSTART;TZID=Europe/Madrid:20260910T100000
DTEND;TZID=Europe/Madrid:20260910T120000
RRULE:FREQ=WEEKLY;BYDAY=MO,FR;UNTIL=20271231T000000Z
EXDATE;TZID=Europe/Madrid:20260911T100000
SUMMARY:ana
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")


def _read_ical(text: str) -> None:
    content = text.encode(errors="replace")
    for read in (partial(closing_days, content, "a.ics", 2026, 2027), partial(_shifts, content)):
        try:
            read()
        except DocumentError:
            continue


def _shifts(content: bytes) -> object:
    return list(Feed(content, "a.ics", ZoneInfo("Europe/Madrid"), {}).shifts(NOW, Instant(NOW + 30 * 86_400 * SECOND)))


def _open_token(token: str) -> object:
    return Links("https://a", ["secret"], SECOND).read(token, NOW)


def _call(method: Any, kind: type[Message], value: bytes) -> None:
    """A request, as the server has it once it is parsed."""

    async def answer() -> None:
        async with asyncio.timeout(0.02):
            answer = method(kind.FromString(value), None)
            if hasattr(answer, "__aiter__"):
                async for _ in answer:
                    pass
            else:
                await answer

    asyncio.run(answer())


def _into_calls(service: Service) -> Callable[[Random], Callable[[], object]]:
    descriptor: Any = service.descriptor
    add: Any = service.add
    (servicer,) = add.args

    def knock(rng: Random) -> Callable[[], object]:
        method = rng.choice(descriptor.methods)
        kind = GetMessageClass(method.input_type)
        value = mutated(rng, kind())
        return lambda: _call(getattr(servicer, method.name), kind, value)

    return knock


# --- all of them


def doors(folder: Path) -> Mapping[str, Door]:
    """By name. `folder` is for files."""
    inputs = [topic.name for topic in INPUTS]
    found = {
        f"{service} reads {topic}": Door(_into_keeper(service, topic))
        for service, topics in (
            ("promises", [topic for topic in inputs if topic != clocks.CONTACTS]),
            ("sla", inputs),
            ("notifier", ["dispatch.v1", "responses.v1"]),
        )
        for topic in topics
    }
    found |= {f"the notifier forwards {topic}": Door(_into_relay(topic)) for topic in ("promises.v1", "sla.v1")}
    found |= {
        f"{service} recovers {topic}": Door(_into_store(service, topic))
        for service, topic in (("promises", "promises.v1"), ("sla", "sla.v1"), ("notifier", "incidents.v1"))
    }
    answers = (PuntualError, DecodeError, TimeoutError)
    found |= {
        f"callers of {service.descriptor.name}": Door(_into_calls(service), answers, 100) for service in _services()
    }
    return found | {
        "silences": Door(_into_silences),
        "standards": Door(_into_standards, (DocumentError,), 2_000),
        "audit": Door(_into_audit),
        "sources": Door(_into_sources, (ValueError,)),
        "notifier.yaml": Door(
            _into_text(lambda text: config.parse(text, "n.yaml"), _files("services/notifier/*.yaml")),
            (DocumentError,),
            1_000,
        ),
        "standards.yaml": Door(
            _into_text(_read_policies, _files("tests/examples/standards/*.yaml")), (DocumentError,), 5_000
        ),
        "a history": Door(_read_history(folder), (PuntualError,), 1_000),
        "calendars": Door(_into_text(_read_ical, [CALENDAR]), (), 2_000),
        "durations": Door(_into_text(parse_duration, ["1h 30min", "90s"]), (ValueError,)),
        "targets": Door(_into_text(parse_target, ["3 business days, end of day", "2 contacts"]), (ValueError,)),
        "the page": Door(into_page),
        "links": Door(_into_text(_open_token, ["AaySz_-0" * 12]), (NotOurs, Expired)),
    }
