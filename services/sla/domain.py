"""What a standard is worth: facts in, verdicts out. Pure; it knows no Kafka, no protobuf and no clock.

A `Clock` is a function of the *set* of facts about one contact, callback, order or appointment, of the standards and
an instant (`judge`), in whatever order the facts arrive. `runs` says when it ran, `standards` what each run is judged
by, `verdicts` what it is worth.

Two functions bring that to a stream: `fold` adds facts and never lets time speak; `due` judges at the present. The
engine calls `due` when a deadline has passed and all input is read, so only there is a breach announced by the clock.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import islice, zip_longest
from operator import itemgetter
from typing import NamedTuple

from services.shared.facts import NO_CONTEXT, counts_under, last_stated, merge
from services.shared.instant import SECOND, Instant
from services.sla import verdicts
from services.sla.model import NONE, Clock, Cycle, Fact, FactKind, Identity, State, Transition
from services.sla.runs import Case, Known, Run, case_of
from services.sla.standards import Ruling, Standards, Version
from services.sla.verdicts import Verdict

# Looking up a member of an enum costs more than comparing it, and these are asked of every event.
_NOTED, _BREACHED, _AT_RISK, _PAUSED = State.NOTED, State.BREACHED, State.AT_RISK, State.PAUSED
_FOREVER = Instant(2**62)
_NOTHING_KNOWN: Known = (NONE, NO_CONTEXT, NO_CONTEXT)
_AT = itemgetter(0)
#: The facts that decide whose record counts, where a customer has several ids.
_BEGINNING = frozenset(
    {
        int(kind)
        for kind in (
            FactKind.STARTED,
            FactKind.RENEWED,
            FactKind.REOPENED,
            FactKind.OPENED,
            FactKind.SCHEDULED,
            FactKind.FOLLOWED_UP,
        )
    }
)
_SETTLED = frozenset({State.MET, State.MISSED, State.CANCELLED})


class Change(NamedTuple):
    """What a write announces: of which cycle, counted from 1, and what."""

    transition: Transition
    number: int
    cycle: Cycle


def note(identity: Identity, facts: Sequence[Fact], standards: Standards) -> Clock:
    """The record of a key met for the first time."""
    return judge(identity, merge((), facts), standards, NONE)


def fold(old: Clock, facts: Sequence[Fact], standards: Standards) -> Clock:
    """The record with more facts. Returns `old` itself where they say nothing new."""
    merged = merge(old.facts, facts)
    if merged == old.facts:
        return old
    new = judge(_identity(old), merged, standards, old.changed_at)
    if new.cycle.state == _BREACHED and not (old.cycle.state == _BREACHED and len(old.earlier) == len(new.earlier)):
        # An earlier start moved the limit into the past. Its stop may be unread: `due` decides, once all is read.
        return judge(_identity(old), merged, standards, new.cycle.breach_at)
    return new


def due(clock: Clock, now: Instant, standards: Standards) -> Clock | None:
    """The record as of `now`; None once its time to be remembered is over, or where nothing times it any more."""
    forget_at = _forget_at(clock, standards)
    if clock.metric not in standards.metrics or (forget_at is not None and now >= forget_at):
        return None
    return judge(_identity(clock), clock.facts, standards, now)


def next_deadline(clock: Clock, standards: Standards) -> Instant | None:
    """The next instant at which `due` would change the record; None if only facts can."""
    deadline, cycle = clock.changes_at or _forget_at(clock, standards), clock.cycle
    if cycle.version == standards.versions[-1].name or not cycle.started_at:
        return deadline
    # It was judged when its present version was not known here. What was over by then keeps the one it has.
    moves_at = standards.next_after(cycle.version, cycle.started_at)
    if moves_at is not None and cycle.started_at < moves_at and _was_over(clock, moves_at):
        return deadline
    return min((at for at in (moves_at, deadline) if at), default=None)


def _was_over(clock: Clock, at: Instant) -> bool:
    """Whether facts or the limit had ended the last cycle by an instant, as `_over_at` has it."""
    cycle = clock.cycle
    if NONE < cycle.stopped_at <= at or NONE < cycle.breach_at < at:
        return True
    return NONE < case_of(clock.facts, clock.metric).runs[-1].over_at <= at


def judge(identity: Identity, facts: tuple[Fact, ...], standards: Standards, now: Instant) -> Clock:
    """The verdict on a set of facts (sorted) as of an instant."""
    case = case_of(facts, identity[1])
    is_elsewhere = bool(counts_under(facts, _BEGINNING, identity[2]))
    if is_elsewhere:
        now = _FOREVER
    judged = [_cycle(identity[1], run, case, standards, now) for run in case.runs] or [(Cycle(_NOTED), NONE, NONE)]
    earlier = tuple([cycle for cycle, _, _ in judged[:-1]])
    last, changed_at, changes_at = judged[-1]
    if is_elsewhere:
        # It began under another id of the same customer, whose record has all these facts. This one is forgotten when
        # that is, which hangs on `breach_at`.
        noted = Cycle(_NOTED, breach_at=last.breach_at)
        return Clock(*identity, noted, (), NONE, NONE, last_stated(case.facts), facts)
    return Clock(*identity, last, earlier, changed_at, changes_at, last_stated(case.facts), facts)


def elsewhere(clock: Clock) -> str:
    """The other id of the same customer under which the clock first began and is judged; empty: it is here."""
    return counts_under(clock.facts, _BEGINNING, clock.customer_id)


def _cycle(metric: int, run: Run, case: Case, standards: Standards, now: Instant) -> tuple[Cycle, Instant, Instant]:
    """A run, judged; when time alone changed that last, and when it will next."""
    first = standards.first(run.started_at)
    version, moved_at, moves_at = first, NONE, NONE
    ruling, verdict = _verdict(metric, run, case, first, now)
    for later in standards.moving(first):
        if _over_at(run, verdict) <= later.in_force_from:
            continue
        if verdict.state not in _SETTLED if verdict else not run.over_at:  # time moves it, not facts
            if now < later.in_force_from:
                moves_at = later.in_force_from
                break
            moved_at = later.in_force_from
        version = later
        ruling, verdict = _verdict(metric, run, case, later, now)
    first_version = "" if version is first else first.name
    if ruling is None or verdict is None:
        return Cycle(_NOTED, "", version.name, first_version, "", run.started_at), moved_at, moves_at
    cycle = Cycle(
        verdict.state, ruling.policy, version.name, first_version, ruling.calendar.name, run.started_at, verdict.due_at,
        verdict.preferred_due_at, verdict.warn_at, verdict.breach_at, verdict.stopped_at, verdict.preferred_met,
    )  # fmt: skip
    changes_at = min((at for at in (verdict.changes_at, moves_at) if at), default=NONE)
    return cycle, Instant(max(verdict.changed_at, moved_at)), changes_at


def _verdict(
    metric: int, run: Run, case: Case, version: Version, now: Instant
) -> tuple[Ruling, Verdict] | tuple[None, None]:
    ruling = ruling_of(metric, run, case, version)
    if ruling is None:
        return None, None
    return ruling, verdicts.judge(run, case, ruling.goal, ruling.calendar, now)


def _over_at(run: Run, verdict: Verdict | None) -> Instant:
    """When facts or the limit ended a run, or the limit will; FOREVER: nothing does yet."""
    breached_at = Instant(verdict.breach_at + 1) if verdict and verdict.breach_at else NONE
    return min((at for at in (run.over_at, breached_at) if at), default=_FOREVER)


def ruling_of(metric: int, run: Run, case: Case, version: Version) -> Ruling | None:
    """By what is stated of the case when it starts, and then as long as it runs and its limit has not passed.

    None: no policy of the version is for it.
    """
    if not version.hangs_on_the_case(metric):
        return version.ruling(metric, run.started_at, NO_CONTEXT, NO_CONTEXT)
    stated = case.stated
    known = bisect_right(stated, run.started_at, key=_AT)
    _, context, about = stated[known - 1] if known else _NOTHING_KNOWN
    ruling = version.ruling(metric, run.started_at, context, about)
    # Of each ruling once: they may take turns with every fact, and a limit asks for all holds.
    limits: dict[Ruling, Instant] = {}
    limit = _limit(run, case, ruling, limits)
    for at, context, about in islice(stated, known, None):
        if (run.over_at and at > run.over_at) or NONE < limit < at:
            break
        other = version.ruling(metric, run.started_at, context, about)
        if other is not ruling and other != ruling:
            ruling, limit = other, _limit(run, case, other, limits)
    return ruling


def _limit(run: Run, case: Case, ruling: Ruling | None, limits: dict[Ruling, Instant]) -> Instant:
    if ruling is None:
        return NONE
    limit = limits.get(ruling)
    if limit is None:
        limit = limits[ruling] = verdicts.limit(run, case, ruling.goal, ruling.calendar)
    return limit


# --- what a write announces


def change(old: Clock | None, new: Clock) -> Change:
    """What the step from `old` to `new` announces: of all its cycles the weightiest change, and of those the last."""
    before = (*old.earlier, old.cycle) if old else ()
    after = (*new.earlier, new.cycle)
    found = Change(Transition.NOTED, len(after), new.cycle)
    if len(before) <= 1 == len(after):
        return found._replace(transition=_transition(before[0] if before else None, new.cycle, old, new))
    for index, (was, now) in enumerate(zip_longest(before, after)):
        number = min(index, len(after) - 1) + 1
        transition = _transition(was, now, old, new)
        if transition != Transition.NOTED and _WEIGHTS[transition] >= _WEIGHTS[found.transition]:
            found = Change(transition, number, after[number - 1])
    return found


def _transition(was: Cycle | None, now: Cycle | None, old: Clock | None, new: Clock) -> Transition:
    before = was.state if was else _NOTED
    if before in _FAILED and (now is None or now.state not in _FAILED):
        return Transition.RETRACTED
    if before == _AT_RISK and (now is None or now.state == _NOTED):
        return Transition.RETRACTED
    if now is None:
        return Transition.NOTED
    if now.state == before:
        is_warned_again = now.state == _AT_RISK and old is not None and new.changed_at > old.changed_at
        return Transition.AT_RISK if is_warned_again else Transition.NOTED
    if before == _PAUSED and now.state == State.RUNNING:
        return Transition.RESUMED
    return _ENTERING[now.state]


def breached_at(change: Change) -> Instant | None:
    """Where a breach is announced by the clock: the first instant at which that was true."""
    return Instant(change.cycle.breach_at + 1) if change.transition == Transition.BREACHED else None


def margin(change: Change) -> float | None:
    """Seconds from due to stop (below 0: in time) where a cycle that has a limit is stopped."""
    transition, _, cycle = change
    if transition in _STOPPING and cycle.stopped_at and cycle.due_at:
        return (cycle.stopped_at - cycle.due_at) / SECOND
    return None


_FAILED = frozenset({State.BREACHED, State.MISSED})
_ENTERING: Mapping[int, Transition] = {
    State.NOTED: Transition.NOTED,
    State.RUNNING: Transition.STARTED,
    State.AT_RISK: Transition.AT_RISK,
    State.BREACHED: Transition.BREACHED,
    State.MET: Transition.MET,
    State.MISSED: Transition.MISSED,
    State.CANCELLED: Transition.CANCELLED,
    State.PAUSED: Transition.PAUSED,
}
_STOPPING = frozenset({Transition.MET, Transition.MISSED, Transition.RETRACTED})
#: The weightiest last.
_WEIGHTS: Mapping[Transition, int] = {
    transition: weight
    for weight, transition in enumerate(
        (
            Transition.NOTED,
            Transition.RESUMED,
            Transition.STARTED,
            Transition.PAUSED,
            Transition.CANCELLED,
            Transition.MET,
            Transition.AT_RISK,
            Transition.MISSED,
            Transition.BREACHED,
            Transition.RETRACTED,
        )
    )
}


def _identity(clock: Clock) -> Identity:
    return clock.key, clock.metric, clock.customer_id, clock.subject_id


def _forget_at(clock: Clock, standards: Standards) -> Instant | None:
    if standards.horizon is None:
        return None
    return Instant(max(clock.facts[-1].occurred_at, clock.cycle.breach_at, clock.changes_at) + standards.horizon)
