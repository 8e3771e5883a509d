"""`puntual incidents test-route`: whom this would reach, and why."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path

import click
from google.protobuf.json_format import MessageToDict

from services.cli.exits import EXIT_CODES
from services.cli.options import FILE, INSTANT, SpanType, json_option, kafka_option, prefix_option
from services.cli.silences import read_silences
from services.cli.words import counted
from services.notifier.config import BUILT_IN, load_rules
from services.notifier.holds import Reason
from services.notifier.items import NONE, Details, Standing
from services.notifier.kinds import KINDS
from services.notifier.reach import Condition, Miss, Reach, Taken, Told, reach
from services.notifier.reach_codec import Misasked, asked, pack_reach
from services.notifier.routing import Route
from services.shared.clock import wall_clock
from services.shared.duration import format_duration
from services.shared.instant import Instant, format_instant
from services.shared.terminal import say, write

#: How many steps of an escalation are shown to people.from services.shared.terminal import say, write

_MOST_TURNS = 10
_HELD: Mapping[Reason, str] = {Reason.SILENCED: "by the silence", Reason.MAINTENANCE: "by the maintenance"}


@click.command(
    "test-route",
    short_help="Say whom something would reach, and why.",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual incidents test-route --service promises --kind order_ready --standing broken
  puntual incidents test-route --service sla --kind first_reply --standing at_risk \\
    --tier gold --site Torino --at 2026-12-24T22:00+01:00 --config notifier.yaml --json""",
)
@click.option("--service", required=True, type=click.Choice([*KINDS]), help="Whose it is.")
@click.option("--kind", required=True, help="order_ready, first_reply, …")
@click.option("--standing", required=True, type=click.Choice(["at_risk", "broken"]), help="How it stands.")
@click.option("--tier", default="", help="The customer's tier.")
@click.option("--site", default="")
@click.option("--team", default="")
@click.option("--customer", default="", help="The customer's id.")
@click.option("--reason", default="", help="Why it is broken: due_passed, no_show_by_us, …")
@click.option("--late", type=SpanType("400d"), help="How late what is broken is: 5h.  [default: not at all]")
@click.option("--repeated", is_flag=True, help="As if the customer had been let down too often of late.")
@click.option("--at", type=INSTANT, help="When it is told, for who is on call: 2026-12-24T22:00+01:00.  [default: now]")
@click.option(
    "--config",
    "--notifier",
    "file",
    type=FILE,
    envvar="PUNTUAL_NOTIFIER",
    default=BUILT_IN,
    show_envvar=True,
    help="The file with the rules.  [default: the built-in one]",
)
@click.option("--silences", "with_silences", is_flag=True, help="Count silences, too; Kafka has to be there.")
@kafka_option
@prefix_option
@json_option
def try_route(
    service: str,
    kind: str,
    standing: str,
    tier: str,
    site: str,
    team: str,
    customer: str,
    reason: str,
    late: int | None,
    repeated: bool,
    at: Instant | None,
    file: Path,
    with_silences: bool,
    kafka: str,
    prefix: str,
    as_json: bool,
) -> None:
    """Say whom a promise or clock would reach that stands so, which rules decide that, and why none before them did.

    Each route that takes it comes with the steps of its escalation, reckoned from that instant, whom they tell by then,
    what holds it back, and what other trouble would. Nothing is sent, and nobody is asked: neither Kafka (but for
    silences) nor any of the secrets that targets need has to be there.
    """
    rules, now = load_rules(file), wall_clock() if at is None else at
    details = Details(customer_tier=tier, site=site, team=team, reason=reason, breaches=int(repeated))
    try:
        due_at = Instant(now - late) if late else NONE
        item = asked(service, kind, Standing[standing.upper()], customer, details, due_at)
    except Misasked as error:
        raise click.BadParameter(error.problem, param_hint=f"'--{error.field}'") from error
    if with_silences:
        rules.holds.follow(read_silences(kafka, prefix, rules.holds.windows).silences.values(), now)
    found = reach(item, rules, now)
    if as_json:
        write(json.dumps(MessageToDict(pack_reach(found), always_print_fields_with_no_presence=True), indent=2))
        return
    for heading, line in _lines(found, is_broken=item.standing == Standing.BROKEN):
        say(f"{heading:8}  {line}")


def _lines(found: Reach, *, is_broken: bool) -> Iterator[tuple[str, str]]:
    """What is said, with what stands before it."""
    rule = f"by rule {found.severity_rule}: {_met(found.severity_met)}" if found.severity_rule else "as no rule matches"
    yield "severity", f"{found.severity.name.lower()}, {rule}"
    yield from (("", _missed("rule", miss)) for miss in found.severity_misses)
    told = 0
    for taken in found.routes:
        goes_on = "; continue" if taken.route.proceeds else ""
        yield "route", f"{taken.number}, {taken.route.name}: {_met(taken.met)}{goes_on}"
        misses = [miss for miss in found.route_misses if told < miss.number < taken.number]
        yield from (("", _missed("route", miss)) for miss in misses)
        yield from _on_route(taken)
        told = taken.number
    if is_broken:
        yield "a risk", f"is {_told_of_risk(found.risk)}"


def _on_route(taken: Taken) -> Iterator[tuple[str, str]]:
    yield "incident", taken.incident_id
    told = [_told(each) for each in taken.told] or [f"nobody: {_silent(taken.number, taken.route)}"]
    shown, more = taken.turns[:_MOST_TURNS], taken.turns[_MOST_TURNS:]
    turns = [f"{format_duration(turn.after)}: {_told(each)}" for turn in shown for each in turn.told]
    if more:
        turns.append(f"and {counted(len(more), 'more step')}, the last after {format_duration(more[-1].after)}")
    held = [f"{_HELD[held.reason]} {held.by} until {format_instant(held.until or NONE)}" for held in taken.held]
    causes = [
        f"while {' and '.join(f'{label} is {_or(values)}' for label, values in sorted(rule.cause.items()))}"
        f"{', with the same ' + ' and '.join(rule.equal) if rule.equal else ''} (inhibit {number})"
        for number, rule in taken.causes
    ]
    for heading, lines in (("told", told), ("after", turns), ("held", held), ("waits", causes)):
        yield from zip(chain([heading], repeat("")), lines, strict=False)


def _told_of_risk(routes: Mapping[int, Route]) -> str:
    telling = [f"route {number}, {route.name}" for number, route in routes.items() if route.at_risk]
    if telling:
        return f"told by {' and '.join(telling)}"
    return f"not told: {' and '.join(_silent(number, route) for number, route in routes.items())}"


def _silent(number: int, route: Route) -> str:
    return f"route {number}, {route.name}, has no at_risk: true"


def _missed(what: str, miss: Miss) -> str:
    name = f", {miss.name}" if miss.name else ""
    return f"not {what} {miss.number}{name}: {' and '.join(map(_unmet, miss.unmet))}"


def _unmet(condition: Condition) -> str:
    return f"{condition.label} is {condition.value or 'not given'}, not {_or(condition.accepted)}"


def _met(conditions: Sequence[Condition]) -> str:
    return " and ".join(f"{each.label} is {each.value}" for each in conditions) or "it matches everything"


def _or(values: Iterable[str]) -> str:
    return " or ".join(sorted(values))


def _told(told: Told) -> str:
    duty = quiet = ""
    if told.shift:
        on_call = "on call" if told.shift.who else "as nobody is on call"
        duty = f", {on_call} by {told.schedule} until {format_instant(told.shift.end)}"
    if told.quiet_until:
        quiet = f", once its quiet hours end, {format_instant(told.quiet_until)}"
    whose = f", {told.person}'s" if told.person else ""
    instead = f", else {', then '.join(told.fallbacks)}" if told.fallbacks else ""
    return f"{told.target} by {told.channel}{whose}{duty}{quiet}{instead}"
