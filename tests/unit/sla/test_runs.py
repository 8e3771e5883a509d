"""When a clock runs: cycles, holds, windows. Minutes after noon."""

from itertools import permutations

import pytest
from msgspec.structs import replace

from services.sla.model import NONE, Fact, FactKind, Metric
from services.sla.runs import case_of
from tests.unit.sla.builders import a_fact, at

STARTED, STOPPED, CANCELLED, OTHER = FactKind.STARTED, FactKind.STOPPED, FactKind.CANCELLED, FactKind.OTHER
ANSWERED, RENEWED, REOPENED, OPENED = FactKind.ANSWERED, FactKind.RENEWED, FactKind.REOPENED, FactKind.OPENED
HELD, RESUMED, FOLLOWED_UP = FactKind.HELD, FactKind.RESUMED, FactKind.FOLLOWED_UP
#: Where it makes no difference.
METRIC = Metric.FIRST_REPLY
Told = list[tuple[FactKind, float]]


def told(events: Told) -> list[Fact]:
    return [a_fact(kind, minutes, f"e{number}") for number, (kind, minutes) in enumerate(events)]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], []),
        ([(STARTED, 0)], [(0, None, None)]),
        ([(STARTED, 0), (STARTED, 5), (STOPPED, 9), (STOPPED, 10)], [(0, 9, None)]),
        ([(STOPPED, 5)], []),
        # what ended before it began is no cycle; to be reopened it is closed all the same
        ([(STOPPED, -5), (STARTED, 0)], []),
        ([(STOPPED, -5), (STOPPED, -3), (STARTED, 0), (STARTED, 3)], []),
        ([(STOPPED, -5), (STARTED, 0), (REOPENED, 9)], [(9, None, None)]),
        ([(CANCELLED, -5), (STARTED, 0)], [(0, None, -5)]),
        ([(STARTED, 0), (CANCELLED, 5), (CANCELLED, 6), (STOPPED, 9)], [(0, 9, 5)]),
        ([(STARTED, 0), (STOPPED, 5), (CANCELLED, 5)], [(0, 5, None)]),
        # what comes after the end begins nothing by itself
        ([(STARTED, 0), (STOPPED, 5), (STARTED, 9)], [(0, 5, None)]),
        # reopened: another cycle
        ([(STARTED, 0), (STOPPED, 5), (REOPENED, 9)], [(0, 5, None), (9, None, None)]),
        ([(STARTED, 0), (STOPPED, 5), (REOPENED, 9), (REOPENED, 10), (STOPPED, 12)], [(0, 5, None), (9, 12, None)]),
        ([(STARTED, 0), (CANCELLED, 5), (REOPENED, 9)], [(0, None, 5), (9, None, None)]),
        ([(STARTED, 0), (REOPENED, 9)], [(0, None, None)]),
        ([(REOPENED, 9), (STOPPED, 12)], [(9, 12, None)]),
        ([(STARTED, 5), (STOPPED, 5), (REOPENED, 5)], [(5, 5, None), (5, None, None)]),
        # of one instant, what was closed before is opened and settled again; what was open is settled and opened again
        ([(STARTED, 0), (STOPPED, 5), (REOPENED, 9), (STOPPED, 9)], [(0, 5, None), (9, 9, None)]),
        ([(STARTED, 0), (STOPPED, 5), (REOPENED, 9), (REOPENED, 9), (STOPPED, 9)], [(0, 5, None), (9, 9, None)]),
        ([(STARTED, 0), (STOPPED, 5), (REOPENED, 9), (CANCELLED, 9)], [(0, 5, None), (9, None, 9)]),
        ([(STARTED, 0), (STOPPED, 9), (STOPPED, 9), (REOPENED, 9)], [(0, 9, None), (9, None, None)]),
        ([(RENEWED, 0), (CANCELLED, 5), (OPENED, 9), (CANCELLED, 9), (RENEWED, 12)], [(0, None, 5)]),
        # a reply answers, and the case stays open
        ([(STARTED, 0), (ANSWERED, 5), (STARTED, 9)], [(0, 5, None), (9, None, None)]),
        ([(ANSWERED, 5), (ANSWERED, 6)], []),
        # what follows up waits for a first answer, or there are two clocks for one delay
        ([(FOLLOWED_UP, 0)], []),
        ([(ANSWERED, 0), (FOLLOWED_UP, 5), (FOLLOWED_UP, 6), (ANSWERED, 9)], [(5, 9, None)]),
        ([(ANSWERED, 5), (FOLLOWED_UP, 5)], []),  # of one instant: what begins counts before what ends
        # "thank you", when all is settled
        ([(ANSWERED, 0), (CANCELLED, 5), (FOLLOWED_UP, 6)], []),
        ([(ANSWERED, 0), (FOLLOWED_UP, 3), (CANCELLED, 5), (FOLLOWED_UP, 6)], [(3, None, 5)]),
        # but for what was written when it was closed there is a wait once it is open again
        ([(ANSWERED, 0), (CANCELLED, 5), (FOLLOWED_UP, 6), (OPENED, 8)], [(8, None, None)]),
        ([(ANSWERED, 0), (CANCELLED, 5), (OPENED, 8)], []),
        ([(ANSWERED, 0), (CANCELLED, 5), (FOLLOWED_UP, 6), (OPENED, 8), (CANCELLED, 9), (OPENED, 10)], [(8, None, 9)]),
        ([(FOLLOWED_UP, 0), (OPENED, 8)], []),  # nothing was closed
        ([(ANSWERED, 0), (FOLLOWED_UP, 3), (ANSWERED, 5), (CANCELLED, 5)], [(3, 5, None)]),
        # an update renews
        ([(RENEWED, 0)], [(0, None, None)]),
        ([(RENEWED, 0), (RENEWED, 5)], [(0, 5, None), (5, None, None)]),
        ([(RENEWED, 0), (CANCELLED, 5), (RENEWED, 6)], [(0, 6, 5)]),
        ([(RENEWED, 0), (CANCELLED, 5), (OPENED, 6), (RENEWED, 7)], [(0, None, 5), (7, None, None)]),
        ([(RENEWED, 0), (CANCELLED, 5), (OPENED, 5), (RENEWED, 7)], [(0, None, 5), (7, None, None)]),
        ([(RENEWED, 0), (RENEWED, 5), (CANCELLED, 5)], [(0, 5, None), (5, None, 5)]),
        ([(RENEWED, 0), (OPENED, 5), (RENEWED, 7)], [(0, 7, None), (7, None, None)]),  # it was open
    ],
)
def test_a_clock_runs_in_cycles(events: Told, expected: list[tuple[float, float | None, float | None]]) -> None:
    """Start, end, first cancellation of each; facts in any order give the same."""
    for facts in (told(events), told(events)[::-1]):
        runs = case_of(facts, METRIC).runs
        found = [(run.started_at, run.ended_at, run.cancelled_at) for run in runs]
        assert found == [tuple(at(minute) if minute is not None else 0 for minute in run) for run in expected]
        assert [run.is_past for run in runs] == [True] * (len(runs) - 1) + [False] * bool(runs)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(HELD, 5)], [(5, None, "e0")]),
        ([(HELD, 5), (RESUMED, 9)], [(5, 9, "e0")]),
        ([(RESUMED, 9)], []),
        ([(HELD, 5), (RESUMED, 9), (RESUMED, 10)], [(5, 9, "e0")]),
        ([(HELD, 5), (HELD, 9), (RESUMED, 12)], [(5, 9, "e0"), (9, 12, "e1")]),
        ([(HELD, 5), (OTHER, 7), (STARTED, 8), (ANSWERED, 9)], [(5, None, "e0")]),
        ([(HELD, 5), (STOPPED, 9)], [(5, 9, "e0")]),
        ([(HELD, 5), (CANCELLED, 9)], [(5, 9, "e0")]),
        ([(STOPPED, 3), (HELD, 5), (REOPENED, 9)], [(5, 9, "e1")]),
        ([(CANCELLED, 3), (HELD, 5), (OPENED, 9)], [(5, 9, "e1")]),
        ([(HELD, 5), (HELD, 5)], [(5, None, "e1")]),
        # to open what is open is nothing
        ([(HELD, 5), (REOPENED, 9)], [(5, None, "e0")]),
        ([(STARTED, 0), (HELD, 5), (OPENED, 9), (REOPENED, 10), (RESUMED, 12)], [(5, 12, "e1")]),
        ([(STOPPED, 3), (REOPENED, 4), (HELD, 5), (REOPENED, 9)], [(5, None, "e2")]),
        # of one instant: it is held afterwards, unless it was held before
        ([(HELD, 5), (RESUMED, 5)], [(5, None, "e0")]),
        ([(HELD, 5), (RESUMED, 9), (HELD, 9)], [(5, 9, "e0")]),
        ([(HELD, 5), (RESUMED, 9), (HELD, 9), (RESUMED, 9), (HELD, 12)], [(5, 9, "e0"), (12, None, "e4")]),
        ([(STARTED, 0), (STOPPED, 5), (REOPENED, 9), (HELD, 9)], [(9, None, "e3")]),
        ([(STARTED, 0), (HELD, 3), (STOPPED, 9), (REOPENED, 9), (HELD, 9)], [(3, 9, "e1"), (9, None, "e4")]),
    ],
)
def test_a_case_is_held(events: Told, expected: list[tuple[float, float | None, str]]) -> None:
    """From when to when, and why: a hold without resumption is not over, a resumption without hold is nothing."""
    facts = [Fact(fact.occurred_at, "crm", fact.event_id, fact.kind, fact.event_id) for fact in told(events)]
    for ordered in (facts, facts[::-1]):
        assert case_of(ordered, METRIC).holds == [
            (at(start), at(end) if end is not None else 0, reason) for start, end, reason in expected
        ]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(5, "parts"), (9, "parts"), (12, "parts")], [(5, None, "parts")]),
        ([(5, "parts"), (9, "lunch"), (12, "parts")], [(5, 9, "parts"), (9, 12, "lunch"), (12, None, "parts")]),
        ([(5, "parts"), (9, "lunch"), (9, "parts")], [(5, None, "parts")]),
        ([(5, "lunch"), (9, "lunch"), (9, "parts")], [(5, 9, "lunch"), (9, None, "parts")]),
        ([(5, ""), (9, "")], [(5, None, "")]),
    ],
)
def test_held_for_the_same_reason_once_more_is_held(
    events: list[tuple[float, str]], expected: list[tuple[float, float | None, str]]
) -> None:
    """Another reason begins another stretch; of several in one instant the last by alphabet counts, whatever its id."""
    for ids in ("abc", "cba"):
        facts = [Fact(at(minute), "crm", ids[number], HELD, why) for number, (minute, why) in enumerate(events)]
        found = [(at(start), at(end) if end is not None else 0, reason) for start, end, reason in expected]
        assert case_of(facts, METRIC).holds == found


def window(said_at: float, start: float, end: float) -> Fact:
    """Somebody is to come between two times."""
    kind = FactKind.SCHEDULED
    return Fact(at(said_at), "crm", f"w{said_at}", kind, "booked", (), (), at(start), at(end))


def moved(said_at: float, start: float, end: float) -> Fact:
    """Somebody is to come at another time."""
    return replace(window(said_at, start, end), what="rescheduled")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([window(0, 60, 120)], [(60, None, 120)]),
        ([window(0, 60, 120), a_fact(STOPPED, 50)], [(60, 50, 120)]),
        ([window(0, 60, 120), window(10, 90, 150)], [(90, None, 150)]),
        ([window(0, 60, 120), window(120, 200, 260)], [(200, None, 260)]),
        ([window(0, 60, 120), window(130, 200, 260)], [(60, 130, 120), (200, None, 260)]),
        ([window(0, 60, 120), window(130, 60, 120)], [(60, None, 120)]),
        ([window(0, 60, 120), window(130, 60, 120), a_fact(STOPPED, 140)], [(60, 140, 120)]),
        (
            [window(0, 60, 120), window(130, 60, 120), window(150, 200, 260), window(270, 200, 260)],
            [(60, 150, 120), (200, None, 260)],
        ),
        ([window(0, 60, 120), a_fact(CANCELLED, 50), window(55, 90, 150)], [(60, None, 120), (90, None, 150)]),
        ([window(0, 60, 120), a_fact(CANCELLED, 50), window(55, 60, 120)], [(60, None, 120), (60, None, 120)]),
        (
            [window(0, 60, 120), a_fact(CANCELLED, 50), moved(55, 90, 150), a_fact(STOPPED, 95), moved(99, 90, 155)],
            [(60, None, 120), (90, 95, 150)],
        ),
        ([window(0, 60, 120), a_fact(CANCELLED, 50), window(50, 90, 150)], [(90, None, 150)]),
        ([window(0, 60, 120), a_fact(STOPPED, 70), window(75, 90, 150)], [(60, 70, 120), (90, None, 150)]),
        ([window(0, 60, 120), a_fact(STOPPED, 70), window(75, 60, 120)], [(60, 70, 120)]),
        ([window(0, 60, 120), a_fact(STOPPED, 70), moved(75, 90, 150)], [(60, 70, 120)]),
        ([a_fact(STOPPED, 50), window(70, 60, 120)], []),  # it was over before anybody agreed on it
        ([a_fact(STOPPED, 50), window(70, 60, 120), window(71, 60, 120)], []),
    ],
)
def test_an_appointment_is_timed_from_its_window(
    facts: list[Fact], expected: list[tuple[float, float | None, float]]
) -> None:
    """A new window replaces the old one while that is not over; afterwards the old one was missed all the same.

    What was called off or attended can be booked again. To tell that once more, or to move it, begins nothing.
    """
    for ordered in (facts, facts[::-1]):
        found = [(run.started_at, run.ended_at, run.window_end) for run in case_of(ordered, METRIC).runs]
        assert found == [(at(a), at(b) if b is not None else 0, at(c)) for a, b, c in expected]


def test_each_contact_of_the_customer_counts() -> None:
    """To come back counts, too."""
    events = told([(STARTED, 0), (STARTED, 5), (STOPPED, 6), (REOPENED, 9), (OTHER, 10)])
    assert case_of(events, METRIC).contacts == [at(0), at(5), at(9)]


def test_what_a_source_numbers_at_one_instant_happened_in_that_order() -> None:
    """Whatever the ranks say; without numbers they do, and ids never."""
    pairs = [(STARTED, 0), (REOPENED, 5), (STOPPED, 5)]
    for ids in permutations("abc"):
        events = [a_fact(kind, minutes, name) for (kind, minutes), name in zip(pairs, ids, strict=True)]
        counted = [replace(fact, sequence=number) for number, fact in enumerate(events, start=1)]
        assert [run.ended_at for run in case_of(events, METRIC).runs] == [at(5), 0]
        assert [run.ended_at for run in case_of(counted[::-1], METRIC).runs] == [at(5)]


@pytest.mark.parametrize("metric", [Metric.CALLBACK_RETURNED, Metric.CUSTOMER_TOLD])
def test_what_was_called_off_can_be_asked_for_again(metric: Metric) -> None:
    """Not a contact, which is reopened."""
    events = told([(STARTED, 0), (CANCELLED, 5), (STARTED, 9), (STOPPED, 12)])
    for ordered in (events, events[::-1]):
        assert [(run.started_at, run.ended_at) for run in case_of(ordered, metric).runs] == [
            (at(0), 0), (at(9), at(12)),
        ]  # fmt: skip
        assert [run.started_at for run in case_of(ordered, Metric.FIRST_REPLY).runs] == [at(0)]


def test_a_callback_can_be_asked_for_again_once_it_was_returned() -> None:
    """Also where it was called off before, too late; that an order is ready is only told once more."""
    events = told([(STARTED, 0), (CANCELLED, 5), (STOPPED, 12), (STARTED, 13), (STARTED, 14)])
    assert [run.started_at for run in case_of(events, Metric.CALLBACK_RETURNED).runs] == [at(0), at(13)]
    assert [run.started_at for run in case_of(events, Metric.CUSTOMER_TOLD).runs] == [at(0)]


def test_what_was_done_and_then_called_off_can_be_asked_for_again() -> None:
    """A customer is told of what is ready after all."""
    events = told([(STARTED, 0), (STOPPED, 5), (CANCELLED, 8), (STARTED, 13)])
    assert [run.started_at for run in case_of(events, Metric.CUSTOMER_TOLD).runs] == [at(0), at(13)]


@pytest.mark.parametrize(
    ("promised", "again", "runs"), [(60, 60, 1), (60, 90, 2), (60, None, 2), (None, 60, 2), (None, None, 2)]
)
def test_the_same_time_promised_tells_a_callback_once_more(promised: int | None, again: int | None, runs: int) -> None:
    """As in the promise service. Another time, or none, is asked for anew."""
    due = [NONE if minutes is None else at(minutes) for minutes in (promised, None, again)]
    events = told([(STARTED, 0), (STOPPED, 5), (STARTED, 9)])
    events = [replace(fact, window_end=end) for fact, end in zip(events, due, strict=True)]
    for ordered in (events, events[::-1]):
        assert len(case_of(ordered, Metric.CALLBACK_RETURNED).runs) == runs
