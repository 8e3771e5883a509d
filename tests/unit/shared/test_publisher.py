"""What a publisher refuses before it is sent."""

from collections.abc import Callable

import pytest

from puntual.events.v1.order_event_pb2 import OrderEvent, OrderReady
from services.shared.errors import DeadLetterReason, KafkaUnreachable, Unusable
from services.shared.publisher import BOUNDS, Publisher, checked, key_of, parse
from services.shared.topics import ORDERS

_TIME = "2025-11-27T17:00:00Z"


def order() -> OrderEvent:
    event = OrderEvent(event_id="1", customer_id="c", subject_id="o", ready=OrderReady())
    event.occurred_at.FromJsonString(_TIME)
    return event


def test_a_complete_event_is_fine() -> None:
    """The example the other tests take something away from."""
    assert OrderEvent.FromString(checked(order())) == order()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda event: event.ClearField("event_id"), DeadLetterReason.NO_EVENT_ID),
        (lambda event: event.ClearField("subject_id"), DeadLetterReason.NO_SUBJECT),
        (lambda event: event.ClearField("occurred_at"), DeadLetterReason.NO_TIME),
        (lambda event: event.ClearField("event"), DeadLetterReason.UNKNOWN_TYPE),
    ],
)
def test_what_the_services_could_not_use_is_refused(
    spoil: Callable[[OrderEvent], None], reason: DeadLetterReason
) -> None:
    """An event without id, subject, time or type never leaves the publisher."""
    event = order()
    spoil(event)
    with pytest.raises(Unusable) as caught:
        checked(event)
    assert caught.value.reason is reason


def test_events_are_keyed_by_customer_and_without_one_by_subject() -> None:
    """Anonymous orders still have a partition."""
    event = order()
    assert key_of(event) == "c"
    event.ClearField("customer_id")
    assert key_of(event) == "o"


def test_json_is_read_by_protobufs_mapping() -> None:
    """Field names in either spelling."""
    fields = {"eventId": "1", "customer_id": "c", "subjectId": "o", "occurredAt": _TIME, "ready": {}}
    assert parse(ORDERS, fields) == order()


def test_json_with_an_unknown_field_is_refused_by_name() -> None:
    """A typing error is not ignored."""
    with pytest.raises(Unusable, match="occured_at"):
        parse(ORDERS, {"occured_at": _TIME})


def test_no_broker_is_said_to_be_none() -> None:
    """The error names the address and the variable."""
    with pytest.raises(KafkaUnreachable, match=r"127\.0\.0\.1:1; .*PUNTUAL_KAFKA"):
        Publisher("127.0.0.1:1", bounds=BOUNDS._replace(connect=0.1))
