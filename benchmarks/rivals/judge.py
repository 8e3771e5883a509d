"""What every rival does with an event, by the promise service's own codec and domain, and how far it is."""

import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from services.promises.codec import machine
from services.promises.rules import read_rules
from services.shared.clock import wall_clock
from services.shared.envelope import Limits

#: Events between two reports.
_OFTEN = 5_000


class Task(NamedTuple):
    """What a rival is given."""

    kafka: str
    prefix: str
    partitions: int
    #: How many there are.
    events: int
    #: An empty directory of its own, made by `run`.
    directory: str = ""

    @property
    def orders(self) -> str:
        """The topic to read."""
        return f"{self.prefix}orders.v1"

    @property
    def records(self) -> str:
        """The topic to write records to."""
        return f"{self.prefix}promises.v1"


class Judge:
    """Decodes events and folds them into packed records. Reports progress: "seen EVENTS CPU_SECONDS WALL_SECONDS"."""

    def __init__(self, task: Task) -> None:
        self._promises = machine(read_rules(), Limits(wall_clock), task.prefix)
        self._decode = self._promises.inputs[task.orders]
        self._count = task.events
        self._seen = 0

    def facts(self, value: bytes) -> Sequence[tuple[bytes, Any]]:
        """The facts of an event, each with the key of its record."""
        return list(self._decode(value, False))

    def judged(self, key: bytes, known: bytes | None, fact: Any) -> bytes | None:  # noqa: ANN401 - the machine's own
        """The packed record with a fact more; None where there is none."""
        record = self._promises.fold(key, None if known is None else self._promises.unpack(known), [fact])
        return None if record is None else self._promises.pack(record)

    def seen(self) -> None:
        """An event more is done."""
        self._seen += 1
        if self._seen == 1 or self._seen % _OFTEN == 0 or self._seen == self._count:
            # Frameworks write to standard output as well, and not always whole lines.
            sys.stdout.write(f"\nseen {self._seen} {time.process_time()} {time.perf_counter()}\n")
            sys.stdout.flush()
