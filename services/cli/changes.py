"""What is announced on the record topics, read from outside: one change of one promise or clock."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from puntual.promises.v1.promise_pb2 import Promise
from puntual.sla.v1.clock_pb2 import Clock
from services.cli.reading import follow
from services.shared import topics
from services.shared.clock import from_timestamp
from services.shared.engine.stage import Message
from services.shared.instant import Instant, parse_instant
from services.shared.keys import split_key

_NONE = Instant(0)


class Change(NamedTuple):
    """One announcement."""

    announced_at: Instant
    transition: str
    kind: str
    record_id: str
    customer_id: str
    subject_id: str
    #: 0: none.
    due_at: Instant
    #: When it was fulfilled or stopped; 0: not.
    settled_at: Instant
    site: str
    team: str


def follow_changes(
    bootstrap: str, prefix: str, *, from_start: bool, ready: Callable[[], None] = lambda: None
) -> Iterator[Change | None]:
    """Changes of promises and clocks, without end; None whenever nothing came for a moment. `ready`: see `follow`."""
    names = [topics.PROMISES.under(prefix), topics.SLA.under(prefix)]
    for message in follow(bootstrap, names, from_start=from_start, ready=ready):
        if message is None:
            yield None
        elif message.value is not None and message.key is not None:
            yield _change(message, message.key, message.value, is_promise=message.topic == names[0])


def _change(message: Message, key: bytes, value: bytes, *, is_promise: bool) -> Change:
    headers = {name: text.decode() for name, text in message.headers}
    record: Promise | Clock
    if is_promise:
        record = promise = Promise.FromString(value)
        settled = promise.settled_at
    else:
        record = clock = Clock.FromString(value)
        settled = clock.stopped_at
    return Change(
        parse_instant(headers["announced-at"]),
        headers["transition"],
        split_key(key)[1],
        key.decode(),
        record.customer_id,
        record.subject_id,
        from_timestamp(record.due_at),
        from_timestamp(settled),
        record.context.site,
        record.context.team,
    )
