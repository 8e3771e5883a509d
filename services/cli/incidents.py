"""`puntual incidents`: what is open, who was told of it, and who sees to it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote

import click
from google.protobuf.json_format import MessageToDict
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from puntual.notifier.v1 import incident_pb2 as pb
from services.cli.audit import audit
from services.cli.exits import EXIT_CODES, NotFound
from services.cli.options import FILE, json_option, kafka_option, prefix_option
from services.cli.reading import latest
from services.cli.silences import read_silences, silence, silences, unsilence
from services.cli.try_route import try_route
from services.cli.words import counted
from services.notifier.codec import unpack
from services.notifier.config import load_plan, load_steps
from services.notifier.held_back import HeldBack, held_back
from services.notifier.holds import Reason
from services.notifier.incident import Incident, IncidentState
from services.notifier.items import TROUBLE, Handling, Item, Severity, Standing
from services.notifier.outbox import Delivery, DeliveryState, Kind
from services.notifier.responses import MAX_COMMENT, Action, Response
from services.shared.clock import wall_clock
from services.shared.instant import Instant, format_instant
from services.shared.terminal import console, say, stacked, write
from services.shared.text import clean
from services.shared.topics import INCIDENTS

_COLOURS: Mapping[int, str] = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow"}
#: In which order they are listed.
_ORDER = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED, IncidentState.RESOLVED)
_SAID: Mapping[int, str] = {
    Action.ACKNOWLEDGE: "acknowledged",
    Action.TAKE_OVER: "taken over",
    Action.SNOOZE: "put off",
    Action.RESOLVE: "closed",
    Action.COMMENT: "commented",
    Action.RESEND: "sent again",
}
#: What the messages are called that have no noun for a name.
_NEWS: Mapping[int, str] = {
    Kind.AT_RISK: "warning",
    Kind.RESOLVED: "resolution",
    Kind.ACKNOWLEDGED: "acknowledgement",
    Kind.SNOOZED: "deferral",
}


@click.group(
    short_help="See what is open and who was told of it, and answer.",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual incidents list
  puntual incidents show everything/kind=order_ready,site=Torino
  puntual incidents silence --match site=Torino --for 2h --reason stocktaking
  puntual incidents ack everything/kind=order_ready,site=Torino --for 2h""",
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
  puntual incidents list --lost
  puntual incidents list --all --json | jq -r .incidentId""",
)
@click.option("--all", "everything", is_flag=True, help="Those of the last day that are over, too.")
@click.option("--lost", is_flag=True, help="Only those of which somebody could not be told; `resend` tells them again.")
@kafka_option
@prefix_option
@json_option
def list_(everything: bool, lost: bool, kafka: str, prefix: str, as_json: bool) -> None:
    """Show the open incidents: first those that nobody sees to, of those the worst, and of those the oldest.

    Below what is open, after a plus: about how many more are open than it has room to follow.
    """
    records = {key: (unpack(value), value) for key, value in read_incidents(kafka, prefix).items()}
    found = sorted(
        (
            each
            for each in records.values()
            if (everything or each[0].state != IncidentState.RESOLVED) and (losses(each[0]) or not lost)
        ),
        key=lambda each: (_ORDER.index(each[0].state), -_severity(each[0]), each[0].since, each[0].incident_id),
    )
    if as_json:
        for _, value in found:
            say(json.dumps(MessageToDict(pb.Incident.FromString(value))))
    elif found:
        table = Table(box=SIMPLE_HEAD)
        for heading in ("since", "severity", "open"):
            table.add_column(heading, no_wrap=True)
        for heading in ("told", "incident"):
            table.add_column(heading, overflow="fold")
        for incident, _ in found:
            table.add_row(*_row(incident))
        console().print(table)
    say(counted(len(found), "incident"), err=True)


@incidents.command(
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual incidents show everything/kind=order_ready,site=Torino
  puntual incidents show everything --json"""
)
@click.argument("incident_id")
@click.option(
    "--notifier",
    "file",
    type=FILE,
    help="The file that the notifier goes by, to say whom the next step tells, and what holds news back.",
)
@kafka_option
@prefix_option
@json_option
def show(incident_id: str, file: Path | None, kafka: str, prefix: str, as_json: bool) -> None:
    """Show what is open in an incident, who sees to it, and of each target what it was told last and with what success.

    Then what people said to it, the last twenty. Whoever is on call can be another by the time of the next step.
    """
    steps = load_steps(file) if file else {}
    value = read_incidents(kafka, prefix).get(incident_id.encode())
    if value is None:
        raise NotFound(f"There is no incident {incident_id!r}; `puntual incidents list --all` names them.")
    if as_json:
        write(json.dumps(MessageToDict(pb.Incident.FromString(value)), indent=2))
        return
    out, incident = console(), unpack(value)
    out.print(Text(f"{incident.incident_id}: {_word(IncidentState, incident.state)}", "bold"), soft_wrap=True)
    now = wall_clock()
    opened = [f"opened at {_time(at)}"] if (at := incident.attention.opened_at) else []
    held = tuple(_what_holds(incident, file, kafka, prefix, now)) if file and incident.looked_at else ()
    for line in (
        *opened,
        *_attention(incident, now, steps),
        *_lost(incident),
        *_waits(incident, held, now),
        *_unfollowed(incident),
    ):
        out.print(Text(f"  {line}"), soft_wrap=True)
    coming = (item for item in incident.items if item.rises and item.follow_up)
    for item in sorted((*_open(incident), *coming), key=lambda item: (-item.severity, item.since)):
        out.print(Text(_item(item), _COLOURS.get(item.severity, "")), soft_wrap=True)
    for line in (
        *map(_delivery, incident.deliveries),
        *(_response(said, now) for said in incident.attention.responses),
    ):
        out.print(Text(line, "dim"), soft_wrap=True)


incidents.add_command(audit)
incidents.add_command(try_route)


def read_incidents(kafka: str, prefix: str) -> Mapping[bytes, bytes]:
    """Each incident as it was written last, by its key."""
    return latest(kafka, INCIDENTS.under(prefix))


def clock(at: Instant, now: Instant) -> str:
    """An instant as people read it: "14:05Z"; on another day than `now`: "2026-11-27T14:05Z"."""
    day, time = format_instant(at)[:16].split("T")
    return f"{time}Z" if format_instant(now).startswith(day) else f"{day}T{time}Z"


def losses(incident: Incident, target: str = "") -> Mapping[str, int]:
    """Target → of how much that is open it could not be told; of one target only, if any is named."""
    return Counter(
        told.target for item in _open(incident) for told in item.told if told.lost and target in {"", told.target}
    )


def _lost(incident: Incident) -> Iterator[str]:
    if lost := losses(incident):
        yield f"not delivered: {', '.join(f'{count:,} to {target}' for target, count in sorted(lost.items()))}"


def _open(incident: Incident) -> Iterator[Item]:
    return (
        item
        for item in incident.items
        if item.standing in TROUBLE and item.handling != Handling.CLOSED and not item.follow_up
    )


def _severity(incident: Incident) -> int:
    return max((item.severity for item in _open(incident)), default=Severity.UNSPECIFIED)


def _attention(incident: Incident, now: Instant, steps: Mapping[str, Sequence[Sequence[str]]]) -> Iterator[str]:
    """Who sees to it, and who is told next when. `steps`: route → whom each step tells, as far as known."""
    taken, acknowledgement = incident.steps_taken, incident.attention.acknowledgement
    if acknowledgement:
        word = "put off" if acknowledgement.snoozed else "acknowledged"
        since = ", more broke since" if incident.state == IncidentState.OPEN else ""
        yield f"{word} by {clean(acknowledgement.by)} until {clock(acknowledgement.until, now)}{since}"
    if incident.next_step_at:
        whom = ", ".join(next(iter(steps.get(incident.route, ())[taken:]), ()))
        yield f"next step at {clock(incident.next_step_at, now)} ({taken} taken)" + (f": {whom}" if whom else "")
    elif taken:
        yield f"all steps taken ({taken})"


def _what_holds(incident: Incident, file: Path, kafka: str, prefix: str, now: Instant) -> Iterator[HeldBack]:
    """By the rules in a file, and the silences that there are."""
    plan = load_plan(file)
    plan.holds.follow(read_silences(kafka, prefix, plan.holds.windows).silences.values(), now)
    return held_back(incident, plan, now)


def _waits(incident: Incident, held: Sequence[HeldBack], now: Instant) -> Iterator[str]:
    """What waits to be told, until when at least, and as far as known why."""
    if not incident.looked_at:
        return
    waits = f"until {clock(at, now)}" if (at := incident.next_look_at) else "until other trouble is over"
    whys: dict[str, set[Item]] = {}
    for found in held:
        whys.setdefault(_why(found, now), set()).add(found.item)
    why = ", ".join(f"{counted(len(items), 'item')} {why}" for why, items in whys.items())
    yield f"held back: {why}" if why else f"news is held back {waits}"


def _why(found: HeldBack, now: Instant) -> str:
    reason, until, by = found.held
    if until is None:
        return "by other trouble, until that is over"
    what = {
        Reason.SILENCED: f"silence {by}",
        Reason.MAINTENANCE: f"maintenance {clean(by)}",
        Reason.QUIET_HOURS: f"the quiet hours of {found.target}",
    }
    return f"by {what[reason]} until {clock(until, now)}"


def _unfollowed(incident: Incident) -> Iterator[str]:
    if incident.unfollowed:
        command = f"puntual incidents audit {quote(incident.incident_id)}"
        yield f"and about {incident.unfollowed:,} more, which it has no room to follow; each is on record: {command}"


def _row(incident: Incident) -> tuple[RenderableType, ...]:
    severity = _severity(incident)
    told = ", ".join(f"{delivery.target} {_word(DeliveryState, delivery.state)}" for delivery in incident.deliveries)
    how = filter(None, (told, *_attention(incident, wall_clock(), {}), *_lost(incident)))
    more = (f"+ {incident.unfollowed:,}",) if incident.unfollowed else ()
    return (
        _time(incident.since),
        Text(_word(Severity, severity) if severity else "over", _COLOURS.get(severity, "dim")),
        stacked(f"{sum(1 for _ in _open(incident)):,}", *more),
        stacked(*how),
        incident.incident_id,
    )


def _item(item: Item) -> str:
    """One line of what is open."""
    told = ", ".join(f"{told.target}{' (not delivered)' if told.lost else ''}" for told in item.told)
    answered = ", answered" if item.handling == Handling.ANSWERED else ""
    rises = "".join(f", {_word(Severity, rise.severity)} from {_time(rise.at)}" for rise in item.rises)
    return (
        f"  {_word(Severity, item.severity)}  {_word(Standing, item.standing)}{answered}  {item.record_id}"
        f"  due {_time(item.due_at)}{rises}  {f'told: {told}' if told else 'nobody was told yet'}"
    )


def _delivery(delivery: Delivery) -> str:
    """One line of who was told what."""
    at = delivery.settled_at or delivery.decided_at
    tried = f" after {counted(delivery.attempts, 'attempt')}" if delivery.attempts != 1 else ""
    why = f", {delivery.last_failure}" if delivery.last_failure else ""
    news = _NEWS.get(delivery.kind) or _word(Kind, delivery.kind)
    number = f", {delivery.provider_id}" if delivery.provider_id else ""
    return (
        f"  {_time(at)}  {news} of {counted(delivery.item_count, 'item')} to {delivery.target}"
        f" by {delivery.channel}: {_word(DeliveryState, delivery.state)}{tried}{why}{number}"
    )


def _response(said: Response, now: Instant) -> str:
    """One line of who said what."""
    through = f" through {clean(said.via)}" if said.via else ""
    until = f" until {clock(said.until, now)}" if said.until else ""
    comment = f": {clean(said.comment, MAX_COMMENT)}" if said.comment else ""
    return f"  {_time(said.responded_at)}  {_SAID[said.action]} by {clean(said.by)}{through}{until}{comment}"


def _word(enum: type[IncidentState | Severity | Standing | Kind | DeliveryState], number: int) -> str:
    return enum(number).name.lower().replace("_", " ")


def _time(at: Instant) -> str:
    return format_instant(at)[:19] + "Z" if at else "unknown"
