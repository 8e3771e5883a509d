"""Which clocks were stopped that nothing started. Pure."""

from collections.abc import Callable, Mapping

from services.sla.domain import elsewhere
from services.sla.model import NONE, Clock, Fact, FactKind, Metric, State

#: Metric → the topic that stops it. Callbacks and appointments are not here: the promise service tells of those, and
#: whoever publishes no requests is told of each call once.
TOPIC_OF: Mapping[str, str] = {"first_reply": "contacts", "resolution": "contacts", "customer_told": "orders"}
_METRICS = frozenset({Metric.FIRST_REPLY, Metric.RESOLUTION, Metric.CUSTOMER_TOLD})
#: It stops the clock because nobody need be told any more: that is no word to a customer.
_BY_THE_WAY = "delivered"


def orphan_of(clock: Clock, _find: Callable[[bytes], Clock | None]) -> Fact | None:
    """The first stop of what nothing known started."""
    if clock.metric not in _METRICS or clock.cycle.state != State.NOTED or clock.cycle.started_at != NONE:
        return None
    if elsewhere(clock):
        return None
    # What was told under another id of the customer is that record's.
    told = (fact for fact in clock.facts if not fact.customer_id)
    stops = (fact for fact in told if fact.kind == FactKind.STOPPED and fact.what != _BY_THE_WAY)
    return next(stops, None)
