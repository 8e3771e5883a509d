"""`puntual incidents silence`: what nobody wants to hear for a while."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from google.protobuf.json_format import MessageToDict
from rich.box import SIMPLE_HEAD
from rich.table import Table

from puntual.notifier.v1 import silence_pb2 as pb
from services.cli.exits import EXIT_CODES, NotFound
from services.cli.options import FILE, INSTANT, SpanType, json_option, kafka_option, login, prefix_option
from services.cli.reading import latest, read_to_end
from services.cli.words import counted
from services.notifier.codec import unpack
from services.notifier.config import BUILT_IN, load_rules
from services.notifier.holds import Silence, Window, conditions, placed
from services.notifier.incident import IncidentState
from services.notifier.items import NONE, TROUBLE
from services.notifier.routing import Match, matches
from services.notifier.silences_log import SilencesLog, pack_entry, pack_silence
from services.notifier.silencing import NoSilence, check, listed, new_id, said_by
from services.shared.clock import wall_clock
from services.shared.instant import Instant, format_instant
from services.shared.publisher import Publisher
from services.shared.terminal import console, say, stacked
from services.shared.topic_log import publish
from services.shared.topics import AUDIT, INCIDENTS, SILENCES

_NOW = wall_clock
#: Where what is wrong with a silence was said.
_OPTIONS: Mapping[str, str] = {"match": "--match", "ends_at": "--from", "reason": "--reason", "by": "--by"}


_notifier_option = click.option(
    "--notifier",
    "file",
    type=FILE,
    envvar="PUNTUAL_NOTIFIER",
    default=BUILT_IN,
    show_envvar=True,
    help="The file that the notifier goes by: silences are judged with its maintenance.  [default: the built-in one]",
)


class _Condition(click.ParamType):
    """A label and a value on the command line: "site=Madrid"."""

    name = "label=value"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        label, _, said = str(value).partition("=")
        try:
            conditions([(label, said)])
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return label, said


@click.command(
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual incidents silence --match site=Madrid --match kind=callback --for 2h --reason stocktaking
  puntual incidents silence --match severity=info --match severity=warning --match team=counter --for 8h \\
    --from 2026-12-24T18:00:00+01:00 --reason 'only what is critical'
  puntual incidents silence --all --for 30min --reason 'the calendar is restored from a backup'""",
)
@click.option(
    "--match", "pairs", type=_Condition(), multiple=True,
    help="What it is for: service, kind, standing, severity, reason, customer, tier, site, team or repeated. All that"
    " are given must match; of one given several times any.",
)  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="For everything there is, an hour at most: nobody is told.")
@click.option("--for", "span", type=SpanType("30d"), required=True, help='How long: "90min", "2h", at most "30d".')
@click.option("--reason", required=True, help="Why, for whoever wonders at it later.")
@click.option("--from", "start", type=INSTANT, help="When it begins.  [default: now]")
@click.option("--by", default=login, metavar="NAME", help="Who wants it.  [default: your login]")
@_notifier_option
@kafka_option
@prefix_option
def silence(
    pairs: tuple[tuple[str, str], ...],
    everything: bool,
    span: int,
    reason: str,
    start: Instant | None,
    by: str,
    file: Path,
    kafka: str,
    prefix: str,
) -> None:
    """Hold back news of what matches, on all workers, and tell what of it is still open at the end.

    Says first which open incidents it is about. That something is over is told all the same to whoever knows of it.
    Silences and maintenance that last at the same time and together hold back everything are refused, unless that is
    said: --all.
    """
    if everything == bool(pairs):
        raise click.UsageError("say what it is for, --match site=Madrid, or --all: one of them")
    match, now = conditions(pairs), _NOW()
    begin = now if start is None else start
    made = Silence(new_id(), match, begin, Instant(begin + span), reason, by, now, everything)
    windows = load_rules(file).holds.windows
    _check(made, {}, now, windows)  # before anybody is asked anything
    _check(made, read_silences(kafka, prefix, windows).silences, now, windows)
    _tell_what_it_is_for(match, kafka, prefix)
    _audit(kafka, prefix, "created", made, by)
    asyncio.run(publish(kafka, SILENCES.under(prefix), made.silence_id, pack_silence(made)))
    say(
        f"silence {made.silence_id}: {_what(match)}, {_time(made.starts_at)} to {_time(made.ends_at)};"
        f" `puntual incidents unsilence {made.silence_id}` ends it"
    )


@click.command(
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual incidents silences
  puntual incidents silences --all --json | jq -r .reason"""
)
@click.option("--all", "everything", is_flag=True, help="Those that are over, too.")
@_notifier_option
@kafka_option
@prefix_option
@json_option
def silences(everything: bool, file: Path, kafka: str, prefix: str, as_json: bool) -> None:
    """List the silences in force and to come, by when they end."""
    known = read_silences(kafka, prefix, load_rules(file).holds.windows)
    found = listed(known.silences.values(), _NOW(), everything=everything)
    if as_json:
        for each in found:
            say(json.dumps(MessageToDict(pb.Silence.FromString(pack_silence(each)))))
    elif found:
        table = Table(box=SIMPLE_HEAD)
        for heading in ("silence", "from", "to"):
            table.add_column(heading, no_wrap=True)
        for heading in ("what", "why"):
            table.add_column(heading, overflow="fold")
        for each in found:
            why = f"{each.reason} ({each.by})"
            table.add_row(
                each.silence_id, _time(each.starts_at), _time(each.ends_at), stacked(*_conditions(each.match)), why
            )
        console().print(table)
    say(counted(len(found), "silence"), err=True)


@click.command(
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual incidents unsilence 5c1f09ab"""
)
@click.argument("silence_id")
@click.option("--by", default=login, metavar="NAME", help="Who ends it.  [default: your login]")
@kafka_option
@prefix_option
def unsilence(silence_id: str, by: str, kafka: str, prefix: str) -> None:
    """End a silence now; what it held back and is still open is told."""
    topic = SILENCES.under(prefix)
    if problem := said_by(by):
        raise click.BadParameter(problem, param_hint="--by")
    if silence_id.encode() not in latest(kafka, topic):
        raise NotFound(f"There is no silence {silence_id!r}; `puntual incidents silences --all` names them.")
    # What cannot be used can be taken out all the same; then its id is all there is to note.
    ended = read_silences(kafka, prefix).written.get(silence_id) or Silence(silence_id, {}, NONE, NONE)
    _audit(kafka, prefix, "ended", ended, by)
    asyncio.run(publish(kafka, topic, silence_id, None))
    say(f"silence {silence_id} is ended")


def read_silences(kafka: str, prefix: str, windows: Sequence[Window] = ()) -> SilencesLog:
    """Those in the topic, as workers with these windows know them; says what cannot be used."""
    known = SilencesLog(lambda offset, problem: say(f"offset {offset} is left out: {problem}", err=True), windows)
    for message in read_to_end(kafka, SILENCES.under(prefix)):
        known.take(message)
    return known


def _check(made: Silence, others: Mapping[str, Silence], now: Instant, windows: Sequence[Window]) -> None:
    try:
        check(made, others, now, windows)
    except NoSilence as error:
        raise click.BadParameter(error.problem, param_hint=_OPTIONS[error.field]) from error


def _audit(kafka: str, prefix: str, action: str, silence: Silence, by: str) -> None:
    with Publisher(kafka, prefix) as publisher:
        entry = pack_entry(action, silence, by, "cli", _NOW())
        publisher.send(AUDIT.under(prefix), silence.silence_id.encode(), entry)


def _tell_what_it_is_for(match: Match, kafka: str, prefix: str) -> None:
    """The open incidents with items that match, as far as is known where they belong."""
    found: list[tuple[str, int]] = []
    for incident in map(unpack, latest(kafka, INCIDENTS.under(prefix)).values()):
        items = (item for item in incident.items if item.standing in TROUBLE and not item.follow_up)
        count = sum(matches(match, placed(item, incident.incident_id)) for item in items)
        if count and incident.state == IncidentState.OPEN:
            found.append((incident.incident_id, count))
    say(f"It is for {counted(len(found), 'open incident')}{':' if found else '.'}")
    for incident_id, count in sorted(found):
        say(f"  {incident_id}: {counted(count, 'item')}")


def _what(match: Match) -> str:
    return ", ".join(_conditions(match))


def _conditions(match: Match) -> Sequence[str]:
    return [f"{label}={'|'.join(sorted(values))}" for label, values in sorted(match.items())] or ["everything"]


def _time(at: Instant) -> str:
    return format_instant(at)[:16] + "Z"
