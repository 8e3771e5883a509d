"""What can be told of: the kinds of promises, clocks and sources."""

from collections.abc import Mapping, Sequence

from puntual.promises.v1.promise_pb2 import PromiseKind
from puntual.sla.v1.clock_pb2 import Metric

#: Service → the kinds of what it watches.
KINDS: Mapping[str, Sequence[str]] = {
    "promises": [name.removeprefix("PROMISE_KIND_").lower() for name, number in PromiseKind.items() if number],
    "sla": [name.removeprefix("METRIC_").lower() for name, number in Metric.items() if number],
    "sources": ["source_silent"],
}
