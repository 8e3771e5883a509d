"""Which promises were fulfilled that nobody gave. Pure."""

from collections.abc import Callable, Mapping

from services.promises.domain import elsewhere
from services.promises.model import Fact, FactKind, Promise, PromiseKind, State
from services.shared.keys import record_key

#: Kind → the topic that fulfils it.
TOPIC_OF: Mapping[str, str] = {
    "order_ready": "orders",
    "order_delivered": "orders",
    "callback": "callbacks",
    "appointment": "appointments",
}
#: Who is promised that an order is ready is seldom promised when it is delivered, and the other way round.
_BESIDE: Mapping[int, PromiseKind] = {
    PromiseKind.ORDER_READY: PromiseKind.ORDER_DELIVERED,
    PromiseKind.ORDER_DELIVERED: PromiseKind.ORDER_READY,
}


def orphan_of(promise: Promise, find: Callable[[bytes], Promise | None]) -> Fact | None:
    """The first fulfilment of what nothing known promises. `find`: the record of a key on the same partition."""
    if promise.state != State.NOTED or elsewhere(promise):
        return None
    # What was told under another id of the customer is that record's.
    told = (fact for fact in promise.facts if not fact.customer_id)
    fact = next((fact for fact in told if fact.kind == FactKind.FULFILLED), None)
    if fact is None or promise.kind not in _BESIDE:
        return fact
    other = find(record_key(promise.customer_id, _BESIDE[promise.kind].name.lower(), promise.subject_id))
    return fact if other is None or (other.state == State.NOTED and not elsewhere(other)) else None
