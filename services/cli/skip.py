"""`puntual skip`: passes over one message at which a worker ends again and again."""

import asyncio
import getpass
from collections.abc import Mapping, Sequence
from typing import Any

import click
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError
from kafka import TopicPartition as Place
from kafka.structs import OffsetAndMetadata

from services.cli.exits import EXIT_CODES, Failure
from services.cli.options import kafka_option, prefix_option
from services.cli.words import counted
from services.shared.engine.dead_letters import DeadLetters
from services.shared.engine.fence import KEY as FENCE
from services.shared.engine.fetch import adapt
from services.shared.engine.stage import Message, Origin
from services.shared.errors import DeadLetterReason, KafkaUnreachable, PuntualError, Unusable
from services.shared.terminal import say
from services.shared.topics import (
    APPOINTMENTS,
    CALLBACKS,
    CONTACTS,
    DEAD_LETTERS,
    DISPATCH,
    ORDERS,
    PROMISES,
    RESPONSES,
    SLA,
    administration,
    partition_count,
)

#: Which services read a topic, each in a group of its own.
READERS: Mapping[str, Sequence[str]] = {
    ORDERS.name: ("promises", "sla"),
    CALLBACKS.name: ("promises", "sla"),
    APPOINTMENTS.name: ("promises", "sla"),
    CONTACTS.name: ("sla",),
    PROMISES.name: ("notifier",),
    SLA.name: ("notifier",),
    DISPATCH.name: ("notifier",),
    RESPONSES.name: ("notifier",),
}
#: Messages before the one, at most; more than a worker takes at a time means that the offset is another one's.
_MOST = 1_000
_POLL_MS = 500
_LARGEST = 4 << 20


@click.command(
    short_help="Pass over one message at which a worker ends.",
    epilog=f"""The message goes to the dead letters, with the reason `skipped`, who passed over it, and why. So do those
before it that were not read yet, as `passed_over`: `puntual dead-letters replay --reason passed_over` submits them
again, and nothing is lost.

{EXIT_CODES}

\b
Examples:
  puntual skip puntual.orders.v1 3 48211 --service sla --reason "ends the worker, see ticket 4711\"""",
)
@click.argument("topic")
@click.argument("partition", type=click.IntRange(0))
@click.argument("offset", type=click.IntRange(0))
@click.option("--service", type=click.Choice(["promises", "sla", "notifier"]), help="Whose workers it ends.")
@click.option("--reason", "why", required=True, help="Why, for whoever finds the dead letter.")
@click.option("--by", default=getpass.getuser, show_default="who is logged in", help="Who passes over it.")
@kafka_option
@prefix_option
def skip(
    topic: str, partition: int, offset: int, service: str | None, why: str, by: str, kafka: str, prefix: str
) -> None:
    """Move a service behind one message that ends its workers: TOPIC (full name), PARTITION, OFFSET.

    Stop all workers of the service first: while one is alive, Kafka keeps to what that one says.
    """
    group = f"{prefix}{_service(topic.removeprefix(prefix), service)}"
    place = Place(topic, partition)
    if partition >= (count := partition_count(kafka, topic)):
        raise Failure(f"{topic} has {counted(count, 'partition')}, counted from 0")
    with administration(kafka) as admin:
        if members := len(admin.describe_groups([group])[group]["members"]):
            raise Failure(
                f"{counted(members, 'worker')} of {group} {'are' if members > 1 else 'is'} alive; stop all of them,"
                " and wait until Kafka has noticed (PUNTUAL_SESSION_SECONDS), then try again"
            )
        committed = admin.list_group_offsets({group: [place]})[group][place]
        start = max(committed.offset, 0)
        if not start <= offset <= start + _MOST:
            raise Failure(
                f"{group} reads {topic}, partition {partition}, on from {start}; skip that one, or one up to"
                f" {start + _MOST}: the log of the worker that ended names it"
            )
        letters = asyncio.run(_set_aside(kafka, prefix, TopicPartition(topic, partition), (start, offset), (by, why)))
        following = OffsetAndMetadata(offset + 1, committed.metadata or "", -1)
        error = admin.alter_group_offsets(group, {place: following})[place]
        if error.errno:
            raise Failure(
                f"Kafka did not move {group} ({error.__name__}): a worker has started meanwhile. Stop it, and try again"
            )
    say(f"{group} reads {topic}, partition {partition}, on from {offset + 1}", err=True)
    if letters > 1:
        say(
            f"{counted(letters - 1, 'message')} before it went to the dead letters, too. Submit them again:"
            " puntual dead-letters replay --reason passed_over",
            err=True,
        )


def _service(topic: str, service: str | None) -> str:
    readers = READERS.get(topic)
    if readers is None:
        raise Failure(f"No service reads {topic!r} message by message; those read so are {', '.join(READERS)}")
    if service is None and len(readers) > 1:
        raise Failure(f"{' and '.join(readers)} read it; say with --service whose workers it ends")
    if service and service not in readers:
        raise Failure(f"{service} does not read it; {' and '.join(readers)} does")
    return service or readers[0]


async def _set_aside(
    kafka: str, prefix: str, place: TopicPartition, part: tuple[int, int], who: tuple[str, str]
) -> int:
    """Dead-letter the messages of a part of a partition, its end included. How many. Raises PuntualError."""
    aside = DeadLetters(DEAD_LETTERS.under(prefix), partition_count(kafka, DEAD_LETTERS.under(prefix)))
    try:
        messages = await _read(kafka, place, *part)
        async with AIOKafkaProducer(
            bootstrap_servers=kafka, acks="all", enable_idempotence=True, max_request_size=_LARGEST
        ) as producer:
            for message in messages:
                write = aside.letter(Origin(*place), message, _why(message.offset, part[1], *who))
                await producer.send_and_wait(
                    write.topic, write.value, key=write.key, partition=write.partition, headers=list(write.headers)
                )
    except KafkaConnectionError as error:
        raise KafkaUnreachable(kafka) from error
    except KafkaError as error:
        raise PuntualError(f"Kafka refused: {error}") from error
    return len(messages)


def _why(offset: int, skipped: int, by: str, why: str) -> Unusable:
    if offset == skipped:
        return Unusable(DeadLetterReason.SKIPPED, f"skipped by {by}: {why}")
    return Unusable(DeadLetterReason.PASSED_OVER, f"not read when {by} skipped offset {skipped}: {why}")


async def _read(kafka: str, place: TopicPartition, start: int, last: int) -> Sequence[Message]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        adapt(consumer._fetcher)  # noqa: SLF001 - what cannot be read, too
        consumer.assign([place])
        (end,) = (await consumer.end_offsets([place])).values()
        if last >= end:
            raise PuntualError(f"{place.topic}, partition {place.partition}, ends at {end}: there is no {last} yet")
        consumer.seek(place, start)
        found: list[Any] = []
        while await consumer.position(place) <= last:
            for records in (await consumer.getmany(place, timeout_ms=_POLL_MS)).values():
                found += [each for each in records if each.offset <= last and each.key != FENCE]
        return found
    finally:
        await consumer.stop()
