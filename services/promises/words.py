"""From facts to words: which facts are of which cycle of a promise, and what they come to. Knows no present.

Where facts are of one instant, what their source numbered counts in that order, and else each kind has its rank; ids
decide nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from services.promises.model import NONE, Consent, Cycle, Fact, FactKind, Party, Promise, Reason, State
from services.shared.facts import in_order
from services.shared.instant import Instant

# These are asked of every event. A name that is Final costs compiled code nothing, and a number less than a member.
_PROMISED: Final[int] = FactKind.PROMISED
_RENEGOTIATED: Final[int] = FactKind.RENEGOTIATED
_FULFILLED: Final[int] = FactKind.FULFILLED
_CANCELLED: Final[int] = FactKind.CANCELLED
_NO_SHOW: Final[int] = FactKind.NO_SHOW
_WAIVED: Final[int] = FactKind.WAIVED
_OPEN: Final[int] = State.OPEN
_BROKEN: Final[int] = State.BROKEN
_KEPT: Final[int] = State.KEPT
_KEPT_LATE: Final[int] = State.KEPT_LATE
_WITHDRAWN: Final[int] = State.WITHDRAWN
_BY_FULFILMENT: Final[int] = Reason.FULFILLED
_BY_WAIVER: Final[int] = Reason.WAIVED
_CUSTOMER: Final[int] = Party.CUSTOMER
_UNSPECIFIED: Final[int] = Consent.UNSPECIFIED
_ACCEPTED: Final[int] = Consent.ACCEPTED

#: Of facts of one instant, which comes first.
_WHERE_FULFILLED: Final[dict[int, int]] = {
    FactKind.PROMISED: 0,
    FactKind.RENEGOTIATED: 1,
    FactKind.ATTEMPTED: 2,
    FactKind.FULFILLED: 3,
    FactKind.NO_SHOW: 4,
    FactKind.CANCELLED: 5,
    FactKind.WAIVED: 6,
}
_WHERE_NOT: Final[dict[int, int]] = _WHERE_FULFILLED | {FactKind.PROMISED: 7, FactKind.RENEGOTIATED: 8}


def ranks(facts: Sequence[Fact]) -> Mapping[int, int]:
    """Of facts of one instant, kind → which comes first.

    What was promised and fulfilled was promised before, and what was fulfilled is not called off. Where nothing was
    fulfilled, what was called off and promised was called off before: it is promised anew.
    """
    return _WHERE_FULFILLED if any(fact.kind == _FULFILLED for fact in facts) else _WHERE_NOT


class Word:
    """A word given, and what became of it: one cycle.

    Any later date is a renegotiation, also where it is published as a second promise: it moves the due time only if the
    customer accepted it before the time in force had passed, and before the word was fulfilled.
    """

    def __init__(self, first: Fact, tolerance: int) -> None:
        self.original_due_at: Instant = first.due_at
        self.due_at: Instant = first.due_at
        self.announced_due_at: Instant = first.due_at
        self.given_at: Instant = first.occurred_at
        self.agreed = False
        #: When it first ended, in whatever way; NONE: it did not.
        self.over_at: Instant = NONE
        self._tolerance = tolerance
        self._fulfilled: Fact | None = None
        self._waived: Fact | None = None
        #: Called off or not attended, where that decides anything.
        self._ended: Fact | None = None
        self._called_off = False
        #: Only by the company, and so that it can be agreed anew.
        self._by_us = True

    def take(self, fact: Fact) -> None:
        """Take in what is no date."""
        kind = fact.kind
        if kind == _FULFILLED:
            self._fulfilled = self._fulfilled or fact
        elif kind in (_CANCELLED, _NO_SHOW, _WAIVED):
            self._called_off = True
            self._by_us = self._by_us and kind == _CANCELLED and _ending(fact)[0] == _BROKEN
            if kind == _WAIVED:
                self._waived = self._waived or fact
            elif not self._fulfilled and (kind == _NO_SHOW or fact.occurred_at <= self.due_at + self._tolerance):
                self._ended = self._ended or fact
        else:
            return
        self.over_at = self.over_at or fact.occurred_at

    def renews(self, fact: Fact) -> bool:
        """Whether a date is a word of its own, as this one had ended; else it is taken in."""
        promised, accepted = fact.kind == _PROMISED, _accepted(fact)
        holds = accepted and fact.occurred_at <= self.due_at
        if self._fulfilled:
            # What is done is often told once more: the same time is no other word.
            return promised and (self._called_off or fact.due_at != self.due_at)
        if self._called_off and (promised or (accepted and not (holds and self._by_us))):
            return True
        self.announced_due_at = fact.due_at
        if holds:
            self._ended, self._called_off, self.over_at = None, False, NONE
            if fact.due_at != self.due_at:
                self.due_at, self.given_at, self.agreed = fact.due_at, fact.occurred_at, True
        return False

    def settled(self) -> tuple[int, int, Instant]:
        """What the facts alone decide: state, reason, when. OPEN where only time can tell.

        The first of these that holds: fulfilled in time; waived; called off by the customer, or with the customer's
        consent, before anything else decided; fulfilled late; called off or not attended by the company. Who calls off
        after the word was broken changes nothing; a no-show tells, however late, why it was. What the company called
        off stands again where the customer accepts a time while the old one holds.
        """
        fulfilled, ended, waived = self._fulfilled, self._ended, self._waived
        if not (fulfilled or ended or waived):
            return _OPEN, 0, NONE
        called_off = ended is not None and _ending(ended)[0] == _WITHDRAWN
        if fulfilled and fulfilled.occurred_at <= self.due_at + self._tolerance and not called_off:
            return _KEPT, _BY_FULFILMENT, fulfilled.occurred_at
        if waived:
            return _WITHDRAWN, _BY_WAIVER, waived.occurred_at
        if fulfilled and not called_off:
            return _KEPT_LATE, _BY_FULFILMENT, fulfilled.occurred_at
        assert ended is not None  # noqa: S101 - one of the three is set
        return *_ending(ended), ended.occurred_at


def next_word(facts: tuple[Fact, ...], start: int) -> int:
    """Where, from `start` on, a word is given: promised or, once there was one, agreed anew. Below 0: nowhere."""
    for index in range(start, len(facts)):
        fact = facts[index]
        if fact.kind == _PROMISED or (start and fact.kind == _RENEGOTIATED and _accepted(fact)):
            return index
    return -1


def cycle(facts: tuple[Fact, ...], start: int, first: int, stop: int, tolerance: int) -> tuple[Word, int]:
    """The word given at `first`, as the facts (in order) from `start` to `stop` have it, and where the next begins."""
    word = Word(facts[first], tolerance)
    for index in range(start, stop):
        fact = facts[index]
        kind = fact.kind
        if kind not in (_PROMISED, _RENEGOTIATED):
            word.take(fact)
        elif index > first and word.renews(fact):
            # Where it had ended before this instant, whatever is said of this instant is said of the new word.
            begin = index
            while begin > first + 1 and word.over_at < fact.occurred_at == facts[begin - 1].occurred_at:
                begin -= 1
            return (word, index) if begin == index else cycle(facts, start, first, begin, tolerance)
    return word, stop


def cycles_of(promise: Promise) -> tuple[Promise | Cycle, ...]:
    """All of a promise, the last one last."""
    return (*promise.earlier, promise)


class Told(NamedTuple):
    """A fact, as it was judged."""

    fact: Fact
    #: Of which cycle it is, from 1.
    cycle: int
    #: The due time in force before and after it; NONE: nothing was promised.
    before: Instant
    after: Instant
    #: Nothing that was agreed later made it void.
    stands: bool = True


def told(promise: Promise) -> Iterator[Told]:
    """Each fact in the order in which they are judged."""
    facts = in_order(promise.facts, ranks)
    number, end = 0, 0
    while end < len(facts):
        start, number = end, number + 1
        first = next_word(facts, start)
        end = cycle(facts, start, first, len(facts), 0)[1] if first >= 0 else len(facts)
        yield from _told(facts[start:end], first - start, number)


def _told(facts: tuple[Fact, ...], first: int, number: int) -> Iterator[Told]:
    """Those of one cycle; `first` is below 0 where nothing was promised."""
    word, found = Word(facts[first], 0), list[Told]()
    void = 0
    for index, fact in enumerate(facts):
        before, was_over = word.due_at if 0 <= first < index else NONE, word.over_at
        if fact.kind not in (_PROMISED, _RENEGOTIATED):
            word.take(fact)
        elif index > first:
            word.renews(fact)
            void = index if was_over and not word.over_at else void
        found.append(Told(fact, number, before, word.due_at if 0 <= first <= index else NONE))
    for index, each in enumerate(found):
        yield each._replace(stands=index >= void or each.fact.kind != _CANCELLED)


def _accepted(fact: Fact) -> bool:
    asked_for_it = fact.by == _CUSTOMER and fact.consent == _UNSPECIFIED
    return fact.consent == _ACCEPTED or asked_for_it


def _ending(fact: Fact) -> tuple[int, int]:
    """What a cancellation or a no-show means: state and reason."""
    by_customer = fact.by == _CUSTOMER
    if fact.kind == _NO_SHOW:
        if by_customer:
            return _WITHDRAWN, Reason.CUSTOMER_NO_SHOW
        return _BROKEN, Reason.NO_SHOW_BY_US
    if by_customer:
        return _WITHDRAWN, Reason.CANCELLED_BY_CUSTOMER
    if fact.consent == _ACCEPTED:
        return _WITHDRAWN, Reason.CANCELLED_BY_AGREEMENT
    return _BROKEN, Reason.CANCELLED_BY_US
