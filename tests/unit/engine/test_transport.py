"""A consumer on its way out of its group, without Kafka."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

from faust.types import TP

from services.shared.engine.transport import LaneConsumer, LaneThread


async def test_a_rebalance_on_the_way_out_asks_nothing_of_the_app() -> None:
    """It commits already. Faust would close aiokafka's consumer, from a thread that it does not belong to."""
    consumer = LaneConsumer.__new__(LaneConsumer)  # whatever else it has would be missed
    consumer.transport = cast(Any, SimpleNamespace(app=SimpleNamespace(should_stop=True)))
    await consumer.on_partitions_revoked({TP("orders", 0)})
    await consumer.on_partitions_assigned({TP("orders", 0)})


async def test_neither_a_rebalance_nor_a_fetch_keeps_a_worker() -> None:
    """One waits for the app, the other overhears that it is told to end: both have ended before the consumer stops."""

    async def join() -> None:
        await asyncio.Event().wait()

    async def fetch() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    joining, fetching = asyncio.create_task(join()), asyncio.create_task(fetch())
    await asyncio.sleep(0)
    found: list[bool] = []

    async def stop() -> None:
        found.extend([joining.done(), fetching.done()])

    thread = LaneThread.__new__(LaneThread)
    thread._consumer = cast(  # noqa: SLF001
        Any,
        SimpleNamespace(
            _coordinator=SimpleNamespace(_coordination_task=joining),
            _fetcher=SimpleNamespace(_fetch_task=fetching),
            stop=stop,
        ),
    )
    async with asyncio.timeout(5):
        await thread.on_thread_stop()
    assert found == [True, True]
