"""What holds news back: silences, maintenance windows, inhibition and quiet hours. Pure; it knows no clock.

News of an item is told to a target only while nothing holds it back. What that is may change at any time, so whoever
decides asks `Holds` each time, and looks again at all that is held when it changes (`Holds.since`).

* Silences (made at run time) and maintenance windows (`notifier.yaml`) hold back what matches, for every target.
* Inhibition holds back what only follows from other trouble. An incident lives on one partition, and nobody sees two of
  them at once: a rule speaks of the items of one incident, and `group_by` has to bring those together that it is about.
* Quiet hours hold back what is not critical from one target.

Once everybody knows of an item only its core is kept. Which site, team and tier it belongs to is then known as far as
its incident is grouped by them. What is not known matches nothing: people are rather told than not.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple
from urllib.parse import unquote

from services.notifier.items import AT_ONCE, NONE, TROUBLE, Details, Item, Severity, identity
from services.notifier.routing import CLOSED, LABELS, OF_ITS_WORD, Match, matches
from services.shared.instant import SECOND, Instant, format_instant, micros
from services.shared.working_time import WorkingTime

#: A silence or window that is longer would be forgotten, and with it what it hides.
LONGEST = 30 * 86_400 * SECOND
#: So long a silence of everything can last.
LONGEST_OF_ALL = 3600 * SECOND
#: Characters of an id or a name, of a reason, of a value; and values of one silence in all.
MAX_NAME, MAX_REASON, MAX_VALUE, MAX_VALUES = 120, 500, 255, 100
#: Weekly hours have an end within it.
_AHEAD = micros(timedelta(days=8))
_WEEK_MINUTES = 7 * 1440
#: The labels of an item that is told that are known only where its incident is grouped by them.
GROUPED = frozenset({"tier", "site", "team"})

#: Says until when what is asked about lasts at an instant; None: then it does not apply.
Until = Callable[[Instant], Instant | None]


class Reason(StrEnum):
    """Why something is held back: label values of metrics."""

    SILENCED = "silenced"
    MAINTENANCE = "maintenance"
    INHIBITED = "inhibited"
    QUIET_HOURS = "quiet_hours"


class Held(NamedTuple):
    """That news is held back."""

    reason: Reason
    #: Nothing is told before, and then it is asked again. None: not before the incident changes.
    until: Instant | None
    #: The id of the silence, or the name of the window.
    by: str = ""


class Silence(NamedTuple):
    """What somebody does not want to hear for a while."""

    silence_id: str
    match: Match
    starts_at: Instant
    ends_at: Instant
    reason: str = ""
    by: str = ""
    created_at: Instant = NONE
    #: That it is for everything; then it has no conditions.
    everything: bool = False


class Once:
    """From one instant to another."""

    def __init__(self, start: Instant, end: Instant) -> None:
        self.start, self.end = start, end

    def __call__(self, now: Instant) -> Instant | None:
        return self.end if self.start <= now < self.end else None

    def between(self, since: Instant, until: Instant) -> Iterable[tuple[Instant, Instant]]:
        """When it lasts, of the time between two instants."""
        start, end = max(since, self.start), min(until, self.end)
        return [(start, end)] if start < end else []


class Weekly:
    """In these hours, which must not be all of the week (`is_endless`)."""

    def __init__(self, hours: WorkingTime) -> None:
        self._hours = hours

    def __call__(self, now: Instant) -> Instant | None:
        end = now
        for period in self._hours.periods(now, Instant(now + _AHEAD)):
            if not period.counts:
                break
            end = period.end
        return end if end > now else None

    def between(self, since: Instant, until: Instant) -> Iterable[tuple[Instant, Instant]]:
        """When they last, of the time between two instants."""
        return [(period.start, period.end) for period in self._hours.periods(since, until) if period.counts]


class Window(NamedTuple):
    """A time of maintenance, once or again and again."""

    name: str
    match: Match
    until: Once | Weekly
    reason: str = ""


class Inhibition(NamedTuple):
    """What follows from what."""

    #: While an item that matches this is in trouble,
    cause: Match
    #: those that match this are held back
    quiet: Match
    #: where both have these labels, with the same values.
    equal: tuple[str, ...] = ()


class Holds:
    """All that holds news back, as it is known now."""

    def __init__(
        self,
        windows: Sequence[Window] = (),
        inhibitions: Sequence[Inhibition] = (),
        quiet_hours: Mapping[str, Until] | None = None,
    ) -> None:
        """`quiet_hours`: target → until when they last."""
        self.windows = windows
        self.inhibitions = inhibitions
        self.quiet_hours = quiet_hours or {}
        self.silences: Sequence[Silence] = ()
        #: When it changed last: what was held back by then has to be decided again.
        self.since = AT_ONCE

    def follow(self, silences: Iterable[Silence], now: Instant) -> None:
        """Go by these silences from now on."""
        self.silences = [silence for silence in silences if silence.ends_at > now]
        self.since = now

    def scene(self, incident_id: str, items: Collection[Item], now: Instant) -> "Scene":
        """What is held back in an incident at an instant. `items`: those that concern its receivers, told or not."""
        return Scene(self, incident_id, items, now)


class Scene:
    """What is held back in one incident at one instant."""

    def __init__(self, holds: Holds, incident_id: str, items: Collection[Item], now: Instant) -> None:
        self._holds = holds
        self._incident_id = incident_id
        self._items = items
        self.now = now
        #: Whoever decided then need not decide anew because of anything that is known so far.
        self.as_of = max(now, holds.since)

    def held(self, item: Item, target: str = "") -> Held | None:
        """What holds news of an item back from a target, or from all: of several what lasts longest; None: nothing.

        Ask only of trouble: that it is over is always told to whoever was told of it.
        """
        item = placed(item, self._incident_id)
        if identity(item) in self._inhibited:
            return Held(Reason.INHIBITED, None)
        return max(self.timed(item, target), key=lambda held: held.until or NONE, default=None)

    def timed(self, item: Item, target: str = "") -> Iterator[Held]:
        """All but other trouble that holds back news of an item whose place is known."""
        yield from (held for match, held in self._active if matches(match, item))
        if item.severity < Severity.CRITICAL and (until := self._quiet.get(target)):
            yield Held(Reason.QUIET_HOURS, until)

    @cached_property
    def _active(self) -> Sequence[tuple[Match, Held]]:
        """The silences and windows that last, and what they do to what matches."""
        now = self.now
        return [
            *(
                (silence.match, Held(Reason.SILENCED, silence.ends_at, silence.silence_id))
                for silence in self._holds.silences
                if silence.starts_at <= now < silence.ends_at
            ),
            *(
                (window.match, Held(Reason.MAINTENANCE, until, window.name))
                for window in self._holds.windows
                if (until := window.until(now))
            ),
        ]

    @cached_property
    def _quiet(self) -> Mapping[str, Instant | None]:
        """Until when the quiet hours of each target last."""
        return {target: until(self.now) for target, until in self._holds.quiet_hours.items()}

    @cached_property
    def _inhibited(self) -> frozenset[tuple[str, str, int]]:
        """What is held back by something else that is not.

        What a rule holds back causes nothing by the rules after it, and what matches both its sides is held back only
        by what does not: so things never hold each other back, and some of them are always told.
        """
        inhibited: set[tuple[str, str, int]] = set()
        if not self._holds.inhibitions:
            return frozenset()
        items = [
            placed(item, self._incident_id) for item in self._items if item.standing in TROUBLE and not item.follow_up
        ]
        for cause, quiet, equal in self._holds.inhibitions:
            causes = [item for item in items if matches(cause, item) and identity(item) not in inhibited]
            every = {_values(item, equal) for item in causes}
            alone = {_values(item, equal) for item in causes if not matches(quiet, item)}
            for item in items:
                values = _values(item, equal)
                if matches(quiet, item) and all(values) and values in (alone if matches(cause, item) else every):
                    inhibited.add(identity(item))
        return frozenset(inhibited)


def placed(item: Item, incident_id: str) -> Item:
    """The item with what the id of its incident says of it, where its details are dropped."""
    if item.details:
        return item
    labels = dict(label.partition("=")[::2] for label in incident_id.partition("/")[2].split(","))
    tier, site, team = (unquote(labels.get(label, "")) for label in ("tier", "site", "team"))
    return item._replace(details=Details(customer_tier=tier, site=site, team=team))


def is_endless(hours: WorkingTime) -> bool:
    """Whether they are all of the week."""
    return sum(closing - opening for day in hours.week for opening, closing in day) >= _WEEK_MINUTES


def conditions(pairs: Iterable[tuple[str, str]]) -> Match:
    """Labels with a value each, of one label any. Raises ValueError where one is none, saying what there is."""
    match: dict[str, set[str]] = {}
    for label, value in pairs:
        if label not in LABELS:
            raise ValueError(f"{label!r} is no label; write one of {', '.join(sorted(LABELS))}")
        if not value:
            raise ValueError(f"{label} has no value; write for example site=Madrid")
        if value not in CLOSED.get(label, {value}):
            raise ValueError(f"{value!r} is no {label}; write one of {', '.join(sorted(CLOSED[label]))}")
        match.setdefault(label, set()).add(value)
    return {label: frozenset(values) for label, values in match.items()}


def too_wide(match: Match) -> str:
    """What is wrong with the conditions of what holds news back, and how to put it right; empty: nothing."""
    if any(label not in OF_ITS_WORD or not OF_ITS_WORD[label] <= values for label, values in match.items()):
        return ""
    return "matches everything, so that nobody would be told of anything; narrow it, for example to one site"


def too_long(start: Instant, end: Instant) -> str:
    """The same of the time for which it does."""
    if not end:
        return "is missing, so that it would never end; write when it ends"
    if end <= start:
        return f"{format_instant(end)} is not after it begins, {format_instant(start)}; write when it ends"
    if end - start > LONGEST:
        return "is more than 30 days after it begins; end it earlier, and make another then if it must be"
    return ""


def faults(silence: Silence) -> Iterable[tuple[str, str]]:
    """What is wrong with a silence, by its field, and how to put it right; empty: nothing."""
    return (
        ("match", (_misplaced if silence.everything else _unfit)(silence.match)),
        ("ends_at", too_long(silence.starts_at, silence.ends_at) or _too_long_for_all(silence)),
        ("silence_id", too_much(silence.silence_id, MAX_NAME)),
        ("by", too_much(silence.by, MAX_NAME)),
        ("reason", too_much(silence.reason, MAX_REASON)),
    )


def _misplaced(match: Match) -> str:
    return "says less than everything; leave the conditions out, or everything" if match else ""


def _unfit(match: Match) -> str:
    values = [value for some in match.values() for value in some]
    if len(values) > MAX_VALUES:
        return f"has {len(values):,} values; give at most {MAX_VALUES}"
    if max(map(len, values), default=0) > MAX_VALUE:
        return f"has a value of more than {MAX_VALUE} characters; shorten it"
    return too_wide(match)


def _too_long_for_all(silence: Silence) -> str:
    if silence.everything and silence.ends_at - silence.starts_at > LONGEST_OF_ALL:
        return "is more than an hour after it begins, which is the longest for everything; end it earlier"
    return ""


def too_much(text: str, longest: int) -> str:
    """What is wrong with a text of more characters than that; empty: nothing."""
    return f"has {len(text):,} characters; write at most {longest}" if len(text) > longest else ""


def _values(item: Item, labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(LABELS[label](item) for label in labels)
