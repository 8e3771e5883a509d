"""Which breach of a customer something is, and that no more is remembered than that takes."""

import re

import pytest
from hypothesis import example, given, strategies as st

from services.notifier.config import parse
from services.notifier.items import NONE, Standing
from services.notifier.repeats import MOST, Repeated, Repeats, broken_at
from services.shared.documents import DocumentError
from services.shared.instant import SECOND, Instant
from tests.unit.notifier.builders import at

DAY = 86_400 * SECOND
MONTH = 30 * DAY
THRICE = Repeated(3, 30)
Breach = tuple[str, str, int]

_BREACHES = st.builds(
    lambda service, customer, subject, cycle: (service, f"{customer}/order_ready/{subject}", cycle),
    st.sampled_from(["promises", "sla"]),
    st.sampled_from(["C-1", "C-1", "C-2", "~S-1"]),
    st.sampled_from("AB"),
    st.integers(1, 2),
)
#: What is said one after the other: of what, and when it was broken; 0: it is not.
_SAID = st.lists(st.tuples(_BREACHES, st.just(0) | st.integers(40, 120)), max_size=30)


def an_order(subject: object, customer: str = "C-7") -> Breach:
    """The identity of a promise."""
    return "promises", f"{customer}/order_ready/{subject}", 1


def naive(said: list[tuple[Breach, int]], asked: Breach, when: int) -> int:
    """By the definition, from all that was ever said."""
    customer = asked[1].partition("/")[0]
    last = {breach: at for breach, at in said if breach[1].startswith(f"{customer}/")}
    number = len({asked} | {breach for breach, at in last.items() if at and when - THRICE.within <= at <= when})
    return number if number >= THRICE.breaches and not customer.startswith("~") else 0


@given(_SAID, st.integers(-THRICE.within, THRICE.within))
@example([(an_order("A"), 1), (an_order("B"), 31), (an_order("C"), 0)], 0)
@example([(an_order("A"), 1), (an_order("B"), 31)], 1)
@example([(an_order("A"), 1), (an_order("B"), 2), (an_order("C"), 3), (an_order("A"), 0)], 0)
@example([(an_order("A"), 1), (an_order("B"), 20), (an_order("C"), 31), (an_order("D"), 61)], -30)
def test_it_counts_what_the_last_word_of_each_says(said: list[tuple[Breach, int]], later: int) -> None:
    """As by the definition, for everything that is not judged later than the window is long."""
    repeats = Repeats(THRICE)
    for breach, broken in said:
        repeats.note(breach, Instant(broken))
    when = max((broken for _, broken in said), default=0) + later
    for asked in {breach for breach, _ in said} | {an_order("C"), an_order("A", "~S-1")}:
        assert repeats.count(asked, Instant(when)) == naive(said, asked, when)


def test_what_comes_later_does_not_count() -> None:
    """Read again after a restart, each is the same breach as before."""
    repeats = Repeats(THRICE)
    answers = {}
    for number in range(1, 6):
        repeats.note(an_order(number), Instant(number))
        answers[number] = repeats.count(an_order(number), Instant(number))
    assert answers == {1: 0, 2: 0, 3: 3, 4: 4, 5: 5}
    assert {number: repeats.count(an_order(number), Instant(number)) for number in answers} == answers


def test_of_one_customer_only_the_latest_are_remembered() -> None:
    """However many there are, and in whatever order they come."""
    repeats = Repeats(Repeated(3, MONTH))
    for number in range(5 * MOST):
        repeats.note(an_order(number), at(number * 7 % 500))
    assert repeats.count(an_order("next"), at(500)) == MOST + 1
    assert sum(len(known) for known in repeats._customers.values()) == MOST  # noqa: SLF001 - there is no other way to see


def test_who_was_not_let_down_of_late_is_forgotten() -> None:
    """A year of customers with one breach each leaves those of the last two months."""
    repeats = Repeats(Repeated(3, MONTH))
    for number in range(36_500):
        repeats.note(an_order("A", f"C-{number}"), Instant(at(0) + number * DAY // 100))
    assert 6_000 <= len(repeats._customers) <= 12_001  # noqa: SLF001
    for number in range(36_500):
        repeats.note(an_order("A", f"C-{number}"), NONE)
    assert not repeats._customers  # noqa: SLF001


def test_a_promise_was_broken_when_it_was_due() -> None:
    """However late it is fulfilled; one that was called off before, when that was."""
    assert broken_at(Standing.BROKEN, at(5), at(5)) == at(5)
    assert broken_at(Standing.FULFILLED_LATE, at(90), at(5)) == at(5)
    assert broken_at(Standing.BROKEN, at(1), at(5)) == at(1)
    assert broken_at(Standing.FULFILLED_LATE, at(3), NONE) == at(3)
    for standing in (Standing.FINE, Standing.AT_RISK, Standing.WITHDRAWN):
        assert broken_at(standing, at(1), at(5)) == NONE


# --- notifier.yaml

DOCUMENT = """
targets: {console: {channel: console}, boss: {channel: console}}
repeated: {breaches: 3, within: 30d}
severity: [{match: {repeated: [yes]}, severity: critical}]
routes:
  - {name: manager, match: {repeated: ["yes"]}, targets: [boss]}
  - {name: first, match: {repeated: [no, yes]}, targets: [console]}
  - {name: rest, targets: [console]}
maintenance: [{name: m, match: {repeated: [no]}, weekly: {sun: "02:00-05:00"}, zone: UTC}]
inhibit: [{while: {kind: [order_ready]}, quiet: {repeated: [no]}}]
"""


def test_a_document_says_when_a_breach_is_repeated() -> None:
    """Rules, routes and holds speak of it by yes and no, which YAML takes for true and false."""
    config = parse(DOCUMENT, "notifier.yaml")
    assert config.rules.repeated == (3, MONTH)
    assert [rule.match for rule in config.routing.severities] == [{"repeated": {"yes"}}]
    assert [route.match for route in config.routing.routes] == [
        {"repeated": {"yes"}},
        {"repeated": {"no", "yes"}},
        {},
    ]
    assert [window.match for window in config.plan.holds.windows] == [{"repeated": {"no"}}]
    assert [rule.quiet for rule in config.plan.holds.inhibitions] == [{"repeated": {"no"}}]


def test_no_rule_speaks_of_what_is_not_said() -> None:
    """Each place is named, with the remedy."""
    with pytest.raises(DocumentError) as problem:
        parse(DOCUMENT.replace("repeated: {breaches: 3, within: 30d}\n", ""), "notifier.yaml")
    remedy = "is said nowhere; add for example repeated: {breaches: 3, within: 30d} to the document"
    assert [line.partition(": ")[2].partition(": ")[2] for line in str(problem.value).splitlines()] == [
        f"{place}.repeated: {remedy}"
        for place in (
            "severity[0].match",
            "routes[0].match",
            "routes[1].match",
            "maintenance[0].match",
            "inhibit[0].quiet",
        )
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("breaches: 3", "breaches: 1", "repeated.breaches: 1 would be every breach; write from 2 to 100"),
        ("breaches: 3", "breaches: 101", "repeated.breaches: 101 is no such number; write one from 1 to 100"),
        ("breaches: 3, ", "", "repeated.breaches: is missing; write one from 1 to 100"),
        ("within: 30d", "within: 0s", "repeated.within: '0s' is no time at all; write for example 30d"),
        ("within: 30d", "window: 30d", "repeated.window: is no field; write breaches or within"),
        ("[yes]", "[sometimes]", "severity[0].match.repeated: 'sometimes' is unknown; write no or yes"),
        ("[yes]", "[1]", "severity[0].match.repeated: [1] is no list of texts; write for example [no]"),
        ("[yes]", "yes", "severity[0].match.repeated: 'yes' is no list of texts; write for example [yes]"),
        (
            "[boss]}",
            "[boss], group_by: [repeated]}",
            "routes[0].group_by: 'repeated' is unknown; write one of customer",
        ),
        ("{repeated: [no]}, weekly", "{repeated: [no, yes]}, weekly", "maintenance[0].match: matches everything"),
        ("{kind: [order_ready]}", "{repeated: [yes]}", "inhibit[0].while.repeated: is no field; write one of customer"),
    ],
)
def test_a_problem_names_place_value_and_remedy(old: str, new: str, said: str) -> None:
    """What nobody knows of what is told already, causes nothing and groups nothing."""
    assert old in DOCUMENT
    with pytest.raises(DocumentError) as problem:
        parse(DOCUMENT.replace(old, new), "notifier.yaml")
    assert re.search(rf"^notifier\.yaml: line \d+: {re.escape(said)}", str(problem.value), re.MULTILINE)
