"""The common part of every event, and what of it is accepted."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from google.protobuf.message import Message

from services.shared.clock import Now
from services.shared.facts import Stated
from services.shared.instant import SECOND, Instant
from services.shared.value import Value

#: What was heard of whom since it was last asked: source, site and arm → the latest `occurred_at`.
Hearing: TypeAlias = dict[tuple[str, str, str], Instant]


class Limits(NamedTuple):
    """What input is accepted."""

    now: Now
    #: Microseconds that an event may lie in the future: publishers' clocks differ.
    ahead: int = 3600 * SECOND
    #: Microseconds after which an event is too late to be judged; None: never.
    horizon: int | None = None
    max_bytes: int = 256 * 1024
    #: The earliest and the latest that it may be, asked before an event is refused for its time; None: `now` is right.
    between: Callable[[], tuple[Instant, Instant]] | None = None


class Envelope(Value, frozen=True):
    """An event: fields 1 to 13 of every event message, and what happened."""

    event_id: str
    source: str
    occurred_at: Instant
    customer_id: str
    subject_id: str
    context: Stated
    #: The name of what happened, such as "promised"; empty where none is set, or one that this version does not know.
    arm: str
    #: What is said of it: the message of that name, or the event where there is none.
    body: Message
    #: Which of its source's events of one instant it is; 0: not said.
    sequence: int = 0
