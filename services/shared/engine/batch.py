"""The writes of one batch, sweep or submission of a partition: records are folded, judged, kept and announced."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Generic, NamedTuple

from services.shared.engine.hold import Held, Hold
from services.shared.engine.joined import SOON, Joined
from services.shared.engine.machine import F, Labels, Machine, R, Step
from services.shared.engine.meter import Meter
from services.shared.engine.stage import LARGEST_MESSAGE, Headers, Result, Write
from services.shared.engine.store import LARGE, PartitionStore
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import SECOND, Instant, format_instant

#: A record must fit into one Kafka message of the default size.
MAX_RECORD_BYTES = 900_000
#: Bytes that a topic of records takes at most: what time alone adds to a record may make it larger than facts can.
_MAX_WRITE_BYTES: Final = 4_000_000

#: What a step comes to, ready to be kept: the step and its write (None: nothing changes), the record as it lies in
#: memory (None: it is forgotten), when to look at it (None: that is queued already), what is written down, and which
#: events do not count any more.
_Change = tuple[
    Step | None, Write | None, bytes | None, Instant | None, Sequence[Write], Sequence[tuple[str, str]]
]  # fmt: skip


class Terms(NamedTuple):
    """What goes for all batches of a keeper, beside its machine."""

    meter: Meter
    #: Of every input; None: records may begin on any.
    partitions: int | None
    #: What may keep breaches back; None: none is.
    hold: Hold | None
    #: None: no customer has several ids.
    joined: Joined | None
    #: Whether the clock waits for what was told under other ids.
    asks: bool


def transition_of(write: Write) -> str:
    """What the write of a record announces."""
    return write.headers[0][1].decode()


@lru_cache(256)
def _transition_header(transition: bytes) -> tuple[str, bytes]:
    return "transition", transition


class Batch(Generic[R, F]):
    """The writes of one batch, sweep or submission."""

    def __init__(
        self, machine: Machine[R, F], terms: Terms, store: PartitionStore[R, F], partition: int, now: Instant
    ) -> None:
        self._machine = machine
        self._meter, self._partitions, self._hold, self._joined, self._asks = terms
        self._store = store
        self._partition = partition
        self.now = now
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
        if self._joined is not None and self._asks:
            heard = self._joined.heard(store.sharing, key, deadline, clock)
            if heard < deadline:
                store.deadlines.add(Instant(clock + SOON), key)
                return
            clock = heard
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

    def share(self, keys: Iterable[bytes]) -> None:
        """Send these records to the other ids of their customers, where they have any."""
        joined, store = self._joined, self._store
        if joined is None or not joined.groups.known:
            return
        for key in keys:
            if joined.groups.get(key[: key.find(b"/")]) is None:
                continue
            record = store.get(key)
            if record is not None:
                self.writes += joined.copies(key, self._machine.pack(record))

    def _put_off(self, key: bytes, old: R, breached_at: Instant, held: Held) -> None:
        """Announce a breach later; what else time has brought about by then is written."""
        machine, store = self._machine, self._store
        new = machine.due(old, Instant(breached_at - 1))
        if new is not None and new != old:
            waiting = machine.next_deadline(old)
            self._commit(key, self._prepared(key, old, new, machine.pack(new), (), waiting))
        store.held[key] = held
        store.deadlines.add(held.look_at, key)

    def _folded(self, key: bytes, facts: Sequence[F]) -> tuple[_Change, Exception | None]:
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
    ) -> _Change:
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
        entries = list(journal.entries(key, old, new, facts, self.now))
        if entries and len(key) + max(map(len, entries)) > LARGEST_MESSAGE:
            raise Unusable(DeadLetterReason.TOO_LARGE, "what is written down of it does not fit into a message")
        return [Write(journal.topic, self._partition, key, entry, []) for entry in entries]

    def _commit(self, key: bytes, change: _Change) -> None:
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
            meter.detection_delay((self.now - breached_at) / SECOND)
