"""From facts to runs: when a clock ran, when it was held and how each run ended. Knows no targets and no time of day.

Where facts are of one instant, what begins counts before what ends, so that nothing depends on order of arrival.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from services.shared.facts import NO_CONTEXT, Stated, restated
from services.shared.instant import Instant
from services.sla.model import NONE, Fact, FactKind


class Run(NamedTuple):
    """From a start to what ended it. Instants are NONE where nothing did."""

    started_at: Instant
    #: By what was waited for. May be before the start.
    ended_at: Instant = NONE
    #: The first time that it was called off.
    cancelled_at: Instant = NONE
    #: Of what is scheduled: by when it is to have begun.
    window_end: Instant = NONE
    #: Nothing ends it any more: there is another after it.
    is_past: bool = False

    @property
    def over_at(self) -> Instant:
        """When facts first ended it; NONE: they did not."""
        return self.cancelled_at or self.ended_at


class Hold(NamedTuple):
    """A time in which a case was held."""

    start: Instant
    #: NONE: it is not over.
    end: Instant
    reason: str


class Known(NamedTuple):
    """What is stated of a case from an instant on, until more is."""

    at: Instant
    context: Stated
    case: Stated


class Case:
    """All that happened to one contact, callback, order or appointment, as one clock sees it; each in order."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self.facts = facts
        self.runs = _runs(facts)
        self.holds = _holds(facts)
        #: When the customer made contact.
        self.contacts = [fact.occurred_at for fact in facts if fact.kind in _CONTACTS]

    @cached_property
    def stated(self) -> Sequence[Known]:
        """With each fact that states anything, all that is stated by then: field by field the last that is there."""
        found: list[Known] = []
        context, case = last = NO_CONTEXT, NO_CONTEXT
        for fact in self.facts:
            said = fact.context, fact.case
            if said != last and any(said):
                last = said
                context, case = restated(context, fact.context), restated(case, fact.case)
                found.append(Known(fact.occurred_at, context, case))
        return found


def case_of(facts: Sequence[Fact]) -> Case:
    """What facts, in any order, come to."""
    return Case(sorted(facts, key=_rank))


# --- runs


class _Clock:
    """A clock that runs through the facts."""

    def __init__(self) -> None:
        self.past: list[Run] = []
        self.run: Run | None = None
        # Since the case was last opened; where either is set it is closed.
        self.stopped_at = self.cancelled_at = NONE
        self.began = self.answered = False
        #: Something came while the case was closed.
        self.waits = False

    @property
    def is_closed(self) -> bool:
        return bool(self.stopped_at or self.cancelled_at)

    def start(self, fact: Fact) -> None:
        """What was closed before it first started was settled before: that run ends before it starts."""
        if self.run is None and not (self.is_closed and self.began):
            self._begin(fact.occurred_at)

    def schedule(self, fact: Fact) -> None:
        """A new time does not undo that the old one was missed."""
        run = self.run
        if run is not None and not self.is_closed:
            if fact.occurred_at > run.window_end:
                self._end(fact.occurred_at)
            self.run = None
        if self.run is None and not (self.is_closed and self.began):
            self._begin(fact.window_start, fact.window_end)

    def follow_up(self, fact: Fact) -> None:
        self.waits = self.is_closed
        if self.run is None and self.answered and not self.is_closed:
            self._begin(fact.occurred_at)

    def answer(self, fact: Fact) -> None:
        self.answered = True
        self._end(fact.occurred_at)

    def renew(self, fact: Fact) -> None:
        self._end(fact.occurred_at)
        if not self.is_closed:
            self._begin(fact.occurred_at)

    def stop(self, fact: Fact) -> None:
        self.stopped_at = self.stopped_at or fact.occurred_at
        self._end(fact.occurred_at)

    def cancel(self, fact: Fact) -> None:
        self.cancelled_at = self.cancelled_at or fact.occurred_at
        if self.run is not None:
            self.run = self.run._replace(cancelled_at=self.cancelled_at)

    def open(self, fact: Fact) -> None:
        if self.waits:
            self.reopen(fact)
        elif self.is_closed:
            self._shelve()

    def reopen(self, fact: Fact) -> None:
        if self.run is None or self.is_closed:
            self._shelve()
            self._begin(fact.occurred_at)

    def _begin(self, at: Instant, window_end: Instant = NONE) -> None:
        self.began = True
        self.run = Run(at, NONE, self.cancelled_at, window_end)
        if self.stopped_at:
            self._end(self.stopped_at)

    def _end(self, at: Instant) -> None:
        if self.run is not None:
            self.past.append(self.run._replace(ended_at=at))
            self.run = None

    def _shelve(self) -> None:
        if self.run is not None:
            self.past.append(self.run)
        self.run, self.waits = None, False
        self.stopped_at = self.cancelled_at = NONE


_STEPS: Mapping[int, Callable[[_Clock, Fact], None]] = {
    FactKind.STARTED: _Clock.start,
    FactKind.STOPPED: _Clock.stop,
    FactKind.CANCELLED: _Clock.cancel,
    FactKind.ANSWERED: _Clock.answer,
    FactKind.RENEWED: _Clock.renew,
    FactKind.REOPENED: _Clock.reopen,
    FactKind.OPENED: _Clock.open,
    FactKind.SCHEDULED: _Clock.schedule,
    FactKind.FOLLOWED_UP: _Clock.follow_up,
}
_CONTACTS = frozenset({FactKind.STARTED, FactKind.REOPENED})


def _runs(facts: Sequence[Fact]) -> list[Run]:
    clock = _Clock()
    for fact in facts:
        step = _STEPS.get(fact.kind)
        if step is not None:
            step(clock, fact)
    last = clock.run or (clock.past.pop() if clock.past else None)
    if last is None:
        return []
    return [*(run._replace(is_past=True) for run in clock.past), last]


# --- order and holds

#: Of facts of one instant, which comes first.
_RANKS: Mapping[int, int] = {
    FactKind.SCHEDULED: 0,
    FactKind.STARTED: 0,
    FactKind.FOLLOWED_UP: 0,
    FactKind.HELD: 1,
    FactKind.RESUMED: 2,
    FactKind.OTHER: 2,
    FactKind.ANSWERED: 3,
    FactKind.RENEWED: 3,
    FactKind.STOPPED: 4,
    FactKind.CANCELLED: 5,
    FactKind.OPENED: 6,
    FactKind.REOPENED: 6,
}
_UNRANKED = 7


def _rank(fact: Fact) -> tuple[int, int, Fact]:
    return fact.occurred_at, _RANKS.get(fact.kind, _UNRANKED), fact


#: What ends a hold, and what begins the next.
_HELD = FactKind.HELD
_HOLDS = frozenset({_HELD, FactKind.RESUMED, FactKind.STOPPED, FactKind.CANCELLED, FactKind.OPENED, FactKind.REOPENED})


def _holds(facts: Sequence[Fact]) -> list[Hold]:
    """A second hold ends the first; so does what closes or opens the case. To resume what is not held is nothing."""
    found: list[Hold] = []
    held: Fact | None = None
    for fact in facts:
        if fact.kind not in _HOLDS:
            continue
        if held is not None and held.occurred_at < fact.occurred_at:
            found.append(Hold(held.occurred_at, fact.occurred_at, held.what))
        held = fact if fact.kind == _HELD else None
    if held is not None:
        found.append(Hold(held.occurred_at, NONE, held.what))
    return found
