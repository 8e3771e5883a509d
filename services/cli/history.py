"""History: the rows of a CSV file, as a mapping reads them, turned into events and known outcomes."""

import csv
import gzip
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from random import Random
from typing import IO, Any, NamedTuple, cast

from services.cli.complaints import Complaints, Row, as_lines, counts
from services.cli.inputs import INPUTS
from services.cli.mapping import EventPlan, Mapping
from services.cli.progress import track
from services.cli.words import counted
from services.shared.clock import set_timestamp
from services.shared.errors import PuntualError
from services.shared.instant import Instant, from_datetime
from services.shared.keys import record_key
from services.shared.publisher import Event, key_of


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
    #: Of each event, the line that tells its place; 0: something else does, or nothing.
    lines: list[int] = field(default_factory=list)
    #: Record key → the states its known outcome allows, unless rows contradict each other.
    truths: dict[bytes, frozenset[str]] = field(default_factory=dict)
    #: What is wrong with rows, and in which lines; what else is odd.
    problems: Sequence[tuple[str, Sequence[int]]] = ()
    remarks: Sequence[str] = ()

    def check(self, path: Path) -> None:
        """Raises NothingTold where no event is left to judge."""
        if not self.events:
            late = f"{counted(self.later, 'event')} of it later than --as-of" if self.later else ""
            why = "; ".join(filter(None, [late, *as_lines(self.problems), *self.remarks])) or "it has no rows"
            raise NothingTold(f"{path} has no event to judge: {why}. Correct the mapping or the instant")


class BadRow(PuntualError):
    """A row that cannot be read as the mapping says."""


class NothingTold(PuntualError):
    """A history without an event."""


def read(path: Path, mapping: Mapping, as_of: Instant) -> History:
    """The events and known outcomes in a file. Raises BadRow at the first row that is not as the mapping says."""
    history, complaints = History(), Complaints(mapping)
    for line, row in _rows(path, mapping):
        history.rows += 1
        complaints.row(row)
        if counts(row, mapping.where):
            try:
                _read_row(history, complaints, mapping, row, line, as_of)
            except ValueError as error:
                raise BadRow(f"{path}, line {line}: {error}") from None
    for key in complaints.contradicted:
        del history.truths[key]
    history.problems, history.remarks = complaints.problems(), complaints.remarks()
    _number_rows(history)
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
                raise BadRow(f"{path} has no column {', '.join(missing)}, which {mapping.path} names; it has {has}")
            if twice := sorted({column for column in columns if columns.count(column) > 1} & mapping.columns()):
                raise BadRow(f"{path} has column {twice[0]} twice, which {mapping.path} names; rename one of them")
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


def _read_row(history: History, complaints: Complaints, mapping: Mapping, row: Row, line: int, as_of: Instant) -> None:
    event = None
    for number, plan in enumerate(mapping.events, start=1):
        if not counts(row, plan.where) or any(fill.needed and not row[fill.column] for fill in plan.fills):
            continue
        event, at = _event(plan, mapping, row, number)
        complaints.event(line, number - 1, plan, row, event)
        if at > as_of:
            history.later += 1
        else:
            history.events.append(PastEvent(at, plan.topic, key_of(event), event.SerializeToString()))
            history.lines.append(0 if plan.is_numbered else line)
    if event is None:
        complaints.told_nothing(line, row)
    truth = mapping.truth
    if truth and event and (stated := row[truth.column]):
        if stated not in truth.means:
            raise ValueError(f"column {truth.column}: verdict.means explains only {', '.join(truth.means)}")
        key = record_key(event.customer_id, truth.kind, event.subject_id)
        history.truths[key] = truth.means[stated]
        complaints.end(line, key, truth.means[stated])


def _event(plan: EventPlan, mapping: Mapping, row: Row, number: int) -> tuple[Event, Instant]:
    event: Any = type(plan.prototype)()
    event.CopyFrom(plan.prototype)
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
            setattr(target, name, _whole(fill.column, text))
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


def _number_rows(history: History) -> None:
    """Have the rows tell the order of what is of one subject and instant. Of all else it says nothing."""
    events, lines = history.events, history.lines
    when = {index: (events[index].topic, events[index].key, events[index].occurred_at) for index in range(len(events))}
    for (topic, *_), together in groupby(sorted(when, key=when.__getitem__), key=when.__getitem__):
        places = [index for index in together if lines[index]]
        if len({lines[index] for index in places}) > 1:
            message = cast("type[Event]", INPUTS[topic].message)
            opened = {index: message.FromString(events[index].value) for index in places}
            ids: defaultdict[str, set[str]] = defaultdict(set)
            for event in opened.values():
                ids[event.subject_id].add(event.event_id)
            for index, event in opened.items():
                if len(ids[event.subject_id]) > 1:
                    event.sequence = lines[index]
                    events[index] = events[index]._replace(value=event.SerializeToString())


#: Digits that a sequence has at most.
_DIGITS = 18


def _whole(column: str, text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise ValueError(
            f"column {column} is no whole number of at most {_DIGITS} digits; order is told by such numbers"
        )
    return int(text or 0)


def _open(path: Path) -> IO[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    return opened(path, "rt", encoding="utf-8-sig", newline="")  # spreadsheets begin with a byte order mark
