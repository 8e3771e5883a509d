"""The notifier's first half: what promises and standards announce, forwarded to those it concerns. It keeps nothing.

A record goes on unless nobody can have to hear of it, and nobody but the incidents knows what was told before. So it is
skipped only where all is well now and was well before: its announcement says nothing that ends a worry (retracted,
renegotiated), and it was announced before anybody can have worried, that is before the promise was due or, where
somebody is warned of risks, at risk. Deletions are no news.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from itertools import repeat

from services.notifier.codec import DISPATCH, pack_dispatch
from services.notifier.items import Item, Standing
from services.notifier.recall import Recall
from services.notifier.routing import Routing, dispatch, reach
from services.notifier.sightings import SOURCES, Source
from services.shared.clock import Now, from_timestamp, wall_clock
from services.shared.engine.relay import Forward
from services.shared.engine.stage import Message, Write
from services.shared.instant import SECOND, Instant, parse_instant
from services.shared.partitioner import partition_of
from services.shared.sources.unheard import UNHEARD, read_unheard

#: Transitions that end nobody's worry.
_QUIET = frozenset({b"noted", b"made", b"kept", b"started", b"met", b"resumed"})
#: Those by which a cycle may be gone.
_TAKING_BACK = frozenset({b"retracted", b"renegotiated"})
#: When somebody worries about what was never promised.
_NEVER = 2**62
#: How far the clocks of two workers may be apart.
_SKEW = 300 * SECOND


def forwards(
    routing: Routing,
    partitions: int,
    prefix: str = "puntual.",
    now: Now = wall_clock,
    recall: Recall | None = None,
) -> Mapping[str, Forward]:
    """For each topic of records: what becomes of a message; raises `Unusable`.

    `partitions`: how many the dispatch topic has. `recall`: what knows which breaches are repeated, if that is asked.
    """
    write = partial(_write, f"{prefix}{DISPATCH}", partitions)
    forward = partial(_forward, routing, write, now, recall)
    return {prefix + topic: partial(forward, source) for topic, source in SOURCES.items()}


def _forward(
    routing: Routing,
    write: Callable[[bytes, bytes], Write],
    now: Now,
    recall: Recall | None,
    source: Source,
    message: Message,
) -> Iterable[Write]:
    if not message.value:
        return []
    headers = dict(message.headers)
    record = source.parse(message.value)
    if recall:
        recall.note(source, record)
    cycles = source.cycles(record)
    standing = source.standing(record)
    announced_at = _announced_at(headers.get("announced-at"), message.timestamp)
    worry_at = (routing.tells_risk and from_timestamp(record.warn_at)) or from_timestamp(record.due_at) or _NEVER
    transition = headers.get("transition")
    quiet = is_quiet(standing, transition, worry_at - announced_at, tells_risk=routing.tells_risk)
    # Earlier cycles are over: whoever was told of one hears how it ended, whatever the last one does.
    # So does who was told of one that never was, as is known now.
    never = source.possible(record) - len(cycles) if transition in _TAKING_BACK and not quiet else 0
    news = cycles[:-1] if quiet else (*cycles, *repeat(source.none, never))
    items = [
        source.see(record, cycle, number, message.offset, announced_at) for number, cycle in enumerate(news, start=1)
    ]
    reached = reach(items[0], source.places(record), routing) if items else ()
    at, said = now(), read_unheard(headers.get(UNHEARD))
    return [
        write(address.incident_id.encode(), pack_dispatch(address, told))
        for item in items
        for address, told in dispatch(_noted(item, recall, said), reached, routing, at)
    ]


def _noted(item: Item, recall: Recall | None, unheard: tuple[str, Instant]) -> Item:
    """The item with what the record does not say: which breach of its customer it is, and who is not heard."""
    counted = recall.counted(item) if recall else item
    source, since = unheard
    if not source or counted.details is None or counted.standing != Standing.BROKEN:
        return counted
    return counted._replace(details=counted.details._replace(unheard=source, unheard_since=since))


def is_quiet(standing: Standing, transition: bytes | None, untroubled: int, *, tells_risk: bool) -> bool:
    """Whether nobody can have to hear of it. What an unknown or absent transition means nobody can say, so it is told.

    `untroubled`: microseconds from its announcement to the instant at which anybody can first have worried.
    """
    if standing == Standing.AT_RISK:
        return transition == b"at_risk" and not tells_risk
    return standing == Standing.FINE and transition in _QUIET and untroubled > _SKEW


def _announced_at(header: bytes | None, timestamp: int) -> Instant:
    """When a record was announced: as its header says, or the broker's time where it says nothing that can be read."""
    with suppress(ValueError):
        return parse_instant((header or b"").decode())
    return Instant(timestamp * 1_000)


def _write(topic: str, partitions: int, key: bytes, value: bytes) -> Write:
    return Write(topic, partition_of(key, partitions), key, value, [])
