"""Any facts, in any shape that input can take."""

from itertools import pairwise

from hypothesis import strategies as st

from services.shared.facts import NO_CONTEXT, Context, Stated
from services.sla.model import Fact, FactKind
from tests.unit.sla.builders import at

#: Whole and broken minutes around the instants that matter: start, 20, 45, 60, 62, and what moves with the start.
_MINUTES = st.one_of(
    st.sampled_from([0.0, 20.0, 45.0, 60.0, 62.0]),
    st.integers(-60, 150).map(float),
    st.builds(lambda minute: minute + 1 / 60_000_000, st.sampled_from([20.0, 45.0, 60.0, 62.0])),
)


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


def facts() -> st.SearchStrategy[Fact]:
    """One fact. Few ids, so that some come twice, and a few of those with other content."""
    return st.builds(
        lambda minutes, source, event_id, kind, what, context: Fact(at(minutes), source, event_id, kind, what, context),
        _MINUTES,
        st.sampled_from(["crm", "operator"]),
        st.sampled_from("abcdefg"),
        st.sampled_from(FactKind),
        st.sampled_from(["", "replied (automatic)"]),
        contexts(),
    )


def fact_sets() -> st.SearchStrategy[list[Fact]]:
    """At least one fact."""
    return st.lists(facts(), min_size=1, max_size=7)


@st.composite
def deliveries(draw: st.DrawFn, facts: list[Fact]) -> list[list[Fact]]:
    """The facts as input brings them: shuffled, some twice, cut into batches."""
    repeated = draw(st.lists(st.sampled_from(facts), max_size=4))
    stream = draw(st.permutations(facts + repeated))
    cuts = draw(st.sets(st.integers(1, max(len(stream) - 1, 1)), max_size=3))
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    return [list(stream[start:end]) for start, end in pairwise(edges)]
