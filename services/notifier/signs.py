"""Sends signs of life, each by the one worker that owns the partition of its key. They wait for nothing else."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from services.notifier.outbox import Failure, Outcome, TryAgain
from services.notifier.pulse import Pulse, is_due, sent, taken
from services.shared.clock import Now
from services.shared.engine.view import RecordView
from services.shared.instant import Instant

log = logging.getLogger(__name__)

#: Seconds between two looks at what is due.
LOOK = 1.0
#: Seconds that an attempt may take.
ATTEMPT = 45.0

#: Makes an attempt that begins then; None: it is not to be made now.
Send = Callable[[Instant], Awaitable[Outcome | None]]


async def keep(key: str, every: int, view: RecordView, send: Send, measure: Callable[[Pulse], None], now: Now) -> None:
    """Send in each interval of `every` microseconds, until cancelled. `key` decides which worker does."""
    pulse = Pulse(every)
    while True:
        began = now()
        pulse = taken(pulse, began, mine=view.owns(view.partition_of(key)))
        if is_due(pulse, began) and (outcome := await _outcome(key, send(began))) is not None:
            pulse = sent(pulse, began, outcome, now())
        measure(pulse)
        await asyncio.sleep(LOOK)


async def _outcome(key: str, sending: Awaitable[Outcome | None]) -> Outcome | None:
    try:
        async with asyncio.timeout(ATTEMPT):
            return await sending
    except TimeoutError:
        return TryAgain(Failure.TIMEOUT)
    except Exception as error:  # noqa: BLE001 - a sign that fails is missed, and that is told
        # What it says may hold a secret; what it is tells enough.
        log.error("sign of life failed", extra={"sign": key, "error": type(error).__name__})  # noqa: TRY400
        return TryAgain(Failure.OTHER)
