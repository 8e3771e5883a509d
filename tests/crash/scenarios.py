"""What befalls more than one process: another worker takes over, the broker goes and comes back."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from tests.brokers import Broker
from tests.crash.site import BREACH, PATIENCE, RESOLUTION, Notifier, Site
from tests.processes import wait_for

#: Seconds of silence after which a worker is succeeded; a tenth of that between heartbeats.
SESSION = 6
#: Seconds in which another worker must have finished what a dead one held, whose request is answered after 40 s.
TAKEOVER = 25.0
#: Seconds in which the broker stays away once an attempt has ended.
_AWAY = 2.0


class Scenario(NamedTuple):
    """One line of the table."""

    what: str
    play: Callable[..., None]
    #: How often the breach may be sent. The resolution: once.
    calls: Collection[int]
    partitions: int = 1
    #: It does something to the broker, so that it takes one of its own.
    breaks: bool = False


def take_over(place: Site) -> None:
    """The worker that waits for an answer is killed; the other one finishes while that request is still unanswered."""
    place.calls.hold_first()
    workers = [place.worker(name, SESSION) for name in ("one", "other")]
    for worker in workers:
        worker.begin()
    for worker in workers:
        worker.wait_ready()
    place.announce(BREACH)
    place.wait_called()
    wait_for(lambda: any(map(_is_sending, workers)), PATIENCE, place.output)
    (holder,) = filter(_is_sending, workers)
    killed_at = time.monotonic()
    place.deaths.append(holder.kill())
    place.wait_settled(1)
    took = time.monotonic() - killed_at
    assert took < TAKEOVER, f"the other worker took {took:.1f} s"
    place.announce(RESOLUTION)
    place.wait_settled(2)


def _is_sending(worker: Notifier) -> bool:
    series = worker.metrics()
    return any(value and "outbox_messages" in name and 'state="sending"' in name for name, value in series.items())


def lose_broker(place: Site, broker: Broker) -> None:
    """The broker is killed while an attempt is under way, and comes back after the provider took it."""
    worker = place.worker()
    _attempt_without_broker(place, broker, worker)
    broker.start()
    _go_on(place)
    assert worker.runs, "the worker did not survive it"


def lose_both(place: Site, broker: Broker) -> None:
    """The same, and the worker dies too, before the broker comes back."""
    worker = place.worker()
    _attempt_without_broker(place, broker, worker)
    place.deaths.append(worker.kill())
    broker.start()
    worker.begin()
    _go_on(place)


def _attempt_without_broker(place: Site, broker: Broker, worker: Notifier) -> None:
    place.calls.hold_first()
    worker.begin()
    place.announce(BREACH)
    place.wait_called()
    broker.kill()
    place.calls.free.set()
    time.sleep(_AWAY)


def _go_on(place: Site) -> None:
    place.wait_settled(1)
    place.announce(RESOLUTION)
    place.wait_settled(2)


SCENARIOS: Mapping[str, Scenario] = {
    "takeover": Scenario(
        "of two workers the one that waits for an answer is killed; the other finishes before that answer could come",
        take_over, {2}, partitions=2,
    ),
    "broker_killed": Scenario(
        "the broker is killed while a request is under way, the provider takes it, the broker comes back",
        lose_broker, {1}, breaks=True,
    ),
    "broker_and_worker_killed": Scenario(
        "the same, and the worker is killed before the broker comes back", lose_both, {2}, breaks=True
    ),
}  # fmt: skip
