"""The brokers that the other tests stand on."""

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource
from kafka.errors import KafkaError

from services.shared.broker import HOST, BrokerFailed, free_port, is_free, is_listening, running, start_embedded
from services.shared.topics import ORDERS, PROMISES, provision
from tests.brokers import Broker, Cluster
from tests.conftest import started
from tests.integration.engine.reading import read_topic


def test_a_broker_hands_back_what_was_given_to_it(kafka: str, prefix: str) -> None:
    """A record written with all acknowledgements is read back with key, value and headers."""
    topic = f"{prefix}echo"
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}}, wait_for_metadata=True)
    admin.close()
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    producer.send(topic, b"value", key=b"key", headers=[("header", b"h")]).get(10)
    producer.close()
    consumer = KafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest", consumer_timeout_ms=10_000)
    record = next(consumer)
    consumer.close()
    assert (record.key, record.value, list(record.headers)) == (b"key", b"value", [("header", b"h")])


def test_the_embedded_broker_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    """What was acknowledged before a tidy stop is there after the next start."""
    with start_embedded(tmp_path) as bootstrap:
        producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
        producer.send("kept", b"value").get(10)
        producer.close()
    with start_embedded(tmp_path) as bootstrap:
        consumer = KafkaConsumer(
            "kept", bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=10_000
        )
        values = [record.value for record in [next(consumer)]]
        consumer.close()
    assert values == [b"value"]


def test_the_embedded_broker_stops_with_its_block(tmp_path: Path) -> None:
    """Nothing listens any more after the block."""
    port = free_port()
    with start_embedded(tmp_path, port):
        assert is_listening(port)
    assert not is_listening(port)


def test_a_port_that_a_connection_was_made_from_is_not_free() -> None:
    """No server can have it, though nothing listens there."""
    port = free_port()
    assert is_free(port)
    with (
        socket.create_server((HOST, 0)) as server,
        socket.create_connection(server.getsockname(), source_address=(HOST, port)),
    ):
        assert not is_listening(port)
        assert not is_free(port)


def test_a_taken_port_is_said_to_be_taken(tmp_path: Path) -> None:
    """The second broker on one port fails with a sentence, not with the first one's data."""
    with start_embedded(tmp_path) as bootstrap:
        port = int(bootstrap.rpartition(":")[2])
        with (
            pytest.raises(BrokerFailed, match=f"port {port} on 127.0.0.1 is taken"),
            start_embedded(tmp_path / "b", port),
        ):
            pass


def test_a_server_that_dies_shows_its_last_words(tmp_path: Path) -> None:
    """The error holds the end of the server's log."""
    command = ["sh", "-c", "echo out of luck; exit 3"]
    start = running(command, port=free_port(), log=tmp_path / "log", patience=5)
    with pytest.raises(BrokerFailed, match=r"exited with 3 .*\n.*out of luck"), start:
        pass


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three of them."""
    with started(Cluster()) as brokers:
        yield brokers


@contextlib.contextmanager
def _writer(brokers: Cluster, topic: str) -> Iterator[Callable[[bytes, float], object]]:
    """Writes a value to a topic. Raises KafkaError where it is not acknowledged in so many seconds."""
    producer = KafkaProducer(bootstrap_servers=brokers.bootstrap, acks="all", request_timeout_ms=3_000)
    try:
        yield lambda value, patience: producer.send(topic, value).get(patience)
    finally:
        producer.close(0)


def _values(brokers: Cluster, topic: str) -> Sequence[bytes | None]:
    return [entry.value for entry in read_topic(brokers.bootstrap, topic)]


def test_a_killed_node_comes_back_with_what_it_acknowledged(node: Broker, prefix: str) -> None:
    """Its address and its data are those of before, though it had no time to save anything."""
    provision(node.bootstrap, prefix, 1)
    topic, before = ORDERS.under(prefix), node.pid
    with _writer(node, topic) as write:
        write(b"value", 20)
    node.kill()
    assert node.pid is None
    assert not is_listening(int(node.bootstrap.rpartition(":")[2]))
    node.start()
    assert node.pid not in (None, before)
    assert _values(node, topic) == [b"value"]


def test_a_frozen_node_is_silent_until_it_thaws(node: Broker, prefix: str) -> None:
    """Nothing is acknowledged meanwhile; then it goes on."""
    provision(node.bootstrap, prefix, 1)
    topic = ORDERS.under(prefix)
    with _writer(node, topic) as write:
        write(b"before", 20)
        node.freeze()
        try:
            with pytest.raises(KafkaError):
                write(b"meanwhile", 1)
        finally:
            node.thaw()
        write(b"after", 20)
    assert _values(node, topic) == [b"before", b"meanwhile", b"after"]


@pytest.mark.slow
def test_topics_of_a_cluster_lie_on_all_its_nodes(cluster: Cluster, prefix: str) -> None:
    """Ours and Kafka's own have three replicas, and nothing is acknowledged without two."""
    provision(cluster.bootstrap, prefix, 1, replication=3)
    consumer = KafkaConsumer(ORDERS.under(prefix), bootstrap_servers=cluster.bootstrap, group_id=prefix)
    consumer.poll(timeout_ms=5_000)
    consumer.close()
    names = [ORDERS.under(prefix), PROMISES.under(prefix), "__consumer_offsets"]
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    replicas = [len(part["replica_nodes"]) for topic in admin.describe_topics(names) for part in topic["partitions"]]
    settings = admin.describe_configs([ConfigResource("topic", name) for name in names], config_filter="all")["topic"]
    admin.close()
    assert (len(replicas), set(replicas)) == (2 + 4, {3})
    assert [settings[name]["min.insync.replicas"]["value"] for name in names] == ["2", "2", "2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("leave", "come_back"),
    [(Cluster.kill, Cluster.start), (Cluster.stop, Cluster.start), (Cluster.freeze, Cluster.thaw)],
    ids=["killed", "stopped", "frozen"],
)
def test_a_cluster_does_without_one_node(
    cluster: Cluster, prefix: str, leave: Callable[[Cluster, int], None], come_back: Callable[[Cluster, int], None]
) -> None:
    """The other two take what is written to a topic that it leads; when it returns it has all of that."""
    provision(cluster.bootstrap, prefix, 1, replication=3)
    topic = ORDERS.under(prefix)
    values = [b"%d" % number for number in range(10)]
    with _writer(cluster, topic) as write:
        write(b"before", 20)
        leader = _leader(cluster, topic)
        leave(cluster, leader)
        try:
            for value in values:
                write(value, 30)
        finally:
            come_back(cluster, leader)
    cluster.wait_whole()
    assert _values(cluster, topic) == [b"before", *values]


@pytest.mark.slow
def test_a_cluster_takes_nothing_while_two_nodes_are_gone(cluster: Cluster, prefix: str) -> None:
    """It says what it lacks; when they are back it goes on."""
    provision(cluster.bootstrap, prefix, 1, replication=3)
    topic = ORDERS.under(prefix)
    with _writer(cluster, topic) as write:
        write(b"before", 20)
        cluster.kill(1, 2)
        try:
            with pytest.raises(TimeoutError, match=r"nodes \[1, 2\]"):
                cluster.wait_whole(1)
            with pytest.raises(KafkaError):
                write(b"meanwhile", 2)
        finally:
            cluster.start(1, 2)
        cluster.wait_whole()
        write(b"after", 30)
    assert _values(cluster, topic) == [b"before", b"meanwhile", b"after"]


def _leader(cluster: Cluster, topic: str) -> int:
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    (found,) = admin.describe_topics([topic])
    admin.close()
    return int(found["partitions"][0]["leader_id"])
