"""What is known of a source: its streams, when each was last heard, and how it stands."""

from enum import IntEnum
from typing import NamedTuple, Protocol

from services.shared.instant import Instant

#: "No such instant".
NONE = Instant(0)
#: In the place of a topic or a site: all of them together.
EVERY = "*"
#: The arm of an event with which a source only says that it is there.
HEARTBEAT = "heartbeat"


class State(IntEnum):
    """How a stream stands. Numbers as in the protobuf enum."""

    #: Nobody knows yet how often it is heard.
    LEARNING = 1
    HEARD = 2
    SILENT = 3


class Transition(IntEnum):
    """What the write of a stream's record announces."""

    UPDATED = 1
    SILENT = 2
    HEARD = 3


class Stream(NamedTuple):
    """Events of one source, on one topic ("orders"), about one site (empty: of those that name none)."""

    source: str
    topic: str
    site: str

    def takes_in(self, other: "Stream") -> bool:
        """Whether what is heard of the other is heard of this one. A site of EVERY speaks for all sites."""
        return (
            self.source == other.source
            and self.topic in (EVERY, other.topic)
            and (self.site in (EVERY, other.site) or other.site == EVERY)
        )


class Heard(NamedTuple):
    """The latest `occurred_at` of a stream, and when that was in Kafka, by the broker's clock."""

    until: Instant
    arrived_at: Instant


class Gaps(Protocol):
    """How long a stream's gaps usually are, as it was learned. Spans are microseconds."""

    def heard(self, at: Instant) -> None:
        """Something was heard, in any order."""

    def silent_after(self, last: Instant) -> int | None:
        """How long after `last` silence is not usual any more; None: not learned."""

    def usual_gap(self, at: Instant) -> int | None:
        """What gaps around that hour of the week usually do not exceed; None: not learned."""

    def pack(self) -> bytes:
        """As bytes."""


class Record(NamedTuple):
    """What the topic of sources says of a stream. Spans are microseconds; 0: not known."""

    stream: Stream
    state: int
    #: SILENT: when it was last heard. HEARD: when it was heard again. NONE: it always was.
    since: Instant = NONE
    heard: Heard | None = None
    silent_after: int = 0
    usual_gap: int = 0
    rhythm: bytes = b""
    fulfils: tuple[str, ...] = ()
    waiting: int = 0
    declared: bool = False


class Word(NamedTuple):
    """What one worker says of a stream."""

    #: "promises/worker-1".
    worker: str
    stream: Stream
    heard: Heard | None
    fulfils: tuple[str, ...] = ()
    #: How many breaches it holds because of it.
    waiting: int = 0


class Ruling(NamedTuple):
    """Whether a breach that the clock would announce can be announced."""

    #: A stream that could say otherwise and was not heard since; None: all were.
    unheard: Stream | None
    #: By when everything they had to say was in Kafka; NONE: nobody could say otherwise.
    proven_at: Instant = NONE


class Silence(NamedTuple):
    """A source that has fallen silent."""

    since: Instant
    #: How many breaches are not told because of it.
    waiting: int
    sites: tuple[str, ...]
