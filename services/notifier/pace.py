"""When news may be told: together with what comes soon after, not too often, and not at every turn. Pure.

* Of what flaps, a breach is told once, and its end only when it has been quiet for a while.
* News gathers for `group_wait` before it is told, risks for `digest`; what is critical does not wait.
* A target is told of breaches and risks once in `group_interval` at most. Answers and ends wait for nothing.
"""

from collections.abc import Iterable
from typing import NamedTuple

from services.notifier.items import NONE, TROUBLE, Item, Severity
from services.notifier.outbox import PACED, Delivery, Kind
from services.shared.instant import SECOND, Instant

#: What came and went so often, each time within so long of the last, flaps until it was quiet for as long.
FLIPS, QUIET = 4, 900 * SECOND


class Pace(NamedTuple):
    """How a route takes its time, in microseconds."""

    group_wait: int = 0
    group_interval: int = 0
    digest: int = 0


def flipped(known: Item, seen: Item, now: Instant) -> Item:
    """What was seen, with how often it came and went."""
    if (known.standing in TROUBLE) == (seen.standing in TROUBLE):
        return seen._replace(flips=known.flips, flipped_at=known.flipped_at)
    flips = known.flips if now - known.flipped_at <= QUIET else 0
    return seen._replace(flips=flips + 1, flipped_at=now)


def settles_at(item: Item) -> Instant:
    """When it counts as settled, if nothing more happens; NONE: it does not flap."""
    return Instant(item.flipped_at + QUIET) if item.flips >= FLIPS else NONE


def ready_at(pace: Pace, kind: Kind, items: Iterable[Item], last_told: Instant) -> Instant:
    """When news of a kind may be told to a target that was last told something at `last_told`; NONE: at once."""
    if kind not in PACED:
        return NONE
    wait = max(pace.group_wait, pace.digest) if kind == Kind.AT_RISK else pace.group_wait
    gathered = min(
        NONE if item.severity == Severity.CRITICAL and kind == Kind.BREACH else Instant(item.announced_at + wait)
        for item in items
    )
    # Without an interval the last time says nothing: it may be ahead, by the clock of another worker.
    return max(gathered, Instant(last_told + pace.group_interval) if pace.group_interval else NONE)


def last_told(deliveries: Iterable[Delivery], target: str) -> Instant:
    """When a target was last told of a breach or a risk; NONE: not that anybody remembers."""
    return max((each.settled_at for each in deliveries if each.target == target and each.kind in PACED), default=NONE)
