"""Finds what was fulfilled although nothing known had promised or started it, counts it by source, and lists it.

Nothing is kept of it but what a look at the records finds: it ceases to be an orphan when what it fulfils arrives.
"""
# ruff: noqa: ARG002, N802 - the contract names the methods and their arguments

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from heapq import nlargest
from time import perf_counter
from typing import Any, NamedTuple

from puntual.sources.v1.orphan_service_pb2 import DESCRIPTOR, ListOrphansRequest, ListOrphansResponse
from puntual.sources.v1.orphan_service_pb2_grpc import OrphanServiceServicer, add_OrphanServiceServicer_to_server
from services.shared.clock import Now, set_timestamp, wall_clock
from services.shared.engine.view import RecordView
from services.shared.engine.worker import Worker
from services.shared.errors import PuntualError
from services.shared.facts import Fact
from services.shared.instant import SECOND, Instant
from services.shared.keys import ids_of
from services.shared.log import place_of
from services.shared.metrics import SourceMeter
from services.shared.records import NotOwned
from services.shared.rpc import Service

log = logging.getLogger(__name__)

#: The state, as it is counted, of records that were neither promised nor started.
NOTED = "noted"
#: For so long after it happened what it fulfils may be on its way still.
GRACE = 900 * SECOND
#: How many are remembered to be listed, and how many are listed where nobody says.
MOST, _USUAL = 1_000, 100
#: Records looked at before others get their turn.
_AT_A_TIME = 500
#: Seconds between two looks, at least; and how much longer than a look that is, so that looking costs next to nothing.
_PAUSE, _REST = 5.0, 100

#: A record, and what finds others on its partition → the fulfilment that makes it an orphan, if one does.
Judge = Callable[[Any, Callable[[bytes], Any]], Fact | None]


class NotLookedYet(NotOwned):
    """This worker has not read or looked at everything that it owns since it started."""

    def __init__(self) -> None:
        PuntualError.__init__(self, "This worker has yet to look through its records; try again shortly.")
        self.owner = None


class Found(NamedTuple):
    """An orphan; sorts by when it happened."""

    occurred_at: Instant
    partition: int
    key: bytes
    source: str
    event_id: str


class Orphans:
    """What one worker knows of them. Serve `service`."""

    def __init__(
        self,
        view: RecordView,
        judge: Judge,
        topics: Mapping[str, str],
        partitions: int,
        meter: SourceMeter,
        now: Now = wall_clock,
    ) -> None:
        """`topics`: kind → the topic that fulfils it. `partitions`: how many all workers have together."""
        self._view, self._judge, self._topics, self._now = view, judge, topics, now
        self._partitions, self._meter = partitions, meter
        #: Whether a partition has records that could be orphans; it is looked through only then.
        self._may_hold: Callable[[int], bool] = lambda _partition: True
        #: The latest, and how many there are; None: nobody has looked yet.
        self._found: list[Found] = []
        self._total: int | None = None

    @property
    def service(self) -> Service:
        """To be served."""
        add = partial(add_OrphanServiceServicer_to_server, _Answers(self))
        return Service(DESCRIPTOR.services_by_name["OrphanService"], add)

    @asynccontextmanager
    async def watching(self, worker: Worker) -> AsyncIterator[None]:
        """Inside, a look is taken again and again, while the worker has read all there is."""
        stores = worker.runtime.keeper.stores
        self._may_hold = lambda partition: any(
            count > 0 for (_, state), count in stores[partition].counts.items() if state == NOTED
        )
        looking = asyncio.create_task(self._go_on(worker))
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _go_on(self, worker: Worker) -> None:
        while True:
            spent = 0.0
            try:
                if worker.not_ready():
                    self._total = None
                    self._meter.orphans({})
                else:
                    spent = await self.look()
            except Exception as error:  # noqa: BLE001 - no record may keep the worker from its work
                log.error("The records could not be looked through for orphans: %s", place_of(error))  # noqa: TRY400
            await asyncio.sleep(max(_PAUSE, _REST * spent))

    async def look(self) -> float:
        """Look at all records. Seconds that it took, without those of others meanwhile."""
        latest, counts, spent = list[Found](), Counter[tuple[str, str]](), 0.0
        for partition in tuple(self._view.partitions()):
            if not (self._view.owns(partition) and self._may_hold(partition)):
                continue
            keys = self._view.keys(partition)
            for start in range(0, len(keys), _AT_A_TIME):
                if not self._view.owns(partition):  # it was given away meanwhile
                    break
                began = perf_counter()
                for key in keys[start : start + _AT_A_TIME]:
                    if (one := self._orphan(partition, key)) is not None:
                        counts[one.source, self._topic(key)] += 1
                        latest.append(one)
                if len(latest) > MOST:
                    latest = nlargest(MOST, latest)
                spent += perf_counter() - began
                await asyncio.sleep(0)
        self._found, self._total = sorted(latest, reverse=True), counts.total()
        self._meter.orphans(counts)
        return spent

    def _orphan(self, partition: int, key: bytes) -> Found | None:
        view = self._view
        record = view.record(partition, key)
        fact = None if record is None else self._judge(record, lambda other: view.record(partition, other))
        if fact is None or fact.occurred_at + GRACE > self._now():
            return None
        return Found(fact.occurred_at, partition, key, fact.source, fact.event_id)

    def _topic(self, key: bytes) -> str:
        return self._topics[ids_of(key)[1]]

    def answer(self, limit: int) -> ListOrphansResponse:
        """The latest, as they are now. Raises PuntualError, NotLookedYet."""
        if not 0 <= limit <= MOST:
            raise PuntualError(f"limit is {limit}; it is 0 (for {_USUAL}) to {MOST}.")
        owned = frozenset(self._view.partitions())
        if self._total is None or not owned:
            raise NotLookedYet
        there = [one for one in self._found if one.partition in owned and self._orphan(one.partition, one.key) == one]
        total = self._total - len(self._found) + len(there)
        others = [self._view.owner_of(number) for number in range(self._partitions) if number not in owned]
        answer = ListOrphansResponse(
            total=total, others=sorted({owner for owner in others if owner}), unowned=others.count(None)
        )
        for one in there[: limit or _USUAL]:
            customer_id, kind, subject_id = ids_of(one.key)
            told = answer.orphans.add(
                customer_id=customer_id, subject_id=subject_id, kind=kind, source=one.source,
                topic=self._topics[kind], event_id=one.event_id,
            )  # fmt: skip
            set_timestamp(told.occurred_at, one.occurred_at)
        return answer


class _Answers(OrphanServiceServicer):
    def __init__(self, orphans: Orphans) -> None:
        self._orphans = orphans

    async def ListOrphans(self, request: ListOrphansRequest, context: object) -> ListOrphansResponse:
        return self._orphans.answer(request.limit)
