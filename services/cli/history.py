"""History: the rows of a CSV file, as a mapping reads them, turned into events and known outcomes."""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping as Table
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import IO, Any, NamedTuple

from services.cli.mapping import EventPlan, Mapping, Where
from services.cli.progress import track
from services.shared.clock import set_timestamp
from services.shared.errors import PuntualError
from services.shared.instant import Instant, from_datetime
from services.shared.keys import record_key
from services.shared.publisher import Event, key_of

Row = Table[str, str]


class PastEvent(NamedTuple):
    """One event of a history, ready to be judged or published."""

    occurred_at: Instant
    #: Short name, as in `wire.INPUTS`.
    topic: str
    #: Kafka's message key: customer or, without one, subject.
    key: str
    value: bytes


@dataclass(slots=True)
class History:
    """What a file tells, as of an instant."""

    rows: int = 0
    #: Events later than the instant, which are left out: they were not known then.
    later: int = 0
    events: list[PastEvent] = field(default_factory=list)
    #: Record key → the states its known outcome allows.
    truths: dict[bytes, frozenset[str]] = field(default_factory=dict)


class BadRow(PuntualError):
    """A row that cannot be read as the mapping says."""


def read(path: Path, mapping: Mapping, as_of: Instant) -> History:
    """The events and known outcomes in a file. Raises BadRow at the first row that is not as the mapping says."""
    history = History()
    for line, row in _rows(path, mapping):
        history.rows += 1
        if _counts(row, mapping.where):
            try:
                _read_row(history, mapping, line, row, as_of)
            except ValueError as error:
                raise BadRow(f"{path}, line {line}: {error}") from None
    return history


def _rows(path: Path, mapping: Mapping) -> Iterator[tuple[int, Row]]:
    """Each row with the line it ends in. Raises BadRow, without what the file holds."""
    line = 1
    try:
        with _open(path) as file:
            total = sum(1 for _ in file) - 1
        with _open(path) as file:
            reader = csv.reader(file, strict=True)
            columns = next(reader, [])
            if missing := sorted(mapping.columns() - {*columns}):
                has = ", ".join(columns) or "nothing"
                raise BadRow(f"{path} has no column {missing[0]}, which {mapping.path} names; it has {has}")
            for fields in track(reader, total, "reading rows"):
                line = reader.line_num
                if len(fields) == len(columns):
                    yield line, dict(zip(columns, fields, strict=True))
                elif fields:  # an empty line is none
                    raise BadRow(
                        f"{path}, line {line}: there are {len(columns)} columns, but {len(fields)} fields here;"
                        " a text with a comma needs double quotes"
                    )
    except csv.Error as error:
        raise BadRow(f"{path}, after line {line}: {error}; is a double quote missing, or one too many?") from None
    except UnicodeDecodeError:
        raise BadRow(f"{path}, after line {line}: the text is not UTF-8; save the file as UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise BadRow(f"{path} cannot be read: {error}; .gz must be gzip, and complete") from error


def disturbed(events: list[PastEvent], seed: int | None, repeat: float) -> list[PastEvent]:
    """The events, a share of them repeated and, given a seed, all shuffled: what a verdict must not mind."""
    chance = Random(seed)  # noqa: S311 - nothing secret
    if repeat:
        events = events + chance.sample(events, round(repeat * len(events)))
    if seed is not None:
        events = chance.sample(events, len(events))
    return events


def _read_row(history: History, mapping: Mapping, line: int, row: Row, as_of: Instant) -> None:
    event = None
    for number, plan in enumerate(mapping.events, start=1):
        if not _counts(row, plan.where) or any(fill.needed and not row[fill.column] for fill in plan.fills):
            continue
        event, at = _event(plan, mapping, row, number, line)
        if at > as_of:
            history.later += 1
        else:
            history.events.append(PastEvent(at, plan.topic, key_of(event), event.SerializeToString()))
    truth = mapping.truth
    if truth and event and (stated := row[truth.column]):
        if stated not in truth.means:
            raise ValueError(f"column {truth.column}: verdict.means explains only {', '.join(truth.means)}")
        history.truths[record_key(event.customer_id, truth.kind, event.subject_id)] = truth.means[stated]


def _event(plan: EventPlan, mapping: Mapping, row: Row, number: int, line: int) -> tuple[Event, Instant]:
    event: Any = type(plan.prototype)()
    event.CopyFrom(plan.prototype)
    event.sequence = event.sequence or line
    at, written = Instant(0), ""
    for fill in plan.fills:
        target = event
        for name in fill.path[:-1]:
            target = getattr(target, name)
        text, name = row[fill.column], fill.path[-1]
        if fill.is_time:
            instant = _instant(mapping, fill.column, text)
            set_timestamp(getattr(target, name), instant)
            if fill.path == ("occurred_at",):
                at, written = instant, text
        elif fill.is_number:
            setattr(target, name, _number(fill.column, text))
        else:
            setattr(target, name, text)
    # The same row read again is the same event: its id says what happened to what and when, not in which line it stood.
    event.event_id = event.event_id or f"{event.subject_id}/{number}-{plan.arm}/{written}"
    event.source = event.source or mapping.path.stem
    return event, at


def _instant(mapping: Mapping, column: str, text: str) -> Instant:
    try:
        return from_datetime(mapping.read_time(text))
    except ValueError as error:
        raise ValueError(f"column {column} {error}") from None


#: Digits that a sequence has at most.
_DIGITS = 18


def _number(column: str, text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise ValueError(
            f"column {column} is no whole number of at most {_DIGITS} digits; order is told by such numbers"
        )
    return int(text or 0)


def _counts(row: Row, where: Where) -> bool:
    return all(row[column] in values if values else row[column] for column, values in where.items())


def _open(path: Path) -> IO[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    return opened(path, "rt", encoding="utf-8-sig", newline="")  # spreadsheets begin with a byte order mark
