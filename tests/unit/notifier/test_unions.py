"""Silences judged together: those that leave nothing to tell do not all count."""

from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given, settings, strategies as st

from services.notifier.holds import LONGEST_OF_ALL, Holds, Silence, too_wide
from services.notifier.items import Details, Severity, Standing
from services.notifier.reach_codec import KINDS
from services.notifier.routing import CLOSED, OF_ITS_WORD
from services.notifier.silences_log import SilencesLog, pack_silence, problem_of
from services.notifier.unions import AGAIN, NOTHING_LEFT, Union
from services.shared.instant import Instant
from tests.unit.notifier.builders import an_item, at
from tests.unit.notifier.desks import Entry
from tests.unit.notifier.test_holds import match

UNION = Union(KINDS)


def silence(name: str, start: float = 0, end: float = 60, **labels: str) -> Silence:
    return Silence(name, match(**labels), at(start), at(end), "r", "ana")


def everything(name: str, start: float = 0, end: float = 60) -> Silence:
    return Silence(name, {}, at(start), at(end), "r", "ana", everything=True)


def refused(*silences: Silence) -> list[str]:
    return [each.silence_id for each, _ in UNION.count(silences).refused]


SPLITS: Sequence[tuple[Silence, ...]] = (
    (silence("a", service="promises"), silence("b", service="sla")),
    (silence("a", severity="info warning"), silence("b", severity="critical")),
    (silence("a", standing="broken"), silence("b", standing="at_risk")),
    (silence("a", repeated="yes"), silence("b", repeated="no")),
    (silence("a", kind=" ".join(KINDS["promises"])), silence("b", service="sla")),
    (silence("a", kind=" ".join(KINDS["promises"])), silence("b", kind=" ".join(KINDS["sla"]))),
    (
        silence("a", service="promises", severity="critical"),
        silence("b", severity="warning info"),
        silence("c", service="sla"),
    ),
)


@pytest.mark.parametrize("silences", SPLITS)
def test_of_silences_that_leave_nothing_the_last_one_does_not_count(silences: tuple[Silence, ...]) -> None:
    """Whichever that is; the others are as good as ever."""
    for order in permutations(silences):
        assert refused(*order) == [order[-1].silence_id]
        assert refused(*order[:-1]) == []


@pytest.mark.parametrize(
    "silences",
    [
        (silence("a", service="promises"), silence("b", service="sla", site="Madrid")),
        (silence("a", service="promises"), silence("b", 60, 90, service="sla")),
        (silence("a", service="promises", severity="critical"), silence("b", severity="warning info")),
        (silence("a", kind=KINDS["promises"][0]), silence("b", service="sla")),
        (silence("a", service="promises"), everything("all")),
        (silence("a", site="Madrid"), silence("b", site="Torino")),
    ],
)
def test_what_leaves_something_counts(silences: tuple[Silence, ...]) -> None:
    """Also where one ends as the other begins, or one names what can have any value."""
    for order in permutations(silences):
        assert refused(*order) == []


def test_an_instant_in_which_all_last_is_enough() -> None:
    """Three that meet for one minute only."""
    met = (silence("a", 0, 31, severity="info"), silence("b", 10, 90, severity="warning"))
    assert refused(*met, silence("c", 30, 40, severity="critical")) == ["c"]
    assert refused(*met, silence("c", 31, 40, severity="critical")) == []


def test_that_sources_are_silent_is_nothing_that_was_promised() -> None:
    """News of them can be silenced alone, and does not make up for all that was."""
    assert refused(silence("a", service="sources")) == []
    assert refused(silence("a", service="promises sources"), silence("b", service="sla")) == ["b"]
    assert "nobody would be told" in too_wide(match(service="promises sla"))
    assert not too_wide(match(service="promises sources"))


def test_even_one_silence_can_be_for_all_there_is() -> None:
    """By the kinds that there are."""
    assert refused(
        silence("a", kind=" ".join(kind for service in OF_ITS_WORD["service"] for kind in KINDS[service]))
    ) == ["a"]


def test_everything_is_silenced_once_at_a_time() -> None:
    """No row of hours makes a night."""
    problems = UNION.count([everything("a"), everything("b", 60, 90), everything("c", 61, 121)]).refused
    assert [(each.silence_id, problem) for each, problem in problems] == [("b", AGAIN)]
    assert at(60) - at(0) == LONGEST_OF_ALL


def test_the_topic_itself_silences_nobody_by_a_union() -> None:
    """Written straight into it: the later is refused and said so once; when the other is ended it counts."""
    said: list[tuple[int, str]] = []
    known = SilencesLog(lambda *what: said.append(what))
    for offset, each in enumerate(SPLITS[0]):
        known.take(Entry(each.silence_id.encode(), pack_silence(each), offset))
    holds = Holds()
    for _ in range(2):
        holds.follow(known.silences.values(), at(0))
        assert [each.silence_id for each in holds.silences] == ["a"]
    assert said == [(1, f"match {NOTHING_LEFT}")]
    assert problem_of(SPLITS[0][1], known.silences) == NOTHING_LEFT
    known.take(Entry(b"a", None, 2))
    assert list(known.silences) == ["b"]


labels = st.fixed_dictionaries(
    {},
    optional={
        label: st.frozensets(st.sampled_from(sorted(values)), min_size=1)
        for label, values in {**CLOSED, "kind": [*KINDS["promises"], *KINDS["sla"]]}.items()
    },
).filter(bool)
some = st.lists(
    st.builds(
        lambda match, start, length: Silence("", match, at(start), at(start + length), "r", "ana"),
        labels,
        st.integers(0, 5),
        st.integers(1, 5),
    ),
    max_size=6,
)


@settings(max_examples=60)
@given(some)
def test_whatever_is_silenced_something_is_told(silences: list[Silence]) -> None:
    """By what holds news back itself, at every instant and for everything that there can be."""
    named = [each._replace(silence_id=str(number)) for number, each in enumerate(silences)]
    holds = Holds()
    holds.follow(UNION.count(named).counting, Instant(0))
    items = [
        an_item()._replace(service=service, kind=kind, standing=standing, severity=severity)
        for service in OF_ITS_WORD["service"]
        for kind in KINDS[service]
        for standing in (Standing.AT_RISK, Standing.BROKEN)
        for severity in Severity
        if severity
    ]
    items = [each._replace(details=Details(breaches=breaches)) for each in items for breaches in (0, 3)]
    for minute in range(11):
        scene = holds.scene("i", items, at(minute))
        assert any(scene.held(item) is None for item in items)
