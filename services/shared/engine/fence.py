"""Fences: a partition of records has one writer at a time, and Kafka itself refuses every other.

Kafka ties a producer id to a name and gives it a later epoch whenever somebody asks for it again; a partition that has
seen the later epoch refuses the earlier. So whoever takes a partition over asks in the partition's name and writes one
message under the new epoch, the fence. What its predecessor (frozen, cut off, slow) still sends stands before the
fence, where recovery reads it, or is refused. All this is once per take-over: no transaction is ever begun, so writing
costs what it costs without.

A fence is a deletion of a key that no record has, so that readers and compaction need not know of it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import count
from time import monotonic, time_ns
from typing import Any, cast

from aiokafka import errors
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.producer.producer import AIOKafkaProducer
from aiokafka.producer.transaction_manager import PidAndEpoch
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.structs import TopicPartition

log = logging.getLogger(__name__)

#: No record's: those have three parts.
KEY = b"~fence"
HEADERS = [("transition", b"fenced")]
#: Seconds between two fences of a partition that stays with its worker: Kafka forgets the epoch of a partition to which
#: nothing was written for a day, and after seven days the name (producer.id and transactional.id.expiration.ms).
RENEWAL = 12 * 3600.0
#: Of transactions; none is ever begun.
_TIMEOUT_MS = 60_000
_BACKOFF = 0.1
#: Attempts without a word: a cluster that is new needs a moment for the first.
_WARN_AFTER = 50
#: Kafka's code for it since KIP-588; aiokafka knows only the older one.
_PRODUCER_FENCED = 90
#: What passes by itself: Kafka is still at work on it, or the coordinator has moved.
_PASSING = (
    errors.ConcurrentTransactions,
    errors.CoordinatorLoadInProgressError,
    errors.CoordinatorNotAvailableError,
    errors.KafkaConnectionError,
    errors.NodeNotReadyError,
    errors.NotCoordinatorError,
    errors.RequestTimedOutError,
)
#: Somebody else has asked in the same name meanwhile.
_OUTDONE = (errors.ProducerFenced, errors.InvalidProducerEpoch)
#: Told of a write: its topic and partition, when it was sent (seconds by the monotonic clock), and aiokafka's metadata.
Stamped = Callable[[tuple[str, int], float, Any], None]


class Fenced(Exception):
    """Another worker has taken the partition over; what is in memory is out of date, so this process must end."""

    def __init__(self, topic: str, partition: int) -> None:
        super().__init__(
            f"another worker has taken over partition {partition} of {topic}; this one had been silent for longer than"
            " PUNTUAL_SESSION_SECONDS. Kafka refused what it wrote since: nothing is lost"
        )


class Fences:
    """Sets fences through a producer, which from then on writes to those partitions under the epoch of their fence."""

    def __init__(self, producer: AIOKafkaProducer, stamped: Stamped = lambda *_: None) -> None:
        """`stamped` is told when and with what stamp each fence was written."""
        self._producer, self._stamped = producer, stamped
        self._owners: dict[TopicPartition, PidAndEpoch] = {}
        parts = cast(Any, producer)  # aiokafka knows one producer id, its own
        self._sequences: dict[TopicPartition, int] = parts._txn_manager._sequence_numbers  # noqa: SLF001
        batches = parts._message_accumulator  # noqa: SLF001
        batches._pop_batch = self._signed(batches, batches._pop_batch)  # noqa: SLF001

    async def set(self, topic: str, partitions: Iterable[int]) -> Mapping[int, int]:
        """Shut out every earlier writer of these partitions; the offset of each one's fence.

        Nothing may be on its way to them. Waits for Kafka as long as it takes; raises what does not pass by itself.
        """
        places = [TopicPartition(topic, partition) for partition in partitions]
        offsets = await asyncio.gather(*map(self._set, places))
        return {place.partition: offset for place, offset in zip(places, offsets, strict=True)}

    async def _set(self, place: TopicPartition) -> int:
        try:
            owner = await self._claim(f"{place.topic}-{place.partition}")
        except _OUTDONE as error:
            raise Fenced(*place) from error
        self._owners[place], self._sequences[place] = owner, 0
        batch = self._producer.create_batch()
        batch.append(timestamp=time_ns() // 1_000_000, key=KEY, value=None, headers=HEADERS)
        batch.close()
        sent_at = monotonic()
        try:
            answer = await (await self._producer.send_batch(batch, place.topic, partition=place.partition))
        except _OUTDONE as error:
            raise Fenced(*place) from error
        self._stamped(place, sent_at, answer)
        return int(answer.offset)

    async def _claim(self, name: str) -> PidAndEpoch:
        """The producer id of a name, with an epoch later than all before."""
        client = self._producer.client
        request = InitProducerIdRequest(transactional_id=name, transaction_timeout_ms=_TIMEOUT_MS)
        for attempt in count():
            try:
                node = await client.coordinator_lookup(CoordinationType.TRANSACTION, name)
                await client.ready(node, group=ConnectionGroup.COORDINATION)
                answer = await client.send(node, request, group=ConnectionGroup.COORDINATION)
                if answer.error_code == _PRODUCER_FENCED:
                    raise errors.ProducerFenced(name)
                if (error := errors.for_code(answer.error_code)) is not errors.NoError:
                    raise error(name)
                return PidAndEpoch(answer.producer_id, answer.producer_epoch)
            except _PASSING as error:
                if attempt == _WARN_AFTER:
                    log.warning("%s is not fenced yet: %r; trying on", name, error)
            with suppress(errors.KafkaError):
                await client.force_metadata_update()
            await asyncio.sleep(_BACKOFF)
        raise AssertionError  # it counts without end

    def _signed(self, batches: Any, pop: Callable[..., Any]) -> Callable[..., Any]:  # noqa: ANN401 - aiokafka's own
        """How aiokafka takes the next batch to send: where there is a fence, under its epoch."""

        def popped(place: TopicPartition) -> Any:  # noqa: ANN401
            tried = batches._batches[place][0].retry_count  # noqa: SLF001
            sequence = self._sequences[place]
            batch = pop(place)
            if place in self._owners and not tried:
                batch._builder._set_producer_state(*self._owners[place], sequence)  # noqa: SLF001
            return batch

        return popped
