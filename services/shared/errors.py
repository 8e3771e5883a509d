"""Errors that people read: each names what is wrong, where, and how to put it right."""

from enum import StrEnum


class PuntualError(Exception):
    """The base of errors shown to people without a traceback."""


class KafkaUnreachable(PuntualError):
    """No broker answered."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(f"Kafka does not answer at {bootstrap}; is it running, and is PUNTUAL_KAFKA right?")


class AlreadyExists(PuntualError):
    """There is something else of that id."""


class Busy(PuntualError):
    """There is too much of this at once; later there will not be."""


class PublishFailed(PuntualError):
    """Messages that Kafka did not take; they must be published again."""


class NewerVersion(PuntualError):
    """A record holds what only a newer version knows; judged without it, it could be judged wrongly."""

    def __init__(self, what: str) -> None:
        super().__init__(f"it has {what} that this version does not know; bring it up to date")


class DeadLetterReason(StrEnum):
    """Why input could not be used: a closed list, and a metric label."""

    UNDECODABLE = "undecodable"
    UNKNOWN_TYPE = "unknown_type"
    NO_EVENT_ID = "no_event_id"
    EVENT_ID_REUSED = "event_id_reused"
    NO_CUSTOMER = "no_customer"
    NO_SUBJECT = "no_subject"
    NO_TIME = "no_time"
    ABSURD_TIME = "absurd_time"
    FUTURE_TIME = "future_time"
    TOO_LATE = "too_late"
    TOO_LARGE = "too_large"
    TOO_MANY_FACTS = "too_many_facts"
    MISPLACED = "misplaced"
    INVALID = "invalid"
    #: The record it belongs to was written by a newer version, or is damaged.
    NOT_UNDERSTOOD = "not_understood"
    #: By an operator: the message itself, and those before it that were not read yet.
    SKIPPED = "skipped"
    PASSED_OVER = "passed_over"


class Unusable(PuntualError):
    """Input that cannot become a fact. `detail` says what to put right and holds no customer data."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class AbsurdTime(Unusable, ValueError):
    """A time outside the years 0001 to 9999, where no calendar reaches and sums overflow."""

    def __init__(self) -> None:
        super().__init__(
            DeadLetterReason.ABSURD_TIME,
            "a time lies outside the years 0001 to 9999; check its unit, and leave out what has no end",
        )


class Reused(Unusable):
    """An event under an id that its source had given to another event of the same subject."""

    def __init__(self, source: str) -> None:
        super().__init__(
            DeadLetterReason.EVENT_ID_REUSED,
            "its source has used its event_id for another event of the same subject, and only one of them counts: give"
            " each event an id of its own, not the order's or the customer's",
        )
        self.source = source
