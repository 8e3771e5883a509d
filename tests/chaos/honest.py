"""A worker without faults, in memory: what the service's own pure functions make of a plan, for tests of the oracle."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from services.promises.codec import machine
from services.promises.model import Promise
from services.promises.rules import read_rules
from services.shared.envelope import Limits
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant, format_instant
from tests.chaos.reading import EVENTS, home
from tests.chaos.rules import SECOND, write_rules
from tests.chaos.tape import Entry
from tests.chaos.traffic import Plan

PARTITIONS = 4
RECORDS, DEAD_LETTERS = "promises.v1", "dead-letters.v1"
#: Between reading and announcing.
_STEP = 1_000


class Logs(NamedTuple):
    """What stands in Kafka after a run without faults."""

    inputs: Mapping[str, Sequence[Entry]]
    records: list[Entry]
    dead: list[Entry]
    #: The end of the run, in microseconds.
    now: int


def logs_of(plan: Plan, start: int, directory: Path) -> Logs:
    """What a worker without faults makes of a plan."""
    worker = _Honest(directory)
    inputs = defaultdict[str, list[Entry]](list)
    offsets = Counter[tuple[str, int]]()
    for shot in plan.shots:
        key = (shot.key or b"").decode()
        partition = home(key, "", PARTITIONS) if shot.partition is None else shot.partition
        at = start + int(shot.at * 1_000) * 1_000
        place = shot.topic, partition
        entry = Entry(*place, offsets[place], at, shot.key, shot.value, shot.headers)
        offsets[place] += 1
        inputs[shot.topic].append(entry)
        worker.read(entry)
    end = start + int((plan.quiet + 1.0) * SECOND)
    worker.sweep(end)
    return Logs({name: inputs[name] for name in EVENTS}, worker.records, worker.dead, end)


class _Honest:
    def __init__(self, directory: Path) -> None:
        self._now = Instant(0)
        self._machine = machine(
            read_rules(write_rules(directory)), Limits(lambda: self._now, horizon=400 * 86_400 * SECOND), ""
        )
        self._table: dict[bytes, Promise] = {}
        self.records: list[Entry] = []
        self.dead: list[Entry] = []

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
        for key, fact in found:
            self._write(key, self._machine.fold(key, self._table.get(key), [fact]))

    def sweep(self, until: int) -> None:
        """Announce everything that comes due by then, each at its time."""
        while due := self._next(until):
            at, key = due
            self._now = Instant(max(self._now, at + _STEP))
            self._write(key, self._machine.due(self._table[key], Instant(at)))

    def _next(self, until: int) -> tuple[int, bytes] | None:
        deadlines = ((self._machine.next_deadline(record), key) for key, record in self._table.items())
        return min(((at, key) for at, key in deadlines if at is not None and at < until), default=None)

    def _write(self, key: bytes, new: Promise | None) -> None:
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
        self.records.append(Entry(RECORDS, partition, offset, self._now, key, self._machine.pack(new), headers))

    def _refuse(self, entry: Entry, reason: DeadLetterReason) -> None:
        origin = {"reason": reason.value, "topic": entry.topic, "partition": entry.partition, "offset": entry.offset}
        headers = (
            *((name, str(value).encode()) for name, value in origin.items()),
            *((f"original-{name}", value) for name, value in entry.headers),
        )
        self.dead.append(Entry(DEAD_LETTERS, 0, len(self.dead), self._now, entry.key, entry.value, headers))
