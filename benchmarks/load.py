"""Publishes order events, as fast as may be or at a steady rate; a process of its own.

    python -m benchmarks.load JSON

The JSON object has the fields of `Load`. At a steady rate it prints, at the end, how late its latest batch was, in
seconds.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer

from benchmarks.batches import Record, producing, put, send_all
from benchmarks.events import CUSTOMERS, DAY, Event, Step, order_event, paired, promises, steady
from services.shared.clock import wall_clock
from services.shared.instant import SECOND, Instant
from services.shared.partitioner import partition_of

STREAMS: Final[Mapping[str, Callable[..., Iterator[Step]]]] = {
    "paired": paired,
    "promises": promises,
    "steady": steady,
}
#: At a steady rate every partition gets a batch this often, in microseconds, each in its turn.
TURN: Final = 100_000
#: How old events dated back are when records are remembered for a day: this much less than that.
_LEFT: Final = 60 * SECOND


class Load(NamedTuple):
    """What to publish."""

    kafka: str
    topic: str
    partitions: int
    #: One of STREAMS, and its arguments.
    stream: str
    arguments: Mapping[str, int]
    #: When the first event happens; the others follow at `rate`.
    start: int
    #: Events a second; 0: as fast as may be, a microsecond after each other.
    rate: int = 0
    #: Whether all of it is made before `start`, so that sending needs little CPU.
    beforehand: bool = True
    #: Whether events tell of what happened a day ago, each fulfilment before its promise. Where records are remembered
    #: for a day they are forgotten after two minutes, so that their number stays the same.
    dated_back: bool = False


class Turn(NamedTuple):
    """A batch for one partition, and when it is sent: not before its last event happened."""

    at: Instant
    partition: int
    batch: Any


def timed_events(load: Load) -> Iterator[tuple[Instant, Event]]:
    """The events, and when each is to be published."""
    each = SECOND / load.rate if load.rate else 1
    for place, step in enumerate(STREAMS[load.stream](**load.arguments)):
        at = Instant(int(load.start + place * each))
        yield at, _dated_back(step, at) if load.dated_back else order_event(step, at)


def _dated_back(step: Step, at: Instant) -> Event:
    number, made = step
    return order_event((number, not made), Instant(at - DAY + _LEFT), lambda _, made_at: Instant(made_at + SECOND))


def records(events: Iterable[tuple[Instant, Event]], partitions: int) -> Iterator[tuple[Instant, Record]]:
    """Partitioned as publishers must."""
    homes = {f"c-{number}": partition_of(f"c-{number}", partitions) for number in range(CUSTOMERS)}
    return ((at, Record(homes[customer], customer.encode(), value)) for at, (customer, value) in events)


def turns(load: Load, create: Callable[[], Any]) -> Iterator[Turn]:
    """What is sent when, at a steady rate."""
    batches: dict[int, Any] = {}
    step = 0
    for at, record in records(timed_events(load), load.partitions):
        while (due := load.start + step * TURN // load.partitions) < at:
            if batch := batches.pop(step % load.partitions, None):
                yield Turn(Instant(due), step % load.partitions, batch)
            step += 1
        if record.partition not in batches:
            batches[record.partition] = create()
        assert put(batches[record.partition], record), "the rate is too high for one batch in a turn"
    for partition, batch in batches.items():
        yield Turn(Instant(load.start + step * TURN // load.partitions), partition, batch)


async def send_steadily(load: Load) -> float:
    """Send each batch at its time; returns by how many seconds the latest was late. Exits where it cannot begin."""
    async with producing(load.kafka) as producer:
        plan: Iterable[Turn] = turns(load, producer.create_batch)
        if load.beforehand:
            plan = list(plan)
        if wall_clock() > load.start:
            sys.exit("The events were not ready when the first was to be published.")
        return await _send(producer, load.topic, plan)


async def _send(producer: AIOKafkaProducer, topic: str, plan: Iterable[Turn]) -> float:
    late = 0
    for at, partition, batch in plan:
        if (early := (at - wall_clock()) / SECOND) > 0:
            await asyncio.sleep(early)
        late = max(late, wall_clock() - at)
        batch.close()
        await producer.send_batch(batch, topic, partition=partition)
    return late / SECOND


def main(load: Load) -> None:
    """Publish it."""
    if load.rate:
        print(asyncio.run(send_steadily(load)))
    else:
        events = records(timed_events(load), load.partitions)
        asyncio.run(send_all(load.kafka, load.topic, (record for _, record in events)))


if __name__ == "__main__":
    main(Load(**json.loads(sys.argv[1])))
