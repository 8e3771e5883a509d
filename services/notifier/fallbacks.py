"""What becomes of messages that were given up: who is told instead, or the console. Pure.

An item notes of each target whether the message that told it was given up (`Told.lost`). Then, of what is a call and
still open, the target's fallback is told as itself; where the console says it, the note names what the console says
(`ON_CONSOLE`). So of everything that is lost either somebody else has to be told (`Told.is_owed`), or the console said
it; that holds whatever becomes of the configuration in between.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from services.notifier.beliefs import Contact, Items, Receivers, concerns
from services.notifier.items import ON_CONSOLE, TROUBLE, Item, Standing, Told
from services.notifier.outbox import (
    FALLBACK_CHANNEL,
    UNSETTLED,
    Delivery,
    DeliverySettled,
    DeliveryState,
    Kind,
    settle,
)
from services.shared.instant import Instant


def end(
    deliveries: Iterable[Delivery], items: Items, ends: Sequence[DeliverySettled], receivers: Receivers
) -> tuple[Delivery, ...]:
    """The deliveries after attempts ended; notes in the items of whom the message was given up."""
    under_way = {each.delivery_id for each in deliveries if each.state in UNSETTLED}
    settled = settle(deliveries, ends, receivers.fallbacks)
    ids = {each.delivery_id for each in settled}
    for delivery in settled:
        if delivery.state == DeliveryState.DEAD and delivery.delivery_id in under_way:
            spoken = f"{delivery.delivery_id.removesuffix(ON_CONSOLE)}{ON_CONSOLE}"
            # The console itself is the last who can be told.
            is_said = spoken in ids or delivery.channel == FALLBACK_CHANNEL
            _lose(items, delivery, spoken if is_said else delivery.delivery_id)
            if delivery.kind in _AGAIN and not is_said:
                told_since = {each.delivery_id for each in settled if each.decided_at >= delivery.decided_at}
                _remind(items, delivery, receivers.fallbacks[delivery.target], told_since)
    return settled


#: What is said again to somebody who knows.
_AGAIN = frozenset({Kind.ESCALATION, Kind.REMINDER})


def _lose(items: Items, dead: Delivery, noted: str) -> None:
    """Of a message that was given up; a schedule knows nothing by it, so that whoever is on call next hears."""
    for key, item in items.items():
        if any(told.delivery_id == dead.delivery_id for told in item.told):
            told = (
                told._replace(lost=True, delivery_id=noted) if told.delivery_id == dead.delivery_id else told
                for told in item.told
                if told.delivery_id != dead.delivery_id or told.target == dead.target
            )
            items[key] = item._replace(told=tuple(told))


def _remind(items: Items, dead: Delivery, other: str, told_since: Collection[str]) -> None:
    """Whoever is told instead, and knows of the breach already, is reminded in place of whoever was to be."""
    for key, item in items.items():
        if item.is_unanswered and any(told.delivery_id == dead.delivery_id for told in item.told):
            told = (
                told._replace(standing=Standing.UNANSWERED)
                if (told.target, told.standing) == (other, Standing.BROKEN) and told.origin not in told_since
                else told
                for told in item.told
            )
            items[key] = item._replace(told=tuple(told))


def way(target: str, fallbacks: Mapping[str, str]) -> Sequence[str]:
    """From a target to its fallback, to that one's, and so on, as long as it goes on or until it comes round."""
    passed = [target]
    while (other := fallbacks.get(passed[-1])) and other not in passed:
        passed.append(other)
    return passed


def circle(target: str, fallbacks: Mapping[str, str]) -> Sequence[str]:
    """The way from a target to its fallbacks, where that comes back to it; empty: it ends."""
    passed = way(target, fallbacks)
    return [*passed, target] if fallbacks.get(passed[-1]) == target else []


def orphans(items: Iterable[Item], receivers: Receivers) -> Mapping[tuple[str, str], list[Item]]:
    """What nobody tells instead, as the configuration has changed since: it is for the console.

    By the target and the message that was given up.
    """
    found: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        for told in item.told:
            if told.target not in receivers.fallbacks and is_owed(item, told, receivers) and item.face in TROUBLE:
                found.setdefault((told.target, told.delivery_id), []).append(item)
    return found


def is_owed(item: Item, told: Told, receivers: Receivers) -> bool:
    """Whether somebody else has to be told what a target could not be, once nothing holds that back."""
    return told.is_owed and concerns(item, receivers)


def missed(item: Item, targets: Collection[str]) -> tuple[Told, ...]:
    """Of these targets, those in whose place somebody has to be told of an item."""
    return tuple(told for told in item.told if told.is_owed and told.target in targets)


def said(item: Item, target: str, delivery_id: str) -> Item:
    """The item once the console says in place of a target what that was told last."""
    told = (each._replace(delivery_id=delivery_id) if each.target == target else each for each in item.told)
    return item._replace(told=tuple(told))


def handed_over_at(
    items: Iterable[Item], duty: Mapping[str, Contact], receivers: Receivers, now: Instant
) -> set[Instant]:
    """When others are on call, who must hear what those on call now could not be told."""
    lost = {told.target for item in items for told in item.told if told.lost and concerns(item, receivers)}
    return {until(now) for schedule, until in receivers.shifts.items() if not lost.isdisjoint(duty.get(schedule, ()))}
