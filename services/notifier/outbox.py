"""Messages on their way: each to one target, tried until it is accepted or given up. Pure."""

from collections.abc import Container, Iterable, Sequence
from enum import IntEnum, StrEnum
from hashlib import blake2b
from typing import NamedTuple

from services.notifier.items import AT_ONCE, NONE, ON_CONSOLE, Item, slim
from services.shared.instant import SECOND, Instant

#: Where a message falls that could not be delivered: the channel that always works.
FALLBACK_CHANNEL = "console"
#: An attempt not heard of for this long is made again. Longer than any attempt lasts.
LEASE = 60 * SECOND
_FIRST_BACKOFF, _LONGEST_BACKOFF = 2 * SECOND, 300 * SECOND


class Kind(IntEnum):
    """What a message says."""

    BREACH = 1
    AT_RISK = 2
    RESOLVED = 3
    ESCALATION = 4
    REMINDER = 5
    ACKNOWLEDGED = 6
    SNOOZED = 7


#: What is said first where there is more than one thing to say.
PRECEDENCE: Sequence[Kind] = (
    Kind.BREACH, Kind.ESCALATION, Kind.REMINDER, Kind.AT_RISK, Kind.RESOLVED, Kind.ACKNOWLEDGED, Kind.SNOOZED,
)  # fmt: skip

#: What asks for something, so that it can be held back, and is told to somebody else where its target is out of reach.
CALLS = frozenset({Kind.BREACH, Kind.AT_RISK, Kind.ESCALATION, Kind.REMINDER})

#: What gathers, and is not said too often.
PACED = frozenset({Kind.BREACH, Kind.AT_RISK})


class DeliveryState(IntEnum):
    """How far a message got."""

    PENDING = 1
    SENDING = 2
    ACCEPTED = 3
    DEAD = 4


class Failure(StrEnum):
    """Why an attempt failed: a closed list, and a metric label."""

    AUTH = "auth"
    RATE_LIMITED = "rate_limited"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    NETWORK = "network"
    TEMPLATE = "template"
    TOO_LARGE = "too_large"
    BLOCKED_ADDRESS = "blocked_address"
    EXPIRED = "expired"
    BREAKER_OPEN = "breaker_open"
    OTHER = "other"


class Accepted(NamedTuple):
    """The provider took the message."""

    provider_id: str = ""
    #: In which thread it stands, for what will answer it; of few characters, all of them ASCII.
    thread: str = ""


class TryAgain(NamedTuple):
    """Not now; perhaps later."""

    failure: Failure
    #: Microseconds that the provider asked to wait.
    retry_after: int = 0
    #: False: no attempt was made at all, so that only `retry_after` says how long to wait.
    made: bool = True


class Refused(NamedTuple):
    """Never, as the message or the target is."""

    failure: Failure


Outcome = Accepted | TryAgain | Refused


class Delivery(NamedTuple):
    """One message to one target."""

    delivery_id: str
    sequence: int
    kind: int
    severity: int
    target: str
    channel: str
    items: tuple[Item, ...]
    item_count: int
    decided_at: Instant
    answers: tuple[str, ...] = ()
    #: Those of `answers` of which nothing is open any more.
    over: tuple[str, ...] = ()
    #: The threads of those in `answers`.
    threads: tuple[str, ...] = ()
    state: int = DeliveryState.PENDING
    attempts: int = 0
    #: PENDING: when to try. SENDING: when the attempt counts as lost.
    next_attempt_at: Instant = AT_ONCE
    give_up_at: Instant = NONE
    last_failure: str = ""
    provider_id: str = ""
    settled_at: Instant = NONE
    #: Who sees to it, or says that it is dealt with, where the message speaks of that.
    by: str = ""
    #: Which run of the incident it speaks of.
    opened_at: Instant = NONE
    #: Of an earlier attempt nobody heard how it ended: the message may have arrived already.
    may_repeat: bool = False
    #: Only on the way to its words: about how many are open in its incident, where that cannot follow all of them.
    in_all: int = 0


class Pause(NamedTuple):
    """A target is left alone for a while: it failed too often."""

    until: Instant
    #: Microseconds after that over which those who wait for it come back, each at a time of its own.
    spread: int


class DeliverySettled(NamedTuple):
    """An attempt ended."""

    occurred_at: Instant
    delivery_id: str
    outcome: Outcome
    #: Whoever made the attempt, or did not, cannot know how the one before ended.
    may_repeat: bool = False

    @property
    def heard_at(self) -> Instant:
        return self.occurred_at


UNSETTLED = frozenset({DeliveryState.PENDING, DeliveryState.SENDING})


def settle(
    deliveries: Iterable[Delivery], ends: Iterable[DeliverySettled], fallbacks: Container[str] = ()
) -> tuple[Delivery, ...]:
    """The deliveries after attempts ended. What cannot be delivered is said on the console: no alert ends unseen.

    `fallbacks`: the targets in whose place another one is told, of what is a call.
    """
    by_id = {delivery.delivery_id: delivery for delivery in deliveries}
    for end in ends:
        delivery = by_id.get(end.delivery_id)
        if delivery is None or delivery.state not in UNSETTLED:
            continue
        ended = by_id[end.delivery_id] = settled(delivery, end)
        passed_on = ended.kind in CALLS and ended.target in fallbacks
        if ended.state == DeliveryState.DEAD and ended.channel != FALLBACK_CHANNEL and not passed_on:
            spoken = ended._replace(
                delivery_id=f"{ended.delivery_id}{ON_CONSOLE}",
                channel=FALLBACK_CHANNEL,
                state=DeliveryState.PENDING,
                attempts=0,
                next_attempt_at=AT_ONCE,
                give_up_at=NONE,
                settled_at=NONE,
                may_repeat=False,
            )
            by_id[spoken.delivery_id] = spoken
    return tuple(by_id.values())


def settled(delivery: Delivery, end: DeliverySettled) -> Delivery:
    """The delivery after an attempt ended: accepted, given up, or waiting for the next attempt."""
    match end.outcome:
        case Accepted(provider_id, _):
            return delivery._replace(state=DeliveryState.ACCEPTED, provider_id=provider_id, settled_at=end.occurred_at)
        case Refused(failure):
            return delivery._replace(state=DeliveryState.DEAD, last_failure=failure.value, settled_at=end.occurred_at)
        case TryAgain(failure, retry_after, made):
            wait = max(retry_after, backoff(delivery.delivery_id, delivery.attempts) if made else 0)
            again = Instant(end.occurred_at + wait)
            if again > delivery.give_up_at:
                return settled(delivery, end._replace(outcome=Refused(Failure.EXPIRED)))
            return delivery._replace(
                state=DeliveryState.PENDING,
                last_failure=failure.value,
                next_attempt_at=again,
                may_repeat=delivery.may_repeat or end.may_repeat,
            )


def backoff(delivery_id: str, attempts: int) -> int:
    """Microseconds to wait after so many attempts: full jitter, yet always the same."""
    bound = min(_FIRST_BACKOFF << min(attempts, 16), _LONGEST_BACKOFF)
    return SECOND + _part(bound, f"{delivery_id} {attempts}")


def _part(whole: int, seed: str) -> int:
    """Of 0 up to the whole, evenly; of the same seed always the same."""
    return whole * int.from_bytes(blake2b(seed.encode(), digest_size=4).digest(), "big") // 2**32


def attempt(delivery: Delivery, now: Instant, patience: int) -> Delivery:
    """The delivery as an attempt is about to be made. `patience`: microseconds until retrying ends."""
    return delivery._replace(
        state=DeliveryState.SENDING,
        attempts=delivery.attempts + 1,
        next_attempt_at=Instant(now + LEASE),
        give_up_at=delivery.give_up_at or Instant(now + patience),
        may_repeat=delivery.may_repeat or delivery.state == DeliveryState.SENDING,
    )


def put_off(delivery: Delivery, now: Instant, patience: int, pause: Pause) -> Delivery:
    """The delivery without an attempt, until its target is not left alone any more; at most until it is to be given up.

    `patience`: microseconds until retrying ends, had there been an attempt now.
    """
    give_up_at = delivery.give_up_at or Instant(now + patience)
    back_at = Instant(pause.until + _part(pause.spread, f"{delivery.delivery_id} {pause.until}"))
    return delivery._replace(
        next_attempt_at=min(back_at, give_up_at),
        give_up_at=give_up_at,
        last_failure=delivery.last_failure or Failure.BREAKER_OPEN.value,
    )


def is_hopeless(delivery: Delivery, now: Instant) -> bool:
    """Whether an attempt was never heard of that was made when it was time to give up: the next would end no better.

    On the console it would: whoever should have said so died, and there is nowhere else to say it.
    """
    unheard = delivery.state == DeliveryState.SENDING and delivery.next_attempt_at <= now
    return unheard and delivery.channel != FALLBACK_CHANNEL and delivery.give_up_at <= delivery.next_attempt_at - LEASE


def pruned(deliveries: Iterable[Delivery]) -> tuple[Delivery, ...]:
    """All unsettled deliveries, and the last settled ones of each target and channel without details; in order.

    Two: the last of news that is paced, which the next has to keep its distance from, and the last of all else.
    """
    kept: list[Delivery] = []
    last: dict[tuple[str, str, bool], Delivery] = {}
    for delivery in sorted(deliveries, key=lambda delivery: (delivery.sequence, delivery.delivery_id)):
        if delivery.state in UNSETTLED:
            kept.append(delivery)
        else:
            way = delivery.target, delivery.channel, delivery.kind in PACED
            last[way] = delivery._replace(items=tuple(map(slim, delivery.items)))
    return tuple(sorted((*kept, *last.values()), key=lambda delivery: (delivery.sequence, delivery.delivery_id)))
