"""What a topic was given in a span of time, read in a worker without its consumer group: it disturbs nobody."""

from collections.abc import AsyncGenerator
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.shared.engine.fetch import guard
from services.shared.errors import KafkaUnreachable
from services.shared.instant import SECOND, Instant
from services.shared.partitioner import partition_of

#: How far the clocks of brokers and of those who write may be apart.
SKEW = 300 * SECOND
_POLL_MS = 500
#: Seconds without a message after which Kafka counts as gone.
_PATIENCE = 10.0


async def read_past(
    kafka: str, topic: str, partitions: int, key: bytes | None, since: Instant, until: Instant
) -> AsyncGenerator[Any]:
    """The messages, as aiokafka has them, in the order of each partition; some from just before and after, too.

    `key`: only the partition on which it lies, with all else there. `until`: 0 is now. Raises KafkaUnreachable.
    """
    numbers = range(partitions) if key is None else [partition_of(key, partitions)]
    here = [TopicPartition(topic, number) for number in numbers]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest", client_id=topic
    )
    try:
        await consumer.start()
        guard(consumer)
        consumer.assign(here)
        ends = await consumer.end_offsets(here)
        if until:
            later = await consumer.offsets_for_times(dict.fromkeys(here, _milliseconds(Instant(until + SKEW))))
            ends |= {each: found.offset for each, found in later.items() if found}
        starts = await consumer.offsets_for_times(dict.fromkeys(here, _milliseconds(Instant(since - SKEW))))
        for each in here:
            found = starts[each]
            consumer.seek(each, found.offset if found else ends[each])
        heard = monotonic()
        while [each for each in here if await consumer.position(each) < ends[each]]:
            fetched = await consumer.getmany(timeout_ms=_POLL_MS)
            if fetched:
                heard = monotonic()
            elif monotonic() > heard + _PATIENCE:
                raise KafkaUnreachable(kafka)
            for each, messages in fetched.items():
                for message in messages:
                    if message.offset < ends[each]:
                        yield message
    except KafkaError as error:
        raise KafkaUnreachable(kafka) from error
    finally:
        await consumer.stop()


def _milliseconds(at: Instant) -> int:
    return max(at, 0) * 1_000 // SECOND
