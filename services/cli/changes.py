"""What is announced on the record topics, read from outside: one change of one promise or clock."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from puntual.promises.v1.promise_pb2 import Promise, PromiseReason
from puntual.sla.v1.clock_pb2 import Clock
from services.cli.reading import Entry, follow
from services.shared import topics
from services.shared.clock import from_timestamp
from services.shared.duration import format_duration
from services.shared.explanation import distance
from services.shared.instant import Instant, parse_instant
from services.shared.keys import split_key

#: A number that a newer version wrote has no words here.
_REASONS: Mapping[int, str] = {
    number: name.removeprefix("PROMISE_REASON_").lower() if number else "" for name, number in PromiseReason.items()
}


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
    #: Why a promise stands where it does: "cancelled_by_us"; empty for clocks, and where nothing is to be said.
    reason: str
    site: str
    team: str

    def margin(self) -> str:
        """What people want to know beside it: how late, how early, how long there is, or why."""
        match self.transition:
            case "kept" | "kept_late" | "met" | "missed" if self.settled_at and self.due_at:
                return distance(self.settled_at, self.due_at)
            case "broken" | "breached" if self.reason in {"", "due_passed"}:
                return f"{format_duration(self.announced_at - self.due_at)} past due"
            case "made" | "started" | "at_risk" | "renegotiated" | "retracted" | "resumed" if (
                self.due_at > self.announced_at
            ):
                return f"due in {format_duration(self.due_at - self.announced_at)}"
            case _:
                return self.reason.replace("_", " ")


def follow_changes(
    bootstrap: str,
    prefix: str,
    *,
    from_start: bool,
    ready: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Change | None]:
    """Changes of promises and clocks, without end; None whenever nothing came for a moment. The rest as in `follow`."""
    names = [topics.PROMISES.under(prefix), topics.SLA.under(prefix)]
    for message in follow(bootstrap, names, from_start=from_start, ready=ready, tell=tell):
        if message is None:
            yield None
        elif message.value is not None and message.key is not None:
            yield _change(message, message.key, message.value, is_promise=message.topic == names[0])


def _change(message: Entry, key: bytes, value: bytes, *, is_promise: bool) -> Change:
    headers = {name: text.decode() for name, text in message.headers}
    record: Promise | Clock
    if is_promise:
        record = promise = Promise.FromString(value)
        settled, reason = promise.settled_at, _REASONS.get(promise.reason, "")
    else:
        record = clock = Clock.FromString(value)
        settled, reason = clock.stopped_at, ""
    return Change(
        parse_instant(headers["announced-at"]),
        headers["transition"],
        split_key(key)[1],
        key.decode(),
        record.customer_id,
        record.subject_id,
        from_timestamp(record.due_at),
        from_timestamp(settled),
        reason,
        record.context.site,
        record.context.team,
    )
