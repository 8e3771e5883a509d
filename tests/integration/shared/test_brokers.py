"""The brokers that the other tests stand on."""

from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from services.shared.broker import BrokerFailed, free_port, is_listening, running, start_embedded


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
