"""Makes the attempts that acknowledged records call for, and reports how they ended. The only part that waits.

An attempt is made once the record that says SENDING is in the log, at most one at a time for a message. What a crash or
a rebalance interrupts is found again as SENDING and sent again under the same id.
"""

import asyncio
import logging
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from itertools import chain
from typing import NamedTuple

from puntual.notifier.v1 import incident_pb2 as pb
from services.notifier.channels import CHANNELS, KNOWING_COPIES
from services.notifier.channels.channel import Channel, Message
from services.notifier.channels.console import Console
from services.notifier.codec import known
from services.notifier.config import Target
from services.notifier.digest import merged
from services.notifier.incident import Incident
from services.notifier.items import TROUBLE, Severity
from services.notifier.meter import Meter
from services.notifier.outbox import (
    FALLBACK_CHANNEL,
    PRECEDENCE,
    UNSETTLED,
    Accepted,
    Delivery,
    DeliverySettled,
    DeliveryState,
    Failure,
    Kind,
    Outcome,
    Pause,
    Refused,
    TryAgain,
    settled,
)
from services.notifier.throttle import Breaker, Bucket, Rate
from services.notifier.wording import Occasion, Style, Unwordable, word
from services.shared.clock import Now, from_timestamp, wall_clock
from services.shared.engine.machine import OwnFact
from services.shared.engine.view import PartitionsMoved, RecordView, SlowReader
from services.shared.instant import SECOND, Instant
from services.shared.log import place_of

log = logging.getLogger(__name__)

#: Attempts at one target at the same time.
CONCURRENT = 8
#: Seconds an attempt may last, waiting for its turn included. Well below the lease, so that none outlives it.
ATTEMPT = 45.0
#: Seconds that a message is held here because its target can bear no more. With an attempt well below the lease, too.
HELD = 10.0
#: Seconds that attempts under way get to end when the service stops. A webhook's own timeout is shorter.
GRACE = 12.0
#: Seconds between two looks at which partitions are owned, and two measurements.
LOOK = 1.0
#: Records taken over at a time, before others get their turn.
_TURN = 500
#: How often, and how many seconds apart, the end of an attempt is reported: until about the end of its lease.
_SUBMISSIONS, _RETRY = 50, 0.3

Submit = Callable[[Sequence[OwnFact]], Awaitable[Sequence[bool]]]
#: Where a message about an incident can be answered; empty: nowhere.
Link = Callable[[Delivery, str], str]

OUTCOMES: Mapping[type, str] = {Accepted: "success", TryAgain: "retryable", Refused: "permanent"}


class _Place(NamedTuple):
    """Where an incident lives."""

    partition: int
    key: bytes


class _Unsettled(NamedTuple):
    """What is remembered of a message as long as it is not settled."""

    state: int
    #: Its target, its channel, and what metrics call that.
    way: tuple[str, str, str]
    decided_at: Instant


class _Way(NamedTuple):
    """How a message gets to its receivers."""

    channel: Channel
    style: Style
    #: Whether it stands in for the target's own.
    instead: bool
    copies_known: bool


class _Asked(NamedTuple):
    """An attempt that an acknowledged record calls for. Very many may wait for their turn: it holds little."""

    place: _Place
    delivery_id: str
    attempts: int
    may_repeat: bool
    #: When it was asked for, by the monotonic clock, and how often partitions had been given away by then.
    since: float
    moves: int


class _Waiting(NamedTuple):
    """A message that waits for its target to bear another one."""

    incident_id: str
    delivery: Delivery
    since: float
    end: "asyncio.Future[Outcome | None]"


#: How soon a message leaves, and whose word it passes on, which can be nobody else's.
_Rank = tuple[int, str]
_LEAST_URGENT = PRECEDENCE.index(Kind.REMINDER)


class _Gate:
    """What an attempt at one target has to pass."""

    def __init__(self, rate: Rate | None) -> None:
        #: For what leaves the line of a bucket; all else is counted, and waits in `asked`.
        self.turn = asyncio.Semaphore(CONCURRENT)
        self.under_way = 0
        #: Attempts that were asked for and not begun. With a bucket none: there messages themselves wait, in its line.
        self.asked: deque[_Asked] = deque()
        self.breaker = Breaker(random.random)
        self.bucket = Bucket(rate, time.monotonic()) if rate else None
        #: By rank, which is the order in which they leave; those of one rank as they came. No list is empty.
        self.line: dict[_Rank, list[_Waiting]] = {}
        self.news = asyncio.Event()
        self.clerk: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether another attempt has to wait for its turn."""
        return self.bucket is None and self.under_way >= CONCURRENT

    def take(self, rank: _Rank, *, everybody: bool) -> Sequence[_Waiting]:
        """Take the first of a rank out of the line, or all of them."""
        line = self.line.pop(rank)
        if not everybody and line[1:]:
            self.line[rank] = line[1:]
        return line if everybody else line[:1]

    def leave(self, gone: Callable[[_Waiting], bool]) -> list[_Waiting]:
        """Take those out of the line of whom that is true."""
        leaving = [waiting for waiting in chain(*self.line.values()) if gone(waiting)]
        if leaving:
            left = {rank: [each for each in line if not gone(each)] for rank, line in self.line.items()}
            self.line = {rank: line for rank, line in left.items() if line}
        return leaving


class Sender:
    """Sends for the partitions that `view` owns. `submit` folds facts into incidents; False: it is not owned."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it has of the service
        self,
        view: RecordView,
        submit: Submit,
        targets: Mapping[str, Target],
        meter: Meter,
        now: Now = wall_clock,
        links: Link | None = None,
        pauses: MutableMapping[str, Pause] | None = None,
    ) -> None:
        """`pauses`: where it says which targets are to be left alone for now."""
        self._view = view
        self._submit = submit
        self._targets = targets
        self._meter = meter
        self._now = now
        self._links = links or (lambda *_: "")
        self._pauses = {} if pauses is None else pauses
        self._fallback = Console()
        self._tasks = asyncio.TaskGroup()
        #: By target, and whether the console stands in for it.
        self._gates: dict[tuple[str, bool], _Gate] = {}
        #: By delivery, until its end is written down; None: it waits for its turn.
        self._attempts: dict[str, asyncio.Task[None] | None] = {}
        #: By delivery: what was asked for before that.
        self._asked_again: dict[str, _Asked] = {}
        self._unsettled: dict[_Place, Mapping[str, _Unsettled]] = {}
        #: How attempts ended, and who waits to hear whether that was written down.
        self._ends: asyncio.Queue[tuple[OwnFact, asyncio.Future[bool]]] = asyncio.Queue()
        #: What was accepted, until the record says so.
        self._accepted: dict[str, DeliverySettled] = {}
        #: How often partitions were given away.
        self._moves = 0
        self._known: frozenset[int] = frozenset()
        #: The partitions all of whose messages were noted when they were taken over.
        self._familiar: frozenset[int] = frozenset()
        self._finishing = False

    async def run(self) -> None:
        """Send until cancelled; what is still under way then is dropped, and sent again by whoever comes next."""
        async with self._tasks:
            self._tasks.create_task(self._follow())
            self._tasks.create_task(self._look_around())
            self._tasks.create_task(self._report_ends())

    async def finish(self) -> None:
        """Begin nothing more, and wait until what is under way has ended and is reported, at most `GRACE` seconds."""
        self._finishing = True
        for gate in self._gates.values():
            for waiting in gate.leave(lambda _: True):
                waiting.end.set_result(None)
        if under_way := list(filter(None, self._attempts.values())):
            await asyncio.wait(under_way, timeout=GRACE)

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
                except SlowReader as reason:
                    self._known = self._familiar = frozenset()  # look at everything again
                    self._moves += isinstance(reason, PartitionsMoved)

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
            await self._note(found)
            self._familiar = owned & self._known
            self._measure()
            await asyncio.sleep(LOOK)

    async def _note(self, found: Mapping[_Place, bytes | None]) -> None:
        """Notes what was on its way already, so that the rest is known to be this worker's own."""
        for number, (place, record) in enumerate(found.items()):
            if deliveries := _unsettled(record):
                self._unsettled[place] = _all_noted(deliveries)
            if number % _TURN == 0:
                await asyncio.sleep(0)

    def _record(self, place: _Place) -> bytes | None:
        return self._view.get(*place) if self._view.owns(place.partition) else None

    def _hear(self, place: _Place, record: bytes | None) -> None:
        """Takes in an acknowledged record."""
        before = self._unsettled.pop(place, {})
        deliveries = _unsettled(record)
        self._forget(before.keys() - deliveries.keys())
        is_familiar = place.partition in self._familiar
        for delivery_id, delivery in deliveries.items():
            earlier = before.get(delivery_id)
            if earlier is None and delivery.attempts <= 1:
                self._meter.decided(*_words(delivery))
            if delivery.state == pb.DELIVERY_STATE_SENDING:
                # Whoever had the record before may have made an attempt that nobody saw coming here.
                seen = is_familiar and (earlier is None or earlier.state == DeliveryState.PENDING)
                self._ask(place, delivery, may_repeat=delivery.may_repeat or not seen)
        if deliveries:
            self._unsettled[place] = _all_noted(deliveries)

    def _forget(self, settled: Iterable[str]) -> None:
        for delivery_id in settled:
            self._accepted.pop(delivery_id, None)

    def _ask(self, place: _Place, delivery: pb.Delivery, *, may_repeat: bool) -> None:
        asked = _Asked(place, delivery.delivery_id, delivery.attempts, may_repeat, time.monotonic(), self._moves)
        if asked.delivery_id in self._attempts:
            self._asked_again[asked.delivery_id] = asked
        else:
            gate = self._gate(delivery.target, instead=self._is_instead(delivery.target, delivery.channel))
            self._attempts[asked.delivery_id] = None
            gate.asked.append(asked)
            self._let_in(gate)

    def _let_in(self, gate: _Gate) -> None:
        """Begins as many of the attempts that were asked for as there may be at the same time."""
        while gate.asked and not gate.is_full and not self._finishing:
            asked = gate.asked.popleft()
            delivery = self._latest(asked)
            if delivery is None:
                self._leave(gate, asked)
                continue
            gate.under_way += 1
            attempt = self._tasks.create_task(self._attempt(asked, delivery, gate))
            self._attempts[asked.delivery_id] = attempt
            attempt.add_done_callback(partial(self._done, gate, asked))

    def _done(self, gate: _Gate, asked: _Asked, attempt: asyncio.Task[None]) -> None:
        if not attempt.cancelled():
            self._leave(gate, asked)
            self._let_in(gate)

    def _leave(self, gate: _Gate, asked: _Asked) -> None:
        """An attempt is over, or not called for any more; if the next one is already, that gets in line."""
        del self._attempts[asked.delivery_id]
        again = self._asked_again.pop(asked.delivery_id, None)
        if again and again.attempts > asked.attempts:
            self._attempts[asked.delivery_id] = None
            gate.asked.append(again)

    def _latest(self, asked: _Asked) -> Delivery | None:
        """The delivery as it is by now. The record that called for it may be outdated: what is settled is not sent."""
        incident: Incident | None = self._view.record(*asked.place) if self._view.owns(asked.place.partition) else None
        wanted = DeliveryState.SENDING, asked.delivery_id, asked.attempts
        for delivery in incident.deliveries if incident else ():
            if incident and (delivery.state, delivery.delivery_id, delivery.attempts) == wanted:
                may_repeat = delivery.may_repeat or asked.may_repeat or asked.moves != self._moves
                return delivery._replace(may_repeat=may_repeat, in_all=_in_all(incident))
        return None

    async def _attempt(self, asked: _Asked, delivery: Delivery, gate: _Gate) -> None:
        # Asked again although it was accepted: that could not be written down. It is reported again, never sent again.
        end = self._accepted.get(delivery.delivery_id) or await self._made(asked, delivery, gate)
        gate.under_way -= 1
        self._let_in(gate)
        if end is None:
            return
        if isinstance(end.outcome, Accepted):
            self._accepted[delivery.delivery_id] = end
        # A rebalance may pass by, and the partition come back.
        for _ in range(_SUBMISSIONS):
            if await self._is_reported(OwnFact(*asked.place, end)):
                return
            await asyncio.sleep(_RETRY)

    async def _is_reported(self, end: OwnFact) -> bool:
        is_kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._ends.put_nowait((end, is_kept))
        return await is_kept

    async def _report_ends(self) -> None:
        """Reports how attempts ended. While some are being written, the next ones gather: together they cost less."""
        while True:
            ended = [await self._ends.get()]
            while not self._ends.empty():
                ended.append(self._ends.get_nowait())
            kept = await self._submit([end for end, _ in ended])
            for (_, waiting), is_kept in zip(ended, kept, strict=True):
                if not waiting.done():
                    waiting.set_result(is_kept)

    async def _made(self, asked: _Asked, delivery: Delivery, gate: _Gate) -> DeliverySettled | None:
        """How an attempt made now ended; None where the service stops first. It is then made after the restart."""
        started = time.monotonic()
        outcome = await self._outcome(asked, delivery, gate)
        if outcome is None:
            return None
        end = DeliverySettled(self._now(), delivery.delivery_id, outcome, delivery.may_repeat)
        self._report(delivery, end, time.monotonic() - started)
        return end

    async def _outcome(self, asked: _Asked, delivery: Delivery, gate: _Gate) -> Outcome | None:
        way, incident_id = self._way(delivery.target, delivery.channel), asked.place.key.decode()
        if way is None:
            return Refused(Failure.OTHER)
        if gate.bucket is None:
            return await self._sent(gate, way, incident_id, [delivery], asked.since + ATTEMPT)
        waiting = _Waiting(incident_id, delivery, time.monotonic(), asyncio.get_running_loop().create_future())
        rank = PRECEDENCE.index(Kind(delivery.kind)), delivery.by
        if rank not in gate.line:
            gate.news.set()  # it may be more urgent than all that waits
        gate.line.setdefault(rank, []).append(waiting)
        if gate.clerk is None:
            gate.clerk = self._tasks.create_task(self._serve(gate, gate.bucket, way))
        return await waiting.end

    async def _serve(self, gate: _Gate, bucket: Bucket, way: _Way) -> None:
        """Sends what waits as fast as the target can bear. The last message that it can bear now stands for all."""
        while gate.line:
            gate.news.clear()
            now, rank = time.monotonic(), min(gate.line)
            urgent = rank[0] <= _LEAST_URGENT
            wait = bucket.wait(now, urgent=urgent)
            if not wait:
                line = gate.take(rank, everybody=bucket.is_last(urgent=urgent))
                bucket.take()
                self._tasks.create_task(self._send_together(gate, bucket, way, line))
                continue
            # No attempt may outlive its lease, so nobody waits here for long; who leaves is back when it may be sent.
            later = TryAgain(Failure.RATE_LIMITED, round(max(wait - HELD / 2, 1.0) * SECOND), made=False)
            for waiting in gate.leave(partial(_has_waited, now - HELD if wait <= HELD else now)):
                waiting.end.set_result(later)
            with suppress(TimeoutError):
                await asyncio.wait_for(gate.news.wait(), min(wait, HELD / 10))
        gate.clerk = None

    async def _send_together(self, gate: _Gate, bucket: Bucket, way: _Way, line: Sequence[_Waiting]) -> None:
        incidents = {waiting.incident_id for waiting in line}
        incident_id = incidents.pop() if len(incidents) == 1 else ""
        deliveries = [waiting.delivery for waiting in line]
        outcome = await self._sent(gate, way, incident_id, deliveries, time.monotonic() + ATTEMPT)
        if isinstance(outcome, TryAgain) and not outcome.made:
            bucket.put_back()
        for waiting in line:
            waiting.end.set_result(outcome)

    async def _sent(
        self, gate: _Gate, way: _Way, incident_id: str, deliveries: Sequence[Delivery], until: float
    ) -> Outcome | None:
        """How one attempt ends at a message for these deliveries; it may last until then, by the monotonic clock."""
        left = until - time.monotonic()
        if left <= 0:
            return TryAgain(Failure.TIMEOUT)
        stands_for = deliveries if len(deliveries) > 1 else ()
        target = deliveries[0].target
        # What stands on a console is kept in logs, and a link is as good as a key.
        is_linked = not stands_for and not isinstance(way.channel, Console)
        try:
            message = word(
                merged(stands_for) if stands_for else deliveries[0],
                incident_id,
                way.style,
                Occasion(
                    way.instead,
                    link=self._links(deliveries[0], incident_id) if is_linked else "",
                    copies_known=way.copies_known,
                    stands_for=stands_for,
                ),
            )
            if message.misworded:
                self._meter.misworded(_label(deliveries[0].channel))
                log.error(
                    "own words failed", extra={"target": target, "kind": message.kind, "error": message.misworded}
                )
            async with asyncio.timeout(left), gate.turn:
                return None if self._finishing else await self._tried(gate.breaker, way, message)
        except TimeoutError:
            return TryAgain(Failure.TIMEOUT)
        except Unwordable as error:
            log.error("message cannot be worded: %s", place_of(error), extra={"target": target})  # noqa: TRY400
            return Refused(Failure.TEMPLATE)
        except Exception as error:  # noqa: BLE001 - one target's trouble must not stop the others
            # What it says may hold a secret; what it is tells enough.
            log.error("attempt failed", extra={"target": target, "error": type(error).__name__})  # noqa: TRY400
            return TryAgain(Failure.OTHER)

    async def _tried(self, breaker: Breaker, way: _Way, message: Message) -> Outcome:
        """How an attempt ends that is made now, unless the breaker is open."""
        if wait := breaker.wait(time.monotonic()):
            return TryAgain(Failure.BREAKER_OPEN, round(wait * SECOND), made=False)
        if breaker.is_open and not way.instead:
            self._leave_alone(message.target, breaker)  # but for this one
        end: Outcome = TryAgain(Failure.OTHER)  # where it is broken off
        try:
            end = await way.channel.send(message)
        finally:
            asked = end.retry_after / SECOND if isinstance(end, TryAgain) else 0.0
            was_open = breaker.is_open
            breaker.ended(time.monotonic(), answered=not isinstance(end, TryAgain), retry_after=asked)
            if not way.instead:
                self._leave_alone(message.target, breaker)
            if breaker.is_open != was_open:
                log.warning(
                    "target keeps failing" if breaker.is_open else "target is back", extra={"target": message.target}
                )
        return end

    def _leave_alone(self, target: str, breaker: Breaker) -> None:
        """Says for how long a target is to be left alone, if it is."""
        if rest := breaker.rest(time.monotonic()):
            until = Instant(self._now() + round(rest * SECOND))
            self._pauses[target] = Pause(until, round(breaker.spread * SECOND))
        else:
            self._pauses.pop(target, None)

    def _gate(self, name: str, *, instead: bool) -> _Gate:
        if (name, instead) not in self._gates:
            target = self._targets.get(name)
            self._gates[name, instead] = _Gate(target.rate if target and not instead else None)
        return self._gates[name, instead]

    def _is_instead(self, name: str, channel: str) -> bool:
        """Whether the console stands in for a target."""
        target = self._targets.get(name)
        return channel == FALLBACK_CHANNEL and (target is None or target.channel_name != FALLBACK_CHANNEL)

    def _way(self, name: str, channel: str) -> _Way | None:
        """The way to use; None where the target is no longer in the configuration: nothing reaches it."""
        target = self._targets.get(name)
        if target and not self._is_instead(name, channel):
            copies_known = target.channel_name in KNOWING_COPIES
            return _Way(target.channel, target.style, instead=False, copies_known=copies_known)
        if channel == FALLBACK_CHANNEL:
            return _Way(self._fallback, target.style if target else Style(), instead=True, copies_known=False)
        return None

    def _report(self, delivery: Delivery, end: DeliverySettled, seconds: float) -> None:
        after, (channel, _, severity) = settled(delivery, end), _words(delivery)
        made = not isinstance(end.outcome, TryAgain) or end.outcome.made
        if made:
            self._meter.attempted(channel, OUTCOMES[type(end.outcome)], seconds)
        where = {"target": delivery.target, "delivery": delivery.delivery_id, "attempts": delivery.attempts}
        if after.state == DeliveryState.ACCEPTED:
            latency = (end.occurred_at - delivery.decided_at) / SECOND
            self._meter.delivered(channel, severity, latency)
        elif after.state == DeliveryState.DEAD:
            self._meter.given_up(channel, after.last_failure)
            log.error("notification given up", extra={**where, "failure": after.last_failure})
        elif made:
            log.warning("notification will be tried again", extra={**where, "failure": after.last_failure})

    def _measure(self) -> None:
        now = self._now()
        counts: Counter[tuple[str, int]] = Counter()
        oldest: dict[str, Instant] = {}
        ways: Counter[tuple[str, str, str]] = Counter()
        for deliveries in self._unsettled.values():
            for state, towards, decided_at in deliveries.values():
                label = towards[-1]
                counts[label, state] += 1
                oldest[label] = min(oldest.get(label, now), decided_at)
                ways[towards] += 1
        # What waited for a target may have gone elsewhere: a breaker that opened here before is then no news.
        shut: Counter[str] = Counter()
        for (target, channel, label), messages in ways.items():
            if way := self._way(target, channel):
                breaker = self._gate(target, instead=way.instead).breaker
                breaker.crowd = messages
                shut[label] += breaker.is_open
                if not way.instead:
                    self._leave_alone(target, breaker)
        for target in [target for target, pause in self._pauses.items() if pause.until <= now]:
            del self._pauses[target]
        for channel in CHANNELS:
            for state in UNSETTLED:
                self._meter.waiting(channel, DeliveryState(state).name.lower(), counts[channel, state])
            self._meter.oldest(channel, (now - oldest.get(channel, now)) / SECOND)
            self._meter.breakers(channel, shut[channel])


def _has_waited(since: float, waiting: _Waiting) -> bool:
    return waiting.since <= since


def _label(channel: str) -> str:
    """A channel as metrics name it. What only a newer version knows is counted as what stands in for it."""
    return channel if channel in CHANNELS else FALLBACK_CHANNEL


def _words(delivery: Delivery | pb.Delivery) -> tuple[str, str, str]:
    """Channel, kind and severity, as metrics name them."""
    kind, severity = known(delivery.kind, Kind.BREACH), known(delivery.severity, Severity.CRITICAL)
    return _label(delivery.channel), Kind(kind).name.lower(), Severity(severity).name.lower()


def _unsettled(record: bytes | None) -> Mapping[str, pb.Delivery]:
    """The deliveries of a packed incident that are not settled, by id."""
    deliveries = pb.Incident.FromString(record).deliveries if record else ()
    return {delivery.delivery_id: delivery for delivery in deliveries if delivery.state not in _SETTLED}


def _in_all(incident: Incident) -> int:
    """About how many are open in an incident, where it cannot follow all of them; 0: it can."""
    if not incident.unfollowed:
        return 0
    return incident.unfollowed + sum(item.standing in TROUBLE and not item.follow_up for item in incident.items)


#: Of a state that only a newer version knows the codec says that it waits.
_SETTLED = frozenset({pb.DELIVERY_STATE_ACCEPTED, pb.DELIVERY_STATE_DEAD})


def _all_noted(deliveries: Mapping[str, pb.Delivery]) -> Mapping[str, _Unsettled]:
    return {delivery_id: _noted(delivery) for delivery_id, delivery in deliveries.items()}


def _noted(delivery: pb.Delivery) -> _Unsettled:
    state = DeliveryState.SENDING if delivery.state == pb.DELIVERY_STATE_SENDING else DeliveryState.PENDING
    return _Unsettled(state, _towards(delivery.target, delivery.channel), from_timestamp(delivery.decided_at))


@lru_cache(1 << 12)
def _towards(target: str, channel: str) -> tuple[str, str, str]:
    """One for very many messages: they go to few targets."""
    return target, channel, _label(channel)
