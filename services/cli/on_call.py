"""`puntual on-call`: who is told while somebody has to be on call, and when nobody is."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from services.cli.exits import EXIT_CODES, FAILED, Failure, NotFound
from services.cli.options import FILE, INSTANT, SpanType, json_option
from services.notifier.config import BUILT_IN, load_schedules
from services.notifier.schedules import Schedule, Shift
from services.shared.clock import wall_clock
from services.shared.instant import SECOND, Instant, format_instant, to_datetime
from services.shared.terminal import console, say, write

_NOW = wall_clock
#: How far ahead it is looked: for when a shift ends, and unless told otherwise for holes.
_FAR, _AHEAD = 400 * 86_400 * SECOND, 14 * 86_400 * SECOND


class _Row(NamedTuple):
    """Who is on call by a schedule, and how long."""

    schedule: Schedule
    shift: Shift


@click.command(
    name="on-call",
    short_help="Say who is on call, and when nobody is.",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual on-call --notifier notifier.yaml
  puntual on-call nights --at 2026-12-24T22:00+01:00
  puntual on-call nights --next 14d --json | jq -r '.[].who'
  puntual on-call --holes --next 30d""",
)
@click.argument("names", nargs=-1, metavar="[SCHEDULE]...")
@click.option(
    "--notifier",
    "file",
    type=FILE,
    envvar="PUNTUAL_NOTIFIER",
    default=BUILT_IN,
    show_envvar=True,
    help="The file with the schedules.  [default: the built-in one, which has none]",
)
@click.option("--at", type=INSTANT, help="An instant, with offset: 2026-12-24T22:00+01:00.  [default: now]")
@click.option("--next", "span", type=SpanType("400d"), help="All shifts from then on, for so long: 14d.")
@click.option(
    "--holes", is_flag=True, help="Only when nobody is on call, in the next 14d or --next; 1 if there is any."
)
@json_option
def on_call(
    names: tuple[str, ...], file: Path, at: Instant | None, span: int | None, holes: bool, as_json: bool
) -> None:
    """Say who is on call, by all schedules of the notifier or those named.

    In a hole it is the schedule's fallback that is told. Times are those of the schedule's zone.
    """
    schedules = _chosen(load_schedules(file), names, file)
    start = _NOW() if at is None else at
    end = Instant(start + (span or _AHEAD))
    if holes:
        rows = [_Row(schedule, hole) for schedule in schedules for hole in schedule.holes(start, end)]
    elif span:
        rows = [_Row(schedule, shift) for schedule in schedules for shift in schedule.shifts(start, end)]
    else:
        rows = [_Row(schedule, schedule.shifts(start, Instant(start + _FAR))[0]) for schedule in schedules]
    if as_json:
        write(json.dumps([_fields(row) for row in rows], indent=2))
    elif rows:
        console().print(_table(rows))
    else:
        say(f"{file}: somebody is on call all the time")
    if holes and rows:
        raise click.exceptions.Exit(FAILED)


def _chosen(schedules: Mapping[str, Schedule], names: Iterable[str], file: Path) -> list[Schedule]:
    if not schedules:
        raise Failure(f"{file}: has no schedules; name the notifier's file with --notifier or PUNTUAL_NOTIFIER")
    for name in names:
        if name not in schedules:
            raise NotFound(f"{file}: has no schedule {name!r}; there is {', '.join(sorted(schedules))}")
    return [schedules[name] for name in names or sorted(schedules)]


def _fields(row: _Row) -> Mapping[str, object]:
    return {
        "schedule": row.schedule.name,
        "zone": row.schedule.zone.key,
        "who": row.shift.who or None,
        "told": row.shift.who or row.schedule.fallback,
        "from": format_instant(row.shift.start),
        "to": format_instant(row.shift.end),
    }


def _table(rows: Iterable[_Row]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for heading in ("schedule", "from", "to", "on call"):
        table.add_column(heading)
    for schedule, shift in rows:
        who = shift.who or f"nobody; {schedule.fallback} is told"
        table.add_row(schedule.name, _wall(schedule, shift.start), _wall(schedule, shift.end), who)
    return table


def _wall(schedule: Schedule, at: Instant) -> str:
    wall: datetime = to_datetime(at).astimezone(schedule.zone)
    return f"{wall:%a %Y-%m-%d %H:%M %Z}"
