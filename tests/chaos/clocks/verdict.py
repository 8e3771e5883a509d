"""What a clock is worth, told once more: from its facts and the standards to the record, plainly.

Written from what the README, the .proto files and the docstrings promise; it shares no line with services/sla.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from puntual.sla.v1 import clock_pb2 as pb
from tests.chaos.clocks.reading import Said
from tests.chaos.clocks.runs import Hold, Run, contacts_of, holds_of, in_order, runs_of
from tests.chaos.clocks.standards import Calendar, Version, span
from tests.chaos.reading import CONTEXT, micros
from tests.chaos.verdict import latest, once_each, set_context, set_time

_NOTED, _RUNNING, _PAUSED = pb.CLOCK_STATE_NOTED, pb.CLOCK_STATE_RUNNING, pb.CLOCK_STATE_PAUSED
_AT_RISK, _BREACHED = pb.CLOCK_STATE_AT_RISK, pb.CLOCK_STATE_BREACHED
_MET, _MISSED, _CANCELLED = pb.CLOCK_STATE_MET, pb.CLOCK_STATE_MISSED, pb.CLOCK_STATE_CANCELLED
_DECIDED = frozenset({_MET, _MISSED, _CANCELLED})
_FOREVER = 2**62
#: Of what a case is where its metric tells.
_KINDS = {"callback_returned": "callback", "customer_told": "order", "appointment_started": "appointment"}


class _Case(NamedTuple):
    """All that is known of it, in order."""

    metric: str
    facts: Sequence[Said]
    holds: Sequence[Hold]
    contacts: Sequence[int]


class _Ruling(NamedTuple):
    """What a run is judged by."""

    policy: str
    goal: Mapping[str, Any]
    pauses: Mapping[str, Any] | None
    hours: Calendar


class _Cycle(NamedTuple):
    """Where a run stands; times are 0 where there is none."""

    state: int
    ruling: _Ruling | None = None
    version: str = ""
    first_version: str = ""
    start: int = 0
    due: int = 0
    preferred: int = 0
    warnings: Sequence[int] = ()
    breach: int = 0
    stopped: int = 0
    preferred_met: bool | None = None
    #: When time alone changed it last, and when it will next.
    changed: int = 0
    changes: int = 0


def record(key: bytes, said: Iterable[Said], versions: Sequence[Version], now: int) -> pb.Clock:
    """The record of a clock, as of an instant."""
    routing, metric, subject = key.decode().split("/")
    number = pb.Metric.Value(f"METRIC_{metric.upper()}")
    facts = once_each(said)
    ordered = in_order(facts)
    case = _Case(metric, ordered, holds_of(ordered), contacts_of(ordered))
    *earlier, last = [_cycle(case, run, versions, now) for run in runs_of(ordered, number)] or [_Cycle(_NOTED)]
    clock = pb.Clock(
        clock_id=key.decode(),
        metric=number,
        customer_id="" if routing.startswith("~") else unquote(routing),
        subject_id=unquote(subject),
        facts=map(_fact, facts),
        earlier=map(_earlier, earlier),
    )
    _fill(clock, last)
    if last.warnings:
        _set(clock, warn_at=last.warnings[0])
        for at in last.warnings[1:]:
            set_time(clock.later_warnings.add(), at)
    _set(clock, changed_at=last.changed, changes_at=last.changes)
    if stated := [fact.context for fact in ordered if fact.context]:
        set_context(clock.context, latest(stated))
    return clock


# --- one run


def _cycle(case: _Case, run: Run, versions: Sequence[Version], now: int) -> _Cycle:
    """By the version in force when it started, and by later ones that take over what runs when they come."""
    first = [version for version in versions if version.since <= run.start][-1]
    cycle = _judged(case, run, first, now)
    moved = moves = 0
    for version in versions:
        if not version.moves or version.since <= first.since:
            continue
        if version.since >= min(run.over or _FOREVER, cycle.breach + 1 if cycle.breach else _FOREVER):
            continue
        if not (run.over if cycle.state == _NOTED else cycle.state in _DECIDED):
            if version.since > now:
                moves = version.since
                break
            moved = version.since
        cycle = _judged(case, run, version, now)
    return cycle._replace(
        first_version=first.name if cycle.version != first.name else "",
        changed=max(cycle.changed, moved),
        changes=min((at for at in (cycle.changes, moves) if at), default=0),
    )


def _judged(case: _Case, run: Run, version: Version, now: int) -> _Cycle:
    """By one version, as of an instant."""
    ruling = _ruling(case, run, version)
    if ruling is None:
        return _Cycle(_NOTED, None, version.name, start=run.start)
    goal, hours = ruling.goal, ruling.hours
    due = _limit(case, run, ruling, goal["limit"])
    preferred = _limit(case, run, ruling, goal["preferred"]) if "preferred" in goal else 0
    warnings = sorted(_before(text, due, hours) for text in goal.get("warnings", ())) if due else []
    breach = due + span(goal.get("grace", "0s")) if due else 0
    state, changed, changes = _settled(run, due), 0, 0
    if not state:
        state, changed, changes = _standing(_held_until(case, run, ruling, due), warnings, breach, now)
    stopped = run.end if state in (_MET, _MISSED) else 0
    known = "preferred" in goal and state in (_BREACHED, _MET, _MISSED)
    return _Cycle(
        state, ruling, version.name, "", run.start, due, preferred, warnings, breach, stopped,
        bool(stopped and (not preferred or stopped <= preferred)) if known else None, changed, changes,
    )  # fmt: skip


def _settled(run: Run, due: int) -> int:
    """What facts decide; 0: nothing. Called off late it counts as it would have without."""
    in_time = run.off and (not due or run.off <= due)
    if in_time and not 0 < run.end <= run.off:
        return _CANCELLED
    if run.end:
        return _MISSED if due and run.end > due else _MET
    return _MISSED if run.is_past else 0


def _standing(until: int | None, warnings: Sequence[int], breach: int, now: int) -> tuple[int, int, int]:
    """What time has made of it. `until`: it is held until then (0: for ever); None: it is not."""
    coming = [(at, _AT_RISK) for at in warnings] + ([(breach + 1, _BREACHED)] if breach else [])
    state: int = _RUNNING
    if until is not None:
        state = _PAUSED
        resumed = [(until, max((then for at, then in coming if at <= until), default=_RUNNING))]
        coming = [*resumed, *(change for change in coming if change[0] > until)] if until else []
    past, ahead = [change for change in coming if change[0] <= now], [at for at, _ in coming if at > now]
    changed, state = past[-1] if past else (0, state)
    return state, changed, ahead[0] if ahead else 0


# --- limits and holds


def _limit(case: _Case, run: Run, ruling: _Ruling, text: str) -> int:
    """By when it must be over; 0: that is not known."""
    if text == "window":
        return run.window_end
    length, in_hours = span(text), "business" in text
    if text.endswith("contacts"):
        return max(run.start, case.contacts[length]) if len(case.contacts) > length else 0
    due = ruling.hours.add(run.start, length) if in_hours else run.start + length
    for start, end, _ in _pauses(case, run, ruling):
        if start >= due:
            break
        if not end:
            return 0
        if not in_hours:
            due += end - start
        elif held := ruling.hours.length(start, end):
            due = ruling.hours.add(due, held)
    return due


def _pauses(case: _Case, run: Run, ruling: _Ruling) -> Iterator[tuple[int, int, bool]]:
    """From when to when (0: for ever) it stands still, and whether it is held no more."""
    if ruling.pauses is None:
        return
    together: list[tuple[int, int]] = []
    for hold in case.holds:
        if hold.reason not in ruling.pauses.get("reasons", [hold.reason]):
            continue
        goes_on = bool(together) and together[-1][1] == hold.start
        together.append((together.pop()[0] if goes_on else hold.start, hold.end))
    for since, until in together:
        longest = since + span(ruling.pauses["longest"]) if "longest" in ruling.pauses else 0
        start = max(since, run.start)
        if run.is_past and not run.end and start >= run.off:  # it was over by then
            continue
        end = min((at for at in (until, run.end, longest) if at), default=0)
        if not end or end > start:
            yield start, end, bool(until)


def _held_until(case: _Case, run: Run, ruling: _Ruling, due: int) -> int | None:
    """Until when the last hold stops it, if it is not over and began before the limit; None: nothing holds it."""
    pauses = list(_pauses(case, run, ruling))
    if not pauses or pauses[-1][2] or 0 < due <= pauses[-1][0]:
        return None
    return pauses[-1][1]


def _before(text: str, end: int, hours: Calendar) -> int:
    return hours.back(end, span(text)) if "business" in text else end - span(text)


# --- policies


def _ruling(case: _Case, run: Run, version: Version) -> _Ruling | None:
    """By what is stated when it starts, and by what is stated later as long as it runs and its limit has not passed."""
    ruling = _first_match(case, [fact for fact in case.facts if fact.occurred_at <= run.start], version)
    for count, fact in enumerate(case.facts, start=1):
        if fact.occurred_at <= run.start or not (fact.context or fact.case):
            continue
        if run.over and fact.occurred_at > run.over:
            break
        other = _first_match(case, case.facts[:count], version)
        if _same(other, ruling):
            continue
        if ruling and 0 < _limit(case, run, ruling, ruling.goal["limit"]) < fact.occurred_at:
            break
        ruling = other
    return ruling


def _same(one: _Ruling | None, other: _Ruling | None) -> bool:
    return (one and one.policy) == (other and other.policy)


def _first_match(case: _Case, known: Sequence[Said], version: Version) -> _Ruling | None:
    kind, priority = latest([fact.case for fact in known if fact.case]) or ("", "")
    stated = dict(zip(CONTEXT, latest([fact.context for fact in known if fact.context]), strict=False))
    about = {"kind": _KINDS.get(case.metric, kind), "priority": priority, "tier": stated.get("customer_tier", "")}
    for policy in version.words["policies"]:
        wanted, goal = policy.get("when", {}), policy["targets"].get(case.metric)
        if goal and all(
            about[field] in (texts if isinstance(texts, list) else [texts]) for field, texts in wanted.items()
        ):
            pauses = goal.get("pauses", policy.get("pauses"))
            return _Ruling(policy["name"], goal, pauses, version.hours(policy["calendar"]))
    return None


# --- onto the wire


def _earlier(cycle: _Cycle) -> pb.Cycle:
    message = pb.Cycle()
    _fill(message, cycle)
    for at in cycle.warnings:
        set_time(message.warn_at.add(), at)
    return message


def _fill(message: pb.Clock | pb.Cycle, cycle: _Cycle) -> None:
    message.state = pb.ClockState.ValueType(cycle.state)
    message.standards_version, message.first_version = cycle.version, cycle.first_version
    if cycle.ruling:
        message.policy, message.calendar = cycle.ruling.policy, cycle.ruling.hours.name
    if cycle.preferred_met is not None:
        message.preferred_met = cycle.preferred_met
    _set(
        message, started_at=cycle.start, due_at=cycle.due, preferred_due_at=cycle.preferred, breach_at=cycle.breach,
        stopped_at=cycle.stopped,
    )  # fmt: skip


def _set(message: Any, **times: int) -> None:
    for name, at in times.items():
        if at:
            set_time(getattr(message, name), at)


def _fact(said: Said) -> pb.Fact:
    contact_kind, priority = said.case or ("", "")
    fact = pb.Fact(
        event_id=said.event_id, source=said.source, kind=pb.FactKind.ValueType(said.kind), what=said.what,
        contact_kind=contact_kind, priority=priority,
    )  # fmt: skip
    _set(fact, occurred_at=said.occurred_at, window_start=said.window_start, window_end=said.window_end)
    if said.context:
        set_context(fact.context, said.context)
    return fact


def said_in(clock: pb.Clock) -> list[Said]:
    """The facts of a record."""
    return [
        Said(
            micros(fact.occurred_at), fact.source, fact.event_id, fact.kind, fact.what,
            tuple(getattr(fact.context, name) for name in CONTEXT) if fact.HasField("context") else (),
            (fact.contact_kind, fact.priority) if fact.contact_kind or fact.priority else (),
            micros(fact.window_start), micros(fact.window_end),
        )
        for fact in clock.facts
    ]  # fmt: skip
