"""An event id used again for something else is refused and counted with its source; arrival decides nothing."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from puntual.events.v1.order_event_pb2 import OrderEvent
from services.promises.codec import machine
from services.promises.rules import read_rules
from services.shared.engine.keeper import Keeper
from services.shared.engine.stage import Result
from services.shared.engine.store import PartitionStore
from services.shared.envelope import Limits
from services.shared.parsing import parse_fields
from tests.unit.engine.fakes import FakeMessage, Tally
from tests.unit.promises.builders import at

MACHINE = machine(read_rules(), Limits(now=lambda: at(9_000)))
HEAD = {"source": "till", "customer_id": "eva", "subject_id": "o-9"}
DUE = {"milestone": "MILESTONE_READY", "due": {"at": "2026-03-03T17:00:00Z"}}


def message(offset: int, event_id: str, minutes: int, **arm: Any) -> FakeMessage:
    """An event of the till, so many minutes past noon."""
    fields = HEAD | {"event_id": event_id, "occurred_at": f"2026-03-02T12:{minutes:02d}:00Z"} | arm
    return FakeMessage(offset, offset, b"eva", parse_fields(OrderEvent, fields).SerializeToString())


def a_keeper(tally: Tally) -> "Keeper[Any, Any]":
    keeper = Keeper(MACHINE, tally, dead_letters="dead", dead_letter_partitions=1)
    keeper.stores[0] = PartitionStore(MACHINE)
    return keeper


def process(keeper: "Keeper[Any, Any]", *messages: FakeMessage) -> Result:
    return keeper.process("puntual.orders.v1", 0, messages, at(60))


def refused(result: Result) -> dict[int, str]:
    """Offset → reason."""
    letters = [dict(write.headers) for write in result.ahead if write.topic == "dead"]
    return {int(letter["offset"]): letter["reason"].decode() for letter in letters}


def test_an_order_number_for_an_id_is_refused_at_its_second_event() -> None:
    """Counted with its source; the words say what to do, and not whose order it is."""
    tally = Tally()
    keeper = a_keeper(tally)
    assert refused(process(keeper, message(0, "o-9", 0, promised=DUE))) == {}
    result = process(keeper, message(1, "o-9", 30, ready={}))
    assert refused(result) == {1: "event_id_reused"}
    assert (tally.reusing, tally.refused) == ({"till": 1}, {"event_id_reused": 1})
    assert tally.outcomes == {"used": 1, "dead": 1}
    (letter,) = (write for write in result.ahead if write.topic == "dead")
    assert b"give each event an id of its own" in dict(letter.headers)["detail"]
    assert b"o-9" not in dict(letter.headers)["detail"]


def test_the_same_event_again_is_nothing() -> None:
    """Also with another number, as where a row stands twice in a file, and beside news."""
    tally = Tally()
    keeper = a_keeper(tally)
    process(keeper, message(0, "1", 0, promised=DUE))
    again = process(keeper, message(1, "1", 0, promised=DUE, sequence=7), message(2, "2", 30, ready={}))
    assert refused(again) == refused(process(keeper, message(3, "2", 30, ready={}))) == {}
    assert not tally.reusing


@pytest.mark.parametrize("together", [True, False])
def test_whichever_comes_second_is_refused_and_the_record_is_the_same(together: bool) -> None:
    """What happened first counts, though it came second and was refused."""
    ready: tuple[str, int, dict[str, Any]] = ("9", 30, {"ready": {}})
    promised: tuple[str, int, dict[str, Any]] = ("9", 0, {"promised": DUE})
    records = []
    for first, second in ((promised, ready), (ready, promised)):
        keeper = a_keeper(Tally())
        both = [message(offset, name, minutes, **arm) for offset, (name, minutes, arm) in enumerate((first, second))]
        results = [process(keeper, *both)] if together else [process(keeper, each) for each in both]
        assert [refused(result) for result in results][-1] == {1: "event_id_reused"}
        records.append(keeper.stores[0].packed(b"eva/order_ready/o-9"))
    assert records[0] == records[1]
    assert records[0] is not None


def test_another_source_may_use_the_same_id() -> None:
    """It is unique within its source only."""
    tally = Tally()
    keeper = a_keeper(tally)
    process(keeper, message(0, "9", 0, promised=DUE), message(1, "9", 30, ready={}, source="desk"))
    assert not tally.reusing


@settings(max_examples=60)
@given(data=st.data())
def test_law_1_holds_whatever_ids_are_used(data: st.DataObject) -> None:
    """Any order, repetition and batches of messages with few ids leave the same record."""
    arms: list[dict[str, Any]] = [{"ready": {}}, {"promised": DUE}, {"cancelled": {"by": 1}}, {"waived": {}}]
    drawn = data.draw(
        st.lists(
            st.tuples(st.sampled_from("ab"), st.sampled_from([0, 1, 2]), st.sampled_from(arms)), min_size=1, max_size=6
        )
    )
    records = []
    for _ in range(2):
        keeper = a_keeper(Tally())
        stream = [
            message(offset, name, at_, **arm)
            for offset, (name, at_, arm) in enumerate(data.draw(st.permutations(drawn)))
        ]
        cut = data.draw(st.integers(0, len(stream)))
        for batch in (stream[:cut], stream[cut:], stream):
            process(keeper, *batch)
        records.append(keeper.stores[0].packed(b"eva/order_ready/o-9"))
    assert records[0] == records[1]
