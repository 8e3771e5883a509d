"""Reads `sources.yaml`: after how long which source counts as silent, and how long breaches wait for one."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from services.shared.calendars import read_calendars
from services.shared.documents import read_text
from services.shared.fields import Fields
from services.shared.instant import Instant
from services.shared.public_holidays import public_holidays
from services.shared.sources.model import EVERY, Stream
from services.shared.working_time import NeverOpen, WorkingTime

#: What applies where PUNTUAL_SOURCES names no other file.
BUILT_IN = Path(__file__).with_name("sources.yaml")
_AFTER = "2h"
_NO_CALENDAR = "is of no use without a calendar; leave it out, or name one"


class Declaration(NamedTuple):
    """What is written down of a stream; of EVERY topic or site all are one stream."""

    stream: Stream
    #: Microseconds, of the calendar where there is one.
    silent_after: int
    calendar: WorkingTime | None = None
    #: The longest silence, whatever the calendar says; 0: none is too long.
    outside: int = 0
    #: Empty: what it has been seen to fulfil.
    fulfils: frozenset[str] = frozenset()

    def silent_at(self, last: Instant) -> Instant:
        """When it counts as silent if `last` was the last that was heard."""
        if self.calendar is None:
            return Instant(last + self.silent_after)
        latest = Instant(last + self.outside) if self.outside else None
        try:
            at = self.calendar.add(last, self.silent_after)
        except NeverOpen:
            return latest or Instant(2**62)
        return min(at, latest) if latest else at


class Declared(NamedTuple):
    """The document, read."""

    streams: Sequence[Declaration] = ()
    #: Microseconds after which a breach is told all the same.
    after: int = 7_200_000_000


#: Topic → its arms: what events there are.
Arms = Mapping[str, Collection[str]]


def read_declared(path: Path, arms: Arms) -> Declared:
    """The declarations in a file. Raises DocumentError with all its problems."""
    return parse_declared(read_text(path), str(path), arms)


def parse_declared(text: str, file: str, arms: Arms) -> Declared:
    """The declarations in a YAML text; `file` is for errors only. Raises DocumentError with all its problems."""
    fields, problems = Fields.of(text, file)
    after = fields.span("after", _AFTER)
    section = fields.section("calendars")
    names, calendars = section.names(), read_calendars(section, public_holidays)
    sources = fields.section("sources")
    found: list[Declaration] = []
    for name in sources.names():
        body = sources.section(name)
        for declaration in _declarations(name, body, names, calendars, arms):
            if other := _overlapping(declaration.stream, found):
                overlap = f"{_said(declaration.stream)} of {other.source} overlaps what is declared above"
                body.problem("", f"{overlap} ({_said(other)}); keep one of the two")
                break
            found.append(declaration)
    fields.done()
    problems.check()
    return Declared(tuple(found), after)


def _declarations(
    name: str, body: Fields, names: Collection[str], calendars: Mapping[str, WorkingTime], arms: Arms
) -> list[Declaration]:
    source = body.text("source", name)
    silent_after = body.span("silent_after", "15min")
    if "silent_after" not in body:
        body.problem("silent_after", "is missing; write for example 15min")
    calendar = body.text("calendar", "", one_of=names)
    if calendar and not names:
        body.problem("calendar", f"{calendar!r} is unknown; say under calendars what it is")
    outside = body.span("outside", "14h") if "outside" in body else 0
    if outside and not calendar:
        body.problem("outside", _NO_CALENDAR)
    topics = body.texts("topics", (EVERY,), one_of=arms) if "topics" in body else (EVERY,)
    sites = body.texts("sites", (EVERY,))
    fulfils = body.texts("fulfils", (), one_of=[f"{topic}.{arm}" for topic, known in arms.items() for arm in known])
    body.done()
    return [
        Declaration(Stream(source, topic, site), silent_after, calendars.get(calendar), outside, frozenset(fulfils))
        for topic, site in product(dict.fromkeys(topics), dict.fromkeys(sites))
    ]


def _overlapping(stream: Stream, found: Iterable[Declaration]) -> Stream | None:
    """One declared before of which the same can be heard."""
    return next((each.stream for each in found if _meet(each.stream, stream)), None)


def _meet(one: Stream, other: Stream) -> bool:
    pairs = ((one.topic, other.topic), (one.site, other.site))
    return one.source == other.source and all(a == b or EVERY in (a, b) for a, b in pairs)


def _said(stream: Stream) -> str:
    topic = "every topic" if stream.topic == EVERY else stream.topic
    return topic if stream.site == EVERY else f"{topic} at {stream.site}"
