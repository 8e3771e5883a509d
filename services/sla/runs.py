"""From facts to runs: when a clock ran, when it was held and how each run ended. Knows no targets and no time of day.

Facts of one instant, as exports without seconds have them, are taken in the order of `_rank`. Neither arrival nor ids
decide anything. In short: what begins counts before what ends, and what ends before what opens again. Three rules hang
on how the case stood before the instant:

* a hold and a resumption: it is held afterwards, unless it was held before;
* a stop and a reopening: it is open afterwards, unless it was closed before;
* to reopen what is open, to resume what is not held and to hold for the reason it is held for is nothing.

What a source numbers at one instant happened in its order, whatever the ranks say.

What was stopped before it first started is no run at all: it was settled elsewhere, or two clocks differ.

What is agreed again after it was called off is a run of its own: another window, a callback asked for once more, an
order that is ready after all. So is another window that is booked once the last was attended or missed, and a callback
that is asked for once the last was returned; the same window, and the same time promised, only tell that once more. So
does an order that is ready when the customer has been told. A contact has its own word for it: it is reopened.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from services.shared.facts import NO_CONTEXT, Stated, are_apart, numbered, restated
from services.shared.instant import Instant
from services.sla.model import NONE, Fact, FactKind, Metric


class Run(NamedTuple):
    """From a start to what ended it. Instants are NONE where nothing did."""

    started_at: Instant
    #: By what was waited for. Before the start only where a window was agreed that had not begun.
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
    """A time in which a case was held for one reason. Where the next begins as this ends, it was held all the time."""

    start: Instant
    #: NONE: it is not over.
    end: Instant
    reason: str


#: What is stated of a case from an instant on, until more is: when, the context, and what the case is.
Known = tuple[Instant, Stated, Stated]


class Case:
    """All that happened to one contact, callback, order or appointment, as one clock sees it; each in order."""

    def __init__(
        self, facts: Sequence[Fact], runs: Sequence[Run], holds: Sequence[Hold], contacts: Sequence[Instant]
    ) -> None:
        self.facts = facts
        self.runs = runs
        self.holds = holds
        #: When the customer made contact.
        self.contacts = contacts
        self._stretches: dict[frozenset[str] | None, Sequence[Sequence[Hold]]] = {}
        self._stated: Sequence[Known] | None = None

    def stretches(self, reasons: frozenset[str] | None) -> Sequence[Sequence[Hold]]:
        """The holds for these reasons, those together between which it was not resumed; None: for any."""
        if reasons not in self._stretches:
            self._stretches[reasons] = _unbroken(self.holds, reasons)
        return self._stretches[reasons]

    @property
    def stated(self) -> Sequence[Known]:
        """With each fact that states anything, all that is stated by then: field by field the last that is there."""
        if self._stated is None:
            self._stated = _stated_by(self.facts)
        return self._stated


def case_of(facts: Sequence[Fact], metric: int) -> Case:
    """What facts, in any order, come to for the clock of a metric."""
    ordered = facts if are_apart(facts) else numbered(_in_order(facts))
    clock = _Clock(metric)
    for fact in ordered:
        step = _STEPS.get(fact.kind)
        if step is not None:
            step(clock, fact)
    contacts = [fact.occurred_at for fact in ordered if fact.kind in _CONTACTS]
    return Case(ordered, clock.runs(), clock.all_holds(), contacts)


def _stated_by(facts: Sequence[Fact]) -> list[Known]:
    found: list[Known] = []
    context, case = said_context, said_case = NO_CONTEXT, NO_CONTEXT
    for fact in facts:
        of_context, of_case = fact.context, fact.case
        # What is said once more adds nothing.
        is_context, is_case = of_context and of_context != said_context, of_case and of_case != said_case
        if is_context:
            context, said_context = restated(context, of_context), of_context
        if is_case:
            case, said_case = restated(case, of_case), of_case
        if is_context or is_case:
            found.append((fact.occurred_at, context, case))
    return found


def _unbroken(held: Sequence[Hold], reasons: frozenset[str] | None) -> list[list[Hold]]:
    found: list[list[Hold]] = []
    for hold in held:
        if reasons is not None and hold.reason not in reasons:
            continue
        if found and found[-1][-1].end == hold.start:
            found[-1].append(hold)
        else:
            found.append([hold])
    return found


#: What an event calls a window that is no change of another.
BOOKED: Final = "booked"
#: What starts again once it was called off. An appointment is booked again, a contact reopened.
_AGAIN_IF_CALLED_OFF = frozenset({Metric.CALLBACK_RETURNED, Metric.CUSTOMER_TOLD})
#: What starts again once it was done, too.
_AGAIN_IF_DONE = frozenset({Metric.CALLBACK_RETURNED})
#: Of facts of one instant, which comes first.
_RANKS: Mapping[int, int] = {
    FactKind.SCHEDULED: 0,
    FactKind.STARTED: 0,
    FactKind.FOLLOWED_UP: 0,
    FactKind.RESUMED: 1,
    FactKind.OTHER: 1,
    FactKind.ANSWERED: 2,
    FactKind.RENEWED: 2,
    FactKind.STOPPED: 3,
    FactKind.CANCELLED: 4,
    FactKind.OPENED: 5,
    FactKind.REOPENED: 5,
    FactKind.HELD: 6,
}
_UNRANKED = 7


def _rank(fact: Fact) -> tuple[object, ...]:
    """By time, kind and then what is said, so that ids order only what is alike in all that matters."""
    said = fact.case, fact.context, fact.what, fact.window_start, fact.window_end
    return fact.occurred_at, _RANKS.get(fact.kind, _UNRANKED), fact.kind, said, fact


_CLOSING = frozenset({FactKind.STOPPED, FactKind.CANCELLED})
_OPENING = frozenset({FactKind.OPENED, FactKind.REOPENED})
#: The last ranks of an instant before which the case was closed: it is opened, and only then closed again.
_CLOSED_BEFORE: Mapping[int, int] = {
    **dict.fromkeys(_OPENING, 1),
    FactKind.STOPPED: 2,
    FactKind.CANCELLED: 3,
    FactKind.HELD: 4,
}


def _in_order(facts: Sequence[Fact]) -> Sequence[Fact]:
    ordered = sorted(facts, key=_rank)
    if not any(fact.kind in _OPENING for fact in ordered):
        return ordered
    found: list[Fact] = []
    is_closed = False
    for _, instant in groupby(ordered, key=attrgetter("occurred_at")):
        together = list(instant)
        kinds = {fact.kind for fact in together}
        closes, opens = not kinds.isdisjoint(_CLOSING), not kinds.isdisjoint(_OPENING)
        if is_closed and opens:
            together.sort(key=lambda fact: _CLOSED_BEFORE.get(fact.kind, 0))
            is_closed = closes
        else:
            is_closed = (is_closed or closes) and not opens
        found += together
    return found


_NO_WINDOW: Final = (NONE, NONE)


def _tied(one: Fact | None, other: Fact) -> bool:
    """Whether nothing but their kinds says which of two came first."""
    return one is not None and one.occurred_at == other.occurred_at


class _Clock:
    """A clock that runs through the facts."""

    def __init__(self, metric: int) -> None:
        self.again_if_called_off = metric in _AGAIN_IF_CALLED_OFF
        self.again_if_done = metric in _AGAIN_IF_DONE
        self.past: list[Run] = []
        self.run: Run | None = None
        # Since the case was last opened; where either is set it is closed.
        self.stopped_at = self.cancelled_at = NONE
        #: How it was closed last, if it had begun.
        self.called_off = self.done = False
        self.began = self.answered = False
        #: What was booked last, or promised to whoever asked.
        self.window = _NO_WINDOW
        #: Something came while the case was closed.
        self.waits = False
        self.holds: list[Hold] = []
        self.held: Fact | None = None
        #: What ended a hold last.
        self.resumed: Fact | None = None

    @property
    def is_closed(self) -> bool:
        return bool(self.stopped_at or self.cancelled_at)

    def start(self, fact: Fact) -> None:
        """What is closed since it first started begins nothing by being told once more."""
        window = fact.window_start, fact.window_end
        is_told_again = window == self.window != _NO_WINDOW
        if (self.called_off and self.again_if_called_off) or (self.done and self.again_if_done and not is_told_again):
            self._shelve()
        if window != _NO_WINDOW:
            self.window = window
        if self.run is None and not (self.is_closed and self.began):
            self._begin(fact.occurred_at)

    def schedule(self, fact: Fact) -> None:
        """A new time does not undo that the old one was missed."""
        window = fact.window_start, fact.window_end
        if window == self.window and not self.called_off:
            return  # told once more
        if self.is_closed and self.began:
            if self.stopped_at and fact.what != BOOKED:
                return
            self._release(fact.occurred_at)
            self._shelve()
        elif self.run is not None:
            if fact.occurred_at > self.run.window_end:
                self._end(fact.occurred_at)
            self.run = None
        self.window = window
        self._begin(*window)

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
        self._release(fact.occurred_at)
        self.called_off, self.done = False, self.began
        self.stopped_at = self.stopped_at or fact.occurred_at
        self._end(fact.occurred_at)

    def cancel(self, fact: Fact) -> None:
        self._release(fact.occurred_at)
        self.called_off, self.done = self.began, False
        if self.cancelled_at:
            return
        self.cancelled_at, run = fact.occurred_at, self.run
        if run is not None:
            self.run = Run(run.started_at, run.ended_at, self.cancelled_at, run.window_end)

    def open(self, fact: Fact) -> None:
        if self.waits:
            self.reopen(fact)
        elif self.is_closed:
            self._release(fact.occurred_at)
            self._shelve()

    def reopen(self, fact: Fact) -> None:
        if self.run is None or self.is_closed:
            if self.is_closed:
                self._release(fact.occurred_at)
            self._shelve()
            self._begin(fact.occurred_at)

    def hold(self, fact: Fact) -> None:
        if self.held is None and not _tied(self.resumed, fact):
            self.held = fact
        elif self.held is not None and self.held.what != fact.what:
            self._release(fact.occurred_at)
            self.held = fact

    def resume(self, fact: Fact) -> None:
        if self.held is not None:
            self.resumed = fact
        self._release(fact.occurred_at)

    def runs(self) -> list[Run]:
        """All there were, in order."""
        last = self.run or (self.past[-1] if self.past else None)
        if last is None:
            return []
        earlier = self.past if self.run else self.past[:-1]
        return [*[Run(run.started_at, run.ended_at, run.cancelled_at, run.window_end, True) for run in earlier], last]

    def all_holds(self) -> list[Hold]:
        """Also the one that lasts."""
        self._release(NONE)
        return self.holds

    def _begin(self, at: Instant, window_end: Instant = NONE) -> None:
        self.began = True
        if not self.stopped_at:
            self.run = Run(at, NONE, self.cancelled_at, window_end)

    def _end(self, at: Instant) -> None:
        run = self.run
        if run is not None:
            self.past.append(Run(run.started_at, at, run.cancelled_at, run.window_end))
            self.run = None

    def _shelve(self) -> None:
        if self.run is not None:
            self.past.append(self.run)
        self.run, self.waits, self.called_off, self.done = None, False, False, False
        self.stopped_at = self.cancelled_at = NONE

    def _release(self, at: Instant) -> None:
        """It is held no more, or for another reason; NONE: it is still held when all is told."""
        held, self.held = self.held, None
        if held is None or held.occurred_at == at:
            return
        hold = Hold(held.occurred_at, at, held.what)
        if self.holds and self.holds[-1][1:] == (hold.start, hold.reason):  # in between, for an instant, for another
            hold = hold._replace(start=self.holds.pop().start)
        self.holds.append(hold)


_STEPS: Mapping[int, Callable[[_Clock, Fact], None]] = {
    FactKind.STARTED: _Clock.start,
    FactKind.STOPPED: _Clock.stop,
    FactKind.CANCELLED: _Clock.cancel,
    FactKind.ANSWERED: _Clock.answer,
    FactKind.RENEWED: _Clock.renew,
    FactKind.REOPENED: _Clock.reopen,
    FactKind.OPENED: _Clock.open,
    FactKind.HELD: _Clock.hold,
    FactKind.RESUMED: _Clock.resume,
    FactKind.SCHEDULED: _Clock.schedule,
    FactKind.FOLLOWED_UP: _Clock.follow_up,
}
_CONTACTS = frozenset({FactKind.STARTED, FactKind.REOPENED})
