"""The notifier's first half: what promises and standards announce, forwarded to those it concerns. It keeps nothing.

A record goes on unless nobody can have to hear of it, and nobody but the incidents knows what was told before. So it is
skipped only where all is well now and was well before: its announcement says nothing that ends a worry (retracted,
renegotiated), and it was announced before anybody can have worried, that is before the promise was due or, where
somebody is warned of risks, at risk. Deletions are no news.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from google.protobuf.message import DecodeError
from kafka.partitioner.default import murmur2

from services.notifier.codec import DISPATCH, PROMISES, SLA, Sighting, clock_seen, pack_dispatch, promise_seen
from services.notifier.items import Standing
from services.notifier.routing import Routing, dispatch
from services.shared.engine.relay import Forward
from services.shared.engine.stage import Message, Write
from services.shared.instant import SECOND, Instant, parse_instant

log = logging.getLogger(__name__)

#: Topic → how its records are read.
_READERS: Mapping[str, Callable[[bytes, int, Instant], Sighting]] = {PROMISES: promise_seen, SLA: clock_seen}
#: Transitions that end nobody's worry.
_QUIET = frozenset({"noted", "made", "kept", "started", "met"})
#: How far the clocks of two workers may be apart.
_SKEW = 300 * SECOND


def forwards(routing: Routing, partitions: int, prefix: str = "puntual.") -> Mapping[str, Forward]:
    """For each topic of records: what becomes of a message. `partitions`: how many the dispatch topic has."""
    write = partial(_write, f"{prefix}{DISPATCH}", partitions)
    return {prefix + topic: partial(_forward, routing, reader, write) for topic, reader in _READERS.items()}


def _forward(
    routing: Routing,
    read: Callable[[bytes, int, Instant], Sighting],
    write: Callable[[bytes, bytes], Write],
    message: Message,
) -> Iterable[Write]:
    if not message.value:
        return []
    headers = dict(message.headers)
    try:
        seen = read(message.value, message.offset, _announced_at(headers.get("announced-at"), message.timestamp))
    except (DecodeError, KeyError, ValueError):
        # Another version of a service wrote what this one cannot read. It must not stop what comes behind.
        log.exception("record not understood", extra={"topic": message.topic, "offset": message.offset})
        return []
    if is_quiet(seen, headers.get("transition", b"").decode(), tells_risk=routing.tells_risk):
        return []
    return [
        write(address.incident_id.encode(), pack_dispatch(address, item))
        for address, item in dispatch(seen.item, seen.places, routing)
    ]


def is_quiet(seen: Sighting, transition: str, *, tells_risk: bool) -> bool:
    """Whether nobody can have to hear of it."""
    item = seen.item
    if item.standing == Standing.AT_RISK:
        return transition == "at_risk" and not tells_risk
    if item.standing != Standing.FINE or transition not in _QUIET:
        return False
    worry_at = seen.warn_at if seen.warn_at and tells_risk else item.due_at
    return not worry_at or item.announced_at + _SKEW < worry_at


def _announced_at(header: bytes | None, timestamp: int) -> Instant:
    """When a record was announced: as its header says, else the broker's time."""
    return parse_instant(header.decode()) if header else Instant(timestamp * 1_000)


def _write(topic: str, partitions: int, key: bytes, value: bytes) -> Write:
    return Write(topic, (murmur2(key) & 0x7FFFFFFF) % partitions, key, value, [])
