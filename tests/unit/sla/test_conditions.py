"""Conditions: when they hold, and whether there is any case for which they do."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.shared.documents import DocumentError
from services.shared.fields import Fields
from services.sla.conditions import ALWAYS, ASKED, Condition, example, holds, read_condition

NOTHING = dict.fromkeys(ASKED, "")


def read(text: str) -> Condition:
    """One in a document of its own."""
    fields, problems = Fields.of(text, "my.yaml")
    condition = read_condition(fields)
    problems.check()
    return condition


def about(**said: str) -> Mapping[str, str]:
    """A case of which little is known."""
    return {**NOTHING, **said}


@pytest.mark.parametrize(
    ("text", "case", "answer"),
    [
        ("{}", about(), True),
        ("{tier: gold}", about(tier="gold"), True),
        ("{tier: gold}", about(tier="Gold"), False),
        ("{tier: gold, priority: [high, urgent]}", about(tier="gold", priority="urgent"), True),
        ("{tier: gold, priority: [high, urgent]}", about(tier="gold", priority="low"), False),
        ("{any: [{team: billing}, {site: Sevilla}]}", about(site="Sevilla"), True),
        ("{any: [{team: billing}, {site: Sevilla}]}", about(), False),
        ("{not: {channel: chat}, weekday: [sat, sun]}", about(weekday="sun"), True),
        ("{not: {channel: chat}, weekday: [sat, sun]}", about(weekday="sun", channel="chat"), False),
        ("{all: [{not: {any: [{team: a}, {team: b}]}}, {kind: complaint}]}", about(team="c", kind="complaint"), True),
        ('{team: ""}', about(), True),
        ('{team: ""}', about(team="a"), False),
    ],
)
def test_a_condition_holds_or_not(text: str, case: Mapping[str, str], answer: bool) -> None:
    """As it reads."""
    assert holds(read(text), case) is answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("{team: a}", None),
        ("{not: {team: a}}", None),
        ("{tier: gold, team: a}", False),
        ("{any: [{tier: silver}, {team: a}]}", True),
        ("{any: [{tier: gold}, {team: a}]}", None),
    ],
)
def test_what_is_not_known_decides_nothing(text: str, answer: bool | None) -> None:
    """The team is not; what the tier decides is decided."""
    assert holds(read(text), {"tier": "silver", "team": None}) is answer


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour: red", "line 1: colour: is nothing to ask for; write one of kind, priority, tier, team"),
        ("priority: grave", "line 1: priority: 'grave' is unknown; write one of high, low, normal, urgent"),
        ("tier: 5", "line 1: tier: 5 is no text and no list of texts; write it in quotes"),
        ("tier: []", "line 1: tier: [] is no text"),
        ("any: []", "line 1: any: has no conditions; list at least one"),
        ("any: {tier: gold}", "line 1: any: {'tier': 'gold'} is no list; begin each entry with a dash"),
        ("any:\n- tier: gold\n- not: {wekday: sat}", "line 3: any[1].not.wekday: is nothing to ask for"),
    ],
)
def test_a_mistake_is_told_with_line_place_value_and_remedy(text: str, said: str) -> None:
    """Wherever in it."""
    with pytest.raises(DocumentError) as error:
        read(text)
    assert f"my.yaml: {said}" in str(error.value)


@pytest.mark.parametrize(
    ("wanted", "shadows", "there_is_one"),
    [
        ("{tier: gold}", [], True),
        ("{tier: gold}", ["{}"], False),
        ("{tier: gold}", ["{tier: [silver, gold]}"], False),
        ("{tier: gold, team: a}", ["{team: a}"], False),
        ("{team: a}", ["{tier: gold, team: a}"], True),
        ("{}", ["{weekday: [mon, tue, wed, thu, fri]}", "{weekday: [sat]}"], True),
        ("{}", ["{weekday: [mon, tue, wed, thu, fri]}", "{weekday: [sat, sun]}"], False),
        ("{}", ["{priority: [low, normal, high, urgent]}"], True),  # it may be unstated
        ("{all: [{team: a}, {not: {team: a}}]}", [], False),
        ("{site: x}", ["{tier: gold}", "{not: {tier: gold}}"], False),
    ],
)
def test_whether_anything_is_left_for_a_condition(wanted: str, shadows: Sequence[str], there_is_one: bool) -> None:
    """After those before it."""
    assert (example(read(wanted), [read(shadow) for shadow in shadows]) is not None) is there_is_one


VALUES: Mapping[str, Sequence[str]] = {"tier": ["a", "b", "c"], "team": ["a", "b", "c"]}
FIELD = st.sampled_from([Condition(name, frozenset(values)) for name in VALUES for values in ("a", "b", "ab")])


def compound(part: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    """Conditions of conditions, and those themselves."""
    return st.one_of(
        part,
        st.builds(Condition, st.sampled_from(["all", "any"]), parts=st.lists(part, min_size=1, max_size=3).map(tuple)),
        st.builds(Condition, st.just("not"), parts=st.tuples(part)),
    )


CONDITIONS = compound(compound(FIELD))


@given(wanted=CONDITIONS, shadows=st.lists(CONDITIONS, max_size=3))
def test_an_example_is_found_if_and_only_if_there_is_one(wanted: Condition, shadows: list[Condition]) -> None:
    """As trying all cases says."""

    def is_one(case: Mapping[str, Any]) -> bool:
        return bool(holds(wanted, case)) and not any(holds(shadow, case) for shadow in shadows)

    cases = [about(tier=tier, team=team) for tier in VALUES["tier"] for team in VALUES["team"]]
    found = example(wanted, shadows)
    assert (found is not None) == any(map(is_one, cases))
    assert found is None or is_one({**NOTHING, **found})


def test_no_condition_is_always_met() -> None:
    """Of whatever nothing is known."""
    assert holds(ALWAYS, dict.fromkeys(ASKED)) is True
