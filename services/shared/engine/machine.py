"""What the engine is given: pure functions from facts to one keyed record with a next deadline."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from services.shared.instant import Instant


class TimedFact(Protocol):
    """The one thing the engine knows of a fact: when it happened (the event clock is moved by it)."""

    @property
    def occurred_at(self) -> Instant: ...


F = TypeVar("F", bound=TimedFact)
R = TypeVar("R")

#: One message value → the facts in it, each with the key of the record it belongs to. `json` says how the value is
#: encoded. No pair: the event concerns other services only. Raises `Unusable`.
Decoder = Callable[[bytes, bool], Iterable[tuple[bytes, F]]]


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
    #: The compacted topic that is state, changelog and public feed in one.
    records: str
    pack: Callable[[R], bytes]
    unpack: Callable[[bytes], R]
    fold: Callable[[bytes, R | None, Sequence[F]], R | None]
    due: Callable[[R, Instant], R | None]
    next_deadline: Callable[[R], Instant | None]
    #: Name and id of what a write means, for the headers `transition` and `transition-id`. The old record is None for a
    #: new key, the new one is None where the record is forgotten. The id is the same whenever the transition is.
    transition: Callable[[bytes, R | None, R | None], tuple[str, str]]
    #: The metric labels (kind, state) a record is counted under.
    labels: Callable[[R], tuple[str, str]]
    #: The message key that decides which partition a record belongs on; None: not for publishers to decide.
    routing: Callable[[bytes], str] | None = None
    #: Seconds from due to settled for a record that this write settled (below 0: in time), else None.
    margin: Callable[[R | None, R], float | None] = lambda _old, _new: None
    #: For `puntual_breach_detection_delay_seconds`: the first instant a breach could be announced, where this write
    #: announces one by the clock.
    breached_at: Callable[[R | None, R], Instant | None] = lambda _old, _new: None
