"""What a run of a clock is worth: by when it is due, and where it stands as of an instant. Pure.

* met: ended at or before `due_at`; what has a window may end before that begins;
* missed: ended after it, or never: called off after it and begun again;
* breached: not ended, and `breach_at` has passed. Grace only delays the announcement, for facts still on their way;
* cancelled: called off at or before `due_at` and not ended before that. Called off later, it excuses nothing;
* paused: held. A hold moves the limit by as much of it as would have counted. It ends with the run, or where the
  policy's longest pause does; until then, where there is no longest pause, nothing is due. What is paused is not met.

Holds without a gap are one pause, for whatever reasons, as long as each of them pauses: to say again that it is held
does not begin the longest pause anew. A hold for a reason that does not pause lets the clock run, as a resumption does.

A hold that begins when the limit has passed changes nothing, and nor does a priority or a team stated only then.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from services.shared.instant import Instant
from services.shared.working_time import NeverOpen, WorkingTime
from services.sla.model import NONE, State
from services.sla.policies import Goal, Pauses
from services.sla.runs import Case, Hold, Run
from services.sla.targets import Target, Unit, after, before, later

_RUNNING, _AT_RISK, _BREACHED, _PAUSED = State.RUNNING, State.AT_RISK, State.BREACHED, State.PAUSED


class Pause(NamedTuple):
    """Holds without a gap, as far as they make a run stand still."""

    start: Instant
    #: NONE: not known yet.
    end: Instant
    #: No fact has ended it: it lasts until `end`, if that is known.
    is_open: bool
    #: What it is made of, in order and without gaps.
    holds: Sequence[Hold]


class Verdict(NamedTuple):
    """Where a run stands. Instants are NONE where there is no such instant."""

    state: State
    due_at: Instant
    preferred_due_at: Instant
    warn_at: tuple[Instant, ...]
    breach_at: Instant
    stopped_at: Instant
    preferred_met: bool | None
    #: The last instant at which time alone changed the verdict, and the next.
    changed_at: Instant
    changes_at: Instant


def judge(run: Run, case: Case, goal: Goal, calendar: WorkingTime, now: Instant) -> Verdict:
    """As of an instant."""
    stops = pauses(run, case, goal.pauses, calendar) if case.holds and goal.pauses else ()
    due_at = _after(run, stops, case.contacts, goal.limit, calendar)
    preferred = _after(run, stops, case.contacts, goal.preferred, calendar) if goal.preferred else NONE
    warn_at = tuple(sorted([before(lead, due_at, calendar) for lead in goal.warnings])) if due_at else ()
    breach_at = Instant(due_at + goal.grace) if due_at else NONE
    state, changed_at, changes_at = _settled(run, due_at), NONE, NONE
    if not state:
        until = stops[-1].end if stops and stops[-1].is_open and not NONE < due_at <= stops[-1].start else None
        state, changed_at, changes_at = _open(until, warn_at, breach_at, now)
    stopped_at = run.ended_at if state in _ENDED else NONE
    preferred_met = stopped_at != NONE and (not preferred or stopped_at <= preferred)
    return Verdict(
        state, due_at, preferred, warn_at, breach_at, stopped_at,
        preferred_met if goal.preferred and state in _ANSWERABLE else None, changed_at, changes_at,
    )  # fmt: skip


_ENDED = frozenset({State.MET, State.MISSED})
#: States in which it is known whether the preferred level was met.
_ANSWERABLE = frozenset({State.BREACHED, State.MET, State.MISSED})


def _settled(run: Run, due_at: Instant) -> State | None:
    """What facts have decided; None where only time can tell."""
    ended_at, cancelled_at = run.ended_at, run.cancelled_at
    if cancelled_at and not (due_at and cancelled_at > due_at) and not NONE < ended_at <= cancelled_at:
        return State.CANCELLED
    if not ended_at:
        # Called off too late, and begun again since: nothing ends it any more.
        return State.MISSED if run.is_past else None
    return State.MISSED if due_at and ended_at > due_at else State.MET


def _open(
    until: Instant | None, warn_at: Sequence[Instant], breach_at: Instant, now: Instant
) -> tuple[State, Instant, Instant]:
    """Where it stands, and when that changed and changes by time. `until`: it is held until then, NONE for ever."""
    changes = [(at, _AT_RISK) for at in warn_at]
    if breach_at:
        changes.append((Instant(breach_at + 1), _BREACHED))
    state, changed_at = _RUNNING, NONE
    if until is not None:
        if not until or now < until:
            return _PAUSED, NONE, until
        state = _AT_RISK if any(at <= until for at, _ in changes) else _RUNNING
        changes, changed_at = [change for change in changes if change[0] > until], until
    for at, then in changes:
        if at > now:
            return state, changed_at, at
        state, changed_at = then, at
    return state, changed_at, NONE


def limit(run: Run, case: Case, goal: Goal, calendar: WorkingTime) -> Instant:
    """By when a run must be ended; NONE: not yet known."""
    stops = pauses(run, case, goal.pauses, calendar) if case.holds and goal.pauses else ()
    return _after(run, stops, case.contacts, goal.limit, calendar)


def _after(
    run: Run, stops: Sequence[Pause], contacts: Sequence[Instant], target: Target, calendar: WorkingTime
) -> Instant:
    """NONE also where so much time never comes: then nothing is due."""
    try:
        return _reckoned(run, stops, contacts, target, calendar)
    except NeverOpen:
        return NONE


def _reckoned(
    run: Run, stops: Sequence[Pause], contacts: Sequence[Instant], target: Target, calendar: WorkingTime
) -> Instant:
    if target.unit == Unit.WINDOW:
        return run.window_end
    if target.unit == Unit.CONTACTS:
        return Instant(max(run.started_at, contacts[target.amount])) if len(contacts) > target.amount else NONE
    due_at = after(target, run.started_at, calendar)
    for stop in stops:
        if stop.start >= due_at:
            break
        if not stop.end:
            return NONE
        due_at = later(target, due_at, stop.start, stop.end, calendar)
    return due_at


def pauses(run: Run, case: Case, rule: Pauses, calendar: WorkingTime) -> list[Pause]:
    """When holds make a run stand still, cut to the run and to the longest that is allowed.

    A hold that begins once the run is called off, and another begun, is none of its pauses.
    """
    found = []
    over_at = run.ended_at or (run.cancelled_at if run.is_past else NONE)
    stretches = case.stretches(rule.reasons)
    # There may be very many, and most are of other runs.
    first = bisect_right(stretches, run.started_at, key=_last_end)
    last = bisect_left(stretches, over_at, key=_first_start) if over_at else None
    for holds in islice(stretches, first, last):
        start, end = holds[0].start, holds[-1].end
        longest = _longest(rule.longest, start, calendar) if rule.longest else NONE
        stop = min((at for at in (end, run.ended_at, longest) if at), default=NONE)
        begin = Instant(max(start, run.started_at))
        if not stop or stop > begin:
            found.append(Pause(begin, stop, not end, list(_cut(holds, begin, stop))))
    return found


def _longest(target: Target, start: Instant, calendar: WorkingTime) -> Instant:
    """NONE where it never comes: then nothing ends the pause."""
    try:
        return after(target, start, calendar)
    except NeverOpen:
        return NONE


def _cut(holds: Sequence[Hold], begin: Instant, stop: Instant) -> Iterator[Hold]:
    """What lies between two instants; `stop` is NONE where that is not known yet."""
    first = bisect_right(holds, begin, key=_end)
    last = bisect_left(holds, stop, key=_start) if stop else None
    for start, end, reason in islice(holds, first, last):
        since, until = Instant(max(start, begin)), min((at for at in (end, stop) if at), default=NONE)
        if not until or until > since:
            yield Hold(since, until, reason)


def _start(hold: Hold) -> Instant:
    return hold.start


def _end(hold: Hold) -> Instant:
    return hold.end or _FOREVER


def _first_start(stretch: Sequence[Hold]) -> Instant:
    return stretch[0].start


def _last_end(stretch: Sequence[Hold]) -> Instant:
    return _end(stretch[-1])


#: Later than the end of every hold that has one.
_FOREVER = Instant(2**62)
