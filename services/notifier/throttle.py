"""When one target may be attempted: not while it is down, and not more often than it can bear. Pure.

Times are seconds of any clock that never goes back; `draw` returns a number from 0 to 1, another each time.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

#: Failures in a row after which a breaker opens.
FAILURES: Final = 5
#: Seconds: what every pause lasts at least, and what is drawn for it on top, after the first opening and at most.
SHORTEST: Final = 1.0
_FIRST, LONGEST = 2.0, 60.0
#: Whoever is told to wait comes back, which costs: no more than so many a second, unless one waits too long by that.
_RETURNS, CROWDED = 50.0, 240.0


class Breaker:
    """Of one target. Closed, it lets every attempt through; open, after each pause a single one, to see."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._failures = 0
        #: How many pauses there were since the last success; 0: it is closed.
        self._pauses = 0
        self._until = 0.0
        self._probing = False
        #: How many messages wait for the target.
        self.crowd = 0

    @property
    def is_open(self) -> bool:
        """Whether attempts are held back."""
        return self._pauses > 0

    def wait(self, now: float) -> float:
        """Seconds until to ask again; 0: make the attempt now, and say by `ended` how it ended.

        Those who wait are told different times, so that they do not come all at once when the target is back.
        """
        if not self._pauses:
            return 0.0
        if now >= self._until and not self._probing:
            self._probing = True
            return 0.0
        return max(self._until - now, 0.0) + SHORTEST + self.spread * self._draw()

    def rest(self, now: float) -> float:
        """Seconds until anybody can be of use; 0: somebody should ask now."""
        return max(self._until - now, SHORTEST if self._probing else 0.0) if self._pauses else 0.0

    @property
    def spread(self) -> float:
        """Seconds over which those who wait should come back."""
        return max(self._bound(), min(self.crowd / _RETURNS, CROWDED))

    def ended(self, now: float, *, answered: bool, retry_after: float = 0.0) -> None:
        """An attempt ended. `answered`: the target works, be it that it refused this message for good.

        `retry_after`: seconds that the target asked to wait.
        """
        if answered:
            self._failures = self._pauses = 0
            self._probing = False
        elif not self._pauses:
            self._failures += 1
            if self._failures >= FAILURES:
                self._pause(now, retry_after)
        elif self._probing:
            # Of an attempt that began before it opened this may be the end, too: then the next pause only comes sooner.
            self._pause(now, retry_after)

    def _pause(self, now: float, retry_after: float) -> None:
        self._pauses += 1
        self._probing = False
        self._until = now + max(SHORTEST + self._bound() * self._draw(), min(retry_after, LONGEST))

    def _bound(self) -> float:
        return min(_FIRST * 2.0 ** min(self._pauses - 1, 16), LONGEST)


class Rate(NamedTuple):
    """How many messages a target can bear in a time. As many may come at once after a rest of that length."""

    messages: int
    seconds: float


class Bucket:
    """The messages that one target can be sent now, by its rate."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._most = float(rate.messages)
        self._every = rate.seconds / rate.messages
        self._left = self._most
        self._filled_at = now

    def wait(self, now: float, *, urgent: bool) -> float:
        """Seconds until a message may be sent; 0: now. Of several that may be sent one is kept for what is urgent."""
        self._left = min(self._left + (now - self._filled_at) / self._every, self._most)
        self._filled_at = now
        needed = self._needed(urgent=urgent)
        # A token that is there but for an error of rounding is there.
        return (needed - self._left) * self._every if needed - self._left > _ROUNDING else 0.0

    def is_last(self, *, urgent: bool) -> bool:
        """Whether another one would have to wait."""
        return self._left - self._needed(urgent=urgent) < 1.0 - _ROUNDING

    def _needed(self, *, urgent: bool) -> float:
        return 1.0 if urgent else min(2.0, self._most)

    def take(self) -> None:
        """A message is sent."""
        self._left -= 1.0

    def put_back(self) -> None:
        """It was not sent after all."""
        self._left = min(self._left + 1.0, self._most)


_ROUNDING: Final = 1e-9
