"""Verdicts on a history, without Kafka: the pure code of the promises service, driven in process."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.table import Table

from puntual.promises.v1 import promise_pb2 as pb
from services.cli.history import PastEvent
from services.cli.inputs import INPUTS
from services.cli.progress import track
from services.promises.codec import machine
from services.promises.model import Fact, Promise, PromiseKind, State
from services.promises.rules import BUILT_IN, read_rules
from services.shared.engine.machine import Machine
from services.shared.envelope import Limits
from services.shared.errors import Unusable
from services.shared.instant import Instant
from services.shared.topics import PREFIX

T = TypeVar("T")
#: As many events at once as a worker might fetch; the verdicts do not depend on it.
_BATCH = 1000

#: What is wrong with a history of which promises were asked.
NO_PROMISE = (
    "there is no promise in it: map an event that makes one, such as promised, requested or booked;"
    " contacts are judged by standards, see `puntual standards backtest --help`"
)

#: (kind, state) → how many.
Tally = Counter[tuple[str, str]]


@dataclass(slots=True)
class Verdicts:
    """What became of a history as of an instant."""

    #: Record key → (kind, state).
    labels: dict[bytes, tuple[str, str]] = field(default_factory=dict)
    #: The same of the cycles before the last.
    earlier: Tally = field(default_factory=Counter)
    #: Record key → the record as it stands in Kafka.
    packed: dict[bytes, bytes] = field(default_factory=dict)
    #: Why events could not be used → how many.
    unusable: Counter[str] = field(default_factory=Counter)

    def tally(self) -> Tally:
        """How many promises stand where: a word given again is another one."""
        return self.earlier + Counter(self.labels.values())


def judge(events: Sequence[PastEvent], rules: Path | None, as_of: Instant) -> Verdicts:
    """The verdicts on all events, in whatever order they come. Nothing is forgotten, however old."""
    promises = machine(read_rules(rules or BUILT_IN), Limits(now=lambda: as_of), PREFIX)
    verdicts = Verdicts()
    records: dict[bytes, Promise] = {}
    for batch in _batches(track(events, len(events), "folding events")):
        for key, facts in _facts(promises, batch, verdicts.unusable).items():
            if (record := promises.fold(key, records.get(key), facts)) is not None:
                records[key] = record
    for key, record in track(records.items(), len(records), "judging promises"):
        promise = promises.due(record, as_of)
        if promise is not None:
            verdicts.labels[key] = promises.labels(promise)
            verdicts.packed[key] = promises.pack(promise)
            verdicts.earlier.update(_label(promise.kind, cycle.state) for cycle in promise.earlier)
    return verdicts


def _facts(
    promises: Machine[Promise, Fact], events: Iterable[PastEvent], unusable: Counter[str]
) -> Mapping[bytes, Sequence[Fact]]:
    """Record key → the new facts about it."""
    found: defaultdict[bytes, list[Fact]] = defaultdict(list)
    for event in events:
        decode = promises.inputs.get(INPUTS[event.topic].under(PREFIX))
        try:
            for key, fact in decode(event.value, False) if decode else ():
                found[key].append(fact)
        except Unusable as error:
            unusable[str(error)] += 1
    return found


def fingerprint(packed: Mapping[bytes, bytes]) -> str:
    """One hash over all records in order of their keys: equal if and only if every record is byte-identical."""
    digest = hashlib.sha256()
    for key, value in sorted(packed.items()):
        digest.update(b"%d:%b%d:%b" % (len(key), key, len(value), value))
    return digest.hexdigest()


def labels(value: bytes) -> list[tuple[str, str]]:
    """(kind, state) of each cycle of a packed promise."""
    promise = pb.Promise.FromString(value)
    return [*(_label(promise.kind, cycle.state) for cycle in promise.earlier), _label(promise.kind, promise.state)]


def _label(kind: int, state: int) -> tuple[str, str]:
    return PromiseKind(kind).name.lower(), State(state).name.lower()


def as_table(tally: Tally) -> Table:
    """Kinds down, states across, for people; states that no promise is in are left out."""
    states = [state.name.lower() for state in State if any(found == state.name.lower() for _, found in tally)]
    table = Table(box=SIMPLE_HEAD)
    table.add_column("promises", no_wrap=True)
    for state in states:
        table.add_column(state.replace("_", " "), justify="right", no_wrap=True, style=_COLOURS.get(state))
    for kind in sorted({kind for kind, _ in tally}):
        table.add_row(kind.replace("_", " "), *(f"{tally[kind, state]:,}" for state in states))
    return table


def as_json_counts(tally: Tally) -> dict[str, dict[str, int]]:
    """Kind → state → how many, for machines; states that no promise is in are left out."""
    return {kind: {state: n for (k, state), n in sorted(tally.items()) if k == kind} for kind, _ in sorted(tally)}


_COLOURS = {"kept": "green", "kept_late": "yellow", "broken": "red", "at_risk": "yellow"}


def _batches(items: Iterable[T]) -> Iterator[Sequence[T]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch
