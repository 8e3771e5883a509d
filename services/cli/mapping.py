"""Mapping files: how the rows of somebody's CSV become events.

A mapping is YAML. Each of its `events` is what `puntual publish` takes (protobuf's JSON mapping with a `topic`), except
that a value "$column" is filled from the row: text as it is, times read in the mapping's zone. Keys:

    zone          IANA zone of the times in the file. In the hour that exists twice (the clock goes back) the first is
                  meant; a time that never was (the clock goes forward) counts on from before the gap.
    format        how times are written, as strptime has it; without it ISO 8601 ("2015-01-31 17:00:00", "2015-01-31").
                  "epoch seconds" and "epoch milliseconds" are those since 1970-01-01T00:00:00Z.
    where         which rows count: column → value or list of values as the file has them; "*" is anything but empty.
    every_event   fields all events share: source, subject_id, customer_id, …
    events        list of events, each with `topic`, `occurred_at`, one kind of event, and optionally its own `where`.
    verdict       optional: the column that holds the known outcome, the kind of promise it speaks of, and what its
                  values mean: value → list of promise states.

An event is left out of a row where the column of its time, or of anything inside its kind, is empty. A row without a
customer is judged by its subject. Values are the text that they are written as: NO, yes, 007 and true need no quotes.

What is of one instant (a file with dates has no times) happened in the order of the rows, or in that of a column of
whole numbers: `sequence: $number`. Where the rows are in no order, `sequence: 0` says so.
"""

import re
from collections.abc import Mapping as Table
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.cli.inputs import INPUTS
from services.promises.model import PromiseKind, State
from services.shared.documents import read_text
from services.shared.errors import Unusable
from services.shared.facts import Context
from services.shared.fields import Fields
from services.shared.instant import SECOND, Instant, to_datetime
from services.shared.publisher import Event, parse
from services.shared.zones import UTC, time_zone

_STATES = {state.name.lower() for state in State}
_PROMISES = [kind.name.lower() for kind in PromiseKind]
#: Fields beside the kind of event that may stay empty; all other columns are needed for the event to be one.
_OPTIONAL = {"customer_id", "sequence", *Context._fields}
_TIMESTAMP = "google.protobuf.Timestamp"

#: Column → the values that count; empty set: anything but empty.
Where = Table[str, frozenset[str]]


#: Ways to write times as numbers → how many microseconds one is.
EPOCHS: Table[str, int] = {"epoch seconds": SECOND, "epoch milliseconds": SECOND // 1_000}
_EITHER_EPOCH = " or ".join(f'"{name}"' for name in EPOCHS)
_LOOKS_LIKE_EPOCH = re.compile(r"\d{9,10}(\.\d+)?|\d{12,13}")
_ANYTHING = "*"
_FLAGS = {"true": True, "false": False}


def _since_1970(text: str, unit: int) -> Instant:
    return Instant(int(Decimal(text) * unit))


class Fill(NamedTuple):
    """One field of an event that is filled from a column."""

    path: tuple[str, ...]
    column: str
    is_time: bool
    needed: bool
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class EventPlan:
    """One event a row can become."""

    #: Short name, as in `wire.INPUTS`.
    topic: str
    arm: str
    prototype: Event
    fills: tuple[Fill, ...]
    where: Where
    #: Whether the mapping says in which order it happened; else the rows do.
    is_numbered: bool = False


@dataclass(frozen=True, slots=True)
class Truth:
    """Where a row says how its promise ended."""

    column: str
    kind: str
    means: Table[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping file, checked."""

    path: Path
    zone: ZoneInfo
    format: str | None
    where: Where
    events: tuple[EventPlan, ...]
    truth: Truth | None

    def columns(self) -> set[str]:
        """Every column the mapping needs."""
        named = {*self.where} | ({self.truth.column} if self.truth else set())
        for plan in self.events:
            named |= {*plan.where} | {fill.column for fill in plan.fills}
        return named

    def read_time(self, text: str) -> datetime:
        """A time as the file has it, aware. Raises ValueError, which does not quote it, where it is none."""
        try:
            if unit := EPOCHS.get(self.format or ""):
                return to_datetime(_since_1970(text, unit))
            moment = datetime.strptime(text, self.format) if self.format else datetime.fromisoformat(text)  # noqa: DTZ007
        except (ValueError, ArithmeticError):
            way = f"of the format {self.format!r}" if self.format else "in ISO 8601"
            if not self.format and _LOOKS_LIKE_EPOCH.fullmatch(text):
                raise ValueError(f"is a number, no time {way}; write in {self.path} format: {_EITHER_EPOCH}") from None
            raise ValueError(f"is no time {way}; is `format` in {self.path} right?") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=self.zone)


def load(path: Path) -> Mapping:
    """Read and check a mapping file. Raises DocumentError with all its problems."""
    fields, problems = Fields.of(read_text(path), str(path), as_text=True)
    shared = fields.section("every_event")
    common = {name: shared.anything(name) for name in shared.names()}
    sections = fields.sections("events")
    if not sections:
        fields.problem("events", "is missing; list at least one event")
    events = [_event(section, common) for section in sections]
    mapping = Mapping(
        path=path,
        zone=_zone(fields),
        format=_format(fields),
        where=_where(fields),
        events=tuple(event for event in events if event),
        truth=_truth(fields.section("verdict")) if "verdict" in fields else None,
    )
    fields.done()
    problems.check()
    return mapping


def _event(section: Fields, common: dict[str, Any]) -> EventPlan | None:
    """What a row can become; None where it has a problem."""
    fields = {**common, **{name: section.anything(name) for name in section.names()}}
    topic, where = section.text("topic", str(fields.pop("topic", "")), one_of=INPUTS), _where(section)
    fields.pop("topic", None)
    fields.pop("where", None)
    if topic not in INPUTS:
        if "topic" not in section:
            section.problem("topic", f"is missing; write one of {', '.join(INPUTS)}")
        return None
    fixed, filled = _split(fields)
    try:
        descriptor: Any = parse(INPUTS[topic], {}).DESCRIPTOR  # of either implementation
        prototype = parse(INPUTS[topic], _typed(fixed, descriptor))
    except Unusable as error:
        section.problem("", f"is no event of topic {topic}: {error.detail}")
        return None
    fills = [_fill(section, prototype.DESCRIPTOR, path, column) for path, column in filled]
    arm = prototype.WhichOneof("event")
    if arm is None:
        arms = ", ".join(field.name for field in prototype.DESCRIPTOR.oneofs_by_name["event"].fields)
        section.problem("", f"says not what happened; add one of {arms}")
    for name in ("subject_id", "occurred_at"):
        if not any(fill and fill.path == (name,) for fill in fills):
            section.problem(name, 'must come from a column, for example "$column"')
    given = tuple(fill for fill in fills if fill)
    return EventPlan(topic, str(arm), prototype, given, where, is_numbered="sequence" in fields)


def _fill(section: Fields, message: Descriptor, path: tuple[str, ...], column: str) -> Fill | None:
    names, field = [], None
    for name in path:
        field = message.fields_by_name.get(name) or message.fields_by_camelcase_name.get(name)
        if field is None:
            known = ", ".join(each.name for each in message.fields)
            section.problem(".".join(path), f"{message.name} has no field {name}; it has {known}")
            return None
        names.append(field.name)
        message = field.message_type or message
    assert field is not None  # noqa: S101 - a path has at least one name
    is_time = field.message_type is not None and field.message_type.full_name == _TIMESTAMP
    is_number = field.type == FieldDescriptor.TYPE_UINT64
    if not (is_time or is_number or field.type == FieldDescriptor.TYPE_STRING):
        section.problem(".".join(path), "only times, texts and the sequence can come from a column; write the value")
    return Fill(tuple(names), column, is_time, names[0] not in _OPTIONAL, is_number)


def _truth(fields: Fields) -> Truth:
    column, kind, means = fields.text("column"), fields.text("kind", one_of=_PROMISES), fields.section("means")
    if not means.names():
        fields.problem("means", "is missing; write for example {on time: [kept], late: [kept_late, broken]}")
    meant = {value: frozenset(means.choices(value, one_of=_STATES)) for value in means.names()}
    fields.done()
    return Truth(column, kind, meant)


def _where(fields: Fields) -> Where:
    section = fields.section("where")
    return {
        column: frozenset() if section.anything(column) == _ANYTHING else frozenset(section.choices(column))
        for column in section.names()
    }


def _zone(fields: Fields) -> ZoneInfo:
    try:
        return time_zone(fields.text("zone", "UTC"))
    except ValueError as error:
        fields.problem("zone", str(error))
        return UTC


def _format(fields: Fields) -> str | None:
    given = fields.text("format", "")
    if not given or given in EPOCHS:
        return given or None
    try:
        example = datetime(2000, 1, 31, tzinfo=UTC).strftime(given)
        datetime.strptime(example, given)  # noqa: DTZ007 - only to see that it can be read
    except ValueError:
        fields.problem("format", f"{given!r} is no format of strptime; write for example %d/%m/%Y, or {_EITHER_EPOCH}")
    return given


def _typed(fixed: dict[str, Any], message: Descriptor) -> dict[str, Any]:
    """What is fixed, with true and false where an event has them."""
    found: dict[str, Any] = {}
    for name, value in fixed.items():
        field = message.fields_by_name.get(name) or message.fields_by_camelcase_name.get(name)
        if field is not None and field.type == FieldDescriptor.TYPE_BOOL:
            found[name] = _FLAGS.get(value, value)
        elif field is not None and field.message_type and isinstance(value, dict):
            found[name] = _typed(value, field.message_type)
        else:
            found[name] = value
    return found


def _split(
    fields: dict[str, Any], at: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[tuple[tuple[str, ...], str]]]:
    """What is fixed, and which paths are filled from which columns."""
    fixed: dict[str, Any] = {}
    filled: list[tuple[tuple[str, ...], str]] = []
    for name, value in ((str(name), value) for name, value in fields.items()):
        if isinstance(value, dict):
            fixed[name], deeper = _split(value, (*at, name))
            filled += deeper
        elif isinstance(value, str) and value.startswith("$"):
            filled.append(((*at, name), value[1:]))
        else:
            fixed[name] = value
    return fixed, filled
