"""The arithmetic behind a verdict: every stretch of time from start to end, counted or left out, and why."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from services.shared.instant import Instant
from services.shared.working_time import Period, WorkingTime
from services.sla.domain import ruling_of
from services.sla.model import Clock, Cycle
from services.sla.policies import Goal
from services.sla.runs import Case, Hold, Run, case_of
from services.sla.standards import Ruling, Standards
from services.sla.targets import Unit, keeps_hours
from services.sla.verdicts import Pause, pauses


class Stretch(NamedTuple):
    """Some time, not empty."""

    start: Instant
    end: Instant
    counts: bool
    why: str


class Evidence(NamedTuple):
    """Of one cycle of a clock."""

    goal: Goal
    stretches: Sequence[Stretch]


def evidence_of(clock: Clock, standards: Standards) -> list[Evidence | None]:
    """For each cycle: until it was stopped or is due, or as far as facts reach; None where no policy judges it."""
    case = case_of(clock.facts, clock.metric)
    found: list[Evidence | None] = []
    for run, cycle, ruling in _ruled(clock, case, standards):
        until = cycle.stopped_at or cycle.due_at or case.facts[-1].occurred_at
        found.append(ruling and Evidence(ruling.goal, stretches(run, case, ruling.goal, ruling.calendar, until)))
    return found


def _ruled(clock: Clock, case: Case, standards: Standards) -> Iterator[tuple[Run, Cycle, Ruling | None]]:
    for run, cycle in zip(case.runs, (*clock.earlier, clock.cycle), strict=False):  # a newer version may see others
        version = standards.named(cycle.version)
        yield run, cycle, ruling_of(clock.metric, run, case, version) if version else None


class Held(NamedTuple):
    """A pause of a clock that is over, or has lasted until now."""

    reason: str
    #: Microseconds of it that would have counted.
    counted: int


def pauses_of(clock: Clock, standards: Standards, now: Instant) -> Iterator[Held]:
    """All that let its cycles stand still."""
    case = case_of(clock.facts, clock.metric)
    if not case.holds:
        return
    for run, _, ruling in _ruled(clock, case, standards):
        if ruling is None or ruling.goal.pauses is None:
            continue
        _, goal, calendar = ruling
        for start, end, reason in _holds(pauses(run, case, ruling.goal.pauses, calendar)):
            until = max(end or now, start)
            yield Held(reason, calendar.measure(start, until) if keeps_hours(goal.limit) else until - start)


def _holds(stops: Iterable[Pause]) -> Iterator[Hold]:
    """Pauses, reason by reason."""
    for stop in stops:
        yield from stop.holds


def stretches(run: Run, case: Case, goal: Goal, calendar: WorkingTime, until: Instant) -> list[Stretch]:
    """From the start of a run until an instant, in order and without gaps; none where no time is counted."""
    if goal.limit.unit in {Unit.WINDOW, Unit.CONTACTS}:
        return []
    stops = pauses(run, case, goal.pauses, calendar) if goal.pauses else []
    found: list[Stretch] = []
    at = run.started_at
    for hold in _holds(stops):
        start, end = min(hold.start, until), min(hold.end or until, until)
        found.extend(_worked(at, start, goal, calendar))
        if start < end:
            found.append(Stretch(start, end, counts=False, why=_held(hold)))
        at = end
    found.extend(_worked(at, until, goal, calendar))
    return found


def counted(found: Sequence[Stretch]) -> int:
    """Microseconds that count."""
    return sum(stretch.end - stretch.start for stretch in found if stretch.counts)


def _held(hold: Hold) -> str:
    return f"held: {hold.reason}" if hold.reason else "held"


def _worked(start: Instant, end: Instant, goal: Goal, calendar: WorkingTime) -> Iterator[Stretch]:
    if start >= end:
        return
    if not keeps_hours(goal.limit):
        yield Stretch(start, end, counts=True, why="runs around the clock")
        return
    for period in calendar.periods(start, end):
        yield Stretch(period.start, period.end, period.counts, "open" if period.counts else _closed(period, calendar))


def _closed(period: Period, calendar: WorkingTime) -> str:
    names = [special.name for _, special in calendar.special_days(period.start, period.end) if not special.hours]
    return f"closed: {', '.join(names)}" if names else "closed"
