"""The arithmetic that a verdict shows, in words and as a picture."""

from datetime import date
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given

from services.shared.facts import Context, merge
from services.shared.instant import Instant, parse_instant
from services.shared.keys import record_key
from services.shared.working_time import Hours, Special, WorkingTime
from services.sla.codec import identity
from services.sla.conditions import ALWAYS
from services.sla.domain import judge
from services.sla.evidence import counted, evidence_of
from services.sla.explain import explain
from services.sla.model import Clock, Fact, FactKind
from services.sla.picture import draw
from services.sla.policies import Goal, Pauses, Policy, PolicyBook
from services.sla.standards import Standards
from services.sla.targets import keeps_hours, parse_target
from tests.unit.sla.builders import STANDARDS, a_fact, judged
from tests.unit.sla.strategies import ALL_STANDARDS, fact_sets, instants

OFFICE = WorkingTime(
    "office",
    "Europe/Madrid",
    [[Hours(9 * 60, 18 * 60)]] * 5 + [[], []],
    lambda year: {date(year, 12, 8): Special((), "Inmaculada"), date(year, 12, 9): Special((Hours(600, 720),), "fair")},
)
MADRID = Context(customer_time_zone="Europe/Madrid")


def standards(limit: str) -> Standards:
    goal = Goal(parse_target(limit), pauses=Pauses(frozenset({"parts"})))
    return Standards.of(
        PolicyBook("7", [Policy("all", ALWAYS, "office", {"resolution": goal})], {"office": OFFICE}, {})
    )


def a_clock(by: Standards, *events: tuple[str, FactKind, str]) -> Clock:
    """Of a case in December, in Madrid; everything is over."""
    facts = [
        Fact(parse_instant(f"2026-12-{time}+01:00"), "crm", f"e{number}", kind, what, MADRID)
        for number, (time, kind, what) in enumerate(events)
    ]
    key = record_key("c-1", "resolution", "m-1")
    return judge(identity(key), merge((), facts), by, parse_instant("2026-12-31T00:00:00Z"))


EVENTS = (
    ("07T16:00:00", FactKind.STARTED, "received"),
    ("09T11:00:00", FactKind.HELD, "parts"),
    ("10T10:00:00", FactKind.RESUMED, "resumed"),
    ("10T12:30:00", FactKind.STOPPED, "resolved"),
)


def test_every_interval_is_told_with_its_reason() -> None:
    """Open, closed, a holiday, a day with hours of its own, and held."""
    by = standards("8 business hours")
    told = explain(a_clock(by, *EVENTS), by)
    assert [tuple(each) for each in told.intervals] == [
        ("2026-12-07 16:00:00 CET", "2026-12-07 18:00:00 CET", "2 h 00 min", True, "open"),
        ("2026-12-07 18:00:00 CET", "2026-12-09 10:00:00 CET", "1 d 16 h", False, "closed: Inmaculada"),
        ("2026-12-09 10:00:00 CET", "2026-12-09 11:00:00 CET", "1 h 00 min", True, "open"),
        ("2026-12-09 11:00:00 CET", "2026-12-10 10:00:00 CET", "23 h 00 min", False, "held: parts"),
        ("2026-12-10 10:00:00 CET", "2026-12-10 12:30:00 CET", "2 h 30 min", True, "open"),
    ]
    sentence = "Counted until it was stopped: 5 h 30 min. The limit: 8 h 00 min of business hours."
    assert told.reasoning[-1] == sentence


def test_around_the_clock_only_what_is_held_is_left_out() -> None:
    """The calendar has no say."""
    by = standards("48h")
    told = explain(a_clock(by, *EVENTS), by)
    assert [(each.length, each.counts, each.why) for each in told.intervals] == [
        ("1 d 19 h", True, "runs around the clock"),
        ("23 h 00 min", False, "held: parts"),
        ("2 h 30 min", True, "runs around the clock"),
    ]


@pytest.mark.parametrize("by", ALL_STANDARDS, ids=["plain", "paused", "office", "versions"])
@given(events=fact_sets(), now=instants())
def test_the_intervals_leave_no_gap_and_add_up(by: Standards, events: list[Fact], now: float) -> None:
    """From the start to the stop or the limit; what counts until the limit is the limit."""
    clock = judged(*events, minutes=now, by=by)
    evidence = evidence_of(clock, by)
    if evidence is None or not evidence.stretches:
        return
    stretches, cycle = evidence.stretches, clock.cycle
    assert stretches[0].start == cycle.started_at
    assert all(one.end == other.start and one.start < one.end for one, other in pairwise(stretches))
    until = cycle.stopped_at or cycle.due_at
    if until:
        assert stretches[-1].end == until
    if until and until == cycle.due_at:
        assert counted(stretches) == evidence.goal.limit.amount
        assert keeps_hours(evidence.goal.limit) == (by not in ALL_STANDARDS[:2] and cycle.policy != "all")
    elif cycle.due_at and cycle.stopped_at < cycle.due_at:
        assert counted(stretches) <= evidence.goal.limit.amount


def test_the_picture_shows_what_counted_and_where_the_limits_lie() -> None:
    """As SVG that any reader of XML takes; each interval and each event is there."""
    by = standards("8 business hours")
    picture = draw(a_clock(by, *EVENTS), by)
    assert picture.count("<rect ") == 3 + 5
    assert picture.count("<circle ") == 4
    texts = [node.text or "" for node in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314
    assert [text for text in texts if text.startswith("2026")] == [
        "2026-12-07 16:00:00 CET   received",
        "2026-12-09 11:00:00 CET   parts",
        "2026-12-10 10:00:00 CET   resumed",
        "2026-12-10 12:30:00 CET   resolved",
        "2026-12-10 15:00:00 CET   due",
    ]


@given(events=fact_sets(), now=instants())
def test_there_is_a_picture_of_every_clock_that_runs(events: list[Fact], now: float) -> None:
    """And none of one that does not."""
    clock = judged(*events, minutes=now)
    picture = draw(clock, STANDARDS)
    assert bool(picture) == bool(clock.cycle.started_at)
    if picture:
        ET.fromstring(picture)  # noqa: S314


def test_what_others_wrote_cannot_break_a_picture() -> None:
    """A reason is shown as it is, but for what no document may contain."""
    by = standards("48h")
    reason = '</text><script>alert("1")</script>\x00\x1b'
    picture = draw(a_clock(by, EVENTS[0], ("09T11:00:00", FactKind.HELD, reason)), by)
    assert "<script" not in picture
    ET.fromstring(picture)  # noqa: S314


def test_without_its_standards_a_clock_is_explained_without_intervals() -> None:
    """Nothing is made up."""
    clock = judged(a_fact(FactKind.STARTED, 0), minutes=10)
    assert explain(clock).intervals == ()
    assert evidence_of(judged(a_fact(FactKind.OTHER, 0)), STANDARDS) is None
    assert Instant(clock.cycle.due_at) > clock.cycle.started_at
