"""Canaries: harmless messages that show that people can be reached, before there is anything to tell them.

A target that asks for them gets one in each interval by its own channel, beside the sender and without a record. After
a restart, or on another worker, the one of this interval is sent again: under the same id, so that whoever knows copies
by it takes them for one.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from hashlib import blake2b

from services.notifier.config import Target
from services.notifier.items import NONE
from services.notifier.meter import HealthMeter
from services.notifier.outbox import Accepted, Outcome
from services.notifier.pulse import Pulse, expected, interval
from services.notifier.signs import keep
from services.notifier.wording import word_canary
from services.shared.clock import Now, wall_clock
from services.shared.engine.view import RecordView
from services.shared.instant import SECOND, Instant

log = logging.getLogger(__name__)


class Canaries:
    """Those of the targets that ask for them."""

    def __init__(self, view: RecordView, targets: Iterable[Target], meter: HealthMeter, now: Now = wall_clock) -> None:
        self._view = view
        self._targets = [target for target in targets if target.canary]
        self._meter = meter
        self._now = now
        #: Channel → target → how its canary stands.
        self._pulses: defaultdict[str, dict[str, Pulse]] = defaultdict(dict)

    async def run(self) -> None:
        """Send until cancelled. No target waits for another."""
        async with asyncio.TaskGroup() as tasks:
            for target in self._targets:
                send, measure = partial(self._send, target), partial(self._measure, target)
                tasks.create_task(keep(f"~canary/{target.name}", target.canary, self._view, send, measure, self._now))

    async def _send(self, target: Target, began: Instant) -> Outcome:
        message = word_canary(target.name, canary_id(target, began), began, target.style)
        outcome = await target.channel.send(message)
        if not isinstance(outcome, Accepted):
            log.warning("canary not accepted", extra={"target": target.name, "failure": outcome.failure.value})
        return outcome

    def _measure(self, target: Target, pulse: Pulse) -> None:
        """Of several targets with one channel, the one that it is worst about counts."""
        self._pulses[target.channel_name][target.name] = pulse
        mine = [pulse for pulse in self._pulses[target.channel_name].values() if pulse.since]
        last = min((pulse.last_success for pulse in mine), default=NONE)
        self._meter.canary(target.channel_name, last / SECOND, min(map(expected, mine), default=NONE) / SECOND)


def canary_id(target: Target, now: Instant) -> str:
    """The id of a target's canary, the same all through an interval."""
    content = f"~canary\n{target.name}\n{target.canary}\n{interval(target.canary, now)}"
    return blake2b(content.encode(), digest_size=8).hexdigest()
