"""What of its time counts for a clock, and what its pauses take of it. Minutes after noon."""

from collections import Counter

import pytest

from services.shared.facts import Context
from services.shared.working_time import Hours, WorkingTime
from services.sla.backtest import Pause, Tally
from services.sla.explain import explain
from services.sla.model import NONE, Fact, FactKind
from services.sla.policies import Goal, Pauses
from services.sla.standards import Standards, Version
from services.sla.targets import parse_target
from tests.unit.sla.builders import CLOCK, GOAL, MINUTE, a_fact, at, judged, standards

STARTED, STOPPED, REOPENED = FactKind.STARTED, FactKind.STOPPED, FactKind.REOPENED
HELD, RESUMED, OTHER = FactKind.HELD, FactKind.RESUMED, FactKind.OTHER
MORNING = WorkingTime("morning", "UTC", [[Hours(9 * 60, 12 * 60 + 30)]] * 7)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], [("1 h 00 min", "runs around the clock")]),
        # what is held after the limit, or after the stop, has no part in it
        ([(HELD, 70), (RESUMED, 80)], [("1 h 00 min", "runs around the clock")]),
        ([(STOPPED, 20), (HELD, 30)], [("20 min", "runs around the clock")]),
        ([(STOPPED, -5), (HELD, -9)], []),
        # as far as facts reach
        ([(HELD, 10), (OTHER, 30)], [("10 min", "runs around the clock"), ("20 min", "held")]),
    ],
)
def test_the_intervals_end_where_the_verdict_does(
    events: list[tuple[FactKind, float]], expected: list[tuple[str, str]]
) -> None:
    """At the stop or the limit; of what is held without an end with the last fact."""
    by = standards(Goal(parse_target("1h"), pauses=Pauses(None)))
    facts = [Fact(at(minute), "crm", f"e{minute}", kind) for kind, minute in events]
    told = explain(judged(a_fact(STARTED, 0), *facts, minutes=99, by=by), by)
    assert [(each.length, each.why) for each in told.intervals] == expected


@pytest.mark.parametrize("limit", ["window", "2 contacts"])
def test_where_no_time_is_counted_there_are_no_intervals(limit: str) -> None:
    """But a window that ends, or a contact too many."""
    by = standards(Goal(parse_target(limit)))
    kinds = (STARTED, 0), (STARTED, 5), (REOPENED, 9), (STOPPED, 10)
    assert explain(judged(*(a_fact(*each) for each in kinds), minutes=99, by=by), by).intervals == ()


@pytest.mark.parametrize(
    ("limit", "events", "now", "expected"),
    [
        ("1h", [(HELD, 10), (RESUMED, 30)], 99, [20]),
        ("1h", [(HELD, -10), (RESUMED, 0)], 99, []),  # it had not begun
        ("1h", [(HELD, 10)], 50, [40]),  # until now
        ("1h", [(HELD, 10)], 5, [0]),
        ("1h", [(HELD, 10), (RESUMED, 30), (STOPPED, 40), (REOPENED, 50), (HELD, 55)], 99, [20, 44]),
        ("2 business hours", [(HELD, 10), (RESUMED, 90)], 99, [20]),
    ],
)
def test_pauses_are_counted_with_what_they_took_of_the_clock(
    limit: str, events: list[tuple[FactKind, float]], now: float, expected: list[float]
) -> None:
    """In minutes; of business time, where only that counts, until half past twelve."""
    goal = Goal(parse_target(limit), pauses=Pauses(None))
    book = standards(goal).versions[0].book._replace(calendars={"always": MORNING})
    found = Tally.of(1)
    facts = [a_fact(STARTED, 0, context=Context(team="blue")), *(a_fact(*each) for each in events)]
    found.take(CLOCK, facts, (Standards.of(book),), at(now))
    held = Pause("held", "blue")
    assert found.pauses == (Counter({held: len(expected)} if expected else {}),)
    assert found.paused == (Counter({held: sum(expected) * MINUTE} if expected else {}),)


def test_a_pause_is_shown_by_reason_however_often_it_was_told() -> None:
    """Held for the customer, twice said, then for parts: one pause of half an hour at most, in two parts."""
    goal = Goal(parse_target("1h"), pauses=Pauses(None, parse_target("30min")))
    said = ((10, "customer"), (15, "customer"), (20, "parts"), (39, "parts"), (45, "customer"))
    held = [Fact(at(minute), "crm", f"h{minute}", HELD, reason) for minute, reason in said]
    clock = judged(a_fact(STARTED, 0), *held, minutes=99, by=standards(goal))
    told = [(each.length, each.why) for each in explain(clock, standards(goal)).intervals]
    runs = "runs around the clock"
    assert told == [("10 min", runs), ("10 min", "held: customer"), ("20 min", "held: parts"), ("50 min", runs)]
    found = Tally.of(1)
    found.take(CLOCK, clock.facts, (standards(goal),), at(99))
    by_reason = {"customer": (1, 10 * MINUTE), "parts": (1, 20 * MINUTE)}
    assert {pause.reason: (found.pauses[0][pause], found.paused[0][pause]) for pause in found.pauses[0]} == by_reason


def test_pauses_are_those_that_the_policy_of_each_cycle_allows() -> None:
    """The first has none, the second does."""
    first, later = (standards(GOAL._replace(pauses=pauses)).versions[0].book for pauses in (None, Pauses(None)))
    both = Standards((Version(first, NONE), Version(later._replace(version="8"), at(20))))
    found = Tally.of(1)
    events = (STARTED, 0), (HELD, 5), (RESUMED, 9), (STOPPED, 10), (REOPENED, 20), (HELD, 25), (RESUMED, 28)
    found.take(CLOCK, [a_fact(*each) for each in events], (both,), at(99))
    assert found.paused == (Counter({Pause("held", ""): 3 * MINUTE}),)
