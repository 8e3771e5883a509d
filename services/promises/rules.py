"""Reads `rules.yaml`: what promises are judged by, and the calendars that days are resolved with."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from services.promises.model import KindRules, PromiseKind, Rules
from services.shared.calendars import read_calendars
from services.shared.documents import read_text
from services.shared.fields import Fields
from services.shared.public_holidays import public_holidays
from services.shared.working_time import WorkingTime

BUILT_IN = Path(__file__).with_name("rules.yaml")


class RuleBook(NamedTuple):
    """The rules, the calendars by name, and each kind's own calendar."""

    rules: Rules
    calendars: Mapping[str, WorkingTime]
    calendar_of: Mapping[int, WorkingTime]


def read_rules(path: Path = BUILT_IN, *, horizon: int | None = None) -> RuleBook:
    """The rule book in a file. `horizon`: how long records are remembered, in microseconds. Raises DocumentError."""
    fields, problems = Fields.of(read_text(path), str(path))
    version = fields.text("version")
    section = fields.section("calendars")
    names, calendars = section.names(), read_calendars(section, public_holidays)
    kinds = fields.section("kinds")
    rules: dict[int, KindRules] = {}
    calendar_of: dict[int, str] = {}
    for kind in PromiseKind:
        name = kind.name.lower()
        if name not in kinds:
            kinds.problem(name, "is missing; every kind needs its rules")
        body = kinds.section(name)
        rules[kind] = KindRules(body.span("tolerance", "0s"), body.span("grace", "0s"), body.span("warning", "0s"))
        calendar_of[kind] = body.text("calendar", one_of=names) if name in kinds else ""
        body.done()
    kinds.done()
    fields.done()
    problems.check()
    return RuleBook(
        Rules(version, rules, horizon), calendars, {kind: calendars[name] for kind, name in calendar_of.items()}
    )
