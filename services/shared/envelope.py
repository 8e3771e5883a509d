"""The common part of every event: decoding it, and refusing what cannot be used, with the reason."""

from operator import attrgetter
from typing import NamedTuple, Protocol, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.shared.clock import Now
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import SECOND, Instant, parse_instant
from services.shared.parsing import parse_bytes, parse_json

#: No upstream system published events before this; an earlier time is a defect (most often zero).
EARLIEST = parse_instant("2000-01-01T00:00:00Z")
#: No promise reaches further than this.
LATEST = parse_instant("2200-01-01T00:00:00Z")

#: Characters of an id. Ids stand in keys, in record ids and in every message to people, several times over.
LONGEST_ID = 255
_IDS = ("event_id", "source", "customer_id", "subject_id")
_ids = attrgetter(*_IDS)


class Limits(NamedTuple):
    """What input is accepted."""

    now: Now
    #: Microseconds that an event may lie in the future: publishers' clocks differ.
    ahead: int = 3600 * SECOND
    #: Microseconds after which an event is too late to be judged; None: never.
    horizon: int | None = None
    max_bytes: int = 256 * 1024


class Envelope(Protocol):
    """Fields 1 to 12 of every event message, as far as they are checked here."""

    event_id: str
    customer_id: str
    customer_name: str
    subject_id: str

    @property
    def occurred_at(self) -> Timestamp: ...


E = TypeVar("E", bound=Message)


def open_envelope(message_type: type[E], value: bytes, is_json: bool, limits: Limits) -> tuple[E, Instant]:
    """The event and when it occurred. Raises `Unusable`."""
    if len(value) > limits.max_bytes:
        raise Unusable(
            DeadLetterReason.TOO_LARGE,
            f"{len(value)} bytes; at most {limits.max_bytes} are accepted: send ids, not data",
        )
    event = parse_json(message_type, value) if is_json else parse_bytes(message_type, value)
    # A character is a byte or more, so that in most events none has to be counted.
    if len(value) > LONGEST_ID and max(map(len, _ids(event))) > LONGEST_ID:
        raise _too_long(event)
    return event, _check(event, limits)  # type: ignore[arg-type]


def checked_instant(stamp: Timestamp, field: str) -> Instant:
    """A timestamp inside an event. Raises `Unusable` where it is absent or absurd."""
    at = Instant(stamp.seconds * SECOND + stamp.nanos // 1_000)
    if EARLIEST <= at <= LATEST:
        return at
    raise Unusable(
        DeadLetterReason.INVALID,
        f"{field} must be a time between 2000 and 2200; it is {'absent' if not at else 'outside'}",
    )


def _too_long(event: Message) -> Unusable:
    length, name = max((len(text), name) for name, text in zip(_IDS, _ids(event), strict=True))
    return Unusable(
        DeadLetterReason.TOO_LARGE,
        f"{name} has {length} characters; at most {LONGEST_ID} are accepted: send ids, not data",
    )


def _check(event: Envelope, limits: Limits) -> Instant:
    stamp = event.occurred_at
    at = Instant(stamp.seconds * SECOND + stamp.nanos // 1_000)
    if not at:
        raise Unusable(DeadLetterReason.NO_TIME, "occurred_at is absent; set it to when the event happened")
    now = limits.now()
    if not EARLIEST <= at <= LATEST:
        raise Unusable(DeadLetterReason.ABSURD_TIME, "occurred_at lies before 2000 or after 2200; check its unit")
    if at > now + limits.ahead:
        raise Unusable(
            DeadLetterReason.FUTURE_TIME, "occurred_at lies in the future; check the publisher's clock and zone"
        )
    if limits.horizon is not None and at < now - limits.horizon:
        raise Unusable(
            DeadLetterReason.TOO_LATE, "occurred_at is older than promises are remembered (PUNTUAL_HORIZON_DAYS)"
        )
    if not event.event_id:
        raise Unusable(
            DeadLetterReason.NO_EVENT_ID, "event_id is absent; without it a repeated event cannot be recognised"
        )
    if not event.subject_id:
        raise Unusable(
            DeadLetterReason.NO_SUBJECT, "subject_id is absent; name the order, callback, appointment or contact"
        )
    if event.customer_name and not event.customer_id:
        raise Unusable(
            DeadLetterReason.NO_CUSTOMER, "customer_name is given without customer_id; events are keyed by the id"
        )
    return at
