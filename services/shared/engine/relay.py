"""The stateless stage: each message becomes messages for another topic."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from services.shared.engine.meter import Meter
from services.shared.engine.stage import Message, Result, Write, count_outcomes
from services.shared.instant import Instant

#: One message → the writes it becomes; none where it concerns nobody.
Forward = Callable[[Message], Iterable[Write]]


class Relay:
    """Forwards what it reads. `routes`: input topic → what becomes of its messages."""

    def __init__(self, routes: Mapping[str, Forward], meter: Meter) -> None:
        self._routes = routes
        self._meter = meter

    @property
    def inputs(self) -> Iterable[str]:
        return self._routes

    def process(self, partition: int, messages: Sequence[Message], now: Instant) -> Result:  # noqa: ARG002
        """The writes of every message, in order."""
        topic = messages[0].topic
        forward = self._routes[topic]
        writes: list[Write] = []
        ignored = 0
        for message in messages:
            before = len(writes)
            writes.extend(forward(message))
            ignored += len(writes) == before
        count_outcomes(self._meter, topic, (("used", len(messages) - ignored), ("ignored", ignored)))
        return Result(writes)
