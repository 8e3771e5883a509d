"""What standards make of a case: pauses, calendars, policies, contacts and versions, case by case.

Monday, 2 March 2026. Minutes are counted from 12:00 UTC, when it is 13:00 at the office, which closes at 18:00 (300).
"""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from services.shared.facts import merge
from services.shared.instant import Instant, parse_instant
from services.shared.keys import record_key
from services.sla.codec import identity
from services.sla.domain import change, due, fold, judge, margin, next_deadline
from services.sla.model import NONE, Clock, Cycle, Fact, FactKind, Metric, State, Transition
from services.sla.policies import read_policies
from services.sla.standards import Standards, Version
from tests.unit.sla.builders import MINUTE, a_fact, at

STARTED, STOPPED, CANCELLED = FactKind.STARTED, FactKind.STOPPED, FactKind.CANCELLED
HELD, RESUMED, REOPENED, OTHER = FactKind.HELD, FactKind.RESUMED, FactKind.REOPENED, FactKind.OTHER
START = a_fact(STARTED, 0)
DAY = 24 * 60.0


def version(
    policies: str, in_force_from: float | None = None, *, name: str = "7", apply_to_open: bool = False
) -> Version:
    """The version of the standards with these policies."""
    text = f"""
version: "{name}"
apply_to_open: {str(apply_to_open).lower()}
calendars:
  always: {{zone: UTC, hours: {{mon-sun: "00:00-24:00"}}}}
  office: {{zone: Europe/Madrid, hours: {{mon-fri: "09:00-18:00"}}}}
  lisbon: {{zone: Europe/Lisbon, hours: {{mon-fri: "09:00-18:00"}}}}
  nepal: {{zone: Asia/Kathmandu, hours: {{mon-sun: "09:00-18:00"}}}}
sites: {{Lisboa: lisbon}}
policies:
{policies}
"""
    book = read_policies(text, "test", lambda _place, _year: {})
    return Version(book, NONE if in_force_from is None else at(in_force_from))


def by(limit: str, more: str = "", calendar: str = "office") -> Standards:
    """One policy for all resolutions."""
    return Standards(
        (version(f"  - {{name: all, calendar: {calendar}, targets: {{resolution: {{limit: {limit}{more}}}}}}}"),)
    )


def judged(facts: Sequence[Fact], standards: Standards, now: float = 0, metric: Metric = Metric.RESOLUTION) -> Clock:
    """The clock of a contact."""
    key = record_key("c-1", metric.name.lower(), "mail-9")
    return judge(identity(key), merge((), facts), standards, at(now))


def held(minute: float, reason: str = "customer") -> Fact:
    return Fact(at(minute), "crm", f"held@{minute}", HELD, reason)


def resumed(minute: float) -> Fact:
    return a_fact(RESUMED, minute)


ANY = ", pauses: {}"


@pytest.mark.parametrize(
    ("limit", "events", "due_at"),
    [
        ("1h", [held(10), resumed(40)], 90),
        ("1h", [held(10, "parts"), resumed(40)], 90),
        ("1h", [held(10), resumed(40), held(50), resumed(55)], 95),
        ("1h", [held(60), resumed(90)], 60),  # the limit had passed
        ("1h", [held(10), resumed(40), held(95), resumed(99)], 90),
        ("1h", [held(-10), resumed(20)], 80),  # of a hold that began before the start what comes after it
        ("1h", [held(-10), resumed(-5)], 60),
        ("1h", [held(10), a_fact(STOPPED, 40)], 90),
        ("1h", [held(10), a_fact(FactKind.ANSWERED, 40)], 90),
        ("2 business hours", [held(10), resumed(40)], 150),
        # held at 17:00, resumed at 10:00 on the next day: two hours of the office
        ("5 business hours", [held(240), resumed(DAY - 180)], DAY - 180 + 60),
        ("5 business hours", [held(400), resumed(500)], 300),
        ("1 business day", [held(10), resumed(40)], DAY + 30),
        # begun before nine, due at nine, held from evening to evening: there is still the night
        ("1 business day", [a_fact(STARTED, -300), held(360), resumed(DAY + 360)], 2 * DAY - 240),
        ('"1 business day, end of day"', [held(10), resumed(40)], 2 * DAY - 240 + 30),
        ("1 calendar day", [held(10), resumed(40)], DAY + 30),
    ],
)
def test_a_hold_moves_the_limit_by_what_would_have_counted(limit: str, events: list[Fact], due_at: float) -> None:
    """In the time of the office where the target is."""
    assert judged([START, *events], by(limit, ANY)).cycle.due_at == at(due_at)


def test_a_hold_moves_the_preferred_level_too() -> None:
    """And the warnings with the limit."""
    cycle = judged([START, held(10), resumed(40)], by("1h", ", preferred: 20min, warnings: [10min]" + ANY)).cycle
    assert (cycle.preferred_due_at, cycle.warn_at) == (at(50), (at(80),))


@pytest.mark.parametrize(
    ("pauses", "due_at"),
    [
        ("", 60),
        (", pauses: {reasons: [customer]}", 90),
        (", pauses: {reasons: [customer, parts]}", 110),
        (", pauses: {longest: 10min}", 80),
        (", pauses: {longest: 10min, reasons: [parts]}", 70),
        (", pauses: {longest: 25 business minutes}", 105),
    ],
)
def test_only_what_the_policy_lets_pause_pauses_and_not_for_longer_than_it_says(pauses: str, due_at: float) -> None:
    """Half an hour for the customer, twenty minutes for parts."""
    events = [START, held(10), resumed(40), held(45, "parts"), resumed(65)]
    assert judged(events, by("1h", pauses)).cycle.due_at == at(due_at)


def test_the_longest_pause_is_counted_from_the_hold() -> None:
    """Also where that was before the start."""
    assert judged([START, held(-10)], by("1h", ", pauses: {longest: 15min}")).cycle.due_at == at(65)


@pytest.mark.parametrize(
    ("pauses", "more", "due_at"),
    [
        ("{longest: 30min}", [], 90),
        # told again, for the same reason or another
        ("{longest: 30min}", [held(20), held(30), held(39)], 90),
        ("{longest: 30min}", [held(20, "parts"), held(30), held(45, "parts")], 90),
        ("{longest: 30min, reasons: [customer, parts]}", [held(20, "parts"), held(35), resumed(50)], 90),
        ("{longest: 30min}", [held(20, "parts"), resumed(25)], 75),
        # resumed in between: a pause of its own
        ("{longest: 30min}", [resumed(30), held(35), held(45, "parts")], 110),
        # what does not pause lets the clock run, as a resumption does
        ("{longest: 30min, reasons: [customer]}", [held(20, "parts"), held(35)], 100),
        ("{longest: 30min, reasons: [customer]}", [held(20, "parts"), resumed(35)], 70),
        ("{reasons: [customer]}", [held(20, "parts"), held(35), resumed(40)], 75),
    ],
)
def test_holds_without_a_gap_are_one_pause(pauses: str, more: list[Fact], due_at: float) -> None:
    """Held at 10; however often that is said, the longest pause is counted from then."""
    clock = judged([START, held(10), *more], by("1h", f", pauses: {pauses}"), now=due_at + 1)
    assert (clock.cycle.state, clock.cycle.due_at) == (State.BREACHED, at(due_at))


@pytest.mark.parametrize("lead", ["50min", "55min"])  # at the end of the pause, and within it
def test_what_fell_due_in_a_pause_is_known_when_it_ends(lead: str) -> None:
    """Held until 40, due at 90; more facts do not bring the pause back."""
    standards = by("1h", f", warnings: [{lead}], pauses: {{longest: 30min}}")
    clock = judged([START, held(10)], standards, now=41)
    assert (clock.cycle.state, clock.changed_at, clock.changes_at) == (State.AT_RISK, at(40), at(90) + 1)
    assert change(judged([START, held(10)], standards, now=39), clock).transition == Transition.AT_RISK
    assert fold(clock, [a_fact(OTHER, 41)], standards).cycle == clock.cycle


def test_a_clock_runs_on_after_the_longest_pause_whatever_more_is_heard() -> None:
    """It does not pause again."""
    standards = by("1h", ", pauses: {longest: 30min}")
    running = judged([START, held(10)], standards, now=41)
    assert (running.cycle.state, running.changed_at) == (State.RUNNING, at(40))
    assert fold(running, [a_fact(OTHER, 41)], standards).cycle == running.cycle


def test_what_is_held_is_paused_has_no_limit_and_is_neither_met_nor_breached() -> None:
    """However long it takes, unless the policy says how long at most."""
    paused = judged([START, held(10)], by("1h", ", warnings: [10min], grace: 1min" + ANY), now=100_000)
    assert (paused.cycle.state, paused.cycle.warn_at) == (State.PAUSED, ())
    assert (paused.cycle.due_at, paused.cycle.breach_at) == (NONE, NONE)
    assert (paused.changed_at, paused.changes_at) == (NONE, NONE)
    limited = by("1h", ", pauses: {longest: 30min}, warnings: [10min]")
    assert judged([START, held(10)], limited, now=39).cycle.state == State.PAUSED
    assert judged([START, held(10)], limited, now=39).changes_at == at(40)
    assert judged([START, held(10)], limited, now=40).cycle.state == State.RUNNING
    assert judged([START, held(10)], limited, now=80).cycle.state == State.AT_RISK
    assert judged([START, held(10)], limited, now=91).cycle.state == State.BREACHED


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([held(10), a_fact(STOPPED, 500)], State.MET),  # straight from the pause to the end: it was held until then
        ([held(10), a_fact(CANCELLED, 500)], State.CANCELLED),
        ([held(10), resumed(500), a_fact(STOPPED, 549)], State.MET),
        ([held(10), resumed(500), a_fact(STOPPED, 551)], State.MISSED),
        ([held(60)], State.BREACHED),
        ([held(61)], State.BREACHED),
        ([a_fact(CANCELLED, 5), held(10)], State.CANCELLED),
    ],
)
def test_the_time_held_is_never_lost(events: list[Fact], state: State) -> None:
    """Fifty minutes were left."""
    assert judged([START, *events], by("1h", ANY), now=600).cycle.state == state


def test_pausing_and_resuming_are_announced_at_once() -> None:
    """By the fact itself, and the clock goes on where it stood."""
    standards = by("1h", ANY)
    running = judged([START], standards)
    paused = fold(running, [held(10)], standards)
    going_on = fold(paused, [resumed(40)], standards)
    assert [one.cycle.state for one in (running, paused, going_on)] == [State.RUNNING, State.PAUSED, State.RUNNING]
    assert change(running, paused).transition == Transition.PAUSED
    assert change(paused, going_on).transition == Transition.RESUMED


def test_each_warning_is_announced() -> None:
    """With its own time."""
    standards = by("1h", ", warnings: [10min, 30min]")
    steps = [judged([START], standards, now) for now in (0, 30, 50, 61)]
    assert [clock.cycle.state for clock in steps] == [State.RUNNING, State.AT_RISK, State.AT_RISK, State.BREACHED]
    assert [clock.changed_at for clock in steps] == [NONE, at(30), at(50), at(60) + 1]
    assert [clock.changes_at for clock in steps] == [at(30), at(50), at(60) + 1, NONE]
    announced = [change(old, new).transition for old, new in pairwise(steps)]
    assert announced == [Transition.AT_RISK, Transition.AT_RISK, Transition.BREACHED]


# --- policies

TRIAGE = Standards(
    (
        version("""
  - {name: urgent, when: {priority: urgent}, calendar: always, targets: {resolution: {limit: 1h}}}
  - {name: monday, when: {weekday: mon, team: blue}, calendar: office, targets: {resolution: {limit: 3h}}}
  - {name: mail, when: {kind: email}, calendar: office, targets: {resolution: {limit: 5 business hours}}}
"""),
    )
)


def stated(minute: float, priority: str = "", kind: str = "", **context: str) -> Fact:
    """Something is known of the case."""
    places = ("customer_name", "customer_locale", "customer_time_zone", "customer_tier", "site", "team", "channel")
    said = tuple(context.get(place, "") for place in places) if context else ()
    case = (kind, priority) if kind or priority else ()
    return Fact(at(minute), "crm", f"known@{minute}", OTHER, "updated", said, case)


@pytest.mark.parametrize(
    ("events", "policy", "due_at"),
    [
        ([], "", 0),
        ([stated(0, kind="email")], "mail", 300),
        ([stated(0, kind="email"), stated(0.5, team="blue")], "monday", 180),
        ([stated(0, kind="email", priority="urgent")], "urgent", 60),
        ([stated(0, kind="email"), stated(59, priority="urgent")], "urgent", 60),
        # what is stated when the limit has passed changes nothing: nobody is excused, and nobody is to blame, by it
        ([stated(0, priority="urgent"), stated(61, kind="email", priority="low")], "urgent", 60),
        ([stated(0, priority="urgent"), stated(60, kind="email", priority="low")], "mail", 300),
        ([stated(0, priority="urgent"), stated(30, team="a"), stated(61, kind="email", priority="low")], "urgent", 60),
        # nor what is stated when it is over
        ([stated(0, kind="email"), a_fact(STOPPED, 50), stated(51, priority="urgent")], "mail", 300),
        ([stated(0, kind="email"), a_fact(STOPPED, 50), stated(50, priority="urgent")], "urgent", 60),
        ([stated(0, kind="email"), a_fact(STOPPED, 0)], "mail", 300),
        ([stated(20, kind="email")], "mail", 300),
        # of each thing that is stated the last counts
        ([stated(0, kind="email"), stated(5, team="red")], "mail", 300),
        ([stated(0, kind="email", team="blue"), stated(5, team="red")], "mail", 300),
        ([stated(0, kind="email", site="Lisboa")], "mail", 300),
        ([stated(0, kind="email", site="Porto")], "mail", 300),
    ],
)
def test_the_first_policy_that_is_for_the_case_judges_it(events: list[Fact], policy: str, due_at: float) -> None:
    """As the case is known to be before its limit passes."""
    cycle = judged([START, *events], TRIAGE, now=10).cycle
    assert (cycle.policy, cycle.due_at) == (policy, at(due_at) if due_at else NONE)
    assert cycle.state == (State.NOTED if not policy else State.RUNNING if not cycle.stopped_at else State.MET)


def test_what_is_stated_of_a_case_that_was_called_off_changes_nothing() -> None:
    """Or it would have come too late by a limit that nobody knew of."""
    events = [START, stated(0, kind="email"), a_fact(CANCELLED, 100), stated(101, priority="urgent")]
    cycle = judged(events, TRIAGE, now=200).cycle
    assert (cycle.state, cycle.policy) == (State.CANCELLED, "mail")


def test_each_metric_has_its_own_targets() -> None:
    """Of the very same case."""
    standards = Standards(
        (version("  - {name: all, calendar: always, targets: {resolution: {limit: 5h}, first_reply: {limit: 1h}}}"),)
    )
    limits = [judged([START], standards, metric=each).cycle.due_at for each in (Metric.RESOLUTION, Metric.FIRST_REPLY)]
    assert limits == [at(300), at(60)]


def test_a_site_has_its_own_hours() -> None:
    """It is 17:30 in Lisbon, where the office is open for half an hour more; in Madrid it has closed."""
    start = a_fact(STARTED, 330)
    assert judged([start, stated(330, kind="email")], TRIAGE).cycle.due_at == at(DAY + 60)
    lisbon = judged([start, stated(330, kind="email", site="Lisboa")], TRIAGE).cycle
    assert (lisbon.due_at, lisbon.calendar) == (at(DAY + 90), "lisbon")
    assert judged([start, stated(330, site="Lisboa")], by("1 business hour")).cycle.calendar == "lisbon"


def test_a_weekday_is_that_of_the_policy_s_calendar() -> None:
    """At 23:30 UTC of Sunday it is Monday in Madrid."""
    night = Fact(parse_instant("2026-03-01T23:30:00Z"), "crm", "1", STARTED, "", ("", "", "", "", "", "blue", ""))
    assert judged([night], TRIAGE).cycle.policy == "monday"
    evening = Fact(parse_instant("2026-03-01T22:30:00Z"), "crm", "1", STARTED, "", ("", "", "", "", "", "blue", ""))
    assert judged([evening], TRIAGE).cycle.policy == ""


def test_a_weekday_begins_when_it_does_in_the_calendar_s_zone() -> None:
    """In Nepal at a quarter past six in the evening, UTC."""
    standards = Standards(
        (version("  - {name: monday, when: {weekday: mon}, calendar: nepal, targets: {resolution: {limit: 1h}}}"),)
    )
    starts = [at(minute - DAY) for minute in (6 * 60 + 14, 6 * 60 + 15)]
    found = [judged([Fact(start, "crm", "1", STARTED)], standards).cycle.policy for start in starts]
    assert found == ["", "monday"]


@pytest.mark.parametrize("field", ["tier", "team", "channel", "site"])
def test_each_thing_that_is_stated_may_decide(field: str) -> None:
    """Of two cases that are alike in all others."""
    standards = Standards(
        (version(f"  - {{name: own, when: {{{field}: x}}, calendar: always, targets: {{resolution: {{limit: 1h}}}}}}"),)
    )
    place = field.replace("tier", "customer_tier")
    found = [judged([START, stated(0, **{place: value})], standards).cycle.policy for value in ("x", "y")]
    assert found == ["own", ""]


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        (Metric.CALLBACK_RETURNED, "callback"),
        (Metric.CUSTOMER_TOLD, "order"),
        (Metric.APPOINTMENT_STARTED, "appointment"),
    ],
)
def test_some_metrics_tell_what_kind_a_case_is(metric: Metric, kind: str) -> None:
    """No event says so."""
    targets = f"targets: {{{metric.name.lower()}: {{limit: 1h}}}}"
    standards = Standards((version(f"  - {{name: all, when: {{kind: {kind}}}, calendar: always, {targets}}}"),))
    assert judged([START], standards, metric=metric).cycle.policy == "all"


def test_holds_are_kept_when_the_policy_changes() -> None:
    """They are facts of the case, not of a policy."""
    standards = Standards(
        (
            version("""
  - {name: urgent, when: {priority: urgent}, calendar: always, pauses: {}, targets: {resolution: {limit: 1h}}}
  - {name: others, calendar: always, pauses: {}, targets: {resolution: {limit: 75min}}}
"""),
        )
    )
    events = [START, held(10), resumed(40), stated(80, priority="urgent")]
    assert judged(events[:3], standards).cycle.due_at == at(105)
    assert judged(events, standards).cycle.due_at == at(90)
    assert judged([START, held(10), stated(50, priority="urgent")], standards).cycle.policy == "urgent"


# --- contacts


@pytest.mark.parametrize(
    ("events", "state", "due_at"),
    [
        ([], State.RUNNING, None),
        ([a_fact(STARTED, 5)], State.RUNNING, None),
        ([a_fact(STARTED, 5), a_fact(STOPPED, 9)], State.MET, None),
        ([a_fact(STARTED, 5), a_fact(STARTED, 7)], State.BREACHED, 7),
        ([a_fact(STARTED, 5), a_fact(STARTED, 7), a_fact(STOPPED, 9)], State.MISSED, 7),
        ([a_fact(STARTED, 5), a_fact(STOPPED, 6), a_fact(STARTED, 7)], State.MET, 7),
        ([a_fact(STOPPED, 6), a_fact(REOPENED, 7)], State.RUNNING, None),
        ([a_fact(STARTED, 5), a_fact(STOPPED, 6), a_fact(REOPENED, 7)], State.BREACHED, 7),
        ([a_fact(STARTED, 5), a_fact(STARTED, 6), a_fact(STOPPED, 7), a_fact(REOPENED, 9)], State.BREACHED, 9),
    ],
)
def test_how_often_a_customer_must_make_contact(events: list[Fact], state: State, due_at: float | None) -> None:
    """At most twice: the third contact breaks it, also where it reopens what was said to be resolved."""
    standards = Standards(
        (version("  - {name: all, calendar: always, targets: {contacts_to_resolve: {limit: 2 contacts}}}"),)
    )
    clock = judged([START, *events], standards, 99, Metric.CONTACTS_TO_RESOLVE)
    assert (clock.cycle.state, clock.cycle.due_at) == (state, at(due_at) if due_at else NONE)
    assert (margin(change(None, clock)) is None) == (not clock.cycle.stopped_at or not due_at)


def test_to_make_contact_once_may_be_preferred() -> None:
    """It is, as long as nobody had to do so twice."""
    limits = "{limit: 2 contacts, preferred: 1 contact}"
    standards = Standards(
        (version(f"  - {{name: all, calendar: always, targets: {{contacts_to_resolve: {limits}}}}}"),)
    )
    for again, preferred_met in (([], True), ([a_fact(STARTED, 5)], False)):
        clock = judged([START, *again, a_fact(STOPPED, 9)], standards, 99, Metric.CONTACTS_TO_RESOLVE)
        assert (clock.cycle.state, clock.cycle.preferred_met) == (State.MET, preferred_met)


def test_an_appointment_is_to_start_within_its_window() -> None:
    """Or within some time of its beginning."""
    window = Fact(at(0), "crm", "w", FactKind.SCHEDULED, "booked", (), (), at(60), at(180))
    for limit, due_at in (("window", 180), ("15min", 75)):
        standards = Standards(
            (version(f"  - {{name: all, calendar: always, targets: {{appointment_started: {{limit: {limit}}}}}}}"),)
        )
        cycle = judged([window], standards, metric=Metric.APPOINTMENT_STARTED).cycle
        assert (cycle.started_at, cycle.due_at, cycle.state) == (at(60), at(due_at), State.RUNNING)


# --- cycles


def test_reopening_starts_a_cycle_of_its_own_and_leaves_the_first_as_it_was() -> None:
    """With its own start, limit and verdict; announced with its number."""
    standards = by("1h")
    first = judged([START, a_fact(STOPPED, 90)], standards, now=100)
    second = fold(first, [a_fact(REOPENED, 100)], standards)
    assert (second.earlier, second.cycle.started_at, second.cycle.due_at) == ((first.cycle,), at(100), at(160))
    assert change(first, second)[:2] == (Transition.STARTED, 2)
    breached = judged([*second.facts], standards, now=161)
    assert change(second, breached)[:2] == (Transition.BREACHED, 2)
    # The first was resolved in time after all.
    corrected = fold(breached, [a_fact(STOPPED, 30)], standards)
    assert [cycle.state for cycle in (*corrected.earlier, corrected.cycle)] == [State.MET, State.BREACHED]
    assert change(breached, corrected)[:2] == (Transition.RETRACTED, 1)


def test_each_cycle_is_kept_in_its_place() -> None:
    """The first is the first."""
    events = [START, *(a_fact(kind, minute) for minute in (5, 15) for kind in (STOPPED, REOPENED))]
    clock = judged(events, by("1h"), now=20)
    assert [cycle.started_at for cycle in (*clock.earlier, clock.cycle)] == [at(0), at(5), at(15)]


def test_a_wait_that_turns_out_to_be_a_last_thank_you_is_taken_back() -> None:
    """What was told of it is retracted, with the number of what is left: it was written when all was settled."""
    target = "next_reply: {limit: 1h, warnings: [10min]}"
    standards = Standards((version(f"  - {{name: all, calendar: always, targets: {{{target}}}}}"),))
    asked, answered, thanked = ((FactKind.FOLLOWED_UP, 3), (FactKind.ANSWERED, 5), (FactKind.FOLLOWED_UP, 7))
    events = [a_fact(FactKind.ANSWERED, 0), *(a_fact(*each) for each in (asked, answered, thanked))]
    for now, transition in ((10, Transition.NOTED), (58, Transition.RETRACTED), (68, Transition.RETRACTED)):
        waiting = judged(events, standards, now, Metric.NEXT_REPLY)
        settled = fold(waiting, [a_fact(CANCELLED, 6)], standards)
        assert (settled.earlier, settled.cycle) == ((), waiting.earlier[0])
        assert change(waiting, settled)[:2] == (transition, 1)


def test_a_cycle_more_never_lets_fold_announce_its_breach() -> None:
    """Though the one before it was breached: only the clock says so, once all is read."""
    standards = by("1h")
    breached = judged([a_fact(STARTED, 100)], standards, now=200)
    folded = fold(breached, [START, a_fact(STOPPED, 5), a_fact(REOPENED, 6)], standards)
    assert [cycle.state for cycle in (*folded.earlier, folded.cycle)] == [State.MET, State.RUNNING]
    assert next_deadline(folded, standards) == at(66) + 1


def test_what_was_called_off_too_late_and_begun_again_was_missed() -> None:
    """Nothing can end it any more."""
    clock = judged([START, a_fact(CANCELLED, 70), a_fact(REOPENED, 80)], by("1h"), now=90)
    assert [cycle.state for cycle in (*clock.earlier, clock.cycle)] == [State.MISSED, State.RUNNING]
    assert clock.earlier[0].stopped_at == NONE


# --- versions

STRICT = "  - {name: strict, calendar: always, targets: {resolution: {limit: 30min}}}"
LAX = "  - {name: lax, calendar: always, targets: {resolution: {limit: 2h}}}"


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([version(LAX)], ("lax", "7", "", 120)),
        ([version(LAX, 50)], ("lax", "7", "", 120)),  # before the first version there is none but that
        ([version(LAX, 50), version(STRICT, 90, name="8")], ("lax", "7", "", 120)),
        ([version(LAX), version(STRICT, 0, name="8")], ("strict", "8", "", 30)),
        ([version(STRICT, -20, name="6", apply_to_open=True), version(LAX, -10)], ("lax", "7", "", 120)),
        ([version(LAX), version(STRICT, 10, name="8")], ("lax", "7", "", 120)),
        ([version(LAX), version(STRICT, 10, name="8", apply_to_open=True)], ("strict", "8", "7", 30)),
        # it ran no more then
        ([version(LAX), version(STRICT, 60, name="8", apply_to_open=True)], ("lax", "7", "", 120)),
        (
            [version(LAX), version(STRICT, 10, name="8"), version(STRICT, 20, name="9", apply_to_open=True)],
            ("strict", "9", "7", 30),
        ),
        (
            [version(LAX), version(STRICT, 10, name="8", apply_to_open=True), version(LAX, 20, name="9")],
            ("strict", "8", "7", 30),
        ),
    ],
)
def test_a_cycle_is_judged_by_the_version_in_force_when_it_started(
    versions: list[Version], expected: tuple[str, str, str, float]
) -> None:
    """A later one judges it only where it says so, if it still runs then; where it came from is on record."""
    cycle = judged([START, a_fact(STOPPED, 60)], Standards(versions), now=99).cycle
    policy, name, first, due_at = expected
    assert (cycle.policy, cycle.version, cycle.first_version, cycle.due_at) == (policy, name, first, at(due_at))


def test_an_open_cycle_is_moved_at_the_stated_instant_and_not_before() -> None:
    """Until then the old limit stands; what is breached by it stays so, and who moved it is on record."""
    moving = version(STRICT, 40, name="8", apply_to_open=True)
    standards = Standards((version(LAX), moving))
    before, at_it = (judged([START], standards, now=now) for now in (39, 40))
    assert (before.cycle.policy, before.cycle.state, before.changes_at) == ("lax", State.RUNNING, at(40))
    assert (at_it.cycle.policy, at_it.cycle.state, at_it.cycle.first_version) == ("strict", State.BREACHED, "7")
    assert at_it.changed_at == at(40)
    longer = version(LAX, 40, name="9", apply_to_open=True)
    breached = judged([START], Standards((version(STRICT), longer)), now=99)
    assert (breached.cycle.policy, breached.cycle.state) == ("strict", State.BREACHED)


def test_to_be_moved_is_announced_only_where_the_state_changes() -> None:
    """By the clock, at the stated instant; the version that a cycle begins with moves nothing."""
    lax, never = (version(LAX, when, name=name, apply_to_open=True) for when, name in ((20, "8"), (200, "9")))
    standards = Standards((version(STRICT, -9, apply_to_open=True), lax, never))
    before, after = (judged([START], standards, now=now) for now in (19, 20))
    assert (before.changed_at, before.changes_at) == (NONE, at(20))
    assert (after.changed_at, after.changes_at) == (at(20), at(120) + 1)
    assert change(before, after).transition == Transition.NOTED
    breached = judged([START], standards, now=121)
    assert breached.changed_at == at(120) + 1
    for ending, minute in ((STOPPED, 30), (STOPPED, 130), (CANCELLED, 30)):
        over = judged([START, a_fact(ending, minute)], standards, now=140)
        assert (over.cycle.version, over.changed_at, over.changes_at) == ("8", NONE, NONE)


@pytest.mark.parametrize(
    ("limit", "events", "in_force_from", "version_name"),
    [
        ("30min", [], 29, "8"),
        ("30min", [], 30, "8"),
        ("30min", [], 31, "7"),
        ("30min, grace: 10min", [], 40, "8"),  # not announced yet
        ("30min, grace: 10min", [], 41, "7"),
        ("30min", [a_fact(STOPPED, 20)], 19, "8"),
        ("30min", [a_fact(STOPPED, 20)], 20, "7"),
        ("30min", [a_fact(CANCELLED, 20)], 19, "8"),
        ("30min", [a_fact(CANCELLED, 20)], 20, "7"),
        ("30min", [a_fact(CANCELLED, 20), a_fact(STOPPED, 22)], 21, "7"),
        ("30min, grace: 10min", [a_fact(CANCELLED, 35)], 36, "7"),  # called off too late: no later version excuses that
        ("30min, pauses: {}", [held(20)], 99, "8"),
    ],
)
def test_what_is_over_or_breached_is_moved_no_more(
    limit: str, events: list[Fact], in_force_from: float, version_name: str
) -> None:
    """Whenever it is judged first, and though it is judged again only at its deadline."""
    first = version(f"  - {{name: first, calendar: always, targets: {{resolution: {{limit: {limit}}}}}}}")
    standards = Standards((first, version(LAX, in_force_from, name="8", apply_to_open=True)))
    for known_at in (0, in_force_from, 100):
        known = judged([START, *events], standards, now=known_at)
        final = due(known, at(100), standards) if next_deadline(known, standards) else known
        assert final is not None
        assert final.cycle.version == version_name
        assert final == judged([START, *events], standards, now=100)


NOBODY = "  - {name: nobody, when: {team: red}, calendar: always, targets: {resolution: {limit: 1h}}}"


def test_a_cycle_without_a_policy_is_moved_as_others_are() -> None:
    """While it runs; what is over is left alone, and is not looked at again."""
    standards = Standards((version(NOBODY), version(NOBODY, 40, name="8", apply_to_open=True)))
    before, after = (judged([START], standards, now=now) for now in (39, 40))
    assert (before.cycle, before.changes_at) == (Cycle(State.NOTED, "", "7", "", "", at(0)), at(40))
    assert (after.cycle, after.changed_at) == (Cycle(State.NOTED, "", "8", "7", "", at(0)), at(40))
    strict = Standards((version(NOBODY), version(STRICT, 40, name="8", apply_to_open=True)))
    for ending in (STOPPED, CANCELLED):
        for by_when in (standards, strict):
            over = judged([START, a_fact(ending, 39)], by_when, now=100)
            assert over.cycle == Cycle(State.NOTED, "", "7", "", "", at(0))
            assert next_deadline(over, by_when) is None


def test_a_version_that_becomes_known_later_moves_whatever_runs() -> None:
    """Also what has been breached since, in ignorance of it. What was over by then stays as it is."""
    policy = "  - {name: all, calendar: always, targets: {resolution: {limit: 1h, warnings: [40min], pauses: {}}}}"
    moving = version(STRICT, 30, name="8", apply_to_open=True)
    running, at_risk = (judged([START], Standards((version(policy),)), now) for now in (0, 20))
    paused = judged([START, held(10)], Standards((version(policy),)))
    noted = judged([START], Standards((version(NOBODY),)))
    assert next_deadline(running, Standards((version(policy), moving))) == at(20)
    assert judged([START], Standards((version(policy), moving))).changes_at == at(20)
    breached = judged([START], Standards((version(policy),)), now=99)
    for clock, text in ((at_risk, policy), (paused, policy), (noted, NOBODY), (breached, policy)):
        standards = Standards((version(text), moving))
        assert next_deadline(clock, standards) == at(30)
        moved = due(clock, at(30), standards)
        assert moved is not None
        assert (moved.cycle.version, moved.cycle.first_version) == ("8", "7")
    over = judged([START, a_fact(STOPPED, 9)], Standards((version(policy),)))
    for clock in (over, judged([stated(0, team="red")], Standards((version(policy),)))):
        assert next_deadline(clock, Standards((version(policy), moving))) is None
    others = version(LAX, 40, name="9"), version(LAX, 50, name="10", apply_to_open=True)
    several = Standards((version(NOBODY), moving, *others))
    assert next_deadline(noted, several) == judged([START], several).changes_at == at(30)
    lax = version(LAX, 30, name="8", apply_to_open=True)
    moved = judged([START], Standards((version(NOBODY), lax)), now=30)
    assert next_deadline(moved, Standards((version(NOBODY), lax, others[0]))) == at(120) + 1
    assert next_deadline(moved, Standards((version(LAX, name="9"), version(LAX, 0, name="10")))) == at(0)


def test_what_any_version_times_is_timed() -> None:
    """Of what is new, and of what is no more."""
    first = version("  - {name: all, calendar: always, targets: {first_reply: {limit: 1h}}}")
    assert Standards((first, version(LAX, 10, name="8"))).metrics == {Metric.FIRST_REPLY, Metric.RESOLUTION}


def test_a_clock_is_not_forgotten_before_a_version_that_moves_it() -> None:
    """However long it is held."""
    versions = version(LAX.replace("limit: 2h", "limit: 2h, pauses: {}")), version(STRICT, 900, apply_to_open=True)
    standards = Standards(versions, horizon=100 * MINUTE)
    paused = judged([START, held(10)], standards, now=20)
    assert next_deadline(paused, standards) == at(900)
    assert due(paused, at(999), standards) is not None
    assert due(paused, at(1000), standards) is None


def test_a_record_that_was_judged_without_a_version_is_judged_anew_when_that_is_known() -> None:
    """By whoever takes its partition over, or is told of the version."""
    old = Standards((version(LAX),))
    for apply_to_open, expected in ((True, at(30)), (False, None)):
        moving = version(STRICT, 30, name="8", apply_to_open=apply_to_open)
        standards = Standards((version(LAX), moving))
        assert next_deadline(judged([START], old), Standards((version(LAX), moving))) == (expected or at(120) + 1)
        late = judged([a_fact(STARTED, 35)], old)
        assert next_deadline(late, standards) == at(35)  # it began when the other was in force
        anew = due(late, at(36), standards)
        assert anew is not None
        assert (anew.cycle.version, next_deadline(anew, standards)) == ("8", at(65) + 1)


def test_a_policy_removed_while_a_clock_runs_on_it_goes_on_for_that_clock() -> None:
    """For the next cycle there is none: it is noted, and not judged."""
    gone = version(
        "  - {name: others, when: {team: red}, calendar: always, targets: {resolution: {limit: 1h}}}", 10, name="8"
    )
    standards = Standards((version(LAX), gone))
    clock = judged([START, a_fact(STOPPED, 20), a_fact(REOPENED, 30)], standards, now=200)
    assert [(cycle.state, cycle.policy, cycle.version) for cycle in (*clock.earlier, clock.cycle)] == [
        (State.MET, "lax", "7"),
        (State.NOTED, "", "8"),
    ]
    assert clock.cycle == Cycle(State.NOTED, "", "8", "", "", at(30))


def test_limits_are_exact_to_the_microsecond() -> None:
    """No rounding to minutes anywhere."""
    start = Fact(parse_instant("2026-03-02T12:00:00.000001Z"), "crm", "1", STARTED)
    assert judged([start], by("1 business hour")).cycle.due_at == at(60) + 1
    assert MINUTE == 60_000_000


FAR = parse_instant("2199-12-30T12:00:00Z")


@pytest.mark.parametrize(
    ("limit", "more"),
    [
        ("3 business days", ""),
        ("100 calendar days", ", pauses: {longest: 3 business days}"),
        ("40 business hours", ", preferred: 30 business hours, warnings: [10 business minutes], grace: 1min"),
    ],
)
@pytest.mark.parametrize("facts", [(STARTED,), (STARTED, HELD), (STARTED, HELD, RESUMED), (STARTED, STOPPED)])
def test_a_clock_that_can_never_be_due_is_none_the_less_a_clock(
    limit: str, more: str, facts: Sequence[FactKind]
) -> None:
    """At the end of all calendars: it runs, is held or is met, and nothing waits for it."""
    standards = by(limit, more)
    told = [Fact(Instant(FAR + n * MINUTE), "crm", str(n), kind, "customer") for n, kind in enumerate(facts)]
    clock = judged(told, standards)
    assert clock.cycle.state in {State.RUNNING, State.PAUSED, State.MET}
    assert clock.cycle.due_at == NONE or limit == "100 calendar days"
    assert clock.cycle.breach_at == NONE or limit == "100 calendar days"
    assert fold(clock, told, standards) is clock
    last = judge(identity(clock.key), clock.facts, standards, Instant(FAR + 400 * 86_400_000_000))
    assert last.cycle.state in {State.RUNNING, State.PAUSED, State.MET, State.BREACHED}
