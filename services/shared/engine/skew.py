"""How far this machine's clock is from the brokers'.

A message that is acknowledged was stamped by its broker between sending and acknowledgement, both noted here: this
bounds the skew from both sides, however slow the answer. (What is fetched bounds it from one side only, as it may have
lain there for long.) Times of this process are noted by the monotonic clock, so that a step of the wall clock shows at
once, without another message. Of what several brokers say the least counts: a clock that agrees with one of them is
not the one that is wrong, and a claim of skew must be proven.
"""

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple, Protocol

from services.shared.clock import Now, wall_clock
from services.shared.instant import SECOND, Instant

#: Beyond so many microseconds of skew nothing is announced by the clock.
MOST = 30 * SECOND
#: Microseconds for which a sample counts; the last ones count until there are others.
_WINDOW = 120 * SECOND
#: How old a sample must be to give way to one that is less exact.
_RENEW = 30 * SECOND
#: Kafka's stamps are in whole milliseconds.
_STAMP = 1_000
#: Kafka's word for "the broker's own time".
_LOG_APPEND_TIME = 1


class Stamp(Protocol):
    """What a broker answers to a write: when it took it, in milliseconds, and by whose clock."""

    @property
    def timestamp(self) -> int: ...
    @property
    def timestamp_type(self) -> int: ...


class _Sample(NamedTuple):
    """Between what the broker's clock was ahead of this process's monotonic one, in microseconds."""

    taken_at: int
    least: int
    most: int


class Skew:
    """The skew, as a worker's acknowledged writes show it. Without any, the wall clock is believed."""

    def __init__(self, wall: Now = wall_clock, monotonic: Callable[[], float] = monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        #: The last of each partition: another partition may be led by another broker.
        self._samples: dict[tuple[str, int], _Sample] = {}
        self._learnt_at = 0
        #: How much the wall clock was ahead of the monotonic one when the skew was last reckoned, and what it was.
        self._last: tuple[int, int | None] | None = None

    def learn(self, place: tuple[str, int], sent_at: float, answer: Stamp) -> None:
        """A write to a topic and partition, sent then by the monotonic clock, was acknowledged just now."""
        if answer.timestamp_type != _LOG_APPEND_TIME:
            return
        now, stamp = self._since_start(), answer.timestamp * 1_000
        sample = _Sample(now, stamp - now, stamp + _STAMP - int(sent_at * SECOND))
        before = self._samples.get(place)
        # A slow answer says little; it takes the place of a better one only where that is old.
        if before is None or now - before.taken_at > _RENEW or sample.most - sample.least <= _width(before):
            self._samples[place], self._learnt_at, self._last = sample, now, None
            for old in [key for key, each in self._samples.items() if now - each.taken_at > _WINDOW]:
                del self._samples[old]

    def age(self) -> float:
        """Seconds since something was learnt."""
        return (self._since_start() - self._learnt_at) / SECOND if self._samples else float("inf")

    def known(self) -> int | None:
        """Microseconds that the wall clock is ahead of the brokers' (below 0: behind), at least; None: unknown."""
        return self._of(self._wall() - self._since_start())

    def excessive(self) -> str | None:
        """What is wrong where the clock is too far off to announce anything by it; None: it is not."""
        skew = self.known() or 0
        if abs(skew) <= MOST:
            return None
        direction = "ahead of" if skew > 0 else "behind"
        return (
            f"This machine's clock is {abs(skew) / SECOND:.0f} s {direction} Kafka's; nothing is announced by it until"
            " one of them is put right."
        )

    # --- times

    def now(self) -> Instant:
        """The wall clock's time; the brokers' where that is too far off: they are what all workers have in common."""
        wall, skew = self._read()
        return wall if abs(skew) <= MOST else Instant(wall - skew)

    def between(self) -> tuple[Instant, Instant]:
        """The earlier and the later of the two clocks: what is too early or too late by both is so by any."""
        wall, skew = self._read()
        return Instant(min(wall, wall - skew)), Instant(max(wall, wall - skew))

    def _read(self) -> tuple[Instant, int]:
        wall = self._wall()
        return wall, self._of(wall - self._since_start()) or 0

    def _since_start(self) -> int:
        return int(self._monotonic() * SECOND)

    def _of(self, ahead: int) -> int | None:
        """The skew, where the wall clock is so much ahead of the monotonic one."""
        if self._last is None or abs(self._last[0] - ahead) > _STAMP:
            self._last = ahead, self._reckoned(ahead)
        return self._last[1]

    def _reckoned(self, ahead: int) -> int | None:
        skews = [_nearest(ahead - each.most, ahead - each.least) for each in self._samples.values()]
        return min(skews, key=abs, default=None)


def _width(sample: _Sample) -> int:
    return sample.most - sample.least


def _nearest(low: int, high: int) -> int:
    """What is nearest to 0 between the two."""
    return max(low, min(high, 0))
