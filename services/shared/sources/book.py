"""What is known of all sources: who was heard until when, who has fallen silent, whose word a breach waits for. Pure.

What is heard is joined: of a stream the latest counts, so order and repetition of what workers say make no difference,
and nobody who was heard is ever unheard again.

A breach that the clock would announce waits while a stream that could say otherwise was not heard since. Only a stream
of which it is known after how long it counts as silent can make it wait: declared, or with a rhythm that was learned.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from services.shared.instant import SECOND, Instant
from services.shared.sources.declared import Declaration, Declared
from services.shared.sources.model import (
    EVERY,
    HEARTBEAT,
    NONE,
    Gaps,
    Heard,
    Record,
    Ruling,
    Silence,
    State,
    Stream,
    Word,
)

#: More streams than this are not watched: whoever makes up names must not fill the memory.
MAX_STREAMS = 1_000
#: What a worker says of breaches that wait counts for so long; it repeats it in time.
WAITING_COUNTS = 60 * SECOND
#: One that was not declared and was silent for so long is gone for good, and nobody waits for it.
GONE = 7 * 86_400 * SECOND

#: Of what is heard closer together only the first is learned from.
_LEARNED = SECOND
#: As many answers are remembered, of each kind.
_REMEMBERED = 10_000

#: Packed gaps → gaps; nothing packed: of a stream of which nothing is known. Raises ValueError.
Unpack = Callable[[bytes], Gaps]
K = TypeVar("K")


class SourceBook:
    """Filled by `hear`, `take` and `note`; all else only asks."""

    def __init__(self, declared: Declared, unpack: Unpack) -> None:
        self.after = declared.after
        self.records: dict[Stream, Record] = {}
        self._declared: Mapping[Stream, Declaration] = {each.stream: each for each in declared.streams}
        self._unpack = unpack
        self._heard: dict[Stream, Heard] = {}
        self._fulfils: defaultdict[Stream, set[str]] = defaultdict(set)
        #: Of streams that are not declared; and up to when each was last told of what is heard.
        self._gaps: dict[Stream, Gaps] = {}
        self._learned: dict[Stream, Instant] = {}
        #: What is packed in the record that a stream's gaps were last taken from.
        self._packed: dict[Stream, bytes] = {}
        #: Of each stream, by worker: when it said so, and how many breaches wait.
        self._waiting: defaultdict[Stream, dict[str, tuple[Instant, int]]] = defaultdict(dict)
        #: Caches: what changes when there is a stream, or something it can fulfil, that was not there before.
        self._of: dict[tuple[Stream, str], tuple[Stream, ...]] = {}
        self._could: dict[tuple[frozenset[str], str], tuple[Stream, ...]] = {}

    # --- what is heard

    def hear(self, atom: Stream, arm: str, heard: Heard) -> list[Stream]:
        """Something was heard; which of the streams watched were not heard so late before."""
        key = atom, arm
        streams = self._of.get(key)
        if streams is None:
            streams = tuple(self._taking_in(atom, arm))
            if arm != HEARTBEAT:
                for stream in streams:
                    self._can(stream, (f"{atom.topic}.{arm}",))
            _remember(self._of, key, streams)
        return [stream for stream in streams if self._join(stream, heard)]

    def note(self, word: Word, at: Instant) -> list[Stream]:
        """Take in what a worker says, in Kafka since `at`; which streams were not heard so late before."""
        streams = self._streams_of(word.stream)
        for stream in streams:
            self._can(stream, word.fulfils)
            said = self._waiting[stream]
            said[word.worker] = max(said.get(word.worker, (NONE, 0)), (at, word.waiting))
        heard = word.heard
        return [stream for stream in streams if heard and self._join(stream, heard)]

    def take(self, record: Record) -> bool:
        """Take in a stream's record; whether it was heard later than was known."""
        stream = record.stream
        if self.records.get(stream) == record:
            return False
        self.records[stream] = record
        if self._is_foreign(stream) or not self._watch(stream):
            return False
        if record.rhythm and self._packed.get(stream) != record.rhythm:
            self._packed[stream] = record.rhythm
            try:
                self._gaps[stream] = self._unpack(record.rhythm)
            except ValueError:  # of another version: it is learned anew
                self._gaps[stream] = self._unpack(b"")
        self._can(stream, record.fulfils)
        return record.heard is not None and self._join(stream, record.heard, is_news=False)

    def forget(self, stream: Stream) -> None:
        """Its record is gone."""
        self.records.pop(stream, None)
        if stream not in self._declared:
            self._heard.pop(stream, None)
            self._fulfils.pop(stream, None)
            self._gaps.pop(stream, None)
            self._learned.pop(stream, None)
            self._packed.pop(stream, None)
            self._waiting.pop(stream, None)
            self._changed()

    def _join(self, stream: Stream, heard: Heard, *, is_news: bool = True) -> bool:
        known = self._heard.get(stream)
        if known is not None and (heard.until < known.until or heard == known):
            return False
        if known is not None and heard.until == known.until:
            self._heard[stream] = Heard(heard.until, min(heard.arrived_at, known.arrived_at))
            return False
        self._heard[stream] = heard
        if is_news and stream not in self._declared and heard.until - self._learned.get(stream, NONE) >= _LEARNED:
            self._learned[stream] = heard.until
            self._gaps_of(stream).heard(heard.until)
        return True

    def _gaps_of(self, stream: Stream) -> Gaps:
        known = self._gaps.get(stream)
        if known is None:
            known = self._gaps[stream] = self._unpack(b"")
        return known

    def _can(self, stream: Stream, fulfils: Iterable[str]) -> None:
        known = self._fulfils[stream]
        if not known.issuperset(fulfils):
            known.update(fulfils)
            self._changed()

    def _changed(self) -> None:
        self._of.clear()
        self._could.clear()

    # --- which streams there are

    def streams(self) -> Iterator[Stream]:
        """All that are watched."""
        yield from self._declared
        yield from (stream for stream in tuple(self._heard) if stream not in self._declared)

    def _taking_in(self, atom: Stream, arm: str) -> Iterable[Stream]:
        if arm == HEARTBEAT and not atom.site:
            every = atom._replace(site=EVERY)
            return [stream for stream in self.streams() if stream.takes_in(every)]
        return self._streams_of(atom)

    def _streams_of(self, atom: Stream) -> list[Stream]:
        """Those that are heard with it: the declared ones, or else itself."""
        declared = [stream for stream in self._declared if stream.takes_in(atom)]
        if declared or self._is_foreign(atom):
            return declared
        return [atom] if self._watch(atom) else []

    def _is_foreign(self, stream: Stream) -> bool:
        """Whether only another version of the document has such a stream."""
        if stream in self._declared:
            return False
        return EVERY in stream or any(each.takes_in(stream) for each in self._declared)

    def _watch(self, stream: Stream) -> bool:
        """Whether a stream is watched, from now on if need be."""
        if stream in self._heard or stream in self._declared:
            return True
        if len(self._heard) >= MAX_STREAMS:
            return False
        self._changed()
        return True

    # --- how they stand

    def heard(self, stream: Stream) -> Heard | None:
        """The latest of it; None: nothing yet."""
        return self._heard.get(stream)

    def silent_at(self, stream: Stream) -> Instant | None:
        """When it counts as silent if nothing more is heard of it; None: that is not known."""
        heard = self._heard.get(stream)
        if heard is None:
            return None
        declaration = self._declared.get(stream)
        if declaration is not None:
            return declaration.silent_at(heard.until)
        gaps = self._gaps.get(stream)
        span = None if gaps is None else gaps.silent_after(heard.until)
        return None if span is None else Instant(heard.until + span)

    def state(self, stream: Stream, now: Instant) -> State:
        """How it stands."""
        at = self.silent_at(stream)
        if at is None:
            return State.LEARNING
        return State.SILENT if now > at else State.HEARD

    def is_gone(self, stream: Stream, now: Instant) -> bool:
        """Whether it was not heard for so long that nobody waits for it, or is none of the streams watched here."""
        if stream in self._declared:
            return False
        heard = self._heard.get(stream)
        return self._is_foreign(stream) or heard is None or now - heard.until > GONE

    def waiting(self, stream: Stream, now: Instant) -> int:
        """How many breaches wait for it, in all workers."""
        return sum(count for at, count in self._waiting.get(stream, {}).values() if now - at < WAITING_COUNTS)

    def fulfils(self, stream: Stream) -> tuple[str, ...]:
        """What it has been seen to fulfil, or is declared to, in order."""
        declaration = self._declared.get(stream)
        if declaration is not None and declaration.fulfils:
            return tuple(sorted(declaration.fulfils))
        return tuple(sorted(self._fulfils.get(stream, ())))

    def record(self, stream: Stream, now: Instant) -> Record:
        """What is to be written of it, after what was written before."""
        before, heard, at = self.records.get(stream), self._heard.get(stream), self.silent_at(stream)
        state, gaps = self.state(stream, now), self._gaps.get(stream)
        was_silent = before is not None and before.state == State.SILENT
        until = heard.until if heard else NONE
        since = until if state == State.SILENT or was_silent else before.since if before else NONE
        return Record(
            stream,
            state,
            since,
            heard,
            silent_after=at - until if at else 0,
            usual_gap=(gaps and gaps.usual_gap(until)) or 0,
            rhythm=gaps.pack() if gaps else b"",
            fulfils=self.fulfils(stream),
            waiting=self.waiting(stream, now),
            declared=stream in self._declared,
        )

    # --- whose word a breach waits for

    def ruling(self, wanted: frozenset[str], site: str, breached_at: Instant) -> Ruling:
        """Whether all were heard since `breached_at` that could fulfil what is `wanted` ("orders.ready") at a site.

        `site`: of the record; empty: any. Who names no site can fulfil it at every one.
        """
        key = wanted, site
        streams = self._could.get(key)
        if streams is None:
            streams = tuple(self._who_could(wanted, site))
            _remember(self._could, key, streams)
        proven_at = NONE
        for stream in streams:
            heard = self._heard.get(stream)
            if heard is None or self.silent_at(stream) is None or self.is_gone(stream, breached_at):
                continue
            if heard.until < breached_at:
                return Ruling(stream)
            proven_at = max(proven_at, heard.arrived_at)
        return Ruling(None, proven_at)

    def _who_could(self, wanted: frozenset[str], site: str) -> Iterator[Stream]:
        for stream in self.streams():
            is_there = not site or stream.site in (site, "", EVERY)
            if is_there and not wanted.isdisjoint(self.fulfils(stream)):
                yield stream


def _remember(known: dict[K, tuple[Stream, ...]], key: K, streams: tuple[Stream, ...]) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = streams


def silence_of(records: Mapping[Stream, Record], source: str) -> Silence | None:
    """The silence of a source, of whose streams one is silent at least, by their records; None: it is heard."""
    silent = [each for each in records.values() if each.stream.source == source and each.state == State.SILENT]
    if not silent:
        return None
    sites = {each.stream.site for each in silent} - {"", EVERY}
    return Silence(min(each.since for each in silent), sum(each.waiting for each in silent), tuple(sorted(sites)))
