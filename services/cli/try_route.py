"""`puntual incidents test-route`: whom this would reach, and why."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from services.cli.exits import EXIT_CODES
from services.cli.options import FILE, INSTANT, json_option
from services.notifier.config import BUILT_IN, load_rules
from services.notifier.items import NONE, Details, Item, Standing
from services.notifier.reach import Condition, Miss, Reach, Told, reach
from services.promises.model import PromiseKind
from services.shared.clock import wall_clock
from services.shared.instant import Instant, format_instant
from services.shared.keys import record_key
from services.sla.model import Metric

_KINDS: Mapping[str, Sequence[str]] = {
    "promises": [kind.name.lower() for kind in PromiseKind],
    "sla": [metric.name.lower() for metric in Metric],
}
_STANDINGS: Mapping[str, Standing] = {"at_risk": Standing.AT_RISK, "broken": Standing.BROKEN}


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
@click.option("--service", required=True, type=click.Choice([*_KINDS]), help="Whose it is.")
@click.option("--kind", required=True, help="order_ready, first_reply, …")
@click.option("--standing", required=True, type=click.Choice([*_STANDINGS]), help="How it stands.")
@click.option("--tier", default="", help="The customer's tier.")
@click.option("--site", default="")
@click.option("--team", default="")
@click.option("--customer", default="", help="The customer's id.")
@click.option("--reason", default="", help="Why it is broken: due_passed, no_show_by_us, …")
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
    at: Instant | None,
    file: Path,
    as_json: bool,
) -> None:
    """Say whom a promise or clock would reach that stands so, which rules decide that, and why none before them did.

    Nothing is sent, and nobody is asked: neither Kafka nor any of the secrets that targets need has to be there.
    """
    if kind not in _KINDS[service]:
        raise click.BadParameter(
            f"{service} has no kind {kind!r}; write one of {', '.join(_KINDS[service])}", param_hint="'--kind'"
        )
    item = Item(
        service=service,
        record_id=record_key(customer, kind, "any").decode(),
        kind=kind,
        standing=_STANDINGS[standing],
        due_at=NONE,
        since=NONE,
        offset=0,
        announced_at=NONE,
        details=Details(customer_tier=tier, site=site, team=team, reason=reason),
    )
    rules, now = load_rules(file), wall_clock() if at is None else at
    found = reach(item, rules, now)
    risk = reach(item._replace(standing=Standing.AT_RISK), rules, now)
    if as_json:
        click.echo(json.dumps({**_fields(found), "tells_risk": bool(risk.told)}, indent=2))
        return
    rule = f"by rule {found.severity_rule}: {_met(found.severity_met)}" if found.severity_rule else "as no rule matches"
    click.echo(f"severity  {found.severity.name.lower()}, {rule}")
    _say_misses("rule", found.severity_misses)
    click.echo(f"route     {found.route_number}, {found.route.name}: {_met(found.route_met)}")
    _say_misses("route", found.route_misses)
    click.echo(f"incident  {found.incident_id}")
    for heading, told in zip(["told", *[""] * len(found.told)], found.told, strict=False):
        click.echo(f"{heading:8}  {told.target} by {told.channel}{_person(told, found)}{_duty(told)}")
    if not found.told:
        click.echo(f"told      nobody: {_silent(found)}")
    elif standing != "at_risk":
        is_told = f"told by route {risk.route_number}, {risk.route.name}" if risk.told else f"not told: {_silent(risk)}"
        click.echo(f"a risk    is {is_told}")


def _silent(found: Reach) -> str:
    return f"route {found.route_number}, {found.route.name}, has no at_risk: true"


def _say_misses(what: str, misses: Sequence[Miss]) -> None:
    for miss in misses:
        name = f", {miss.name}" if miss.name else ""
        click.echo(f"          not {what} {miss.number}{name}: {' and '.join(map(_unmet, miss.unmet))}")


def _unmet(condition: Condition) -> str:
    return f"{condition.label} is {condition.value or 'not given'}, not {' or '.join(condition.accepted)}"


def _met(conditions: Sequence[Condition]) -> str:
    return " and ".join(f"{each.label} is {each.value}" for each in conditions) or "it matches everything"


def _person(told: Told, found: Reach) -> str:
    return f", {told.person}'s for {found.severity.name.lower()}" if told.person else ""


def _duty(told: Told) -> str:
    if told.shift is None:
        return ""
    until = format_instant(told.shift.end)
    on_call = "on call" if told.shift.who else "as nobody is on call"
    return f", {on_call} by {told.schedule} until {until}"


def _fields(found: Reach) -> Mapping[str, object]:
    return {
        "severity": found.severity.name.lower(),
        "severity_rule": found.severity_rule,
        "severity_met": list(map(Condition._asdict, found.severity_met)),
        "severity_misses": list(map(_missed, found.severity_misses)),
        "route": found.route.name,
        "route_number": found.route_number,
        "route_met": list(map(Condition._asdict, found.route_met)),
        "route_misses": list(map(_missed, found.route_misses)),
        "incident": found.incident_id,
        "told": [
            {
                "target": told.target,
                "channel": told.channel,
                "person": told.person or None,
                "on_call": told.schedule or None,
                "until": format_instant(told.shift.end) if told.shift else None,
            }
            for told in found.told
        ],
    }


def _missed(miss: Miss) -> Mapping[str, object]:
    name = {"name": miss.name} if miss.name else {}
    return {"number": miss.number, **name, "unmet": list(map(Condition._asdict, miss.unmet))}
