"""Business days: when a day that was promised ends, where the customer is."""

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.shared.instant import Instant, from_datetime

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: A closing time of "24:00": the end of the date.
MIDNIGHT = time(0)


class Calendar(NamedTuple):
    """Opening hours by weekday (Monday first; None: closed), in an IANA zone."""

    name: str
    zone: str
    hours: tuple[tuple[time, time] | None, ...]


@lru_cache(maxsize=65_536)
def end_of_day(calendar: Calendar, day: date, zone: str) -> Instant:
    """The instant by which something promised for `day` is due: closing time of that day, in `zone`.

    On a day the calendar is closed the word given was still that day, so it is due when the date ends; never later
    than the customer was led to expect. A closing time that the clocks skip or repeat counts at its first offset.
    """
    hours = calendar.hours[day.weekday()]
    closing = hours[1] if hours else MIDNIGHT
    end = day + timedelta(days=1) if closing == MIDNIGHT else day
    return from_datetime(datetime.combine(end, closing, tzinfo=ZoneInfo(zone)))
