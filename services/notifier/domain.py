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
* `attempted_at_once` makes it one write where news is fresh: decided, and about to be sent.
"""

from collections.abc import Iterable, Mapping, Sequence

from services.notifier import beliefs, fallbacks, pace
from services.notifier.beliefs import Items, Receivers, is_live
from services.notifier.holds import Scene
from services.notifier.incident import Fact, Incident, IncidentState, ItemSeen, Plan, Transition
from services.notifier.items import AT_ONCE, NONE, Handling, Item, identity, waiting_for
from services.notifier.outbox import (
    FALLBACK_CHANNEL,
    UNSETTLED,
    Accepted,
    Delivery,
    DeliverySettled,
    DeliveryState,
    Failure,
    Kind,
    Refused,
    attempt,
    is_hopeless,
    put_off,
)
from services.notifier.responses import Attention, Response, answer, lapsed
from services.notifier.rising import rise
from services.notifier.telling import tell
from services.notifier.turns import is_end, joins
from services.shared.instant import SECOND, Instant

#: A resolved incident is forgotten after a day, when nobody can have doubts about it any more.
REMEMBERED = 86_400 * SECOND
#: One that somebody closed, after so long: the events still say that something is broken, and may say so again.
CLOSED_REMEMBERED = 30 * REMEMBERED

#: How old news may be, for a message to be attempted as soon as it is decided.
FRESH = 3 * SECOND
#: What is as new as the clock says, and so never tells whether what is unread takes it back.
_BY_THE_CLOCK = frozenset({Kind.ESCALATION, Kind.REMINDER})

_NOBODY = Receivers({})


def fold(incident_id: str, old: Incident | None, facts: Sequence[Fact], plan: Plan) -> Incident | None:
    """The incident after more facts, and what it decides to tell. Equal to `old` where they say nothing new."""
    seen = [fact for fact in facts if isinstance(fact, ItemSeen)]
    incident = old or Incident(incident_id, seen[0].route if seen else "")
    receivers = plan.routes.get(incident.route, _NOBODY)
    items = beliefs.of(incident.items)
    before = dict(items)
    now = max(fact.heard_at for fact in facts)
    gone = sum([_see(items, fact, receivers, lost=incident.unfollowed > 0) for fact in seen])
    incident = incident._replace(unfollowed=max(incident.unfollowed - gone, 0))
    if old is None and not items:
        return None
    rise(items, before, now, receivers)
    ends = [fact for fact in facts if isinstance(fact, DeliverySettled)]
    incident = incident._replace(deliveries=fallbacks.end(incident.deliveries, items, ends, receivers))
    _note_threads(items, ends)
    if any(is_live(item, receivers) for item in items.values()):
        incident = _answered(_begun(incident, now), items, facts, receivers)
    return _told(incident, items, receivers, plan.scene(incident, items, now))


def due(incident: Incident, now: Instant, plan: Plan) -> Incident | None:
    """The incident as time has come to `now`, with an attempt at every message whose turn it is.

    None once it may be forgotten.
    """
    forget_at = _forget_at(incident, plan)
    if forget_at is not None and now >= forget_at:
        return None
    incident = _passed(incident, now, plan)
    return incident._replace(
        deliveries=tuple(
            _attempted(delivery, now, plan)
            if delivery.state in UNSETTLED and delivery.next_attempt_at <= now
            else delivery
            for delivery in incident.deliveries
        )
    )


def attempted_at_once(known: Incident | None, incident: Incident, now: Instant, plan: Plan) -> Incident:
    """The incident with an attempt at each message that was decided since `known`, where its news is fresh.

    The write that decides it then says SENDING, too, and a message takes one write less. What is not fresh, or is what
    only time brings about, waits until all is read that happened since: `due` has it sent.
    """
    first = known.next_sequence if known else 1
    return incident._replace(
        deliveries=tuple(
            _attempted(delivery, now, plan)
            if delivery.sequence >= first
            and delivery.state == DeliveryState.PENDING
            and delivery.kind not in _BY_THE_CLOCK
            and delivery.next_attempt_at <= now <= delivery.decided_at + FRESH
            else delivery
            for delivery in incident.deliveries
        )
    )


def _attempted(delivery: Delivery, now: Instant, plan: Plan) -> Delivery:
    """The delivery with an attempt at it, or put off where its target is left alone: that takes one write less."""
    pause, patience = plan.pauses.get(delivery.target), plan.patience[delivery.severity]
    if pause and pause.until > now and delivery.state == DeliveryState.PENDING and delivery.channel != FALLBACK_CHANNEL:
        later = put_off(delivery, now, patience, pause)
        if later.next_attempt_at > now:
            return later
    return attempt(delivery, now, patience)


def next_deadline(incident: Incident, plan: Plan) -> Instant | None:
    """The next instant at which `due` would change the incident; None if only facts can."""
    acknowledgement = incident.attention.acknowledgement
    instants = [delivery.next_attempt_at for delivery in incident.deliveries if delivery.state in UNSETTLED]
    instants += [acknowledgement.until] if acknowledgement else []
    instants += [at for at in (incident.next_step_at, incident.next_look_at) if at]
    if _is_outdated(incident, plan):
        return AT_ONCE
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


def _see(items: Items, fact: ItemSeen, receivers: Receivers, *, lost: bool) -> bool:
    """Takes in how an item stands, unless that is old or no news. True: it is over, and was one of those lost."""
    seen = fact.item
    key = identity(seen)
    known = items.get(key)
    if known is None:
        if joins(seen, receivers, lost=lost) or seen.rises:
            items[key] = seen
            return is_end(seen)
    elif seen.offset > known.offset and _gist(seen) != _gist(known):
        # What somebody answered was the trouble as it was.
        same = (seen.standing, seen.due_at) == (known.standing, known.due_at)
        handling = known.handling if same else Handling.UNSPECIFIED
        told = beliefs.kept(known, seen.severity, receivers)
        items[key] = pace.flipped(known, seen, fact.heard_at)._replace(told=told, handling=handling)
    elif seen.offset > known.offset and waiting_for(seen) != waiting_for(known):
        # Whoever is told later hears how many wait by then.
        items[key] = known._replace(details=seen.details, offset=seen.offset)
    return False


def _gist(item: Item) -> tuple[object, ...]:
    """What of an item can make a difference to anybody."""
    return item.standing, item.severity, item.due_at, item.since, item.follow_up, item.rises


def _begun(incident: Incident, now: Instant) -> Incident:
    """The incident where something is open: what was over begins anew."""
    if incident.state != IncidentState.RESOLVED:
        return incident
    return incident._replace(attention=Attention(now), unfollowed=0)


def _answered(incident: Incident, items: Items, facts: Iterable[Fact], receivers: Receivers) -> Incident:
    """The incident after what people said to it."""
    attention = incident.attention
    for response in facts:
        if isinstance(response, Response):
            attention = answer(attention, items, response, receivers)
    return incident._replace(attention=attention)


def _passed(incident: Incident, now: Instant, plan: Plan) -> Incident:
    """The incident once an acknowledgement has lapsed, a step of the escalation is taken, or a message is given up."""
    acknowledgement = incident.attention.acknowledgement
    has_lapsed = acknowledgement is not None and acknowledgement.until <= now
    escalates = NONE < incident.next_step_at <= now
    hopeless = [
        DeliverySettled(now, delivery.delivery_id, Refused(Failure.EXPIRED))
        for delivery in incident.deliveries
        if is_hopeless(delivery, now)
    ]
    looks = NONE < incident.next_look_at <= now or _is_outdated(incident, plan)
    if not (has_lapsed or escalates or hopeless or looks):
        return incident
    items, receivers = beliefs.of(incident.items), plan.routes.get(incident.route, _NOBODY)
    rise(items, dict(items), now, receivers)
    if any(is_live(item, receivers) for item in items.values()):
        incident = _begun(incident, now)
    incident = incident._replace(deliveries=fallbacks.end(incident.deliveries, items, hopeless, receivers))
    scene = plan.scene(incident, items, now)
    if has_lapsed:
        incident = incident._replace(attention=lapsed(incident.attention, items))
    if escalates:
        incident = _escalated(incident, items, receivers, scene)
    return _told(incident, items, receivers, scene)


def _is_outdated(incident: Incident, plan: Plan) -> bool:
    """Whether something is held back, and what holds things back has changed since."""
    return NONE < incident.looked_at < plan.holds.since


def _escalated(incident: Incident, items: Items, receivers: Receivers, scene: Scene) -> Incident:
    """The next step: who was not told yet is told, and who was is told again."""
    taken, steps, now = incident.steps_taken + 1, receivers.steps, scene.now
    if taken > len(steps):  # the configuration has fewer than it had
        return incident._replace(next_step_at=NONE)
    if not any(item.is_unanswered and not scene.held(item) for item in items.values()):
        return incident
    step = steps[taken - 1]
    called = [*step.people, *(who(now) for who in step.on_call.values())]
    told = (target for name in called for target in receivers.contact(name))
    beliefs.forget(items, (*step.targets, *step.on_call, *told))
    following = Instant(now + steps[taken].after) if taken < len(steps) else NONE
    return incident._replace(steps_taken=taken, next_step_at=following)


def _told(incident: Incident, items: Items, receivers: Receivers, scene: Scene) -> Incident:
    return tell(_watched(incident, items, receivers, scene), items, receivers, scene)


def _watched(incident: Incident, items: Items, receivers: Receivers, scene: Scene) -> Incident:
    """The escalation runs while something is unanswered, and begins anew with what breaks after its last step."""
    incident = incident._replace(next_look_at=NONE)
    if not receivers.steps:
        return incident._replace(steps_taken=0, next_step_at=NONE)
    unanswered = [(item, scene.held(item)) for item in items.values() if item.is_unanswered]
    waiting = [item for item, held in unanswered if held is None]
    if not waiting:
        looks = [held.until for _, held in unanswered if held and held.until]
        return incident._replace(steps_taken=0, next_step_at=NONE, next_look_at=min(looks, default=NONE))
    is_over = incident.steps_taken and all(item.told for item in waiting)
    if incident.next_step_at or is_over:
        return incident
    return incident._replace(steps_taken=0, next_step_at=Instant(scene.now + receivers.steps[0].after))


def _note_threads(items: Items, ends: Iterable[DeliverySettled]) -> None:
    """Notes in which thread a message stands that was accepted just now, for what will answer it."""
    accepted = {end.delivery_id: end.outcome for end in ends if isinstance(end.outcome, Accepted)}
    threads = {delivery_id: outcome.thread for delivery_id, outcome in accepted.items() if outcome.thread}
    if not threads:
        return
    for key, item in items.items():
        noted = (told._replace(thread=threads.get(told.delivery_id, told.thread)) for told in item.told)
        items[key] = item._replace(told=tuple(noted))


def _forget_at(incident: Incident, plan: Plan) -> Instant | None:
    if any(delivery.state in UNSETTLED for delivery in incident.deliveries):
        return None
    if incident.route not in plan.routes:
        return AT_ONCE
    if incident.state != IncidentState.RESOLVED or any(item.rises for item in incident.items):
        return None
    closed = any(item.handling == Handling.CLOSED for item in incident.items)
    last_heard = max((item.announced_at for item in incident.items), default=NONE)
    last_said = max((delivery.settled_at for delivery in incident.deliveries), default=NONE)
    return Instant(max(last_heard, last_said) + (CLOSED_REMEMBERED if closed else REMEMBERED))
