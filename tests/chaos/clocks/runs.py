"""When a clock ran and when it was held, told once more: one pass over the facts, in order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from puntual.sla.v1 import clock_pb2 as pb
from tests.chaos.clocks.reading import Said

#: Metrics of what may be asked for again after it was called off.
_AGAIN = (pb.METRIC_CALLBACK_RETURNED, pb.METRIC_CUSTOMER_TOLD)


@dataclass
class Run:
    """From a start to what ended it; times are 0 where nothing did."""

    start: int
    end: int = 0
    #: The first time that it was called off.
    off: int = 0
    window_end: int = 0
    #: There is another after it.
    is_past: bool = False

    @property
    def over(self) -> int:
        """When it was called off or ended, whichever was first."""
        return min((at for at in (self.off, self.end) if at), default=0)


class Hold(NamedTuple):
    """When a case was held. `end` is 0: it still is."""

    start: int
    end: int
    reason: str


#: Of one instant: what begins, what else there is, what answers, stops, calls off, opens again, and holds.
_ORDER: Sequence[Sequence[int]] = (
    (pb.FACT_KIND_SCHEDULED, pb.FACT_KIND_STARTED, pb.FACT_KIND_FOLLOWED_UP),
    (pb.FACT_KIND_RESUMED, pb.FACT_KIND_OTHER),
    (pb.FACT_KIND_ANSWERED, pb.FACT_KIND_RENEWED),
    (pb.FACT_KIND_STOPPED,),
    (pb.FACT_KIND_CANCELLED,),
    (pb.FACT_KIND_OPENED, pb.FACT_KIND_REOPENED),
    (pb.FACT_KIND_HELD,),
)
_RANK: Mapping[int, int] = {kind: rank for rank, kinds in enumerate(_ORDER) for kind in kinds}
_CLOSING = (pb.FACT_KIND_STOPPED, pb.FACT_KIND_CANCELLED)
_OPENING = (pb.FACT_KIND_OPENED, pb.FACT_KIND_REOPENED)


def in_order(facts: Iterable[Said]) -> list[Said]:
    """By time; of one instant what begins comes before what ends, and what is closed is opened before it is closed."""
    found: list[Said] = []
    closed = False  # before the instant
    by_content = sorted(facts, key=lambda fact: (fact.occurred_at, _RANK[fact.kind], fact.kind, _content(fact)))
    for _, instant in groupby(by_content, key=lambda fact: fact.occurred_at):
        together = list(instant)
        opens = any(fact.kind in _OPENING for fact in together)
        closes = any(fact.kind in _CLOSING for fact in together)
        if closed and opens and closes:
            together.sort(key=lambda fact: _LAST.get(fact.kind, 0))  # stable
        found += together
        closed = closes if closed and opens else (closed or closes) and not opens
    return found


#: Where what was closed is opened and closed at once.
_LAST: Mapping[int, int] = {**dict.fromkeys(_OPENING, 1), **dict.fromkeys(_CLOSING, 2), pb.FACT_KIND_HELD: 3}


def _content(fact: Said) -> tuple[object, ...]:
    return fact.case, fact.context, fact.what, fact.window_start, fact.window_end


def runs_of(facts: Sequence[Said], metric: int) -> list[Run]:  # noqa: C901, PLR0912, PLR0915 - plain, and all in one place
    """Every run there was, in order; the last may still go on."""
    runs: list[Run] = []
    on = False  # whether the last of them goes on
    began = answered = waits = False
    stopped = off = 0  # since the case was opened last
    again = done = False  # how it was closed last, if it had begun: called off, or done
    booked = (0, 0)
    promised = 0

    def begin(at: int, window_end: int = 0) -> None:
        nonlocal on, began
        # What was stopped before it began is none.
        if not stopped:
            runs.append(Run(at, 0, off, window_end))
        on, began = not stopped, True

    def end(at: int) -> None:
        nonlocal on
        if on:
            runs[-1].end, on = at, False

    def shelve() -> None:
        nonlocal on, waits, stopped, off, again, done
        on, waits, stopped, off, again, done = False, False, 0, 0, False, False

    def reopen(at: int) -> None:
        if not on or stopped or off:
            shelve()
            begin(at)

    for fact in facts:
        at, closed = fact.occurred_at, bool(stopped or off)
        match fact.kind:
            case pb.FACT_KIND_STARTED:
                is_news = not fact.window_end or fact.window_end != promised
                if (metric in _AGAIN and again) or (metric == pb.METRIC_CALLBACK_RETURNED and done and is_news):
                    shelve()
                    closed = False
                promised = fact.window_end or promised
                if not on and not (closed and began):
                    begin(at)
            case pb.FACT_KIND_SCHEDULED:
                window = fact.window_start, fact.window_end
                if window == booked and not again:
                    continue  # told once more, however late
                if closed and began:
                    if stopped and fact.what == "rescheduled":
                        continue  # what was attended is moved on paper
                    shelve()
                elif on and at > runs[-1].window_end:
                    end(at)  # the old window was missed already
                elif on:
                    runs.pop()
                booked = window
                begin(*window)
            case pb.FACT_KIND_FOLLOWED_UP:
                waits = waits or closed
                if not on and answered and not closed:
                    begin(at)
            case pb.FACT_KIND_ANSWERED:
                answered = True
                end(at)
            case pb.FACT_KIND_RENEWED:
                end(at)
                if not closed:
                    begin(at)
            case pb.FACT_KIND_STOPPED:
                stopped, again, done = stopped or at, False, began
                end(at)
            case pb.FACT_KIND_CANCELLED:
                off, again, done = off or at, began, False
                if on:
                    runs[-1].off = off
            case pb.FACT_KIND_REOPENED:
                reopen(at)
            case pb.FACT_KIND_OPENED if waits:
                reopen(at)
            case pb.FACT_KIND_OPENED if closed:
                shelve()
    for run in runs[:-1]:
        run.is_past = True
    return runs


def holds_of(facts: Sequence[Said]) -> list[Hold]:
    """For one reason each: until another is given, it is resumed, or the case is closed, or opened that was closed."""
    held: list[tuple[int, str | None]] = []  # since when it is held for what; None: it is not
    closed, resumed = False, 0
    for fact in facts:
        at, reason = fact.occurred_at, held[-1][1] if held else None
        if fact.kind == pb.FACT_KIND_HELD and (reason is not None or resumed != at):
            held.append((at, fact.what))
        elif fact.kind == pb.FACT_KIND_RESUMED or fact.kind in _CLOSING or (fact.kind in _OPENING and closed):
            resumed = at if fact.kind == pb.FACT_KIND_RESUMED and reason is not None else resumed
            held.append((at, None))
        closed = fact.kind in _CLOSING or (closed and fact.kind not in _OPENING)
    lasting = [(*one, other[0]) for one, other in zip(held, [*held[1:], (0, None)], strict=False) if one[0] != other[0]]
    found: list[Hold] = []
    for start, why, end in lasting:
        if why is None:
            continue
        if found and (found[-1].end, found[-1].reason) == (start, why):
            start = found.pop().start  # noqa: PLW2901 - the same hold goes on
        found.append(Hold(start, end, why))
    return found


def contacts_of(facts: Sequence[Said]) -> list[int]:
    """When the customer made contact."""
    return [fact.occurred_at for fact in facts if fact.kind in (pb.FACT_KIND_STARTED, pb.FACT_KIND_REOPENED)]
