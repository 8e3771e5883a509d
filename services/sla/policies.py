"""Policies: who may expect what, as `standards.yaml` writes it down.

    version: "7"
    in_force_from: 2026-12-01T00:00:00+01:00          # optional; otherwise from when it is published
    apply_to_open: true                               # optional; otherwise open cycles keep the version they began with
    calendars: {office: {...}, sevilla: {...}}        # services/shared/calendars.py
    sites: {Sevilla: sevilla}                         # optional: where another calendar applies than the policy's
    policies:
      - name: urgent matters of gold customers
        when: {tier: gold, priority: urgent}          # services/sla/conditions.py; without it: always
        calendar: office
        pauses: {reasons: [waiting for the customer], longest: 5 business days}
        targets:
          first_reply: {limit: 1 business hour, preferred: 15min, warnings: [30min, 10 business minutes], grace: 1min}
          resolution: {limit: 2 business days}        # services/sla/targets.py
          requester_wait: {limit: 8 business hours, pauses: {}}

Each metric is judged by the first policy in written order that is for the case and has a target for the metric. What
pauses a policy's clocks can be said for one target alone; `pauses: {}` is any hold, for as long as it lasts. Held again
while held, for whatever reason that pauses, it is one pause, and `longest` is counted from its beginning.

What is stated of a case counts from its start, also what is stated late: a priority that is raised on the third day can
put the limit in the past, and the clock is breached at once. What is stated after the limit changes nothing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from services.shared.calendars import PublicHolidays, read_calendars
from services.shared.documents import read_text
from services.shared.fields import Fields
from services.shared.instant import SECOND, Instant, parse_instant
from services.shared.public_holidays import public_holidays
from services.shared.working_time import NeverOpen, WorkingTime
from services.sla.conditions import Condition, Effort, TooManyCases, example, read_condition
from services.sla.targets import Target, Unit, after, before, format_target, parse_target

#: What can be timed.
METRICS: Sequence[str] = (
    "first_reply",  # a contact is received → a person replies
    "next_reply",  # the customer writes again → a person replies
    "periodic_update",  # a person replies → a person replies again, until it is resolved
    "resolution",  # a contact is received → it is resolved
    "requester_wait",  # as resolution, without the time in which we wait for the customer
    "complaint_resolved",  # a complaint is received → it is resolved
    "callback_returned",  # a callback is requested → the customer is reached
    "customer_told",  # an order is ready → the customer is told, or has it delivered
    "appointment_started",  # the window of an appointment begins → the appointment does
    "contacts_to_resolve",  # a contact is received → it is resolved; counts how often the customer had to make contact
)
#: The standards that apply where PUNTUAL_STANDARDS names no others.
BUILT_IN = Path(__file__).with_name("standards.yaml")

_COMPLAINT = "complaint_resolved"
_IS_COMPLAINT = Condition("kind", frozenset({"complaint"}))
_HOUR = 3600 * SECOND
_DAY_MINUTES = 24 * 60
#: When things might begin: every hour of a fortnight, beside a change of the clocks and without one.
_STARTS: Sequence[Instant] = [
    Instant(parse_instant(day) + hour * _HOUR)
    for day in ("2026-03-16T00:00:00Z", "2026-06-01T00:00:00Z", "2026-10-12T00:00:00Z")
    for hour in range(14 * 24)
]


#: More than any company has: to check a document must not take longer than its readers can wait.
_MOST_POLICIES, _MOST_CHECKS = 200, 1_000


class Pauses(NamedTuple):
    """What stops a clock for a while."""

    #: Of holding a contact; None: whatever reason is given.
    reasons: frozenset[str] | None
    #: After it the clock runs on, whoever holds the contact; None: no limit.
    longest: Target | None = None


class Goal(NamedTuple):
    """What a policy says of one metric."""

    #: The binding limit.
    limit: Target
    #: The stricter level that is reported apart and breaches nothing.
    preferred: Target | None = None
    #: How long before the limit a running clock is at risk, the first warning first.
    warnings: tuple[Target, ...] = ()
    #: How long after the limit a breach is announced, for events that are still on their way; microseconds.
    grace: int = 0
    #: None: nothing pauses its clocks.
    pauses: Pauses | None = None


class Policy(NamedTuple):
    """Conditions, targets and how time counts for them."""

    name: str
    when: Condition
    calendar: str
    goals: Mapping[str, Goal]


class Rule(NamedTuple):
    """What one policy says of the clocks of one metric."""

    policy: Policy
    goal: Goal
    when: Condition
    #: As the policy names what it times.
    metric: str


class PolicyBook(NamedTuple):
    """A document of standards, read."""

    version: str
    policies: Sequence[Policy]
    calendars: Mapping[str, WorkingTime]
    #: Site → calendar, where it is not the policy's.
    sites: Mapping[str, str]
    #: None: from when it is published.
    in_force_from: Instant | None = None
    #: Whether it also judges what runs when it comes into force.
    apply_to_open: bool = False

    def rules(self, metric: str) -> Iterator[Rule]:
        """What a metric of clocks is judged by, the first match first: a complaint is a resolution of one kind."""
        for policy in self.policies:
            if metric == "resolution" and (goal := policy.goals.get(_COMPLAINT)):
                yield Rule(policy, goal, Condition("all", parts=(policy.when, _IS_COMPLAINT)), _COMPLAINT)
            if goal := policy.goals.get(metric):
                yield Rule(policy, goal, policy.when, metric)

    def calendar(self, policy: Policy, site: str) -> WorkingTime:
        """The one that counts for a policy at a site."""
        return self.calendars[self.sites.get(site, policy.calendar)]


def load_policies(file: Path, holidays: PublicHolidays = public_holidays) -> PolicyBook:
    """The standards in a file. Raises DocumentError with all its problems."""
    return read_policies(read_text(file), str(file), holidays)


def read_policies(text: str, file: str, holidays: PublicHolidays) -> PolicyBook:
    """The standards in a YAML text; `file` is for errors only. Raises DocumentError with all its problems."""
    fields, problems = Fields.of(text, file)
    version, in_force_from = fields.text("version"), fields.instant("in_force_from")
    apply_to_open = fields.flag("apply_to_open")
    section = fields.section("calendars")
    names, calendars = section.names(), read_calendars(section, holidays)
    if not names:
        fields.problem(
            "calendars", 'is missing; write for example {office: {zone: UTC, hours: {mon-fri: "09:00-18:00"}}}'
        )
    sites = fields.section("sites")
    calendar_of = {site: sites.text(site, one_of=frozenset(names)) for site in sites.names()}
    sections = fields.sections("policies")
    known = frozenset(names)
    policies = [_policy(policy, known) for policy in sections[:_MOST_POLICIES]]
    if len(sections) > _MOST_POLICIES:
        fields.problem("policies", f"are {len(sections)}; write at most {_MOST_POLICIES}")
    if not policies:
        fields.problem("policies", "there is none; write at least one")
    fields.done()
    problems.check()
    book = PolicyBook(version, policies, calendars, calendar_of, in_force_from, apply_to_open)
    _check_times(book, sections, fields)
    problems.check()
    _check_order(book, sections, fields)
    problems.check()
    return book


def hints(book: PolicyBook) -> Iterator[str]:
    """What can be used, but is hardly meant."""
    for name, calendar in book.calendars.items():
        if any(hours.closing % _DAY_MINUTES == _DAY_MINUTES - 1 for day in calendar.week for hours in day):
            yield f"calendars.{name}.hours: 23:59 leaves out the last minute of the day; write 24:00"


def _policy(fields: Fields, calendars: Collection[str]) -> Policy:
    targets = fields.section("targets")
    for name in targets.names():
        if name not in METRICS:
            targets.problem(name, f"is no metric; write one of {', '.join(METRICS)}")
    if not targets.names():
        fields.problem("targets", "is missing; write for example {first_reply: {limit: 24h}}")
    pauses = _pauses(fields)
    policy = Policy(
        name=fields.text("name"),
        when=read_condition(fields.section("when")),
        calendar=fields.text("calendar", one_of=calendars),
        goals={name: _goal(name, targets.section(name), pauses) for name in targets.names() if name in METRICS},
    )
    fields.done()
    return policy


def _goal(metric: str, fields: Fields, pauses: Pauses | None) -> Goal:
    goal = Goal(
        limit=_target(fields, "limit", metric),
        preferred=_target(fields, "preferred", metric) if "preferred" in fields else None,
        warnings=tuple(_leads(fields)),
        grace=fields.span("grace", "0s"),
        pauses=_pauses(fields) or pauses,
    )
    if "limit" not in fields:
        fields.problem("limit", "is missing; write for example 24h or 2 business hours")
    if metric == "requester_wait" and goal.pauses is None:
        fields.problem("pauses", "is missing; write which holds are the customer's, for example {reasons: [customer]}")
    fields.done()
    return goal


def _leads(fields: Fields) -> list[Target]:
    leads = []
    for text in fields.texts("warnings", ()):
        try:
            lead = parse_target(text)
        except ValueError as error:
            fields.problem("warnings", str(error))
            continue
        if lead.unit in _LEADS:
            leads.append(lead)
        else:
            fields.problem("warnings", f"{text!r} is no lead; write for example 30min or 1 business hour")
    return leads


_LEADS = frozenset({Unit.TIME, Unit.BUSINESS_TIME})


def _pauses(fields: Fields) -> Pauses | None:
    if "pauses" not in fields:
        return None
    section = fields.section("pauses")
    reasons = frozenset(section.texts("reasons")) if "reasons" in section else None
    pauses = Pauses(reasons, _target(section, "longest") if "longest" in section else None)
    section.done()
    return pauses


_NOTHING = Target(Unit.TIME, 0)
#: What only one metric can be measured by.
_OWN = {Unit.WINDOW: "appointment_started", Unit.CONTACTS: "contacts_to_resolve"}


def _target(fields: Fields, name: str, metric: str = "") -> Target:
    text = fields.text(name, "")
    try:
        target = parse_target(text) if text else _NOTHING
    except ValueError as error:
        fields.problem(name, str(error))
        return _NOTHING
    own = _OWN.get(target.unit)
    if own is not None and own != metric:
        fields.problem(name, f"{text!r} is for {own} only; write for example 24h or 2 business hours")
    elif own is None and metric == _OWN[Unit.CONTACTS] and text:
        fields.problem(name, f"{text!r} is no number of contacts; write for example 2 contacts")
    return target


def _check_times(book: PolicyBook, places: Sequence[Fields], document: Fields) -> None:
    """Whether its targets can be met at all, and stand in the right order, whenever something begins."""
    found: dict[tuple[Goal, str], Sequence[tuple[str, str]]] = {}
    for policy, place in zip(book.policies, places, strict=True):
        for calendar, (name, goal) in product(sorted({policy.calendar, *book.sites.values()}), policy.goals.items()):
            if (goal, calendar) not in found:
                if len(found) == _MOST_CHECKS:
                    document.problem("policies", "have too many different targets on too many calendars; write fewer")
                    return
                found[goal, calendar] = list(_misfits(goal, book.calendars[calendar]))
            targets = place.section("targets").section(name)
            for field, problem in found[goal, calendar]:
                if field == "longest":
                    (targets if "pauses" in targets else place).section("pauses").problem(field, problem)
                else:
                    targets.problem(field, f"{targets.text(field)!r} {problem}" if field != "warnings" else problem)


def _misfits(goal: Goal, calendar: WorkingTime) -> Iterator[tuple[str, str]]:
    if goal.pauses and goal.pauses.longest:
        try:
            after(goal.pauses.longest, _STARTS[-1], calendar)
        except NeverOpen as error:
            yield "longest", f"never ends: {error}; write a shorter one, or open the calendar"
    if goal.limit.unit == Unit.CONTACTS and goal.warnings:
        yield "warnings", "are for targets of time; leave them out"
    if goal.limit.unit in _OWN:
        if goal.preferred and goal.preferred.unit == goal.limit.unit and goal.preferred.amount >= goal.limit.amount:
            yield "preferred", "is not below the limit; write less"
        return
    try:
        ends = [after(goal.limit, start, calendar) for start in _STARTS]
        wishes = [after(goal.preferred, start, calendar) for start in _STARTS] if goal.preferred else []
    except NeverOpen as error:
        yield "limit", f"can never be met: {error}; write a shorter one, or open the calendar"
        return
    if any(wish >= end for wish, end in zip(wishes, ends, strict=False)):
        yield "preferred", f"is not always before the limit (calendar {calendar.name}); write a shorter one"
    for lead in goal.warnings:
        if any(before(lead, end, calendar) <= start for start, end in zip(_STARTS, ends, strict=True)):
            problem = f"{format_target(lead)} before the limit there may be nothing to warn of yet"
            yield "warnings", f"{problem} (calendar {calendar.name}); write a shorter one"


def _check_order(book: PolicyBook, places: Sequence[Fields], document: Fields) -> None:
    """Whether each is for any case that no policy above it takes."""
    try:
        _find_unreached(book, places)
    except TooManyCases:
        document.problem("policies", "have conditions of too many values to tell which are reached; write fewer")


def _find_unreached(book: PolicyBook, places: Sequence[Fields]) -> None:
    effort = Effort()
    seen: set[str] = set()
    contradictory = set()
    for policy, place in zip(book.policies, places, strict=True):
        if policy.name in seen:
            place.problem("name", f"{policy.name!r} is taken by a policy above; name every policy differently")
        seen.add(policy.name)
        if example(policy.when, [], effort) is None:
            place.problem("when", "contradicts itself, so that it never holds; correct it")
            contradictory.add(policy.name)
    place_of = {policy.name: place for policy, place in zip(book.policies, places, strict=True)}
    for metric in METRICS:
        above: list[Rule] = []
        for rule in book.rules(metric):
            name = rule.policy.name
            if name not in contradictory and example(rule.when, [other.when for other in above], effort) is None:
                names = ", ".join(repr(other.policy.name) for other in above) or "none"
                place_of[name].section("targets").problem(
                    rule.metric, f"is never reached, as all its cases go to {names}; write it above, or leave it out"
                )
            above.append(rule)
