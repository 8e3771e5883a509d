"""Where an item belongs: how much it matters, which route takes it, which receiver group it joins. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import NamedTuple
from urllib.parse import quote

from services.notifier.items import TROUBLE, Details, Item, Rise, Severity, Standing
from services.notifier.pace import Pace
from services.shared.instant import Instant
from services.shared.keys import customer_of

#: Label → the values it may have, any of them. No label: everything matches.
Match = Mapping[str, frozenset[str]]

_NO_DETAILS = Details()
#: More places than this no promise has been at; a bound all the same on what one record can cause.
MAX_PLACES = 64


def _detail(name: str) -> Callable[[Item], str]:
    def of(item: Item) -> str:
        value: str = getattr(item.details or _NO_DETAILS, name)
        return value

    return of


def _repeated(item: Item) -> str:
    breaches = (item.details or _NO_DETAILS).breaches
    return "" if breaches is None else "yes" if breaches else "no"


#: What conditions can speak of.
LABELS: Mapping[str, Callable[[Item], str]] = {
    "service": lambda item: item.service,
    "kind": lambda item: item.kind,
    "standing": lambda item: Standing(item.standing).name.lower(),
    "severity": lambda item: Severity(item.severity).name.lower(),
    "reason": _detail("reason"),
    "customer": lambda item: customer_of(item.record_id.encode()),
    "tier": _detail("customer_tier"),
    "site": _detail("site"),
    "team": _detail("team"),
    "repeated": _repeated,
}
#: Label → all the values that it can have in conditions, where that is known.
CLOSED: Mapping[str, frozenset[str]] = {
    "service": frozenset({"promises", "sla", "sources"}),
    "standing": frozenset(Standing(standing).name.lower() for standing in TROUBLE),
    "severity": frozenset(severity.name.lower() for severity in Severity if severity),
    "repeated": frozenset({"yes", "no"}),
}
#: The same of what is about the company's word. That a source is silent is news, too, but nothing that was promised.
OF_ITS_WORD: Mapping[str, frozenset[str]] = {**CLOSED, "service": frozenset({"promises", "sla"})}
#: What severity can depend on, routes can match, and groups can be formed by.
SEVERITY_LABELS = frozenset(LABELS) - {"severity"}
ROUTE_LABELS = frozenset(LABELS) - {"standing", "reason", "customer"}
GROUP_LABELS = frozenset(LABELS) - {"standing", "reason", "severity", "repeated"}


class Place(NamedTuple):
    """What may change about where a promise belongs."""

    tier: str = ""
    site: str = ""
    team: str = ""


class SeverityRule(NamedTuple):
    """How much what matches matters."""

    match: Match
    severity: Severity
    #: It matches only what is broken, and at least so many microseconds late; 0: whatever stands anyhow.
    late: int = 0


class Route(NamedTuple):
    """Who is told about what matches, and what is told together."""

    name: str
    match: Match
    targets: tuple[str, ...]
    group_by: tuple[str, ...] = ()
    #: Whether they are warned, too, of what is at risk.
    at_risk: bool = False
    #: By name; empty: none.
    escalation: str = ""
    pace: Pace = Pace()
    #: Whether what it takes goes on to the later routes, too (`continue`).
    proceeds: bool = False


class Routing(NamedTuple):
    """The rules. The first that matches decides; the last route matches everything and does not proceed."""

    severities: tuple[SeverityRule, ...]
    routes: tuple[Route, ...]

    @property
    def tells_risk(self) -> bool:
        """Whether anybody is told of what is at risk."""
        return any(route.at_risk for route in self.routes)


class Address(NamedTuple):
    """A receiver group: the incident's id, and its route."""

    incident_id: str
    route: str


def dispatch(item: Item, reached: Iterable[Address], routing: Routing, now: Instant) -> list[tuple[Address, Item]]:
    """Whom to tell how an item stands: those it concerns, and as a follow-up all who may have been told of it before.

    Whom it will concern if it stays broken gets it as a follow-up, too, with the instants at which it will (`rises`).

    `reached`: who may have been. Nobody keeps a list of who was told; a receiver group that was not ignores it.
    """
    item = item._replace(severity=severity_of(item, routing.severities, now))
    addressed: dict[Address, Item] = {}
    if item.standing in TROUBLE:
        addressed |= dict.fromkeys(addresses(item, routing.routes), item)
    follow_up = item._replace(follow_up=True)
    for rise in rises(item, routing.severities, now):
        for to in addresses(item._replace(severity=rise.severity), routing.routes):
            coming = addressed.get(to, follow_up)
            addressed[to] = coming._replace(rises=(*coming.rises, rise))
    for to in reached:
        addressed.setdefault(to, follow_up)
    return list(addressed.items())


def reach(item: Item, places: Iterable[Place], routing: Routing) -> Sequence[Address]:
    """Everywhere that an item, and any other cycle of its record, may have been told of.

    `places`: where it belonged at any time, the present included. To where an earlier severity or place would have led,
    or being repeated or not.
    """
    severities = _LEVELS if any("severity" in route.match for route in routing.routes) else (item.severity,)
    known = item.details or _NO_DETAILS
    repeated = (0, 1) if any("repeated" in route.match for route in routing.routes) else (known.breaches,)
    found: dict[Address, None] = {}
    for place in islice(dict.fromkeys(places), MAX_PLACES):
        details = known._replace(customer_tier=place.tier, site=place.site, team=place.team)
        for severity, breaches in product(severities, repeated):
            was = item._replace(severity=severity, details=details._replace(breaches=breaches))
            found |= dict.fromkeys(addresses(was, routing.routes))
    return tuple(found)


def severity_of(item: Item, rules: Iterable[SeverityRule], now: Instant) -> Severity:
    """How much it matters at an instant: by the first rule that matches; what is no trouble is for information."""
    if item.standing not in TROUBLE:
        return Severity.INFO
    return next((rule.severity for rule in rules if applies(rule, item, now)), _DEFAULT_SEVERITY)


def applies(rule: SeverityRule, item: Item, now: Instant) -> bool:
    """Whether a severity rule matches an item at an instant."""
    return lateness(item, now) >= rule.late and matches(rule.match, item)


def lateness(item: Item, now: Instant) -> int:
    """For how many microseconds it is broken past the time it is due, by the clock; 0: it is not."""
    return max(now - item.due_at, 0) if item.standing == Standing.BROKEN and item.due_at else 0


def rises(item: Item, rules: Sequence[SeverityRule], now: Instant) -> Iterator[Rise]:
    """When an item will matter more than it does, and how much, if it stays broken; in order."""
    if item.standing != Standing.BROKEN or not item.due_at:
        return
    severity = severity_of(item, rules, now)
    for at in sorted({Instant(item.due_at + rule.late) for rule in rules if rule.late}):
        if at > now and (later := severity_of(item, rules, at)) > severity:
            yield Rise(at, later)
            severity = later


def addresses(item: Item, routes: Iterable[Route]) -> list[Address]:
    """The receiver groups of all routes that take an item: at least one."""
    return [address(item, route) for _, route in taking(item, routes)]


def taking(item: Item, routes: Iterable[Route]) -> Iterator[tuple[int, Route]]:
    """Those that take an item: all that match, up to the first that does not proceed, by their places, from 1."""
    for number, route in enumerate(routes, start=1):
        if matches(route.match, item):
            yield number, route
            if not route.proceeds:
                return


def address(item: Item, route: Route) -> Address:
    """The receiver group of an item on a route that takes it."""
    labels = [f"{label}={quote(value, safe='')}" for label in route.group_by if (value := LABELS[label](item))]
    return Address(f"{route.name}/{','.join(labels)}" if labels else route.name, route.name)


def matches(match: Match, item: Item) -> bool:
    """Whether an item meets every condition."""
    return all(LABELS[label](item) in accepted for label, accepted in match.items())


_DEFAULT_SEVERITY = Severity.WARNING
_LEVELS = tuple(severity for severity in Severity if severity)
