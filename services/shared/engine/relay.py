"""The stateless stage: each message becomes messages for another topic."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from services.shared.engine.dead_letters import DeadLetters
from services.shared.engine.meter import Meter
from services.shared.engine.stage import LARGEST_MESSAGE, Message, Origin, Result, Write, count_outcomes
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant

#: One message → the writes it becomes; none where it concerns nobody. Raises `Unusable`.
Forward = Callable[[Message], Iterable[Write]]


class Relay:
    """Forwards what it reads. `routes`: input topic → what becomes of its messages."""

    def __init__(self, routes: Mapping[str, Forward], meter: Meter, dead_letters: DeadLetters) -> None:
        self._routes = routes
        self._meter = meter
        self._dead_letters = dead_letters

    @property
    def inputs(self) -> Iterable[str]:
        return self._routes

    def process(self, topic: str, partition: int, messages: Sequence[Message], now: Instant) -> Result:  # noqa: ARG002
        """The writes of every message, in order; a dead letter for each that cannot be forwarded."""
        forward = self._routes[topic]
        writes: list[Write] = []
        ignored, dead = 0, 0
        for message in messages:
            try:
                new = list(forward(message))
                _check(new)
            except Exception as error:  # noqa: BLE001 - no message may stop those behind it
                new = [self._dead_letters.refuse(Origin(topic, partition), message, error, self._meter)]
                dead += 1
            writes += new
            ignored += not new
        used = len(messages) - ignored - dead
        count_outcomes(self._meter, topic, (("used", used), ("ignored", ignored), ("dead", dead)))
        return Result(writes)


def _check(writes: Iterable[Write]) -> None:
    """Raises Unusable for what its topic would not take: Kafka's refusal would end the worker."""
    for write in writes:
        if len(write.key or b"") + len(write.value or b"") > LARGEST_MESSAGE:
            raise Unusable(DeadLetterReason.TOO_LARGE, "what it would become does not fit into a message")
