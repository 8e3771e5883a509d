"""Topics that somebody made otherwise: what is served all the same, what is refused, and what is told of the rest."""

import asyncio
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource

from puntual.promises.v1.promise_pb2 import PROMISE_STATE_OPEN
from services.notifier.holds import Silence
from services.notifier.silences_log import SilencesLog, pack_silence
from services.shared.ingress import Ingress, Outgoing, connect
from services.shared.instant import SECOND, Instant
from services.shared.topic_log import TopicLog, publish
from services.shared.topics import DEAD_LETTERS, ORDERS, PROMISES, SILENCES, provision
from tests.integration.engine.reading import read_topic
from tests.integration.engine.test_worker import Site, publish_orders
from tests.processes import ServiceProcess, wait_for
from tests.unit.notifier.test_holds import match


def made(kafka: str, topic: str, partitions: int, settings: dict[str, str]) -> None:
    """A topic made by hand, before ours are."""
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    wanted = {"num_partitions": partitions, "replication_factor": 1, "configs": settings}
    admin.create_topics({topic: wanted}, wait_for_metadata=True)
    admin.close()


def test_one_partition_does_for_dead_letters(kafka: str, prefix: str, tmp_path: Path) -> None:
    """Whichever partition what cannot be used comes from; the worker goes on."""
    dead = DEAD_LETTERS.under(prefix)
    made(kafka, dead, 1, dict(DEAD_LETTERS.settings) | {"min.insync.replicas": "1"})
    site = Site(kafka, prefix, tmp_path)
    with site.publisher, site.worker(instance="only") as worker:
        for partition in range(4):
            site.publisher.send(ORDERS.under(prefix), b"k", b"garbage", partition=partition)
        publish_orders(site, 8, due_in=3600, keep=lambda _: False)
        wait_for(lambda: site.states() == {PROMISE_STATE_OPEN: 8}, 30, worker.output)
        wait_for(lambda: len(read_topic(kafka, dead)) == 4, 10, worker.output)


def test_silences_on_three_partitions_are_followed_like_on_one(kafka: str, prefix: str) -> None:
    """By whichever way they are made and ended: what is said of one stays in order, and all are heard."""
    topic = SILENCES.under(prefix)
    made(kafka, topic, 3, dict(SILENCES.settings))
    known = SilencesLog()

    async def scenario() -> None:
        log = TopicLog(kafka, topic, known.take)
        async with Ingress(partial(connect, kafka), prefix) as ingress:
            for number in range(9):
                name, value = f"s{number}", pack_silence(a_silence(f"s{number}"))
                if number % 2:
                    await publish(kafka, topic, name, value)
                else:
                    await ingress.send([Outgoing(topic, name.encode(), value)])
            await publish(kafka, topic, "s0", None)
            await ingress.send([Outgoing(topic, b"s1", None)])
            await log.start()
            try:
                assert sorted(known.silences) == [f"s{number}" for number in range(2, 9)]
                await ingress.send([Outgoing(topic, b"s2", None)])
                async with asyncio.timeout(20):
                    while "s2" in known.silences:
                        await log.read()
            finally:
                await log.stop()

    asyncio.run(scenario())
    assert len({entry.partition for entry in read_topic(kafka, topic)}) > 1


def a_silence(name: str) -> Silence:
    return Silence(
        name, match(site="Madrid"), Instant(10**15), Instant(10**15 + 3600 * SECOND), "r", "ana", Instant(10**15)
    )


def test_a_service_ends_at_once_on_records_that_are_deleted_and_tells_what_else_differs(
    real_kafka: str, prefix: str
) -> None:
    """No worker in a crash loop: one line says what to do, and with that done it starts."""
    provision(real_kafka, prefix, 2)
    admin = KafkaAdminClient(bootstrap_servers=real_kafka)

    def alter(topic: str, settings: dict[str, str]) -> None:
        admin.alter_configs([ConfigResource("topic", topic, configs=settings)])

    promises, orders = PROMISES.under(prefix), ORDERS.under(prefix)
    alter(promises, dict(PROMISES.settings) | {"cleanup.policy": "delete", "retention.ms": "60000"})
    alter(orders, dict(ORDERS.settings) | {"message.timestamp.type": "CreateTime", "retention.ms": "1000"})
    with ExitStack() as stack:
        refused = ServiceProcess("promises", real_kafka, prefix, partitions=2)
        stack.push(refused)
        assert refused.start().wait(30) == 1
        assert f"promises: {promises}: cleanup.policy is delete" in refused.output()
        assert "Traceback" not in refused.output()
    alter(promises, dict(PROMISES.settings))
    with ServiceProcess("promises", real_kafka, prefix, partitions=2) as worker:
        wait_for(lambda: worker.metrics()["puntual_topic_differences"] == 2, 10, worker.output)
        assert f"{orders}: retention.ms is 1000, expected" in worker.output()
        assert f"{orders}: message.timestamp.type is CreateTime, expected LogAppendTime" in worker.output()
    admin.close()
