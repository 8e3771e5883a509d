"""Reads `notifier.yaml`. Whoever edits it is told everything that is wrong at once: place, value and remedy."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from services.notifier.answers import read_answers
from services.notifier.beliefs import Receivers
from services.notifier.channels import CHANNELS, CLOSING, RATES
from services.notifier.channels.channel import Channel
from services.notifier.escalations import Escalation, Groups, read_escalations
from services.notifier.fallbacks import circle
from services.notifier.heartbeat import Heartbeat
from services.notifier.holds import Holds, Until
from services.notifier.incident import Plan
from services.notifier.items import Severity
from services.notifier.links import Links
from services.notifier.on_call import PREFIX, read_schedule
from services.notifier.pace import Pace
from services.notifier.people import Person, quiet_hours, read_people
from services.notifier.read_holds import read_inhibitions, read_match, read_quiet_hours, read_windows
from services.notifier.read_severities import read_severities
from services.notifier.read_templates import read_templates
from services.notifier.repeats import Repeated, read_repeated
from services.notifier.routing import GROUP_LABELS, ROUTE_LABELS, Match, Route, Routing
from services.notifier.schedules import Duty, Schedule
from services.notifier.throttle import Rate
from services.notifier.wording import LANGUAGES, Style
from services.shared.documents import read_text
from services.shared.fields import Fields
from services.shared.zones import time_zone

#: What applies where PUNTUAL_NOTIFIER names no other file.
BUILT_IN = Path(__file__).with_name("notifier.yaml")

#: Severity → until when an attempt is repeated, where the document does not say.
_GIVE_UP_AFTER = {"critical": "24h", "warning": "12h", "info": "4h"}
#: Names stand in ids, headers and metric labels.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
#: How many messages a target can bear.
_RATE = re.compile(r"([1-9][0-9]{0,5}) per (second|minute|hour)")
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3_600.0}


class Target(NamedTuple):
    """Somebody to tell: the way there, and how to put it."""

    name: str
    channel_name: str
    channel: Channel
    style: Style
    #: Until when its quiet hours last.
    quiet_hours: Until | None = None
    #: Microseconds between two canaries; 0: it gets none.
    canary: int = 0
    #: None: as many as there are.
    rate: Rate | None = None


class Rules(NamedTuple):
    """Of the document what decides who is told, without what it takes to tell them."""

    #: Target → its channel.
    channels: Mapping[str, str]
    routing: Routing
    schedules: Mapping[str, Schedule]
    escalations: Mapping[str, Escalation]
    holds: Holds
    #: When a breach counts as repeated; None: nobody counts them.
    repeated: Repeated | None = None
    people: Mapping[str, Person] = {}
    #: Target → who is told where it cannot be reached.
    fallbacks: Mapping[str, str] = {}


class Config(NamedTuple):
    """The document, read."""

    targets: Mapping[str, Target]
    routing: Routing
    plan: Plan
    #: Schedule → who is on call by it.
    on_call: Mapping[str, Duty]
    #: All this without what it takes to tell them, as it was at the start.
    rules: Rules
    #: What says outside that all is well.
    heartbeat: Heartbeat | None = None
    #: What messages can be answered by; None: they are not answered on a page.
    links: Links | None = None

    def whose(self, target: str) -> str:
        """The person that a target is of, else the target itself."""
        return next((name for name, person in self.rules.people.items() if target in person.contact), target)

    def current(self) -> Rules:
        """The rules, with the schedules as they are by now."""
        return self.rules._replace(schedules={name: duty.schedule for name, duty in self.on_call.items()})


def load(file: Path) -> Config:
    """The configuration in a file. Raises DocumentError."""
    return parse(read_text(file), str(file))


def load_schedules(file: Path, targets: Collection[str] = ()) -> Mapping[str, Schedule]:
    """Only the schedules in a file: it takes none of the secrets that targets need. Raises DocumentError.

    `targets`: the targets and people that can be named, if not those in the file.
    """
    fields, problems = Fields.of(read_text(file), str(file))
    known = targets or [*fields.section("targets").names(), *fields.section("people").names()]
    schedules = _schedules(fields.section("schedules"), known, file.parent)
    problems.check()
    return schedules


def load_steps(file: Path) -> Mapping[str, Sequence[Sequence[str]]]:
    """Route → whom each step of its escalation tells, as the file names them. Raises DocumentError.

    It takes none of the secrets that targets need.
    """
    rules = load_rules(file)
    return {
        route.name: [turn.targets or route.targets for turn in rules.escalations[route.escalation].turns]
        for route in rules.routing.routes
        if route.escalation
    }


def parse(text: str, file: str) -> Config:
    """The configuration in a YAML text; `file` is for errors only. Raises DocumentError with all its problems."""
    fields, problems = Fields.of(text, file)
    targets = _targets(fields.section("targets"))
    quiet = {name: target.quiet_hours for name, target in targets.items() if target.quiet_hours}
    channels = {name: target.channel_name for name, target in targets.items()}
    rules = _rules(fields, channels, quiet, Path(file).parent)
    patience = fields.section("give_up_after")
    give_up_after: dict[int, int] = {
        Severity[name.upper()]: patience.span(name, default) for name, default in _GIVE_UP_AFTER.items()
    }
    patience.done()
    heartbeat = Heartbeat.read(fields.section("heartbeat")) if "heartbeat" in fields else None
    links = read_answers(fields)
    fields.done()
    problems.check()
    on_call = {name: Duty(schedule) for name, schedule in rules.schedules.items()}
    plan = Plan(_receivers(rules, on_call), give_up_after, rules.holds)
    return Config(targets, rules.routing, plan, on_call, rules, heartbeat, links)


def load_rules(file: Path) -> Rules:
    """The rules in a file: it takes none of the secrets that targets need. Raises DocumentError."""
    fields, problems = Fields.of(read_text(file), str(file))
    targets = fields.section("targets")
    channels = {name: targets.section(name).text("channel", one_of=CHANNELS) for name in targets.names()}
    hours = {name: _quiet_hours(targets.section(name)) for name in targets.names()}
    rules = _rules(fields, channels, {name: until for name, until in hours.items() if until}, file.parent)
    problems.check()
    return rules


def load_plan(file: Path) -> Plan:
    """Who is told on each route in a file, and what holds news back from them, but for silences. Raises DocumentError.

    It takes none of the secrets that targets need, and does not say how long anything is tried.
    """
    rules = load_rules(file)
    on_call = {name: Duty(schedule) for name, schedule in rules.schedules.items()}
    return Plan(_receivers(rules, on_call), {}, rules.holds)


def _receivers(rules: Rules, on_call: Mapping[str, Duty]) -> Mapping[str, Receivers]:
    contacts = {name: person.contact for name, person in rules.people.items()}
    groups = Groups(rules.channels, on_call, contacts, rules.fallbacks)
    return groups.all(rules.routing.routes, rules.escalations)


def _rules(fields: Fields, channels: Mapping[str, str], quiet: Mapping[str, Until], folder: Path) -> Rules:
    """`quiet`: target → until when its own quiet hours last."""
    people = _people(fields, channels)
    schedules = _schedules(fields.section("schedules"), [*channels, *people], folder)
    severities = read_severities(fields.sections("severity"))
    tellable = _tellable(fields)
    escalations = read_escalations(fields.section("escalations"), tellable)
    routes = _routes(fields, tellable, escalations)
    windows = read_windows(fields.sections("maintenance"))
    inhibitions = read_inhibitions(fields.sections("inhibit"), [route.group_by for route in routes])
    holds = Holds(windows, inhibitions, {**quiet, **quiet_hours(people.values())})
    routing, repeated = Routing(severities, routes), read_repeated(fields)
    return Rules(
        channels, routing, schedules, escalations, holds, repeated, people, _fallbacks(fields.section("targets"))
    )


def _people(document: Fields, channels: Mapping[str, str]) -> Mapping[str, Person]:
    if "people" not in document:
        return {}
    fields, targets = document.section("people"), document.section("targets")
    for name in fields.names():
        _is_name(name, name, fields)
    with_hours = [name for name in channels if "quiet_hours" in targets.section(name)]
    return read_people(fields, channels, with_hours)


def _tellable(document: Fields) -> Collection[str]:
    schedules = (f"{PREFIX}{name}" for name in document.section("schedules").names())
    return [*document.section("targets").names(), *document.section("people").names(), *schedules]


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


def _fallbacks(targets: Fields) -> Mapping[str, str]:
    sections = {name: targets.section(name) for name in targets.names()}
    named = {name: section.text("fallback", "", one_of=sections) for name, section in sections.items()}
    fallbacks = {name: other for name, other in named.items() if other}
    for name in fallbacks:
        if found := circle(name, fallbacks):
            sections[name].problem(
                "fallback", f"leads back to where it began, {' → '.join(found)}; leave one of them out"
            )
    return fallbacks


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
        templates=read_templates(fields.section("templates")),
    )
    quiet_hours = _quiet_hours(fields)
    canary = fields.section("canary")
    every = canary.span("every", "1h") if "canary" in fields else 0
    canary.done()
    rate = _rate(fields, channel_name)
    fields.text("fallback", "")  # read with the rules
    fields.done()
    return Target(name, channel_name, channel, style, quiet_hours, every, rate)


def _quiet_hours(target: Fields) -> Until | None:
    return read_quiet_hours(target.section("quiet_hours")) if "quiet_hours" in target else None


def _rate(fields: Fields, channel: str) -> Rate | None:
    written = fields.text("rate", "")
    if not written:
        return RATES.get(channel)
    if written == "none":
        return None
    if channel in CLOSING:
        fields.problem("rate", f"is not for {channel}, which closes each message's alert by itself; leave it out")
    found = _RATE.fullmatch(written)
    if not found:
        fields.problem("rate", f"{written!r} is no rate; write for example 20 per minute, or none")
        return None
    return Rate(int(found[1]), _SECONDS[found[2]])


def _zone(fields: Fields) -> str:
    name = fields.text("time_zone", "")
    try:
        if name:
            time_zone(name)
    except ValueError as error:
        fields.problem("time_zone", str(error))
    return name


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
        if not (route.match or route.proceeds):
            fields.problem("match", "is missing, so that no later route is ever reached; say what it matches")
    if routes and routes[-1].proceeds:
        sections[-1].problem("continue", "is of no use in the last route, after which there is none; leave it out")
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
        pace=Pace(*(fields.span(name, "0s") for name in Pace._fields)),
        proceeds=fields.flag("continue"),
    )
    if route.escalation and not escalations:
        fields.problem("escalation", f"{route.escalation!r} is unknown; say under escalations what it is")
    fields.done()
    return route


def _match(fields: Fields, labels: Iterable[str]) -> Match:
    return read_match(fields.section("match"), labels)


def _is_name(name: str, field: str, fields: Fields) -> bool:
    if _NAME.fullmatch(name):
        return True
    fields.problem(field, f"{name!r} is no name; write at most 40 small letters, digits, - and _")
    return False
