"""Topics that are read whole: what is left when Kafka cannot be reached."""

import gc
from collections.abc import Awaitable, Callable

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.cli.skip import _read as read_to_skip
from services.shared.topic_log import publish, read_all

NOBODY = "127.0.0.1:1"
PLACE = TopicPartition("t", 0)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: read_all(NOBODY, [PLACE], print),
        lambda: publish(NOBODY, "t", "key", b"value"),
        lambda: read_to_skip(NOBODY, PLACE, 0, 0),
    ],
    ids=["read", "publish", "skip"],
)
async def test_where_kafka_cannot_be_reached_nothing_is_left_open(ask: Callable[[], Awaitable[object]]) -> None:
    """What is dropped open says so when it is collected, whatever runs by then; a warning is an error here."""
    with pytest.raises(KafkaError):
        await ask()
    gc.collect()
