"""What a clock is made of: its facts, its cycles with their verdicts, and the record."""

from enum import IntEnum

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
    NEXT_REPLY = 4
    PERIODIC_UPDATE = 5
    RESOLUTION = 6
    REQUESTER_WAIT = 7
    APPOINTMENT_STARTED = 8
    CONTACTS_TO_RESOLVE = 9


class State(IntEnum):
    """Where a clock stands."""

    NOTED = 1
    RUNNING = 2
    AT_RISK = 3
    BREACHED = 4
    MET = 5
    MISSED = 6
    CANCELLED = 7
    PAUSED = 8


class FactKind(IntEnum):
    """What an event does to a clock."""

    #: Begins a cycle, unless one runs or the case is closed.
    STARTED = 1
    #: Ends the cycle and closes the case.
    STOPPED = 2
    #: Calls the cycle off and closes the case.
    CANCELLED = 3
    OTHER = 4
    #: Ends the cycle; the case stays open.
    ANSWERED = 5
    #: Ends the cycle and begins the next.
    RENEWED = 6
    #: Opens a closed case and begins the next cycle.
    REOPENED = 7
    #: Opens a closed case; the next cycle begins if something waits for it.
    OPENED = 8
    HELD = 9
    RESUMED = 10
    #: Says when the cycle is to begin and end.
    SCHEDULED = 11
    #: As STARTED, if something was answered before.
    FOLLOWED_UP = 12


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
    PAUSED = 9
    RESUMED = 10


class Fact(Value, frozen=True):
    """One event, reduced to what the verdict depends on. Orders by time, then source and id."""

    occurred_at: Instant
    source: str
    event_id: str
    kind: int
    #: For people: "replied (automatic)"; why it was held.
    what: str = ""
    context: Stated = NO_CONTEXT
    #: Stated of the case: its kind and its priority.
    case: Stated = NO_CONTEXT
    #: Of what is scheduled: from when to when. Of a callback: the end is by when it was promised to who asked.
    window_start: Instant = NONE
    window_end: Instant = NONE
    #: Which of its source's facts of one instant it is; 0: not said.
    sequence: int = 0
    #: Under which other id of the same customer it was told; empty: under the record's own.
    customer_id: str = ""


class Cycle(Value, frozen=True):
    """One run of a clock with its verdict. Instants are NONE where there is no such instant."""

    state: int
    #: Empty: no policy is for the case.
    policy: str = ""
    #: Of the standards it is judged by.
    version: str = ""
    #: In force when it started, where it was moved on to another since.
    first_version: str = ""
    calendar: str = ""
    started_at: Instant = NONE
    #: NONE also while it is held without an end.
    due_at: Instant = NONE
    preferred_due_at: Instant = NONE
    #: In order.
    warn_at: tuple[Instant, ...] = ()
    breach_at: Instant = NONE
    stopped_at: Instant = NONE
    #: None until stopped or breached, and where there is no preferred level.
    preferred_met: bool | None = None


class Clock(Value, frozen=True):
    """The record: identity, the cycles, and the facts they were judged from, in order."""

    key: bytes
    metric: int
    #: Empty where the events name no customer.
    customer_id: str
    subject_id: str
    #: The last one; NOTED where none was started.
    cycle: Cycle
    #: Those before it, in order.
    earlier: tuple[Cycle, ...]
    #: The last instant at which time alone changed the verdict, and the next; NONE: there was or is none.
    changed_at: Instant
    changes_at: Instant
    context: Stated
    facts: tuple[Fact, ...]


#: Which clock it is, the first four fields of the record: key, metric, customer_id, subject_id.
Identity = tuple[bytes, int, str, str]
