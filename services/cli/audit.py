"""`puntual incidents audit`: what broke, who was told of it, when, by which rule, and what the provider said."""

import json
from collections.abc import Callable, Mapping, Sequence

import click
from google.protobuf.json_format import MessageToDict
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from puntual.notifier.v1 import audit_pb2 as pb
from puntual.notifier.v1.incident_pb2 import STANDING_AT_RISK, STANDING_BROKEN, NotificationKind, Severity, Standing
from services.cli.exits import EXIT_CODES, NotFound
from services.cli.options import SINCE, json_option, kafka_option, prefix_option
from services.cli.reading import read_since
from services.cli.words import counted
from services.notifier.audit_search import AuditSearch, Sought
from services.shared.clock import from_timestamp
from services.shared.instant import Instant, format_instant
from services.shared.terminal import console, say, stacked
from services.shared.text import refanged
from services.shared.topics import AUDIT

_COLOURS: Mapping[int, str] = {
    pb.NOTIFICATION_OUTCOME_ATTEMPTED: "dim",
    pb.NOTIFICATION_OUTCOME_ACCEPTED: "green",
    pb.NOTIFICATION_OUTCOME_RETRY: "yellow",
    pb.NOTIFICATION_OUTCOME_DEAD: "bold red",
}
_STANDINGS: Mapping[int, str] = {STANDING_AT_RISK: "yellow", STANDING_BROKEN: "red"}

#: Who was told, or did it, line by line; and what.
Row = tuple[Sequence[str | Text], str]
_OUTCOME = "NOTIFICATION_OUTCOME_"


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", " ")


@click.command(
    short_help="Show what broke and who was told of it, when, by which rule.",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual incidents audit --since 24h
  puntual incidents audit --since 24h --breaches
  puntual incidents audit everything/kind=order_ready,site=Torino
  puntual incidents audit --outcome dead --since 7d
  puntual incidents audit --record c-7/order_ready/o-1 --json
  puntual incidents audit --target pager --since 2026-11-26T09:00:00+01:00""",
)
@click.argument("incident_id", required=False, metavar="[INCIDENT]")
@click.option("--since", type=SINCE, help="Only from then on: 24h, 7d, 2026-11-26T17:00:00+01:00.  [default: all]")
@click.option("--until", type=SINCE, help="Only what was before.  [default: now]")
@click.option("--target", help="Only what was sent to this target.")
@click.option(
    "--outcome",
    type=click.Choice([_word(name, _OUTCOME) for name in pb.NotificationOutcome.keys()[1:]]),
    help="Only what ended like that; dead: given up.",
)
@click.option("--record", help="Only of this promise or clock: that it broke, and what lists it (each message ten).")
@click.option("--breaches", is_flag=True, help="Of all incidents, too, what broke or was at risk, and that it is over.")
@kafka_option
@prefix_option
@json_option
def audit(
    incident_id: str | None,
    since: Instant | None,
    until: Instant | None,
    target: str | None,
    outcome: str | None,
    record: str | None,
    breaches: bool,
    kafka: str,
    prefix: str,
    as_json: bool,
) -> None:
    """Show every attempt to tell somebody, and how it ended: accepted, to be tried again, or given up (dead).

    Of one incident, or of one promise or clock, also what broke or was at risk, and that it is over: every one, those
    too that the incident has no room to follow. Of all incidents --breaches shows that.

    Who made or ended which silence stands there, too; instead of an incident a silence can be named.

    The entries of 400 days, in the order of time. Nobody knows what came of an attempt without an end, so another one
    was made. An incident is called after the route that led there and what was told together.
    """
    ended = pb.NotificationOutcome.Value(f"{_OUTCOME}{outcome.upper()}") if outcome else 0
    sought = Sought(
        since=since or Instant(0),
        until=until or Instant(0),
        incident_id=refanged(incident_id or ""),
        target=target or "",
        record_id=refanged(record or ""),
        outcome=ended,
        breaches=breaches,
    )
    messages = read_since(kafka, AUDIT.under(prefix), sought.since, sought.key, "reading entries")
    entries = filter(None, map(AuditSearch(sought).take, messages))
    found = sorted(entries, key=lambda entry: (from_timestamp(entry.at), entry.entry_id))
    if incident_id and not found:
        raise NotFound(f"Nothing like that is written down of incident {incident_id!r}; is its id right and complete?")
    if as_json:
        for entry in found:
            say(json.dumps(MessageToDict(entry)))
    elif found:
        table = Table(box=SIMPLE_HEAD)
        table.add_column("at", no_wrap=True)
        for heading in ("told", "of"):
            table.add_column(heading, overflow="fold")
        for entry in found:
            who, what = _ROWS.get(entry.WhichOneof("about") or "", _unknown)(entry)
            at = format_instant(from_timestamp(entry.at))[:19] + "Z"
            table.add_row(at, stacked(*who), stacked(*filter(None, (what, entry.incident_id))))
        console().print(table)
    say(counted(len(found), "entry"), err=True)


def _notification(entry: pb.AuditEntry) -> Row:
    told = entry.notification
    outcome = _outcome(entry)
    severity = _word(Severity.Name(told.severity), "SEVERITY_")
    kind = _word(NotificationKind.Name(told.kind), "NOTIFICATION_KIND_")
    became = f"{outcome}: {told.failure}" if told.failure else outcome
    who = f"{told.target} by {told.channel}", Text(f"{became}, attempt {told.attempt}", _colour(told))
    number = (told.provider_id,) if told.provider_id else ()
    return (*who, *number), f"{severity} {kind}, {counted(told.item_count, 'item')}"


def _outcome(entry: pb.AuditEntry) -> str:
    return _word(pb.NotificationOutcome.Name(entry.notification.outcome), _OUTCOME)


def _colour(told: pb.AuditedNotification) -> str:
    return _COLOURS.get(told.outcome, "")


def _answer(entry: pb.AuditEntry) -> Row:
    return (f"{entry.answer.by} by {entry.answer.via}", entry.answer.action), entry.answer.comment


def _item(entry: pb.AuditEntry) -> Row:
    item = entry.item
    standing = _word(Standing.Name(item.standing), "STANDING_")
    severity = _word(Severity.Name(item.severity), "SEVERITY_")
    due = f", due {format_instant(from_timestamp(item.due_at))[:19]}Z" if item.HasField("due_at") else ""
    return (Text(standing, _STANDINGS.get(item.standing, "")),), f"{severity} {item.record_id}{due}"


def _silence(entry: pb.AuditEntry) -> Row:
    about, silence = entry.silence, entry.silence.silence
    what = ", ".join(f"{each.label}={'|'.join(each.values)}" for each in silence.match) or "everything"
    start, end = (format_instant(from_timestamp(at))[:16] for at in (silence.starts_at, silence.ends_at))
    lasts = f"{start}Z to {end}Z: {silence.reason}"
    return (f"{about.by} by {about.via}", f"silence {about.action}"), f"{silence.silence_id}: {what}, {lasts}"


def _unknown(_entry: pb.AuditEntry) -> Row:
    return ("?",), "something newer than this command"


_ROWS: Mapping[str, Callable[[pb.AuditEntry], Row]] = {
    "notification": _notification,
    "answer": _answer,
    "item": _item,
    "silence": _silence,
}
