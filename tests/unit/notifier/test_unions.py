"""Silences judged together: those that leave nothing to tell do not all count."""

import re
from collections.abc import Callable, Sequence
from itertools import cycle, permutations

import pytest
from hypothesis import given, settings, strategies as st

from puntual.notifier.v1 import silence_pb2 as pb
from services.notifier.config import parse
from services.notifier.holds import LONGEST_OF_ALL, Holds, Once, Silence, Weekly, Window, too_wide
from services.notifier.items import Details, Severity, Standing
from services.notifier.kinds import KINDS
from services.notifier.routing import CLOSED, OF_ITS_WORD
from services.notifier.silences_log import SilencesLog, pack_silence, problem_of
from services.notifier.silencing import NoSilence
from services.notifier.unions import AGAIN, NO_TIME_LEFT, NOTHING_LEFT, Union
from services.shared.documents import DocumentError
from services.shared.instant import Instant
from tests.growth import growth
from tests.unit.notifier.builders import an_item, at
from tests.unit.notifier.desks import Entry, Office
from tests.unit.notifier.test_holds import hours, match

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


def once(start: float, end: float, **labels: str) -> Window:
    return Window("once", match(**labels), Once(at(start), at(end)))


def weekly(when: str, **labels: str) -> Window:
    """Noon of the tests is on a Thursday, 13:00 in Madrid."""
    return Window("weekly", match(**labels), Weekly(hours(when)))


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([], True),
        ([once(0, 60, service="sla")], False),
        ([once(59, 90, service="sla")], False),
        ([once(60, 90, service="sla")], True),
        ([once(-90, 0, service="sla")], True),
        ([once(0, 60, service="sla", site="Madrid")], True),
        ([once(0, 30, service="sla", severity="critical"), once(30, 60, severity="info warning")], True),
        (
            [once(0, 31, service="sla", severity="critical"), once(30, 60, severity="info warning")],
            False,
        ),
        ([weekly('{thu: "13:30-13:31"}', service="sla")], False),
        ([weekly('{thu: "12:00-13:30"}', service="sla")], False),
        ([weekly('{thu: "14:00-15:00"}', service="sla")], True),
        ([weekly('{fri: "13:00-14:00"}', service="sla")], True),
    ],
)
def test_maintenance_counts_beside_silences(windows: Sequence[Window], expected: bool) -> None:
    """Where both last for an instant, once or weekly: of what nobody would be told then, not even that counts."""
    known = SilencesLog(windows=windows)
    promises = silence("a", service="promises")
    known.take(Entry(b"a", pack_silence(promises)))
    assert bool(known.silences) is expected
    assert problem_of(promises, {}, windows) == ("" if expected else NOTHING_LEFT)


def test_everything_can_be_silenced_beside_maintenance() -> None:
    """For an hour, by who says so."""
    assert not UNION.count([everything("all")], [once(0, 60, service="sla")]).refused


async def test_no_silence_is_made_that_maintenance_completes() -> None:
    """Nothing is published; one of everything is made all the same."""
    office = Office(at(0))
    office.known.windows = [once(0, 60, service="sla")]
    wanted = silence("a", service="promises")
    message = pb.Silence.FromString(pack_silence(wanted))
    with pytest.raises(NoSilence, match="nobody would be told"):
        await office.silencing.create(message)
    assert not office.published
    assert await office.silencing.create(pb.Silence.FromString(pack_silence(everything("all"))))


def document(*windows: str) -> str:
    lines = "\n".join(f"  - {{name: w{number}, {window}}}" for number, window in enumerate(windows))
    return (
        "targets: {console: {channel: console}}\n"
        "routes: [{name: all, targets: [console], group_by: [site]}]\n"
        f"maintenance:\n{lines}\n"
    )


PROMISES, SLA = "match: {service: [promises]}", "match: {service: [sla]}"
MADRID, TOKYO = "zone: Europe/Madrid", "zone: Asia/Tokyo"
DECEMBER = "from: 2026-12-01T22:00, to: 2026-12-02T06:00"


@pytest.mark.parametrize(
    "windows",
    [
        (  # for ever, each leaving out something
            f'{PROMISES}, weekly: {{mon-sat: "00:00-24:00"}}, {MADRID}',
            f'{PROMISES}, weekly: {{sun: "00:00-24:00"}}, {MADRID}',
            f'{SLA}, weekly: {{sun: "00:00-24:00"}}, {MADRID}',
        ),
        (f"{PROMISES}, {DECEMBER}, {MADRID}", f"{SLA}, from: 2026-12-02T05:59, to: 2026-12-02T09:00, {MADRID}"),
        (f"{PROMISES}, {DECEMBER}, {MADRID}", f'{SLA}, weekly: {{wed: "05:00-07:00"}}, {MADRID}'),
        (f'{PROMISES}, weekly: {{wed: "05:00-07:00"}}, {MADRID}', f"{SLA}, {DECEMBER}, {MADRID}"),
        # In summer only, when clocks differ by seven hours.
        (
            f'{PROMISES}, weekly: {{wed: "05:00-06:00"}}, {MADRID}',
            f'{SLA}, weekly: {{wed: "12:00-13:00"}}, {TOKYO}',
        ),
    ],
)
def test_maintenance_that_leaves_nothing_is_refused_when_it_is_read(windows: tuple[str, ...]) -> None:
    """The last of the windows; without it the document is in order."""
    with pytest.raises(DocumentError, match=re.escape(f"maintenance[{len(windows) - 1}].match: {NO_TIME_LEFT}")):
        parse(document(*windows), "notifier.yaml")
    assert len(parse(document(*windows[:-1]), "notifier.yaml").plan.holds.windows) == len(windows) - 1


def test_maintenance_that_leaves_something_is_read() -> None:
    """One time after the other, and what is about one site."""
    read = parse(
        document(
            f"{PROMISES}, {DECEMBER}, {MADRID}",
            f"{SLA}, from: 2026-12-02T06:00, to: 2026-12-02T09:00, {MADRID}",
            f'match: {{service: [sla], site: [Madrid]}}, weekly: {{wed: "00:00-24:00"}}, {MADRID}',
            f'{SLA}, weekly: {{mon: "05:00-07:00"}}, {MADRID}',
        ),
        "notifier.yaml",
    )
    assert len(read.plan.holds.windows) == 4


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


def test_what_many_weekly_windows_cost_grows_as_they_do() -> None:
    """One every ten minutes, of promises and of sla by turns: each of a year's times is looked at once."""

    def read(count: int) -> Callable[[], object]:
        each = [
            weekly(f'{{mon-sun: "0{4 + number // 6}:{number % 6}0-0{4 + number // 6}:{number % 6}9"}}', service=service)
            for number, service in zip(range(count), cycle(["promises", "sla"]), strict=False)
        ]
        assert not UNION.too_many(each)  # their hours are known by now
        return lambda: UNION.too_many(each)

    assert growth(read, 3, 4) < 2


windows = some.map(lambda each: [Window("", one.match, Once(one.starts_at, one.ends_at)) for one in each])


@settings(max_examples=60)
@given(some, windows)
def test_whatever_is_silenced_something_is_told(silences: list[Silence], windows: list[Window]) -> None:
    """By what holds news back itself, at every instant and for everything that there can be."""
    refused = UNION.too_many(windows)
    maintenance = [window for number, window in enumerate(windows) if number not in refused]
    named = [each._replace(silence_id=str(number)) for number, each in enumerate(silences)]
    holds = Holds(maintenance)
    holds.follow(UNION.count(named, maintenance).counting, Instant(0))
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
