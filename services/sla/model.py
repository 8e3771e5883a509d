"""What a clock is made of: its facts, the standards it is judged by, and the record."""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from services.shared.facts import NO_CONTEXT, Stated
from services.shared.instant import Instant
from services.shared.value import Value

#: "No such instant". No event carries it: times before 2000 are dead letters.
NONE = Instant(0)


class Metric(IntEnum):
    """What is timed. Numbers as in the protobuf enum, as in all enums here."""

    FIRST_REPLY = 1
    CALLBACK_RETURNED = 2
    CUSTOMER_TOLD = 3


class State(IntEnum):
    """Where a clock stands."""

    NOTED = 1
    RUNNING = 2
    AT_RISK = 3
    BREACHED = 4
    MET = 5
    MISSED = 6
    CANCELLED = 7


class FactKind(IntEnum):
    """What an event does to a clock."""

    STARTED = 1
    STOPPED = 2
    CANCELLED = 3
    OTHER = 4


class Transition(IntEnum):
    """What a write announces."""

    NOTED = 1
    STARTED = 2
    AT_RISK = 3
    BREACHED = 4
    MET = 5
    MISSED = 6
    CANCELLED = 7
    RETRACTED = 8


class Fact(Value, frozen=True):
    """One event, reduced to what the verdict depends on. Orders by time, then source and id."""

    occurred_at: Instant
    source: str
    event_id: str
    kind: int
    #: For people: "replied (automatic)".
    what: str = ""
    context: Stated = NO_CONTEXT


class Standard(NamedTuple):
    """What is promised to everybody; spans in microseconds."""

    name: str
    #: The binding limit.
    limit: int
    #: The stricter level that is reported apart and breaches nothing; 0: none.
    preferred: int = 0
    #: How long before due a running clock is at risk; 0: no warning.
    warning: int = 0
    #: How long after due to wait before saying "breached".
    grace: int = 0


class Standards(NamedTuple):
    """What clocks are judged by: for each metric that is timed, its standard."""

    version: str
    metrics: Mapping[int, Standard]
    #: How long a record is remembered after its last fact and deadline; None: for ever.
    horizon: int | None = None


class Clock(Value, frozen=True):
    """The record: identity, verdict and the facts it was judged from, in order."""

    key: bytes
    metric: int
    #: Empty where the events name no customer.
    customer_id: str
    subject_id: str
    state: int
    policy: str
    standards_version: str
    started_at: Instant
    due_at: Instant
    preferred_due_at: Instant
    warn_at: Instant
    breach_at: Instant
    stopped_at: Instant
    #: None until stopped or breached, and where there is no preferred level.
    preferred_met: bool | None
    context: Stated
    facts: tuple[Fact, ...]


#: Which clock it is, the first four fields of the record: key, metric, customer_id, subject_id.
Identity = tuple[bytes, int, str, str]
