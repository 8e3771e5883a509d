"""Clocks and facts for tests, around noon of one day."""

from datetime import timedelta

from services.shared.facts import NO_CONTEXT, Stated, merge
from services.shared.instant import Instant, micros, parse_instant
from services.shared.keys import record_key
from services.shared.working_time import Hours, WorkingTime
from services.sla.codec import identity
from services.sla.conditions import ALWAYS
from services.sla.domain import judge
from services.sla.model import Clock, Fact, FactKind, Identity
from services.sla.policies import METRICS, Goal, Policy, PolicyBook
from services.sla.standards import Standards
from services.sla.targets import Target, Unit

NOON = parse_instant("2026-03-02T12:00:00Z")
MINUTE = micros(timedelta(minutes=1))


def minutes(amount: float) -> Target:
    """Around the clock."""
    return Target(Unit.TIME, round(amount * MINUTE))


def standards(goal: Goal, horizon: int | None = None) -> Standards:
    """One policy for everything."""
    policy = Policy("within the hour", ALWAYS, "always", dict.fromkeys(METRICS, goal))
    return Standards.of(PolicyBook("7", [policy], {"always": ALWAYS_OPEN}, {}), horizon)


ALWAYS_OPEN = WorkingTime("always", "UTC", [[Hours(0, 24 * 60)]] * 7)
#: Limit an hour, preferred 20 minutes, warning 15 minutes before the limit, grace 2 minutes.
GOAL = Goal(minutes(60), minutes(20), (minutes(15),), 2 * MINUTE)
STANDARDS = standards(GOAL)
CLOCK: Identity = identity(record_key("c-1", "first_reply", "mail-9"))


def at(minutes: float) -> Instant:
    """That many minutes after noon."""
    return Instant(NOON + round(minutes * MINUTE))


def a_fact(kind: FactKind, minutes: float, event_id: str = "", context: Stated = NO_CONTEXT) -> Fact:
    """A fact of the crm; its id follows from kind and time where none is given."""
    name = event_id or f"{kind.name}@{minutes}"
    return Fact(at(minutes), "crm", name, kind, kind.name.lower(), context)


def judged(*facts: Fact, minutes: float = 0, by: Standards = STANDARDS) -> Clock:
    """The clock with these facts as of that many minutes after noon."""
    return judge(CLOCK, merge((), facts), by, at(minutes))
