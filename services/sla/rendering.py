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
from services.sla.policies import Goal, Pauses, Policy, PolicyBook
from services.sla.targets import Target, Unit, keeps_hours

_WORDING = Path(__file__).with_name("wording")
LANGUAGES = tuple(sorted(path.stem for path in _WORDING.glob("*.yaml")))
FORMATS = ("html", "md")
_SHOWN_DAYS = 365
_FULL_DAY = 1440
#: Of values that are listed as what they are ("complaints and calls"), not as alternatives.
_SUMS = frozenset({"kind", "priority", "tier", "site", "weekday"})
#: Of which a hold stops the clock.
_PAUSABLE = frozenset(
    {"first_reply", "next_reply", "periodic_update", "resolution", "requester_wait", "complaint_resolved"}
)
#: Around what stands out in a sentence; in no text that people write.
_STRONG = "\0"
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

Words = Mapping[str, Any]


class Line(NamedTuple):
    """One thing that is promised."""

    #: What stands before the limit, the limit, and what follows; or one part, where none is named.
    sentence: Sequence[str]
    aim: str
    #: Refers to a note.
    mark: str
    #: For staff: what, and how it is.
    details: Sequence[tuple[str, str]]


class Group(NamedTuple):
    """What is promised in some cases."""

    whom: str
    #: Which hours count, where there are several.
    hours: str
    promises: Sequence[Line]


class Opening(NamedTuple):
    """When a calendar is open."""

    title: str
    lines: Sequence[str]
    #: The days of the year to come on which hours are others.
    special: Sequence[str]
    #: Those on which it is closed.
    closed: Sequence[str]


def render(book: PolicyBook, language: str, style: str, today: date, *, for_staff: bool) -> str:
    """The document, as HTML or Markdown (`style`); closing days are those of the year from `today`."""
    words, notes = _words(language), _Notes()
    template = _environment().get_template(f"document.{style}.j2")
    shown = _calendars(book, for_staff=for_staff)
    groups = list(_groups(book, words, notes, shown, for_staff=for_staff))
    until = today + timedelta(days=_SHOWN_DAYS - 1)
    return template.render(
        language=language,
        title=words["staff_title" if for_staff else "title"],
        lead=words["staff_lead"].format(version=book.version) if for_staff else words["lead"],
        first=words["first"] if len(groups) > 2 else "",  # noqa: PLR2004 - what is for everybody comes after all
        groups=groups,
        notes=[f"{_superscript(number)} {_note(pauses, words)}" for pauses, number in notes.items()],
        calendars=[_opening(book, name, shown, words, today, for_staff=for_staff) for name in shown],
        special_title=words["special_title"],
        closed_title=words["closed_title"].format(month=words["months"][until.month - 1], year=until.year),
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

#: Each different rule of pausing, and its number.
_Notes = dict[Pauses, int]


def _groups(
    book: PolicyBook, words: Words, notes: _Notes, calendars: Sequence[str], *, for_staff: bool
) -> Iterator[Group]:
    said = [(_phrase(policy.when, words), policy) for policy in book.policies]
    together = groupby(said, key=lambda each: (each[0], each[1].calendar))
    for number, ((phrase, calendar), each) in enumerate(together):
        policies = [policy for _, policy in each]
        lines = [
            _line(policy, name, goal, words, notes, for_staff=for_staff)
            for policy in policies
            for name, goal in policy.goals.items()
        ]
        whom = phrase or str(words["everybody_else" if number else "everybody"])
        hours = any(map(_keeps_hours, policies)) and len(calendars) > 1 and not for_staff
        yield Group(_upper(whom), words["hours"].format(name=calendar) if hours else "", lines)


def _line(policy: Policy, metric: str, goal: Goal, words: Words, notes: _Notes, *, for_staff: bool) -> Line:
    is_window = goal.limit.unit == Unit.WINDOW
    limit, bare = (f"{_STRONG}{said}{_STRONG}" for said in (_within(goal.limit, words), _target(goal.limit, words)))
    sentence = words["metrics"]["appointment_window" if is_window else metric].format(limit=limit, bare=bare)
    wish = words["aim_window" if is_window else "aim"]
    aim = wish.format(target=_target(goal.preferred, words)) if goal.preferred else ""
    mark = ""
    if goal.pauses and metric in _PAUSABLE and not for_staff:
        mark = _superscript(notes.setdefault(goal.pauses, len(notes) + 1))
    return Line(sentence.split(_STRONG), aim, mark, tuple(_details(policy, metric, goal, words)) if for_staff else ())


def _note(pauses: Pauses, words: Words) -> str:
    about = [_reasons(pauses, words)] if pauses.reasons else []
    if pauses.longest:
        about.append(words["longest"].format(target=_target(pauses.longest, words)))
    return str(words["note"].format(about=f" ({'; '.join(about)})" if about else ""))


def _reasons(pauses: Pauses, words: Words) -> str:
    return _listed(sorted(pauses.reasons or ()), words["or"], words)


def _superscript(number: int) -> str:
    return str(number).translate(_SUPERSCRIPTS)


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
    if goal.pauses and metric in _PAUSABLE:
        why, longest = _reasons(goal.pauses, words) or staff["pauses_any"], goal.pauses.longest
        until = f"{words['joint']}{words['longest'].format(target=_target(longest, words))}" if longest else ""
        yield staff["pauses"], why + until
    yield staff["calendar"], policy.calendar


def _within(target: Target, words: Words) -> str:
    return str(words["by" if target.to_end else "within"].format(target=_target(target, words)))


def _target(target: Target, words: Words) -> str:
    ending = (", end" if target.amount else ", same") if target.to_end else ""
    forms = words["targets"][target.unit.value + ending]
    if isinstance(forms, list):
        return str(forms[min(target.amount, len(forms)) - 1].format(n=target.amount))
    units = words["working_units" if target.unit == Unit.BUSINESS_TIME else "units"]
    return str(forms.format(span=_span(target.amount, units, words)))


def _span(amount: int, units: Words, words: Words) -> str:
    parts = []
    for unit, size in (("hour", 3600 * SECOND), ("minute", 60 * SECOND), ("second", SECOND)):
        number, amount = divmod(amount, size)
        if number:
            parts.append(f"{number} {units[unit][number > 1]}")
    return _listed(parts, words["and"], words)


# --- in which cases


def _phrase(condition: Condition, words: Words, *, inside: str = "") -> str:
    """In words; empty where it always holds. `inside`: what it is a part of."""
    match condition.asks:
        case "all":
            parts = sorted(condition.parts, key=lambda part: part.asks == "not")
            phrases = _phrases(parts[:1], words, "") + _phrases(parts[1:], words, "all")
            together = str(words["both"]).join(phrases)
            return f"({together})" if inside in {"any", "not"} and len(phrases) > 1 else together
        case "any":
            return _listed(_phrases(condition.parts, words, "any"), words["or"], words)
        case "not":
            what = "".join(_phrases(condition.parts, words, "not"))
            return str(words["but" if inside == "all" else "except"].format(what=what)) if what else ""
    return _asked(condition, words)


def _phrases(parts: Sequence[Condition], words: Words, inside: str) -> list[str]:
    return [phrase for part in parts if (phrase := _phrase(part, words, inside=inside))]


def _asked(condition: Condition, words: Words) -> str:
    field, known = condition.asks, words["values"].get(condition.asks, {})
    values = [known.get(value, value) for value in sorted(condition.values, key=_rank) if value]
    joined = _listed(values, words["and" if field in _SUMS else "or"], words)
    said = [words["conditions"][field].format(value=joined)] if values else []
    if "" in condition.values:
        said.append(words["unstated"][field])
    return _listed(said, words["or"], words)


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _rank(value: str) -> tuple[int, str]:
    return (_DAYS.index(value) if value in _DAYS else -1), value


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(items: Sequence[str], last: str, words: Words) -> str:
    if len(items) < 2:  # noqa: PLR2004 - nothing to join
        return "".join(items)
    return f"{words['joint'].join(items[:-1])} {last} {items[-1]}"


# --- when


def _calendars(book: PolicyBook, *, for_staff: bool) -> Sequence[str]:
    """Those that count for somebody; for customers without those that no limit hangs on, where there are others."""
    used = {policy.calendar for policy in book.policies} | set(book.sites.values())
    needed = {policy.calendar for policy in book.policies if _keeps_hours(policy)} | set(book.sites.values())
    return [name for name in book.calendars if name in (used if for_staff else needed or used)]


def _keeps_hours(policy: Policy) -> bool:
    targets = [target for goal in policy.goals.values() for target in (goal.limit, goal.preferred) if target]
    return any(map(keeps_hours, targets))


def _opening(
    book: PolicyBook, name: str, shown: Sequence[str], words: Words, today: date, *, for_staff: bool
) -> Opening:
    calendar, sites = book.calendars[name], [site for site, chosen in book.sites.items() if chosen == name]
    lines, named = list(_hours(calendar, words)), for_staff or len(shown) > 1
    if sites and named:
        lines.append(words["site_hours"].format(sites=_listed(sites, words["and"], words)))
    if for_staff or len({book.calendars[each].zone for each in shown}) > 1:
        place = calendar.zone.key if for_staff else calendar.zone.key.rpartition("/")[2].replace("_", " ")
        lines.append(words["zone"].format(place=place))
    title = ": ".join((words["hours_title"], *([name] if named else ())))
    days = [today + timedelta(days=number) for number in range(_SHOWN_DAYS)]
    return Opening(title, lines, list(_special(calendar, days, words)), list(_closed(calendar, days, words)))


def _hours(calendar: WorkingTime, words: Words) -> Iterator[str]:
    """Days with the same hours in one line: "Monday to Friday: 09:00–18:00"."""
    day = 0
    for hours, days in groupby(calendar.week, key=tuple):
        count = len(list(days))
        first, last = words["days"][day], words["days"][day + count - 1]
        named = words["day_spans"][min(count, 3) - 1].format(first=first, last=last)
        yield f"{_upper(named)}: {_times(hours, words)}"
        day += count


def _times(hours: Sequence[Hours], words: Words) -> str:
    if not hours:
        return str(words["closed"])
    if [tuple(each) for each in hours] == [(0, _FULL_DAY)]:
        return str(words["around_the_clock"])
    return str(words["joint"]).join(f"{_time(opening)}–{_time(closing)}" for opening, closing in hours)


def _time(minute: int) -> str:
    return f"{minute // 60 % 24 if minute != _FULL_DAY else 24:02}:{minute % 60:02}"


def _special(calendar: WorkingTime, days: Sequence[date], words: Words) -> Iterator[str]:
    for day in days:
        special = calendar.special(day)
        if special and special.hours:
            yield f"{_date(day, words)}: {_times(special.hours, words)}"


def _closed(calendar: WorkingTime, days: Sequence[date], words: Words) -> Iterator[str]:
    """Days closed for the same reason in one line, where nobody works between them either."""
    spans: list[tuple[date, date, str]] = []
    last = None
    for day in days:
        special = calendar.special(day)
        if calendar.hours(day):
            last = None
        elif special and calendar.week[day.weekday()]:
            first = spans.pop()[0] if special.name == last else day
            spans.append((first, day, special.name))
            last = special.name
    for first, end, name in spans:
        dates = " – ".join(_date(day, words) for day in sorted({first, end}))
        yield f"{dates} ({name})"


def _date(day: date, words: Words) -> str:
    return str(words["date"].format(day=day.day, month=words["months"][day.month - 1]))
