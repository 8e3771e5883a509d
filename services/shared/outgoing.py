"""Messages on their way to Kafka: in order, partition by partition, each until its fate is known."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, islice
from time import monotonic
from typing import NamedTuple, Protocol

from services.shared.errors import PublishFailed

_OVERHEAD = 500  # bytes that Python needs for a message beside its own

Headers = Sequence[tuple[str, bytes]]
#: Told once of a message: None when Kafka has it, or why it was given up. Called from the producer's thread, so it must
#: not wait.
Done = Callable[[PublishFailed | None], None]


class Builder(Protocol):
    """A batch that is being filled."""

    def append(self, *, timestamp: None, key: bytes | None, value: bytes | None, headers: Headers) -> object | None: ...


class Outgoing(NamedTuple):
    """What is to be sent, and where."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def size(self) -> int:
        """Bytes. Raises TypeError where something is none."""
        parts = chain((self.key, self.value), *((name.encode(), value) for name, value in self.headers))
        return sum(memoryview(part or b"").nbytes for part in parts)

    @property
    def weight(self) -> int:
        """Bytes in memory."""
        return self.size + _OVERHEAD


class Message:
    """One message until it is settled: until its fate is known and was told."""

    __slots__ = ("at", "done", "number", "outgoing", "settled")

    def __init__(self, outgoing: Outgoing, done: Done | None, number: int) -> None:
        self.outgoing, self.done, self.number = outgoing, done, number
        self.at = monotonic()
        self.settled = False


class Lane:
    """The messages for one partition, in order: some are with the connection, the others wait behind them."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.waiting: deque[Message] = deque()
        self.flying: Sequence[Message] = ()
        #: Messages of one batch at most.
        self.most = 10_000
        self.task: asyncio.Task[None] | None = None

    def oldest(self) -> Message | None:
        """The first whose fate is open."""
        return next((each for each in chain(self.flying, self.waiting) if not each.settled), None)

    def fill(self, builder: Builder) -> None:
        """Let as many fly as the batch takes."""
        taken = []
        for message in islice(self.waiting, self.most):
            _, _, key, value, headers = message.outgoing
            if builder.append(timestamp=None, key=key, value=value, headers=list(headers)) is None:
                break
            taken.append(message)
        for _ in taken:
            self.waiting.popleft()
        self.flying = taken
