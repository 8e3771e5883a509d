"""What is held back is told when that ends, if it is still open; nothing is told twice, and what is over is told."""

from services.notifier.beliefs import Receivers
from services.notifier.holds import Holds, Inhibition, Once, Silence, Window
from services.notifier.incident import ItemSeen, Plan
from services.notifier.items import Severity, Standing
from services.notifier.responses import Action
from tests.unit.notifier.builders import at, seen
from tests.unit.notifier.test_responses import STAIRS, Story, plan_of

BROKEN, LATE = Standing.BROKEN, Standing.FULFILLED_LATE
ORDERS = {"kind": frozenset({"order_ready"})}


def silence(start: float, end: float) -> Silence:
    """Of all orders, in minutes."""
    return Silence("s-1", ORDERS, at(start), at(end))


def silenced(*silences: Silence) -> Plan:
    """With the steps of an escalation."""
    holds = Holds()
    holds.follow(silences, at(0))
    return STAIRS._replace(holds=holds)


def minor(minute: int, subject: str = "A-1") -> ItemSeen:
    """A breach that is not critical."""
    fact = seen(BROKEN, minute, subject=subject)
    return fact._replace(item=fact.item._replace(severity=Severity.WARNING))


def test_a_breach_is_told_when_its_silence_ends_and_escalates_from_then_on() -> None:
    """Not before, and not twice."""
    story = Story(silenced(silence(0, 60))).sees(BROKEN, 1)
    assert story.waits(59) == []
    assert story.state == "open"
    assert story.waits(75) == [(60, "mail", "breach"), (70, "boss", "escalation")]


def test_what_is_over_when_its_silence_ends_is_never_told() -> None:
    """It was nobody's trouble."""
    story = Story(silenced(silence(0, 60))).sees(BROKEN, 1).sees(LATE, 30)
    assert story.waits(500) == []
    assert story.state == "resolved"


def test_that_something_is_over_is_told_whatever_is_silenced() -> None:
    """To whoever was told of it."""
    story = Story(silenced(silence(5, 60))).sees(BROKEN, 1).sees(LATE, 6)
    assert story.waits(10) == [(1, "mail", "breach"), (6, "mail", "resolved")]


def test_a_silence_holds_back_the_escalation_too() -> None:
    """It begins anew when the silence ends."""
    story = Story(silenced(silence(5, 60))).sees(BROKEN, 1)
    assert story.waits(69) == [(1, "mail", "breach")]
    assert story.waits(75) == [(70, "boss", "escalation")]


def test_an_acknowledgement_that_lapses_in_a_silence_is_told_after_it() -> None:
    """Nobody is reminded meanwhile."""
    story = Story(silenced(silence(5, 100))).sees(BROKEN, 1).answers(Action.ACKNOWLEDGE, "mail", 2)
    assert story.waits(99) == [(1, "mail", "breach")]
    assert story.waits(101) == [(100, "mail", "reminder")]


def test_what_a_silence_held_back_is_told_at_once_when_somebody_ends_it() -> None:
    """And one that comes later holds back what is not told yet: here, the escalation."""
    plan = silenced(silence(0, 600))
    story = Story(plan).sees(BROKEN, 1)
    assert story.waits(6) == []
    plan.holds.follow([], at(6))
    assert story.waits(7) == [(6, "mail", "breach")]
    plan.holds.follow([silence(8, 40)], at(8))
    assert story.waits(39) == []
    assert story.waits(55) == [(50, "boss", "escalation")]


def test_maintenance_holds_back_what_it_matches_and_nothing_else() -> None:
    """The other is told at once."""
    stocktaking = Window("stocktaking", {"severity": frozenset({"warning"})}, Once(at(0), at(30)))
    story = Story(plan_of(Receivers({"mail": "email"}))._replace(holds=Holds([stocktaking])))
    story.hears(minor(1)).sees(BROKEN, 2, subject="A-2")
    assert story.waits(31) == [(2, "mail", "breach"), (30, "mail", "breach")]


def test_what_follows_from_other_trouble_waits_for_its_end() -> None:
    """Then it is told if it is still open."""
    rule = Inhibition({"severity": frozenset({"critical"})}, {"severity": frozenset({"warning"})})
    story = Story(plan_of(Receivers({"mail": "email"}))._replace(holds=Holds((), [rule])))
    story.sees(BROKEN, 1).waits_quietly(2).hears(minor(2, "A-2"))
    assert story.waits(60) == [(1, "mail", "breach")]
    assert story.sees(LATE, 61).waits(62) == [(61, "mail", "breach"), (61, "mail", "resolved")]


def test_quiet_hours_are_one_targets_own() -> None:
    """The other hears at once; and what is critical passes."""
    holds = Holds(quiet_hours={"mail": Once(at(0), at(60))})
    plan = plan_of(Receivers({"mail": "email", "hook": "webhook"}))._replace(holds=holds)
    story = Story(plan).waits_quietly(1).hears(minor(1)).sees(BROKEN, 3, subject="A-2")
    assert story.waits(5) == [(1, "hook", "breach"), (3, "hook", "breach"), (3, "mail", "breach")]
    assert story.waits(61) == [(60, "mail", "breach")]
