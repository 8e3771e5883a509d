"""Mapping files: how the rows of somebody's CSV become events.

A mapping is YAML. Each of its `events` is what `puntual publish` takes (protobuf's JSON mapping with a `topic`), except
that a value "$column" is filled from the row: text as it is, times read in the mapping's zone. Keys:

    zone          IANA zone of the times in the file. In the hour that exists twice (the clock goes back) the first is
                  meant; a time that never was (the clock goes forward) counts on from before the gap.
    format        how times are written, as strptime has it; without it ISO 8601 ("2015-01-31 17:00:00", "2015-01-31").
    where         which rows count: column → value or list of values; "*" means anything but empty.
    every_event   fields all events share: source, subject_id, customer_id, …
    events        list of events, each with `topic`, `occurred_at`, one kind of event, and optionally its own `where`.
    verdict       optional: the column that holds the known outcome, the kind of promise it speaks of, and what its
                  values mean: value → list of promise states.

An event is left out of a row where the column of its time, or of anything inside its kind, is empty.

What is of one instant (a file with dates has no times) happened in the order of the rows, or in that of a column of
whole numbers: `sequence: $number`.
"""

from collections.abc import Iterator, Mapping as Table
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.cli.inputs import INPUTS
from services.promises.model import PromiseKind, State
from services.shared.documents import DocumentError, parse_document, read_text
from services.shared.errors import Unusable
from services.shared.publisher import Event, parse

_KEYS = {"zone", "format", "where", "every_event", "events", "verdict"}
_STATES = {state.name.lower() for state in State}
_PROMISES = [kind.name.lower() for kind in PromiseKind]
#: Fields beside the kind of event that may stay empty; all other columns are needed for the event to be one.
_OPTIONAL = {
    "customer_name",
    "customer_locale",
    "customer_time_zone",
    "customer_tier",
    "site",
    "team",
    "channel",
    "sequence",
}
_TIMESTAMP = "google.protobuf.Timestamp"

#: Column → the values that count; empty set: anything but empty.
Where = Table[str, frozenset[str]]


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
            moment = datetime.strptime(text, self.format) if self.format else datetime.fromisoformat(text)  # noqa: DTZ007
        except ValueError:
            way = f"of the format {self.format!r}" if self.format else "in ISO 8601"
            raise ValueError(f"is no time {way}; is `format` in {self.path} right?") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=self.zone)


def load(path: Path) -> Mapping:
    """Read and check a mapping file. Raises DocumentError."""
    return _Reader(path).mapping(parse_document(read_text(path), str(path)).value)


@dataclass(frozen=True, slots=True)
class _Reader:
    path: Path

    def mapping(self, document: object) -> Mapping:
        fields = self._dict("the file", document)
        if unknown := sorted(fields.keys() - _KEYS):
            raise self._wrong(unknown[0], f"unknown key; known are {', '.join(sorted(_KEYS))}")
        shared = self._dict("every_event", fields.get("every_event", {}))
        events = fields.get("events")
        if not isinstance(events, list) or not events:
            raise self._wrong("events", "give a list of at least one event")
        return Mapping(
            path=self.path,
            zone=self._zone(fields.get("zone", "UTC")),
            format=self._format(fields.get("format")),
            where=self._where("where", fields.get("where", {})),
            events=tuple(self._event(f"events[{n}]", shared, event) for n, event in enumerate(events)),
            truth=self._truth(fields["verdict"]) if "verdict" in fields else None,
        )

    def _event(self, key: str, shared: dict[str, Any], given: object) -> EventPlan:
        fields = {**shared, **self._dict(key, given)}
        topic = fields.pop("topic", None)
        where = self._where(f"{key}.where", fields.pop("where", {}))
        if not isinstance(topic, str) or topic not in INPUTS:
            raise self._wrong(f"{key}.topic", f"is {topic!r}; choose one of {', '.join(INPUTS)}")
        fixed, filled = _split(fields)
        try:
            prototype = parse(INPUTS[topic], fixed)
        except Unusable as error:
            raise self._wrong(key, f"is no event of topic {topic}: {error.detail}") from error
        fills = tuple(self._fill(key, prototype.DESCRIPTOR, path, column) for path, column in filled)
        arm = prototype.WhichOneof("event")
        if arm is None:
            arms = ", ".join(field.name for field in prototype.DESCRIPTOR.oneofs_by_name["event"].fields)
            raise self._wrong(key, f"says not what happened; add one of {arms}")
        for name in ("subject_id", "occurred_at"):
            if not any(fill.path == (name,) for fill in fills):
                raise self._wrong(f"{key}.{name}", 'must come from a column, for example "$column"')
        return EventPlan(topic, str(arm), prototype, fills, where)

    def _fill(self, key: str, message: Descriptor, path: tuple[str, ...], column: str) -> Fill:
        names, field = [], None
        for name in path:
            field = message.fields_by_name.get(name) or message.fields_by_camelcase_name.get(name)
            if field is None:
                raise self._wrong(f"{key}.{'.'.join(path)}", f"{message.name} has no field {name}")
            names.append(field.name)
            message = field.message_type or message
        assert field is not None  # noqa: S101 - a path has at least one name
        is_time = field.message_type is not None and field.message_type.full_name == _TIMESTAMP
        if not is_time and field.type not in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_UINT64}:
            raise self._wrong(
                f"{key}.{'.'.join(path)}", "only times, texts and the sequence can come from a column; write the value"
            )
        is_number = field.type == FieldDescriptor.TYPE_UINT64
        return Fill(tuple(names), column, is_time, names[0] not in _OPTIONAL, is_number)

    def _truth(self, given: object) -> Truth:
        fields = self._dict("verdict", given)
        if fields.keys() != {"column", "kind", "means"}:
            raise self._wrong("verdict", "give exactly column, kind and means")
        if fields["kind"] not in _PROMISES:
            raise self._wrong("verdict.kind", f"is {fields['kind']!r}; choose one of {', '.join(_PROMISES)}")
        means = {}
        for value, states in self._dict("verdict.means", fields["means"]).items():
            if unknown := sorted({*_listed(states)} - _STATES):
                raise self._wrong(
                    f"verdict.means.{value}", f"{unknown[0]} is no state; known are {', '.join(sorted(_STATES))}"
                )
            means[str(value)] = frozenset(_listed(states))
        return Truth(str(fields["column"]), str(fields["kind"]), means)

    def _where(self, key: str, given: object) -> Where:
        return {
            column: frozenset() if values == "*" else frozenset(_listed(values))
            for column, values in self._dict(key, given).items()
        }

    def _zone(self, name: object) -> ZoneInfo:
        try:
            return ZoneInfo(str(name))
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise self._wrong("zone", f"{name!r} is no IANA time zone; write for example Europe/Madrid") from error

    def _format(self, given: object) -> str | None:
        if given is None:
            return None
        try:
            example = datetime(2000, 1, 31, tzinfo=UTC).strftime(str(given))
            datetime.strptime(example, str(given))  # noqa: DTZ007 - only to see that it can be read
        except ValueError as error:
            raise self._wrong("format", f"{given!r} is no format of strptime; write for example %d/%m/%Y") from error
        return str(given)

    def _dict(self, key: str, given: object) -> dict[str, Any]:
        if not isinstance(given, dict):
            raise self._wrong(key, f'write it as "key: value" pairs, not as {type(given).__name__}')
        return {str(name): value for name, value in given.items()}

    def _wrong(self, key: str, problem: str) -> DocumentError:
        return DocumentError(f"{self.path}: {key}: {problem}")


def _listed(values: object) -> Iterator[str]:
    yield from map(str, values if isinstance(values, list) else [values])


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
