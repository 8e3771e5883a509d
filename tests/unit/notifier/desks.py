"""What a notifier answers from, in memory: a topic of silences that it follows, and one of audit entries."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from puntual.notifier.v1.audit_pb2 import AuditEntry
from services.notifier.config import BUILT_IN, Rules, load_rules
from services.notifier.rpc import Desk
from services.notifier.silences_log import SilencesLog
from services.notifier.silencing import Silencing
from services.shared.clock import wall_clock
from services.shared.ingress import Outgoing
from services.shared.instant import Instant


class Entry(NamedTuple):
    """A message, as Kafka has it."""

    key: bytes | None
    value: bytes | None
    offset: int = 0
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 0


class Office:
    """Publishes to a topic of silences, and follows it a moment later."""

    def __init__(self, now: Instant | None = None, rules: Rules | None = None) -> None:
        self.published: list[Outgoing] = []
        self.audited: list[AuditEntry] = []
        #: What was asked of the audit topic: key, from, to.
        self.asked: list[tuple[bytes | None, Instant, Instant]] = []
        self.known = SilencesLog()
        self._following: set[asyncio.Task[None]] = set()
        clock = wall_clock if now is None else lambda: now
        self.silencing = Silencing(self.known, self._send, "test.silences.v1", "test.audit.v1", clock)
        self.desk = Desk(self.silencing, self._read_audit, lambda: rules or load_rules(BUILT_IN))

    async def _send(self, messages: Sequence[Outgoing]) -> None:
        self.published += messages
        self._following.add(asyncio.create_task(self._follow(messages)))

    async def _follow(self, messages: Sequence[Outgoing]) -> None:
        await asyncio.sleep(0.05)
        for message in messages:
            if message.topic == "test.silences.v1":
                self.known.take(Entry(message.key, message.value))
        await self.silencing.heard()

    async def _read_audit(self, key: bytes | None, since: Instant, until: Instant) -> AsyncGenerator[Entry]:
        self.asked.append((key, since, until))
        for each in self.audited:
            yield Entry(each.incident_id.encode(), each.SerializeToString())
