"""What the facts of every record have in common: they are a set, and each says whom it concerns and where."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast

from msgspec.structs import astuple, replace

from services.shared.errors import DeadLetterReason, Reused, Unusable
from services.shared.instant import Instant

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


_SITE: Final = Context._fields.index("site")


def time_zone(stated: Stated) -> str:
    """The customer's, or nothing."""
    return Context(*stated).customer_time_zone


def site_of(stated: Stated) -> str:
    """Where it was, or nothing."""
    return stated[_SITE] if stated else ""


class Fact(Protocol):
    """One event, reduced to what a verdict depends on: a struct that begins with its time, source and id.

    It ends with its `sequence`: which of its source's facts of one instant it is, or 0; and with the other id of the
    same customer under which it was told, or nothing. What lies between is what it says. Orders by time, then source
    and id.
    """

    @property
    def occurred_at(self) -> Instant: ...
    @property
    def source(self) -> str: ...
    @property
    def event_id(self) -> str: ...
    @property
    def kind(self) -> int: ...
    @property
    def context(self) -> Stated: ...
    @property
    def sequence(self) -> int: ...
    @property
    def customer_id(self) -> str: ...
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
    by_id = {_id(fact): fact for fact in known}
    for fact in new:
        seen = by_id.setdefault(_id(fact), fact)
        if fact < seen:
            by_id[_id(fact)] = fact
    return tuple(sorted(by_id.values()))


def _id(fact: Fact) -> tuple[str, str, str]:
    return fact.source, fact.event_id, fact.customer_id


def displaced(known: Sequence[F], merged: Sequence[F]) -> list[tuple[str, str]]:
    """Source and id of those known that had to make room for earlier ones when facts were merged into them."""
    if len(merged) < MOST_FACTS:
        return []
    kept = {(fact.source, fact.event_id) for fact in merged}
    return [place for fact in known if (place := (fact.source, fact.event_id)) not in kept]


def _crowded() -> Unusable:
    return Unusable(
        DeadLetterReason.TOO_MANY_FACTS,
        f"{MOST_FACTS:,} earlier events concern the same subject already, as many as are judged together; give every"
        " order, callback, appointment and contact a subject_id of its own",
    )


def _follows(fact: F, known: tuple[F, ...]) -> bool:
    """Whether a fact is news later than all that is known, as nearly every fact is."""
    for other in known:
        if other.event_id == fact.event_id and other.source == fact.source and other.customer_id == fact.customer_id:
            return False
    return not known or known[-1] < fact


def reused(known: Sequence[F], new: Sequence[F]) -> list[F]:
    """Those of the new facts whose id says something else in `known`, or further ahead in `new`."""
    first = {_id(fact): fact for fact in known}
    return [fact for fact in new if not _says_as(first.setdefault(_id(fact), fact), fact)]


def reuse(known: Sequence[F], merged: Sequence[F], new: Sequence[F]) -> Reused | None:
    """What is wrong with facts that were merged into those known: an id was used again; None: nothing."""
    if len(merged) == len(known) + len(new):  # as nearly always
        return None
    again = reused(known, new)
    return Reused(again[0].source) if again else None


def _says_as(fact: Any, other: Any) -> bool:  # noqa: ANN401 - structs
    """Whether two facts of one id are the same event: it may stand twice in a file, and be numbered anew."""
    return fact == other or astuple(fact)[:-2] == astuple(other)[:-2]


#: For facts of one instant: kind → its rank among them. What is not named comes last.
Ranks = Callable[[Sequence[Any]], Mapping[int, int]]
_UNRANKED: Final = 1 << 30
_AT: Final = attrgetter("occurred_at")


def in_order(facts: tuple[F, ...], ranks: Ranks) -> tuple[F, ...]:
    """Facts, sorted, as they are judged: of one instant as their source numbers them, else by rank; never by ids.

    Of what is alike in rank, what it says decides, such as the earlier date.
    """
    if are_apart(facts):
        return facts
    return tuple(numbered([each for _, together in groupby(facts, _AT) for each in _ranked([*together], ranks)]))


def are_apart(facts: Sequence[Fact]) -> bool:
    """Whether each fact is later than the one before it, as nearly always: then nothing else orders them."""
    before = _LONG_AGO
    for fact in facts:
        at = fact.occurred_at
        if at <= before:
            return False
        before = at
    return True


_LONG_AGO: Final = Instant(-(2**62))


def _ranked(facts: list[F], ranks: Ranks) -> list[F]:
    """Facts of one instant."""
    if len(facts) > 1:
        rank_of = ranks(facts)
        facts.sort(key=lambda fact: _weight(fact, rank_of.get(fact.kind, _UNRANKED)))
    return facts


def _weight(fact: Any, rank: int) -> tuple[Any, ...]:  # noqa: ANN401 - a struct
    _, source, event_id, *said, sequence, _ = astuple(fact)
    return rank, said, source, sequence, event_id


def numbered(facts: Sequence[F]) -> Sequence[F]:
    """Facts by time and rank, with what a source numbers at one instant in its order among what others say then.

    A fact counts no earlier than those that its source numbered before it.
    """
    if not any(fact.sequence for fact in facts):
        return facts
    found: list[F] = []
    for _, together in groupby(facts, _AT):
        places: list[tuple[int, str, int, int, F]] = []
        latest: dict[str, int] = {}
        ranked = [(fact.source, fact.sequence, place, fact) for place, fact in enumerate(together)]
        for source, sequence, place, fact in sorted(ranked, key=_as_numbered):
            counts = max(place, latest.get(source, place)) if sequence else place
            if sequence:
                latest[source] = counts
            places.append((counts, source, sequence, place, fact))
        found += [fact for *_, fact in sorted(places, key=_as_placed)]
    return found


def _as_numbered(ranked: tuple[str, int, int, Any]) -> tuple[str, int, int]:
    return ranked[:3]


def _as_placed(place: tuple[int, str, int, int, Any]) -> tuple[int, str, int, int]:
    return place[:4]


def as_told_of(facts: Iterable[F], theirs: str, own: str) -> list[F]:
    """Facts of the record of one id of a customer as the record of another has them.

    Raises `Unusable` where either id is empty: records without a customer have no other id.
    """
    if not theirs or not own:
        raise Unusable(DeadLetterReason.NO_CUSTOMER, "only records of customers are shared")
    told = ((fact, fact.customer_id or theirs) for fact in facts)
    return [replace(cast(Any, fact), customer_id="" if whose == own else whose) for fact, whose in told]


def counts_under(facts: Sequence[Fact], kinds: Container[int], customer_id: str) -> str:
    """Of facts told under several ids of one customer: the id whose record counts; empty: it is the record's own.

    It is the one under which the first of these kinds was told. `customer_id`: the record's own.
    """
    for fact in facts:
        if fact.customer_id:
            break
    else:  # as nearly always
        return ""
    told = [(fact.occurred_at, fact.customer_id or customer_id) for fact in facts if fact.kind in kinds]
    first = min(told)[1] if told else customer_id
    return "" if first == customer_id else first


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
    return tuple([new[index] or known[index] for index in range(len(known))])
