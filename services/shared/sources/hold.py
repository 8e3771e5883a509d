"""Keeps breaches back whose contradiction may only not be heard yet: what the engine asks, and is told."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from time import monotonic
from typing import Any, NamedTuple

from services.shared.engine.hold import Held
from services.shared.engine.stage import Headers
from services.shared.envelope import Hearing
from services.shared.instant import SECOND, Instant
from services.shared.sources.book import SourceBook
from services.shared.sources.model import NONE, Heard, Stream
from services.shared.sources.unheard import unheard_header

#: How far the clocks of brokers and of this machine may be apart.
_SKEW = SECOND // 2
#: Seconds between two takings in of what is heard.
_TOGETHER = 0.1
#: When to look again whether all is read.
_SOON = SECOND // 10

#: A record → what could fulfil it ("orders.ready"), and its site.
Asked = Callable[[Any], tuple[frozenset[str], str]]
#: Has records of a partition looked at again.
LookAgain = Callable[[int, Iterable[bytes]], None]


class Why(NamedTuple):
    """What a breach is held for."""

    #: The stream that has to be heard; None: it was.
    stream: Stream | None
    #: What was in Kafka by then must be read; NONE: not known yet.
    proven_at: Instant = NONE


class Holder:
    """Implements `services.shared.engine.hold.Hold`."""

    def __init__(
        self,
        book: SourceBook,
        hearing: Mapping[str, Hearing],
        prefix: str,
        asked: Asked,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """`hearing`: input topic, without `prefix` → what its opener notes. `now`: seconds."""
        self.look_again: LookAgain = lambda _partition, _keys: None
        #: Partition → all that was in Kafka before this instant is read of it.
        self.read_until: Callable[[int], Instant] = lambda _partition: NONE
        #: What was heard later than before since whoever publishes it last asked.
        self.moved: set[Stream] = set()
        self._book = book
        self._hearing = {prefix + topic: (topic.partition(".")[0], noted) for topic, noted in hearing.items()}
        self._asked = asked
        self._now, self._taken_at = now, 0.0
        #: Topic → since when the last that was read of it was in Kafka.
        self._arrived: dict[str, Instant] = {}
        #: What waits for a stream, by when it broke. What is not held any more is looked at in vain.
        self._waiting: defaultdict[Stream, list[tuple[Instant, int, bytes]]] = defaultdict(list)

    def heard(self, topic: str, arrived_at: Instant) -> None:
        """A batch was read. Of many in short order what they said is taken in together."""
        self._arrived[topic] = max(arrived_at, self._arrived.get(topic, NONE))
        if self._now() - self._taken_at >= _TOGETHER:
            self.take_in()

    def take_in(self) -> None:
        """Take in what was heard, and look again at what waits for it."""
        self._taken_at = self._now()
        moved: set[Stream] = set()
        for topic, arrived_at in self._arrived.items():
            name, noted = self._hearing[topic]
            for (source, site, arm), at in noted.items():
                if source:
                    # A source whose clock is ahead is not heard for longer than it was.
                    heard = Heard(min(at, arrived_at), arrived_at)
                    moved.update(self._book.hear(Stream(source, name, site), arm, heard))
            noted.clear()
        self._arrived.clear()
        self.moved |= moved
        self.look(moved)

    def look(self, moved: Iterable[Stream]) -> None:
        """Look again at what waits for streams that were heard."""
        for stream in moved:
            waiting, heard = self._waiting.get(stream), self._book.heard(stream)
            if not waiting or heard is None:
                continue
            keys: defaultdict[int, list[bytes]] = defaultdict(list)
            while waiting and waiting[0][0] <= heard.until:
                _, partition, key = heappop(waiting)
                keys[partition].append(key)
            for partition, found in keys.items():
                self.look_again(partition, found)

    def consider(
        self,
        partition: int,
        key: bytes,
        record: object,
        breached_at: Instant,
        clock: Instant,
        held: Held | None,
    ) -> Held | Headers:
        """Hold a breach, or the headers with which it is announced."""
        if self._arrived:
            self.take_in()
        wanted, site = self._asked(record)
        ruling = self._book.ruling(wanted, site, breached_at)
        latest = Instant(breached_at + self._book.after)
        if ruling.unheard is None:
            if not ruling.proven_at:
                return ()
            proven_at = (held.reason.proven_at if held and isinstance(held.reason, Why) else NONE) or ruling.proven_at
            # The partition's time may be ahead of what is read of it.
            if self.read_until(partition) > proven_at + _SKEW or clock >= latest:
                return ()
            return Held(Instant(min(max(proven_at, clock) + _SOON, latest)), Why(None, proven_at))
        if clock >= latest:
            heard = self._book.heard(ruling.unheard)
            return (unheard_header(ruling.unheard.source, heard.until if heard else NONE),)
        if not (held and isinstance(held.reason, Why) and held.reason.stream == ruling.unheard):
            heappush(self._waiting[ruling.unheard], (breached_at, partition, key))
        return Held(latest, Why(ruling.unheard))


def waiting(held: Iterable[Held]) -> Counter[Stream]:
    """How many breaches wait for each stream."""
    reasons = (each.reason for each in held)
    return Counter(reason.stream for reason in reasons if isinstance(reason, Why) and reason.stream)
