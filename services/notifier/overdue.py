"""What should have happened to an incident by now, and did not. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from services.notifier.domain import next_deadline
from services.notifier.incident import Incident, Plan
from services.notifier.items import AT_ONCE
from services.notifier.outbox import UNSETTLED
from services.shared.instant import SECOND, Instant

#: How late something may be before it counts as overdue: microseconds.
PATIENCE = 60 * SECOND


class Wait(NamedTuple):
    """Something an incident waits for. The same until it comes."""

    until: Instant
    #: How far it has come: of a delivery its state and attempts, of an incident its state and next sequence.
    step: tuple[int, int]
    #: Of a delivery; empty where it is the incident itself that wants to be judged again.
    delivery_id: str = ""
    channel: str = ""


def waits(incident: Incident, plan: Plan) -> list[Wait]:
    """The next step of each delivery on its way, and of the incident itself."""
    on_their_way = [
        Wait(delivery.next_attempt_at, (delivery.state, delivery.attempts), delivery.delivery_id, delivery.channel)
        for delivery in incident.deliveries
        if delivery.state in UNSETTLED
    ]
    deadline = next_deadline(incident, plan)
    own = [] if deadline is None else [Wait(deadline, (incident.state, incident.next_sequence))]
    return [*on_their_way, *own]


def late(incident: Incident, plan: Plan, now: Instant, before: Mapping[Wait, Instant]) -> Mapping[Wait, Instant]:
    """What has not come in time → since when it is due.

    `before`: what was late at the last look. What was due at once says not since when: then, since it was first seen.
    """
    return {
        wait: wait.until if wait.until > AT_ONCE else before.get(wait, now)
        for wait in waits(incident, plan)
        if wait.until <= now
    }


def overdue(found: Mapping[Wait, Instant], now: Instant) -> Mapping[Wait, Instant]:
    """Of what is late, that for which there is no excuse."""
    return {wait: since for wait, since in found.items() if now - since > PATIENCE}
