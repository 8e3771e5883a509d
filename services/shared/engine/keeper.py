"""The stateful stage: facts are folded into one record per key, and deadlines are swept.

It holds the stores of the partitions this worker owns. Everything here is synchronous: what it returns must be produced
before anything else happens to the partition, which the lane sees to.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Generic

from services.shared.engine.hold import Held, Hold
from services.shared.engine.machine import F, Labels, Machine, R
from services.shared.engine.meter import Meter
from services.shared.engine.stage import (
    JSON_HEADER,
    DeadLetters,
    Headers,
    Message,
    Origin,
    Result,
    Write,
    count_outcomes,
    tick_of,
)
from services.shared.engine.store import PartitionStore
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.log import place_of

log = logging.getLogger(__name__)

#: A record must fit into one Kafka message of the default size.
MAX_RECORD_BYTES = 900_000


class Keeper(Generic[R, F]):
    """Runs one machine over the partitions it is given."""

    def __init__(
        self,
        machine: Machine[R, F],
        meter: Meter,
        *,
        dead_letters: str,
        dead_letter_partitions: int,
        partitions: int | None = None,
        hold: Hold | None = None,
    ) -> None:
        """`hold`: what may keep breaches back that the clock would announce; None: none is."""
        self.machine = machine
        self._hold = hold
        #: Of every input; None: records may begin on any.
        self.partitions = partitions
        self.stores: dict[int, PartitionStore[R, F]] = {}
        self._meter = meter
        self._dead_letters = DeadLetters(dead_letters, dead_letter_partitions)

    @property
    def inputs(self) -> Iterable[str]:
        return self.machine.inputs

    def process(self, topic: str, partition: int, messages: Sequence[Message], now: Instant) -> Result:
        """Fold a batch: one write for each record that changed, one dead letter for each message that is unusable."""
        batch = _Batch(self, partition, now)
        origin = Origin(topic, partition)
        facts: dict[bytes, list[F]] = {}
        latest, ignored, dead, ticks = Instant(0), 0, 0, 0
        decode = self.machine.inputs[topic]
        for message in messages:
            try:
                headers = message.headers
                if headers and (tick := tick_of(message)):
                    latest, ticks = max(latest, tick), ticks + 1
                    continue
                found = decode(message.value or b"", bool(headers) and JSON_HEADER in headers)
            except Exception as error:  # noqa: BLE001 - no message may stop those behind it
                batch.writes.append(self._dead_letters.refuse(origin, message, error, self._meter))
                dead += 1
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
        refused = {key: problem for key, new in facts.items() if (problem := batch.fold(key, new))}
        if refused:
            dead += self._set_aside(batch, origin, refused, messages)
        used_count = len(messages) - ignored - dead - ticks
        count_outcomes(
            self._meter, topic, (("used", used_count), ("ignored", ignored), ("dead", dead), ("tick", ticks))
        )
        if latest:
            self._meter.event_age(topic, (now - latest) / SECOND)
        if self._hold is not None:
            self._hold.heard(topic, Instant(messages[-1].timestamp * 1_000))
        return batch.result(latest or None)

    def submit(self, partition: int, facts: Iterable[tuple[bytes, F]], now: Instant) -> Result:
        """Fold facts that did not come from Kafka, by key: the outcomes of what this worker did."""
        batch = _Batch(self, partition, now)
        by_key: defaultdict[bytes, list[F]] = defaultdict(list)
        for key, fact in facts:
            by_key[key].append(fact)
        for key, new in by_key.items():
            if problem := batch.fold(key, new):
                log.error("A fact of this worker's own making could not be kept: %s", place_of(problem))
        return batch.result(None)

    def sweep(self, partition: int, clock: Instant, now: Instant, limit: int) -> Result:
        """Judge again what is due by `clock`, at most `limit` records; `now` is when it is announced."""
        store, machine = self.stores[partition], self.machine
        batch = _Batch(self, partition, now)
        popped = list(store.deadlines.pop_due(clock, limit))
        for _, key in popped:
            old = store.get(key)
            deadline = None if old is None else machine.next_deadline(old)
            if old is None or deadline is None:
                continue
            if deadline > clock:
                store.deadlines.add(deadline, key)
                continue
            new = machine.due(old, clock)
            headers: Headers = ()
            if self._hold is not None and new is not None and (at := machine.step(key, old, new).breached_at):
                found = self._hold.consider(partition, key, new, at, clock, store.held.get(key))
                if isinstance(found, Held):
                    batch.put_off(key, old, at, found)
                    continue
                headers = found
            batch.write(key, old, new, None if new is None else machine.pack(new), look_again=True, headers=headers)
        return batch.result(None, len(popped))

    def _set_aside(
        self, batch: "_Batch[R, F]", origin: Origin, refused: Mapping[bytes, Exception], messages: Sequence[Message]
    ) -> int:
        """Dead-letter the messages with facts that a record cannot take. Rare, so they are decoded again."""
        decode, count = self.machine.inputs[origin.topic], 0
        for message in messages:
            try:
                found = decode(message.value or b"", JSON_HEADER in message.headers)
            except Exception:  # noqa: BLE001, S112 - it is a dead letter already
                continue
            if problem := next((refused[key] for key, _ in found if key in refused), None):
                batch.writes.append(self._dead_letters.refuse(origin, message, problem, self._meter))
                count += 1
        return count


def transition_of(write: Write) -> str:
    """What the write of a record announces."""
    return write.headers[0][1].decode()


@cache
def _transition_header(transition: bytes) -> tuple[str, bytes]:
    return "transition", transition


class _Batch(Generic[R, F]):
    """The writes of one batch, sweep or submission."""

    def __init__(self, keeper: Keeper[R, F], partition: int, now: Instant) -> None:
        self._machine = keeper.machine
        self._meter = keeper._meter  # noqa: SLF001 - the keeper's own helper
        self._store = keeper.stores[partition]
        self._partition = partition
        self._partitions = keeper.partitions
        self._now = now
        self._announced_at = ("announced-at", format_instant(now).encode())
        self.writes: list[Write] = []
        self._ahead: list[Write] = []
        #: What is measured once for the batch: how many records went from which labels to which, and by what.
        self._steps: defaultdict[tuple[Labels | None, Labels | None, bytes], int] = defaultdict(int)
        self._settled: defaultdict[Labels, list[float]] = defaultdict(list)
        self._breached: list[Instant] = []

    def fold(self, key: bytes, facts: Sequence[F]) -> Exception | None:
        """Fold facts into the record of a key. Returns why it cannot take them; it then stays as it was."""
        old = self._store.get(key)
        if old is None and (problem := self._misplaced(key)):
            return problem
        try:
            new = self._machine.fold(key, old, facts)
            same = new is old or new == old
            value = None if same or new is None else self._machine.pack(new)
        except Exception as error:  # noqa: BLE001 - no fact may stop those of other records
            return error
        if same:
            self._note(key, old, new, facts)
            return None
        if value is not None and len(value) > MAX_RECORD_BYTES:
            return Unusable(
                DeadLetterReason.TOO_LARGE, "the record has too many facts; it stays as it was without this one"
            )
        self.write(key, old, new, value, facts)
        return None

    def _misplaced(self, key: bytes) -> Unusable | None:
        """Why a new record must not begin here: facts of one subject on two partitions are half-truths on both."""
        home, partitions = self._machine.home, self._partitions
        if home is None or partitions is None or home(key, partitions) == self._partition:
            return None
        return Unusable(
            DeadLetterReason.MISPLACED,
            f"on partition {self._partition}, which is not its customer's: publish with the customer's id (without a"
            " customer, the subject's) as key, and murmur2 as partitioner",
        )

    def write(  # noqa: PLR0913 - all that a write is made of
        self,
        key: bytes,
        old: R | None,
        new: R | None,
        value: bytes | None,
        facts: Sequence[F] = (),
        *,
        look_again: bool = False,
        headers: Headers = (),
    ) -> None:
        """Keep, announce and journal a record and its packed `value`; None forgets it.

        `facts`: those that made the difference. `look_again`: the deadline entry of `old` was consumed. `headers`: of
        the write, beside its own.
        """
        machine, store = self._machine, self._store
        was_held = bool(store.held) and store.held.pop(key, None) is not None
        step = machine.step(key, old, new)
        self._steps[step.before, step.after, step.name] += 1
        if new is None or value is None:
            store.drop(key)
        else:
            store.put(key, new)
            self._expect(key, None if look_again or was_held or old is None else machine.next_deadline(old), new)
        announced = [_transition_header(step.name), ("transition-id", step.id), self._announced_at, *headers]
        self.writes.append(Write(machine.records, self._partition, key, value, announced))
        self._note(key, old, new, facts)
        if step.margin is not None and step.after is not None:
            self._settled[step.after].append(step.margin)
        if step.breached_at is not None and not was_held:
            self._breached.append(step.breached_at)

    def put_off(self, key: bytes, old: R, breached_at: Instant, held: Held) -> None:
        """Announce a breach later; what else time has brought about by then is written."""
        new = self._machine.due(old, Instant(breached_at - 1))
        if new is not None and new != old:
            self._store.held.pop(key, None)
            self.write(key, old, new, self._machine.pack(new))
        self._store.held[key] = held
        self._store.deadlines.add(held.look_at, key)

    def _note(self, key: bytes, old: R | None, new: R | None, facts: Sequence[F]) -> None:
        journal = self._machine.journal
        if journal is not None:
            for entry in journal.entries(key, old, new, facts, self._now):
                self._ahead.append(Write(journal.topic, self._partition, key, entry, []))

    def result(self, event_time: Instant | None, looked: int = 0) -> Result:
        """All of it, measured."""
        self._measure()
        return Result(self.writes, event_time, looked, self._ahead)

    def _expect(self, key: bytes, waiting: Instant | None, new: R) -> None:
        """Make sure the queue will look at the record in time. `waiting`: what is already queued for it."""
        deadline = self._machine.next_deadline(new)
        # An entry that comes too early is moved when its time comes: putting off adds none.
        if deadline is not None and (waiting is None or deadline < waiting):
            self._store.deadlines.add(deadline, key)

    def _measure(self) -> None:
        meter, counts = self._meter, self._store.counts
        for (before, after, transition), count in self._steps.items():
            if before != after:
                for labels, delta in ((before, -count), (after, count)):
                    if labels is not None:
                        counts[labels] += delta
                        meter.records(*labels, delta)
            if after is not None:
                meter.transition(after[0], transition.decode(), count)
        for labels, margins in self._settled.items():
            meter.settled(*labels, margins)
        for breached_at in self._breached:
            meter.detection_delay((self._now - breached_at) / SECOND)
