"""`puntual incidents`: what is open, and who was told of it."""

import json
from collections.abc import Iterator, Mapping

import click
from google.protobuf.json_format import MessageToDict
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from puntual.notifier.v1 import incident_pb2 as pb
from services.cli.audit import audit
from services.cli.exits import EXIT_CODES, NotFound
from services.cli.options import json_option, kafka_option, prefix_option
from services.cli.reading import latest
from services.cli.silences import silence, silences, unsilence
from services.cli.try_route import try_route
from services.cli.words import counted
from services.notifier.codec import unpack
from services.notifier.incident import Incident, IncidentState
from services.notifier.items import Item, Severity, Standing
from services.notifier.outbox import Delivery, DeliveryState, Kind
from services.shared.instant import Instant, format_instant
from services.shared.topics import INCIDENTS

_COLOURS: Mapping[int, str] = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow"}
_TROUBLE = frozenset({Standing.AT_RISK, Standing.BROKEN})


@click.group(
    short_help="See what is open, and who was told of it.",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual incidents list
  puntual incidents show everything/kind=order_ready,site=Torino
  puntual incidents silence --match site=Torino --for 2h --reason stocktaking""",
)
def incidents() -> None:
    """What the notifier tells people of, as Kafka has it: whichever worker keeps it, and also while none runs."""


for each in (silence, silences, unsilence):
    incidents.add_command(each)


@incidents.command(
    "list",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual incidents list
  puntual incidents list --all --json | jq -r .incidentId""",
)
@click.option("--all", "everything", is_flag=True, help="Those of the last day that are over, too.")
@kafka_option
@prefix_option
@json_option
def list_(everything: bool, kafka: str, prefix: str, as_json: bool) -> None:
    """Show the open incidents, the worst first and of those the oldest."""
    records = {key: (unpack(value), value) for key, value in _read(kafka, prefix).items()}
    found = sorted(
        (each for each in records.values() if everything or each[0].state == IncidentState.OPEN),
        key=lambda each: (each[0].state, -_severity(each[0]), each[0].since, each[0].incident_id),
    )
    if as_json:
        for _, value in found:
            click.echo(json.dumps(MessageToDict(pb.Incident.FromString(value))))
    elif found:
        table = Table(box=SIMPLE_HEAD)
        for heading in ("since", "severity", "open"):
            table.add_column(heading, no_wrap=True)
        for heading in ("told", "incident"):
            table.add_column(heading, overflow="fold")
        for incident, _ in found:
            table.add_row(*_row(incident))
        Console(highlight=False).print(table)
    click.echo(counted(len(found), "incident"), err=True)


@incidents.command(
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual incidents show everything/kind=order_ready,site=Torino
  puntual incidents show everything --json"""
)
@click.argument("incident_id")
@kafka_option
@prefix_option
@json_option
def show(incident_id: str, kafka: str, prefix: str, as_json: bool) -> None:
    """Show what is open in an incident, and of each target what it was told last, when and with what success."""
    value = _read(kafka, prefix).get(incident_id.encode())
    if value is None:
        raise NotFound(f"There is no incident {incident_id!r}; `puntual incidents list --all` names them.")
    if as_json:
        click.echo(json.dumps(MessageToDict(pb.Incident.FromString(value)), indent=2))
        return
    console, incident = Console(highlight=False), unpack(value)
    console.print(Text(f"{incident.incident_id}: {_word(IncidentState, incident.state)}", "bold"), soft_wrap=True)
    for item in sorted(_open(incident), key=lambda item: (-item.severity, item.since)):
        console.print(Text(_item(item), _COLOURS.get(item.severity, "")), soft_wrap=True)
    for delivery in incident.deliveries:
        console.print(Text(_delivery(delivery), "dim"), soft_wrap=True)


incidents.add_command(audit)
incidents.add_command(try_route)


def _read(kafka: str, prefix: str) -> Mapping[bytes, bytes]:
    """Each incident as it was written last."""
    return latest(kafka, INCIDENTS.under(prefix))


def _open(incident: Incident) -> Iterator[Item]:
    return (item for item in incident.items if item.standing in _TROUBLE and not item.follow_up)


def _severity(incident: Incident) -> int:
    return max((item.severity for item in _open(incident)), default=Severity.UNSPECIFIED)


def _row(incident: Incident) -> tuple[str | Text, ...]:
    severity = _severity(incident)
    told = ", ".join(f"{delivery.target} {_word(DeliveryState, delivery.state)}" for delivery in incident.deliveries)
    return (
        _time(incident.since),
        Text(_word(Severity, severity) if severity else "over", _COLOURS.get(severity, "dim")),
        f"{sum(1 for _ in _open(incident)):,}",
        told,
        incident.incident_id,
    )


def _item(item: Item) -> str:
    """One line of what is open."""
    told = ", ".join(told.target for told in item.told)
    return (
        f"  {_word(Severity, item.severity)}  {_word(Standing, item.standing)}  {item.record_id}"
        f"  due {_time(item.due_at)}  {f'told: {told}' if told else 'nobody was told yet'}"
    )


def _delivery(delivery: Delivery) -> str:
    """One line of who was told what."""
    at = delivery.settled_at or delivery.decided_at
    tried = f" after {counted(delivery.attempts, 'attempt')}" if delivery.attempts != 1 else ""
    why = f", {delivery.last_failure}" if delivery.last_failure else ""
    number = f", {delivery.provider_id}" if delivery.provider_id else ""
    return (
        f"  {_time(at)}  {_word(Kind, delivery.kind)} of {counted(delivery.item_count, 'item')} to {delivery.target}"
        f" by {delivery.channel}: {_word(DeliveryState, delivery.state)}{tried}{why}{number}"
    )


def _word(enum: type[IncidentState | Severity | Standing | Kind | DeliveryState], number: int) -> str:
    return enum(number).name.lower().replace("_", " ")


def _time(at: Instant) -> str:
    return format_instant(at)[:19] + "Z" if at else "unknown"
