"""Reads `notifier.yaml`. Whoever edits it is told everything that is wrong at once: place, value and remedy."""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.notifier.answers import read_answers
from services.notifier.channels import CHANNELS
from services.notifier.channels.channel import Channel
from services.notifier.domain import Plan
from services.notifier.escalations import Groups, read_escalations
from services.notifier.items import Severity
from services.notifier.links import Links
from services.notifier.on_call import PREFIX, read_schedule
from services.notifier.routing import GROUP_LABELS, ROUTE_LABELS, SEVERITY_LABELS, Match, Route, Routing, SeverityRule
from services.notifier.schedules import Duty, Schedule
from services.notifier.wording import LANGUAGES, Style
from services.shared.documents import read_text
from services.shared.fields import Fields

#: What applies where PUNTUAL_NOTIFIER names no other file.
BUILT_IN = Path(__file__).with_name("notifier.yaml")

#: Severity → until when an attempt is repeated, where the document does not say.
_GIVE_UP_AFTER = {"critical": "24h", "warning": "12h", "info": "4h"}
#: Names stand in ids, headers and metric labels.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_CLOSED: Mapping[str, frozenset[str]] = {
    "service": frozenset({"promises", "sla"}),
    "standing": frozenset({"at_risk", "broken"}),
    "severity": frozenset(_GIVE_UP_AFTER),
}


class Target(NamedTuple):
    """Somebody to tell: the way there, and how to put it."""

    name: str
    channel_name: str
    channel: Channel
    style: Style


class Config(NamedTuple):
    """The document, read."""

    targets: Mapping[str, Target]
    routing: Routing
    plan: Plan
    #: Schedule → who is on call by it.
    on_call: Mapping[str, Duty]
    #: What messages can be answered by; None: they are not answered on a page.
    links: Links | None = None


def load(file: Path) -> Config:
    """The configuration in a file. Raises DocumentError."""
    return parse(read_text(file), str(file))


def load_schedules(file: Path, targets: Collection[str] = ()) -> Mapping[str, Schedule]:
    """Only the schedules in a file: it takes none of the secrets that targets need. Raises DocumentError.

    `targets`: those that can be named, if not those in the file.
    """
    fields, problems = Fields.of(read_text(file), str(file))
    known = targets or fields.section("targets").names()
    schedules = _schedules(fields.section("schedules"), known, file.parent)
    problems.check()
    return schedules


def parse(text: str, file: str) -> Config:
    """The configuration in a YAML text; `file` is for errors only. Raises DocumentError with all its problems."""
    fields, problems = Fields.of(text, file)
    targets = _targets(fields.section("targets"))
    schedules = _schedules(fields.section("schedules"), targets, Path(file).parent)
    severities = tuple(_severity_rule(rule) for rule in fields.sections("severity"))
    tellable = [*targets, *(f"{PREFIX}{name}" for name in fields.section("schedules").names())]
    escalations = read_escalations(fields.section("escalations"), tellable)
    routes = _routes(fields, tellable, escalations)
    patience = fields.section("give_up_after")
    give_up_after: dict[int, int] = {
        Severity[name.upper()]: patience.span(name, default) for name, default in _GIVE_UP_AFTER.items()
    }
    patience.done()
    links = read_answers(fields)
    fields.done()
    problems.check()
    channels = {name: target.channel_name for name, target in targets.items()}
    on_call = {name: Duty(schedule) for name, schedule in schedules.items()}
    groups = Groups(channels, on_call)
    receivers = {route.name: groups.receivers(route, escalations.get(route.escalation)) for route in routes}
    return Config(targets, Routing(severities, routes), Plan(receivers, give_up_after), on_call, links)


def _schedules(fields: Fields, targets: Collection[str], folder: Path) -> Mapping[str, Schedule]:
    read = {
        name: read_schedule(name, fields.section(name), targets, folder)
        for name in fields.names()
        if _is_name(name, name, fields)
    }
    return {name: schedule for name, schedule in read.items() if schedule}


def _targets(fields: Fields) -> Mapping[str, Target]:
    if not fields.names():
        fields.problem("", "none is there; add one, for example console: {channel: console}")
    return {name: _target(name, fields) for name in fields.names() if _is_name(name, name, fields)}


def _target(name: str, targets: Fields) -> Target:
    fields = targets.section(name)
    channel_name = fields.text("channel", one_of=CHANNELS)
    settings = fields.section("settings")
    # Without a channel the settings mean nothing; the console's are none.
    channel = CHANNELS.get(channel_name, CHANNELS["console"])(settings)
    if channel_name:
        settings.done()
    style = Style(
        language=fields.text("language", "", one_of=LANGUAGES),
        time_zone=_zone(fields),
        show_customer=fields.flag("show_customer"),
    )
    fields.done()
    return Target(name, channel_name, channel, style)


def _zone(fields: Fields) -> str:
    name = fields.text("time_zone", "")
    try:
        if name:
            ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        fields.problem("time_zone", f"{name!r} is no time zone; write one of IANA's, for example Europe/Madrid")
    return name


def _severity_rule(fields: Fields) -> SeverityRule:
    name = fields.text("severity", one_of=_GIVE_UP_AFTER)
    rule = SeverityRule(_match(fields, SEVERITY_LABELS), Severity[name.upper()] if name else Severity.WARNING)
    fields.done()
    return rule


def _routes(document: Fields, targets: Collection[str], escalations: Collection[str]) -> tuple[Route, ...]:
    sections = document.sections("routes")
    routes = [_route(fields, targets, escalations) for fields in sections]
    seen: set[str] = set()
    for route, fields in zip(routes, sections, strict=True):
        if route.name in seen:
            fields.problem("name", f"{route.name!r} is taken by a route above; name every route differently")
        seen.add(route.name)
    if not routes or routes[-1].match:
        document.problem("routes", "the last one does not match everything; add one without match")
    for route, fields in zip(routes[:-1], sections[:-1], strict=True):
        if not route.match:
            fields.problem("match", "is missing, so that no later route is ever reached; say what it matches")
    return tuple(routes)


def _route(fields: Fields, targets: Collection[str], escalations: Collection[str]) -> Route:
    name = fields.text("name")
    if name:
        _is_name(name, "name", fields)
    route = Route(
        name=name,
        match=_match(fields, ROUTE_LABELS),
        targets=fields.texts("targets", one_of=targets),
        group_by=tuple(sorted(fields.texts("group_by", (), one_of=GROUP_LABELS))),
        at_risk=fields.flag("at_risk"),
        escalation=fields.text("escalation", "", one_of=escalations),
    )
    if route.escalation and not escalations:
        fields.problem("escalation", f"{route.escalation!r} is unknown; say under escalations what it is")
    fields.done()
    return route


def _match(fields: Fields, labels: Iterable[str]) -> Match:
    section = fields.section("match")
    match = {label: frozenset(section.texts(label, (), one_of=_CLOSED.get(label, ()))) for label in sorted(labels)}
    section.done()
    return {label: values for label, values in match.items() if values}


def _is_name(name: str, field: str, fields: Fields) -> bool:
    if _NAME.fullmatch(name):
        return True
    fields.problem(field, f"{name!r} is no name; write at most 40 small letters, digits, - and _")
    return False
