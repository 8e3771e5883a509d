"""Reads the schedules of `notifier.yaml`, with the iCalendar files they name."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from datetime import time
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from zoneinfo import ZoneInfo

from services.notifier.schedules import NOBODY, Feed, Layer, Rotation, Schedule, Shift
from services.shared.calendars import read_week
from services.shared.documents import DocumentError
from services.shared.fields import Fields
from services.shared.ical import MAX_BYTES
from services.shared.instant import Instant, to_datetime
from services.shared.working_time import Hours, WorkingTime
from services.shared.zones import time_zone

#: What routes write before the name of a schedule.
PREFIX = "on-call:"

_EXAMPLE = '[{rotation: [ana, bob], from: 2026-12-07, at: "09:00"}]'
_EVERY = re.compile(r"(?:(\d{1,3}) )?(day|week)s?")
_DAYS = {"day": 1, "week": 7}
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def read_schedule(name: str, fields: Fields, targets: Collection[str], folder: Path) -> Schedule | None:
    """One schedule; None where it has a problem. `folder`: where the files are that it names."""
    zone = read_zone(fields)
    fallback = fields.text("fallback", one_of=targets)
    # Without a zone nothing else can be read rightly, but most of what is wrong can be found all the same.
    sections, reckoned = fields.sections("layers"), zone or ZoneInfo("UTC")
    layers = [_layer(layer, reckoned, targets, folder) for layer in sections]
    overrides = _overrides(fields.sections("overrides"), reckoned, targets)
    if not sections:
        fields.problem("layers", f"is missing; write for example {_EXAMPLE}")
    fields.done()
    if zone is None:
        return None
    return Schedule(name, zone, fallback, [layer for layer in layers if layer], overrides)


def read_zone(fields: Fields) -> ZoneInfo | None:
    """The zone of what is read; None where it has a problem."""
    name = fields.text("zone")
    try:
        return time_zone(name) if name else None
    except ValueError as error:
        fields.problem("zone", str(error))
        return None


def _layer(fields: Fields, zone: ZoneInfo, targets: Collection[str], folder: Path) -> Layer | None:
    layer = _feed(fields, zone, targets, folder) if "calendar" in fields else _rotation(fields, zone, targets)
    fields.done()
    return layer


def _rotation(fields: Fields, zone: ZoneInfo, targets: Collection[str]) -> Rotation | None:
    people, first = fields.texts("rotation", one_of=targets), fields.day("from")
    if first is None and "from" not in fields:
        fields.problem("from", "is missing; write the date of the first hand-off, for example 2026-12-07")
    days, times = _days(fields), _times(fields)
    if len(times) > 1 and days > 1:
        fields.problem("at", "has several times a day, which only turns of a day can have; write one, or every: day")
    hours = read_hours(fields.section("hours"), zone) if "hours" in fields else None
    return Rotation(people, zone, first, days, times, hours) if people and first and times and days else None


def read_hours(fields: Fields, zone: ZoneInfo) -> WorkingTime:
    """Hours by weekday."""
    return _working_time(zone.key, tuple(map(tuple, read_week(fields))))


@lru_cache(128)
def _working_time(zone: str, week: tuple[tuple[Hours, ...], ...]) -> WorkingTime:
    """Of a layer and the like. A table takes a tenth of a second to make, and schedules are read again and again."""
    return WorkingTime("of a layer", zone, week)


def _days(fields: Fields) -> int:
    text = fields.text("every", "week")
    found = _EVERY.fullmatch(text)
    days = int(found[1] or 1) * _DAYS[found[2]] if found else 0
    if not days:
        fields.problem("every", f"{text!r} is no turn; write for example day, 3 days, week or 2 weeks")
    return days


def _times(fields: Fields) -> Sequence[time]:
    if "at" not in fields:
        fields.problem("at", 'is missing; write the time of the hand-off, for example "09:00"')
        return ()
    times: set[time] = set()
    for text in fields.choices("at"):
        if _TIME.fullmatch(text):
            times.add(time.fromisoformat(text))
        else:
            fields.problem("at", f'{text!r} is no time of day; write for example "09:00"')
    return sorted(times)


def _feed(fields: Fields, zone: ZoneInfo, targets: Collection[str], folder: Path) -> Feed | None:
    file = fields.text("calendar")
    table = fields.section("people")
    people = {name: table.text(name, one_of=targets) for name in table.names()}
    ignored = fields.texts("ignore", ())
    try:
        feed = _expanded(_content(folder / file), file, zone, (*people.items(), *((name, NOBODY) for name in ignored)))
    except OSError as error:
        fields.problem("calendar", f"{file!r} cannot be read: {error.strerror}; name a readable iCalendar file (.ics)")
        return None
    except DocumentError as error:
        fields.problem("calendar", str(error).removeprefix(f"{file}: "))
        return None
    for name in set(feed.names).difference(targets, people, ignored):
        fields.problem("calendar", f"{name!r} in it is no target; say who that is under people, or name it in ignore")
    return feed


def _content(file: Path) -> bytes:
    """As much as is looked at, and one byte more. Raises OSError."""
    with file.open("rb") as opened:
        return opened.read(MAX_BYTES + 1)


#: A calendar by its file and how it is read → what that was made of, and what came of it. A calendar of thousands of
#: events takes seconds to read, and schedules are read again and again.
_Reading = tuple[str, ZoneInfo, tuple[tuple[str, str], ...]]
_known: dict[_Reading, tuple[bytes, Feed]] = {}
_MOST_KNOWN = 64


def _expanded(content: bytes, *reading: *_Reading) -> Feed:
    """Raises DocumentError."""
    known = _known.pop(reading, None)
    if known is None or known[0] != content:
        file, zone, people = reading
        known = content, Feed(content, file, zone, dict(people))
    _known[reading] = known
    while len(_known) > _MOST_KNOWN:
        del _known[next(iter(_known))]
    return known[1]


def _overrides(sections: Iterable[Fields], zone: ZoneInfo, targets: Collection[str]) -> Sequence[Shift]:
    """Where two overlap the later one in the document wins, as later layers do."""
    found: list[Shift] = []
    for fields in sections:
        start, end, who = fields.instant("from", zone), fields.instant("to", zone), fields.text("who", one_of=targets)
        for name in ("from", "to"):
            if name not in fields:
                fields.problem(name, "is missing; write for example 2026-12-24T18:00")
        fields.done()
        if start is None or end is None:
            continue
        if start < end:
            _lay_over(found, Shift(start, end, who))
        else:
            fields.problem("to", f"{_wall(end, zone)} is not after from; write when it ends")
    return found


def _lay_over(shifts: list[Shift], new: Shift) -> None:
    """Put a shift into those in order and without overlap; of the others what it leaves of them stays."""
    first, last = bisect_right(shifts, new.start, key=_END), bisect_left(shifts, new.end, key=_START)
    covered = shifts[first:last]
    parts = [shift._replace(end=new.start) for shift in covered[:1] if shift.start < new.start]
    parts += [new, *(shift._replace(start=new.end) for shift in covered[-1:] if shift.end > new.end)]
    shifts[first:last] = parts


_START, _END = attrgetter("start"), attrgetter("end")


def _wall(at: Instant, zone: ZoneInfo) -> str:
    return to_datetime(at).astimezone(zone).isoformat(timespec="minutes")
