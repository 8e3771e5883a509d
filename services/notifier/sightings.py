"""What the other services announce, in the notifier's terms. Pure."""

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any, NamedTuple

from puntual.promises.v1 import promise_pb2
from puntual.sla.v1 import clock_pb2
from services.notifier.items import NONE, Details, Item, Standing
from services.notifier.routing import Place
from services.shared.clock import from_timestamp
from services.shared.instant import Instant
from services.shared.keys import split_key


class Sighting(NamedTuple):
    """How a promise or clock stands, and where it belongs."""

    item: Item
    #: Everywhere it can have been said to belong, the present first.
    places: tuple[Place, ...]


class Source(NamedTuple):
    """A topic of records: how they are read. The records have `state`, `due_at`, `warn_at`, `context` and `facts`."""

    #: Raises DecodeError.
    parse: Callable[[bytes], Any]
    standings: Mapping[int, Standing]
    #: A record and its standing → the item, but for offset and announcement, and the details that are no context.
    item: Callable[[Any, Standing], tuple[Item, Details]]

    def see(self, record: Any, offset: int, announced_at: Instant) -> Sighting:  # noqa: ANN401 - as `parse` gives it
        """What a record says. Raises KeyError on an unknown state, ValueError on a malformed id."""
        item, details = self.item(record, self.standings[record.state])
        split_key(item.record_id.encode())
        context = record.context
        details = details._replace(
            customer_name=context.customer_name,
            customer_locale=context.customer_locale,
            customer_time_zone=context.customer_time_zone,
            customer_tier=context.customer_tier,
            site=context.site,
            team=context.team,
        )
        item = item._replace(offset=offset, announced_at=announced_at, details=details)
        return Sighting(item, tuple(_places(context, [fact.context for fact in record.facts])))


def _places(context: Any, stated: Iterable[Any]) -> Iterable[Place]:  # noqa: ANN401 - either service's Context
    """Facts may have arrived in any order, so any mixture of what they state can have been the context for a while."""
    contexts = [context, *stated]
    labels = (
        dict.fromkeys(said.customer_tier for said in contexts),
        dict.fromkeys(said.site for said in contexts),
        dict.fromkeys(said.team for said in contexts),
    )
    return (Place(*place) for place in product(*labels))


def _names(values: Iterable[tuple[str, int]], prefix: str) -> Mapping[int, str]:
    """What the values of an enum are called; there is no name for "unspecified"."""
    return {number: name.removeprefix(prefix).lower() for name, number in values if number}


_KINDS = _names(promise_pb2.PromiseKind.items(), "PROMISE_KIND_")
_REASONS = _names(promise_pb2.PromiseReason.items(), "PROMISE_REASON_")
_METRICS = _names(clock_pb2.Metric.items(), "METRIC_")
#: Clocks give no reasons; these are the same in words.
_CLOCK_REASONS = {Standing.BROKEN: "due_passed", Standing.FULFILLED_LATE: "fulfilled"}


def _promise(record: promise_pb2.Promise, standing: Standing) -> tuple[Item, Details]:
    since = record.warn_at if standing == Standing.AT_RISK else record.settled_at
    due_at, original = from_timestamp(record.due_at), from_timestamp(record.original_due_at)
    kind, reason = _KINDS.get(record.kind, ""), _REASONS.get(record.reason, "")
    item = Item("promises", record.promise_id, kind, standing, due_at, from_timestamp(since), 0, NONE)
    return item, Details(original, reason=reason)


def _clock(record: clock_pb2.Clock, standing: Standing) -> tuple[Item, Details]:
    since = {Standing.AT_RISK: record.warn_at, Standing.BROKEN: record.due_at}.get(standing, record.stopped_at)
    due_at, kind = from_timestamp(record.due_at), _METRICS.get(record.metric, "")
    item = Item("sla", record.clock_id, kind, standing, due_at, from_timestamp(since), 0, NONE)
    return item, Details(due_at, reason=_CLOCK_REASONS.get(standing, ""))


#: Topic → how its records are read.
SOURCES: Mapping[str, Source] = {
    "promises.v1": Source(
        promise_pb2.Promise.FromString,
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
    ),
    "sla.v1": Source(
        clock_pb2.Clock.FromString,
        {
            clock_pb2.CLOCK_STATE_NOTED: Standing.FINE,
            clock_pb2.CLOCK_STATE_RUNNING: Standing.FINE,
            clock_pb2.CLOCK_STATE_AT_RISK: Standing.AT_RISK,
            clock_pb2.CLOCK_STATE_BREACHED: Standing.BROKEN,
            clock_pb2.CLOCK_STATE_MET: Standing.FINE,
            clock_pb2.CLOCK_STATE_MISSED: Standing.FULFILLED_LATE,
            clock_pb2.CLOCK_STATE_CANCELLED: Standing.WITHDRAWN,
        },
        _clock,
    ),
}
