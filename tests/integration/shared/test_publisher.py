"""The publisher on real Kafka, while Kafka is away."""

import time

import pytest

from services.shared.clock import wall_clock
from services.shared.errors import PublishFailed
from services.shared.publisher import BOUNDS, Publisher
from services.shared.topics import ORDERS, provision
from tests.brokers import Broker
from tests.builders import ready
from tests.integration.engine.reading import read_topic

#: Seconds: how long Kafka is away unless `--freeze` says so, and a request that is shorter than that.
FREEZE, REQUEST = 20, 2.0
PARTITIONS = 6


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> int:
    """For how long Kafka is frozen."""
    return int(request.config.getoption("--freeze") or FREEZE)


def keep_publishing(publisher: Publisher, seconds: float, ids: list[str]) -> None:
    """An event every 50 ms, each for another customer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ids.append(f"o-{len(ids)}")
        publisher.publish(ready(ids[-1], wall_clock(), f"c-{len(ids)}"))
        time.sleep(0.05)


@pytest.mark.slow
def test_everything_arrives_although_kafka_was_frozen(node: Broker, prefix: str, seconds: int) -> None:
    """Nothing answers for longer than a request may take, many times over: all of it arrives once, none is refused."""
    provision(node.bootstrap, prefix, PARTITIONS)
    # A long run has the timeouts that publishers have.
    request = REQUEST if seconds == FREEZE else 40.0
    ids: list[str] = []
    with Publisher(node.bootstrap, prefix, request=request) as publisher:
        keep_publishing(publisher, 3, ids)
        node.freeze()
        try:
            keep_publishing(publisher, seconds, ids)
            assert publisher.stats.oldest > seconds - 1
        finally:
            node.thaw()
        keep_publishing(publisher, 3, ids)
        publisher.flush(60)
        assert (publisher.stats.acknowledged, publisher.stats.failed, publisher.stats.size) == (len(ids), 0, 0)
    arrived = [entry.value for entry in read_topic(node.bootstrap, ORDERS.under(prefix))]
    assert len(arrived) == len(ids) == len(set(arrived))


def test_a_bound_on_what_waits_is_told_to_whoever_publishes(node: Broker, prefix: str) -> None:
    """In time. What was taken arrives once Kafka is back; a flush before that ends, too."""
    provision(node.bootstrap, prefix, PARTITIONS)
    ids: list[str] = []
    with Publisher(node.bootstrap, prefix, BOUNDS._replace(messages=20, room=0.5), REQUEST) as publisher:
        keep_publishing(publisher, 0.1, ids)
        publisher.flush()
        node.freeze()
        try:
            with pytest.raises(PublishFailed, match="This one was not taken"):
                keep_publishing(publisher, 10, ids)
            with pytest.raises(PublishFailed, match="has not acknowledged 20 messages"):
                publisher.flush(0.5)
        finally:
            node.thaw()
        ids.pop()
        publisher.flush(30)
    arrived = [entry.value for entry in read_topic(node.bootstrap, ORDERS.under(prefix))]
    assert len(arrived) == len(ids) == len(set(arrived))


def test_a_kafka_that_went_away_and_came_back_is_gone_on_with(node: Broker, prefix: str) -> None:
    """Killed and started again: connections are made anew, and what waited arrives."""
    provision(node.bootstrap, prefix, PARTITIONS)
    ids: list[str] = []
    with Publisher(node.bootstrap, prefix, request=REQUEST) as publisher:
        keep_publishing(publisher, 1, ids)
        node.kill()
        keep_publishing(publisher, 2, ids)
        node.start()
        keep_publishing(publisher, 1, ids)
        publisher.flush(60)
    arrived = {entry.value for entry in read_topic(node.bootstrap, ORDERS.under(prefix))}
    assert len(arrived) == len(ids)
