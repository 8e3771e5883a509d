"""The stateful stage: facts are folded into one record per key, and deadlines are swept.

It holds the stores of the partitions this worker owns. Everything here is synchronous: what it returns must be produced
before anything else happens to the partition, which the lane sees to.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Generic

from services.shared.engine.batch import Batch, Terms
from services.shared.engine.dead_letters import DeadLetters
from services.shared.engine.hold import Hold
from services.shared.engine.joined import Groups, Joined
from services.shared.engine.machine import F, Machine, R
from services.shared.engine.meter import Meter
from services.shared.engine.stage import JSON_HEADER, Message, Origin, Result, count_outcomes, tick_of
from services.shared.engine.store import PartitionStore
from services.shared.errors import DeadLetterReason, Reused
from services.shared.instant import SECOND, Instant
from services.shared.log import bounded, place_of

log = logging.getLogger(__name__)
_crowds = bounded(__name__)

#: How long a record that could not be judged is left alone.
PUT_OFF: Final = 600 * SECOND


class Keeper(Generic[R, F]):
    """Runs one machine over the partitions it is given."""

    def __init__(  # noqa: PLR0913 - what a worker gives it
        self,
        machine: Machine[R, F],
        meter: Meter,
        *,
        dead_letters: str,
        dead_letter_partitions: int,
        partitions: int | None = None,
        hold: Hold | None = None,
        groups: Groups | None = None,
        asks: bool = True,
    ) -> None:
        """`hold`: what may keep breaches back that the clock would announce; None: none is.

        `groups`: the customers with several ids; None: there are none. `asks`: whether their records are judged by the
        clock only once all is here that was told under the other ids.
        """
        self.machine = machine
        self.hold = hold
        #: Of every input; None: records may begin on any.
        self.partitions = partitions
        self.stores: dict[int, PartitionStore[R, F]] = {}
        self._meter = meter
        self._dead_letters = DeadLetters(dead_letters, dead_letter_partitions)
        #: None: no customer has several ids.
        self.joined: Joined | None = None
        self._asks = asks
        joining, home = machine.joining, machine.home
        if groups is not None and joining is not None and home is not None and partitions is not None:
            self.joined = Joined(groups, joining.topic, home, partitions)

    @property
    def inputs(self) -> Iterable[str]:
        return self.machine.inputs if self.joined is None else (*self.machine.inputs, self.joined.topic)

    def time(self, now: Instant) -> Instant:
        """How far it is known what customers are one: `now`, or less."""
        return now if self.joined is None else self.joined.groups.time(now)

    def _batch(self, partition: int, now: Instant) -> Batch[R, F]:
        terms = Terms(self._meter, self.partitions, self.hold, self.joined, self._asks)
        return Batch(self.machine, terms, self.stores[partition], partition, now)

    def process(self, topic: str, partition: int, messages: Sequence[Message], now: Instant) -> Result:
        """Fold a batch: one write for each record that changed, one dead letter for each message that is unusable."""
        batch = self._batch(partition, now)
        origin = Origin(topic, partition)
        if self.joined is not None and topic == self.joined.topic:
            self._take_shared(batch, origin, messages)
            return batch.result(None)
        return batch.result(self._take(batch, origin, messages))

    def _take(self, batch: Batch[R, F], origin: Origin, messages: Sequence[Message]) -> Instant | None:
        """Fold input. The latest event time seen; None: none."""
        topic, now = origin.topic, batch.now
        facts: dict[bytes, list[F]] = {}
        latest, ignored = Instant(0), 0
        #: Offsets of messages that need not be looked at again.
        dead, ticks = set[int](), set[int]()
        decode = self.machine.inputs[topic]
        for message in messages:
            try:
                headers = message.headers
                if headers and (tick := tick_of(message)):
                    latest = max(latest, tick)
                    ticks.add(message.offset)
                    continue
                found = decode(message.value or b"", bool(headers) and JSON_HEADER in headers)
            except Exception as error:  # noqa: BLE001 - no message may stop those behind it
                batch.writes.append(self._dead_letters.refuse(origin, message, error, self._meter))
                dead.add(message.offset)
                continue
            used = False
            for key, fact in found:
                used = True
                if fact.occurred_at > latest:  # noqa: PLR1730 - once an event; `max` costs three times as much
                    latest = fact.occurred_at
                known = facts.get(key)
                if known is None:
                    facts[key] = [fact]
                else:
                    known.append(fact)
            ignored += not used
        refused = {key for key, new in facts.items() if batch.fold(key, new)}
        set_aside = len(dead)
        if refused:
            unseen = [each for each in messages if each.offset not in dead and each.offset not in ticks]
            set_aside += self._one_by_one(batch, origin, refused, unseen)
        used_count = len(messages) - ignored - set_aside - len(ticks)
        count_outcomes(
            self._meter, topic, (("used", used_count), ("ignored", ignored), ("dead", set_aside), ("tick", len(ticks)))
        )
        self._tell_displaced(topic, batch.displaced)
        if latest:
            self._meter.event_age(topic, (now - latest) / SECOND)
        if self.hold is not None:
            self.hold.heard(topic, Instant(messages[-1].timestamp * 1_000))
        # Also what says nothing new: where it is read again, what was sent the first time may be lost.
        batch.share(facts)
        return latest or None

    def _take_shared(self, batch: Batch[R, F], origin: Origin, messages: Sequence[Message]) -> None:
        """Fold what was told under other ids of the same customers."""
        joining, joined, sharing = self.machine.joining, self.joined, self.stores[origin.partition].sharing
        assert joining is not None and joined is not None  # noqa: PT018, S101 - else the topic is not read
        dead = 0
        for message in messages:
            problem: Exception | None = None
            try:
                if joined.take(sharing, message.headers):
                    continue
                key = message.key or b""
                problem = batch.fold(key, joining.facts(key, message.value or b""), alone=True)
            except Exception as error:  # noqa: BLE001 - no message may stop those behind it
                problem = error
            # An id that was used again is told where it was told.
            if problem and not isinstance(problem, Reused):
                batch.writes.append(self._dead_letters.refuse(origin, message, problem, self._meter))
                dead += 1
        count_outcomes(self._meter, origin.topic, (("used", len(messages) - dead), ("dead", dead)))

    def submit(self, partition: int, facts: Iterable[tuple[bytes, F]], now: Instant) -> Result:
        """Fold facts that did not come from Kafka, by key: the outcomes of what this worker did."""
        batch = self._batch(partition, now)
        by_key: defaultdict[bytes, list[F]] = defaultdict(list)
        for key, fact in facts:
            by_key[key].append(fact)
        for key, new in by_key.items():
            if batch.fold(key, new) is None:
                continue
            for fact in new:
                if problem := batch.fold(key, [fact]):
                    log.error("A fact of this worker's own making could not be kept: %s", place_of(problem))
        return batch.result(None)

    def sweep(self, partition: int, clock: Instant, now: Instant, limit: int) -> Result:
        """Judge again what is due by `clock`, at most `limit` records; `now` is when it is announced.

        What cannot be judged stays as it is, is said, and looked at again later.
        """
        store = self.stores[partition]
        batch = self._batch(partition, now)
        joined = self.joined
        if joined is not None:
            batch.share(joined.unsent(store.sharing, store.keys))
        popped = list(store.deadlines.pop_due(clock, limit))
        problems: list[Exception] = []
        for _, key in popped:
            try:
                batch.look(key, clock)
            except Exception as error:  # noqa: BLE001 - no record may keep others from being judged
                problems.append(error)
                store.unjudged.add(key)
                store.deadlines.add(Instant(clock + PUT_OFF), key)
        if problems:
            log.error(
                "%d records of partition %d could not be judged and stay as they are; they are looked at again in"
                " %d s. The first: %s", len(problems), partition, PUT_OFF // SECOND, place_of(problems[0]),
            )  # fmt: skip
        if joined is not None and self._asks:
            batch.writes += joined.spoken(partition, store.sharing, clock)
        return batch.result(None, len(popped))

    def not_understood(self) -> int:
        """How many records are kept as they are, because this version cannot read or judge them."""
        return sum([len(store.opaque) + len(store.unjudged) for store in self.stores.values()])

    def _tell_displaced(self, topic: str, events: Iterable[tuple[str, str]]) -> None:
        """Count them as if they had come later and been refused. Their bytes were read long ago: there is no letter."""
        for source, _ in events:
            self._meter.dead_letter(topic, DeadLetterReason.TOO_MANY_FACTS.value)
            _crowds.warning("an event of %s does not count any more: too many earlier ones are of its subject", source)

    def _one_by_one(
        self, batch: Batch[R, F], origin: Origin, refused: Collection[bytes], messages: Iterable[Message]
    ) -> int:
        """Fold what records did not take together message by message; dead-letter those that cannot be taken.

        Rare, so the messages are decoded again. How many were set aside. A fact whose id was used before is folded all
        the same, as which of the two counts must not hang on which came first: its message is set aside, too.
        """
        decode, count = self.machine.inputs[origin.topic], 0
        for message in messages:
            problem: Exception | None = None
            try:
                for key, fact in decode(message.value or b"", JSON_HEADER in message.headers):
                    if key in refused:
                        problem = batch.fold(key, [fact], alone=True) or problem
            except Exception as error:  # noqa: BLE001 - what it says may hang on the time
                problem = error
            if problem:
                letter = self._dead_letters.refuse(origin, message, problem, self._meter)
                if isinstance(problem, Reused):
                    self._meter.reused(problem.source)
                    # Once the record is written it may not show any more that there was another: the letter goes ahead.
                    batch.ahead.append(letter)
                else:
                    batch.writes.append(letter)
                count += 1
        return count
