"""What the engine is given: pure functions from facts to one keyed record with a next deadline."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from services.shared.errors import Unusable
from services.shared.instant import Instant
from services.shared.value import Value


class TimedFact(Protocol):
    """The one thing the engine knows of a fact: when it happened (the event clock is moved by it)."""

    @property
    def occurred_at(self) -> Instant: ...


class OwnFact(NamedTuple):
    """What this worker itself found out about a record."""

    partition: int
    key: bytes
    fact: object


F = TypeVar("F", bound=TimedFact)
R = TypeVar("R")

#: One message value → the facts in it, each with the key of the record it belongs to. `json` says how the value is
#: encoded. No pair: the event concerns other services only. Raises `Unusable`.
Decoder = Callable[[bytes, bool], Iterable[tuple[bytes, F]]]


#: (kind, state).
Labels = tuple[str, str]


class Step(Value, frozen=True):
    """What the write of a record means."""

    #: For the headers `transition` and `transition-id`. The id is the same whenever the transition is.
    name: bytes
    id: bytes
    #: What the record was counted under, and is now; None: there was or is none.
    before: Labels | None
    after: Labels | None
    #: Seconds from due to settled where this write settles the record (below 0: in time).
    margin: float | None = None
    #: The first instant a breach could be announced, where this write announces one by the clock.
    breached_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Joining(Generic[F]):
    """How records are shared between the ids of one customer: see `joined`."""

    #: The topic over which they go.
    topic: str
    #: The key of a record and another's packed record → its facts, as told of that key. Raises whatever is wrong.
    facts: Callable[[bytes, bytes], Sequence[F]]


@dataclass(frozen=True, slots=True)
class Journal(Generic[R, F]):
    """A topic that is only added to: what the steps of records mean to those who ask later.

    The entries of a step are in the log before its record is sent, and so before the step is told, committed or acted
    upon: none is lost. A crash in between leaves entries of a step that was not taken, and so may a worker that was
    succeeded without noticing, as only records are fenced. Whoever comes next takes that step again, and its entries
    stand twice: give them ids that are the same whenever the step is.
    """

    topic: str
    #: Key, old record, new record, the facts that were folded (none: its deadline came) and when → values. They are
    #: written under the key of the record and on its partition. Facts that change nothing are no step, yet it is asked.
    entries: Callable[[bytes, R | None, R | None, Sequence[F], Instant], Iterable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine(Generic[R, F]):
    """Facts in, one record per key out, with a next deadline. Every function here is pure.

    `fold` must not depend on the order or repetition of facts, and returns a record equal to its input where the facts
    change nothing (the engine then writes nothing; None where there is no record and none is needed). `due` judges a
    record again at an instant; None forgets it.
    """

    name: str
    #: Input topic → how its values become facts.
    inputs: Mapping[str, Decoder[F]]
    #: The type of the records; msgspec must know how to encode it. In memory they lie in that form.
    record: type[R]
    #: The compacted topic that is state, changelog and public feed in one.
    records: str
    #: The record as the bytes of that topic, and back.
    pack: Callable[[R], bytes]
    unpack: Callable[[bytes], R]
    fold: Callable[[bytes, R | None, Sequence[F]], R | None]
    due: Callable[[R, Instant], R | None]
    next_deadline: Callable[[R], Instant | None]
    #: What the write of a record means. The old record is None for a new key, the new one where it is forgotten.
    step: Callable[[bytes, R | None, R | None], Step]
    #: The metric labels a record is counted under.
    labels: Callable[[R], Labels]
    #: The partition, out of so many, that a record belongs on; None: not for publishers to decide.
    home: Callable[[bytes, int], int] | None = None
    #: What is written down of every step beside the record; None: nothing.
    journal: Journal[R, F] | None = None
    #: Old record, folded record, the facts → what is wrong where an event id was used again for something else. The
    #: record is as it is whichever came first; the message that came second is set aside all the same.
    reuse: Callable[[R | None, R, Sequence[F]], Unusable | None] | None = None
    #: None: no customer has several ids.
    joining: Joining[F] | None = None
    #: Old record, folded record → source and id of each event that does not count any more, as earlier ones came and
    #: a record takes only so many. Asked of large records only.
    displaced: Callable[[R, R], Sequence[tuple[str, str]]] | None = None
