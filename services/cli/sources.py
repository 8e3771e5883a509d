"""`puntual sources`: when each source was last heard, what waits for it, and whether declarations can be used."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from services.cli.exits import EXIT_CODES, FAILED, Group
from services.cli.options import FILE, json_option, kafka_option, prefix_option
from services.cli.orphans import show_orphans
from services.cli.reading import Entry, read_to_end
from services.cli.words import counted
from services.shared.clock import wall_clock
from services.shared.duration import format_duration
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.sources.book import WAITING_COUNTS
from services.shared.sources.codec import ARMS, is_record, stream_of, unpack
from services.shared.sources.declared import read_declared
from services.shared.sources.model import EVERY, NONE, Record, State, Stream, Word
from services.shared.sources.orphans import MOST
from services.shared.terminal import console, say, write
from services.shared.topics import SOURCES

_NOW = wall_clock


class Row(NamedTuple):
    """What is known of a stream: as its record says, and what workers said since."""

    record: Record
    #: NONE: it was never heard.
    heard_until: Instant
    waiting: int


@click.group(
    cls=Group,
    invoke_without_command=True,
    short_help="Show when each source was last heard, and which are silent.",
    epilog="""\b
Exit codes: 0 all are heard, no orphan; 1 one is silent, an orphan, or something failed; 2 wrong usage; 3 not found;
4 Kafka or the service cannot be reached.

\b
Examples:
  puntual sources
  puntual sources --orphans --limit 100            # what was fulfilled and never promised
  puntual sources --json | jq -r 'select(.state == "silent") | .source'
  puntual sources check sources.yaml""",
)
@kafka_option
@prefix_option
@click.option(
    "--orphans",
    is_flag=True,
    help="List what was fulfilled although nothing known promises or starts it, 15 minutes later; asks the services.",
)
@click.option("--limit", type=click.IntRange(1, MOST), default=20, show_default=True, help="Of orphans, the latest.")
@click.option("--promises", default="127.0.0.1:9111", show_default=True, help="gRPC address of the promises service.")
@click.option("--sla", default="127.0.0.1:9112", show_default=True, help="gRPC address of the sla service.")
@json_option
@click.pass_context
def sources(
    context: click.Context,
    kafka: str,
    prefix: str,
    orphans: bool,
    limit: int,
    promises: str,
    sla: str,
    as_json: bool,
) -> None:
    """List every stream of events: its source, topic and site, when it was last heard, and what waits for it.

    A stream that is `learning` is not known well enough to be called silent; nothing waits for it.
    """
    if context.invoked_subcommand:
        return
    if orphans:
        if show_orphans((promises, sla), limit, _NOW(), as_json=as_json):
            context.exit(FAILED)
        return
    rows = rows_of(read_to_end(kafka, SOURCES.under(prefix)), _NOW())
    if as_json:
        for row in rows:
            write(json.dumps(_as_json(row), ensure_ascii=False))
    elif rows:
        _print(rows, _NOW())
    silent = sum(row.record.state == State.SILENT for row in rows)
    say(f"{counted(len(rows), 'stream')}, {silent:,} silent", err=True)
    if silent:
        context.exit(FAILED)


@sources.command(
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual sources check sources.yaml"""
)
@click.argument("file", type=FILE)
def check(file: Path) -> None:
    """Say whether the declarations in FILE can be used, and otherwise every mistake with its line and its remedy."""
    declared = read_declared(file, ARMS)
    streams = counted(len(declared.streams), "stream")
    say(f"{file}: {streams} declared, told after {format_duration(declared.after)}; all is in order")


def rows_of(entries: Iterable[Entry], now: Instant) -> list[Row]:
    """Every stream that has a record, the silent ones first."""
    records: dict[Stream, Record] = {}
    words: dict[bytes, tuple[Word, Instant]] = {}
    for entry in entries:
        _take(entry, records, words)
    return sorted((_row(record, words, now) for record in records.values()), key=_silent_first)


def _take(entry: Entry, records: dict[Stream, Record], words: dict[bytes, tuple[Word, Instant]]) -> None:
    key = entry.key or b""
    try:
        said = unpack(entry.value) if entry.value else None
        if is_record(key):
            stream = stream_of(key)
            records.pop(stream, None)
            if isinstance(said, Record):
                records[stream] = said
        elif isinstance(said, Word):
            words[key] = said, Instant(entry.timestamp * 1_000)
        else:
            words.pop(key, None)
    except ValueError as error:
        say(f"offset {entry.offset} of partition {entry.partition} is left out: {error}", err=True)


def _row(record: Record, words: Mapping[bytes, tuple[Word, Instant]], now: Instant) -> Row:
    said = [(word, at) for word, at in words.values() if word.stream == record.stream]
    heard = [each.until for each in (record.heard, *(word.heard for word, _ in said)) if each]
    waiting = sum(word.waiting for word, at in said if now - at < WAITING_COUNTS)
    return Row(record, max(heard, default=NONE), waiting)


def _silent_first(row: Row) -> tuple[object, ...]:
    return row.record.state != State.SILENT, row.record.stream


def _as_json(row: Row) -> Mapping[str, object]:
    record, (source, topic, site) = row.record, row.record.stream
    return {
        "source": source,
        "topic": topic,
        "site": site,
        "state": State(record.state).name.lower(),
        "since": format_instant(record.since) if record.since else None,
        "heard_until": format_instant(row.heard_until) if row.heard_until else None,
        "usual_gap_seconds": record.usual_gap / SECOND or None,
        "silent_after_seconds": record.silent_after / SECOND or None,
        "declared": record.declared,
        "fulfils": list(record.fulfils),
        "waiting": row.waiting,
    }


def _print(rows: Sequence[Row], now: Instant) -> None:
    table = Table(box=SIMPLE_HEAD)
    for heading in ("source", "topic", "site"):
        table.add_column(heading, overflow="fold")
    for heading in ("state", "last heard", "usual gap", "silent after", "waiting"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        record, (source, topic, site) = row.record, row.record.stream
        ago = f"{format_duration(max(now - row.heard_until, 0))} ago" if row.heard_until else "not yet"
        table.add_row(
            source, _all(topic), _all(site), State(record.state).name.lower(), ago, _span(record.usual_gap),
            _span(record.silent_after), str(row.waiting or ""),
        )  # fmt: skip
    console().print(table)


def _all(text: str) -> str:
    return "all" if text == EVERY else text


def _span(span: int) -> str:
    return format_duration(span) if span else "not known"
