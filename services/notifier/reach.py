"""Whom something would reach, and why: the rules of `notifier.yaml` tried on one promise or clock."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, takewhile
from typing import NamedTuple

from services.notifier.beliefs import EVERY
from services.notifier.config import Rules
from services.notifier.fallbacks import way
from services.notifier.holds import Held, Inhibition, Reason
from services.notifier.items import Item, Severity, Standing
from services.notifier.on_call import PREFIX
from services.notifier.routing import (
    LABELS,
    Match,
    Route,
    SeverityRule,
    address,
    lateness,
    matches,
    severity_of,
    taking,
)
from services.notifier.schedules import Schedule, Shift
from services.shared.duration import format_duration
from services.shared.instant import SECOND, Instant

#: How far ahead it is looked for the end of a shift: first where most end, as to look far takes long.
_AHEAD = tuple(days * 86_400 * SECOND for days in (8, 50, 400))


class Condition(NamedTuple):
    """What a rule asks for, and what there is."""

    label: str
    #: Empty: it has none.
    value: str
    accepted: Sequence[str]


class Miss(NamedTuple):
    """A rule that does not match, by its place in the file, from 1; severity rules have no name."""

    number: int
    name: str
    unmet: Sequence[Condition]


class Told(NamedTuple):
    """Somebody who is told, for a schedule or in their own name."""

    target: str
    channel: str
    schedule: str = ""
    #: Nobody in a hole, where the fallback is told.
    shift: Shift | None = None
    #: They hear it only then: these are their quiet hours.
    quiet_until: Instant | None = None
    #: Whose target it is, where a person is told.
    person: str = ""
    #: Who is told instead where it cannot be reached; where they cannot, the next.
    fallbacks: Sequence[str] = ()


class Turn(NamedTuple):
    """A step of the escalation."""

    #: Microseconds from when the breach is told.
    after: int
    told: Sequence[Told]


class Cause(NamedTuple):
    """A rule of `inhibit`, by its place in the file, from 1, by which other trouble would hold it back."""

    number: int
    rule: Inhibition


class Taken(NamedTuple):
    """What becomes of an item on one route."""

    number: int
    route: Route
    met: Sequence[Condition]
    incident_id: str
    #: Empty: nobody, as it is a risk on a route that tells none.
    told: Sequence[Told]
    #: While nobody answers; a risk has none.
    turns: Sequence[Turn]
    #: The silences and windows that hold it back from everybody.
    held: Sequence[Held]
    causes: Sequence[Cause]


class Reach(NamedTuple):
    """What becomes of an item."""

    at: Instant
    severity: Severity
    #: None: no rule matches.
    severity_rule: int | None
    severity_met: Sequence[Condition]
    severity_misses: Sequence[Miss]
    #: Those that take it: at least one.
    routes: Sequence[Taken]
    #: Those before the last of them that do not.
    route_misses: Sequence[Miss]
    #: Those that take it while it is at risk, by their numbers.
    risk: Mapping[int, Route]


def reach(item: Item, rules: Rules, at: Instant) -> Reach:
    """Whom an item would reach that is at risk or broken, were it told at an instant."""
    severities, routes = rules.routing
    item = _weighed(item, rules, at)
    asked = [(number, "", _asked(rule, item, at)) for number, rule in enumerate(severities, start=1)]
    severity_misses = _misses(takewhile(lambda rule: not all(map(_is_met, rule[2])), asked))
    taken = dict(taking(item, routes))
    passed = enumerate(routes[: max(taken)], start=1)
    return Reach(
        at=at,
        severity=Severity(item.severity),
        severity_rule=len(severity_misses) + 1 if len(severity_misses) < len(severities) else None,
        severity_met=[met for _, _, conditions in asked[len(severity_misses) :][:1] for met in conditions],
        severity_misses=severity_misses,
        routes=[_taken(item, number, route, rules, at) for number, route in taken.items()],
        route_misses=_misses(
            (number, route.name, _conditions(route.match, item)) for number, route in passed if number not in taken
        ),
        risk=dict(taking(_weighed(item._replace(standing=Standing.AT_RISK), rules, at), routes)),
    )


def _weighed(item: Item, rules: Rules, at: Instant) -> Item:
    return item._replace(severity=severity_of(item, rules.routing.severities, at))


def _taken(item: Item, number: int, route: Route, rules: Rules, at: Instant) -> Taken:
    to = address(item, route).incident_id
    is_broken = item.standing == Standing.BROKEN

    def told(names: Iterable[str], at: Instant) -> Sequence[Told]:
        return [told for name in names for told in _told(item, to, name, rules, at)]

    turns = rules.escalations[route.escalation].turns if route.escalation and is_broken else ()
    return Taken(
        number=number,
        route=route,
        met=_conditions(route.match, item),
        incident_id=to,
        told=told(route.targets, at) if is_broken or route.at_risk else (),
        turns=[
            Turn(after, told(turn.targets or route.targets, Instant(at + after)))
            for after, turn in zip(accumulate(turn.after for turn in turns), turns, strict=True)
        ],
        held=list(rules.holds.scene(to, (), at).timed(item)),
        causes=[
            Cause(number, rule)
            for number, rule in enumerate(rules.holds.inhibitions, start=1)
            if _can_hold(rule, item, route)
        ],
    )


def _can_hold(rule: Inhibition, item: Item, route: Route) -> bool:
    """Whether something can be in the item's incident that holds it back by a rule."""
    if not matches(rule.quiet, item) or not all(LABELS[label](item) for label in rule.equal):
        return False
    shared = {label: frozenset({LABELS[label](item)}) for label in (*route.group_by, *rule.equal)}
    return not any(
        rule.cause[label].isdisjoint(there[label])
        for there in (shared, route.match)
        for label in rule.cause.keys() & there.keys()
    )


def _misses(missed: Iterable[tuple[int, str, Sequence[Condition]]]) -> list[Miss]:
    """Of rules that do not match: place, name, and what they ask for."""
    return [
        Miss(number, name, [condition for condition in conditions if not _is_met(condition)])
        for number, name, conditions in missed
    ]


def _asked(rule: SeverityRule, item: Item, at: Instant) -> list[Condition]:
    """What a severity rule asks for, and what there is."""
    conditions = _conditions(rule.match, item)
    if rule.late:
        late, asked = lateness(item, at), f"at least {format_duration(rule.late)}"
        conditions.append(Condition("late", asked if late >= rule.late else format_duration(late), [asked]))
    return conditions


def _conditions(match: Match, item: Item) -> list[Condition]:
    return [Condition(label, LABELS[label](item), sorted(accepted)) for label, accepted in match.items()]


def _is_met(condition: Condition) -> bool:
    return condition.value in condition.accepted


def _told(item: Item, incident_id: str, name: str, rules: Rules, at: Instant) -> Iterator[Told]:
    who, schedule, shift = name, "", None
    if name.startswith(PREFIX):
        schedule = name.removeprefix(PREFIX)
        shift = _shift(rules.schedules[schedule], at)
        who = shift.who or rules.schedules[schedule].fallback
    scene, is_person = rules.holds.scene(incident_id, (), at), who in rules.people
    contact = rules.people[who].contact if is_person else {who: EVERY}
    for target in (target for target, severities in contact.items() if item.severity in severities):
        quiet = (held.until for held in scene.timed(item, target) if held.reason == Reason.QUIET_HOURS)
        yield Told(
            target=target,
            channel=rules.channels[target],
            schedule=schedule,
            shift=shift,
            quiet_until=next(quiet, None),
            person=who if is_person else "",
            fallbacks=way(target, rules.fallbacks)[1:],
        )


def _shift(schedule: Schedule, at: Instant) -> Shift:
    *sooner, last = _AHEAD
    for ahead in sooner:
        shift = schedule.shifts(at, Instant(at + ahead))[0]
        if shift.end < at + ahead:
            return shift
    return schedule.shifts(at, Instant(at + last))[0]
