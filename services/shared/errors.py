"""Errors that people read: each names what is wrong, where, and how to put it right."""

from enum import StrEnum


class PuntualError(Exception):
    """The base of errors shown to people without a traceback."""


class KafkaUnreachable(PuntualError):
    """No broker answered."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(f"Kafka does not answer at {bootstrap}; is it running, and is PUNTUAL_KAFKA right?")


class PublishFailed(PuntualError):
    """Messages that Kafka did not take; they must be published again."""


class DeadLetterReason(StrEnum):
    """Why input could not be used: a closed list, and a metric label."""

    UNDECODABLE = "undecodable"
    UNKNOWN_TYPE = "unknown_type"
    NO_EVENT_ID = "no_event_id"
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


class Unusable(PuntualError):
    """Input that cannot become a fact. `detail` says what to put right and holds no customer data."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail
