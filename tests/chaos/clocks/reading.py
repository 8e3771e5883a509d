"""What the oracle of clocks understands of a message: which clocks it concerns, and what it does to them."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from puntual.events.v1.common_pb2 import CONSENT_ACCEPTED, PARTY_CUSTOMER
from puntual.events.v1.contact_event_pb2 import (
    AUTHOR_AUTOMATIC,
    CONTACT_KIND_UNSPECIFIED,
    Author,
    ContactKind,
    Priority,
)
from puntual.events.v1.order_event_pb2 import MILESTONE_UNSPECIFIED
from puntual.sla.v1.clock_pb2 import (
    FACT_KIND_ANSWERED as ANSWERED,
    FACT_KIND_CANCELLED as CANCELLED,
    FACT_KIND_FOLLOWED_UP as FOLLOWED_UP,
    FACT_KIND_HELD as HELD,
    FACT_KIND_OPENED as OPENED,
    FACT_KIND_OTHER as OTHER,
    FACT_KIND_RENEWED as RENEWED,
    FACT_KIND_REOPENED as REOPENED,
    FACT_KIND_RESUMED as RESUMED,
    FACT_KIND_SCHEDULED as SCHEDULED,
    FACT_KIND_STARTED as STARTED,
    FACT_KIND_STOPPED as STOPPED,
)
from tests.chaos.reading import (
    APPOINTMENTS,
    CALLBACKS,
    CONTACTS,
    CONTEXT,
    EARLIEST,
    LATEST,
    ORDERS,
    Refused,
    event_in,
    home,
    micros,
    record_id,
)
from tests.chaos.tape import Entry


class Said(NamedTuple):
    """One fact of a clock, its fields in the order by which facts are told apart and sorted; times in microseconds."""

    occurred_at: int
    source: str
    event_id: str
    kind: int
    what: str = ""
    context: tuple[str, ...] = ()
    #: What the case is and how urgent, where that is stated.
    case: tuple[str, ...] = ()
    window_start: int = 0
    window_end: int = 0


def facts_of(name: str, entry: Entry, partitions: int) -> list[tuple[bytes, Said]]:
    """The facts in a message of the topic `name`, each with the id of its clock. Raises Refused."""
    try:
        event, arm = event_in(name, entry)
        found = list(_MEANING.get((name, arm), _nothing)(getattr(event, arm)))
    except Refused:
        if name == CONTACTS:
            raise
        return []  # the promise service puts it aside
    if found and entry.partition != home(event.customer_id, event.subject_id, partitions):
        raise Refused("misplaced")
    stated = tuple(getattr(event, field) for field in CONTEXT)
    head = micros(event.occurred_at), event.source, event.event_id
    return [
        (record_id(event, metric), Said(*head, kind, what, stated if any(stated) else (), *more))
        for metric, kind, what, *more in found
    ]


# --- what each arm means: metric, kind, words, and what more a fact has

_Meaning = Iterator[tuple[Any, ...]]
_Reading = Callable[[Any], _Meaning]

_TO_THE_END = ("resolution", "requester_wait", "contacts_to_resolve")
_REPLIES = ("first_reply", "next_reply", "periodic_update")
_PAUSABLE = (*_REPLIES, "resolution", "requester_wait")


def _nothing(_arm: Any) -> _Meaning:
    return iter(())


def _all(kind: int, metrics: tuple[str, ...], what: str, *more: Any) -> _Meaning:
    return ((metric, kind, what, *more) for metric in metrics)


def _plain(what: str, *effects: tuple[int, tuple[str, ...]]) -> _Reading:
    return lambda _arm: (fact for kind, metrics in effects for fact in _all(kind, metrics, what))


def _case(kind: ContactKind.ValueType, priority: Priority.ValueType) -> tuple[tuple[str, str], ...]:
    words = (
        ContactKind.Name(kind).removeprefix("CONTACT_KIND_").lower() if kind else "",
        Priority.Name(priority).removeprefix("PRIORITY_").lower() if priority else "",
    )
    return (words,) if any(words) else ()


def _received(arm: Any) -> _Meaning:
    yield from _all(STARTED, ("first_reply", *_TO_THE_END), "received", *_case(arm.kind, arm.priority))


def _updated(arm: Any) -> _Meaning:
    yield from _all(OTHER, (*_REPLIES, *_TO_THE_END), "updated", *_case(CONTACT_KIND_UNSPECIFIED, arm.priority))


def _replied(arm: Any) -> _Meaning:
    if arm.author not in Author.values():
        raise Refused("invalid")
    if arm.author == AUTHOR_AUTOMATIC:
        yield from _all(OTHER, _REPLIES, "replied (automatic)")
    else:
        yield from zip(_REPLIES, (STOPPED, ANSWERED, RENEWED), ("replied",) * 3, strict=True)


def _wrote(arm: Any) -> _Meaning:
    if arm.HasField("expects_reply") and not arm.expects_reply:
        yield "next_reply", OTHER, "the customer wrote (no reply expected)"
    else:
        yield "next_reply", FOLLOWED_UP, "the customer wrote"
        yield "contacts_to_resolve", STARTED, "the customer wrote"


def _held(arm: Any) -> _Meaning:
    yield from _all(HELD, _PAUSABLE, arm.reason)


def _over(what: str) -> _Reading:
    return _plain(what, (CANCELLED, _REPLIES), (STOPPED, _TO_THE_END))


def _called_off(metric: str) -> _Reading:
    def mean(arm: Any) -> _Meaning:
        if arm.by == PARTY_CUSTOMER:
            yield metric, CANCELLED, "cancelled by the customer"
        elif arm.consent == CONSENT_ACCEPTED:
            yield metric, CANCELLED, "cancelled by agreement"
        else:
            yield metric, OTHER, "cancelled by us"

    return mean


def _delivered(arm: Any) -> _Meaning:
    if arm.HasField("in_full") and not arm.in_full:
        yield "customer_told", OTHER, "delivered in part"
    else:
        yield "customer_told", STOPPED, "delivered"


def _order_waived(arm: Any) -> _Meaning:
    if arm.milestone == MILESTONE_UNSPECIFIED:
        yield "customer_told", CANCELLED, "waived"


def _window(what: str) -> _Reading:
    def mean(arm: Any) -> _Meaning:
        start, end = micros(arm.window_start), micros(arm.window_end)
        if EARLIEST <= start <= end <= LATEST:
            yield "appointment_started", SCHEDULED, what, (), start, end

    return mean


def _requested(arm: Any) -> _Meaning:
    due = arm.promised
    if due.HasField("day"):
        at = int(datetime.fromisoformat(f"{due.day.date}T00:00:00+00:00").timestamp()) * 1_000_000
    else:
        at = micros(due.at) if due.HasField("at") else 0
    yield "callback_returned", STARTED, "requested", (), 0, at


def _no_show(arm: Any) -> _Meaning:
    if arm.by == PARTY_CUSTOMER:
        yield "appointment_started", CANCELLED, "the customer did not come"
    else:
        yield "appointment_started", OTHER, "nobody came"


_CALLBACK, _TOLD, _APPOINTMENT = ("callback_returned",), ("customer_told",), ("appointment_started",)
_MEANING: Mapping[tuple[str, str], _Reading] = {
    (CONTACTS, "received"): _received,
    (CONTACTS, "updated"): _updated,
    (CONTACTS, "customer_wrote"): _wrote,
    (CONTACTS, "replied"): _replied,
    (CONTACTS, "held"): _held,
    (CONTACTS, "resumed"): _plain("resumed", (RESUMED, _PAUSABLE)),
    (CONTACTS, "resolved"): _over("resolved"),
    (CONTACTS, "closed"): _over("closed"),
    (CONTACTS, "reopened"): _plain("reopened", (OPENED, ("next_reply", "periodic_update")), (REOPENED, _TO_THE_END)),
    (CALLBACKS, "requested"): _requested,
    (CALLBACKS, "attempted"): _plain("attempted", (OTHER, _CALLBACK)),
    (CALLBACKS, "returned"): _plain("returned", (STOPPED, _CALLBACK)),
    (CALLBACKS, "cancelled"): _called_off("callback_returned"),
    (CALLBACKS, "waived"): _plain("waived", (CANCELLED, _CALLBACK)),
    (ORDERS, "ready"): _plain("ready", (STARTED, _TOLD)),
    (ORDERS, "customer_told"): _plain("customer told", (STOPPED, _TOLD)),
    (ORDERS, "delivered"): _delivered,
    (ORDERS, "cancelled"): _plain("cancelled", (CANCELLED, _TOLD)),
    (ORDERS, "waived"): _order_waived,
    (APPOINTMENTS, "booked"): _window("booked"),
    (APPOINTMENTS, "rescheduled"): _window("rescheduled"),
    (APPOINTMENTS, "started"): _plain("started", (STOPPED, _APPOINTMENT)),
    (APPOINTMENTS, "completed"): _plain("completed", (STOPPED, _APPOINTMENT)),
    (APPOINTMENTS, "cancelled"): _called_off("appointment_started"),
    (APPOINTMENTS, "no_show"): _no_show,
    (APPOINTMENTS, "waived"): _plain("waived", (CANCELLED, _APPOINTMENT)),
}
