"""Of which items news is held back now, from whom, and by what. Pure."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from services.notifier import beliefs
from services.notifier.holds import Held, Reason
from services.notifier.incident import Incident, Plan
from services.notifier.items import Item, identity
from services.notifier.outbox import CALLS
from services.shared.instant import Instant


class HeldBack(NamedTuple):
    """That a target does not hear of an item."""

    item: Item
    target: str
    held: Held


def held_back(incident: Incident, plan: Plan, now: Instant) -> Iterator[HeldBack]:
    """What each target would be told if nothing held it back. Nothing is looked at where the record says so."""
    receivers = plan.routes.get(incident.route)
    if not incident.looked_at or receivers is None:
        return
    scene = plan.scene(incident, beliefs.of(incident.items), now)
    for target, roles in beliefs.hearers(incident.items, receivers, incident.steps_taken, now).items():
        for item in incident.items:
            kind = beliefs.news(item, target, roles, receivers)
            if kind in CALLS and (held := scene.held(item, target)):
                yield HeldBack(item, target, held)


def held_items(incident: Incident, plan: Plan, now: Instant) -> Counter[Reason]:
    """Of how many items news is held back for each reason: one counts once, from however many it is held back."""
    return Counter(
        reason for reason, _ in {(found.held.reason, identity(found.item)) for found in held_back(incident, plan, now)}
    )
