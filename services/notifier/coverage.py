"""Keeps the schedules as their file has them, and measures in how many of them somebody is missing soon."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from services.notifier.config import Config, load_schedules
from services.notifier.meter import Meter
from services.notifier.schedules import Schedule
from services.shared.clock import Now, wall_clock
from services.shared.documents import DocumentError
from services.shared.instant import SECOND, Instant

log = logging.getLogger(__name__)

#: What is looked at ahead, as the metric names it.
HORIZONS: Mapping[str, int] = {"24h": 86_400 * SECOND, "7d": 7 * 86_400 * SECOND}
#: Seconds between two looks.
LOOK = 60.0


async def watch(file: Path, config: Config, meter: Meter, now: Now = wall_clock) -> None:
    """Look again and again, until cancelled."""
    said = ""
    while True:
        # Calendars take time to read and to expand: whoever waits for this loop is not to wait for that.
        found = await asyncio.to_thread(_read, file, config)
        trouble = _follow(config, found)
        if trouble != said:
            said = trouble
            log.error("schedules stay as they were: %s", trouble) if trouble else log.info(
                "schedules are in order again"
            )
        schedules = [duty.schedule for duty in config.on_call.values()]
        await asyncio.to_thread(measure, schedules, meter, now())
        await asyncio.sleep(LOOK)


def refresh(file: Path, config: Config) -> str:
    """Take over the schedules as the file has them now, or say why not: then all stay as they are."""
    return _follow(config, _read(file, config))


def _read(file: Path, config: Config) -> Mapping[str, Schedule] | str:
    """The schedules as the file has them now, or why they cannot be taken over."""
    if not config.on_call:
        return {}
    try:
        schedules = load_schedules(file, [*config.targets, *config.rules.people])
    except DocumentError as error:
        return str(error)
    if missing := config.on_call.keys() - schedules.keys():
        return f"{file}: schedules: {', '.join(sorted(missing))} is gone; restart the notifier to do without it"
    return schedules


def _follow(config: Config, found: Mapping[str, Schedule] | str) -> str:
    if isinstance(found, str):
        return found
    for name, duty in config.on_call.items():
        duty.follow(found[name])
    return ""


def measure(schedules: Iterable[Schedule], meter: Meter, now: Instant) -> None:
    """Count those with a hole, for each horizon."""
    ahead = Instant(now + max(HORIZONS.values()))
    first = [holes[0].start for schedule in schedules if (holes := schedule.holes(now, ahead))]
    for horizon, span in HORIZONS.items():
        meter.uncovered(horizon, sum(start < now + span for start in first))
