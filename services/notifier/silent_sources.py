"""Sources that have fallen silent, as the topic of sources says, in the notifier's terms: one item for each source.

A source is silent while one of its streams is. Each stream's record comes by itself; what it means for its source is
known from those of the others, which are read from the topic before anything is forwarded.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from services.notifier.codec import DISPATCH, pack_dispatch
from services.notifier.items import NONE, Details, Item, Standing
from services.notifier.routing import Place, Routing, dispatch, reach
from services.shared.clock import Now, wall_clock
from services.shared.engine.relay import Forward
from services.shared.engine.stage import Message, Write
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant, parse_instant
from services.shared.keys import record_key
from services.shared.partitioner import partition_of
from services.shared.sources.book import silence_of
from services.shared.sources.codec import is_record, stream_of, unpack
from services.shared.sources.model import Record, Stream
from services.shared.topics import SOURCES

SERVICE, KIND = "sources", "source_silent"


class SilentSources:
    """Knows the records of all streams: `take` is for who follows the topic as well as for who forwards it."""

    def __init__(self) -> None:
        self._records: dict[Stream, Record] = {}
        #: Where the last of each stream stands: one of both is ahead, now the one, now the other.
        self._offsets: dict[Stream, int] = {}

    def take(self, message: Any) -> bool:  # noqa: ANN401 - its library ships no types
        """Take in a message; what cannot be used is left out. Whether it is news of a stream."""
        if not is_record(message.key):
            return False
        try:
            stream = stream_of(message.key)
            if message.offset <= self._offsets.get(stream, -1):
                return False
            self._offsets[stream] = message.offset
            if message.value is None:
                self._records.pop(stream, None)
            elif isinstance(record := unpack(message.value), Record):
                self._records[stream] = record
        except ValueError:
            return False
        return True

    def seen(self, record: Record, offset: int, announced_at: Instant) -> Item:
        """How the source of a stream stands."""
        source = record.stream.source
        silence = silence_of(self._records, source)
        since = silence.since if silence else record.since
        return Item(
            service=SERVICE,
            record_id=record_key("", KIND, source).decode(),
            kind=KIND,
            standing=Standing.BROKEN if silence else Standing.FINE,
            due_at=NONE,
            since=since,
            offset=offset,
            announced_at=announced_at,
            details=Details(since, reason=KIND, waiting=silence.waiting if silence else 0),
        )


def forwards_silences(
    known: SilentSources, routing: Routing, partitions: int, prefix: str = "puntual.", now: Now = wall_clock
) -> Mapping[str, Forward]:
    """What becomes of a message of the topic of sources, as `relay.forwards` has it."""
    return {SOURCES.under(prefix): partial(_forward, known, routing, (f"{prefix}{DISPATCH}", partitions), now)}


def _forward(
    known: SilentSources, routing: Routing, to: tuple[str, int], now: Now, message: Message
) -> Iterable[Write]:
    """Of what was never silent nobody has to hear."""
    if not is_record(message.key) or message.value is None:
        return []
    headers = dict(message.headers)
    try:
        record = unpack(message.value)
        announced_at = parse_instant(headers.get("announced-at", b"").decode())
    except ValueError as error:
        raise Unusable(DeadLetterReason.INVALID, str(error)) from error
    if not isinstance(record, Record):
        return []
    known.take(message)
    item = known.seen(record, message.offset, announced_at)
    if item.standing == Standing.FINE and headers.get("transition") != b"heard":
        return []
    topic, partitions = to
    return [
        Write(topic, partition_of(key, partitions), key, pack_dispatch(address, told), [])
        for address, told in dispatch(item, reach(item, [Place()], routing), routing, now())
        for key in [address.incident_id.encode()]
    ]
