"""Reads `rules.yaml`: what promises are judged by, and the calendars that days are resolved with."""

from collections.abc import Mapping
from datetime import time
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.promises.model import KindRules, PromiseKind, Rules
from services.shared.calendar import MIDNIGHT, WEEKDAYS, Calendar
from services.shared.documents import DocumentError, parse_document, read_text
from services.shared.duration import parse_duration

BUILT_IN = Path(__file__).with_name("rules.yaml")
_SPANS = ("tolerance", "grace", "warning")


class RuleBook(NamedTuple):
    """The rules, the calendars by name, and each kind's own calendar."""

    rules: Rules
    calendars: Mapping[str, Calendar]
    calendar_of: Mapping[int, Calendar]


def read_rules(path: Path = BUILT_IN, *, horizon: int | None = None) -> RuleBook:
    """The rule book in a file. `horizon`: how long records are remembered, in microseconds. Raises DocumentError."""
    content = parse_document(read_text(path), str(path)).value
    try:
        document = _mapping(content, "the document")
        calendars = {
            name: _calendar(name, _mapping(body, f"calendars.{name}"))
            for name, body in _mapping(document.get("calendars"), "calendars").items()
        }
        bodies = _mapping(document.get("kinds"), "kinds")
        _all_kinds(bodies)
        kinds = {PromiseKind[name.upper()]: _mapping(body, f"kinds.{name}") for name, body in bodies.items()}
        rules = Rules(
            version=str(_required(document, "version", "version")),
            kinds={kind: _kind_rules(body, f"kinds.{kind.name.lower()}") for kind, body in kinds.items()},
            horizon=horizon,
        )
        calendar_of: dict[int, Calendar] = {
            kind: _lookup(calendars, str(body.get("calendar")), f"kinds.{kind.name.lower()}.calendar")
            for kind, body in kinds.items()
        }
    except ValueError as error:
        raise DocumentError(f"{path}: {error}") from error
    return RuleBook(rules, calendars, calendar_of)


def _mapping(body: object, place: str) -> Mapping[str, object]:
    if not isinstance(body, dict):
        raise ValueError(f"{place} must be a mapping; it is {body!r}")  # noqa: TRY004 - one kind of error for the file
    return body


def _required(body: Mapping[str, object], name: str, place: str) -> object:
    if name not in body:
        raise ValueError(f"{place} is missing")
    return body[name]


def _all_kinds(bodies: Mapping[str, object]) -> None:
    known = {kind.name.lower() for kind in PromiseKind}
    if unknown := sorted(bodies.keys() - known):
        raise ValueError(f"kinds.{unknown[0]} is no kind of promise; there are {', '.join(sorted(known))}")
    if missing := sorted(known - bodies.keys()):
        raise ValueError(f"kinds.{missing[0]} is missing; every kind needs its rules")


def _kind_rules(body: Mapping[str, object], place: str) -> KindRules:
    if unknown := sorted(body.keys() - {*_SPANS, "calendar"}):
        raise ValueError(f"{place}.{unknown[0]} is unknown; there are {', '.join(_SPANS)} and calendar")
    return KindRules(*(_span(body.get(name, "0s"), f"{place}.{name}") for name in _SPANS))


def _span(value: object, place: str) -> int:
    try:
        return parse_duration(str(value))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _lookup(calendars: Mapping[str, Calendar], name: str, place: str) -> Calendar:
    if name not in calendars:
        raise ValueError(f"{place}: there is no calendar {name!r}; there are {', '.join(sorted(calendars))}")
    return calendars[name]


def _calendar(name: str, body: Mapping[str, object]) -> Calendar:
    zone = str(_required(body, "zone", f"calendars.{name}.zone"))
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"calendars.{name}.zone: {zone!r} is no IANA time zone, such as Europe/Madrid") from error
    hours = _mapping(body.get("hours"), f"calendars.{name}.hours")
    if unknown := sorted(hours.keys() - set(WEEKDAYS)):
        raise ValueError(f"calendars.{name}.hours.{unknown[0]} is no weekday; write {', '.join(WEEKDAYS)}")
    return Calendar(
        name,
        zone,
        tuple(_opening(hours[day], f"calendars.{name}.hours.{day}") if day in hours else None for day in WEEKDAYS),
    )


def _opening(value: object, place: str) -> tuple[time, time]:
    try:
        opening, closing = (_time_of_day(part) for part in str(value).split("-"))
    except ValueError as error:
        raise ValueError(f'{place}: {value!r} is no opening time; write for example "09:00-18:00"') from error
    if closing != MIDNIGHT and closing <= opening:
        raise ValueError(f"{place}: {value!r} closes before it opens")
    return opening, closing


def _time_of_day(text: str) -> time:
    return MIDNIGHT if text.strip() == "24:00" else time.fromisoformat(text.strip())
