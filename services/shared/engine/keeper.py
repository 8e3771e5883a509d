"""The stateful stage: facts are folded into one record per key, and deadlines are swept.

It holds the stores of the partitions this worker owns. Everything here is synchronous: what it returns must be produced
before anything else happens to the partition, which the lane sees to.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Final, Generic

from services.shared.engine.dead_letters import DeadLetters
from services.shared.engine.hold import Held, Hold
from services.shared.engine.machine import F, Labels, Machine, R, Step
from services.shared.engine.meter import Meter
from services.shared.engine.stage import (
    JSON_HEADER,
    LARGEST_MESSAGE,
    Headers,
    Message,
    Origin,
    Result,
    Write,
    count_outcomes,
    tick_of,
)
from services.shared.engine.store import LARGE, PartitionStore
from services.shared.errors import DeadLetterReason, Reused, Unusable
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.log import bounded, place_of

log = logging.getLogger(__name__)
_crowds = bounded(__name__)

#: A record must fit into one Kafka message of the default size.
MAX_RECORD_BYTES = 900_000
#: Bytes that a topic of records takes at most: what time alone adds to a record may make it larger than facts can.
_MAX_WRITE_BYTES: Final = 4_000_000
#: How long a record that could not be judged is left alone.
PUT_OFF: Final = 600 * SECOND

#: What a step comes to, ready to be kept: the step and its write (None: nothing changes), the record as it lies in
#: memory (None: it is forgotten), when to look at it (None: that is queued already), what is written down, and which
#: events do not count any more.
_Change = tuple[
    Step | None, Write | None, bytes | None, Instant | None, Sequence[Write], Sequence[tuple[str, str]]
]  # fmt: skip


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
        self.hold = hold
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
        return batch.result(latest or None)

    def submit(self, partition: int, facts: Iterable[tuple[bytes, F]], now: Instant) -> Result:
        """Fold facts that did not come from Kafka, by key: the outcomes of what this worker did."""
        batch = _Batch(self, partition, now)
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
        batch = _Batch(self, partition, now)
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
        self, batch: "_Batch[R, F]", origin: Origin, refused: Collection[bytes], messages: Iterable[Message]
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


def transition_of(write: Write) -> str:
    """What the write of a record announces."""
    return write.headers[0][1].decode()


@lru_cache(256)
def _transition_header(transition: bytes) -> tuple[str, bytes]:
    return "transition", transition


class _Batch(Generic[R, F]):
    """The writes of one batch, sweep or submission."""

    def __init__(self, keeper: Keeper[R, F], partition: int, now: Instant) -> None:
        self._machine = keeper.machine
        self._meter = keeper._meter  # noqa: SLF001 - the keeper's own helper
        self._hold = keeper.hold
        self._store = keeper.stores[partition]
        self._partition = partition
        self._partitions = keeper.partitions
        self._now = now
        self._announced_at = ("announced-at", format_instant(now).encode())
        self.writes: list[Write] = []
        self.ahead: list[Write] = []
        #: Source and id of events that do not count any more.
        self.displaced: set[tuple[str, str]] = set()
        #: What is measured once for the batch: how many records went from which labels to which, and by what.
        self._steps: defaultdict[tuple[Labels | None, Labels | None, bytes], int] = defaultdict(int)
        self._settled: defaultdict[Labels, list[float]] = defaultdict(list)
        self._breached: list[Instant] = []

    def fold(self, key: bytes, facts: Sequence[F], *, alone: bool = False) -> Exception | None:
        """Fold facts into the record of a key. Returns why it cannot take them; it then stays as it was.

        `alone`: it is one fact, and is folded though its id was used before: that is only told.
        """
        try:
            change, reused = self._folded(key, facts)
        except Exception as error:  # noqa: BLE001 - no fact may stop those of other records
            return error
        if reused is None or alone:
            self._commit(key, change)
        return reused

    def look(self, key: bytes, clock: Instant) -> None:
        """Judge a record whose deadline was due by `clock`. Raises whatever it cannot be judged for; it then stays."""
        machine, store = self._machine, self._store
        old = store.get(key)
        deadline = None if old is None else machine.next_deadline(old)
        if old is None or deadline is None:
            return
        if deadline > clock:
            store.deadlines.add(deadline, key)
            return
        new = machine.due(old, clock)
        headers: Headers = ()
        if self._hold is not None and new is not None and (at := machine.step(key, old, new).breached_at):
            found = self._hold.consider(self._partition, key, new, at, clock, store.held.get(key))
            if isinstance(found, Held):
                self._put_off(key, old, at, found)
                return
            headers = found
        value = None if new is None else machine.pack(new)
        self._commit(key, self._prepared(key, old, new, value, (), None, headers=headers))

    def _put_off(self, key: bytes, old: R, breached_at: Instant, held: Held) -> None:
        """Announce a breach later; what else time has brought about by then is written."""
        machine, store = self._machine, self._store
        new = machine.due(old, Instant(breached_at - 1))
        if new is not None and new != old:
            waiting = machine.next_deadline(old)
            self._commit(key, self._prepared(key, old, new, machine.pack(new), (), waiting))
        store.held[key] = held
        store.deadlines.add(held.look_at, key)

    def _folded(self, key: bytes, facts: Sequence[F]) -> tuple["_Change", Exception | None]:
        """What these facts make of the record of a key, and which id was used again, if one was.

        Raises whatever they cannot be taken for.
        """
        machine, store = self._machine, self._store
        if store.opaque and key in store.opaque:
            raise Unusable(
                DeadLetterReason.NOT_UNDERSTOOD,
                "its record cannot be read by this version; bring the worker up to date, then replay this",
            )
        old = store.get(key)
        if old is None and (problem := self._misplaced(key)):
            raise problem
        new = machine.fold(key, old, facts)
        reuse = machine.reuse
        reused = reuse(old, new, facts) if reuse is not None and new is not None else None
        if new is old or new == old:
            return (None, None, None, None, self._entries(key, old, new, facts), ()), reused
        value = None if new is None else machine.pack(new)
        if value is not None and len(value) > MAX_RECORD_BYTES:
            raise Unusable(
                DeadLetterReason.TOO_LARGE, "the record has too many facts; it stays as it was without this one"
            )
        # What is held has its next look in the queue, not its deadline.
        waiting = None if old is None or key in store.held else machine.next_deadline(old)
        return self._prepared(key, old, new, value, facts, waiting), reused

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

    def _prepared(  # noqa: PLR0913 - all that a write is made of
        self,
        key: bytes,
        old: R | None,
        new: R | None,
        value: bytes | None,
        facts: Sequence[F],
        waiting: Instant | None,
        *,
        headers: Headers = (),
    ) -> "_Change":
        """All that keeps, announces and journals a record and its packed `value`; None forgets it.

        `facts`: those that made the difference. `waiting`: what the queue of deadlines holds for it already. `headers`:
        of the write, beside its own. Whatever may go wrong goes wrong here, before anything is changed.
        """
        machine = self._machine
        step = machine.step(key, old, new)
        if len(key) + len(value or b"") + len(step.id) > _MAX_WRITE_BYTES:
            raise Unusable(DeadLetterReason.TOO_LARGE, "the record with its key does not fit into a message")
        announced = [_transition_header(step.name), ("transition-id", step.id), self._announced_at, *headers]
        write = Write(machine.records, self._partition, key, value, announced)
        data = None if new is None else self._store.encoded(new)
        deadline = None if new is None else machine.next_deadline(new)
        # An entry that comes too early is moved when its time comes: putting off adds none.
        if deadline is not None and waiting is not None and waiting <= deadline:
            deadline = None
        displaced: Sequence[tuple[str, str]] = ()
        if data is not None and len(data) >= LARGE and machine.displaced and old is not None and new is not None:
            displaced = machine.displaced(old, new)
        return step, write, data, deadline, self._entries(key, old, new, facts), displaced

    def _entries(self, key: bytes, old: R | None, new: R | None, facts: Sequence[F]) -> Sequence[Write]:
        """What is written down of a step."""
        journal = self._machine.journal
        if journal is None:
            return ()
        entries = list(journal.entries(key, old, new, facts, self._now))
        if entries and len(key) + max(map(len, entries)) > LARGEST_MESSAGE:
            raise Unusable(DeadLetterReason.TOO_LARGE, "what is written down of it does not fit into a message")
        return [Write(journal.topic, self._partition, key, entry, []) for entry in entries]

    def _commit(self, key: bytes, change: "_Change") -> None:
        """Keep what was prepared. Nothing here depends on what a message or a record holds."""
        step, write, data, deadline, entries, displaced = change
        self.ahead += entries
        if step is None or write is None:
            return
        store = self._store
        self._steps[step.before, step.after, step.name] += 1
        if data is None:
            store.drop(key)
        else:
            store.keep(key, data)
        if deadline is not None:
            store.deadlines.add(deadline, key)
        if store.unjudged:
            store.unjudged.discard(key)
        was_held = bool(store.held) and store.held.pop(key, None) is not None
        self.writes.append(write)
        if displaced:
            self.displaced.update(displaced)
        if step.margin is not None and step.after is not None:
            self._settled[step.after].append(step.margin)
        if step.breached_at is not None and not was_held:
            self._breached.append(step.breached_at)

    def result(self, event_time: Instant | None, looked: int = 0) -> Result:
        """All of it, measured."""
        self._measure()
        return Result(self.writes, event_time, looked, self.ahead)

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
