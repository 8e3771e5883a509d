"""Reads what holds news back from `notifier.yaml`: maintenance windows, inhibition, and the quiet hours of a target."""

from collections.abc import Collection, Iterable, Sequence

from services.notifier.holds import (
    GROUPED,
    Inhibition,
    Once,
    Until,
    Weekly,
    Window,
    is_endless,
    too_long,
    too_wide,
)
from services.notifier.kinds import KINDS
from services.notifier.on_call import read_hours, read_zone
from services.notifier.routing import CLOSED, LABELS, Match
from services.notifier.unions import NO_TIME_LEFT, Union
from services.shared.fields import Fields

_UNION = Union(KINDS)


def read_match(fields: Fields, labels: Iterable[str]) -> Match:
    """Conditions: label → the values that match."""
    match = {label: frozenset(fields.texts(label, (), one_of=CLOSED.get(label, ()))) for label in sorted(labels)}
    fields.done()
    return {label: values for label, values in match.items() if values}


def read_windows(sections: Iterable[Fields]) -> Sequence[Window]:
    """Maintenance, without what has a problem."""
    read = [(fields, window) for fields in sections if (window := _window(fields)) and not too_wide(window.match)]
    refused = _UNION.too_many([window for _, window in read])
    for number in refused:
        read[number][0].problem("match", NO_TIME_LEFT)
    return [window for number, (_, window) in enumerate(read) if number not in refused]


def read_inhibitions(sections: Iterable[Fields], groupings: Sequence[Collection[str]]) -> Sequence[Inhibition]:
    """What follows from what. `groupings`: the labels by which each route groups."""
    return [_inhibition(fields, groupings) for fields in sections]


def read_quiet_hours(fields: Fields) -> Until | None:
    """Those of a target; None where they have a problem."""
    until = _weekly(fields, "hours")
    fields.done()
    return until


def _window(fields: Fields) -> Window | None:
    name, reason = fields.text("name"), fields.text("reason", "")
    match = _narrow(fields, "match", LABELS)
    if "weekly" in fields and ("from" in fields or "to" in fields):
        fields.problem("weekly", "stands beside from or to; write weekly hours, or the two ends of one time")
    until = _weekly(fields, "weekly") if "weekly" in fields else _once(fields)
    fields.done()
    return Window(name, match, until, reason) if until else None


def _once(fields: Fields) -> Once | None:
    zone = read_zone(fields) if "zone" in fields else None
    start, end = fields.instant("from", zone), fields.instant("to", zone)
    example = "2026-12-01T22:00" if zone else "2026-12-01T22:00+01:00"
    for name in ("from", "to"):
        if name not in fields:
            fields.problem(name, f"is missing; write for example {example}, or weekly hours instead")
    if start is None or end is None:
        return None
    if problem := too_long(start, end):
        fields.problem("to", problem)
    return Once(start, end)


def _weekly(fields: Fields, name: str) -> Weekly | None:
    """The hours in a field, by the zone beside it."""
    zone, section = read_zone(fields), fields.section(name)
    if zone is None:
        section.names()  # without a zone they mean nothing
        return None
    hours = read_hours(section, zone)
    if is_endless(hours):
        fields.problem(name, "are all of the week, so that nothing would ever be told; leave some of it out")
    return Weekly(hours)


def _narrow(fields: Fields, name: str, labels: Iterable[str]) -> Match:
    match = read_match(fields.section(name), labels)
    if problem := too_wide(match):
        fields.problem(name, problem)
    return match


def _inhibition(fields: Fields, groupings: Sequence[Collection[str]]) -> Inhibition:
    kept = LABELS.keys() - {"reason", "repeated"}  # nobody knows them of what is told
    cause, quiet = _narrow(fields, "while", kept), _narrow(fields, "quiet", LABELS)
    equal = fields.texts("equal", (), one_of=kept)
    for name, labels in (("while", cause), ("equal", equal)):
        for label in sorted(GROUPED.intersection(labels).difference(*groupings)):
            fields.problem(name, f"speaks of {label}, by which no route groups; drop it, or add it to a group_by")
    apart = {label for label in cause.keys() & quiet.keys() if cause[label].isdisjoint(quiet[label])}
    if apart and all(apart.intersection(labels) for labels in groupings):
        fields.problem(
            "quiet",
            f"never meets what matches while, as every route groups by {' or '.join(sorted(apart))};"
            " leave that out of a group_by",
        )
    fields.done()
    return Inhibition(cause, quiet, equal)
