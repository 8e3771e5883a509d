"""Events about customers: what of them counts here."""

from services.shared.envelope import Envelope
from services.shared.errors import DeadLetterReason, Unusable

MERGED = "merged"


def merged(event: Envelope) -> tuple[str, str] | None:
    """The ids that an event says are one customer's; None where it says something else. Raises Unusable."""
    if event.arm != MERGED:
        return None
    into: str = getattr(event.body, "into", "")
    if not event.customer_id:
        raise Unusable(DeadLetterReason.NO_CUSTOMER, "customer_id is absent; set it to the id that was merged")
    if not into:
        raise Unusable(DeadLetterReason.INVALID, "merged.into is absent; set it to the id that the customer has now")
    if into == event.customer_id:
        raise Unusable(DeadLetterReason.INVALID, "merged.into is customer_id itself; name the customer's other id")
    return event.customer_id, into
