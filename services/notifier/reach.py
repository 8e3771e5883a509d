"""Whom something would reach, and why: the rules of `notifier.yaml` tried on one promise or clock."""

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

from services.notifier.config import Rules
from services.notifier.items import Item, Severity, Standing
from services.notifier.on_call import PREFIX
from services.notifier.routing import LABELS, Match, Route, address, matches, severity_of
from services.notifier.schedules import Shift
from services.shared.instant import SECOND, Instant

#: How far ahead it is looked for the end of a shift.
_FAR = 400 * 86_400 * SECOND


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
    #: Whose target it is, where a person is told.
    person: str = ""


class Reach(NamedTuple):
    """What becomes of an item."""

    severity: Severity
    #: None: no rule matches.
    severity_rule: int | None
    severity_met: Sequence[Condition]
    severity_misses: Sequence[Miss]
    incident_id: str
    route: Route
    route_number: int
    route_met: Sequence[Condition]
    route_misses: Sequence[Miss]
    #: Empty: nobody, as it is a risk on a route that tells none.
    told: Sequence[Told]


def reach(item: Item, rules: Rules, at: Instant) -> Reach:
    """Whom an item would reach that is at risk or broken, were it told at an instant."""
    severities, routes = rules.routing
    item = item._replace(severity=severity_of(item, severities))
    severity_misses = _misses(item, (("", rule.match) for rule in severities))
    route_misses = _misses(item, ((route.name, route.match) for route in routes))
    route = routes[len(route_misses)]
    tells = item.standing == Standing.BROKEN or route.at_risk
    return Reach(
        severity=Severity(item.severity),
        severity_rule=len(severity_misses) + 1 if len(severity_misses) < len(severities) else None,
        severity_met=[met for rule in severities[len(severity_misses) :][:1] for met in _conditions(rule.match, item)],
        severity_misses=severity_misses,
        incident_id=address(item, routes).incident_id,
        route=route,
        route_number=len(route_misses) + 1,
        route_met=_conditions(route.match, item),
        route_misses=route_misses,
        told=[told for name in route.targets for told in _told(name, rules, at, item.severity)] if tells else [],
    )


def _misses(item: Item, rules: Iterable[tuple[str, Match]]) -> list[Miss]:
    """The rules before the first that matches."""
    missed = takewhile(lambda rule: not matches(rule[1], item), rules)
    return [
        Miss(number, name, [condition for condition in _conditions(match, item) if not _is_met(condition)])
        for number, (name, match) in enumerate(missed, start=1)
    ]


def _conditions(match: Match, item: Item) -> list[Condition]:
    return [Condition(label, LABELS[label](item), sorted(accepted)) for label, accepted in match.items()]


def _is_met(condition: Condition) -> bool:
    return condition.value in condition.accepted


def _told(name: str, rules: Rules, at: Instant, severity: int) -> list[Told]:
    if not name.startswith(PREFIX):
        return _ways(name, rules, severity)
    schedule = rules.schedules[name.removeprefix(PREFIX)]
    shift = schedule.shifts(at, Instant(at + _FAR))[0]
    ways = _ways(shift.who or schedule.fallback, rules, severity)
    return [told._replace(schedule=schedule.name, shift=shift) for told in ways]


def _ways(who: str, rules: Rules, severity: int) -> list[Told]:
    """The targets by which somebody is called for a severity."""
    if who not in rules.people:
        return [Told(who, rules.channels[who])]
    contact = rules.people[who].contact
    return [Told(target, rules.channels[target], person=who) for target in contact if severity in contact[target]]
