"""What a promise is made of: its facts, the rules it is judged by, and the record."""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from services.shared.facts import NO_CONTEXT, Stated
from services.shared.instant import Instant
from services.shared.value import Value

#: "No such instant". No event carries it: times before 2000 are dead letters.
NONE = Instant(0)


class PromiseKind(IntEnum):
    """What was promised. Numbers as in the protobuf enum, as in all enums here."""

    ORDER_READY = 1
    ORDER_DELIVERED = 2
    CALLBACK = 3
    APPOINTMENT = 4


class State(IntEnum):
    """Where a promise stands."""

    NOTED = 1
    OPEN = 2
    AT_RISK = 3
    BROKEN = 4
    KEPT = 5
    KEPT_LATE = 6
    WITHDRAWN = 7


class Reason(IntEnum):
    """Why it stands there."""

    NONE = 0
    FULFILLED = 1
    DUE_PASSED = 2
    CANCELLED_BY_US = 3
    NO_SHOW_BY_US = 4
    CANCELLED_BY_CUSTOMER = 5
    CANCELLED_BY_AGREEMENT = 6
    CUSTOMER_NO_SHOW = 7
    WAIVED = 8


class FactKind(IntEnum):
    """What an event means for a promise."""

    PROMISED = 1
    RENEGOTIATED = 2
    FULFILLED = 3
    ATTEMPTED = 4
    CANCELLED = 5
    NO_SHOW = 6
    WAIVED = 7


class Party(IntEnum):
    """Who did or asked."""

    UNSPECIFIED = 0
    CUSTOMER = 1
    COMPANY = 2


class Consent(IntEnum):
    """The customer's answer."""

    UNSPECIFIED = 0
    ACCEPTED = 1
    DECLINED = 2
    SILENT = 3


class Transition(IntEnum):
    """What a write announces."""

    NOTED = 1
    MADE = 2
    RENEGOTIATED = 3
    AT_RISK = 4
    BROKEN = 5
    KEPT = 6
    KEPT_LATE = 7
    WITHDRAWN = 8
    RETRACTED = 9


class Fact(Value, frozen=True):
    """One event, reduced to what the verdict depends on. Stored by time, source and id; judged as `in_order` has it."""

    occurred_at: Instant
    source: str
    event_id: str
    kind: int
    due_at: Instant = NONE
    due_day: str = ""
    by: int = 0
    consent: int = 0
    reason: str = ""
    context: Stated = NO_CONTEXT
    #: Which of its source's facts of one instant it is; 0: not said.
    sequence: int = 0
    #: Under which other id of the same customer it was told; empty: under the record's own.
    customer_id: str = ""


class KindRules(NamedTuple):
    """The rules of one kind of promise; spans in microseconds."""

    #: How long after due a fulfilment still keeps the promise.
    tolerance: int = 0
    #: How long after due to wait before saying "broken".
    grace: int = 0
    #: How long before due an open promise is at risk; 0: no warning.
    warning: int = 0


class Rules(NamedTuple):
    """What promises are judged by."""

    version: str
    kinds: Mapping[int, KindRules]
    #: How long a record is remembered after its last fact and deadline; None: for ever.
    horizon: int | None = None


class Cycle(Value, frozen=True):
    """A word from when it was given until it was given anew, with its verdict; fields as in Promise."""

    state: int
    reason: int
    original_due_at: Instant
    due_at: Instant
    by_agreement: bool
    announced_due_at: Instant
    warn_at: Instant
    breach_at: Instant
    settled_at: Instant


class Promise(Value, frozen=True):
    """The record: identity, the verdict on the last cycle, the facts it was judged from, and the cycles before."""

    key: bytes
    kind: int
    customer_id: str
    subject_id: str
    state: int
    reason: int
    original_due_at: Instant
    due_at: Instant
    by_agreement: bool
    announced_due_at: Instant
    warn_at: Instant
    breach_at: Instant
    settled_at: Instant
    context: Stated
    rules_version: str
    facts: tuple[Fact, ...]
    #: In order; none where the word was given once.
    earlier: tuple[Cycle, ...] = ()


#: Which promise it is, the first four fields of the record: key, kind, customer_id, subject_id.
Identity = tuple[bytes, int, str, str]
