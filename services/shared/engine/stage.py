"""What a lane does with a batch: a stage turns messages into writes. Pure but for the store it keeps."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from services.shared.engine.meter import Meter
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant, parse_instant
from services.shared.value import Value

Headers = Sequence[tuple[str, bytes]]

JSON_HEADER = ("content-type", b"application/json")
TICK_HEADER = "tick"
#: Of a message; more are of no use to anybody, and would be carried on to the dead letters.
MAX_HEADERS, MAX_HEADER_BYTES = 64, 16_384
#: Bytes of a message and its key; topics that hold no records and no dead letters take 1 MiB.
LARGEST_MESSAGE = 1_000_000


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


def fit(headers: Headers) -> bool:
    """Whether these are few and short enough to be carried along."""
    return len(headers) <= MAX_HEADERS and sum([len(name) + len(value or b"") for name, value in headers]) <= (
        MAX_HEADER_BYTES
    )


def tick_of(message: Message) -> Instant | None:
    """The instant a tick message moves the event clock to; None where it is no tick.

    Raises `Unusable`, also for more headers than anybody needs.
    """
    headers = message.headers
    if not fit(headers):
        raise Unusable(
            DeadLetterReason.TOO_LARGE,
            f"it has {len(headers)} headers; at most {MAX_HEADERS} with {MAX_HEADER_BYTES} bytes are accepted",
        )
    for name, value in headers:
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
