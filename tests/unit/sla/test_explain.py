"""What people are told about a clock."""

import pytest
from msgspec.structs import replace

from services.shared.explanation import Step
from services.shared.facts import Context
from services.sla.explain import explain
from services.sla.model import Fact, FactKind
from tests.unit.sla.builders import GOAL, a_fact, judged, standards

STARTED, STOPPED, CANCELLED, OTHER = FactKind.STARTED, FactKind.STOPPED, FactKind.CANCELLED, FactKind.OTHER
START = a_fact(STARTED, 0)


def test_a_breach_is_told_with_its_timeline_and_its_arithmetic() -> None:
    """In the customer's zone: what happened, what it did, the limit, the grace, the standard."""
    received = a_fact(STARTED, 0, context=Context(customer_time_zone="Europe/Madrid"))
    explanation = explain(judged(received, a_fact(OTHER, 1), minutes=63))
    assert explanation.headline == "First reply to contact mail-9 for customer c-1: breached"
    assert explanation.timeline == (
        Step("2026-03-02 13:00:00 CET", "started", "starts the clock", "crm/STARTED@0"),
        Step("2026-03-02 13:01:00 CET", "other", "changes nothing", "crm/OTHER@1"),
    )
    assert explanation.reasoning == (
        "Started 2026-03-02 13:00:00 CET, due 2026-03-02 14:00:00 CET.",
        "Nothing had stopped it by 2026-03-02 14:02:00 CET (2 min after due), so it is breached.",
        "The preferred level, 2026-03-02 13:20:00 CET, was not met; it is reported apart.",
        "Judged by standards version 7: policy within the hour, calendar always.",
    )


@pytest.mark.parametrize(
    ("facts", "minutes", "verdict"),
    [
        ([], 10, "Breached if nothing stops it by 2026-03-02 13:02:00 UTC (2 min after due)."),
        ([], 50, "At risk since 2026-03-02 12:45:00 UTC. Breached if nothing stops it by 2026-03-02 13:02:00 UTC (2"),
        ([a_fact(STOPPED, 50)], 99, "Stopped 2026-03-02 12:50:00 UTC: 10 min early."),
        ([a_fact(STOPPED, 70)], 99, "Stopped 2026-03-02 13:10:00 UTC: 10 min late."),
        ([a_fact(CANCELLED, 5)], 99, "It was called off in time and before any stop, so it does not count."),
    ],
)
def test_each_verdict_has_its_reason(facts: list[Fact], minutes: float, verdict: str) -> None:
    """The second line of the reasoning."""
    assert explain(judged(START, *facts, minutes=minutes)).reasoning[1].startswith(verdict)


@pytest.mark.parametrize(
    ("facts", "effect"),
    [
        ([START, a_fact(STARTED, 5)], "changes nothing"),
        ([START, a_fact(STOPPED, 5)], "stops the clock"),
        ([START, a_fact(STOPPED, 5), a_fact(STOPPED, 6)], "changes nothing"),
        ([START, a_fact(CANCELLED, 5)], "calls the clock off"),
        ([START, a_fact(CANCELLED, 5), a_fact(STOPPED, 6)], "changes nothing: it was called off before"),
        ([START, a_fact(STOPPED, 5), a_fact(CANCELLED, 6)], "changes nothing: it was stopped before"),
        ([START, a_fact(CANCELLED, 61)], "excuses nothing: the limit had passed"),
        ([a_fact(STOPPED, 5)], "waits for a start"),
        ([a_fact(STOPPED, -5), START], "changes nothing: it was over before"),
        ([START, a_fact(FactKind.HELD, 5), a_fact(FactKind.HELD, 6)], "changes nothing"),
        ([START, a_fact(FactKind.HELD, 5), a_fact(FactKind.REOPENED, 6)], "changes nothing"),
    ],
)
def test_each_fact_is_told_with_what_it_did(facts: list[Fact], effect: str) -> None:
    """The effect of the last fact of each case."""
    assert explain(judged(*facts, minutes=99)).timeline[-1].effect == effect


def test_before_a_start_there_is_nothing_to_count() -> None:
    """And nothing is made up."""
    explanation = explain(judged(a_fact(OTHER, 1)))
    assert explanation.reasoning == ("Something is known of it, but nothing started the clock yet.",)


def test_what_was_over_before_it_began_is_said_to_be() -> None:
    """There is no cycle, and nobody waits for a start."""
    explanation = explain(judged(a_fact(STOPPED, -5), START))
    assert explanation.reasoning == ("It was over before it began, so there is nothing to time.",)


def test_without_preferred_level_none_is_told() -> None:
    """Nor grace, where there is none."""
    bare = standards(GOAL._replace(preferred=None, grace=0))
    assert explain(judged(START, minutes=10, by=bare)).reasoning[1:] == (
        "Breached if nothing stops it by 2026-03-02 13:00:00 UTC.",
        "Judged by standards version 7: policy within the hour, calendar always.",
    )


def test_what_a_newer_version_wrote_is_told_as_far_as_it_is_understood() -> None:
    """Numbers without a name here: in the record's metric and state, and in the kind of a fact."""
    clock = judged(START, a_fact(CANCELLED, 5), minutes=10)
    newer = replace(
        clock, metric=99, cycle=replace(clock.cycle, state=99), facts=(START, replace(clock.facts[1], kind=99))
    )
    explanation = explain(newer)
    assert explanation.headline == "mail-9 for customer c-1: in a state that this version does not know"
    assert [step.effect for step in explanation.timeline] == ["starts the clock", "not understood by this version"]
    assert explanation.reasoning[1] == "A newer version judged it."
