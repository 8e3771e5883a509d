"""What a lane does with a batch: a stage turns messages into writes. Pure but for the store it keeps."""

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from services.shared.engine.meter import Meter
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant, parse_instant
from services.shared.log import place_of
from services.shared.value import Value

log = logging.getLogger(__name__)

Headers = Sequence[tuple[str, bytes]]

JSON_HEADER = ("content-type", b"application/json")
TICK_HEADER = "tick"


class Message(Protocol):
    """A fetched record, as aiokafka has it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Broker time in milliseconds."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Write(Value, frozen=True):
    """A record to produce."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Result(NamedTuple):
    """What a batch came to."""

    writes: list[Write]
    #: The latest event time seen; None: none.
    event_time: Instant | None = None
    #: How many deadlines were looked at.
    looked: int = 0
    #: What must be in the log before `writes` are sent.
    ahead: Sequence[Write] = ()


class Stage(Protocol):
    """One step of a service; `inputs` says which topics it reads."""

    @property
    def inputs(self) -> Iterable[str]: ...

    def process(self, topic: str, partition: int, messages: Sequence[Message], now: Instant) -> Result:
        """Turn a contiguous batch into writes."""


class Origin(NamedTuple):
    """Where a batch comes from."""

    topic: str
    partition: int


class DeadLetters(NamedTuple):
    """Where what cannot be used is put aside."""

    topic: str
    partitions: int

    def refuse(self, origin: Origin, message: Message, error: Exception, meter: Meter) -> Write:
        """The write that puts a message aside with its reason, its bytes and where it came from; it is counted."""
        if not isinstance(error, Unusable):
            log.error("%s/%d@%d could not be used: %s", *origin, message.offset, place_of(error))
            error = Unusable(
                DeadLetterReason.INVALID, f"it could not be used ({type(error).__name__}); see the worker's log"
            )
        meter.dead_letter(origin.topic, error.reason.value)
        headers = [
            ("reason", error.reason.value.encode()),
            ("detail", error.detail.encode()[:2_000]),
            ("topic", origin.topic.encode()),
            ("partition", str(origin.partition).encode()),
            ("offset", str(message.offset).encode()),
            *((f"original-{name}", value) for name, value in message.headers),
        ]
        return Write(self.topic, origin.partition % self.partitions, message.key, message.value, headers)


def tick_of(message: Message) -> Instant | None:
    """The instant a tick message moves the event clock to; None where it is no tick. Raises `Unusable`."""
    for name, value in message.headers:
        if name == TICK_HEADER:
            try:
                return parse_instant(value.decode())
            except ValueError as error:
                raise Unusable(
                    DeadLetterReason.INVALID, "the header `tick` must be an instant, such as 2026-11-26T17:00:00Z"
                ) from error
    return None


def count_outcomes(meter: Meter, topic: str, outcomes: Iterable[tuple[str, int]]) -> None:
    """Report how the messages of a batch were used."""
    for outcome, count in outcomes:
        if count:
            meter.consumed(topic, outcome, count)
