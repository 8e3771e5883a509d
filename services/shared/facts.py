"""What the facts of every record have in common: they are a set, and each says whom it concerns and where."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from services.shared.errors import DeadLetterReason, Unusable

#: What is stated of a context: its fields in order, or NO_CONTEXT.
Stated = tuple[str, ...]
NO_CONTEXT: Stated = ()


class Context(NamedTuple):
    """Whom it concerns and where, field by field; empty where not stated. Events and records name them alike."""

    customer_name: str = ""
    customer_locale: str = ""
    customer_time_zone: str = ""
    customer_tier: str = ""
    site: str = ""
    team: str = ""
    channel: str = ""


def time_zone(stated: Stated) -> str:
    """The customer's, or nothing."""
    return Context(*stated).customer_time_zone


class Fact(Protocol):
    """One event, reduced to what a verdict depends on. Orders by time, then source and id."""

    @property
    def source(self) -> str: ...
    @property
    def event_id(self) -> str: ...
    @property
    def context(self) -> Stated: ...
    def __lt__(self, other: Any, /) -> bool: ...  # noqa: ANN401 - as structs have it


F = TypeVar("F", bound=Fact)


#: Of a record. What one order, callback, appointment or contact comes to is a few dozen; every write writes them all.
MOST_FACTS: Final = 1_000


def merge(known: tuple[F, ...], new: Sequence[F]) -> tuple[F, ...]:
    """The union, in order. Of facts with one id but different content the smallest is kept, whichever came first.

    Of more than `MOST_FACTS` the earliest are kept, in whatever order they came. Raises `Unusable` where a new one is
    not among them. What an earlier version kept beyond that stays.
    """
    if len(new) == 1 and _follows(new[0], known):
        if len(known) >= MOST_FACTS:
            raise _crowded()
        return (*known, new[0])
    merged, room = union(known, new), max(MOST_FACTS, len(known))
    if len(merged) > room:
        left_out = set(merged[room:])
        if any(fact in left_out for fact in new):
            raise _crowded()
        merged = merged[:room]
    return merged


def union(known: Sequence[F], new: Sequence[F]) -> tuple[F, ...]:
    """As `merge`, however many there are."""
    by_id = {(fact.source, fact.event_id): fact for fact in known}
    for fact in new:
        seen = by_id.setdefault((fact.source, fact.event_id), fact)
        if fact < seen:
            by_id[fact.source, fact.event_id] = fact
    return tuple(sorted(by_id.values()))


def _crowded() -> Unusable:
    return Unusable(
        DeadLetterReason.TOO_MANY_FACTS,
        f"{MOST_FACTS:,} earlier events concern the same subject already, as many as are judged together; give every"
        " order, callback, appointment and contact a subject_id of its own",
    )


def _follows(fact: F, known: tuple[F, ...]) -> bool:
    """Whether a fact is news later than all that is known, as nearly every fact is."""
    for other in known:
        if other.event_id == fact.event_id and other.source == fact.source:
            return False
    return not known or known[-1] < fact


def last_stated(facts: Iterable[Fact]) -> Stated:
    """Each field of the context as the facts, in order, state it last."""
    return latest([context for fact in facts if (context := fact.context)])


def latest(stated: Sequence[Stated]) -> Stated:
    """Field by field the last that is not empty, of what was stated in this order."""
    if not stated:
        return NO_CONTEXT
    if len(stated) == 1:
        return stated[0]
    return tuple([next(filter(None, reversed(column)), "") for column in zip(*stated, strict=True)])


def restated(known: Stated, new: Stated) -> Stated:
    """What is known once more is stated: field by field the last that is not empty."""
    if not known or not new:
        return new or known
    return tuple([text or before for before, text in zip(known, new, strict=True)])
