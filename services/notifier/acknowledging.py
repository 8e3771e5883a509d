"""Measures how soon somebody says that he sees to an incident, and of how many nobody does.

It looks at the records of the partitions that this worker owns, and follows what is announced of them. An answer is
timed by the worker that took it in: one that was heard before the partition came here was timed where it was.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from puntual.notifier.v1 import incident_pb2 as pb, response_pb2
from services.notifier.items import NONE, Severity
from services.notifier.meter import AttentionMeter
from services.shared.clock import Now, from_timestamp, wall_clock
from services.shared.engine.view import RecordView, SlowReader
from services.shared.instant import SECOND, Instant

#: Seconds between two looks at which partitions are owned, and two measurements.
LOOK = 1.0
#: Records read before others get their turn.
_AT_A_TIME = 100

SEVERITIES: Mapping[int, str] = {severity: severity.name.lower() for severity in Severity if severity}

_ACKNOWLEDGING = frozenset({response_pb2.RESPONSE_ACTION_ACKNOWLEDGE, response_pb2.RESPONSE_ACTION_TAKE_OVER})
_OPEN = frozenset({pb.STANDING_AT_RISK, pb.STANDING_BROKEN})


class Known(NamedTuple):
    """What is known of an incident."""

    opened_at: Instant
    #: When somebody first said that he sees to this run of it; NONE: nobody has.
    acknowledged_at: Instant
    #: The worst that is open: with what nobody sees to, and with everything; UNSPECIFIED: nothing.
    unanswered: int
    worst: int


class Acknowledging:
    """Measures for the partitions that `view` owns."""

    def __init__(self, view: RecordView, meter: AttentionMeter, now: Now = wall_clock) -> None:
        self._view = view
        self._meter = meter
        self._now = now
        #: Partition → incident → what is known of it.
        self._known: dict[int, dict[bytes, Known]] = {}
        #: Partition → since when it is owned, at the earliest.
        self._since: dict[int, Instant] = {}
        self._looked_at = now()
        #: The partitions of which every record was looked at.
        self._walked: frozenset[int] = frozenset()

    async def run(self) -> None:
        """Measure until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._look_around())

    async def _follow(self) -> None:
        while True:
            with self._view.watch() as announcements:
                try:
                    async for announcement in announcements:
                        self._hear(announcement.partition, announcement.key, announcement.value)
                except SlowReader:
                    self._walked = frozenset()  # look at everything again

    async def _look_around(self) -> None:
        while True:
            owned = frozenset(self._view.partitions())
            for partition in self._since.keys() - owned:
                del self._since[partition], self._known[partition]
            new, self._walked = owned - self._walked, owned
            for partition in new:
                await self._walk(partition)
            self._looked_at = self._now()
            self._measure()
            await asyncio.sleep(LOOK)

    async def _walk(self, partition: int) -> None:
        for number, key in enumerate({*self._view.keys(partition), *self._known.get(partition, ())}):
            if self._view.owns(partition):
                self._hear(partition, key, self._view.get(partition, key))
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)

    def _hear(self, partition: int, key: bytes, record: bytes | None) -> None:
        """Takes in how an incident stands."""
        since = self._since.setdefault(partition, self._looked_at)
        incidents = self._known.setdefault(partition, {})
        before = incidents.pop(key, None)
        if record is None:
            return
        known = incidents[key] = known_of(pb.Incident.FromString(record))
        timed = before and before.opened_at == known.opened_at and before.acknowledged_at
        if timed:
            # The response itself may be among the last twenty no longer.
            incidents[key] = known._replace(acknowledged_at=timed)
        elif known.opened_at and known.acknowledged_at >= since and (severity := _named(before, known)):
            self._meter.acknowledged(severity, (known.acknowledged_at - known.opened_at) / SECOND)

    def _measure(self) -> None:
        counts = Counter(known.unanswered for incidents in self._known.values() for known in incidents.values())
        for severity, name in SEVERITIES.items():
            self._meter.unacknowledged(name, counts[severity])


def _named(before: Known | None, known: Known) -> str | None:
    """How bad it was: if it is over with the same write, as it was before."""
    return SEVERITIES.get(known.worst or (before.worst if before else Severity.UNSPECIFIED))


def known_of(incident: pb.Incident) -> Known:
    """What is to be known of an incident."""
    said = (from_timestamp(each.heard_at) for each in incident.responses if each.action in _ACKNOWLEDGING)
    items = [
        item
        for item in incident.items
        if item.standing in _OPEN and item.handling != pb.HANDLING_CLOSED and not item.follow_up
    ]
    is_open = incident.state == pb.INCIDENT_STATE_OPEN
    unanswered = (item.severity for item in items if is_open and item.handling == pb.HANDLING_UNSPECIFIED)
    return Known(
        opened_at=from_timestamp(incident.opened_at),
        acknowledged_at=min(said, default=NONE),
        unanswered=max(unanswered, default=Severity.UNSPECIFIED),
        worst=max((item.severity for item in items), default=Severity.UNSPECIFIED),
    )
