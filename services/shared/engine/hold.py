"""What may keep a breach to itself for a while: whoever knows that its contradiction may only not be heard yet."""

from typing import NamedTuple, Protocol

from services.shared.engine.stage import Headers
from services.shared.instant import Instant


class Held(NamedTuple):
    """A breach that is not announced yet."""

    #: When to look again, by the clock of the partition. Whoever holds it may have it looked at before.
    look_at: Instant
    #: Whatever it is held for.
    reason: object = None


class Hold(Protocol):
    """Asked before a breach is announced by the clock, and told of all that is read."""

    def heard(self, topic: str, arrived_at: Instant) -> None:
        """A batch was read and folded, the last of it in Kafka since `arrived_at` by the broker's clock."""

    def consider(
        self,
        partition: int,
        key: bytes,
        record: object,
        breached_at: Instant,
        clock: Instant,
        held: Held | None,
    ) -> Held | Headers:
        """Hold a breach, or the headers with which it is announced.

        `record`: as it would be announced. `breached_at`: the first instant at which it was broken. `clock`: how far
        the partition's time has come. `held`: what was said of it the last time, unless facts came since.
        """
