"""Two documents beside each other: counts, rates and what would end otherwise."""

from collections import Counter

import pytest

from services.shared.facts import Context
from services.sla.backtest import Example, Flip, Group, Rate, Tally, outcome, rates
from services.sla.model import Cycle, FactKind, State
from services.sla.standards import Standards
from tests.unit.sla.builders import CLOCK, GOAL, STANDARDS, a_fact, at, minutes, standards

STARTED, STOPPED, REOPENED = FactKind.STARTED, FactKind.STOPPED, FactKind.REOPENED
STRICT = standards(GOAL._replace(limit=minutes(30), preferred=None))
PLACE = Context(team="blue", site="Vigo")
ANSWERED = [a_fact(STARTED, 0, context=PLACE), a_fact(STOPPED, 45)]
BOTH = (STANDARDS, STRICT)
GROUP = Group("within the hour", "first_reply", "blue", "Vigo")
FLIP = Flip("first_reply", "kept", "broken")


def tally(sides: tuple[Standards, ...] = BOTH) -> Tally:
    """Of one case."""
    found = Tally.of(len(sides))
    found.take(CLOCK, ANSWERED, sides, at(99))
    return found


def test_each_side_counts_for_itself() -> None:
    """By policy, metric, team and site."""
    assert tally().counts == ({GROUP: Counter({State.MET: 1})}, {GROUP: Counter({State.MISSED: 1})})
    assert tally((STRICT,)).counts == ({GROUP: Counter({State.MISSED: 1})},)
    assert not tally((STRICT,)).flips


def test_what_would_end_otherwise_is_counted_and_shown() -> None:
    """With what a person needs to look at it."""
    found = tally()
    assert found.flips == {FLIP: 1}
    policy = "within the hour"
    assert found.examples[FLIP] == [Example("c-1/first_reply/mail-9", 1, at(0), at(45), policy, policy, at(60), at(30))]
    assert not tally((STANDARDS, STANDARDS)).flips


def test_shares_add_up() -> None:
    """In whatever order they come; of the examples the first are kept."""
    one, other = tally(), Tally.of(2)
    for number in range(20):
        key = b"c-%02d/first_reply/m" % number
        other.take((key, *CLOCK[1:]), ANSWERED, BOTH, at(99))
    one.add(other)
    other.add(tally())
    assert one == other
    assert one.flips == {FLIP: 21}
    assert [each.record_id for each in one.examples[FLIP]] == [
        "c-00/first_reply/m",
        *(f"c-{number:02}/first_reply/m" for number in range(1, 5)),
    ]


def test_what_only_one_document_times_is_left_out_by_the_other() -> None:
    """A metric that is new, or no more."""
    policy = STANDARDS.versions[0].book.policies[0]
    others = policy._replace(goals={"resolution": GOAL})
    without = Standards.of(STANDARDS.versions[0].book._replace(policies=[others]))
    found = tally((without, STANDARDS))
    assert found.counts == ({}, {GROUP: Counter({State.MET: 1})})
    assert found.flips == {Flip("first_reply", "left out", "kept"): 1}


@pytest.mark.parametrize(
    ("cycle", "expected"),
    [
        (None, "left out"),
        (Cycle(State.NOTED), "left out"),
        (Cycle(State.CANCELLED, "p"), "left out"),
        (Cycle(State.MET, "p"), "kept"),
        (Cycle(State.MISSED, "p"), "broken"),
        (Cycle(State.BREACHED, "p"), "broken"),
        (Cycle(State.RUNNING, "p"), "open"),
        (Cycle(State.AT_RISK, "p"), "open"),
        (Cycle(State.PAUSED, "p"), "open"),
    ],
)
def test_paused_is_not_kept_and_what_was_called_off_is_left_out(cycle: Cycle | None, expected: str) -> None:
    """What is over is kept or broken."""
    assert outcome(cycle) == expected


def test_rates_are_of_what_is_over() -> None:
    """With the denominators beside them."""
    counts: dict[Group, Counter[int]] = {
        GROUP: Counter({State.MET: 3, State.MISSED: 1, State.PAUSED: 5}),
        GROUP._replace(team="red"): Counter({State.BREACHED: 1, State.CANCELLED: 2}),
        GROUP._replace(policy="", team="red"): Counter({State.NOTED: 4}),
    }
    by_team = rates(counts, ("team",))
    assert by_team == {("blue",): Rate(3, 1, 5, 0), ("red",): Rate(0, 1, 0, 6)}
    assert [rate.share for rate in by_team.values()] == [0.75, 0.0]
    assert Rate(0, 0, 3, 1).share is None
