"""The topic table against brokers, and the publisher on it."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource

from puntual.events.v1.order_event_pb2 import OrderEvent
from services.shared.errors import KafkaUnreachable, PublishFailed, PuntualError
from services.shared.instant import SECOND, Instant
from services.shared.partitioner import partition_of
from services.shared.publisher import Publisher
from services.shared.topics import (
    CALLBACKS,
    DEAD_LETTERS,
    INPUTS,
    ORDERS,
    PROMISES,
    SILENCES,
    SLA,
    STANDARDS,
    TOPICS,
    Forgetful,
    TopicsDiffer,
    examine,
    provision,
    require,
)

_TIME = "2025-11-27T17:00:00Z"


@pytest.fixture
def admin(kafka: str) -> Iterator[KafkaAdminClient]:
    """A client of its own."""
    client = KafkaAdminClient(bootstrap_servers=kafka)
    yield client
    client.close()


def everything(kafka: str, topic: str, partitions: int) -> list[Any]:
    """All records of a topic."""
    consumer = KafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", consumer_timeout_ms=500)
    consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
    records = list(consumer)
    consumer.close()
    return records


def test_provisioning_creates_every_topic_once(kafka: str, prefix: str) -> None:
    """The first run creates all and they are as the table says; the second has nothing to do."""
    assert list(provision(kafka, prefix, 4)) == [topic.under(prefix) for topic in TOPICS]
    assert list(provision(kafka, prefix, 4)) == []
    assert examine(kafka, prefix, 4)[:2] == ([], [])


def test_what_differs_is_reported_and_left_alone(kafka: str, prefix: str, admin: KafkaAdminClient) -> None:
    """Each difference names topic, setting, found, expected and a remedy; the rest is created all the same."""
    orders = ORDERS.under(prefix)
    settings = dict(ORDERS.settings) | {"min.insync.replicas": "1", "retention.ms": "1000"}
    admin.create_topics({orders: {"num_partitions": 2, "replication_factor": 1, "configs": settings}})
    admin.wait_for_topics([orders])
    with pytest.raises(TopicsDiffer) as caught:
        provision(kafka, prefix, 4)
    kept = ORDERS.settings["retention.ms"]
    assert list(caught.value.differences) == [
        (orders, "retention.ms", "1000", kept),
        (orders, "partitions", "2", "4"),
    ]
    assert f"--topic {orders} --add-config retention.ms={kept}" in str(caught.value)
    assert "PUNTUAL_PARTITIONS=2" in str(caught.value)
    assert examine(kafka, prefix, 4)[:2] == ([], caught.value.differences)


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_service_does_not_start_on_records_that_kafka_deletes(
    kafka: str, prefix: str, admin: KafkaAdminClient, policy: str
) -> None:
    """The error has the command that puts it right; a service that does not need the topic starts."""
    provision(kafka, prefix, 2)
    promises = PROMISES.under(prefix)
    alter(admin, promises, {**PROMISES.settings, "cleanup.policy": policy})
    with pytest.raises(Forgetful) as refused:
        require(kafka, prefix, 2, (ORDERS, PROMISES))
    command = f"--alter --topic {promises} --add-config cleanup.policy=compact"
    assert f"{promises}: cleanup.policy is {policy}: " in str(refused.value)
    assert str(refused.value).endswith(command)
    require(kafka, prefix, 2, (ORDERS, SLA))


def test_a_service_does_not_start_on_inputs_with_another_number_of_partitions(kafka: str, prefix: str) -> None:
    """Customers would be looked for where they are not. Topics with a number of their own may have any."""
    provision(kafka, prefix, 3)
    with pytest.raises(TopicsDiffer, match=rf"{prefix}orders.v1: partitions is 3, expected 4. Run .*PARTITIONS=3"):
        require(kafka, prefix, 4, (ORDERS,))
    require(kafka, prefix, 4, (SILENCES, STANDARDS, DEAD_LETTERS))


def test_settings_are_asked_of_no_other_topics(kafka: str, prefix: str, admin: KafkaAdminClient) -> None:
    """Whoever may not describe a topic need not, unless the service reads or writes it."""
    admin.create_topics({ORDERS.under(prefix): {"num_partitions": 2, "replication_factor": 1}})
    admin.wait_for_topics([ORDERS.under(prefix)])
    found = examine(kafka, prefix, 2, topics=(ORDERS,))
    assert (found.missing, {each.topic for each in found.differences}) == ([], {ORDERS.under(prefix)})


def test_what_can_lose_acknowledged_messages_is_a_difference(real_kafka: str, prefix: str) -> None:
    """A leader that lags behind; fewer replicas than asked for. One replica only is said in any case."""
    provision(real_kafka, prefix, 1)
    admin = KafkaAdminClient(bootstrap_servers=real_kafka)
    orders = ORDERS.under(prefix)
    alter(admin, orders, {**ORDERS.settings, "unclean.leader.election.enable": "true"})
    admin.close()
    found = examine(real_kafka, prefix, 1, replication=3, topics=(ORDERS,))
    assert list(found.differences) == [
        (orders, "unclean.leader.election.enable", "true", "false"),
        (orders, "replicas", "1", "3"),
    ]
    assert list(found.single) == [orders]


def alter(admin: KafkaAdminClient, topic: str, settings: Mapping[str, str]) -> None:
    """Change a topic behind its service's back."""
    admin.alter_configs([ConfigResource("topic", topic, configs=dict(settings))])
    time.sleep(0.5)


def test_a_refusal_of_the_broker_is_passed_on(kafka: str, prefix: str) -> None:
    """Three replicas cannot be had of one broker, and the broker's own words say so."""
    with pytest.raises(PuntualError, match=f"{prefix}orders.v1.*replication factor"):
        provision(kafka, prefix, 4, replication=3)


def test_nothing_there_to_provision() -> None:
    """The error names the address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.shared.topics.CONNECT_MS", 100)
        with pytest.raises(KafkaUnreachable, match=r"127\.0\.0\.1:1"):
            provision("127.0.0.1:1")


def test_what_concerns_one_customer_meets_on_one_partition(kafka: str, prefix: str) -> None:
    """Orders and callbacks of a customer land where Java's murmur2 puts the customer's id, stamped by the broker."""
    provision(kafka, prefix, 12)
    with Publisher(kafka, prefix) as publisher:
        for number in range(20):
            who = {"eventId": "1", "customerId": f"customer-{number}", "subjectId": "s", "occurredAt": _TIME}
            publisher.publish_json(ORDERS, {**who, "ready": {}})
            publisher.publish_json(CALLBACKS, {**who, "returned": {}})
    expected = {(f"customer-{number}".encode(), partition_of(f"customer-{number}", 12)) for number in range(20)}
    for topic in (ORDERS, CALLBACKS):
        records = everything(kafka, topic.under(prefix), 12)
        assert {(record.key, record.partition) for record in records} == expected
        assert {record.timestamp_type for record in records} == {1}


def test_a_tick_reaches_every_partition(kafka: str, prefix: str) -> None:
    """No key, an empty value, and the instant in a header."""
    provision(kafka, prefix, 4)
    with Publisher(kafka, prefix) as publisher:
        publisher.tick(ORDERS, Instant(90 * SECOND))
    records = everything(kafka, ORDERS.under(prefix), 4)
    assert sorted((r.partition, r.key, r.value, r.headers[0]) for r in records) == [
        (number, None, b"", ("tick", b"1970-01-01T00:01:30Z")) for number in range(4)
    ]


def test_json_events_are_published_like_others(kafka: str, prefix: str) -> None:
    """A dict in protobuf's JSON mapping arrives as the message it stands for."""
    provision(kafka, prefix, 1)
    fields = {"eventId": "1", "subjectId": "o", "occurredAt": _TIME, "ready": {}}
    with Publisher(kafka, prefix) as publisher:
        publisher.publish_json(ORDERS, fields)
    [record] = everything(kafka, ORDERS.under(prefix), 1)
    assert (record.key, OrderEvent.FromString(record.value).WhichOneof("event")) == (b"o", "ready")


def test_a_topic_that_does_not_exist_is_named(real_kafka: str, prefix: str) -> None:
    """The error says how to make it; the embedded broker makes topics by itself."""
    with (
        pytest.raises(PublishFailed, match=f"no topic {prefix}orders.v1; `puntual topics --create`"),
        Publisher(real_kafka, prefix) as publisher,
    ):
        publisher.tick(INPUTS[0], Instant(0))


def test_what_kafka_does_not_take_is_reported_at_the_flush(real_kafka: str, prefix: str) -> None:
    """A message larger than its topic allows is not lost in silence."""
    provision(real_kafka, prefix, 1)
    admin = KafkaAdminClient(bootstrap_servers=real_kafka)
    small = f"{prefix}small"
    admin.create_topics(
        {small: {"num_partitions": 1, "replication_factor": 1, "configs": {"max.message.bytes": "1000"}}},
        wait_for_metadata=True,
    )
    admin.close()
    with (
        pytest.raises(PublishFailed, match=r"1 messages were not taken.*MessageSizeTooLarge"),
        Publisher(real_kafka, prefix) as publisher,
    ):
        publisher.send(small, b"key", b"x" * 10_000)


def test_a_message_too_large_for_any_input_topic_is_refused_at_once(kafka: str, prefix: str) -> None:
    """It does not spoil the publisher for the messages after it."""
    provision(kafka, prefix, 1)
    with Publisher(kafka, prefix) as publisher:
        with pytest.raises(PublishFailed, match="was not taken"):
            publisher.send(ORDERS.under(prefix), b"key", b"x" * 1_048_576)
        publisher.send(ORDERS.under(prefix), b"key", b"x" * 900_000)
    assert len(everything(kafka, ORDERS.under(prefix), 1)) == 1
