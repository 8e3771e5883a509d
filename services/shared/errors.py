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
    EVENT_ID_REUSED = "event_id_reused"
    NO_CUSTOMER = "no_customer"
    NO_SUBJECT = "no_subject"
    NO_TIME = "no_time"
    ABSURD_TIME = "absurd_time"
    FUTURE_TIME = "future_time"
    TOO_LATE = "too_late"
    TOO_LARGE = "too_large"
    MISPLACED = "misplaced"
    INVALID = "invalid"


class Unusable(PuntualError):
    """Input that cannot become a fact. `detail` says what to put right and holds no customer data."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class Reused(Unusable):
    """An event under an id that its source had given to another event of the same subject."""

    def __init__(self, source: str) -> None:
        super().__init__(
            DeadLetterReason.EVENT_ID_REUSED,
            "its source has used its event_id for another event of the same subject, and only one of them counts: give"
            " each event an id of its own, not the order's or the customer's",
        )
        self.source = source
