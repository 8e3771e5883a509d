"""Facts as a set, and the context they state; the laws of each service are tested with it."""

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import example, given, strategies as st
from librt.strings import BytesWriter

from puntual.promises.v1.promise_pb2 import Context as Message, Promise
from services.shared.contexts import put_context, read_context, unpack_context
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.facts import MOST_FACTS, NO_CONTEXT, Context, Stated, are_apart, last_stated, merge
from services.shared.instant import Instant
from services.sla.model import Fact

_TEXTS = st.sampled_from(["", "Ana", "Vigo", "ñ" * 200])
CONTEXTS: st.SearchStrategy[Stated] = st.just(NO_CONTEXT) | st.tuples(*[_TEXTS] * len(Context._fields))
FACTS = st.lists(
    st.builds(
        lambda at, source, event_id, kind: Fact(Instant(at), source, event_id, kind),
        st.integers(1, 4),
        st.sampled_from(["crm", "shop"]),
        st.sampled_from("abc"),
        st.integers(1, 2),
    )
)


@example(batches=[[Fact(Instant(2), "crm", "a", 1)], [Fact(Instant(1), "crm", "b", 1)]])
@given(batches=st.lists(FACTS))
def test_facts_are_a_set_however_they_come(batches: list[list[Fact]]) -> None:
    """In order; of those with one id the smallest."""
    merged: tuple[Fact, ...] = ()
    for batch in batches:
        merged = merge(merged, batch)
    everything = [fact for batch in batches for fact in batch]
    smallest = {(fact.source, fact.event_id): fact for fact in sorted(everything, reverse=True)}
    assert merged == tuple(sorted(smallest.values()))


@pytest.mark.parametrize(
    ("times", "apart"), [((), True), ((1,), True), ((1, 2, 3), True), ((1, 2, 2), False), ((2, 1), False)]
)
def test_only_facts_that_are_each_later_than_the_last_need_no_other_order(times: tuple[int, ...], apart: bool) -> None:
    """What is of one instant, or out of order, does."""
    assert are_apart([Fact(Instant(at), "crm", str(number), 1) for number, at in enumerate(times)]) is apart


def crowd(times: Iterable[int]) -> list[Fact]:
    """A fact at each time, of an id of its own."""
    return [Fact(Instant(at), "crm", f"{at:06}", 1) for at in times]


@pytest.mark.parametrize("batch", [1, 7, 400])
def test_of_very_many_facts_the_earliest_are_kept_in_whatever_order_they_come(batch: int) -> None:
    """By the time of the events. Each that is not among them when it comes is refused, and only such."""
    facts = crowd(range(1, MOST_FACTS + 301))
    Random(batch).shuffle(facts)
    kept: tuple[Fact, ...] = ()
    for start in range(0, len(facts), batch):
        kept = taken(kept, facts[start : start + batch])
    assert kept == tuple(crowd(range(1, MOST_FACTS + 1)))


def taken(kept: tuple[Fact, ...], new: list[Fact]) -> tuple[Fact, ...]:
    """As the engine does it: where several are not taken together, each is tried."""
    try:
        return merge(kept, new)
    except Unusable as error:
        reason = error.reason
    assert reason == DeadLetterReason.TOO_MANY_FACTS
    if len(new) > 1:
        for fact in new:
            kept = taken(kept, [fact])
    else:
        assert len(kept) >= MOST_FACTS
        assert kept[-1] < new[0]
    return kept


def test_what_is_known_is_never_refused() -> None:
    """A full record takes its own facts again; one that an earlier version filled further keeps what it has."""
    full, fuller = tuple(crowd(range(1, MOST_FACTS + 1))), tuple(crowd(range(1, MOST_FACTS + 101)))
    for known in (full, fuller):
        assert merge(known, known[-3:]) == merge(known, known[-1:]) == known
        (early,) = crowd([0])
        assert merge(known, [early]) == (early, *known[:-1])


@given(contexts=st.lists(CONTEXTS, max_size=4))
def test_each_field_is_as_last_stated(contexts: list[Stated]) -> None:
    """What a later fact leaves out stays."""
    facts = [Fact(Instant(number), "crm", str(number), 1, "", context) for number, context in enumerate(contexts)]
    expected = dict.fromkeys(Context._fields, "")
    for context in contexts:
        expected |= {name: text for name, text in zip(Context._fields, context, strict=False) if text}
    assert any(contexts) or last_stated(facts) is NO_CONTEXT
    assert Context(*last_stated(facts)) == Context(**expected)


@given(context=CONTEXTS)
def test_a_context_survives_its_bytes(context: Stated) -> None:
    """On the wire as protobuf has it; what states nothing is no field, and the one that states nothing."""
    out = BytesWriter()
    put_context(out, 14, context)
    packed = out.getvalue()
    record = Promise.FromString(packed)
    assert record.SerializeToString() == packed
    assert record.HasField("context") == any(context)
    stated = context if any(context) else NO_CONTEXT
    assert unpack_context(record) == read_context(Message(**Context(*context)._asdict())) == stated
