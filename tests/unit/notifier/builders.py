"""Incidents as tests speak of them: minutes after noon, one route with two targets."""

from services.notifier.beliefs import Contact, Receivers
from services.notifier.domain import fold
from services.notifier.incident import Fact, Incident, ItemSeen, Plan
from services.notifier.items import Details, Item, Severity, Standing
from services.notifier.outbox import DeliverySettled, Outcome
from services.shared.instant import SECOND, Instant, parse_instant

MINUTE = 60 * SECOND
NOON = parse_instant("2026-11-26T12:00:00Z")
INCIDENT = "ops/kind=order_ready"

MAIL = Plan({"ops": Receivers({"mail": "email"})}, {1: 60 * MINUTE, 2: 60 * MINUTE, 3: 60 * MINUTE})
WATCHFUL = MAIL._replace(routes={"ops": Receivers({"mail": "email"}, at_risk=True)})
BOTH = MAIL._replace(routes={"ops": Receivers({"mail": "email", "hook": "webhook"})})
#: Each of them is on call for five minutes.
ROTA = ("ana", "bob", "carla")


def on_call(now: Instant) -> str:
    """Who is on call."""
    return ROTA[(now - NOON) // (5 * MINUTE) % len(ROTA)]


ON_CALL = MAIL._replace(
    routes={"ops": Receivers({}, on_call={"on-call:rota": on_call}, others=dict.fromkeys((*ROTA, "mail"), "email"))}
)


def _reached_by(name: str) -> Contact:
    """What is critical rings a phone, and is written; all else is only written."""
    return {f"{name}-phone": frozenset({Severity.CRITICAL}), f"{name}-mail": frozenset(Severity)}


#: Of those who take turns two are people, and one a target.
CONTACTS = {name: _reached_by(name) for name in ("ana", "bob")}
WAYS = ("ana-phone", "ana-mail", "bob-phone", "bob-mail", "carla", "mail", "boss")
PERSONAL = Receivers({}, others=dict.fromkeys(WAYS, "email"), contacts=CONTACTS)


def at(minutes: float) -> Instant:
    """So many minutes after noon."""
    return Instant(NOON + round(minutes * MINUTE))


DETAILS = Details(original_due_at=NOON, reason="due_passed")


def an_item(
    standing: Standing = Standing.BROKEN,
    offset: int = 1,
    *,
    subject: str = "A-1",
    severity: Severity = Severity.CRITICAL,
    follow_up: bool = False,
    details: Details | None = DETAILS,
) -> Item:
    """One order, as a record with this offset says it stands."""
    return Item(
        service="promises",
        record_id=f"C-7/order_ready/{subject}",
        kind="order_ready",
        standing=standing,
        due_at=NOON,
        since=at(offset),
        offset=offset,
        announced_at=at(offset),
        severity=severity,
        follow_up=follow_up,
        details=details,
    )


def seen(standing: Standing, offset: int = 1, *, subject: str = "A-1", follow_up: bool = False) -> ItemSeen:
    """The fact that an order stands so, heard when it is announced."""
    return ItemSeen("ops", an_item(standing, offset, subject=subject, follow_up=follow_up), at(offset))


def broken(*subjects: str, plan: Plan = MAIL) -> Incident:
    """An incident that just heard of these broken orders (by default one)."""
    facts = [seen(Standing.BROKEN, subject=subject) for subject in subjects or ("A-1",)]
    incident = fold(INCIDENT, None, facts, plan)
    assert incident is not None
    return incident


def settle(incident: Incident, outcome: Outcome, minutes: float = 10, plan: Plan = MAIL) -> Incident:
    """The incident after every attempt under way ended like this."""
    ends = [
        DeliverySettled(at(minutes), delivery.delivery_id, outcome)
        for delivery in incident.deliveries
        if not delivery.settled_at
    ]
    return see(incident, *ends, plan=plan) if ends else incident


def see(incident: Incident | None, *facts: Fact, plan: Plan = MAIL) -> Incident:
    """The incident after these facts, which must leave one."""
    after = fold(INCIDENT, incident, facts, plan)
    assert after is not None
    return after
