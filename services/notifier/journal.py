"""What is written down of an incident's steps for good: all that broke, and each attempt to tell somebody of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

from puntual.notifier.v1 import audit_pb2 as pb
from puntual.notifier.v1.incident_pb2 import NotificationKind, Severity, Standing
from services.notifier.beliefs import Receivers
from services.notifier.incident import Fact, Incident, ItemSeen, Plan
from services.notifier.outbox import Delivery, DeliverySettled, DeliveryState, settle
from services.notifier.responses import Action, Response
from services.notifier.turns import turns
from services.shared.clock import set_timestamp
from services.shared.engine.machine import Journal
from services.shared.instant import Instant

AUDIT = "audit.v1"

#: The state that a message comes to → what has happened. What waits after an attempt waits for the next one.
OUTCOMES: Mapping[int, pb.NotificationOutcome.ValueType] = {
    DeliveryState.PENDING: pb.NOTIFICATION_OUTCOME_RETRY,
    DeliveryState.SENDING: pb.NOTIFICATION_OUTCOME_ATTEMPTED,
    DeliveryState.ACCEPTED: pb.NOTIFICATION_OUTCOME_ACCEPTED,
    DeliveryState.DEAD: pb.NOTIFICATION_OUTCOME_DEAD,
}
_FAILED = frozenset({DeliveryState.PENDING, DeliveryState.DEAD})
_UNTRIED = DeliveryState.PENDING, 0
_NOBODY = Receivers({})


class Note(NamedTuple):
    """A message came to a state."""

    at: Instant
    delivery: Delivery


def journal(prefix: str, plan: Plan) -> Journal[Incident, Fact]:
    """The notifier's. `prefix` goes before the topic's name."""
    return Journal(prefix + AUDIT, partial(_entries, plan))


def notes(old: Incident | None, new: Incident, facts: Sequence[Fact], now: Instant) -> Iterator[Note]:
    """What the step from `old` to `new`, taken for these facts, did about messages."""
    before = {delivery.delivery_id: delivery for delivery in (old.deliveries if old else ())}
    ends = [fact for fact in facts if isinstance(fact, DeliverySettled)]
    # Of a message to somebody who need not hear more, the incident forgets even the end.
    after = {delivery.delivery_id: delivery for delivery in (*settle(before.values(), ends), *new.deliveries)}
    for delivery in after.values():
        known = before.get(delivery.delivery_id)
        if _progress(delivery) not in {_UNTRIED, known and _progress(known)}:
            yield Note(delivery.settled_at or now, delivery)


def pack(incident: Incident, note: Note) -> bytes:
    """A note's bytes."""
    delivery, outcome = note.delivery, OUTCOMES[note.delivery.state]
    word = pb.NotificationOutcome.Name(outcome).removeprefix("NOTIFICATION_OUTCOME_").lower()
    entry = pb.AuditEntry(
        entry_id=f"{delivery.delivery_id}:{delivery.attempts}:{word}",
        incident_id=incident.incident_id,
        route=incident.route,
        notification=pb.AuditedNotification(
            delivery_id=delivery.delivery_id,
            kind=NotificationKind.ValueType(delivery.kind),
            severity=Severity.ValueType(delivery.severity),
            target=delivery.target,
            channel=delivery.channel,
            outcome=outcome,
            attempt=delivery.attempts,
            # A delivery that is tried again, and in the end accepted, still names why it failed before.
            failure=delivery.last_failure if delivery.state in _FAILED else "",
            provider_id=delivery.provider_id,
            item_count=delivery.item_count,
        ),
    )
    set_timestamp(entry.at, note.at)
    for item in delivery.items:
        record = entry.notification.records.add(record_id=item.record_id, standing=Standing.ValueType(item.standing))
        if item.due_at:
            set_timestamp(record.due_at, item.due_at)
    return entry.SerializeToString()


def pack_answer(incident: Incident, response: Response) -> bytes:
    """The bytes of what somebody said to the incident."""
    entry = pb.AuditEntry(
        entry_id=response.response_id,
        incident_id=incident.incident_id,
        route=incident.route,
        answer=pb.AuditedAnswer(
            response_id=response.response_id,
            action=Action(response.action).name.lower(),
            by=response.by,
            via=response.via,
            comment=response.comment,
        ),
    )
    set_timestamp(entry.at, response.heard_at)
    return entry.SerializeToString()


def pack_item(incident: Incident, fact: ItemSeen, now: Instant) -> bytes:
    """The bytes of what came to the incident, or is over. `now`: when the step is taken, which tells of it at once."""
    item = fact.item
    said = incident.incident_id, item.service, item.record_id, str(item.cycle), str(item.offset), str(item.standing)
    entry = pb.AuditEntry(
        entry_id=blake2b("\n".join(said).encode(), digest_size=12).hexdigest(),
        incident_id=incident.incident_id,
        route=incident.route,
        item=pb.AuditedItem(
            record_id=item.record_id,
            service=item.service,
            kind=item.kind,
            cycle=item.cycle,
            standing=Standing.ValueType(item.standing),
            severity=Severity.ValueType(item.severity),
        ),
    )
    set_timestamp(entry.at, min(fact.heard_at, now))
    for field, at in ((entry.item.due_at, item.due_at), (entry.item.since, item.since)):
        if at:
            set_timestamp(field, at)
    return entry.SerializeToString()


def _entries(
    plan: Plan, _key: bytes, old: Incident | None, new: Incident | None, facts: Sequence[Fact], now: Instant
) -> Iterable[bytes]:
    if new is None:
        return ()
    seen = [fact for fact in facts if isinstance(fact, ItemSeen)]
    turned = turns(old, seen, plan.routes.get(new.route, _NOBODY))
    heard = {response.response_id for response in old.attention.responses} if old else set()
    said = (response for response in new.attention.responses if response.response_id not in heard)
    return [
        *(pack_item(new, fact, now) for fact in turned),
        *(pack(new, note) for note in notes(old, new, facts, now)),
        *(pack_answer(new, each) for each in said),
    ]


def _progress(delivery: Delivery) -> tuple[int, int]:
    return delivery.state, delivery.attempts
