"""Customers with several ids: whatever happens when, a promise made to one of them is one promise."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import example, given, settings, strategies as st
from msgspec.structs import replace

from services.promises import codec
from services.promises.domain import fold, judge, transition
from services.promises.explain import explain
from services.promises.model import Fact, FactKind, PromiseKind, State, Transition
from services.promises.orphans import orphan_of
from services.shared.facts import merge
from services.shared.instant import Instant
from services.shared.keys import record_key
from tests.unit.engine.fakes import FakeMessage
from tests.unit.promises.builders import MINUTE, NOON, RULES, at, fulfilled, promised
from tests.unit.promises.joined_world import INPUT, JOINED, RECORDS, Merge, Said, World, broken
from tests.unit.promises.strategies import facts

#: Two of them on one partition.
CUSTOMERS = "ana", "ben", "cat", "dan"


def together(merges: Iterable[Merge], customer: str) -> set[str]:
    """The ids of a customer."""
    found = {customer}
    for _ in CUSTOMERS:
        for one, other, _ in merges:
            if {one, other} & found:
                found |= {one, other}
    return found


def as_known(said: Sequence[Said], merges: Sequence[Merge], customer: str, now: Instant) -> tuple[str, bytes]:
    """Whose record counts, and what it says: by the law, of facts and merges as sets."""
    ids = together(merges, customer)
    mine = {each: merge((), [fact for who, fact, _ in said if who == each]) for each in ids}
    given = [(fact.occurred_at, who) for who, told in mine.items() for fact in told if fact.kind == FactKind.PROMISED]
    home = min(given)[1] if given else customer
    told = [replace(fact, customer_id="" if who == home else who) for who, known in mine.items() for fact in known]
    identity = record_key(home, "order_ready", "o1"), PromiseKind.ORDER_READY, home, "o1"
    return home, codec.pack(judge(identity, merge((), told), RULES, now))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from(CUSTOMERS), facts()),
        st.tuples(st.just("merge"), st.sampled_from(CUSTOMERS), st.sampled_from(CUSTOMERS)),
        st.tuples(st.just("read"), st.integers(0, 2), st.sampled_from([INPUT, JOINED]), st.integers(1, 3)),
        st.tuples(st.just("learn"), st.integers(0, 2), st.integers(1, 2)),
        st.tuples(st.just("sweep"), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.integers(1, 40)),
        st.tuples(
            st.just("crash"),
            st.integers(0, 2),
            st.sampled_from([INPUT, JOINED]),
            st.sampled_from(["", RECORDS, JOINED]),
        ),
    ),
    max_size=40,
)


def played(steps: Iterable[tuple[object, ...]]) -> World:
    """The world after these steps."""
    world = World()
    for step in steps:
        match step:
            case ("say", str(customer), Fact() as fact):
                world.say(customer, fact)
            case ("merge", str(one), str(other)) if one != other:
                world.merge(one, other)
            case ("read", int(worker), str(topic), int(most)):
                world.workers[worker].read(topic, most)
            case ("learn", int(worker), int(most)):
                world.workers[worker].learn(most)
            case ("sweep", int(worker)):
                world.workers[worker].sweep()
            case ("wait", int(minutes)):
                world.now = Instant(world.now + minutes * MINUTE)
            case ("crash", int(worker), str(topic), kept):
                world.workers[worker].read(topic, 3, crash=lambda write, kept=kept: write.topic == kept)  # type: ignore[misc]
    return world


@settings(max_examples=400)
@given(STEPS)
def test_all_that_was_said_under_any_id_is_one_promise_in_any_world(steps: list[tuple[object, ...]]) -> None:
    """Whatever is read when, known when and lost when, the records come to the same: one counts, the others do not."""
    world = played(steps)
    world.now = Instant(max(world.now, at(200)))
    world.settle()
    for customer in {each.customer for each in world.said}:
        home, value = as_known(world.said, world.merges, customer, world.now)
        found = world.promise(home)
        assert found is not None
        assert codec.pack(found) == value
        for other in together(world.merges, customer) - {home}:
            noted = world.promise(other)
            assert noted is not None
            assert noted.state == State.NOTED


def punctual(steps: Iterable[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The same, where everything is published when it happens and every time that is given lies ahead."""
    now, found = NOON, list[tuple[object, ...]]()
    for step in steps:
        match step:
            case ("wait", int(minutes)):
                now = Instant(now + minutes * MINUTE)
            case ("say", who, Fact() as fact):
                ahead = Instant(now + 20 * MINUTE + (fact.due_at - NOON) // 10) if fact.due_at else fact.due_at
                step = "say", who, replace(fact, occurred_at=now, due_at=ahead, event_id=f"{len(found)}")  # noqa: PLW2901
        found.append(step)
    return found


@settings(max_examples=400)
@given(STEPS)
@example(
    [
        ("say", "cat", promised(0, 60)),
        ("merge", "cat", "dan"),
        ("wait", 5),
        ("say", "dan", fulfilled(5)),
        ("wait", 40),
        ("learn", 2, 1),
        ("read", 2, INPUT, 3),
        ("sweep", 2),
    ]
)
def test_a_breach_is_told_only_where_it_is_true_of_all_that_was_published_by_then(
    steps: list[tuple[object, ...]],
) -> None:
    """No partition tells a breach that another could deny, and none that is another record's: so none is told twice."""
    world = played(punctual(steps))
    world.now = Instant(world.now + 100 * MINUTE)
    world.settle()
    for customer, breach_at, announced_at in world.announced:
        said = [each for each in world.said if each.arrived_at <= breach_at]
        merges = [each for each in world.merges if each.arrived_at <= breach_at]
        home, value = as_known(said, merges, customer, announced_at)
        assert home == customer
        assert breach_at in [one.breach_at for one in broken(codec.unpack(value))]


@given(STEPS)
def test_merges_that_name_nobody_with_a_promise_cost_nothing(steps: list[tuple[object, ...]]) -> None:
    """Nothing is sent, and nobody is asked."""
    world = played([step for step in steps if step[0] != "merge"])
    world.merge("eva", "zoe")
    world.settle()
    assert not any(log for (topic, _), log in world.logs.items() if topic == JOINED)


def test_the_record_of_the_other_id_is_told_back_and_says_where_the_promise_is_judged() -> None:
    """A breach of what turns out to be another record's promise is taken back."""
    mine, earlier = promised(10, 60), replace(promised(0, 200), customer_id="ben")
    identity = record_key("ana", "order_ready", "o1"), PromiseKind.ORDER_READY, "ana", "o1"
    alone = judge(identity, (mine,), RULES, at(70))
    assert alone.state == State.BROKEN
    found = fold(alone, [earlier], RULES)
    assert (found.state, found.breach_at) == (State.NOTED, at(203))
    assert transition(alone, found) == Transition.RETRACTED
    assert transition(judge(identity, (mine,), RULES, at(55)), found) == Transition.RENEGOTIATED
    told = explain(found)
    assert told.headline == "Order o1 to be ready for customer ana: judged as ben's"
    assert told.reasoning[-1] == "See: puntual explain ben/order_ready/o1"
    assert told.timeline[0].what.endswith(", told of ben, who is the same customer")


HOME = b"cat/order_ready/o1"
SHARED = codec.pack(
    judge((b"ana/order_ready/o1", PromiseKind.ORDER_READY, "ana", "o1"), (promised(0, 60),), RULES, NOON)
)


@pytest.mark.parametrize(
    ("key", "value", "headers", "reason"),
    [
        (None, None, (), b"invalid"),
        (HOME, b"\xff", (), b"invalid"),
        (b"cat", SHARED, (), b"invalid"),
        (b"~o1/order_ready/o1", SHARED, (), b"no_customer"),
        (b"cat/order_ready/o2", SHARED, (), b"invalid"),
        (b"cat/callback/o1", SHARED, (), b"invalid"),
        (b"dan/order_ready/o1", SHARED, (), b"misplaced"),
        (HOME, codec.pack(replace(codec.unpack(SHARED), state=99)), (), b"not_understood"),
        (None, None, [("ask", b"1 2")], b"invalid"),
    ],
)
def test_what_others_write_among_what_is_shared_is_set_aside(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], reason: bytes
) -> None:
    """With its reason; what comes behind it is taken in."""
    worker = World().workers[2]
    messages = [FakeMessage(0, 0, key, value, headers), FakeMessage(1, 1, HOME, SHARED)]
    letter, record = worker.keeper.process(JOINED, 2, messages, NOON).writes
    assert (letter.topic, dict(letter.headers)["reason"]) == ("dead", reason)
    assert (record.topic, record.key) == (RECORDS, HOME)


def test_what_is_promised_under_another_id_is_no_orphan() -> None:
    """Neither where it was fulfilled nor what stands beside it; what nobody promised is one, once."""
    given, done = replace(promised(0, 60), customer_id="ben"), fulfilled(30)
    identity = record_key("ana", "order_ready", "o1"), PromiseKind.ORDER_READY, "ana", "o1"
    assert orphan_of(judge(identity, (given, done), RULES, at(70)), lambda _: None) is None
    assert orphan_of(judge(identity, (done,), RULES, at(70)), lambda _: None) == done
    assert orphan_of(judge(identity, (replace(done, customer_id="ben"),), RULES, at(70)), lambda _: None) is None
    delivered = record_key("ana", "order_delivered", "o1"), PromiseKind.ORDER_DELIVERED, "ana", "o1"
    beside = judge(identity, (given, done), RULES, at(70))
    assert orphan_of(judge(delivered, (done,), RULES, at(70)), lambda _: beside) is None
