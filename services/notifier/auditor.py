"""Looks through all incidents of this worker, again and again, for what should have happened and did not.

On its way it counts the items of which news is held back, and those that incidents cannot follow.

Nothing of what it finds should exist: the engine's queue looks at every deadline, and the sender takes up whatever it
missed. So it relies on neither, and reads the records themselves. What it finds it has judged again.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from services.notifier.channels import CHANNELS
from services.notifier.held_back import held_items
from services.notifier.holds import Reason
from services.notifier.incident import Incident, Plan
from services.notifier.meter import HealthMeter
from services.notifier.outbox import FALLBACK_CHANNEL
from services.notifier.overdue import Wait, late, overdue
from services.shared.clock import Now, wall_clock
from services.shared.engine.view import RecordView
from services.shared.instant import SECOND, Instant

log = logging.getLogger(__name__)

#: Seconds between two looks.
LOOK = 15.0
#: Seconds between two looks at which partitions are owned: new ones are audited without waiting.
STEP = 1.0
#: How many times longer than a look the pause after it lasts: however many incidents there are, most time is others'.
_RESPITE = 9
#: Seconds after which a look that should have ended is not waited for any more.
_OVERTIME = 60.0


class _Place(NamedTuple):
    """Where an incident lives."""

    partition: int
    key: bytes


class Auditor:
    """Audits the partitions that `view` owns. `look_again` has records judged at once."""

    def __init__(
        self,
        view: RecordView,
        look_again: Callable[[int, Iterable[bytes]], None],
        plan: Plan,
        meter: HealthMeter,
        now: Now = wall_clock,
    ) -> None:
        self._view = view
        self._look_again = look_again
        self._plan = plan
        self._meter = meter
        self._now = now
        self._late: Mapping[_Place, Mapping[Wait, Instant]] = {}
        self._overdue: Mapping[_Place, Mapping[Wait, Instant]] = {}
        self._audited: frozenset[int] = frozenset()
        #: Until when the last look counts, by the monotonic clock.
        self._counts_until = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            end = await self.look()
            while time.monotonic() < end and self._knows_all():  # noqa: ASYNC110 - a partition that comes has no event
                await asyncio.sleep(STEP)

    def trouble(self) -> str | None:
        """Why this worker cannot be said to be well; None where nothing was overdue at the last look."""
        if not self._knows_all() or time.monotonic() > self._counts_until:
            return "Incidents have not been looked through lately."
        if self._overdue:
            return f"Overdue incidents: {len(self._overdue)}."
        return None

    def _knows_all(self) -> bool:
        return self._audited.issuperset(self._view.partitions())

    async def look(self) -> float:
        """Look at every record once, let others have their turn after each, and see to what is overdue.

        Returns when to look again, by the monotonic clock.
        """
        started = time.monotonic()
        partitions = frozenset(self._view.partitions())
        found: dict[_Place, Mapping[Wait, Instant]] = {}
        held: Counter[tuple[int, Reason]] = Counter()
        unfollowed: Counter[int] = Counter()
        for place in [_Place(partition, key) for partition in partitions for key in self._view.keys(partition)]:
            if incident := self._incident(place):
                if waiting := late(incident, self._plan, self._now(), self._late.get(place, {})):
                    found[place] = waiting
                for reason, items in held_items(incident, self._plan, self._now()).items():
                    held[place.partition, reason] += items
                unfollowed[place.partition] += incident.unfollowed
            await asyncio.sleep(0)
        before, now = self._overdue, self._now()
        self._late = {place: waiting for place, waiting in found.items() if self._view.owns(place.partition)}
        self._overdue = {place: bad for place, waiting in self._late.items() if (bad := overdue(waiting, now))}
        self._audited = partitions
        for place, bad in self._overdue.items():
            self._report(place, bad, before.get(place, {}), now)
            self._look_again(place.partition, [place.key])
        if before and not self._overdue:
            log.info("nothing is overdue any more")
        self._measure(now)
        owned = frozenset(self._view.partitions())
        for reason in Reason:
            self._meter.held_back(reason, sum(held[partition, reason] for partition in owned))
        self._meter.unfollowed(sum(unfollowed[partition] for partition in owned))
        ended = time.monotonic()
        pause = max(LOOK, _RESPITE * (ended - started))
        self._counts_until = ended + 2 * pause + _OVERTIME
        return ended + pause

    def _incident(self, place: _Place) -> Incident | None:
        incident: Incident | None = self._view.record(*place) if self._view.owns(place.partition) else None
        return incident

    def _report(self, place: _Place, bad: Mapping[Wait, Instant], before: Mapping[Wait, Instant], now: Instant) -> None:
        """Say it once."""
        if bad.keys() <= before.keys():
            return
        deliveries = ",".join(wait.delivery_id for wait in bad if wait.delivery_id)
        log.error(
            "overdue, and looked at again now",
            extra={
                "incident": place.key.decode(),
                "partition": place.partition,
                "seconds": round((now - min(bad.values())) / SECOND),
                **({"deliveries": deliveries} if deliveries else {}),
            },
        )

    def _measure(self, now: Instant) -> None:
        bad = [(wait, since) for waits in self._overdue.values() for wait, since in waits.items()]
        stuck = Counter(_label(wait.channel) for wait, _ in bad if wait.delivery_id)
        for channel in CHANNELS:
            self._meter.stuck(channel, stuck[channel])
        self._meter.audited(now / SECOND, max(((now - since) / SECOND for _, since in bad), default=0.0))


def _label(channel: str) -> str:
    """The channel as metrics name it. What only a newer version knows is counted as what stands in for it."""
    return channel if channel in CHANNELS else FALLBACK_CHANNEL
