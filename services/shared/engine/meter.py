"""What the engine measures, for whoever exports it. Called per batch or per transition, never per event."""

from collections.abc import Sequence
from typing import Protocol


class Meter(Protocol):
    """Receives measurements; `services.shared.metrics` exports them to Prometheus."""

    def consumed(self, topic: str, outcome: str, count: int) -> None:
        """Input messages read. outcome: used, ignored (for other services), dead (to dead letters), tick."""

    def event_age(self, topic: str, seconds: float) -> None:
        """Age of the newest event of a batch when it was read."""

    def lag(self, topic: str, partition: int, seconds: float) -> None:
        """How far reading is behind the log: age of the last record read, or 0 when caught up."""

    def batch(self, topic: str, size: int) -> None:
        """Messages in one fetched batch."""

    def dead_letter(self, topic: str, reason: str) -> None:
        """One message went to dead letters."""

    def reused(self, source: str) -> None:
        """A source used an event id again for something else."""

    def records(self, kind: str, state: str, delta: int) -> None:
        """Change of the number of records kept in a state."""

    def transition(self, kind: str, transition: str, count: int) -> None:
        """Transitions announced."""

    def settled(self, kind: str, state: str, margins: Sequence[float]) -> None:
        """Records were settled, each so many seconds after due (below 0: before)."""

    def detection_delay(self, seconds: float) -> None:
        """A breach was announced this long after the first instant at which it could be."""

    def sweep(self, behind: float) -> None:
        """One sweep of deadlines: how late what falls due now would be noticed, in seconds.

        So far is the time of the slowest partition behind the present; where a partition has none yet, since take-over.
        """

    def not_understood(self, records: int) -> None:
        """So many records are kept as they are, because this version cannot read or judge them."""

    def committed(self, topic: str, partition: int) -> None:
        """The commit frontier of a partition advanced just now."""

    def jump(self, topic: str, outcome: str) -> None:
        """Offsets were not contiguous. outcome: refetched, believed, expired."""

    def rebalanced(self) -> None:
        """Partitions were assigned anew."""

    def recovery(self, share: float) -> None:
        """So much of a recovery is done, of 1."""

    def recovered(self, seconds: float) -> None:
        """Recovery ended."""

    def kafka_silence(self, seconds: float) -> None:
        """So long ago Kafka last answered anything."""

    def clock_skew(self, seconds: float) -> None:
        """So much this machine's clock is ahead of the brokers' (below 0: behind); NaN: unknown."""

    def ready(self, is_ready: bool) -> None:
        """Whether every owned partition is recovered and caught up."""
