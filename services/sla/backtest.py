"""What one or two documents of standards make of the same cases: rates, and what would turn out otherwise. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from services.shared.facts import MOST_FACTS, Context, union
from services.shared.instant import Instant
from services.sla.domain import judge
from services.sla.evidence import pauses_of
from services.sla.model import Clock, Cycle, Fact, Identity, Metric, State
from services.sla.standards import Standards

#: Examples of each kind of flip.
_SHOWN = 5
#: What is over, and how it ended for the customer.
KEPT, BROKEN = frozenset({State.MET}), frozenset({State.MISSED, State.BREACHED})


class Group(NamedTuple):
    """What is counted together. Empty: no policy is for it; not stated."""

    policy: str
    metric: str
    team: str
    site: str


class Flip(NamedTuple):
    """A cycle that would end otherwise."""

    metric: str
    #: kept, broken, open, or left out.
    before: str
    after: str


class Example(NamedTuple):
    """A case of a flip, to be looked at."""

    record_id: str
    cycle: int
    started_at: Instant
    stopped_at: Instant
    policy_before: str
    policy_after: str
    due_before: Instant
    due_after: Instant


class Pause(NamedTuple):
    """Pauses that are counted together."""

    reason: str
    team: str


@dataclass
class Tally:
    """What was found; of several, `add` makes one."""

    #: By side (the first document, the second), then group: state → cycles.
    counts: tuple[defaultdict[Group, Counter[int]], ...]
    #: By side: how many pauses, and how much time of the clocks they took, in microseconds.
    pauses: tuple[Counter[Pause], ...]
    paused: tuple[Counter[Pause], ...]
    flips: Counter[Flip] = field(default_factory=Counter)
    examples: defaultdict[Flip, list[Example]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, sides: int) -> "Tally":
        """Of so many documents; nothing is counted yet."""
        return cls(
            tuple(defaultdict(Counter) for _ in range(sides)),
            tuple(Counter() for _ in range(sides)),
            tuple(Counter() for _ in range(sides)),
        )

    def take(self, identity: Identity, facts: Iterable[Fact], sides: Sequence[Standards], now: Instant) -> None:
        """Judge what happened to one subject by each document, as of an instant."""
        ordered, timed = union((), tuple(facts))[:MOST_FACTS], identity[1]
        clocks = [judge(identity, ordered, each, now) if timed in each.metrics else None for each in sides]
        for side, clock in enumerate(clocks):
            if clock is not None:
                _count(self.counts[side], clock)
                for reason, spent in pauses_of(clock, sides[side], now):
                    pause = Pause(reason, Context(*clock.context).team)
                    self.pauses[side][pause] += 1
                    self.paused[side][pause] += spent
        if len(clocks) == 2:  # noqa: PLR2004 - before and after
            self._compare(identity, *clocks)

    def add(self, other: "Tally") -> None:
        """Take over what another has found."""
        for mine, theirs in zip(self.counts, other.counts, strict=True):
            for group, states in theirs.items():
                mine[group].update(states)
        for pauses, more in zip((*self.pauses, *self.paused), (*other.pauses, *other.paused), strict=True):
            pauses.update(more)
        self.flips.update(other.flips)
        for flip, examples in other.examples.items():
            self.examples[flip] = sorted([*self.examples[flip], *examples])[:_SHOWN]

    def _compare(self, identity: Identity, before: Clock | None, after: Clock | None) -> None:
        cycles = zip_longest(*((*clock.earlier, clock.cycle) if clock else () for clock in (before, after)))
        for number, (was, would) in enumerate(cycles, start=1):
            flip = Flip(Metric(identity[1]).name.lower(), outcome(was), outcome(would))
            if flip.before == flip.after:
                continue
            self.flips[flip] += 1
            examples, example = self.examples[flip], _example(identity, number, was or _NONE, would or _NONE)
            if len(examples) < _SHOWN or example < examples[-1]:
                self.examples[flip] = sorted([*examples, example])[:_SHOWN]


_NONE = Cycle(State.NOTED)


def outcome(cycle: Cycle | None) -> str:
    """How a cycle ended for the customer, in a word."""
    if cycle is None or not cycle.policy or cycle.state == State.CANCELLED:
        return "left out"
    return "kept" if cycle.state in KEPT else "broken" if cycle.state in BROKEN else "open"


def _example(identity: Identity, number: int, was: Cycle, would: Cycle) -> Example:
    some = was if was.started_at else would
    return Example(
        identity[0].decode(), number, some.started_at, max(was.stopped_at, would.stopped_at), was.policy, would.policy,
        was.due_at, would.due_at,
    )  # fmt: skip


def _count(counts: defaultdict[Group, Counter[int]], clock: Clock) -> None:
    context = Context(*clock.context)
    metric = Metric(clock.metric).name.lower()
    for cycle in (*clock.earlier, clock.cycle):
        if cycle.started_at:
            counts[Group(cycle.policy, metric, context.team, context.site)][cycle.state] += 1


class Rate(NamedTuple):
    """How well the word was kept, with what it is reckoned from."""

    kept: int
    broken: int
    #: Not over: running, at risk or paused.
    open: int
    #: Called off, or no policy is for it.
    left_out: int

    @property
    def share(self) -> float | None:
        """Kept, of what is over; None: nothing is."""
        over = self.kept + self.broken
        return self.kept / over if over else None


def rates(counts: Mapping[Group, Counter[int]], by: Sequence[str]) -> Mapping[tuple[str, ...], Rate]:
    """By some of the fields of `Group`, in order."""
    found: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for group, states in counts.items():
        for state, number in states.items():
            key = tuple(getattr(group, name) for name in by)
            found[key][outcome(Cycle(state, group.policy))] += number
    return {
        key: Rate(*(each[name] for name in ("kept", "broken", "open", "left out")))
        for key, each in sorted(found.items())
    }
