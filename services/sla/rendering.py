"""The standards as a document that people read: what customers may expect, or what staff keep to. Pure.

The words of each language lie in `wording`; a language more is a file more.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from services.shared.instant import SECOND
from services.shared.working_time import Hours, WorkingTime
from services.sla.conditions import Condition
from services.sla.policies import Goal, Policy, PolicyBook
from services.sla.targets import Target, Unit

_WORDING = Path(__file__).with_name("wording")
LANGUAGES = tuple(sorted(path.stem for path in _WORDING.glob("*.yaml")))
FORMATS = ("html", "md")
_SHOWN_DAYS = 365
_WEEK, _FULL_DAY = 7, 1440
#: Of values that are listed as what they are ("complaints and calls"), not as alternatives.
_SUMS = frozenset({"kind", "priority", "site", "weekday"})

Words = Mapping[str, Any]


class Line(NamedTuple):
    """One thing that is promised."""

    sentence: str
    aim: str
    note: str
    #: For staff: what, and how it is.
    details: Sequence[tuple[str, str]]


class Group(NamedTuple):
    """What is promised in some cases."""

    whom: str
    promises: Sequence[Line]


class Opening(NamedTuple):
    """When a calendar is open."""

    title: str
    lines: Sequence[str]
    #: The days it is closed in the year to come.
    closed: str


def render(book: PolicyBook, language: str, style: str, today: date, *, for_staff: bool) -> str:
    """The document, as HTML or Markdown (`style`); closing days are those of the year from `today`."""
    words = _words(language)
    template = _environment().get_template(f"document.{style}.j2")
    return template.render(
        language=language,
        title=words["staff_title" if for_staff else "title"],
        lead=words["staff_lead"].format(version=book.version) if for_staff else words["lead"],
        groups=list(_groups(book, words, for_staff=for_staff)),
        calendars=list(_openings(book, words, today)),
        closed_title=words["closed_title"],
    )


@cache
def _words(language: str) -> Words:
    words: Words = yaml.safe_load((_WORDING / f"{language}.yaml").read_text(encoding="utf-8"))
    return words


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_WORDING),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )


# --- what is promised


def _groups(book: PolicyBook, words: Words, *, for_staff: bool) -> Iterator[Group]:
    said = [(_whom(policy.when, words), policy) for policy in book.policies]
    for whom, policies in groupby(said, key=lambda each: each[0]):
        lines = [
            _line(policy, name, goal, words, for_staff=for_staff)
            for _, policy in policies
            for name, goal in policy.goals.items()
        ]
        yield Group(whom, lines)


def _line(policy: Policy, metric: str, goal: Goal, words: Words, *, for_staff: bool) -> Line:
    name = "appointment_window" if goal.limit.unit == Unit.WINDOW else metric
    sentence = words["metrics"][name].format(limit=_within(goal.limit, words), bare=_target(goal.limit, words))
    aim = words["aim"].format(target=_target(goal.preferred, words)) if goal.preferred else ""
    note = words["wait_note"] if goal.pauses and not for_staff else ""
    return Line(sentence, aim, note, tuple(_details(policy, metric, goal, words)) if for_staff else ())


def _details(policy: Policy, metric: str, goal: Goal, words: Words) -> Iterator[tuple[str, str]]:
    staff = words["staff"]
    yield staff["policy"], policy.name
    yield staff["measured"], words["measured"][metric]
    yield staff["limit"], _target(goal.limit, words)
    if goal.warnings:
        leads = (staff["before"].format(target=_target(lead, words)) for lead in goal.warnings)
        yield staff["warnings"], _listed(list(leads), words["and"], words)
    if goal.grace:
        grace = _target(Target(Unit.TIME, goal.grace), words)
        yield staff["grace"], staff["grace_after"].format(target=grace)
    if goal.pauses:
        reasons = sorted(goal.pauses.reasons or ())
        why = _listed(reasons, words["or"], words) if reasons else staff["pauses_any"]
        longest = goal.pauses.longest
        until = f"{words['joint']}{staff['longest'].format(target=_target(longest, words))}" if longest else ""
        yield staff["pauses"], why + until
    yield staff["calendar"], policy.calendar


def _within(target: Target, words: Words) -> str:
    return str(words["by" if target.to_end else "within"].format(target=_target(target, words)))


def _target(target: Target, words: Words) -> str:
    forms = words["targets"][f"{target.unit.value}, end" if target.to_end else target.unit.value]
    if isinstance(forms, list):
        return str(forms[0] if target.amount == 1 else forms[1].format(n=target.amount))
    return str(forms.format(span=_span(target.amount, words)))


def _span(amount: int, words: Words) -> str:
    parts = []
    for unit, size in (("hour", 3600 * SECOND), ("minute", 60 * SECOND), ("second", SECOND)):
        number, amount = divmod(amount, size)
        if number:
            parts.append(f"{number} {words['units'][unit][number > 1]}")
    return " ".join(parts)


# --- in which cases


def _whom(condition: Condition, words: Words) -> str:
    text = _phrase(condition, words) or str(words["everybody"])
    return text[:1].upper() + text[1:]


def _phrase(condition: Condition, words: Words) -> str:
    phrases = [phrase for part in condition.parts if (phrase := _phrase(part, words))]
    match condition.asks:
        case "all":
            return str(words["joint"]).join(phrases)
        case "any":
            return _listed(phrases, words["or"], words)
        case "not":
            return str(words["except"].format(what=phrases[0])) if phrases else ""
    field, known = condition.asks, words["conditions"].get(condition.asks)
    values = [_value(field, value, words) for value in sorted(condition.values, key=_rank) if value]
    joined = _listed(values, words["and" if field in _SUMS else "or"], words)
    said = [known.format(value=joined) if isinstance(known, str) else joined] if values else []
    if "" in condition.values:
        said.append(words["conditions"]["none"].format(field=field))
    return _listed(said, words["or"], words)


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _rank(value: str) -> tuple[int, str]:
    return (_DAYS.index(value) if value in _DAYS else -1), value


def _value(field: str, value: str, words: Words) -> str:
    if field == "weekday":
        return str(words["days"][_DAYS.index(value)])
    known = words["conditions"].get(field)
    return str(known.get(value, value)) if isinstance(known, dict) else value


def _listed(items: Sequence[str], last: str, words: Words) -> str:
    if len(items) < 2:  # noqa: PLR2004 - nothing to join
        return "".join(items)
    return f"{words['joint'].join(items[:-1])} {last} {items[-1]}"


# --- when


def _openings(book: PolicyBook, words: Words, today: date) -> Iterator[Opening]:
    used = {policy.calendar for policy in book.policies} | set(book.sites.values())
    for name, calendar in book.calendars.items():
        if name in used:
            sites = [site for site, chosen in book.sites.items() if chosen == name]
            title = (
                ": ".join((words["hours_title"], ", ".join(sites) or name)) if len(used) > 1 else words["hours_title"]
            )
            yield Opening(title, list(_hours(calendar, words)), _closed(calendar, words, today))


def _hours(calendar: WorkingTime, words: Words) -> Iterator[str]:
    """Days with the same hours in one line: "Monday to Friday 09:00-18:00"."""
    day = 0
    for hours, days in groupby(calendar.week, key=tuple):
        count = len(list(days))
        first, last = words["days"][day], words["days"][day + count - 1]
        named = first if count == 1 else f"{first} {words['to' if count > 2 else 'and']} {last}"  # noqa: PLR2004
        yield f"{named[:1].upper()}{named[1:]}: {_times(hours, words)}"
        day += count
    yield calendar.zone.key


def _times(hours: Sequence[Hours], words: Words) -> str:
    if not hours:
        return str(words["closed"])
    if [tuple(each) for each in hours] == [(0, _FULL_DAY)]:
        return str(words["around_the_clock"])
    return str(words["joint"]).join(f"{_time(opening)}-{_time(closing)}" for opening, closing in hours)


def _time(minute: int) -> str:
    return f"{minute // 60 % 24 if minute != _FULL_DAY else 24:02}:{minute % 60:02}"


def _closed(calendar: WorkingTime, words: Words, today: date) -> str:
    days = []
    for number in range(_SHOWN_DAYS):
        day = today + timedelta(days=number)
        special = calendar.special(day)
        if special and not special.hours and calendar.week[day.weekday()]:
            named = words["date"].format(day=day.day, month=words["months"][day.month - 1])
            days.append(f"{named} ({special.name})")
    return _listed(days, words["and"], words)
