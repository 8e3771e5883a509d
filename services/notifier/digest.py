"""One message that stands for several to the same target, of the same kind. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from services.notifier.items import Item
from services.notifier.outbox import Delivery

#: How many items it lists: the worst.
LISTED = 10


def merged(deliveries: Sequence[Delivery]) -> Delivery:
    """It speaks of all their items, and answers all that they answer. Its id is the same for the same deliveries."""
    items = sorted((item for delivery in deliveries for item in delivery.items), key=_worst_first)
    storm = any(delivery.in_all for delivery in deliveries)
    ids = "\n".join(sorted(delivery.delivery_id for delivery in deliveries))
    return deliveries[0]._replace(
        delivery_id=blake2b(ids.encode(), digest_size=8).hexdigest(),
        severity=max(delivery.severity for delivery in deliveries),
        items=tuple(items[:LISTED]),
        item_count=sum(delivery.item_count for delivery in deliveries),
        decided_at=max(delivery.decided_at for delivery in deliveries),
        answers=_all(delivery.answers for delivery in deliveries),
        over=_all(delivery.over for delivery in deliveries),
        threads=_all(delivery.threads for delivery in deliveries),
        may_repeat=any(delivery.may_repeat for delivery in deliveries),
        in_all=sum(delivery.in_all or delivery.item_count for delivery in deliveries) if storm else 0,
    )


def kinds(deliveries: Iterable[Delivery]) -> Mapping[str, int]:
    """Kind of thing → how many of it the deliveries list, the most frequent first."""
    counts = Counter(item.kind for delivery in deliveries for item in delivery.items)
    return dict(sorted(counts.items(), key=lambda count: (-count[1], count[0])))


def _all(texts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(sorted({text for several in texts for text in several}))


def _worst_first(item: Item) -> tuple[object, ...]:
    return item.details is None, -item.severity, item.since, item.record_id
