"""What of all that is seen is a turn for the worse, or its end, whether or not an incident can follow it. Pure.

An incident has room for so many items. What it drops it only counts (`Incident.unfollowed`), and takes off again once
that is seen to be over: that much can be told of something unknown.
"""

from collections.abc import Collection, Iterator, Sequence

from services.notifier.beliefs import Receivers, concerns
from services.notifier.incident import Incident, ItemSeen
from services.notifier.items import NONE, TROUBLE, Handling, Item, Standing, identity
from services.notifier.pace import QUIET
from services.shared.instant import Instant


def joins(item: Item, receivers: Receivers, *, lost: bool) -> bool:
    """Whether an incident takes in an item that it does not know. `lost`: it knew some that it knows no more."""
    return concerns(item, receivers) or (lost and is_end(item))


def is_end(item: Item) -> bool:
    """Whether an item that is not known is over and was broken before, as its time had passed.

    That is no more than likely: it may have been kept in time and heard of late, or have broken in another incident,
    as what is over is sent wherever it may have been told. Of one at risk, or with a new time, nobody can tell.
    """
    was_broken = item.standing == Standing.FULFILLED_LATE or 0 < item.due_at <= item.announced_at
    return was_broken and item.standing not in TROUBLE


def calm(incident: Incident, items: Collection[Item], receivers: Receivers) -> Instant:
    """When to tell of the last ends of what is followed; NONE: at once.

    Others may be open yet. It is told once they are over as well, or nothing more was heard for a while.
    """
    if not incident.unfollowed or any(concerns(item, receivers) or item.handling == Handling.CLOSED for item in items):
        return NONE
    return Instant(max((item.announced_at for item in items), default=NONE) + QUIET)


def turns(old: Incident | None, seen: Sequence[ItemSeen], receivers: Receivers) -> Iterator[ItemSeen]:
    """Those that came to be in trouble, went from one trouble to another, or are over. `old`: before they were seen."""
    known = {identity(item): (item.offset, item.standing) for item in old.items} if old and seen else {}
    lost = old is not None and old.unfollowed > 0
    for fact in seen:
        item, key = fact.item, identity(fact.item)
        offset, standing = known.get(key, (-1, None))
        if item.offset <= offset or item.standing == standing:
            continue
        is_turn = standing in TROUBLE or joins(item, receivers, lost=lost and standing is None)
        if is_turn or standing is not None:
            known[key] = item.offset, item.standing
        if is_turn:
            yield fact
