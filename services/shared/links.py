"""Connections to Kafka, one at a time: a spoilt one is replaced, and ends when it has sent what it was given."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

from services.shared.outgoing import Builder

_log = logging.getLogger(__name__)

_PAUSE = 0.2  # seconds before it is tried again
_GRACE = 2.0  # seconds that connections get to end


class Producer(Protocol):
    """The part of aiokafka's producer that is needed here."""

    def create_batch(self) -> Builder: ...

    async def send_batch(self, batch: Builder, topic: str, *, partition: int) -> Awaitable[object]: ...

    async def stop(self) -> None: ...


class Link(NamedTuple):
    """A connection to Kafka."""

    producer: Producer
    #: How many partitions each topic has.
    partitions: Mapping[str, int]


class Links:
    """The connection that is in use, and those that are ending. For one event loop."""

    def __init__(self, link_up: Callable[[], Awaitable[Link]]) -> None:
        self._link_up = link_up
        self._link: Link | None = None
        self._linking = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has; 0 where there is none."""
        link = await self.get()
        if topic not in link.partitions:
            self.drop(link)  # the next one knows what there is by then
            link = await self.get()
        return link.partitions.get(topic, 0)

    async def get(self) -> Link:
        """A connection; waits until there is one."""
        async with self._linking:
            while self._link is None:
                try:
                    self._link = await self._link_up()
                except Exception as error:  # noqa: BLE001 - whatever it is, the messages are kept
                    _log.info("No connection to Kafka yet: %r", error)
                    await asyncio.sleep(_PAUSE)
            return self._link

    def drop(self, link: Link) -> None:
        """Go on with another connection. This one ends when Kafka has what it was given for other partitions."""
        if self._link is link:
            self._link = None
            leaving = asyncio.create_task(link.producer.stop())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """End them all. What they still have nobody waits for any more."""
        if self._link:
            self.drop(self._link)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_GRACE)
