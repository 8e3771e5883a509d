"""Made-up traffic for trying Puntual out: customers, what they are promised, and what becomes of it. Pure.

A story is what happens to one order, callback, appointment or contact: events as `puntual publish` takes them, in order
of time, the first at the story's start. Whoever publishes them waits until each has happened.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from itertools import count, cycle
from random import Random
from typing import Any, NamedTuple

from services.shared.instant import SECOND, Instant, format_instant


class Customer(NamedTuple):
    """Somebody who was promised something."""

    id: str
    name: str
    locale: str
    zone: str
    site: str


class Ending(Enum):
    """What becomes of a promise."""

    KEPT = auto()
    LATE = auto()
    BROKEN = auto()
    MOVED = auto()
    CALLED_OFF = auto()
    LET_DOWN = auto()


class Happening(NamedTuple):
    """One event, and when to publish it."""

    at: Instant
    #: Short name of the input topic: "orders".
    topic: str
    event: Mapping[str, Any]


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
    Ending.BROKEN, *[Ending.KEPT] * 6, Ending.LATE, *[Ending.KEPT] * 5, Ending.MOVED, *[Ending.KEPT] * 3,
    Ending.CALLED_OFF, Ending.BROKEN, *[Ending.KEPT] * 4, Ending.LATE, *[Ending.KEPT] * 3, Ending.LET_DOWN,
)  # fmt: skip
_CONTACTS = ("CONTACT_KIND_EMAIL", "CONTACT_KIND_CHAT", "CONTACT_KIND_PHONE", "CONTACT_KIND_COMPLAINT")
_AGREED = {"asked_by": "PARTY_COMPANY", "consent": "CONSENT_ACCEPTED"}

#: Seconds after the start, and what happens then; "+12" stands for the time 12 s after the start.
_Plot = list[tuple[float, dict[str, Any]]]


def stories(dice: Random) -> Iterator[Callable[[Instant], Sequence[Happening]]]:
    """Stories without end; each is told from an instant on."""
    for number, ending in zip(count(1), cycle(_ENDINGS), strict=False):
        first = number == 1
        topic = "orders" if first else dice.choice(("orders", "orders", "callbacks", "appointments", "contacts"))
        plot = _PLOTS[topic](ending, 5.0 if first else dice.uniform(8, 25), dice)
        yield _told(topic, f"{_LETTERS[topic]}-{1000 + number}", dice.choice(CUSTOMERS), plot)


def _told(topic: str, subject: str, customer: Customer, plot: _Plot) -> Callable[[Instant], Sequence[Happening]]:
    common = {
        "source": "demo", "subject_id": subject, "customer_id": customer.id, "customer_name": customer.name,
        "customer_locale": customer.locale, "customer_time_zone": customer.zone, "site": customer.site,
        "team": _TEAMS[topic],
    }  # fmt: skip

    def tell(start: Instant) -> Sequence[Happening]:
        def after(seconds: float) -> Instant:
            return Instant(start + round(seconds * SECOND))

        return [
            Happening(
                after(seconds),
                topic,
                {
                    **common,
                    "event_id": f"{subject}-{number}",
                    "occurred_at": format_instant(after(seconds)),
                    **_dated(event, lambda text: format_instant(after(float(text)))),
                },
            )
            for number, (seconds, event) in enumerate(sorted(plot, key=lambda scene: scene[0]), start=1)
        ]

    return tell


def _dated(event: Mapping[str, Any], date: Callable[[str], str]) -> dict[str, Any]:
    """The event with its "+12" replaced by times."""
    return {
        name: _dated(value, date) if isinstance(value, dict) else date(value) if str(value).startswith("+") else value
        for name, value in event.items()
    }


def _order(ending: Ending, due: float, dice: Random) -> _Plot:
    milestone = {"milestone": "MILESTONE_READY"}
    plot, ready = _promise(
        {"promised": {**milestone, "due": {"at": f"+{due}"}}},
        {"renegotiated": {**milestone, "due": {"at": f"+{due * 2}"}, **_AGREED}},
        {"ready": {}},
        (ending, due, dice),
    )
    if ready:
        # Now and then the customer is told too late.
        told = ready + (dice.uniform(13, 18) if dice.random() < 0.1 else dice.uniform(1, 5))  # noqa: PLR2004
        promised = {"milestone": "MILESTONE_DELIVERED", "due": {"at": f"+{told + 12}"}}
        plot += [(told, {"customer_told": {}}), (told + dice.uniform(4, 14), {"delivered": {}})]
        plot += [(ready, {"promised": promised})] if dice.random() < 0.3 else []  # noqa: PLR2004
    return plot


def _callback(ending: Ending, due: float, dice: Random) -> _Plot:
    plot, returned = _promise(
        {"requested": {"promised": {"at": f"+{due}"}}},
        {"renegotiated": {"due": {"at": f"+{due * 2}"}, **_AGREED}},
        {"returned": {}},
        (ending, due, dice),
    )
    return [*plot, (returned / 2, {"attempted": {}})] if returned else plot


def _appointment(ending: Ending, due: float, dice: Random) -> _Plot:
    plot, started = _promise(
        {"booked": {"window_start": f"+{due / 2}", "window_end": f"+{due}"}},
        {"rescheduled": {"window_start": f"+{due * 1.5}", "window_end": f"+{due * 2}", **_AGREED}},
        {"started": {}},
        (ending, due, dice),
    )
    return [*plot, (started + 5, {"completed": {}})] if started else plot


def _promise(
    made: dict[str, Any], moved: dict[str, Any], fulfilled: dict[str, Any], how: tuple[Ending, float, Random]
) -> tuple[_Plot, float]:
    """What becomes of a promise, and how many seconds after the start it is fulfilled; 0: never."""
    ending, due, dice = how
    match ending:
        case Ending.KEPT:
            after = due * dice.uniform(0.3, 0.9)
            return [(0, made), (after, fulfilled)], after
        case Ending.LATE:
            after = due + dice.uniform(5, 12)
            return [(0, made), (after, fulfilled)], after
        case Ending.MOVED:
            after = due * dice.uniform(1.2, 1.8)
            return [(0, made), (due / 2, moved), (after, fulfilled)], after
        case Ending.CALLED_OFF:
            return [(0, made), (due / 2, {"cancelled": {"by": "PARTY_CUSTOMER"}})], 0
        case Ending.LET_DOWN:
            cancelled = {"by": "PARTY_COMPANY", "consent": "CONSENT_DECLINED", "reason": "out of stock"}
            return [(0, made), (due / 2, {"cancelled": cancelled})], 0
        case Ending.BROKEN:
            return [(0, made)], 0


def _contact(ending: Ending, _due: float, dice: Random) -> _Plot:
    plot: _Plot = [
        (0, {"received": {"kind": dice.choice(_CONTACTS)}}),
        (0.5, {"replied": {"author": "AUTHOR_AUTOMATIC"}}),
    ]
    if ending is Ending.BROKEN:
        return plot
    replied = dice.uniform(34, 40) if ending is Ending.LATE else dice.uniform(3, 20)
    return [*plot, (replied, {"replied": {"author": "AUTHOR_HUMAN"}}), (replied + 5, {"resolved": {}})]


_PLOTS: Mapping[str, Callable[[Ending, float, Random], _Plot]] = {
    "orders": _order,
    "callbacks": _callback,
    "appointments": _appointment,
    "contacts": _contact,
}
_TEAMS = {"orders": "workshop", "callbacks": "service desk", "appointments": "field", "contacts": "service desk"}
_LETTERS = {"orders": "o", "callbacks": "b", "appointments": "a", "contacts": "m"}
