"""What one more event costs a clock that has very many: never more than in proportion to them."""

from collections.abc import Callable, Sequence

import pytest

from services.shared.facts import NO_CONTEXT, Context, Stated
from services.shared.instant import Instant
from services.sla.domain import fold, judge
from services.sla.model import NONE, Fact, FactKind
from services.sla.policies import read_policies
from services.sla.standards import Standards
from tests.growth import growth
from tests.unit.sla.builders import CLOCK, at
from tests.unit.sla.strategies import CALENDARS

#: What every fact can change the policy, the calendar and the pauses of.
BY = Standards.of(
    read_policies(
        CALENDARS
        + """
version: "7"
sites: {Vigo: office}
policies:
  - name: urgent
    when: {priority: urgent}
    calendar: always
    pauses: {longest: 20 business minutes}
    targets: {first_reply: {limit: 30 calendar days}, resolution: {limit: 30 calendar days}}
  - name: others
    calendar: always
    pauses: {}
    targets: {first_reply: {limit: 60 calendar days}, resolution: {limit: 60 calendar days}}
""",
        "test",
        lambda _place, _year: {},
    )
)
K = FactKind
#: What the facts do, over and over.
STORIES = {
    "each states something else": (K.STARTED, K.OTHER),
    "held without end": (K.STARTED, K.HELD, K.RESUMED),
    "begun again and again": (K.STARTED, K.HELD, K.STOPPED, K.REOPENED),
    "called off again and again": (K.STARTED, K.CANCELLED, K.REOPENED, K.HELD),
    "renewed": (K.STARTED, K.RENEWED, K.HELD),
}


def a_story(kinds: Sequence[FactKind], count: int) -> tuple[Fact, ...]:
    """So many facts, a second apart, of which each states another priority, site and team than the one before."""
    facts = []
    for number in range(count):
        case: Stated = ("email", "urgent" if number % 2 else "low")
        context = Context(site="Vigo" if number % 3 else "Lugo", team=f"team {number}") if number % 5 else NO_CONTEXT
        facts.append(
            Fact(at(number / 60), "crm", f"{number:06}", kinds[number % len(kinds)], "held", tuple(context), case)
        )
    return tuple(facts)


@pytest.mark.parametrize("kinds", STORIES.values(), ids=STORIES)
def test_one_event_more_costs_in_proportion_to_the_facts(kinds: Sequence[FactKind]) -> None:
    """Also where each states another policy, holds the case or begins a cycle."""

    def more(count: int) -> Callable[[], object]:
        *known, new = a_story(kinds, count)
        old = judge(CLOCK, tuple(known), BY, NONE)
        return lambda: fold(old, [new], BY)

    assert growth(more, 100) < 3


def test_what_is_stated_counts_as_it_did_however_it_is_found() -> None:
    """By the last that was stated until the limit passed."""
    facts = a_story(STORIES["each states something else"], 50)
    for count in range(1, len(facts) + 1):
        last = judge(CLOCK, facts[:count], BY, Instant(NONE)).cycle
        assert last.policy == ("urgent" if facts[count - 1].case[1] == "urgent" else "others")
