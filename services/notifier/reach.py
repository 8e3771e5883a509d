"""Whom something would reach, and why: the rules of `notifier.yaml` tried on one promise or clock."""

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

from services.notifier.config import Rules
from services.notifier.items import Item, Severity, Standing
from services.notifier.on_call import PREFIX
from services.notifier.routing import LABELS, Match, Route, SeverityRule, address, lateness, severity_of
from services.notifier.schedules import Shift
from services.shared.duration import format_duration
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
    item = item._replace(severity=severity_of(item, severities, at))
    severity_misses = _misses(("", _asked(rule, item, at)) for rule in severities)
    route_misses = _misses((route.name, _conditions(route.match, item)) for route in routes)
    route = routes[len(route_misses)]
    tells = item.standing == Standing.BROKEN or route.at_risk
    return Reach(
        severity=Severity(item.severity),
        severity_rule=len(severity_misses) + 1 if len(severity_misses) < len(severities) else None,
        severity_met=[met for rule in severities[len(severity_misses) :][:1] for met in _asked(rule, item, at)],
        severity_misses=severity_misses,
        incident_id=address(item, routes).incident_id,
        route=route,
        route_number=len(route_misses) + 1,
        route_met=_conditions(route.match, item),
        route_misses=route_misses,
        told=[_told(name, rules, at) for name in route.targets] if tells else [],
    )


def _misses(rules: Iterable[tuple[str, Sequence[Condition]]]) -> list[Miss]:
    """The rules before the first that matches. Of each its name, and what it asks for."""
    missed = takewhile(lambda rule: not all(map(_is_met, rule[1])), rules)
    return [
        Miss(number, name, [condition for condition in asked if not _is_met(condition)])
        for number, (name, asked) in enumerate(missed, start=1)
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


def _told(name: str, rules: Rules, at: Instant) -> Told:
    if not name.startswith(PREFIX):
        return Told(name, rules.channels[name])
    schedule = rules.schedules[name.removeprefix(PREFIX)]
    shift = schedule.shifts(at, Instant(at + _FAR))[0]
    target = shift.who or schedule.fallback
    return Told(target, rules.channels[target], schedule.name, shift)
