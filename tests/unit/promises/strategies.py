"""Any facts, in any shape that input can take."""

from itertools import pairwise

from hypothesis import strategies as st
from msgspec.structs import replace

from services.promises.model import Consent, Fact, FactKind, Party
from services.shared.facts import NO_CONTEXT, Context, Stated
from tests.unit.promises.builders import a_fact

#: Around the instants that matter (due, tolerance, grace, warning, half of the time given), and a microsecond later.
_EDGES = [-30.0, 0.0, 30.0, 50.0, 60.0, 62.0, 63.0, 80.0, 90.0, 92.0, 93.0]
_MINUTES = st.one_of(
    st.sampled_from([30.0, 62.0]),  # often the same, as in exports that have days only
    st.sampled_from(_EDGES),
    st.sampled_from(_EDGES).map(lambda minutes: minutes + 1 / 60_000_000),
    st.integers(-60, 150).map(float),
)
_DATED = {FactKind.PROMISED, FactKind.RENEGOTIATED}


def instants() -> st.SearchStrategy[float]:
    """Minutes after noon."""
    return _MINUTES


def contexts() -> st.SearchStrategy[Stated]:
    """Something or nothing stated."""
    return st.builds(
        lambda team, site: Context(team=team, site=site) if team or site else NO_CONTEXT,
        st.sampled_from(["", "blue", "red"]),
        st.sampled_from(["", "Vigo"]),
    )


@st.composite
def facts(draw: st.DrawFn, *kinds: FactKind) -> Fact:
    """One fact, of these kinds or any. Few ids, so that some come twice, and a few of those with other content."""
    kind = draw(st.sampled_from(kinds or tuple(FactKind)))
    return a_fact(
        kind,
        draw(_MINUTES),
        due=draw(_MINUTES) if kind in _DATED else None,
        by=draw(st.sampled_from(Party)),
        consent=draw(st.sampled_from(Consent)),
        source=draw(st.sampled_from(["shop", "operator"])),
        event_id=draw(st.sampled_from("abcdefgh")),
        context=draw(contexts()),
        sequence=draw(st.sampled_from([0, 0, 1, 2])),
    )


def fact_sets() -> st.SearchStrategy[list[Fact]]:
    """At least one fact, mostly with a promise among them."""
    return promised_with() | st.lists(facts(), min_size=1, max_size=6)


def promised_with(*kinds: FactKind) -> st.SearchStrategy[list[Fact]]:
    """A promise, and facts of these kinds or any."""
    return st.builds(
        lambda word, others: [replace(word, event_id="word"), *others],
        facts(FactKind.PROMISED),
        st.lists(facts(*kinds), max_size=6),
    )


@st.composite
def deliveries(draw: st.DrawFn, facts: list[Fact]) -> list[list[Fact]]:
    """The facts as input brings them: shuffled, some twice, cut into batches."""
    repeated = draw(st.lists(st.sampled_from(facts), max_size=4))
    stream = draw(st.permutations(facts + repeated))
    cuts = draw(st.sets(st.integers(1, max(len(stream) - 1, 1)), max_size=3))
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    return [list(stream[start:end]) for start, end in pairwise(edges)]
