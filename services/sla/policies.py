"""Policies: who may expect what, as the next form of `standards.yaml` writes it down. The service does not read it yet.

    version: "7"
    calendars: {office: {...}, sevilla: {...}}        # services/shared/calendars.py
    sites: {Sevilla: sevilla}                         # optional: where another calendar applies than the policy's
    policies:
      - name: urgent matters of gold customers
        when: {tier: gold, priority: urgent}          # services/sla/conditions.py; without it: always
        calendar: office
        pauses: {reasons: [waiting for the customer], longest: 5 business days}
        targets:
          first_reply: {limit: 1 business hour, preferred: 15min, warnings: [30min, 10min], grace: 1min}
          resolution: {limit: 2 business days}        # services/sla/targets.py

Each metric is judged by the first policy in written order that is for the case and has a target for the metric.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from services.shared.calendars import PublicHolidays, read_calendars
from services.shared.duration import parse_duration
from services.shared.fields import Fields
from services.shared.instant import SECOND, Instant, parse_instant
from services.shared.working_time import NeverOpen, WorkingTime
from services.sla.conditions import Condition, example, read_condition
from services.sla.targets import Target, after, parse_target

#: What is timed, and what begins and ends it, for people.
METRICS: Mapping[str, str] = {
    "first_reply": "a contact is received → a person replies",
    "next_reply": "the customer writes again → a person replies",
    "periodic_update": "a person replies → a person replies again, until it is resolved",
    "resolution": "a contact is received → it is resolved",
    "requester_wait": "as resolution, without the time in which we wait for the customer",
    "complaint_resolved": "a complaint is received → it is resolved",
    "callback_returned": "a callback is requested → the customer is reached",
    "customer_told": "an order is ready → the customer is told, or has it delivered",
    "appointment_started": "the window of an appointment begins → the appointment does",
}
_HOUR = 3600 * SECOND
#: When things might begin: every hour of a fortnight, beside a change of the clocks and without one.
_STARTS: Sequence[Instant] = [
    Instant(parse_instant(day) + hour * _HOUR)
    for day in ("2026-03-16T00:00:00Z", "2026-06-01T00:00:00Z", "2026-10-12T00:00:00Z")
    for hour in range(14 * 24)
]


class Goal(NamedTuple):
    """What a policy says of one metric."""

    #: The binding limit.
    limit: Target
    #: The stricter level that is reported apart and breaches nothing.
    preferred: Target | None = None
    #: How long before the limit a running clock is at risk, the longest first; microseconds around the clock.
    warnings: tuple[int, ...] = ()
    #: How long after the limit a breach is announced, for events that are still on their way; microseconds.
    grace: int = 0


class Pauses(NamedTuple):
    """What stops a clock for a while."""

    #: Of holding a contact; None: whatever reason is given.
    reasons: frozenset[str] | None
    #: After it the clock runs on, whoever holds the contact; None: no limit.
    longest: Target | None = None


class Policy(NamedTuple):
    """Conditions, targets and how time counts for them."""

    name: str
    when: Condition
    calendar: str
    goals: Mapping[str, Goal]
    #: None: nothing pauses its clocks.
    pauses: Pauses | None = None


class PolicyBook(NamedTuple):
    """A document of standards, read."""

    version: str
    policies: Sequence[Policy]
    calendars: Mapping[str, WorkingTime]
    #: Site → calendar, where it is not the policy's.
    sites: Mapping[str, str]

    def calendar(self, policy: Policy, site: str) -> WorkingTime:
        """The one that counts for a policy at a site."""
        return self.calendars[self.sites.get(site, policy.calendar)]


def read_policies(text: str, file: str, holidays: PublicHolidays) -> PolicyBook:
    """The standards in a YAML text; `file` is for errors only. Raises DocumentError with all its problems."""
    fields, problems = Fields.of(text, file)
    version = fields.text("version")
    section = fields.section("calendars")
    names, calendars = section.names(), read_calendars(section, holidays)
    sites = fields.section("sites")
    calendar_of = {site: sites.text(site, one_of=names) for site in sites.names()}
    sections = fields.sections("policies")
    policies = [_policy(policy, names) for policy in sections]
    if not policies:
        fields.problem("policies", "there is none; write at least one")
    fields.done()
    problems.check()
    book = PolicyBook(version, policies, calendars, calendar_of)
    for policy, place in zip(policies, sections, strict=True):
        _check_times(book, policy, place)
    _check_order(policies, sections)
    problems.check()
    return book


def _policy(fields: Fields, calendars: Sequence[str]) -> Policy:
    targets = fields.section("targets")
    for name in targets.names():
        if name not in METRICS:
            targets.problem(name, f"is no metric; write one of {', '.join(METRICS)}")
    if not targets.names():
        fields.problem("targets", "is missing; write for example {first_reply: {limit: 24h}}")
    policy = Policy(
        name=fields.text("name"),
        when=read_condition(fields.section("when")),
        calendar=fields.text("calendar", one_of=calendars),
        goals={name: _goal(targets.section(name)) for name in targets.names() if name in METRICS},
        pauses=_pauses(fields.section("pauses")) if "pauses" in fields else None,
    )
    fields.done()
    return policy


def _goal(fields: Fields) -> Goal:
    limit, preferred = _target(fields, "limit"), _target(fields, "preferred") if "preferred" in fields else None
    if "limit" not in fields:
        fields.problem("limit", "is missing; write for example 24h or 2 business hours")
    leads = []
    for lead in fields.texts("warnings", ()):
        try:
            leads.append(parse_duration(lead))
        except ValueError as error:
            fields.problem("warnings", str(error))
    goal = Goal(limit, preferred, tuple(sorted(set(leads), reverse=True)), fields.span("grace", "0s"))
    fields.done()
    return goal


def _pauses(fields: Fields) -> Pauses:
    reasons = frozenset(fields.texts("reasons")) if "reasons" in fields else None
    pauses = Pauses(reasons, _target(fields, "longest") if "longest" in fields else None)
    fields.done()
    return pauses


_NOTHING = Target(parse_target("1h").unit, 0)


def _target(fields: Fields, name: str) -> Target:
    text = fields.text(name, "")
    try:
        return parse_target(text) if text else _NOTHING
    except ValueError as error:
        fields.problem(name, str(error))
        return _NOTHING


def _check_times(book: PolicyBook, policy: Policy, place: Fields) -> None:
    """Whether its targets can be met at all, and stand in the right order, whenever something begins."""
    for calendar in {policy.calendar, *book.sites.values()}:
        for name, goal in policy.goals.items():
            fields = place.section("targets").section(name)
            for problem in _misfits(goal, book.calendars[calendar]):
                fields.problem(*problem)


def _misfits(goal: Goal, calendar: WorkingTime) -> Iterator[tuple[str, str]]:
    try:
        ends = [after(goal.limit, start, calendar) for start in _STARTS]
        wishes = [after(goal.preferred, start, calendar) for start in _STARTS] if goal.preferred else []
    except NeverOpen as error:
        yield "limit", f"can never be met: {error}; write a shorter one, or open the calendar"
        return
    if any(wish >= end for wish, end in zip(wishes, ends, strict=False)):
        yield "preferred", f"is not always before the limit (calendar {calendar.name}); write a shorter one"
    if goal.warnings and any(end - goal.warnings[0] <= start for start, end in zip(_STARTS, ends, strict=True)):
        problem = f"the first would come before there is anything to warn of (calendar {calendar.name})"
        yield "warnings", f"{problem}; write a shorter one"


def _check_order(policies: Sequence[Policy], places: Sequence[Fields]) -> None:
    """Whether each is for any case that no policy above it takes."""
    seen: set[str] = set()
    for index, (policy, place) in enumerate(zip(policies, places, strict=True)):
        if policy.name in seen:
            place.problem("name", f"{policy.name!r} is taken by a policy above; name every policy differently")
        seen.add(policy.name)
        if example(policy.when, []) is None:
            place.problem("when", "contradicts itself, so that it never holds; correct it")
            continue
        for metric in policy.goals:
            above = [other for other in policies[:index] if metric in other.goals]
            if example(policy.when, [other.when for other in above]) is None:
                names = ", ".join(repr(other.name) for other in above)
                place.section("targets").problem(
                    metric, f"is never reached, as all its cases go to {names}; write it above, or leave it out"
                )
