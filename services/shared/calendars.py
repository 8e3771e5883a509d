"""Reads calendars: the hours of each weekday, public holidays, closing days of one's own and special openings.

    office:
      zone: Europe/Madrid
      hours: {mon-thu: "09:00-14:00, 16:00-19:00", fri: "09:00-15:00", sat: "22:00-06:00"}
      holidays: ES-MD                       # country, or country and subdivision; several in a list
      closed: {2026-12-24: Christmas Eve, 2026-08-10..2026-08-21: summer}
      open: {2026-11-29: "10:00-20:00", 2026-07-03: as usual}

Hours that run over midnight belong to the day on which they begin. A day that is not listed is closed, and what is
listed under `open` is open whatever else says.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from itertools import islice, pairwise

from services.shared.fields import Fields
from services.shared.working_time import Hours, Special, WorkingTime
from services.shared.zones import time_zone

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: In the place of hours: those of the weekday.
AS_USUAL = "as usual"

#: The public holidays of a country ("ES") or subdivision ("ES-MD") in a year. Raises ValueError where there is none.
PublicHolidays = Callable[[str, int], Mapping[date, str]]

_HOURS = re.compile(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*")
_FULL_DAY = 1440
_SEVEN = 7
#: Days: of one entry, and of all entries of a calendar. So there is always time to come in which it is open.
_LONGEST_RANGE, _MOST_DAYS = 10 * 366, 20_000
#: More than any company has, and each takes time and memory for all the years that are asked for.
_MOST_CALENDARS = 100
#: A year with which to try whether a country has holidays.
_ANY_YEAR = 2026


def read_calendars(fields: Fields, holidays: PublicHolidays) -> Mapping[str, WorkingTime]:
    """All calendars of a section, by name; those with a problem are left out."""
    names = fields.names()
    if len(names) > _MOST_CALENDARS:
        fields.problem("", f"are {len(names)}; write at most {_MOST_CALENDARS}, each for all sites that share it")
        return {}
    made = {name: _calendar(name, fields.section(name), holidays) for name in names}
    return {name: calendar for name, calendar in made.items() if calendar}


def _calendar(name: str, fields: Fields, holidays: PublicHolidays) -> WorkingTime | None:
    zone = fields.text("zone")
    week = read_week(fields.section("hours"))
    places = fields.texts("holidays", ())
    closed = dict(islice(_closed(fields.section("closed")), _MOST_DAYS + 1))
    opened = dict(islice(_opened(fields.section("open"), week), _MOST_DAYS + 1))
    for section, days in (("closed", closed), ("open", opened)):
        if len(days) > _MOST_DAYS:
            fields.problem(section, f"has more than {_MOST_DAYS:,} days; write those of the years to come")
    for place in places:
        try:
            holidays(place, _ANY_YEAR)
        except ValueError as error:
            fields.problem("holidays", str(error))
            return None
    for day in sorted(closed.keys() & opened.keys()):
        fields.problem("open", f"{day} is closed above; keep one of the two")
    fields.done()
    try:
        time_zone(zone)
    except ValueError as error:
        if zone:
            fields.problem("zone", str(error))
        return None

    chosen: defaultdict[int, dict[date, Special]] = defaultdict(dict)
    for day, special in (*closed.items(), *opened.items()):
        chosen[day.year][day] = special

    @cache
    def specials(year: int) -> Mapping[date, Special]:
        days = {day: Special((), name) for place in places for day, name in holidays(place, year).items()}
        return {**days, **chosen.get(year, {})}

    return WorkingTime(name, zone, week, specials)


def read_week(fields: Fields) -> Sequence[Sequence[Hours]]:
    """The hours of each weekday, Monday first, in a section like `hours` above."""
    week: list[Sequence[Hours]] = [()] * _SEVEN
    names = fields.names()
    for name in names:
        days = _weekdays(name)
        if not days:
            fields.problem(name, f"is no weekday; write {', '.join(WEEKDAYS)}, or mon-fri")
        hours = _hours(fields, name)
        for day in days:
            if week[day]:
                fields.problem(name, f"gives {WEEKDAYS[day]} hours for the second time; keep one of the two")
            week[day] = hours
    if not names:
        fields.problem("", 'is missing; write for example {mon-fri: "09:00-18:00"}')
    elif not any(week):
        fields.problem("", "there are none on any day; open at least once a week")
    for day, (hours, tomorrow) in enumerate(zip(week, [*week[1:], week[0]], strict=True)):
        if hours and tomorrow and hours[-1].closing > tomorrow[0].opening + _FULL_DAY:
            fields.problem("", f"those of {WEEKDAYS[day]} run into those of the day after; end them earlier")
    return week


def _weekdays(name: str) -> Sequence[int]:
    """The days that "mon", "mon-fri" or "fri-mon" names; none where it is wrong."""
    first, _, last = (part.strip().lower() for part in name.partition("-"))
    if first not in WEEKDAYS or (last or first) not in WEEKDAYS:
        return ()
    start = WEEKDAYS.index(first)
    return [(start + step) % _SEVEN for step in range((WEEKDAYS.index(last or first) - start) % _SEVEN + 1)]


def _hours(fields: Fields, name: str) -> Sequence[Hours]:
    """What "09:00-14:00, 16:00-19:00" means; nothing where it is wrong."""
    text, hours = fields.text(name), []
    for part in text.split(",") if text else ():
        found = _HOURS.fullmatch(part)
        if not found:
            fields.problem(name, f'{part.strip()!r} are no hours; write for example "09:00-14:00, 16:00-19:00"')
            return ()
        from_hour, from_minute, to_hour, to_minute = map(int, found.groups())
        opening, closing = from_hour * 60 + from_minute, to_hour * 60 + to_minute
        if max(from_minute, to_minute) > 59 or opening >= _FULL_DAY or closing > _FULL_DAY:  # noqa: PLR2004
            fields.problem(name, f"{part.strip()!r} has a time that no clock shows; write 00:00 to 24:00")
            return ()
        # "22:00-06:00" ends on the day after.
        hours.append(Hours(opening, closing if closing > opening else closing + _FULL_DAY))
    hours.sort()
    if any(one.closing > other.opening for one, other in pairwise(hours)):
        fields.problem(name, f"{text!r} overlap; write each time once")
        return ()
    return hours


def _closed(fields: Fields) -> Iterator[tuple[date, Special]]:
    for name in fields.names():
        reason = fields.text(name)
        for day in _dates(fields, name):
            yield day, Special((), reason)


def _opened(fields: Fields, week: Sequence[Sequence[Hours]]) -> Iterator[tuple[date, Special]]:
    for name in fields.names():
        usual = fields.text(name) == AS_USUAL
        hours = () if usual else _hours(fields, name)
        for day in _dates(fields, name):
            if usual and not week[day.weekday()]:
                fields.problem(name, f"{day} is a day without hours; write the hours in which it is open")
            yield day, Special(week[day.weekday()] if usual else hours, "")


def _dates(fields: Fields, name: str) -> Iterable[date]:
    """What "2026-12-24" or "2026-08-10..2026-08-21" names; none where it is wrong."""
    first, _, last = name.partition("..")
    try:
        start, end = date.fromisoformat(first.strip()), date.fromisoformat((last or first).strip())
    except ValueError:
        fields.problem(name, "is no date; write for example 2026-12-24, or 2026-08-10..2026-08-21")
        return ()
    if end < start:
        fields.problem(name, "ends before it begins; write the earlier date first")
        return ()
    if (end - start).days >= _LONGEST_RANGE:
        fields.problem(
            name,
            f"is longer than {_LONGEST_RANGE // 366} years; to what is closed for good give another calendar",
        )
        return ()
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]
