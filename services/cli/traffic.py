"""Made-up traffic for trying Puntual out: customers, what they are promised, and what becomes of it. Pure.

A story is what happens to one order, callback, appointment or contact: events in order of time, the first of them at
the story's start. Whoever publishes them waits until each has happened.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count, cycle
from random import Random
from typing import Any, NamedTuple

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.common_pb2 import CONSENT_ACCEPTED, CONSENT_DECLINED, PARTY_COMPANY, PARTY_CUSTOMER
from puntual.events.v1.contact_event_pb2 import AUTHOR_AUTOMATIC, AUTHOR_HUMAN, ContactEvent, ContactKind
from puntual.events.v1.order_event_pb2 import MILESTONE_DELIVERED, MILESTONE_READY, OrderEvent
from services.shared.clock import set_timestamp
from services.shared.instant import SECOND, Instant
from services.shared.publisher import Event


class Customer(NamedTuple):
    """Somebody who was promised something."""

    id: str
    name: str
    locale: str
    zone: str
    site: str


class Ending(Enum):
    """How a story ends."""

    KEPT = auto()
    LATE = auto()
    BROKEN = auto()
    MOVED = auto()
    CALLED_OFF = auto()
    LET_DOWN = auto()


CUSTOMERS = (
    Customer("c-101", "Lucía Fernández", "es-ES", "Europe/Madrid", "Madrid"),
    Customer("c-102", "Javier Ortega", "es-ES", "Europe/Madrid", "Madrid"),
    Customer("c-103", "Carmen Ibáñez", "es-ES", "Atlantic/Canary", "Las Palmas"),
    Customer("c-201", "Giulia Moretti", "it-IT", "Europe/Rome", "Milano"),
    Customer("c-202", "Marco De Luca", "it-IT", "Europe/Rome", "Milano"),
    Customer("c-203", "Chiara Ricci", "it-IT", "Europe/Rome", "Torino"),
    Customer("c-301", "Aoife Byrne", "en-IE", "Europe/Dublin", "Dublin"),
    Customer("c-302", "Thomas Whitfield", "en-GB", "Europe/London", "London"),
    Customer("c-303", "Priya Nair", "en-GB", "Europe/London", "London"),
)
#: Over and over: most are kept, and the first of all is the breach that people came to see.
_ENDINGS = (
    Ending.BROKEN, *[Ending.KEPT] * 6, Ending.LATE, *[Ending.KEPT] * 5, Ending.MOVED, *[Ending.KEPT] * 3, Ending.CALLED_OFF,
    Ending.BROKEN, *[Ending.KEPT] * 4, Ending.LATE, *[Ending.KEPT] * 3, Ending.LET_DOWN,
)  # fmt: skip
_DUE = (8.0, 25.0)  # seconds after the start
_FIRST_DUE = 5.0


class _Kind(NamedTuple):
    """How a kind of promise is written: what to set in an event."""

    message: type[Event]
    letter: str
    team: str
    promise: Callable[[Any, Instant], None]
    move: Callable[[Any, Instant], None]
    fulfil: Callable[[Any], None]


@dataclass(slots=True)
class _Story:
    """A story being written; seconds count from its start."""

    kind: _Kind
    subject: str
    customer: Customer
    start: Instant
    dice: Random
    events: list[Any] = field(default_factory=list)

    def after(self, seconds: float) -> Instant:
        """The instant so many seconds into the story."""
        return Instant(self.start + round(seconds * SECOND))

    def event(self, seconds: float) -> Any:  # noqa: ANN401 - one of four messages
        """Another event, of which only the kind is still to be set."""
        id_, name, locale, zone, site = self.customer
        event = self.kind.message(
            event_id=f"{self.subject}-{len(self.events) + 1}", source="demo", customer_id=id_, subject_id=self.subject,
            customer_name=name, customer_locale=locale, customer_time_zone=zone, site=site, team=self.kind.team,
        )  # fmt: skip
        set_timestamp(event.occurred_at, self.after(seconds))
        self.events.append(event)
        return event

    def told(self) -> Sequence[Event]:
        """Its events, in order of time."""
        return sorted(self.events, key=lambda event: (event.occurred_at.seconds, event.occurred_at.nanos))


def stories(dice: Random) -> Iterator[Callable[[Instant], Sequence[Event]]]:
    """Stories without end: each, given its start, tells its events."""
    for number, ending in zip(count(1), cycle(_ENDINGS), strict=False):
        name = "order" if number == 1 else dice.choice(("order", "order", "callback", "appointment", "contact"))
        kind, customer, subject = _KINDS[name], dice.choice(CUSTOMERS), f"{_KINDS[name].letter}-{1000 + number}"
        due = _FIRST_DUE if number == 1 else dice.uniform(*_DUE)

        def tell(
            start: Instant,
            kind: _Kind = kind,
            subject: str = subject,
            customer: Customer = customer,
            ending: Ending = ending,
            due: float = due,
        ) -> Sequence[Event]:
            story = _Story(kind, subject, customer, start, dice)
            (_contact if kind.message is ContactEvent else _promise)(story, ending, due)
            return story.told()

        yield tell


def _promise(story: _Story, ending: Ending, due: float) -> None:
    kind, dice = story.kind, story.dice
    kind.promise(story.event(0), story.after(due))
    fulfilled: float | None = None
    if ending is Ending.KEPT:
        fulfilled = due * dice.uniform(0.3, 0.9)
    elif ending is Ending.LATE:
        fulfilled = due + dice.uniform(5, 12)
    elif ending is Ending.MOVED:
        kind.move(story.event(due * 0.5), story.after(due * 2))
        fulfilled = due * dice.uniform(1.2, 1.8)
    elif ending is Ending.CALLED_OFF:
        story.event(due * 0.5).cancelled.by = PARTY_CUSTOMER
    elif ending is Ending.LET_DOWN:
        cancelled = story.event(due * 0.6).cancelled
        cancelled.by, cancelled.consent, cancelled.reason = PARTY_COMPANY, CONSENT_DECLINED, "out of stock"
    if fulfilled is not None:
        kind.fulfil(story.event(fulfilled))
        if kind.message is OrderEvent:
            _handed_over(story, fulfilled)


def _handed_over(story: _Story, ready: float) -> None:
    """What follows when an order is ready: the customer is told (now and then too late) and fetches it."""
    told = ready + (story.dice.uniform(13, 18) if story.dice.random() < 0.1 else story.dice.uniform(1, 5))  # noqa: PLR2004
    story.event(told).customer_told.SetInParent()
    if story.dice.random() < 0.3:  # noqa: PLR2004
        promised = story.event(ready).promised
        promised.milestone = MILESTONE_DELIVERED
        set_timestamp(promised.due.at, story.after(told + 12))
    story.event(told + story.dice.uniform(4, 14)).delivered.SetInParent()


def _contact(story: _Story, ending: Ending, _due: float) -> None:
    dice = story.dice
    story.event(0).received.kind = dice.choice([value for value in ContactKind.values() if value])
    story.event(0.5).replied.author = AUTHOR_AUTOMATIC
    if ending is not Ending.BROKEN:
        replied = dice.uniform(34, 40) if ending is Ending.LATE else dice.uniform(3, 20)
        story.event(replied).replied.author = AUTHOR_HUMAN
        story.event(replied + 5).resolved.SetInParent()


def _order_promised(event: Any, due: Instant) -> None:  # noqa: ANN401
    event.promised.milestone = MILESTONE_READY
    set_timestamp(event.promised.due.at, due)


def _order_moved(event: Any, due: Instant) -> None:  # noqa: ANN401
    event.renegotiated.milestone = MILESTONE_READY
    _agreed(event.renegotiated)
    set_timestamp(event.renegotiated.due.at, due)


def _call_moved(event: Any, due: Instant) -> None:  # noqa: ANN401
    _agreed(event.renegotiated)
    set_timestamp(event.renegotiated.due.at, due)


def _visit_booked(event: Any, due: Instant) -> None:  # noqa: ANN401
    set_timestamp(event.booked.window_start, Instant(due - 5 * SECOND))
    set_timestamp(event.booked.window_end, due)


def _visit_moved(event: Any, due: Instant) -> None:  # noqa: ANN401
    _agreed(event.rescheduled)
    set_timestamp(event.rescheduled.window_start, Instant(due - 5 * SECOND))
    set_timestamp(event.rescheduled.window_end, due)


def _agreed(change: Any) -> None:  # noqa: ANN401
    change.asked_by, change.consent = PARTY_COMPANY, CONSENT_ACCEPTED


_KINDS: Mapping[str, _Kind] = {
    "order": _Kind(
        OrderEvent, "o", "workshop", _order_promised, _order_moved, lambda event: event.ready.SetInParent()
    ),
    "callback": _Kind(
        CallbackEvent,
        "b",
        "service desk",
        lambda event, due: set_timestamp(event.requested.promised.at, due),
        _call_moved,
        lambda event: event.returned.SetInParent(),
    ),
    "appointment": _Kind(
        AppointmentEvent, "a", "field", _visit_booked, _visit_moved, lambda event: event.started.SetInParent()
    ),
}
