"""Puts open promises into the records topic, as the worker would have written them; a process of its own.

    python -m benchmarks.stock JSON

The JSON object has the fields of `Stock`. What is there the worker recovers; so a million promises are open within half
a minute, where its way through the input is not what is measured.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.batches import Record, send_all
from benchmarks.events import far, order_event
from services.promises.codec import RECORDS, machine
from services.promises.rules import read_rules
from services.shared.clock import wall_clock
from services.shared.envelope import Limits
from services.shared.instant import Instant, format_instant
from services.shared.partitioner import home_of


class Stock(NamedTuple):
    """What is open."""

    kafka: str
    prefix: str
    partitions: int
    #: Promises 0 to `size` - 1, made at `made_at`.
    size: int
    made_at: int
    #: How many of them are due in time to be seen: the first at `due_at`, each `every` microseconds after the last.
    soon: int = 0
    due_at: int = 0
    every: int = 0


def records(stock: Stock) -> Iterator[Record]:
    """Each promise with key, headers and partition."""
    promises = machine(read_rules(), Limits(wall_clock))
    decode = next(decode for topic, decode in promises.inputs.items() if "orders" in topic)
    made_at = Instant(stock.made_at)
    announced_at = ("announced-at", format_instant(made_at).encode())

    def due(number: int, at: Instant) -> Instant:
        return Instant(stock.due_at + number * stock.every) if number < stock.soon else far(number, at)

    for number in range(stock.size):
        _, event = order_event((number, True), made_at, due)
        ((key, fact),) = decode(event, False)
        record = promises.fold(key, None, [fact])
        assert record is not None
        step = promises.step(key, None, record)
        headers = (("transition", step.name), ("transition-id", step.id), announced_at)
        yield Record(home_of(key, stock.partitions), key, promises.pack(record), headers)


if __name__ == "__main__":
    wanted = Stock(**json.loads(sys.argv[1]))
    asyncio.run(send_all(wanted.kafka, f"{wanted.prefix}{RECORDS}", records(wanted)))
