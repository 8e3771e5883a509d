"""Which words of which version a cycle is judged by: the versions of a company's standards, and how they are looked up.

A cycle is judged by the version that was in force when it started. A later one changes that only where it says so
(`apply_to_open`), for the cycles that run at the instant from which it is in force.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.shared.calendars import WEEKDAYS
from services.shared.facts import Context, Stated
from services.shared.instant import SECOND, Instant, to_datetime
from services.shared.working_time import WorkingTime
from services.sla.conditions import fields_of, holds
from services.sla.model import NONE, Metric
from services.sla.policies import Goal, PolicyBook, Rule

#: Of what a case is where its metric tells already.
_KINDS: Mapping[int, str] = {
    Metric.CALLBACK_RETURNED: "callback",
    Metric.CUSTOMER_TOLD: "order",
    Metric.APPOINTMENT_STARTED: "appointment",
}


class Ruling(NamedTuple):
    """What a cycle is judged by."""

    policy: str
    goal: Goal
    calendar: WorkingTime


class Version:
    """One version of the standards, and from when it is in force."""

    def __init__(self, book: PolicyBook, in_force_from: Instant) -> None:
        self.book = book
        self.in_force_from = in_force_from
        rules: dict[int, tuple[Rule, ...]] = {metric: tuple(book.rules(metric.name.lower())) for metric in Metric}
        self._rules = {metric: found for metric, found in rules.items() if found}
        asked = {metric: {field for rule in found for field in fields_of(rule.when)} for metric, found in rules.items()}
        #: Metrics for which a case's own matters.
        self._particular = {metric for metric, fields in asked.items() if fields or book.sites}
        self._by_day = {metric for metric, fields in asked.items() if "weekday" in fields}
        self._rulings: dict[tuple[object, ...], Ruling | None] = {}

    @property
    def name(self) -> str:
        """As its author calls it."""
        return self.book.version

    @property
    def metrics(self) -> frozenset[int]:
        """What it times."""
        return frozenset(self._rules)

    def hangs_on_the_case(self, metric: int) -> bool:
        """Whether one case may be judged by another policy or calendar than the next."""
        return metric in self._particular

    def ruling(self, metric: int, started_at: Instant, context: Stated, case: Stated) -> Ruling | None:
        """For a case of which so much is stated; None: no policy is for it."""
        key = (metric, started_at // _QUARTER if metric in self._by_day else 0, context[_TIER:], case)
        try:
            return self._rulings[key]
        except KeyError:
            if len(self._rulings) >= _MOST_RULINGS:
                self._rulings.clear()
            found = self._rulings[key] = self._find(metric, started_at, Context(*context), case)
            return found

    def _find(self, metric: int, started_at: Instant, context: Context, case: Stated) -> Ruling | None:
        kind, priority = case or ("", "")
        about: dict[str, str | None] = {
            "kind": _KINDS.get(metric, kind),
            "priority": priority,
            "tier": context.customer_tier,
            "team": context.team,
            "channel": context.channel,
            "site": context.site,
        }
        for policy, goal, when, _ in self._rules.get(metric, ()):
            calendar = self.book.calendar(policy, context.site)
            about["weekday"] = WEEKDAYS[to_datetime(started_at).astimezone(calendar.zone).weekday()]
            if holds(when, about):
                return Ruling(policy.name, goal, calendar)
        return None


#: No zone changes its date at any other time.
_QUARTER = 900 * SECOND
_MOST_RULINGS = 1 << 12
#: What of a context follows decides; before it stands who the customer is.
_TIER = Context._fields.index("customer_tier")


class InForce:
    """The standards as they are known now: whoever judges asks here each time."""

    def __init__(self, standards: "Standards") -> None:
        self.standards = standards


class Standards:
    """What clocks are judged by."""

    def __init__(self, versions: Sequence[Version], horizon: int | None = None) -> None:
        """`versions`: in the order in which they come into force, at least one.

        `horizon`: how long a record is remembered after its last fact and deadline, in microseconds; None: for ever.
        """
        self.versions = versions
        self.horizon = horizon
        #: What any version times.
        self.metrics: frozenset[int] = frozenset().union(*(version.metrics for version in versions))

    @classmethod
    def of(cls, book: PolicyBook, horizon: int | None = None) -> "Standards":
        """The only version there is."""
        return cls((Version(book, NONE),), horizon)

    def first(self, started_at: Instant) -> Version:
        """The version in force at an instant; before all of them the first."""
        found = self.versions[0]
        for version in self.versions:
            if version.in_force_from <= started_at:
                found = version
        return found

    def moving(self, first: Version) -> list[Version]:
        """The versions after `first` that judge also what runs when they come into force."""
        return [
            version
            for version in self.versions
            if version.book.apply_to_open and version.in_force_from > first.in_force_from
        ]

    def next_after(self, name: str, started_at: Instant) -> Instant | None:
        """When what started at an instant and still runs is no more for the version of a name; None: it always is."""
        known = self.named(name)
        first = self.first(started_at)
        if known is None or first.in_force_from > known.in_force_from:
            return started_at
        return min((version.in_force_from for version in self.moving(known)), default=None)

    def named(self, name: str) -> Version | None:
        """The version of a name."""
        return next((version for version in self.versions if version.name == name), None)
