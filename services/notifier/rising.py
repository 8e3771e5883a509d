"""What stays broken matters more in time: severities rise, and whoever was told of less is told again. Pure.

The relay says when (`Item.rises`): it alone knows all that severity depends on. Where the rise leads to people whom the
item did not concern before, their incident keeps it until then: it is coming, which is neither open nor over.
"""

from collections.abc import Iterable, Mapping

from services.notifier import beliefs
from services.notifier.beliefs import Items, Receivers
from services.notifier.items import NONE, Item
from services.shared.instant import Instant


def rise(items: Items, before: Mapping[tuple[str, str, int], Item], now: Instant, receivers: Receivers) -> None:
    """Takes every item to the severity that it has by `now`. `before`: the items as they were known until now.

    Who was told of an item that nobody answered hears of it again where it has risen: here, or in what was seen since.
    """
    for key, item in list(items.items()):
        come = [each for each in item.rises if each.at <= now]
        if come:
            # Where nobody was to hear of it before, it counts as announced then.
            announced_at = max(item.announced_at, come[-1].at) if item.follow_up else item.announced_at
            severity = come[-1].severity
            items[key] = item._replace(
                severity=severity,
                rises=item.rises[len(come) :],
                follow_up=False,
                announced_at=announced_at,
                told=beliefs.kept(item, severity, receivers),
            )
        known = before.get(key)
        if known and known.rises and items[key].severity > known.severity:
            risen = {key: items[key]}
            beliefs.forget(risen, {told.target for told in item.told})
            items.update(risen)


def next_rise(items: Iterable[Item]) -> Instant:
    """When the next of them rises; NONE: none does."""
    return min((item.rises[0].at for item in items if item.rises), default=NONE)
