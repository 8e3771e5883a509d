"""What silences and maintenance hold back together. Pure.

Two silences that are narrow each can hold back everything between them, for example all of promises and all of sla. So
they are judged as a union, wherever they take effect and before they are made: of those that together would leave
nothing to tell at any instant, the one that was written last does not count. Who means that says so (`everything`), for
an hour at most and once at a time.

Maintenance windows are judged with them, as if they had been written before: a silence does not count if at any instant
of it nothing would be left beside them. Windows alone have to leave something at every instant, or the document that
has them is refused. Weekly ones are judged by each of their times within the silence, or within a window that is there
once; among each other by all their times in one year, so that all differences between the clocks of zones are in it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import chain, product
from operator import or_
from typing import NamedTuple

from services.notifier.holds import Once, Silence, Weekly, Window
from services.notifier.routing import OF_ITS_WORD, Match
from services.shared.instant import Instant, parse_instant

#: What is wrong with a silence that does not count.
NOTHING_LEFT = (
    "matches, together with silences and maintenance that last at the same time, everything, so that nobody would be"
    " told of anything; narrow it, for example to one site, or say that everything is meant"
)
#: What is wrong with a maintenance window.
NO_TIME_LEFT = (
    "matches, together with maintenance above it that lasts at the same time, everything, so that nobody would be told"
    " of anything; narrow it, for example to one site, or let it begin when the other is over"
)
AGAIN = "follows without a break on another silence of everything; begin it later"

#: Weekly windows are compared in it.
_YEAR = parse_instant("2027-01-01T00:00:00Z"), parse_instant("2028-01-01T00:00:00Z")
#: What holds back something wherever it is: when, and how much of what there can be.
_Part = tuple[Once | Weekly, int]


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

    def count(self, silences: Iterable[Silence], windows: Iterable[Window] = ()) -> Counted:
        """Those that count beside the windows, and those that do not; in the order in which they were written."""
        counting, refused = list[Silence](), list[tuple[Silence, str]]()
        parts, total = self._parts(windows), list[Silence]()
        for silence in silences:
            share = 0 if silence.everything else self._share(silence.match)
            part = Once(silence.starts_at, silence.ends_at), share
            if silence.everything and any(_touch(silence, other) for other in total):
                refused.append((silence, AGAIN))
            elif share and any(self._nothing_left([*parts, part], silence.starts_at, silence.ends_at)):
                refused.append((silence, NOTHING_LEFT))
            else:
                counting.append(silence)
                if silence.everything:
                    total.append(silence)
                elif share:
                    parts.append(part)
        return Counted(counting, refused)

    def too_many(self, windows: Sequence[Window]) -> Collection[int]:
        """The numbers of the windows that, with those above them, would leave nothing at some instant."""
        parts = [(window.until, self._share(window.match)) for window in windows]
        spans = [_YEAR, *((times.start, times.end) for times, _ in parts if isinstance(times, Once))]
        refused = set[int]()
        for lasting in chain.from_iterable(self._nothing_left(parts, *span) for span in spans):
            held = 0
            for number in sorted(lasting - refused):
                if held | parts[number][1] == self._all:
                    refused.add(number)
                else:
                    held |= parts[number][1]
        return refused

    def _parts(self, windows: Iterable[Window]) -> list[_Part]:
        return [(window.until, share) for window in windows if (share := self._share(window.match))]

    def _nothing_left(self, parts: Sequence[_Part], since: Instant, until: Instant) -> Iterator[frozenset[int]]:
        """The numbers of the parts that last, each time between two instants that one begins and nothing is left."""
        if not self._make_up_all(parts):
            return
        changes = [
            change
            for number, (times, share) in enumerate(parts)
            if share
            for start, end in times.between(since, until)
            for change in ((start, True, number), (end, False, number))
        ]
        lasting = set[int]()
        for _, begins, number in sorted(changes):  # what ends at an instant does so before others begin
            if not begins:
                lasting.remove(number)
                continue
            lasting.add(number)
            if self._make_up_all(parts[each] for each in lasting):
                yield frozenset(lasting)

    def _make_up_all(self, parts: Iterable[_Part]) -> bool:
        return reduce(or_, (share for _, share in parts), 0) == self._all

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
