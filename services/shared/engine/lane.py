"""One input partition: where reading stands, what has been acknowledged, and how far its time has come.

A lane starts at a position it was given, expects every batch to begin where the last one ended, and lets the commit
frontier follow only what is acknowledged. Pure; the consumer moves it.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from services.shared.engine.stage import Message
from services.shared.instant import Instant

#: How old the last word from the broker may be for "nothing unread" to mean "up to date".
FRESH = 3_000_000


#: The first offset of a stretch that holds nothing for readers → the offset behind it.
Bridges = dict[int, int]


class Jump(NamedTuple):
    """A batch that does not begin where the last one ended."""

    expected: int
    found: int


class Lane:
    """Reading position, commit frontier and time of one topic and partition."""

    def __init__(self, topic: str, partition: int, position: int, target: int, bridges: Bridges | None = None) -> None:
        """`bridges` is added to by whoever fetches, before what lies behind them is read."""
        self.topic = topic
        self.partition = partition
        #: The next offset to read.
        self.position = position
        #: Every offset below is read, and all that came of it is acknowledged.
        self.frontier = position
        #: The end of the log when the partition was taken over; before it is reached nothing is announced by the clock.
        self.target = target
        #: Broker time of the last message read.
        self.read_until = Instant(0)
        self._bridges = {} if bridges is None else bridges
        self._pending: deque[int] = deque()
        self._doubted: int | None = None

    @property
    def caught_up(self) -> bool:
        """Whether all that was in the log at take-over has been read."""
        return self.position >= self.target

    def admit(self, messages: Sequence[Message]) -> Sequence[Message] | Jump:
        """The part of a fetched batch that is new, or the jump that must be explained before reading on.

        What is already read is dropped. A gap without a bridge is believed only if fetching again from the expected
        position shows the same gap; the first time, the caller seeks back.
        """
        self.cross()
        if messages[-1].offset < self.position:
            return ()
        if messages[0].offset < self.position:
            messages = [message for message in messages if message.offset >= self.position]
        found = messages[0].offset
        if found not in (self.position, self._doubted):
            self._doubted = found
            return Jump(self.position, found)
        self._doubted = None
        return messages

    def advance(self, messages: Sequence[Message]) -> int:
        """Note a batch as read; it counts as pending until `acknowledge` is called with the offset returned."""
        last = messages[-1]
        self.position = last.offset + 1
        self.read_until = max(self.read_until, Instant(last.timestamp * 1_000))
        self._pending.append(self.position)
        return self.position

    def cross(self) -> None:
        """Pass over offsets under which nothing stands for readers: transactions' markers, and what was aborted."""
        while (beyond := self._bridges.pop(self.position, None)) is not None:
            self.skip(beyond)

    def skip(self, position: int) -> None:
        """Go on from a later position: what lies between is gone for good (retention) or never was (markers)."""
        self.position = max(self.position, position)
        if not self._pending:
            self.frontier = self.position

    def acknowledge(self, next_offset: int) -> None:
        """All that came of the oldest pending batch is in the log."""
        assert self._pending.popleft() == next_offset, "acknowledged out of order"  # noqa: S101 - guards the commit
        self.frontier = next_offset

    def read(self, end: int | None, heard_at: Instant) -> Instant:
        """Everything that was in the log before this instant, by the broker's clock, is read. As `time` has it."""
        if end is None:
            return Instant(0)
        return self.read_until if self.position < end else heard_at

    def time(self, now: Instant, end: int | None, heard_at: Instant) -> Instant:
        """How far it is known that nothing unread happened: `now`, or the time of what is still unread.

        `end` is the end of the log as last heard from the broker, `heard_at` when that was. Without this a promise
        whose fulfilment waits in the backlog would be announced broken.
        """
        if end is None:
            return Instant(0)
        if self.position < end:
            return min(self.read_until, now)
        return now if now - heard_at < FRESH else heard_at
