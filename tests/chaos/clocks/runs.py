"""When a clock ran and when it was held, told once more: one pass over the facts, in order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from puntual.sla.v1 import clock_pb2 as pb
from tests.chaos.clocks.reading import Said


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


#: Of one instant: what begins, what holds, what else there is, what answers, stops, calls off, and opens again.
_ORDER: Sequence[Sequence[int]] = (
    (pb.FACT_KIND_SCHEDULED, pb.FACT_KIND_STARTED, pb.FACT_KIND_FOLLOWED_UP),
    (pb.FACT_KIND_HELD,),
    (pb.FACT_KIND_RESUMED, pb.FACT_KIND_OTHER),
    (pb.FACT_KIND_ANSWERED, pb.FACT_KIND_RENEWED),
    (pb.FACT_KIND_STOPPED,),
    (pb.FACT_KIND_CANCELLED,),
    (pb.FACT_KIND_OPENED, pb.FACT_KIND_REOPENED),
)
_RANK: Mapping[int, int] = {kind: rank for rank, kinds in enumerate(_ORDER) for kind in kinds}
_HOLD_MARKS = {
    pb.FACT_KIND_HELD, pb.FACT_KIND_RESUMED, pb.FACT_KIND_STOPPED, pb.FACT_KIND_CANCELLED, pb.FACT_KIND_OPENED,
    pb.FACT_KIND_REOPENED,
}  # fmt: skip


def in_order(facts: Iterable[Said]) -> list[Said]:
    """By time; of one instant what begins comes before what ends."""
    return sorted(facts, key=lambda fact: (fact.occurred_at, _RANK[fact.kind], fact))


def runs_of(facts: Sequence[Said]) -> list[Run]:  # noqa: C901, PLR0912, PLR0915 - plain, and all in one place
    """Every run there was, in order; the last may still go on."""
    runs: list[Run] = []
    on = False  # whether the last of them goes on
    began = answered = waits = False
    stopped = off = 0  # since the case was opened last

    def begin(at: int, window_end: int = 0) -> None:
        nonlocal on, began
        # What was stopped before it began is over as it begins.
        runs.append(Run(at, stopped, off, window_end))
        on, began = not stopped, True

    def end(at: int) -> None:
        nonlocal on
        if on:
            runs[-1].end, on = at, False

    def shelve() -> None:
        nonlocal on, waits, stopped, off
        on, waits, stopped, off = False, False, 0, 0

    def reopen(at: int) -> None:
        if not on or stopped or off:
            shelve()
            begin(at)

    for fact in facts:
        at, closed = fact.occurred_at, bool(stopped or off)
        match fact.kind:
            case pb.FACT_KIND_STARTED:
                if not on and not (closed and began):
                    begin(at)
            case pb.FACT_KIND_SCHEDULED:
                if on and not closed:
                    if at > runs[-1].window_end:
                        end(at)  # the old window was missed already
                    else:
                        runs.pop()
                        on = False
                if not on and not (closed and began):
                    begin(fact.window_start, fact.window_end)
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
                stopped = stopped or at
                end(at)
            case pb.FACT_KIND_CANCELLED:
                off = off or at
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
    """A hold lasts until the next, until it is ended, or until the case is closed or opened."""
    marks = [fact for fact in facts if fact.kind in _HOLD_MARKS]
    ends = [*(fact.occurred_at for fact in marks[1:]), 0]
    return [
        Hold(fact.occurred_at, end, fact.what)
        for fact, end in zip(marks, ends, strict=False)
        if fact.kind == pb.FACT_KIND_HELD and end != fact.occurred_at
    ]


def contacts_of(facts: Sequence[Said]) -> list[int]:
    """When the customer made contact."""
    return [fact.occurred_at for fact in facts if fact.kind in (pb.FACT_KIND_STARTED, pb.FACT_KIND_REOPENED)]
