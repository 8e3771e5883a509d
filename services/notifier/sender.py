"""Makes the attempts that acknowledged records call for, and reports how they ended. The only part that waits.

An attempt is made once the record that says SENDING is in the log, at most one at a time for a message. What a crash or
a rebalance interrupts is found again as SENDING and sent again under the same id.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from puntual.notifier.v1 import incident_pb2 as pb
from services.notifier.channels import CHANNELS
from services.notifier.channels.channel import Channel
from services.notifier.channels.console import Console
from services.notifier.codec import unpack_deliveries
from services.notifier.config import Target
from services.notifier.items import Severity
from services.notifier.meter import Meter
from services.notifier.outbox import (
    FALLBACK_CHANNEL,
    UNSETTLED,
    Accepted,
    Delivery,
    DeliverySettled,
    DeliveryState,
    Failure,
    Kind,
    Outcome,
    Refused,
    TryAgain,
    settled,
)
from services.notifier.wording import Style, Unwordable, word
from services.shared.clock import Now, wall_clock
from services.shared.engine.view import RecordView, SlowReader
from services.shared.instant import SECOND

log = logging.getLogger(__name__)

#: Attempts at one target at the same time.
CONCURRENT = 8
#: Seconds an attempt may last, waiting for its turn included. Well below the lease, so that none outlives it.
ATTEMPT = 45.0
#: Seconds that attempts under way get to end when the service stops. A webhook's own timeout is shorter.
GRACE = 12.0
#: Seconds between two looks at which partitions are owned, and two measurements.
LOOK = 1.0
#: How often, and how many seconds apart, the end of an attempt is reported: until about the end of its lease.
_SUBMISSIONS, _RETRY = 50, 0.3

Submit = Callable[[int, bytes, DeliverySettled], Awaitable[bool]]
#: Where a message about an incident can be answered; empty: nowhere.
Link = Callable[[Delivery, str], str]

OUTCOMES: Mapping[type, str] = {Accepted: "success", TryAgain: "retryable", Refused: "permanent"}


class _Place(NamedTuple):
    """Where an incident lives."""

    partition: int
    key: bytes


class Sender:
    """Sends for the partitions that `view` owns. `submit` folds a fact into an incident; False: it is not owned."""

    def __init__(
        self,
        view: RecordView,
        submit: Submit,
        targets: Mapping[str, Target],
        meter: Meter,
        now: Now = wall_clock,
        links: Link | None = None,
    ) -> None:
        self._view = view
        self._submit = submit
        self._targets = targets
        self._meter = meter
        self._now = now
        self._links = links or (lambda *_: "")
        self._fallback = Console()
        self._tasks = asyncio.TaskGroup()
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._attempts: dict[str, asyncio.Task[None]] = {}
        self._unsettled: dict[_Place, Mapping[str, Delivery]] = {}
        #: What was accepted, until the record says so.
        self._accepted: dict[str, DeliverySettled] = {}
        self._known: frozenset[int] = frozenset()
        self._finishing = False

    async def run(self) -> None:
        """Send until cancelled; what is still under way then is dropped, and sent again by whoever comes next."""
        async with self._tasks:
            self._tasks.create_task(self._follow())
            self._tasks.create_task(self._look_around())

    async def finish(self) -> None:
        """Begin nothing more, and wait until what is under way has ended and is reported, at most `GRACE` seconds."""
        self._finishing = True
        if self._attempts:
            await asyncio.wait(self._attempts.values(), timeout=GRACE)

    async def close(self) -> None:
        """Close connections."""
        for target in self._targets.values():
            await target.channel.close()

    async def _follow(self) -> None:
        while True:
            with self._view.watch() as announcements:
                try:
                    async for announcement in announcements:
                        self._hear(_Place(announcement.partition, announcement.key), announcement.value)
                except SlowReader:
                    self._known = frozenset()  # look at everything again

    async def _look_around(self) -> None:
        """Takes up what earlier owners left, lets go of what others own now, and measures."""
        found: dict[_Place, bytes | None] = {}
        while True:
            owned = frozenset(self._view.partitions())
            for place in [place for place in self._unsettled if place.partition not in owned]:
                self._forget(self._unsettled.pop(place))
            for place, record in found.items():
                # What is new may not be in the log yet, and is announced once it is. What stood there a look ago is.
                if record == self._record(place):
                    self._hear(place, record)
                    await asyncio.sleep(0)
            new = [_Place(partition, key) for partition in owned - self._known for key in self._view.keys(partition)]
            found = {place: self._record(place) for place in new}
            self._known = owned
            self._measure()
            await asyncio.sleep(LOOK)

    def _record(self, place: _Place) -> bytes | None:
        return self._view.get(*place) if self._view.owns(place.partition) else None

    def _hear(self, place: _Place, record: bytes | None) -> None:
        """Takes in an acknowledged record."""
        before = self._unsettled.pop(place, {})
        unsettled = _unsettled(record)
        self._forget(before.keys() - unsettled.keys())
        for delivery in unsettled.values():
            if delivery.attempts == 0 and delivery.delivery_id not in before:
                self._meter.decided(
                    _label(delivery), Kind(delivery.kind).name.lower(), Severity(delivery.severity).name.lower()
                )
            if delivery.state == DeliveryState.SENDING and delivery.delivery_id not in self._attempts:
                self._begin(place, delivery)
        if unsettled:
            self._unsettled[place] = unsettled

    def _forget(self, settled: Iterable[str]) -> None:
        for delivery_id in settled:
            self._accepted.pop(delivery_id, None)

    def _begin(self, place: _Place, delivery: Delivery) -> None:
        # The announcement may be older than the record: what has been settled since must not be sent again.
        latest = _unsettled(self._record(place)).get(delivery.delivery_id)
        if latest is None or (latest.state, latest.attempts) != (delivery.state, delivery.attempts):
            return
        attempt = self._tasks.create_task(self._attempt(place, delivery))
        self._attempts[delivery.delivery_id] = attempt
        attempt.add_done_callback(lambda _: self._attempts.pop(delivery.delivery_id, None))

    async def _attempt(self, place: _Place, delivery: Delivery) -> None:
        # Asked again although it was accepted: that could not be written down. It is reported again, never sent again.
        end = self._accepted.get(delivery.delivery_id) or await self._made(place, delivery)
        if end is None:
            return
        if isinstance(end.outcome, Accepted):
            self._accepted[delivery.delivery_id] = end
        # A rebalance may pass by, and the partition come back.
        for _ in range(_SUBMISSIONS):
            if await self._submit(*place, end):
                return
            await asyncio.sleep(_RETRY)

    async def _made(self, place: _Place, delivery: Delivery) -> DeliverySettled | None:
        """How an attempt made now ended; None where the service stops first. It is then made after the restart."""
        started = time.monotonic()
        outcome = await self._outcome(place.key.decode(), delivery)
        if outcome is None:
            return None
        end = DeliverySettled(self._now(), delivery.delivery_id, outcome)
        self._report(delivery, end, time.monotonic() - started)
        return end

    async def _outcome(self, incident_id: str, delivery: Delivery) -> Outcome | None:
        way = self._way(delivery)
        if way is None:
            return Refused(Failure.OTHER)
        channel, style, instead = way
        turn = self._turns.setdefault(delivery.target, asyncio.Semaphore(CONCURRENT))
        try:
            message = word(delivery, incident_id, style, instead=instead, link=self._links(delivery, incident_id))
            async with asyncio.timeout(ATTEMPT), turn:
                return None if self._finishing else await channel.send(message)
        except TimeoutError:
            return TryAgain(Failure.TIMEOUT)
        except Unwordable:
            log.exception("message cannot be worded", extra={"target": delivery.target})
            return Refused(Failure.TEMPLATE)
        except Exception as error:  # noqa: BLE001 - one target's trouble must not stop the others
            # What it says may hold a secret; what it is tells enough.
            log.error("attempt failed", extra={"target": delivery.target, "error": type(error).__name__})  # noqa: TRY400
            return TryAgain(Failure.OTHER)

    def _way(self, delivery: Delivery) -> tuple[Channel, Style, bool] | None:
        """The channel to use, how to put it, and whether it stands in for the target's own.

        None where the target is no longer in the configuration: nothing reaches it.
        """
        target = self._targets.get(delivery.target)
        if target and (delivery.channel != FALLBACK_CHANNEL or target.channel_name == FALLBACK_CHANNEL):
            return target.channel, target.style, False
        if delivery.channel == FALLBACK_CHANNEL:
            return self._fallback, target.style if target else Style(), True
        return None

    def _report(self, delivery: Delivery, end: DeliverySettled, seconds: float) -> None:
        after, channel = settled(delivery, end), _label(delivery)
        self._meter.attempted(channel, OUTCOMES[type(end.outcome)], seconds)
        where = {"target": delivery.target, "delivery": delivery.delivery_id, "attempts": delivery.attempts}
        if after.state == DeliveryState.ACCEPTED:
            latency = (end.occurred_at - delivery.decided_at) / SECOND
            self._meter.delivered(channel, Severity(delivery.severity).name.lower(), latency)
        elif after.state == DeliveryState.DEAD:
            self._meter.given_up(channel, after.last_failure)
            log.error("notification given up", extra={**where, "failure": after.last_failure})
        else:
            log.warning("notification will be tried again", extra={**where, "failure": after.last_failure})

    def _measure(self) -> None:
        now = self._now()
        waiting = [delivery for deliveries in self._unsettled.values() for delivery in deliveries.values()]
        counts = Counter((_label(delivery), delivery.state) for delivery in waiting)
        for channel in CHANNELS:
            for state in (DeliveryState.PENDING, DeliveryState.SENDING):
                self._meter.waiting(channel, state.name.lower(), counts[channel, state])
            oldest = min((delivery.decided_at for delivery in waiting if _label(delivery) == channel), default=now)
            self._meter.oldest(channel, max(now - oldest, 0) / SECOND)


def _label(delivery: Delivery) -> str:
    """The channel as metrics name it. What only a newer version knows is counted as what stands in for it."""
    return delivery.channel if delivery.channel in CHANNELS else FALLBACK_CHANNEL


def _unsettled(record: bytes | None) -> Mapping[str, Delivery]:
    """The deliveries of a packed incident that are not settled, by id."""
    deliveries = unpack_deliveries(pb.Incident.FromString(record).deliveries) if record else ()
    return {delivery.delivery_id: delivery for delivery in deliveries if delivery.state in UNSETTLED}
