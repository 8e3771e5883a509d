"""Who has been told what, and who must hear what next. Pure; it knows no Kafka, no protobuf and no clock.

An `Incident` is all that one receiver group is being told: the promises and clocks in trouble (`Item`), the messages
about them (`Delivery`), and what people said to it (`Attention`). It compares how each item stands with what each
target believes (`beliefs`), so a repeated or missed record changes nothing, and an older one is known by its offset.

* `fold` takes in what was seen, how attempts ended and what people answered, and decides what to tell: per target one
  message at a time, so that a resolution never overtakes its breach, what happens meanwhile is told together, and one
  target that is down holds up no other.
* `due` does what time brings about: an acknowledgement lapses, the next step of an escalation is taken, what is to be
  sent becomes an attempt. The attempt is made once the record that says so is acknowledged; if its end is never heard
  of, it is made again: at least once, under the same id.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from services.notifier import beliefs, pace
from services.notifier.beliefs import PRECEDENCE, Hearers, Items, Receivers, believing, concerns, heard, is_live, news
from services.notifier.items import AT_ONCE, NONE, Handling, Item, Standing, identity, slim, weight
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
from services.notifier.responses import Action, Attention, Response, answer, is_acknowledged, lapsed
from services.shared.instant import SECOND, Instant


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
#: One that somebody closed, after so long: the events still say that something is broken, and may say so again.
CLOSED_REMEMBERED = 30 * REMEMBERED

_NOBODY = Receivers({})


def fold(incident_id: str, old: Incident | None, facts: Sequence[Fact], plan: Plan) -> Incident | None:
    """The incident after more facts, and what it decides to tell. Equal to `old` where they say nothing new."""
    seen = [fact for fact in facts if isinstance(fact, ItemSeen)]
    incident = old or Incident(incident_id, seen[0].route if seen else "")
    receivers = plan.routes.get(incident.route, _NOBODY)
    items = beliefs.of(incident.items)
    for fact in seen:
        _see(items, fact, receivers)
    if old is None and not items:
        return None
    now = max(fact.heard_at for fact in facts)
    ends = [fact for fact in facts if isinstance(fact, DeliverySettled)]
    incident = incident._replace(deliveries=settle(incident.deliveries, ends))
    _note_threads(items, ends)
    if any(is_live(item, receivers) for item in items.values()):
        if incident.state == IncidentState.RESOLVED:
            incident = incident._replace(attention=Attention(now))
        incident = _answered(incident, items, facts, receivers)
    return _told(incident, items, receivers, now)


def due(incident: Incident, now: Instant, plan: Plan) -> Incident | None:
    """The incident as time has come to `now`, with an attempt at every message whose turn it is.

    None once it may be forgotten.
    """
    forget_at = _forget_at(incident, plan)
    if forget_at is not None and now >= forget_at:
        return None
    incident = _passed(incident, now, plan.routes.get(incident.route, _NOBODY))
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
    acknowledgement = incident.attention.acknowledgement
    instants = [delivery.next_attempt_at for delivery in incident.deliveries if delivery.state in UNSETTLED]
    instants += [acknowledgement.until] if acknowledgement else []
    instants += [at for at in (incident.next_step_at, incident.next_look_at) if at]
    return min(instants) if instants else _forget_at(incident, plan)


#: From one state to another → what that announces.
_TRANSITIONS: Mapping[tuple[int, int], Transition] = {
    (IncidentState.RESOLVED, IncidentState.OPEN): Transition.OPENED,
    # Somebody answered before the opening was written.
    (IncidentState.RESOLVED, IncidentState.ACKNOWLEDGED): Transition.OPENED,
    (IncidentState.OPEN, IncidentState.ACKNOWLEDGED): Transition.ACKNOWLEDGED,
    (IncidentState.ACKNOWLEDGED, IncidentState.OPEN): Transition.LAPSED,
    (IncidentState.OPEN, IncidentState.RESOLVED): Transition.RESOLVED,
    (IncidentState.ACKNOWLEDGED, IncidentState.RESOLVED): Transition.RESOLVED,
}


def transition(old: Incident | None, new: Incident) -> Transition:
    """What the step from `old` to `new` announces."""
    before, steps = (old.state, old.steps_taken) if old else (IncidentState.RESOLVED, 0)
    if new.state == before:
        return Transition.ESCALATED if new.steps_taken > steps else Transition.UPDATED
    return _TRANSITIONS[before, new.state]


# --- what facts and time bring about


def _see(items: Items, fact: ItemSeen, receivers: Receivers) -> None:
    """Takes in how an item stands, unless that is old or no news."""
    seen = fact.item
    key = identity(seen)
    known = items.get(key)
    if known is None:
        if concerns(seen, receivers):
            items[key] = seen
    elif seen.offset > known.offset and _gist(seen) != _gist(known):
        # What somebody answered was the trouble as it was.
        same = (seen.standing, seen.due_at) == (known.standing, known.due_at)
        handling = known.handling if same else Handling.UNSPECIFIED
        items[key] = pace.flipped(known, seen, fact.heard_at)._replace(told=known.told, handling=handling)


def _gist(item: Item) -> tuple[object, ...]:
    """What of an item can make a difference to anybody."""
    return item.standing, item.severity, item.due_at, item.since, item.follow_up


def _answered(incident: Incident, items: Items, facts: Iterable[Fact], receivers: Receivers) -> Incident:
    """The incident after what people said to it."""
    attention = incident.attention
    for response in facts:
        if isinstance(response, Response):
            attention = answer(attention, items, response, receivers.attention)
    return incident._replace(attention=attention)


def _passed(incident: Incident, now: Instant, receivers: Receivers) -> Incident:
    """The incident once an acknowledgement has lapsed, or a step of the escalation is taken, where it is time."""
    acknowledgement = incident.attention.acknowledgement
    has_lapsed = acknowledgement is not None and acknowledgement.until <= now
    escalates = NONE < incident.next_step_at <= now
    if not (has_lapsed or escalates or NONE < incident.next_look_at <= now):
        return incident
    items = beliefs.of(incident.items)
    if has_lapsed:
        incident = incident._replace(attention=lapsed(incident.attention, items))
    if escalates:
        incident = _escalated(incident, items, now, receivers)
    return _told(incident, items, receivers, now)


def _escalated(incident: Incident, items: Items, now: Instant, receivers: Receivers) -> Incident:
    """The next step: who was not told yet is told, and who was is told again."""
    taken, steps = incident.steps_taken + 1, receivers.steps
    if taken > len(steps):  # the configuration has fewer than it had
        return incident._replace(next_step_at=NONE)
    step = steps[taken - 1]
    beliefs.forget(items, (*step.targets, *step.on_call, *(who(now) for who in step.on_call.values())))
    following = Instant(now + steps[taken].after) if taken < len(steps) else NONE
    return incident._replace(steps_taken=taken, next_step_at=following)


def _watched(incident: Incident, items: Items, receivers: Receivers, now: Instant) -> Incident:
    """The escalation runs while something is unanswered; all taken, what breaks later begins it anew."""
    unanswered = [item for item in items.values() if item.is_unanswered]
    if not unanswered:
        return incident._replace(steps_taken=0, next_step_at=NONE)
    is_over = incident.steps_taken and all(item.told for item in unanswered)
    if incident.next_step_at or is_over or not receivers.steps:
        return incident
    return incident._replace(steps_taken=0, next_step_at=Instant(now + receivers.steps[0].after))


# --- what is told


def _told(incident: Incident, items: Items, receivers: Receivers, now: Instant) -> Incident:
    """The incident with what everybody must hear by now."""
    incident = _watched(incident, items, receivers, now)
    known = beliefs.hearers(items.values(), receivers, incident.steps_taken, now)
    decided = _decide(incident, items, receivers, known, now)
    return _tidy(decided, receivers, known)


def _decide(incident: Incident, items: Items, receivers: Receivers, known: Hearers, now: Instant) -> Incident:
    """Adds a message for every target that is free and has something to hear, and notes who believes what since."""
    busy = {delivery.target for delivery in incident.deliveries if delivery.state in UNSETTLED}
    deliveries, duty, looks = list(incident.deliveries), receivers.duty(now), set[Instant]()
    beliefs.hand_on(items, duty, known)
    for target, roles in known.items():
        to_tell: dict[Kind, list[Item]] = {}
        if target not in busy:
            for item in items.values():
                if kind := news(item, target, roles, receivers):
                    if (until := pace.held_until(item, kind)) > now:
                        looks.add(until)
                    else:
                        to_tell.setdefault(kind, []).append(item)
        last = pace.last_told(incident.deliveries, target)
        ready = {kind: pace.ready_at(receivers.pace, kind, told, last) for kind, told in to_tell.items()}
        looks.update(at for at in ready.values() if at > now)
        kind = min((kind for kind, at in ready.items() if at <= now), key=PRECEDENCE.index, default=None)
        if kind is None:
            continue
        again = to_tell.get(Kind.REMINDER, []) if kind == Kind.ESCALATION else []
        told = _answerable([*to_tell[kind], *again], target)
        delivery = _compose(incident, kind, (target, receivers.channel(target)), told, now)
        incident = incident._replace(next_sequence=incident.next_sequence + 1)
        for item in told:
            items[identity(item)] = believing(item, delivery)
        still = {earlier.delivery_id for item in items.values() for earlier in heard(item, target)}
        deliveries.append(delivery._replace(over=tuple(over for over in delivery.answers if over not in still)))
    beliefs.hand_on(items, duty, known)
    next_look_at = min(looks, default=NONE)
    return incident._replace(items=tuple(items.values()), deliveries=tuple(deliveries), next_look_at=next_look_at)


def _answerable(items: Iterable[Item], target: str) -> list[Item]:
    """As many of the items as can be told in one message, the worst first."""
    chosen: list[Item] = []
    answers: set[str] = set()
    for item in sorted(items, key=_worst_first):
        earlier = {told.delivery_id for told in heard(item, target)}
        if len(answers | earlier) <= MAX_ANSWERED:
            answers |= earlier
            chosen.append(item)
    return chosen


def _note_threads(items: Items, ends: Iterable[DeliverySettled]) -> None:
    """Notes in which thread a message stands that was accepted just now, for what will answer it."""
    accepted = {end.delivery_id: end.outcome for end in ends if isinstance(end.outcome, Accepted)}
    threads = {delivery_id: outcome.thread for delivery_id, outcome in accepted.items() if outcome.thread}
    if not threads:
        return
    for key, item in items.items():
        noted = (told._replace(thread=threads.get(told.delivery_id, told.thread)) for told in item.told)
        items[key] = item._replace(told=tuple(noted))


def _compose(incident: Incident, kind: Kind, to: tuple[str, str], items: Sequence[Item], now: Instant) -> Delivery:
    target, channel = to
    attention, sequence = incident.attention, incident.next_sequence
    listed = _fitting((item._replace(told=()) for item in items), MAX_LISTED, MAX_LISTED_BYTES)
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
        answers=tuple(sorted({told.delivery_id for told in earlier})),
        threads=tuple(sorted({told.thread for told in earlier if told.thread})),
        by=_spoken_by(attention, kind, closed=closed),
        opened_at=attention.opened_at,
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
    waiting: list[Item] = []
    names = {*known, *(schedule for group in receivers.groups for schedule in group.on_call)}
    for item in incident.items:
        kept = item
        if any(told.target not in names for told in item.told):
            # A target that was taken out of the route can be told nothing more.
            kept = item._replace(told=tuple(told for told in item.told if told.target in names))
        if not is_live(kept, receivers):
            # The events say that it is broken: without the word of whoever closed it, it would be told anew.
            (closed if kept.handling == Handling.CLOSED else over).append(kept)
        elif any(news(kept, target, roles, receivers) for target, roles in known.items()):
            waiting.append(kept)
        else:
            informed.append(kept)
    waiting.sort(key=_worst_first)
    quiet = (
        *waiting[MAX_DETAILED:],
        *sorted(informed, key=_newest_first),
        *sorted(closed, key=_newest_first),
    )
    items = [
        *_fitting((*waiting[:MAX_DETAILED], *map(slim, quiet)), MAX_ITEMS - MAX_OVER, MAX_BYTES),
        *_fitting(map(slim, sorted(over, key=_newest_first)), MAX_OVER, MAX_OVER_BYTES),
    ]
    live = waiting + informed
    attention = incident.attention if live else incident.attention._replace(acknowledgement=None)
    return incident._replace(
        state=_state(live, attention),
        since=min((item.since for item in live), default=incident.since),
        items=tuple(sorted(items, key=identity)),
        deliveries=pruned(d for d in incident.deliveries if d.state in UNSETTLED or d.target in known),
        attention=attention,
    )


def _state(live: Iterable[Item], attention: Attention) -> IncidentState:
    items = beliefs.of(live)
    if not items:
        return IncidentState.RESOLVED
    return IncidentState.ACKNOWLEDGED if is_acknowledged(attention, items) else IncidentState.OPEN


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
    if incident.state != IncidentState.RESOLVED:
        return None
    closed = any(item.handling == Handling.CLOSED for item in incident.items)
    last_heard = max((item.announced_at for item in incident.items), default=NONE)
    last_said = max((delivery.settled_at for delivery in incident.deliveries), default=NONE)
    return Instant(max(last_heard, last_said) + (CLOSED_REMEMBERED if closed else REMEMBERED))
