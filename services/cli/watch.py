"""`puntual watch`: what is announced, as it is announced."""

import json
import sys
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice

import click
from rich.box import SIMPLE_HEAD
from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.cli.changes import Change, follow_changes
from services.cli.exits import EXIT_CODES
from services.cli.options import json_option, kafka_option, prefix_option
from services.promises.model import PromiseKind
from services.shared.instant import Instant, format_instant, to_datetime
from services.shared.terminal import console, say
from services.sla.model import Metric

_KINDS = [each.name.lower() for each in (*PromiseKind, *Metric)]
#: The verdict stands, so most have nothing to learn from it.
_NOTED = "noted"
_MEANINGS = {
    "made": "a promise was made",
    "started": "a clock began to run",
    "at_risk": "it is due soon, and still open",
    "renegotiated": "another date counts now",
    "kept": "the promise was fulfilled in time",
    "kept_late": "it was fulfilled, but too late",
    "broken": "the time has passed, or we called it off or did not come",
    "withdrawn": "the promise no longer counts: called off or excused",
    "met": "the clock was stopped in time",
    "missed": "it was stopped, but too late",
    "breached": "the limit has passed, and it still runs",
    "cancelled": "the clock no longer counts: called off in time",
    "paused": "a clock stands still: what it times is held",
    "resumed": "a clock goes on after a pause",
    "retracted": "what was said to be broken, late or at risk was not",
    _NOTED: "another fact came, the verdict stands; only if asked for",
}
_LISTED = "\n".join(f"  {name:<13} {meaning}" for name, meaning in _MEANINGS.items())
COLOURS = {
    "kept": "green", "met": "green", "retracted": "green", "broken": "bold red", "breached": "bold red",
    "kept_late": "yellow", "missed": "yellow", "at_risk": "yellow", "renegotiated": "cyan", "withdrawn": "dim",
    "cancelled": "dim",
}  # fmt: skip


@click.command(
    short_help="Show changes as they are announced.",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual watch --transition broken --transition breached
  puntual watch --kind order_ready
  puntual watch --from-start --json --limit 100 | jq .record_id

\b
Transitions:
{_LISTED}""",
)
@click.option(
    "--transition", "transitions", multiple=True, type=click.Choice(list(_MEANINGS)), help="Only these; repeatable."
)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(_KINDS), help="Only these; repeatable.")
@click.option("--from-start", is_flag=True, help="Begin with everything that is still there.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many changes.")
@kafka_option
@prefix_option
@json_option
def watch(
    transitions: tuple[str, ...],
    kinds: tuple[str, ...],
    from_start: bool,
    limit: int | None,
    kafka: str,
    prefix: str,
    as_json: bool,
) -> None:
    """Show every change of promises and clocks as it is announced. Ctrl-C ends it.

    On a terminal it is a live table, in a pipe a line for each change, with --json an object. Where Kafka stops
    answering, it says so on stderr and goes on when Kafka is back.
    """
    everything = follow_changes(kafka, prefix, from_start=from_start, tell=_tell)
    try:
        first = next(everything)  # only where there is Kafka, and the topics, is there something to show
        changes = islice(
            (change for change in chain([first], everything) if change and _wanted(change, transitions, kinds)), limit
        )
        if as_json:
            for change in changes:
                say(json.dumps(_facts(change)))
        else:
            _show(changes)
    except KeyboardInterrupt:
        pass  # the way to end it


def _wanted(change: Change, transitions: tuple[str, ...], kinds: tuple[str, ...]) -> bool:
    asked = change.transition in transitions if transitions else change.transition != _NOTED
    return asked and (not kinds or change.kind in kinds)


def _facts(change: Change) -> dict[str, str | None]:
    return {
        **change._asdict(),
        "announced_at": format_instant(change.announced_at),
        "due_at": _optional(change.due_at),
        "settled_at": _optional(change.settled_at),
    }


def _optional(at: Instant) -> str | None:
    return format_instant(at) if at else None


def _tell(what: str) -> None:
    say(what, err=True)  # not click's way round the live table, which would be written into


def _show(changes: Iterator[Change]) -> None:
    out = console()
    if not out.is_terminal:
        for change in changes:
            out.print(as_line(change), soft_wrap=True)
        return
    latest: deque[Change] = deque(maxlen=max(out.height - 4, 5))
    with Live(_table(latest), console=out, auto_refresh=False, redirect_stderr=sys.stderr.isatty()) as live:
        for change in changes:
            latest.append(change)
            live.update(_table(latest), refresh=True)


def as_line(change: Change) -> Text:
    """A change as a line of text."""
    what = change.kind.replace("_", " ")
    text = Text(f"{to_datetime(change.announced_at).astimezone():%H:%M:%S}  ")
    text.append(f"{change.transition.replace('_', ' '):<12}", COLOURS.get(change.transition, ""))
    text.append(f" {what:<17} {change.subject_id:<8} {change.customer_id:<6} {change.site:<11} {change.margin()}")
    return text


def _table(changes: deque[Change]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in ("announced", "what", "kind", "subject", "customer", "site", ""):
        table.add_column(name, no_wrap=True)
    for change in changes:
        table.add_row(
            f"{to_datetime(change.announced_at).astimezone():%H:%M:%S}",
            Text(change.transition.replace("_", " "), COLOURS.get(change.transition, "")),
            change.kind.replace("_", " "),
            Text(change.subject_id),
            Text(change.customer_id),
            Text(change.site),
            change.margin(),
        )
    return table
