"""Who has been told what, and who must hear what next. Pure; it knows no Kafka, no protobuf and no clock.

An `Incident` is all that one receiver group is being told: the promises and clocks in trouble (`Item`) and the messages
about them (`Delivery`). It compares how each item stands with what each target believes, so a repeated or missed record
changes nothing, and an older one is known by its offset.

* `fold` takes in what was seen and how attempts ended, and decides what to tell: per target one message at a time, so
  that a resolution never overtakes its breach, what happens meanwhile is told together, and one target that is down
  holds up no other.
* A route can also tell whoever is on call. A schedule is told once of each item, like a target, and the incident notes
  that under its name; who hears it for the schedule is decided when the message is, and hears how it goes on.
* `due` turns what is to be sent into an attempt. The attempt is made once the record that says so is acknowledged; if
  its end is never heard of, it is made again: at least once, under the same id.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from services.notifier.items import AT_ONCE, NONE, Item, Standing, Told, identity, slim, weight
from services.notifier.outbox import (
    UNSETTLED,
    Accepted,
    Delivery,
    DeliverySettled,
    Failure,
    Kind,
    Refused,
    attempt,
    is_hopeless,
    pruned,
    settle,
)
from services.shared.instant import SECOND, Instant


class IncidentState(IntEnum):
    """Whether anything is open."""

    OPEN = 1
    RESOLVED = 2


class Transition(IntEnum):
    """What a write announces."""

    OPENED = 1
    UPDATED = 2
    RESOLVED = 3


class Incident(NamedTuple):
    """The record: what one receiver group is being told."""

    incident_id: str
    route: str
    state: int = IncidentState.RESOLVED
    since: Instant = NONE
    items: tuple[Item, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    next_sequence: int = 1


class ItemSeen(NamedTuple):
    """A record said how an item stands."""

    route: str
    item: Item
    #: When this was heard, by the clock on the wall.
    seen_at: Instant = NONE

    @property
    def occurred_at(self) -> Instant:
        return self.item.announced_at


Fact = ItemSeen | DeliverySettled


class Receivers(NamedTuple):
    """Who is told on a route."""

    #: Target → its channel.
    targets: Mapping[str, str]
    at_risk: bool = False
    #: Schedule → the target on call at an instant, one of `others`. No target is named like a schedule.
    on_call: Mapping[str, Callable[[Instant], str]] = {}
    #: Who can be on call, or was → their channel.
    others: Mapping[str, str] = {}


class Plan(NamedTuple):
    """What the notifier goes by."""

    routes: Mapping[str, Receivers]
    #: Severity → microseconds from the first attempt until retrying ends.
    patience: Mapping[int, int]


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

#: A resolved incident is forgotten after a day, when nobody can have doubts about it any more.
REMEMBERED = 86_400 * SECOND

_NOBODY = Receivers({})

#: What a target believes, and how things stand → what it must hear. Where nothing is listed, nothing.
NEWS: Mapping[tuple[int, int], Kind] = {
    (Standing.UNSPECIFIED, Standing.AT_RISK): Kind.AT_RISK,
    (Standing.UNSPECIFIED, Standing.BROKEN): Kind.BREACH,
    (Standing.AT_RISK, Standing.FINE): Kind.RESOLVED,
    (Standing.AT_RISK, Standing.BROKEN): Kind.BREACH,
    (Standing.AT_RISK, Standing.FULFILLED_LATE): Kind.RESOLVED,
    (Standing.AT_RISK, Standing.WITHDRAWN): Kind.RESOLVED,
    (Standing.BROKEN, Standing.FINE): Kind.RESOLVED,
    (Standing.BROKEN, Standing.AT_RISK): Kind.RESOLVED,
    (Standing.BROKEN, Standing.FULFILLED_LATE): Kind.RESOLVED,
    (Standing.BROKEN, Standing.WITHDRAWN): Kind.RESOLVED,
}


def fold(incident_id: str, old: Incident | None, facts: Sequence[Fact], plan: Plan) -> Incident | None:
    """The incident after more facts, and what it decides to tell. Equal to `old` where they say nothing new."""
    seen = [fact for fact in facts if isinstance(fact, ItemSeen)]
    incident = old or Incident(incident_id, seen[0].route if seen else "")
    receivers = plan.routes.get(incident.route, _NOBODY)
    items = {identity(item): item for item in incident.items}
    for fact in seen:
        _see(items, fact.item, receivers)
    if old is None and not items:
        return None
    ends = [fact for fact in facts if isinstance(fact, DeliverySettled)]
    deliveries = settle(incident.deliveries, ends)
    _note_threads(items, ends)
    duty = _duty(receivers, facts)
    hearers = _hearers(items.values(), receivers, duty)
    decided = _decide(incident._replace(deliveries=deliveries), items, receivers, duty, hearers)
    return _tidy(decided, receivers, hearers)


def due(incident: Incident, now: Instant, plan: Plan) -> Incident | None:
    """The incident with an attempt at every message whose time has come; None once it may be forgotten."""
    forget_at = _forget_at(incident, plan)
    if forget_at is not None and now >= forget_at:
        return None
    hopeless = (
        DeliverySettled(now, delivery.delivery_id, Refused(Failure.EXPIRED))
        for delivery in incident.deliveries
        if is_hopeless(delivery, now)
    )
    return incident._replace(
        deliveries=tuple(
            attempt(delivery, now, plan.patience[delivery.severity])
            if delivery.state in UNSETTLED and delivery.next_attempt_at <= now
            else delivery
            for delivery in settle(incident.deliveries, hopeless)
        )
    )


def next_deadline(incident: Incident, plan: Plan) -> Instant | None:
    """The next instant at which `due` would change the incident; None if only facts can."""
    attempts = [d.next_attempt_at for d in incident.deliveries if d.state in UNSETTLED]
    return min(attempts) if attempts else _forget_at(incident, plan)


def transition(old: Incident | None, new: Incident) -> Transition:
    """What the step from `old` to `new` announces."""
    before = old.state if old else IncidentState.RESOLVED
    if new.state == before:
        return Transition.UPDATED
    return Transition.OPENED if new.state == IncidentState.OPEN else Transition.RESOLVED


def news(item: Item, target: str, roles: Iterable[str], receivers: Receivers) -> Kind | None:
    """What a target must hear about an item, if anything. `roles`: as whom it hears of what it was not told before."""
    believed = _belief(item, target)
    if not believed and not (
        _concerns(item, receivers) and any((_belief(item, role), item.standing) in NEWS for role in roles)
    ):
        return None
    return NEWS.get((believed, item.standing))


def _belief(item: Item, name: str) -> int:
    """How a target, or a schedule, was told that an item stands."""
    return next((told.standing for told in item.told if told.target == name), Standing.UNSPECIFIED)


def _duty(receivers: Receivers, facts: Iterable[Fact]) -> Mapping[str, str]:
    """Schedule → who is on call as the facts are heard."""
    if not receivers.on_call:
        return {}
    now = max(fact.seen_at or fact.occurred_at if isinstance(fact, ItemSeen) else fact.occurred_at for fact in facts)
    return {schedule: who(now) for schedule, who in receivers.on_call.items()}


def _hearers(items: Iterable[Item], receivers: Receivers, duty: Mapping[str, str]) -> Mapping[str, Sequence[str]]:
    """Target → as whom it hears news: as itself, as a schedule, or only of what it was told while it was on call."""
    hearers = {target: [target] for target in receivers.targets}
    for schedule, target in duty.items():
        hearers.setdefault(target, []).append(schedule)
    if duty:
        told = {told.target for item in items for told in item.told}
        hearers |= {target: [] for target in sorted(told & receivers.others.keys() - hearers.keys())}
    return hearers


def _hand_on(
    items: dict[tuple[str, str, int], Item], duty: Mapping[str, str], hearers: Mapping[str, Sequence[str]]
) -> None:
    """Notes what the schedules believe."""
    if duty:
        items.update({key: _handed_on(item, duty, hearers) for key, item in items.items()})


def _handed_on(item: Item, duty: Mapping[str, str], hearers: Mapping[str, Sequence[str]]) -> Item:
    """The item with what the schedules believe: what was said to somebody on call, as long as it is not over.

    Where those who know are all gone from the configuration, the schedules know nothing either.
    """
    people = [told for told in item.told if told.target in hearers]
    schedules: list[Told] = []
    for schedule, target in duty.items():
        believed = _belief(item, schedule)
        knows = next((told for told in people if told.target == target and told.standing == item.standing), None)
        if knows and believed != item.standing:
            schedules.append(knows._replace(target=schedule))
        elif people and believed and NEWS.get((believed, item.standing)) != Kind.RESOLVED:
            schedules += [told for told in item.told if told.target == schedule]
    return item._replace(told=tuple(sorted((*people, *schedules))))


def _concerns(item: Item, receivers: Receivers) -> bool:
    """Whether those are to be told who were not yet."""
    return not item.follow_up and (
        item.standing == Standing.BROKEN or (item.standing == Standing.AT_RISK and receivers.at_risk)
    )


def _is_live(item: Item, receivers: Receivers) -> bool:
    """Whether it is open, or somebody still believes so."""
    return bool(item.told) or _concerns(item, receivers)


def _see(items: dict[tuple[str, str, int], Item], seen: Item, receivers: Receivers) -> None:
    """Takes in how an item stands, unless that is old or no news."""
    key = identity(seen)
    known = items.get(key)
    if known is None:
        if _concerns(seen, receivers):
            items[key] = seen
    elif seen.offset > known.offset and _gist(seen) != _gist(known):
        items[key] = seen._replace(told=known.told)


def _gist(item: Item) -> tuple[object, ...]:
    """What of an item can make a difference to anybody."""
    return item.standing, item.severity, item.due_at, item.since, item.follow_up


def _decide(
    incident: Incident,
    items: dict[tuple[str, str, int], Item],
    receivers: Receivers,
    duty: Mapping[str, str],
    hearers: Mapping[str, Sequence[str]],
) -> Incident:
    """Adds a message for every target that is free and has something to hear, and notes who believes what since."""
    busy = {delivery.target for delivery in incident.deliveries if delivery.state in UNSETTLED}
    deliveries, sequence = list(incident.deliveries), incident.next_sequence
    channels = {**receivers.others, **receivers.targets}
    _hand_on(items, duty, hearers)
    for target, roles in hearers.items():
        to_tell: dict[Kind, list[Item]] = {}
        if target not in busy:
            for item in items.values():
                if kind := news(item, target, roles, receivers):
                    to_tell.setdefault(kind, []).append(item)
        if not to_tell:
            continue
        kind = min(to_tell)
        told = _answerable(to_tell[kind], target)
        delivery = _compose(incident.incident_id, sequence, kind, (target, channels[target]), told)
        sequence += 1
        for item in told:
            items[identity(item)] = _believing(item, delivery)
        still = {earlier.delivery_id for item in items.values() for earlier in _heard(item, target)}
        deliveries.append(delivery._replace(over=tuple(over for over in delivery.answers if over not in still)))
    _hand_on(items, duty, hearers)
    return incident._replace(items=tuple(items.values()), deliveries=tuple(deliveries), next_sequence=sequence)


def _heard(item: Item, target: str) -> list[Told]:
    return [told for told in item.told if told.target == target]


def _answerable(items: Iterable[Item], target: str) -> list[Item]:
    """As many of the items as can be told in one message, the worst first."""
    chosen: list[Item] = []
    answers: set[str] = set()
    for item in sorted(items, key=_worst_first):
        earlier = {told.delivery_id for told in _heard(item, target)}
        if len(answers | earlier) <= MAX_ANSWERED:
            answers |= earlier
            chosen.append(item)
    return chosen


def _note_threads(items: dict[tuple[str, str, int], Item], ends: Iterable[DeliverySettled]) -> None:
    """Notes in which thread a message stands that was accepted just now, for what will answer it."""
    accepted = {end.delivery_id: end.outcome for end in ends if isinstance(end.outcome, Accepted)}
    threads = {delivery_id: outcome.thread for delivery_id, outcome in accepted.items() if outcome.thread}
    if not threads:
        return
    for key, item in items.items():
        noted = (told._replace(thread=threads.get(told.delivery_id, told.thread)) for told in item.told)
        items[key] = item._replace(told=tuple(noted))


def _compose(incident_id: str, sequence: int, kind: Kind, to: tuple[str, str], items: Sequence[Item]) -> Delivery:
    target, channel = to
    listed = _fitting((item._replace(told=()) for item in items), MAX_LISTED, MAX_LISTED_BYTES)
    earlier = [told for item in items for told in _heard(item, target)]
    # Sequences start anew once an incident was forgotten; what is told makes the id unique all the same.
    content = [incident_id, str(sequence), target, *(f"{item.record_id}@{item.offset}" for item in listed)]
    return Delivery(
        delivery_id=blake2b("\n".join(content).encode(), digest_size=8).hexdigest(),
        sequence=sequence,
        kind=kind,
        severity=max(item.severity for item in items),
        target=target,
        channel=channel,
        items=tuple(listed),
        item_count=len(items),
        decided_at=max(item.announced_at for item in items),
        answers=tuple(sorted({told.delivery_id for told in earlier})),
        threads=tuple(sorted({told.thread for told in earlier if told.thread})),
    )


def _believing(item: Item, delivery: Delivery) -> Item:
    """The item once its target is told. Who knows that it is over believes nothing any more."""
    others = [told for told in item.told if told.target != delivery.target]
    if delivery.kind != Kind.RESOLVED:
        others.append(Told(delivery.target, item.standing, delivery.delivery_id))
    return item._replace(told=tuple(sorted(others)))


def _tidy(incident: Incident, receivers: Receivers, hearers: Mapping[str, Sequence[str]]) -> Incident:
    """Drops what nobody needs any more, puts the rest in order and says whether anything is open."""
    over: list[Item] = []
    informed: list[Item] = []
    waiting: list[Item] = []
    known = {*hearers, *receivers.on_call}
    for item in incident.items:
        kept = item
        if any(told.target not in known for told in item.told):
            # A target that was taken out of the route can be told nothing more.
            kept = item._replace(told=tuple(told for told in item.told if told.target in known))
        if not _is_live(kept, receivers):
            over.append(kept)
        elif any(news(kept, target, roles, receivers) for target, roles in hearers.items()):
            waiting.append(kept)
        else:
            informed.append(kept)
    waiting.sort(key=_worst_first)
    quiet = (*waiting[MAX_DETAILED:], *sorted(informed, key=_newest_first))
    items = [
        *_fitting((*waiting[:MAX_DETAILED], *map(slim, quiet)), MAX_ITEMS - MAX_OVER, MAX_BYTES),
        *_fitting(map(slim, sorted(over, key=_newest_first)), MAX_OVER, MAX_OVER_BYTES),
    ]
    live = waiting + informed
    return incident._replace(
        state=IncidentState.OPEN if live else IncidentState.RESOLVED,
        since=min((item.since for item in live), default=incident.since),
        items=tuple(sorted(items, key=identity)),
        deliveries=pruned(d for d in incident.deliveries if d.state in UNSETTLED or d.target in hearers),
    )


def _worst_first(item: Item) -> tuple[object, ...]:
    return item.details is None, -item.severity, item.since, item.record_id


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


def _forget_at(incident: Incident, plan: Plan) -> Instant | None:
    if any(delivery.state in UNSETTLED for delivery in incident.deliveries):
        return None
    if incident.route not in plan.routes:
        return AT_ONCE
    if incident.state == IncidentState.OPEN:
        return None
    last_heard = max((item.announced_at for item in incident.items), default=NONE)
    last_said = max((delivery.settled_at for delivery in incident.deliveries), default=NONE)
    return Instant(max(last_heard, last_said) + REMEMBERED)
