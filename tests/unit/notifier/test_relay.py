"""What is forwarded to whom, and that skipping the rest keeps nobody in the dark."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from puntual.promises.v1.promise_pb2 import (
    PROMISE_STATE_BROKEN,
    PROMISE_STATE_NOTED,
    Promise as PromiseMessage,
    PromiseState,
)
from puntual.sla.v1.clock_pb2 import CLOCK_STATE_MET, CLOCK_STATE_RUNNING, Clock
from services.notifier import domain as notifier
from services.notifier.beliefs import Receivers
from services.notifier.codec import decode
from services.notifier.incident import Fact as Told, Incident, ItemSeen, Plan
from services.notifier.items import NONE, Severity, Standing
from services.notifier.outbox import UNSETTLED, Accepted, DeliverySettled
from services.notifier.relay import forwards
from services.notifier.routing import Route, Routing, SeverityRule
from services.promises import codec as promises_codec, domain as promises
from services.promises.model import Fact, Party, Promise, State, Transition
from services.promises.words import cycles_of
from services.shared.clock import set_timestamp
from services.shared.engine.stage import Headers
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.facts import Context
from services.shared.instant import Instant, format_instant
from tests.growth import growth
from tests.unit.notifier.builders import at
from tests.unit.promises import builders
from tests.unit.promises.strategies import promised_with

EVERYTHING = Routing((), (Route("everything", {}, ("console",), at_risk=True),))
TOPIC = "puntual.promises.v1"


@dataclass
class Record:
    """A message as it is fetched."""

    value: bytes | None
    offset: int = 1
    timestamp: int = 1_000
    topic: str = TOPIC
    partition: int = 0
    key: bytes | None = b"C-7/order_ready/A-1"
    headers: Headers = ()


def a_promise(state: str) -> bytes:
    """Due at noon, at risk ten minutes before."""
    message = PromiseMessage(promise_id="C-7/order_ready/A-1", state=PromiseState.Value(f"PROMISE_STATE_{state}"))
    set_timestamp(message.due_at, at(0))
    set_timestamp(message.warn_at, at(-10))
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("state", "transition", "minutes", "tells_risk", "forwarded"),
    [
        ("OPEN", "made", -60, True, False),
        ("KEPT", "kept", -60, True, False),
        ("KEPT", "kept", -9, True, True),
        ("KEPT", "kept", -9, False, False),
        ("KEPT", "kept", 1, False, True),
        ("OPEN", "renegotiated", -60, True, True),
        ("KEPT", "retracted", -60, False, True),
        ("OPEN", "", -60, True, True),
        ("AT_RISK", "at_risk", -6, True, True),
        ("AT_RISK", "at_risk", -6, False, False),
        ("AT_RISK", "retracted", -6, False, True),
        ("BROKEN", "noted", -60, False, True),
        ("KEPT_LATE", "kept_late", -60, False, True),
        ("WITHDRAWN", "withdrawn", -60, False, True),
    ],
)
def test_a_record_is_skipped_only_where_all_is_and_was_well(
    state: str, transition: str, minutes: int, tells_risk: bool, forwarded: bool
) -> None:
    """How a promise stands, what was announced and when, and whether anybody is told of risks."""
    routing = Routing((), (Route("everything", {}, ("console",), at_risk=tells_risk),))
    headers = (("transition", transition.encode()), ("announced-at", format_instant(at(minutes)).encode()))
    assert bool(list(forwards(routing, 12)[TOPIC](Record(a_promise(state), headers=headers)))) == forwarded


def test_what_was_never_promised_worries_nobody() -> None:
    """Facts about an order come before its promise, or without any."""
    noted = PromiseMessage(promise_id="C-7/order_ready/A-1", state=PROMISE_STATE_NOTED).SerializeToString()
    assert not list(forwards(EVERYTHING, 12)[TOPIC](Record(noted, headers=(("transition", b"noted"),))))


def test_a_forwarded_record_carries_its_offset_and_announcement() -> None:
    """The incident knows older records by the one, and counts delays from the other."""
    headers = (("transition", b"broken"), ("announced-at", format_instant(at(2)).encode()))
    (write,) = forwards(EVERYTHING, 12)[TOPIC](Record(a_promise("BROKEN"), 42, headers=headers))
    assert (write.topic, write.key) == ("puntual.dispatch.v1", b"everything")
    ((_, fact),) = decode(write.value or b"", False)
    assert isinstance(fact, ItemSeen)
    assert (fact.item.offset, fact.item.announced_at) == (42, at(2))


def test_all_that_concerns_one_receiver_group_meets_on_one_partition() -> None:
    """Murmur2 of the incident's id, as Java has it: that of "foobar" is -790332482."""
    routing = Routing((), (Route("foobar", {}, ("console",)),))
    (write,) = forwards(routing, 12)[TOPIC](Record(a_promise("BROKEN")))
    assert (write.key, write.partition) == (b"foobar", (-790332482 & 0x7FFFFFFF) % 12)


def test_without_a_header_the_brokers_time_counts() -> None:
    """A record that another tool wrote is forwarded all the same."""
    (write,) = forwards(EVERYTHING, 12)[TOPIC](Record(a_promise("BROKEN"), timestamp=5_000))
    ((_, fact),) = decode(write.value or b"", False)
    assert fact.occurred_at == 5_000_000


def test_what_is_late_when_it_is_forwarded_matters_as_much() -> None:
    """By the clock of whoever forwards it; before that it says when it will."""
    routing = Routing((SeverityRule({}, Severity.CRITICAL, 60 * builders.MINUTE),), EVERYTHING.routes)
    for minutes, severity, rises in ((59, Severity.WARNING, 1), (60, Severity.CRITICAL, 0)):
        (write,) = forwards(routing, 12, now=partial(at, minutes))[TOPIC](Record(a_promise("BROKEN")))
        ((_, fact),) = decode(write.value or b"", False)
        assert isinstance(fact, ItemSeen)
        assert (fact.item.severity, len(fact.item.rises)) == (severity, rises)


def test_deletions_are_no_news() -> None:
    """What is forgotten upstream was settled long before."""
    assert not list(forwards(EVERYTHING, 12)[TOPIC](Record(None)))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\xff", DeadLetterReason.UNDECODABLE),
        (PromiseMessage(state=99).SerializeToString(), DeadLetterReason.INVALID),  # type: ignore[arg-type]
        (PromiseMessage(state=PROMISE_STATE_BROKEN, promise_id="A-1").SerializeToString(), DeadLetterReason.INVALID),
    ],
    ids=["garbage", "a state of a newer version", "no record id"],
)
def test_what_cannot_be_read_becomes_a_dead_letter(value: bytes, reason: DeadLetterReason) -> None:
    """Passed over in silence, a breach could be lost."""
    with pytest.raises(Unusable) as refused:
        forwards(EVERYTHING, 12)[TOPIC](Record(value))
    assert refused.value.reason == reason


@pytest.mark.parametrize("header", ["transition", "announced-at"])
@pytest.mark.parametrize("value", [b"excused", b"\xff\xff", b""])
def test_a_header_nobody_understands_hides_nothing(header: str, value: bytes) -> None:
    """The record says how things stand; a transition or time of a newer version only means that it is forwarded."""
    headers = {"transition": b"kept", "announced-at": format_instant(at(1)).encode(), header: value}
    for state in ("KEPT", "BROKEN"):
        record = Record(a_promise(state), timestamp=at(1) // 1_000, headers=tuple(headers.items()))
        assert list(forwards(EVERYTHING, 12)[TOPIC](record))


def test_whoever_was_told_of_a_cycle_that_never_was_hears_that_all_is_well() -> None:
    """What the company called off was agreed anew by a later word, until an agreement in between came to be known."""
    world = World()
    word, off = builders.promised(0, 45), builders.cancelled(30, Party.COMPANY)
    world.arrive([word, off, builders.moved(50, 120)], at(55))
    world.pass_time(at(200))
    assert world.believers().keys() == {(1, Standing.BROKEN), (2, Standing.BROKEN)}
    world.arrive([builders.moved(20, 60)], at(201))
    assert world.promise is not None
    assert world.promise.earlier == ()
    assert world.believers().keys() == {(1, Standing.BROKEN)}


# --- skipping keeps nobody in the dark

GROUPED = Routing(
    (SeverityRule({"standing": frozenset({"broken"})}, Severity.CRITICAL, 30 * builders.MINUTE),),
    (
        Route("pager", {"severity": frozenset({"critical"}), "site": frozenset({"Vigo"})}, ("console",)),
        Route("teams", {}, ("console",), group_by=("team",), at_risk=True),
    ),
)
PLAN = Plan(
    {route.name: Receivers({"console": "console"}, route.at_risk) for route in GROUPED.routes},
    dict.fromkeys(Severity, 1_000_000),
)


class World:
    """A promise whose facts arrive in batches; its records go through the relay to incidents that tell at once."""

    def __init__(self) -> None:
        self.promise: Promise | None = None
        self.offset = 0
        self.incidents: dict[bytes, Incident] = {}
        #: All messages: of which incident, and of what kind.
        self.messages: list[tuple[bytes, int]] = []

    def arrive(self, batch: list[Fact], now: Instant) -> None:
        """Facts are folded, at `now` by the clock."""
        self.pass_time(now)
        old = self.promise
        new = (
            promises.fold(old, batch, builders.RULES) if old else promises.note(builders.PROMISE, batch, builders.RULES)
        )
        self.write(new, now)

    def pass_time(self, now: Instant) -> None:
        """Deadlines are announced when they pass, and severities rise, in order."""
        while self.promise and (deadline := promises.next_deadline(self.promise, builders.RULES)):
            if deadline > now:
                break
            self.rise(deadline)
            self.write(promises.due(self.promise, deadline, builders.RULES), deadline)
        self.rise(now)

    def rise(self, now: Instant) -> None:
        """What incidents wait for comes."""
        for key in list(self.incidents):
            while NONE < (look_at := self.incidents[key].next_look_at) <= now:
                self.keep(key, notifier.due(self.incidents[key], look_at, PLAN), look_at)

    def write(self, new: Promise | None, now: Instant) -> None:
        """A record that changed is announced, forwarded and told."""
        old, self.promise = self.promise, new
        if new is None or new == old:
            return
        self.offset += 1
        transition = Transition(promises.change(old, new)[0]).name.lower()
        headers = (("transition", transition.encode()), ("announced-at", format_instant(now).encode()))
        record = Record(promises_codec.pack(new), self.offset, headers=headers)
        for write in forwards(GROUPED, 12, now=lambda: now)[TOPIC](record):
            for key, fact in decode(write.value or b"", False):
                self.tell(key, fact, now)

    def tell(self, key: bytes, fact: Told, now: Instant) -> None:
        """The incident takes it in, and every message arrives."""
        self.keep(key, notifier.fold(key.decode(), self.incidents.get(key), [fact], PLAN), now)

    def keep(self, key: bytes, incident: Incident | None, now: Instant) -> None:
        """Whoever is to be told is."""
        while incident and (waiting := [d for d in incident.deliveries if d.state in UNSETTLED]):
            self.messages += [(key, delivery.kind) for delivery in waiting]
            ends = [DeliverySettled(now, delivery.delivery_id, Accepted()) for delivery in waiting]
            incident = notifier.fold(key.decode(), incident, ends, PLAN)
        if incident:
            self.incidents[key] = incident

    def believers(self) -> dict[tuple[int, int], set[bytes]]:
        """Cycle and standing → the receiver groups that believe it."""
        believed: dict[tuple[int, int], set[bytes]] = defaultdict(set)
        for key, incident in self.incidents.items():
            for item in incident.items:
                for told in item.told:
                    believed[item.cycle, told.standing].add(key)
        return believed


@settings(max_examples=300, deadline=None)
@given(
    facts=promised_with(),
    cuts=st.lists(st.integers(1, 3), max_size=6),
    delays=st.lists(st.integers(0, 100), min_size=8, max_size=8),
)
def test_in_the_end_everybody_knows_how_a_promise_stands(facts: list[Fact], cuts: list[int], delays: list[int]) -> None:
    """Whatever happens and however late it arrives: no group believes in trouble that is over, and trouble is known.

    Of each cycle for itself, also of one that what came late says never was.
    """
    # Each event has one content: what replaces another leaves no trace of where that one led.
    rest = [replace(fact, event_id=f"e{i}") for i, fact in enumerate(facts)]
    world, now = World(), at(-100)
    for cut, delay in zip([*cuts, len(rest)], delays, strict=False):
        batch, rest = rest[:cut], rest[cut:]
        if batch:
            now = Instant(max(now, *(fact.occurred_at for fact in batch)) + delay * builders.MINUTE)
            world.arrive(batch, now)
    world.pass_time(Instant(now + 1_000 * builders.MINUTE))
    believed = world.believers()
    assert world.promise is not None
    for number, cycle in enumerate(cycles_of(world.promise), start=1):
        if cycle.state == State.BROKEN:
            groups = believed.pop((number, Standing.BROKEN))
            # By now it is late enough for the pager, if it is the pager's.
            assert b"pager" in groups or Context(*world.promise.context).site != "Vigo"
    assert not any(believed.values())


def test_who_is_not_heard_travels_with_what_is_told_all_the_same() -> None:
    """The header of the record is in the dispatch; what cannot be read is left out, and the breach is told."""
    for header, expected in ((b"our shop 2026-11-26T12:00:00Z", ("our shop", at(0))), (b"\xff", ("", Instant(0)))):
        headers = (("transition", b"broken"), ("unheard", header))
        (write,) = forwards(EVERYTHING, 12)[TOPIC](Record(a_promise("BROKEN"), 42, headers=headers))
        ((_, fact),) = decode(write.value or b"", False)
        assert isinstance(fact, ItemSeen)
        assert fact.item.details
        assert (fact.item.details.unheard, fact.item.details.unheard_since) == expected


def test_what_a_record_of_many_cycles_costs_grows_as_it_does() -> None:
    """Each of them is told of, and where they can have been told of is found out once for all."""
    forward = forwards(EVERYTHING, 12, now=lambda: at(0))["puntual.sla.v1"]

    def forwarded(count: int) -> Callable[[], object]:
        clock = Clock(clock_id="C-7/first_reply/A-1", state=CLOCK_STATE_RUNNING)
        for number in range(count):
            clock.earlier.add(state=CLOCK_STATE_MET)
            clock.facts.add(event_id=str(number)).context.site = f"site {number % 20}"
        record = Record(clock.SerializeToString(), topic="puntual.sla.v1")
        return lambda: list(forward(record))

    assert growth(forwarded, 60) < 3
