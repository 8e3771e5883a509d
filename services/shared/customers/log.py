"""Follows the topic of customers: every worker reads it whole, so all know the same merges."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.errors import KafkaError

from puntual.events.v1.customer_event_pb2 import CustomerEvent
from services.shared.clock import Now
from services.shared.customers.codec import merged
from services.shared.customers.groups import Groups
from services.shared.engine.joined import Group
from services.shared.engine.lane import FRESH
from services.shared.engine.stage import JSON_HEADER
from services.shared.envelope import Limits
from services.shared.errors import Unusable
from services.shared.instant import Instant
from services.shared.log import bounded, words_of
from services.shared.opener import LATEST, Opener
from services.shared.topic_log import TopicLog
from services.shared.topics import CUSTOMERS

log = bounded(__name__)

#: Seconds between two looks.
_LOOK = 0.25


class Customers:
    """Implements `services.shared.engine.joined.Groups`."""

    def __init__(self, kafka: str, prefix: str, now: Now) -> None:
        """`now`: by the clock that the worker goes by."""
        self._groups, self._now = Groups(), now
        # When it is read must make no difference: workers would disagree.
        self._opener = Opener(CustomerEvent, Limits(lambda: LATEST))
        self._log = TopicLog(kafka, CUSTOMERS.under(prefix), self._take)
        #: Every merge that was in Kafka before this instant is known.
        self._heard_at = Instant(0)

    @property
    def known(self) -> int:
        """How many merges are known."""
        return self._groups.known

    def get(self, part: bytes) -> Group | None:
        """The customer that goes by an id, as it stands in keys; None: it has no other."""
        return self._groups.get(part)

    def time(self, now: Instant) -> Instant:
        """How far it is known that no merge is unread: as lanes have it."""
        return now if now - self._heard_at < FRESH else self._heard_at

    @asynccontextmanager
    async def following(self, fail: Callable[[BaseException], None]) -> AsyncIterator[None]:
        """Inside, all merges are known, also those to come. Raises KafkaError.

        `fail` is told what ends that: a worker that cannot know which customers are one must not judge.
        """
        at = self._now()
        await self._log.start()
        self._heard_at = at
        following = asyncio.create_task(self._follow(fail))
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await self._log.stop()

    async def _follow(self, fail: Callable[[BaseException], None]) -> None:
        """For ever. As long as Kafka does not answer, nothing is announced by the clock: see `time`."""
        while True:
            await asyncio.sleep(_LOOK)
            at = self._now()
            try:
                await self._log.read_to_end()
            except KafkaError as error:
                log.warning("Which customers are one could not be asked for: %s", words_of(error))
            except Exception as error:  # noqa: BLE001 - nothing may stop silently
                fail(error)
                return
            else:
                self._heard_at = at

    def _take(self, message: Any) -> bool:  # noqa: ANN401 - its library ships no types
        known = message.offset + 1
        try:
            said = merged(self._opener.open(message.value or b"", JSON_HEADER in message.headers))
            if said is not None:
                self._groups.merge(*said, known)
        except Unusable as error:
            log.error("%s@%d merges no customers: %s", self._log.topic, message.offset, error)  # noqa: TRY400
            return False
        return said is not None
