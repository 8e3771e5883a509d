"""What of all that is seen is a turn for the worse, or its end, whether or not an incident can follow it. Pure.

An incident has room for so many items. What it drops it only counts (`Incident.unfollowed`), and takes off again once
that is seen to be over: that much can be told of something unknown.
"""

from collections.abc import Iterator, Sequence

from services.notifier.beliefs import Receivers, concerns
from services.notifier.incident import Incident, ItemSeen
from services.notifier.items import TROUBLE, Item, Standing, identity


def joins(item: Item, receivers: Receivers, *, lost: bool) -> bool:
    """Whether an incident takes in an item that it does not know. `lost`: it knew some that it knows no more."""
    return concerns(item, receivers) or (lost and is_end(item))


def is_end(item: Item) -> bool:
    """Whether an item that is not known is over and was broken before, as its time had passed.

    That is no more than likely of one that was kept in time and is heard of late. Of one at risk, or with a new time,
    nobody can tell.
    """
    was_broken = item.standing == Standing.FULFILLED_LATE or 0 < item.due_at <= item.announced_at
    return was_broken and item.standing not in TROUBLE and not item.follow_up


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
