"""A dead man's switch: a service outside hears from the notifier as long as all is well, and calls when it does not.

It is asked by HTTP GET, as such services want it, without a word about anything.
"""

import logging
from collections.abc import Callable

from services.notifier.channels.web import Web, classify, revealed
from services.notifier.meter import HealthMeter
from services.notifier.outbox import Accepted, Failure, Outcome, TryAgain
from services.notifier.pulse import Pulse, expected
from services.notifier.signs import keep
from services.shared.clock import Now, wall_clock
from services.shared.engine.view import RecordView
from services.shared.fields import Fields, Secret
from services.shared.instant import SECOND, Instant

log = logging.getLogger(__name__)

#: The worker that owns the partition of this key sends it.
KEY = "~heartbeat"


class Heartbeat:
    """The way to the service outside."""

    def __init__(self, web: Web, url: str | Secret, every: int) -> None:
        self._web = web
        self._url = url
        #: Microseconds.
        self.every = every

    @classmethod
    def read(cls, settings: Fields) -> "Heartbeat":
        """`url` (usually a reference to a secret one); optionally `every` (1min), `networks` and `timeout`."""
        web = Web.read(settings)
        heartbeat = cls(web, web.url(settings), settings.span("every", "1min"))
        settings.done()
        return heartbeat

    async def send(self) -> Outcome:
        """Be heard of once."""
        try:
            url = revealed(self._url)
        except ValueError:  # the secret is gone
            return TryAgain(Failure.AUTH)
        return classify(await self._web.send(url, None, {}, method="GET"))

    async def close(self) -> None:
        """Close connections."""
        await self._web.close()


async def beat(
    heartbeat: Heartbeat,
    view: RecordView,
    trouble: Callable[[], str | None],
    meter: HealthMeter,
    now: Now = wall_clock,
) -> None:
    """Send until cancelled, and nothing while there is `trouble`: then silence is the alarm."""
    withheld: str | None = None

    async def send(_began: Instant) -> Outcome | None:
        nonlocal withheld
        if (reason := trouble()) != withheld:
            withheld = reason
            log.info("heartbeat withheld: %s", reason) if reason else log.info("heartbeat goes on")
        if reason:
            return None
        outcome = await heartbeat.send()
        if not isinstance(outcome, Accepted):
            log.warning("heartbeat not accepted", extra={"failure": outcome.failure.value})
        return outcome

    def measure(pulse: Pulse) -> None:
        last = pulse.last_success if pulse.since else 0
        meter.heartbeat(last / SECOND, expected(pulse) / SECOND)

    await keep(KEY, heartbeat.every, view, send, measure, now)
