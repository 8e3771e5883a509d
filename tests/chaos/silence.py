"""A source that falls silent: what it said by when, and what it has to be declared as."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from tests.chaos.reading import EVENTS, Refused, event_in, micros
from tests.chaos.rules import SECOND
from tests.chaos.tape import Entry

_AT = itemgetter(0)


class Silence(NamedTuple):
    """A source that is not heard for a while, and how long breaches wait for it, in microseconds."""

    source: str
    after: int
    #: When an event of it was appended, and what was the latest of it by then; in this order.
    heard: tuple[tuple[int, int], ...] = ()

    def with_events(self, inputs: Mapping[str, Iterable[Entry]]) -> "Silence":
        """The same, with what was heard of it on the input topics, by their names without prefix."""
        found = sorted(one for name, entries in inputs.items() for entry in entries for one in self._in(name, entry))
        latest = accumulate((until for _, until in found), max)
        return self._replace(heard=tuple(zip(map(_AT, found), latest, strict=True)))

    def heard_until(self, at: int) -> int | None:
        """The latest `occurred_at` that stood in Kafka; None: nothing yet."""
        place = bisect_right(self.heard, at, key=_AT)
        return self.heard[place - 1][1] if place else None

    def declare(self, directory: Path) -> Path:
        """A file that says when it counts as silent, and that it could settle everything."""
        arms = [
            f"{topic.partition('.')[0]}.{arm.name}"
            for topic, kind in EVENTS.items()
            for arm in kind.DESCRIPTOR.oneofs_by_name["event"].fields
            if arm.name != "heartbeat"
        ]
        path = directory / "sources.yaml"
        path.write_text(
            f"after: {self.after // SECOND}s\n"
            f"sources: {{{self.source}: {{silent_after: 1s, fulfils: [{', '.join(arms)}]}}}}\n"
        )
        return path

    def _in(self, name: str, entry: Entry) -> list[tuple[int, int]]:
        try:
            event, _ = event_in(name, entry)
        except Refused:
            return []
        # A clock that is ahead does not make it heard for longer.
        return [(entry.at, min(micros(event.occurred_at), entry.at))] if event.source == self.source else []
