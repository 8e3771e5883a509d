"""A sign of life, sent once in each interval by one of the workers: when it is due, and when it is missed. Pure."""

from typing import NamedTuple

from services.notifier.items import NONE
from services.notifier.outbox import Accepted, Outcome, TryAgain
from services.shared.instant import SECOND, Instant

#: Microseconds until what failed is tried again, within its interval.
RETRY = 60 * SECOND


class Pulse(NamedTuple):
    """How it stands."""

    #: Microseconds.
    every: int
    #: Since when it is this worker's to send; NONE: it is not.
    since: Instant = NONE
    last_success: Instant = NONE
    #: The interval that is done with.
    done: int = -1
    not_before: Instant = NONE


def interval(every: int, now: Instant) -> int:
    """The number of the interval. Every worker counts alike, so that after a restart the same one is known again."""
    return now // every


def taken(pulse: Pulse, now: Instant, *, mine: bool) -> Pulse:
    """The pulse once it is known whether this worker is to send it."""
    return pulse._replace(since=(pulse.since or now) if mine else NONE)


def is_due(pulse: Pulse, now: Instant) -> bool:
    """Whether to send it now."""
    return bool(pulse.since) and interval(pulse.every, now) != pulse.done and now >= pulse.not_before


def sent(pulse: Pulse, began: Instant, outcome: Outcome, now: Instant) -> Pulse:
    """The pulse after an attempt that began then and has ended now."""
    match outcome:
        case TryAgain(_, retry_after):
            return pulse._replace(not_before=Instant(now + max(RETRY, retry_after)))
        case Accepted():
            pulse = pulse._replace(last_success=now)
    return pulse._replace(done=interval(pulse.every, began))


def expected(pulse: Pulse) -> Instant:
    """By when it should have succeeded again; NONE where it is not this worker's. One may be missed."""
    return Instant(max(pulse.last_success, pulse.since) + 2 * pulse.every) if pulse.since else NONE
