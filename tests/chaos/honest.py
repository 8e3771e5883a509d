"""A worker without faults, in memory: what the service's own pure functions make of a plan, for tests of the oracle."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from services.promises import codec as promises
from services.promises.rules import read_rules
from services.shared.engine.machine import Machine
from services.shared.envelope import Limits
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant, format_instant
from services.sla import codec as sla
from services.sla.chronicle import Chronicle
from services.sla.policies import BUILT_IN, load_policies
from services.sla.standards import InForce, Standards
from tests.chaos.reading import home
from tests.chaos.rules import SECOND, write_rules
from tests.chaos.subject import Subject
from tests.chaos.tape import Entry
from tests.chaos.traffic import Plan

PARTITIONS = 4
DEAD_LETTERS = "dead-letters.v1"
#: Between reading and announcing.
_STEP = 1_000


class Logs(NamedTuple):
    """What stands in Kafka after a run without faults."""

    inputs: Mapping[str, Sequence[Entry]]
    records: list[Entry]
    dead: list[Entry]
    #: The end of the run, in microseconds.
    now: int
    laws: Sequence[Entry] = ()

    def place_of(self, transition: str, *, last: bool = False) -> int:
        """The place of the first write that announces this; `last`: nothing else is ever said of its record."""
        return next(
            number
            for number, entry in enumerate(self.records)
            if entry.header("transition") == transition
            and not (last and any(later.key == entry.key for later in self.records[number + 1 :]))
        )

    def altered(self, number: int, *entries: Entry) -> "Logs":
        """With these writes in the place of one."""
        return self._replace(records=[*self.records[:number], *entries, *self.records[number + 1 :]])


def retold(entry: Entry, name: str, text: str) -> Entry:
    """With another header."""
    return entry._replace(headers=tuple((key, text.encode() if key == name else value) for key, value in entry.headers))


def logs_of(subject: Subject, plan: Plan, start: int, directory: Path, laws: Sequence[Entry] = ()) -> Logs:
    """What a worker without faults makes of a plan. `laws`: what it judges by, as far as that is published."""
    worker = _Honest(subject, directory)
    inputs = defaultdict[str, list[Entry]](list)
    offsets = Counter[tuple[str, int]]()
    coming = deque(laws)
    for shot in plan.shots:
        key = (shot.key or b"").decode()
        partition = home(key, "", PARTITIONS) if shot.partition is None else shot.partition
        at = start + int(shot.at * 1_000) * 1_000
        while coming and coming[0].at <= at:
            worker.learn(coming.popleft())
        place = shot.topic, partition
        entry = Entry(*place, offsets[place], at, shot.key, shot.value, shot.headers)
        offsets[place] += 1
        inputs[shot.topic].append(entry)
        worker.read(entry)
    end = start + int((plan.quiet + 1.0) * SECOND)
    worker.sweep(end)
    return Logs({name: inputs[name] for name in subject.inputs}, worker.records, worker.dead, end, laws)


_Learn = Callable[[Entry], None]


def _promises(directory: Path, limits: Limits) -> tuple[Machine[Any, Any], _Learn]:
    return promises.machine(read_rules(write_rules(directory)), limits, ""), lambda _entry: None


def _clocks(_directory: Path, limits: Limits) -> tuple[Machine[Any, Any], _Learn]:
    chronicle, known = Chronicle(limits.horizon), InForce(Standards.of(load_policies(BUILT_IN)))

    def learn(entry: Entry) -> None:
        chronicle.add(entry.value or b"", Instant(entry.at))
        known.standards = chronicle.standards or known.standards

    return sla.machine(known, limits, ""), learn


_MACHINES = {"promises": _promises, "sla": _clocks}


class _Honest:
    def __init__(self, subject: Subject, directory: Path) -> None:
        self._now = Instant(0)
        self._subject = subject
        limits = Limits(lambda: self._now, horizon=400 * 86_400 * SECOND)
        self._machine, self._learn = _MACHINES[subject.service](directory, limits)
        self._table: dict[bytes, Any] = {}
        self.records: list[Entry] = []
        self.dead: list[Entry] = []

    def learn(self, law: Entry) -> None:
        """Announce what came due before it, then judge by it."""
        self.sweep(law.at)
        self._now = Instant(max(self._now, law.at + _STEP))
        self._learn(law)

    def read(self, entry: Entry) -> None:
        """Announce what came due before it, then take it in."""
        self.sweep(entry.at)
        self._now = Instant(entry.at + _STEP)
        is_json = ("content-type", b"application/json") in entry.headers
        try:
            found = list(self._machine.inputs[entry.topic](entry.value or b"", is_json))
        except Unusable as error:
            self._refuse(entry, error.reason)
            return
        if any(self._machine.home(key, PARTITIONS) != entry.partition for key, _ in found if self._machine.home):
            self._refuse(entry, DeadLetterReason.MISPLACED)
            return
        again = False
        for key, fact in found:
            old = self._table.get(key)
            new = self._machine.fold(key, old, [fact])
            assert self._machine.reuse is not None
            again |= self._machine.reuse(old, new, [fact]) is not None
            self._write(key, new)
        if again:
            self._refuse(entry, DeadLetterReason.EVENT_ID_REUSED)

    def sweep(self, until: int) -> None:
        """Announce everything that comes due by then, each at its time."""
        while due := self._next(until):
            at, key = due
            self._now = Instant(max(self._now, at + _STEP))
            new = self._machine.due(self._table[key], self._now)
            assert new != self._table[key], f"{key!r} would be written again and again"
            self._write(key, new)

    def _next(self, until: int) -> tuple[int, bytes] | None:
        deadlines = ((self._machine.next_deadline(record), key) for key, record in self._table.items())
        return min(((at, key) for at, key in deadlines if at is not None and at < until), default=None)

    def _write(self, key: bytes, new: Any) -> None:
        old = self._table.get(key)
        assert new is not None
        if new == old:
            return
        self._table[key] = new
        step = self._machine.step(key, old, new)
        headers = (
            ("transition", step.name),
            ("transition-id", step.id),
            ("announced-at", format_instant(self._now).encode()),
        )
        partition = self._machine.home(key, PARTITIONS) if self._machine.home else 0
        offset = sum(entry.partition == partition for entry in self.records)
        self.records.append(
            Entry(self._subject.records, partition, offset, self._now, key, self._machine.pack(new), headers)
        )

    def _refuse(self, entry: Entry, reason: DeadLetterReason) -> None:
        origin = {"reason": reason.value, "topic": entry.topic, "partition": entry.partition, "offset": entry.offset}
        headers = (
            *((name, str(value).encode()) for name, value in origin.items()),
            *((f"original-{name}", value) for name, value in entry.headers),
        )
        self.dead.append(Entry(DEAD_LETTERS, 0, len(self.dead), self._now, entry.key, entry.value, headers))
