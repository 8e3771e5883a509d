"""What surrounds the engine, by hand: messages, a meter that adds up, a producer that can wait, fail and be asked."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from services.shared.engine.outbox import BatchBuilder
from services.shared.engine.stage import Headers, Write
from services.shared.instant import Instant, format_instant
from tests.unit.engine.toy import Fact, value_of


@dataclass(slots=True)
class FakeMessage:
    """A fetched record, which does not say where it was fetched."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def a_message(offset: int, *facts: tuple[str, Fact]) -> FakeMessage:
    """A message with facts; its broker time in milliseconds is its offset."""
    return FakeMessage(offset, offset, b"k", value_of(*facts))


def raw(offset: int, value: bytes | None, *headers: tuple[str, bytes]) -> FakeMessage:
    """A message with any value."""
    return FakeMessage(offset, offset, b"k", value, headers)


def a_tick(offset: int, at: Instant) -> FakeMessage:
    """A message that moves the event clock."""
    return raw(offset, b"", ("tick", format_instant(at).encode()))


class Tally:
    """A meter that adds up. Like Prometheus it takes no negative counts."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.kept: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[str] = Counter()
        self.reusing: Counter[str] = Counter()
        self.announced: Counter[str] = Counter()
        self.jumps: list[str] = []
        self.delays: list[float] = []
        self.margins: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self.ages: list[float] = []
        self.lags: dict[tuple[str, int], float] = {}
        self.sweeps: list[float] = []
        self.commits: list[tuple[str, int]] = []
        self.restored: list[float] = []
        self.not_understood_now = 0
        self.skews: list[float] = []
        self.is_ready = False

    def consumed(self, _topic: str, outcome: str, count: int) -> None:
        assert count > 0
        self.outcomes[outcome] += count

    def event_age(self, _topic: str, seconds: float) -> None:
        self.ages.append(seconds)

    def lag(self, topic: str, partition: int, seconds: float) -> None:
        self.lags[topic, partition] = seconds

    def batch(self, _topic: str, size: int) -> None:
        assert size > 0

    def dead_letter(self, _topic: str, reason: str) -> None:
        self.refused[reason] += 1

    def reused(self, source: str) -> None:
        self.reusing[source] += 1

    def records(self, kind: str, state: str, delta: int) -> None:
        self.kept[kind, state] += delta

    def transition(self, _kind: str, transition: str, count: int) -> None:
        self.announced[transition] += count

    def settled(self, kind: str, state: str, margins: Sequence[float]) -> None:
        assert margins
        self.margins[kind, state] += margins

    def detection_delay(self, seconds: float) -> None:
        self.delays.append(seconds)

    def sweep(self, behind: float) -> None:
        self.sweeps.append(behind)

    def not_understood(self, records: int) -> None:
        self.not_understood_now = records

    def committed(self, topic: str, partition: int) -> None:
        self.commits.append((topic, partition))

    def jump(self, _topic: str, outcome: str) -> None:
        self.jumps.append(outcome)

    def rebalanced(self) -> None: ...

    def recovery(self, share: float) -> None:
        self.restored.append(share)

    def recovered(self, seconds: float) -> None:
        assert seconds >= 0

    def kafka_silence(self, seconds: float) -> None:
        assert seconds >= 0

    def clock_skew(self, seconds: float) -> None:
        self.skews.append(seconds)

    def ready(self, is_ready: bool) -> None:
        self.is_ready = is_ready


class FakeBatch:
    """A record batch that holds at most `room` records."""

    def __init__(self, room: int) -> None:
        self.writes: list[tuple[bytes | None, bytes | None]] = []
        #: Of each write, in milliseconds.
        self.times: list[int] = []
        self._room = room
        self._closed = False

    def append(
        self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> object | None:
        assert not self._closed
        assert timestamp is not None  # aiokafka would ask the clock for every record
        assert isinstance(headers, list)  # aiokafka's C code takes nothing else
        if len(self.writes) == self._room:
            return None
        self.writes.append((key, value))
        self.times.append(timestamp)
        return object()

    def close(self) -> None:
        self._closed = True

    def record_count(self) -> int:
        return len(self.writes)


@dataclass(slots=True)
class Metadata:
    """The broker's answer: by whose clock it is stamped is as the message says (0), unless told otherwise."""

    offset: int
    timestamp: int = -1
    timestamp_type: int = 0


class FakeProducer:
    """Appends to logs in order; acknowledges at once, or, with `holding`, when told."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.logs: dict[tuple[str, int], list[tuple[bytes | None, bytes | None]]] = defaultdict(list)
        #: Of every record, in the order of sending.
        self.times: list[int] = []
        self.holding = False
        #: Answers that are owed, in the order of sending.
        self.owed: list[tuple[asyncio.Future[Metadata], int]] = []
        self.refusal: Exception | None = None
        self._room = room

    def create_batch(self) -> FakeBatch:
        return FakeBatch(self._room)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> Awaitable[Metadata]:
        assert isinstance(batch, FakeBatch)
        await asyncio.sleep(0)
        if self.refusal:
            raise self.refusal
        log = self.logs[topic, partition]
        answer: asyncio.Future[Metadata] = asyncio.get_running_loop().create_future()
        if self.holding:
            self.owed.append((answer, len(log)))
        else:
            answer.set_result(Metadata(len(log)))
        log.extend(batch.writes)
        self.times += batch.times
        return answer

    def answer(self, number: int = 0) -> None:
        """Acknowledge the batch that was sent as number `number` of those owed."""
        future, offset = self.owed.pop(number)
        future.set_result(Metadata(offset))

    def answer_all(self) -> None:
        """Acknowledge everything, now and from now on."""
        self.holding = False
        while self.owed:
            self.answer()


def a_write(number: int, topic: str = "t", partition: int = 0) -> Write:
    """A write that can be told from others."""
    return Write(topic, partition, str(number).encode(), b"", [])


async def settle(turns: int = 50) -> None:
    """Let every task that can move, move."""
    for _ in range(turns):
        await asyncio.sleep(0)
