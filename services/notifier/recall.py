"""Remembers what was broken on the partitions of this worker, so that repeated breaches of one customer are known.

Promises and clocks are on their customer's partition, and one worker has the same partitions of both topics. So it
sees all that concerns a customer, and what it remembers can be had from the topics themselves: they hold the last state
of every record.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from aiokafka import TopicPartition

from services.notifier.items import Item, identity
from services.notifier.repeats import Repeated, Repeats, broken_at
from services.notifier.sightings import SOURCES, Source
from services.shared.partitioner import home_of

log = logging.getLogger(__name__)

#: Partitions, and what takes in their messages, as aiokafka has them.
Read = Callable[[Iterable[TopicPartition], Callable[[Any], None]], Awaitable[None]]


class Recall:
    """What was broken of late. Of partitions that were not prepared nothing is known."""

    def __init__(self, rule: Repeated, read: Read, partitions: int, prefix: str = "puntual.") -> None:
        """`read`: hands over all messages of some partitions. `partitions`: how many the topics of records have."""
        self._rule = rule
        self._read = read
        self._partitions = partitions
        self._prefix = prefix
        self._known: Mapping[int, Repeats] = {}

    async def prepare(self, partitions: Collection[int]) -> None:
        """Know these partitions, and no others: what is new is read to its end. Raises KafkaError.

        To the end, not only to where reading goes on: after a standstill one topic may be read long before the other.
        """
        self._known = {partition: known for partition, known in self._known.items() if partition in partitions}
        new = {partition: Repeats(self._rule) for partition in partitions if partition not in self._known}
        if not new:
            return
        started = monotonic()
        sources = {self._prefix + topic: source for topic, source in SOURCES.items()}

        def take(message: Any) -> None:  # noqa: ANN401 - as aiokafka has it
            source = sources[message.topic]
            with suppress(Exception):  # one record keeps nobody from work: whoever reads it puts it aside
                if message.value:
                    _note(new[message.partition], source, source.parse(message.value))

        await self._read([TopicPartition(topic, partition) for topic in sources for partition in new], take)
        self._known = {**self._known, **new}
        log.info("Breaches of %d partitions remembered in %.1f s", len(new), monotonic() - started)

    def note(self, source: Source, record: Any) -> None:  # noqa: ANN401
        """Take in how a record, as `Source.parse` gives it, stands. Raises `Unusable`."""
        if known := self._of(source.record_id(record)):
            _note(known, source, record)

    def counted(self, item: Item) -> Item:
        """The item with which breach of its customer it is."""
        known = self._of(item.record_id)
        if not known or item.details is None:
            return item
        at = broken_at(item.standing, item.since, item.due_at)
        return item._replace(details=item.details._replace(breaches=known.count(identity(item), at) if at else 0))

    def _of(self, record_id: str) -> Repeats | None:
        return self._known.get(home_of(record_id.encode(), self._partitions))


def _note(known: Repeats, source: Source, record: Any) -> None:  # noqa: ANN401
    for breach, at in source.broken(record):
        known.note(breach, at)
