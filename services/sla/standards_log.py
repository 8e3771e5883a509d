"""The topic of standards, followed; and this worker's file of standards, which is published there when it is new.

The file is only ever a proposal: what is in force is what the topic says, so that all workers judge alike. A file that
is bad, or gives the name of a published version to other words, is refused; the log and a metric say so.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from aiokafka.errors import MessageSizeTooLargeError

from services.shared.calendars import PublicHolidays
from services.shared.documents import DocumentError, read_text
from services.shared.instant import Instant, format_instant
from services.shared.topic_log import TopicLog, publish
from services.sla.chronicle import Chronicle, pack_version
from services.sla.standards import Standards

log = logging.getLogger(__name__)

#: Seconds between two looks at the file.
_LOOK = 5.0


class StandardsLog:
    """Used as a context; inside, `standards` are those that were published before it was entered."""

    def __init__(  # noqa: PLR0913 - all that it goes by
        self,
        kafka: str,
        topic: str,
        file: Path,
        *,
        chronicle: Chronicle,
        holidays: PublicHolidays,
        refused: Callable[[float], None],
        unusable: Callable[[], None] = lambda: None,
    ) -> None:
        """`refused`: told 1 while the file cannot be used. `unusable` is called for each message that cannot be."""
        self._kafka = kafka
        self._log = TopicLog(kafka, topic, self._take, unusable)
        self._file = file
        self._chronicle = chronicle
        self._holidays = holidays
        self._refused = refused
        self._unusable = unusable
        self._seen: str | None = None

    async def __aenter__(self) -> Self:
        """Read what is published, and publish the file if it is new. Raises KafkaError, DocumentError."""
        await self._log.start()
        try:
            await self._propose()
            await self._log.read_to_end()
            self.standards  # noqa: B018 - there must be some
        except BaseException:
            await self._log.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._log.stop()

    @property
    def standards(self) -> Standards:
        """As far as they were read. Raises DocumentError where nothing is published, nor can be."""
        standards = self._chronicle.standards
        if standards is None:
            raise DocumentError(f"{self._file}: there are no standards to judge by; correct the file")
        return standards

    async def follow(self, changed: Callable[[Standards], Awaitable[None]]) -> None:
        """Tell of new versions, and look at the file, for ever. Raises KafkaError."""
        loop = asyncio.get_running_loop()
        look_at = loop.time() + _LOOK
        while True:
            if await self._log.read():
                await changed(self.standards)
            if loop.time() >= look_at:
                await self._propose()
                look_at = loop.time() + _LOOK

    def _take(self, message: Any) -> bool:  # noqa: ANN401 - its library ships no types
        try:
            version = self._chronicle.add(message.value or b"", Instant(message.timestamp * 1_000))
        except DocumentError as error:
            self._unusable()
            log.error("Offset %d holds no version that is known here: %s", message.offset, error)  # noqa: TRY400
            return False
        if version:
            since = format_instant(version.in_force_from) if version.in_force_from else "the beginning"
            log.info("Standards version %s is in force from %s", version.name, since)
        return version is not None

    async def _propose(self) -> None:
        """Publish what the file says, if it is new."""
        try:
            text = await asyncio.to_thread(read_text, self._file)
            if text == self._seen:
                return
            self._seen = text
            name, value = self._packed(text)
            if self._chronicle.document(name) is None:
                await self._publish(name, value)
        except DocumentError as error:
            self._refused(1)
            log.error("The file of standards is refused; those published stay in force:\n%s", error)  # noqa: TRY400
            return
        self._refused(0)

    async def _publish(self, name: str, value: bytes) -> None:
        """Raises DocumentError where Kafka does not take it, KafkaError where it cannot be asked."""
        try:
            await publish(self._kafka, self._log.topic, name, value)
        except MessageSizeTooLargeError as error:
            raise DocumentError(
                f"{self._file}: with the public holidays of its places it has {len(value):,} bytes, more than the topic"
                " takes; shorten it, or name fewer places"
            ) from error

    def _packed(self, text: str) -> tuple[str, bytes]:
        book, value = pack_version(text, str(self._file), self._holidays)
        if self._chronicle.document(book.version) not in {None, text}:
            raise DocumentError(
                f"{self._file}: version: {book.version!r} is published with other words; give it another name"
            )
        return book.version, value
