"""Facts as a set, and the context they state; the laws of each service are tested with it."""

from hypothesis import example, given, strategies as st
from librt.strings import BytesWriter

from puntual.promises.v1.promise_pb2 import Context as Message, Promise
from services.shared.contexts import put_context, read_context, unpack_context
from services.shared.facts import NO_CONTEXT, Context, Stated, last_stated, merge
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
