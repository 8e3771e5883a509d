"""What the other services announce, in the notifier's terms. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, product
from operator import attrgetter
from typing import Any, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from puntual.promises.v1 import promise_pb2
from puntual.sla.v1 import clock_pb2
from services.notifier.items import Details, Item, Standing
from services.notifier.repeats import broken_at
from services.notifier.routing import MAX_PLACES, Place
from services.shared.clock import from_timestamp
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant
from services.shared.keys import split_key
from services.shared.parsing import parse_bytes


class Source(NamedTuple):
    """A topic of records and how they are read; they have `context` and `facts`, their cycles `state` and `due_at`."""

    service: str
    #: Raises Unusable.
    parse: Callable[[bytes], Any]
    record_id: Callable[[Any], str]
    #: The last one is the record itself.
    cycles: Callable[[Any], Sequence[Any]]
    standings: Mapping[int, Standing]
    #: A cycle and its standing → since when it stands so, the time it was first due, and the reason.
    read: Callable[[Any, Standing], tuple[Timestamp, Timestamp, str]]
    #: Kinds of facts that cycles begin with.
    begins: frozenset[int]
    #: A cycle that never was.
    none: Any

    def standing(self, cycle: Any) -> Standing:  # noqa: ANN401
        """How a cycle stands. Raises `Unusable`."""
        standing = self.standings.get(cycle.state)
        if standing is None:
            raise Unusable(
                DeadLetterReason.INVALID, f"state {cycle.state} is unknown to this notifier; bring it up to date"
            )
        return standing

    def broken(self, record: Any) -> Iterable[tuple[tuple[str, str, int], Instant]]:  # noqa: ANN401
        """Each cycle's identity, and when it was broken; NONE: it is not, or not any more. Raises `Unusable`."""
        record_id = self.record_id(record)
        for number, cycle in enumerate(self.cycles(record), 1):
            standing = self.standing(cycle)
            since, *_ = self.read(cycle, standing)
            at = broken_at(standing, from_timestamp(since), from_timestamp(cycle.due_at))
            yield (self.service, record_id, number), at

    def possible(self, record: Any) -> int:  # noqa: ANN401
        """How many cycles a record can ever have had: facts that came late may have made two of them one."""
        return max(sum(fact.kind in self.begins for fact in record.facts), len(self.cycles(record)))

    def places(self, record: Any) -> tuple[Place, ...]:  # noqa: ANN401
        """Where a record can have been said to belong, the present first; at most `MAX_PLACES`."""
        return _places([record.context, *(fact.context for fact in reversed(record.facts))])

    def see(self, record: Any, cycle: Any, number: int, offset: int, announced_at: Instant) -> Item:  # noqa: ANN401
        """What a record, as `parse` gives it, says of a cycle: one of its own, or `none` for one that it has not.

        `number`: which one it is, from 1. Raises `Unusable` where the record's id is none.
        """
        record_id = self.record_id(record)
        standing = self.standing(cycle)
        since, original_due_at, reason = self.read(cycle, standing)
        try:
            # Not the record's enum: the id names also what a newer service has made up.
            kind = split_key(record_id.encode())[1]
        except ValueError:
            raise Unusable(DeadLetterReason.INVALID, "the record's id must be customer/kind/subject") from None
        context: dict[str, Any] = {name: _short(getattr(record.context, name)) for name in _CONTEXT}
        return Item(
            service=self.service,
            record_id=record_id,
            kind=kind,
            standing=standing,
            due_at=from_timestamp(cycle.due_at),
            since=from_timestamp(since),
            offset=offset,
            announced_at=announced_at,
            cycle=number,
            details=Details(from_timestamp(original_due_at), **context, reason=reason),
        )


#: What a message says of either service's context.
_CONTEXT = ("customer_name", "customer_locale", "customer_time_zone", "customer_tier", "site", "team")
#: An incident has to hold hundreds of such texts, and a message shows no more of one.
_LONGEST = 120
#: What a place is made of.
_LABELS = ("customer_tier", "site", "team")


def _short(text: str) -> str:
    return text[:_LONGEST]


def _places(contexts: Sequence[Any]) -> tuple[Place, ...]:
    """Facts may have arrived in any order, so any mixture of what they state can have been the context for a while.

    `contexts`: the present one, then those of the facts, the latest first. Where they state very much, what was stated
    last counts, by the time of the events: so it does not hang on the order in which they came.
    """
    tiers, sites, teams = ({_short(getattr(said, name)): None for said in contexts} for name in _LABELS)
    return tuple(islice(_mixtures((tuple(tiers), tuple(sites), tuple(teams))), MAX_PLACES))


def _mixtures(labels: Sequence[Sequence[str]]) -> Iterator[Place]:
    """Every mixture, the latest first: those with none but the first of each label, then the first two, and so on."""
    for newest in range(max(map(len, labels))):
        seen = [stated[: newest + 1] for stated in labels]
        for mixture in product(*seen):
            if any(
                len(stated) > newest and text == stated[newest] for text, stated in zip(mixture, labels, strict=True)
            ):
                yield Place(*mixture)


_REASONS = {
    number: name.removeprefix("PROMISE_REASON_").lower() for name, number in promise_pb2.PromiseReason.items() if number
}
#: Clocks give no reasons; these are the same in words.
_CLOCK_REASONS = {Standing.BROKEN: "due_passed", Standing.FULFILLED_LATE: "fulfilled"}


def _promise(cycle: promise_pb2.Promise | promise_pb2.Cycle, standing: Standing) -> tuple[Timestamp, Timestamp, str]:
    since = cycle.warn_at if standing == Standing.AT_RISK else cycle.settled_at
    return since, cycle.original_due_at, _REASONS.get(cycle.reason, "")


def _clock(cycle: clock_pb2.Clock | clock_pb2.Cycle, standing: Standing) -> tuple[Timestamp, Timestamp, str]:
    since = cycle.due_at if standing == Standing.BROKEN else cycle.stopped_at
    if standing == Standing.AT_RISK and isinstance(cycle, clock_pb2.Clock):
        since = cycle.warn_at
    return since, cycle.due_at, _CLOCK_REASONS.get(standing, "")


#: Topic → how its records are read.
SOURCES: Mapping[str, Source] = {
    "promises.v1": Source(
        "promises",
        partial(parse_bytes, promise_pb2.Promise),
        attrgetter("promise_id"),
        lambda promise: (*promise.earlier, promise),
        {
            promise_pb2.PROMISE_STATE_NOTED: Standing.FINE,
            promise_pb2.PROMISE_STATE_OPEN: Standing.FINE,
            promise_pb2.PROMISE_STATE_AT_RISK: Standing.AT_RISK,
            promise_pb2.PROMISE_STATE_BROKEN: Standing.BROKEN,
            promise_pb2.PROMISE_STATE_KEPT: Standing.FINE,
            promise_pb2.PROMISE_STATE_KEPT_LATE: Standing.FULFILLED_LATE,
            promise_pb2.PROMISE_STATE_WITHDRAWN: Standing.WITHDRAWN,
        },
        _promise,
        frozenset({promise_pb2.FACT_KIND_PROMISED, promise_pb2.FACT_KIND_RENEGOTIATED}),
        promise_pb2.Cycle(state=promise_pb2.PROMISE_STATE_NOTED),
    ),
    "sla.v1": Source(
        "sla",
        partial(parse_bytes, clock_pb2.Clock),
        attrgetter("clock_id"),
        lambda clock: (*clock.earlier, clock),
        {
            clock_pb2.CLOCK_STATE_NOTED: Standing.FINE,
            clock_pb2.CLOCK_STATE_RUNNING: Standing.FINE,
            clock_pb2.CLOCK_STATE_AT_RISK: Standing.AT_RISK,
            clock_pb2.CLOCK_STATE_BREACHED: Standing.BROKEN,
            clock_pb2.CLOCK_STATE_MET: Standing.FINE,
            clock_pb2.CLOCK_STATE_MISSED: Standing.FULFILLED_LATE,
            clock_pb2.CLOCK_STATE_CANCELLED: Standing.WITHDRAWN,
            clock_pb2.CLOCK_STATE_PAUSED: Standing.FINE,
        },
        _clock,
        frozenset(clock_pb2.FactKind.values()) - {clock_pb2.FACT_KIND_OTHER, clock_pb2.FACT_KIND_STOPPED},
        clock_pb2.Cycle(state=clock_pb2.CLOCK_STATE_NOTED),
    ),
}
