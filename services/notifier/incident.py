"""An incident: all that one receiver group is being told, and the facts it is made from. Pure."""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from services.notifier.beliefs import Items, Receivers, concerns
from services.notifier.holds import Holds, Scene
from services.notifier.items import NONE, Item
from services.notifier.outbox import Delivery, DeliverySettled, Pause
from services.notifier.responses import Attention, Response
from services.shared.instant import Instant


class IncidentState(IntEnum):
    """Whether anything is open, and somebody sees to it."""

    OPEN = 1
    RESOLVED = 2
    ACKNOWLEDGED = 3


class Transition(IntEnum):
    """What a write announces."""

    OPENED = 1
    UPDATED = 2
    RESOLVED = 3
    ACKNOWLEDGED = 4
    LAPSED = 5
    ESCALATED = 6


class Incident(NamedTuple):
    """The record: what one receiver group is being told."""

    incident_id: str
    route: str
    state: int = IncidentState.RESOLVED
    since: Instant = NONE
    items: tuple[Item, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    next_sequence: int = 1
    attention: Attention = Attention()
    #: How many steps of the escalation were taken, and when the next will be.
    steps_taken: int = 0
    next_step_at: Instant = NONE
    #: When something that is held back may be told.
    next_look_at: Instant = NONE
    #: When it was last decided what to tell; NONE where nothing is held back.
    looked_at: Instant = NONE
    #: About how many more of this run are open than it has room to follow.
    unfollowed: int = 0


class ItemSeen(NamedTuple):
    """A record said how an item stands."""

    route: str
    item: Item
    #: When this was heard, by the clock on the wall.
    seen_at: Instant = NONE

    @property
    def occurred_at(self) -> Instant:
        return self.item.announced_at

    @property
    def heard_at(self) -> Instant:
        return self.seen_at or self.item.announced_at


Fact = ItemSeen | DeliverySettled | Response


_NOTHING = Holds()


class Plan(NamedTuple):
    """What the notifier goes by."""

    routes: Mapping[str, Receivers]
    #: Severity → microseconds from the first attempt until retrying ends.
    patience: Mapping[int, int]
    #: What holds news back.
    holds: Holds = _NOTHING
    #: The targets that are left alone for now.
    pauses: Mapping[str, Pause] = {}

    def scene(self, incident: Incident, items: Items, now: Instant) -> Scene:
        """What is held back in an incident at an instant."""
        receivers = self.routes.get(incident.route)
        concerned = [item for item in items.values() if receivers and concerns(item, receivers)]
        return self.holds.scene(incident.incident_id, concerned, now)
