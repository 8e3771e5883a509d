"""Publishes broken promises, as the promise service announces them; a process of its own.

    python -m benchmarks.breaches JSON

The JSON object has the fields of `Breaches`. At a steady rate it prints, at the end, how late its latest record was, in
seconds.
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from benchmarks.batches import Record, producing, put, send_all
from puntual.promises.v1.promise_pb2 import (
    PROMISE_KIND_ORDER_READY,
    PROMISE_REASON_DUE_PASSED,
    PROMISE_STATE_BROKEN,
    Context,
    Promise,
)
from services.promises.codec import RECORDS
from services.shared.clock import set_timestamp, wall_clock
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.partitioner import home_of

#: Where more than so many happen a second, those of so many microseconds go together: what is measured shares the
#: machine with this, and a service that announces so many does so in batches, too.
_FEW, _GATHERED = 500, SECOND // 50


class Breaches(NamedTuple):
    """What breaks."""

    kafka: str
    prefix: str
    partitions: int
    #: Customers 0 to `size` - 1, one promise each: their subjects are the instants at which they are announced.
    size: int
    #: By turns.
    teams: tuple[str, ...]
    #: When the first is announced; the others follow at `rate`.
    start: int
    #: A second; 0: as fast as may be, a microsecond after each other.
    rate: int = 0


def records(breaches: Breaches) -> Iterator[tuple[Instant, Record]]:
    """Each with the time at which it is announced."""
    each = SECOND / breaches.rate if breaches.rate else 1
    for number in range(breaches.size):
        at = Instant(int(breaches.start + number * each))
        key = f"c-{breaches.start % SECOND}-{number}/order_ready/{at}".encode()
        promise = Promise(
            promise_id=key.decode(),
            kind=PROMISE_KIND_ORDER_READY,
            state=PROMISE_STATE_BROKEN,
            reason=PROMISE_REASON_DUE_PASSED,
            context=Context(team=breaches.teams[number % len(breaches.teams)], site="Madrid", customer_locale="es"),
        )
        for stamp in (promise.due_at, promise.original_due_at, promise.settled_at):
            set_timestamp(stamp, Instant(at - SECOND))
        headers = (("transition", b"broken"), ("announced-at", format_instant(at).encode()))
        yield at, Record(home_of(key, breaches.partitions), key, promise.SerializeToString(), headers)


async def _steadily(breaches: Breaches) -> float:
    late = 0
    topic = f"{breaches.prefix}{RECORDS}"
    plan = list(records(breaches))
    if wall_clock() > breaches.start:
        sys.exit("The breaches were not ready when the first was to be published.")
    async with producing(breaches.kafka) as producer:
        await producer.partitions_for(topic)
        for at, together in _gathered(plan, _GATHERED if breaches.rate > _FEW else 1):
            if (early := (at - wall_clock()) / SECOND) > 0:
                await asyncio.sleep(early)
            late = max(late, wall_clock() - at)
            batches: dict[int, Any] = {}
            for record in together:
                if record.partition not in batches:
                    batches[record.partition] = producer.create_batch()
                put(batches[record.partition], record)
            for partition, batch in batches.items():
                await producer.send_batch(batch, topic, partition=partition)
    return late / SECOND


def _gathered(plan: Sequence[tuple[Instant, Record]], span: int) -> Iterator[tuple[Instant, Sequence[Record]]]:
    """What is announced within so many microseconds, as of the last of it."""
    for _, some in groupby(plan, key=lambda announced: announced[0] // span):
        gathered = list(some)
        yield gathered[-1][0], [record for _, record in gathered]


def main(breaches: Breaches) -> None:
    """Publish them."""
    if breaches.rate:
        print(asyncio.run(_steadily(breaches)))
    else:
        found = (record for _, record in records(breaches))
        asyncio.run(send_all(breaches.kafka, f"{breaches.prefix}{RECORDS}", found))


if __name__ == "__main__":
    main(Breaches(**json.loads(sys.argv[1])))
