"""What silences hold back together. Pure.

Two silences that are narrow each can hold back everything between them, for example all of promises and all of sla. So
they are judged as a union, wherever they take effect and before they are made: of those that together would leave
nothing to tell at any instant, the one that was written last does not count. Who means that says so (`everything`), for
an hour at most and once at a time.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from itertools import product
from operator import or_
from typing import NamedTuple

from services.notifier.holds import Silence
from services.notifier.routing import OF_ITS_WORD, Match

#: What is wrong with a silence that does not count.
NOTHING_LEFT = (
    "matches, together with silences that last at the same time, everything, so that nobody would be told of anything;"
    " narrow it, for example to one site, or say that everything is meant"
)
AGAIN = "follows without a break on another silence of everything; begin it later"


class Counted(NamedTuple):
    """Silences, as far as they count."""

    counting: Sequence[Silence]
    #: Those that do not, and what is wrong with them.
    refused: Sequence[tuple[Silence, str]]


class Union:
    """Judges silences together. `kinds`: of each service, all that there are; only what is about its word counts."""

    def __init__(self, kinds: Mapping[str, Collection[str]]) -> None:
        services = OF_ITS_WORD["service"]
        places = [{"service": service, "kind": kind} for service in sorted(services) for kind in kinds[service]]
        others = sorted(OF_ITS_WORD.keys() - {"service"})
        self._cells = [
            {**place, **dict(zip(others, values, strict=True))}
            for place in places
            for values in product(*(sorted(OF_ITS_WORD[label]) for label in others))
        ]
        self._all = (1 << len(self._cells)) - 1

    def count(self, silences: Iterable[Silence]) -> Counted:
        """Those that count, and those that do not; `silences` in the order in which they were written."""
        counting, refused = list[Silence](), list[tuple[Silence, str]]()
        #: What holds back something wherever it is, and how much of what there can be.
        wide, total = list[tuple[Silence, int]](), list[Silence]()
        for silence in silences:
            share = 0 if silence.everything else self._share(silence.match)
            if silence.everything and any(_touch(silence, other) for other in total):
                refused.append((silence, AGAIN))
            elif share and self._is_all(silence, share, wide):
                refused.append((silence, NOTHING_LEFT))
            else:
                counting.append(silence)
                if silence.everything:
                    total.append(silence)
                elif share:
                    wide.append((silence, share))
        return Counted(counting, refused)

    def _is_all(self, silence: Silence, share: int, others: Iterable[tuple[Silence, int]]) -> bool:
        """Whether nothing is left at some instant. That begins where one of them begins."""
        meanwhile = [
            (other, part)
            for other, part in others
            if other.starts_at < silence.ends_at and silence.starts_at < other.ends_at
        ]
        if reduce(or_, (part for _, part in meanwhile), share) != self._all:
            return False
        starts = {max(silence.starts_at, other.starts_at) for other, _ in meanwhile} | {silence.starts_at}
        return any(
            reduce(or_, (part for other, part in meanwhile if other.starts_at <= start < other.ends_at), share)
            == self._all
            for start in starts
        )

    def _share(self, match: Match) -> int:
        """A bit for each cell that matches; none where it depends on something that can have any value."""
        if not match.keys() <= self._cells[0].keys():
            return 0
        return sum(
            1 << number
            for number, cell in enumerate(self._cells)
            if all(cell[label] in values for label, values in match.items())
        )


def _touch(one: Silence, other: Silence) -> bool:
    return one.starts_at <= other.ends_at and other.starts_at <= one.ends_at
