"""What everybody must hear by now: whoever is free and has news gets one message; what the record keeps. Pure."""

from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from services.notifier import beliefs, fallbacks, pace
from services.notifier.beliefs import Hearers, Items, Receivers, Role, believing, heard, is_live, news
from services.notifier.holds import Scene
from services.notifier.incident import Incident, IncidentState
from services.notifier.items import NONE, ON_CONSOLE, TROUBLE, Handling, Item, Standing, identity, slim, weight
from services.notifier.outbox import CALLS, FALLBACK_CHANNEL, PRECEDENCE, UNSETTLED, Delivery, Failure, Kind, pruned
from services.notifier.responses import Action, Attention, is_acknowledged
from services.notifier.rising import next_rise
from services.notifier.turns import calm
from services.shared.instant import Instant

#: How many items a record follows, and bytes of them. With the messages to five targets it fits into one Kafka message
#: whatever ids and names are like: it must always be possible to write down how an attempt ended.
MAX_ITEMS, MAX_BYTES = 2_500, 500_000
#: How many items that are over are still known by their offset. Upstream re-reads the last seconds after a crash.
MAX_OVER, MAX_OVER_BYTES = 256, 50_000
#: How many items a message lists.
MAX_LISTED, MAX_LISTED_BYTES = 10, 20_000
#: How many earlier messages a message answers. What would answer more is told in several, one after the other.
MAX_ANSWERED = 20
#: How many items keep their details while they wait to be told.
MAX_DETAILED = 100


def tell(incident: Incident, items: Items, receivers: Receivers, scene: Scene) -> Incident:
    """The incident, with `items`, and the messages that are to be sent since. `scene`: what is held back, and when."""
    known = beliefs.hearers(items.values(), receivers, incident.steps_taken, scene.now)
    decided = _decide(incident, items, receivers, known, scene)
    return _tidy(decided, receivers, known)


class _News(NamedTuple):
    """What there is to tell to one target."""

    #: Kind → the items that there is such news of.
    items: dict[Kind, list[Item]]
    #: When more of it can be told; NEVER: not before the incident changes.
    later: set[Instant]


def _decide(incident: Incident, items: Items, receivers: Receivers, known: Hearers, scene: Scene) -> Incident:
    """Adds a message for every target that is free and has something to hear, and notes who believes what since."""
    now = scene.now
    busy = {delivery.target for delivery in incident.deliveries if delivery.state in UNSETTLED}
    deliveries, duty = list(incident.deliveries), receivers.duty(now)
    looks = {incident.next_look_at} if incident.next_look_at > now else set[Instant]()
    calm_at = calm(incident, items.values(), receivers)
    beliefs.hand_on(items, duty, known)
    for (target, lost), told in fallbacks.orphans(items.values(), receivers).items():
        if target not in busy:
            busy.add(target)
            spoken = _spoken(incident, target, lost, told, now)
            incident = incident._replace(next_sequence=incident.next_sequence + 1)
            deliveries.append(spoken)
            items.update({identity(item): fallbacks.said(item, target, spoken.delivery_id) for item in told})
    for target in [target for target in known if target not in busy]:
        to_tell, later = _news(items.values(), target, known[target], receivers, scene)
        if calm_at > now and to_tell.pop(Kind.RESOLVED, []):
            looks.add(calm_at)
        last = pace.last_told(incident.deliveries, target)
        ready = {kind: pace.ready_at(receivers.pace, kind, told, last) for kind, told in to_tell.items()}
        looks |= later | {at for at in ready.values() if at > now}
        kind = min((kind for kind, at in ready.items() if at <= now), key=PRECEDENCE.index, default=None)
        if kind is None:
            continue
        again = to_tell.get(Kind.REMINDER, []) if kind == Kind.ESCALATION else []
        told = _answerable([*to_tell[kind], *again], target)
        others = {each for each, other in receivers.fallbacks.items() if other == target and kind in CALLS}
        delivery = _compose(incident, kind, (target, receivers.channel(target)), told, now, others)
        incident = incident._replace(next_sequence=incident.next_sequence + 1)
        for item in told:
            items[identity(item)] = believing(item, delivery)
        still = {earlier.origin for item in items.values() for earlier in heard(item, target)}
        deliveries.append(delivery._replace(over=tuple(over for over in delivery.answers if over not in still)))
    beliefs.hand_on(items, duty, known)
    looks |= fallbacks.handed_over_at(items.values(), duty, receivers, now)
    return incident._replace(
        items=tuple(items.values()),
        deliveries=tuple(deliveries),
        next_look_at=min({*looks, next_rise(items.values()) or NEVER} - {NEVER}, default=NONE),
        looked_at=scene.as_of if looks else NONE,
    )


def _news(items: Iterable[Item], target: str, roles: Sequence[Role], receivers: Receivers, scene: Scene) -> _News:
    found = _News({}, set())
    for item in items:
        if kind := news(item, target, roles, receivers):
            until = _held_until(item, kind, target, scene)
            if until > scene.now:
                found.later.add(until)
            else:
                found.items.setdefault(kind, []).append(item)
    return found


def _held_until(item: Item, kind: Kind, target: str, scene: Scene) -> Instant:
    """Until when news of an item is not for a target; what is past, or NONE: it is."""
    if kind == Kind.RESOLVED:
        return pace.settles_at(item)
    held = scene.held(item, target) if kind in CALLS else None
    if held is None:
        return NONE
    return held.until or NEVER


#: Later than any instant.
NEVER = Instant(2**63 - 1)


def _answerable(items: Iterable[Item], target: str) -> list[Item]:
    """As many of the items as can be told in one message, the worst first."""
    chosen: list[Item] = []
    answers: set[str] = set()
    for item in sorted(items, key=_worst_first):
        earlier = {told.origin for told in heard(item, target)}
        if len(answers | earlier) <= MAX_ANSWERED:
            answers |= earlier
            chosen.append(item)
    return chosen


def _compose(
    incident: Incident,
    kind: Kind,
    to: tuple[str, str],
    items: Sequence[Item],
    now: Instant,
    instead_of: Collection[str] = (),
) -> Delivery:
    target, channel = to
    attention, sequence = incident.attention, incident.next_sequence
    items_to_list = (item._replace(told=fallbacks.missed(item, instead_of), rises=()) for item in items)
    listed = _fitting(items_to_list, MAX_LISTED, MAX_LISTED_BYTES)
    earlier = [told for item in items for told in heard(item, target)]
    closed = any(item.face == Standing.CLOSED for item in items)
    if kind == Kind.ACKNOWLEDGED and attention.acknowledgement and attention.acknowledgement.snoozed:
        kind = Kind.SNOOZED
    # Sequences start anew once an incident was forgotten; what is told makes the id unique all the same.
    content = [incident.incident_id, str(sequence), target, *(f"{item.record_id}@{item.offset}" for item in listed)]
    return Delivery(
        delivery_id=blake2b("\n".join(content).encode(), digest_size=8).hexdigest(),
        sequence=sequence,
        kind=kind,
        severity=max(item.severity for item in items),
        target=target,
        channel=channel,
        items=tuple(listed),
        item_count=len(items),
        # What people or the clock brought about was not announced before.
        decided_at=now if closed or kind in _OWN else max(item.announced_at for item in items),
        answers=tuple(sorted({told.origin for told in earlier})),
        threads=tuple(sorted({told.thread for told in earlier if told.thread})),
        by=_spoken_by(attention, kind, closed=closed),
        opened_at=attention.opened_at,
    )


def _spoken(incident: Incident, target: str, lost: str, items: Sequence[Item], now: Instant) -> Delivery:
    """What the console says in place of a target, of a message that was given up."""
    kind = Kind.BREACH if any(item.face == Standing.BROKEN for item in items) else Kind.AT_RISK
    failures = (each.last_failure for each in incident.deliveries if each.delivery_id == lost)
    return _compose(incident, kind, (target, FALLBACK_CHANNEL), items, now)._replace(
        delivery_id=f"{lost}{ON_CONSOLE}", answers=(), threads=(), last_failure=next(failures, Failure.OTHER.value)
    )


#: What no record announces.
_OWN = frozenset({Kind.ESCALATION, Kind.REMINDER, Kind.ACKNOWLEDGED, Kind.SNOOZED})


def _spoken_by(attention: Attention, kind: Kind, *, closed: bool) -> str:
    """Whose word the message passes on, if anybody's."""
    if closed:
        return next((said.by for said in reversed(attention.responses) if said.action == Action.RESOLVE), "")
    seen_to = attention.acknowledgement if kind in (Kind.ACKNOWLEDGED, Kind.SNOOZED) else None
    return seen_to.by if seen_to else ""


def _tidy(incident: Incident, receivers: Receivers, known: Hearers) -> Incident:
    """Drops what nobody needs any more, puts the rest in order and says whether anything is open."""
    over: list[Item] = []
    closed: list[Item] = []
    informed: list[Item] = []
    coming: list[Item] = []
    waiting: list[Item] = []
    names = {*known, *(schedule for group in receivers.groups for schedule in group.on_call)}
    for item in incident.items:
        kept = item
        if any(told.target not in names for told in item.told):
            # A target that was taken out of the route can be told nothing more; what is owed somebody else is.
            told = (t for t in item.told if t.target in names or fallbacks.is_owed(item, t, receivers))
            kept = item._replace(told=tuple(told))
        if not is_live(kept, receivers):
            # The events say that it is broken: without the word of whoever closed it, it would be told anew.
            (closed if kept.handling == Handling.CLOSED else coming if kept.rises else over).append(kept)
        elif any(news(kept, target, roles, receivers) for target, roles in known.items()):
            waiting.append(kept)
        else:
            informed.append(kept)
    rising = (item for item in (*coming, *informed) if item.rises)
    detailed = [*sorted(waiting, key=_most_needed), *sorted(rising, key=_next_first)]
    quiet = (
        *detailed[MAX_DETAILED:],
        *sorted((item for item in informed if not item.rises), key=_newest_first),
        *sorted(closed, key=_newest_first),
    )
    wanted = (*detailed[:MAX_DETAILED], *map(slim, quiet))
    followed = _fitting(wanted, MAX_ITEMS - MAX_OVER, MAX_BYTES)
    items = [
        *followed,
        *_fitting(map(slim, sorted(over, key=_newest_first)), MAX_OVER, MAX_OVER_BYTES),
    ]
    live = waiting + informed
    lost = sum(item.standing in TROUBLE and is_live(item, receivers) for item in wanted[len(followed) :])
    attention = incident.attention if live else incident.attention._replace(acknowledgement=None)
    return incident._replace(
        state=_state(live, attention),
        since=min((item.since for item in live), default=incident.since),
        items=tuple(sorted(items, key=identity)),
        deliveries=pruned(d for d in incident.deliveries if d.state in UNSETTLED or d.target in known),
        attention=attention,
        unfollowed=incident.unfollowed + lost,
    )


def _state(live: Iterable[Item], attention: Attention) -> IncidentState:
    items = beliefs.of(live)
    if not items:
        return IncidentState.RESOLVED
    return IncidentState.ACKNOWLEDGED if is_acknowledged(attention, items) else IncidentState.OPEN


def _worst_first(item: Item) -> tuple[object, ...]:
    return item.details is None, -item.severity, item.since, item.record_id


def _next_first(item: Item) -> tuple[object, ...]:
    return item.rises, item.record_id


def _most_needed(item: Item) -> tuple[object, ...]:
    """Of what is as bad, first what nobody was told of: one target that is down must not keep it from the others."""
    return item.details is None, -item.severity, bool(item.told), item.since, item.record_id


def _newest_first(item: Item) -> tuple[object, ...]:
    return -item.announced_at, item.record_id


def _fitting(items: Iterable[Item], count: int, room: int) -> list[Item]:
    """The first items, so many and in so many bytes; one at least, if there is one."""
    kept: list[Item] = []
    for item in islice(items, count):
        room -= weight(item)
        if room < 0 and kept:
            break
        kept.append(item)
    return kept
