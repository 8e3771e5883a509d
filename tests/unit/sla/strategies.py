"""Any facts, in any shape that input can take."""

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import strategies as st

from services.shared.facts import NO_CONTEXT, Context, Stated
from services.sla.model import NONE, Fact, FactKind
from services.sla.policies import PolicyBook, read_policies
from services.sla.runs import BOOKED
from services.sla.standards import Standards, Version
from tests.unit.sla.builders import STANDARDS, at

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


def cases() -> st.SearchStrategy[Stated]:
    """A priority, or nothing stated."""
    return st.sampled_from([NO_CONTEXT, ("email", "urgent"), ("", "low")])


_WINDOWS = (at(30), at(90)), (at(60), at(120))


def _fact(minutes: float, source: str, event_id: str, kind: FactKind, context: Stated, case: Stated) -> Fact:
    window, what = (NONE, NONE), "replied (automatic)"
    if kind == FactKind.HELD:
        what = event_id
    elif kind == FactKind.SCHEDULED:  # few windows, so that some are told once more, or booked again
        window, what = _WINDOWS[event_id in "aceg"], BOOKED if event_id in "abcd" else "rescheduled"
    return Fact(at(minutes), source, event_id, kind, what, context, case, *window)


def crowded_facts() -> st.SearchStrategy[Fact]:
    """One fact, at one of very few instants."""
    return facts(FactKind, st.sampled_from([0.0, 20.0, 60.0]))


def facts(
    kinds: Iterable[FactKind] = FactKind, minutes: st.SearchStrategy[float] = _MINUTES
) -> st.SearchStrategy[Fact]:
    """One fact. Few ids, so that some come twice, and a few of those with other content."""
    return st.builds(
        _fact,
        minutes,
        st.sampled_from(["crm", "operator"]),
        st.sampled_from("abcdefg"),
        st.sampled_from(list(kinds)),
        contexts(),
        cases(),
    )


def fact_sets(kinds: Iterable[FactKind] = FactKind) -> st.SearchStrategy[list[Fact]]:
    """At least one fact."""
    return st.lists(facts(kinds), min_size=1, max_size=7)


def _standards(text: str) -> PolicyBook:
    return read_policies(CALENDARS + text, "test", lambda _place, _year: {})


CALENDARS = """
calendars:
  always: {zone: UTC, hours: {mon-sun: "00:00-24:00"}}
  office: {zone: Europe/Madrid, hours: {mon-fri: "09:00-13:15, 13:30-14:00, 14:40-18:00"}}
"""
_GOAL = "{limit: 60min, preferred: 20min, warnings: [30min, 15min], grace: 2min}"
_PAUSED = _standards(f"""
version: "paused"
policies: [{{name: all, calendar: always, pauses: {{reasons: [a, b, c]}}, targets: {{first_reply: {_GOAL}}}}}]
""")
_OFFICE = _standards("""
version: "office"
policies:
  - name: urgent
    when: {any: [{priority: urgent}, {team: blue}]}
    calendar: office
    pauses: {longest: 30 business minutes}
    targets: {first_reply: {limit: 40 business minutes, warnings: [10 business minutes], grace: 1min}}
  - name: others
    when: {not: {site: Vigo}}
    calendar: office
    pauses: {longest: 20min}
    targets: {first_reply: {limit: 1 business hour, preferred: 10 business minutes}}
""")
_OPEN = _OFFICE._replace(version="moving", apply_to_open=True)
_LAST = _PAUSED._replace(version="last", apply_to_open=True)
#: Whatever a clock may be judged by.
ALL_STANDARDS = (
    STANDARDS,
    Standards.of(_PAUSED),
    Standards.of(_OFFICE),
    Standards((Version(_PAUSED, NONE), Version(_OPEN, at(30)), Version(_OFFICE, at(60)), Version(_LAST, at(90)))),
)


@st.composite
def deliveries(draw: st.DrawFn, facts: list[Fact]) -> list[list[Fact]]:
    """The facts as input brings them: shuffled, some twice, cut into batches."""
    repeated = draw(st.lists(st.sampled_from(facts), max_size=4))
    stream = draw(st.permutations(facts + repeated))
    cuts = draw(st.sets(st.integers(1, max(len(stream) - 1, 1)), max_size=3))
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    return [list(stream[start:end]) for start, end in pairwise(edges)]
