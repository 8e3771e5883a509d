"""The versions of the standards, as their log has them."""

from collections.abc import Mapping
from datetime import date

import pytest

from puntual.sla.v1.standards_pb2 import StandardsVersion
from services.shared.documents import DocumentError
from services.shared.instant import Instant
from services.sla.chronicle import LEAD, Chronicle, pack_version
from services.sla.model import NONE
from tests.unit.sla.builders import at

DOCUMENT = """
version: "{name}"
{more}
calendars: {{office: {{zone: Europe/Madrid, holidays: [ES], hours: {{mon-fri: "09:00-18:00"}}}}}}
policies: [{{name: all, calendar: office, targets: {{first_reply: {{limit: {limit}}}}}}}]
"""


#: With days on which it is closed.
CLOSED = """version: "2"
calendars:
  office: {{zone: Europe/Madrid, hours: {{mon-fri: "09:00-18:00"}}, closed: {{{closed}}}}}
policies: [{{name: all, calendar: office, targets: {{first_reply: {{limit: 1 business hour}}}}}}]
"""
#: With a longest pause; an hour a week.
PAUSED = """version: "2"
calendars: {{office: {{zone: Europe/Madrid, hours: {{mon: "09:00-10:00"}}}}}}
policies:
  - name: all
    calendar: office
    pauses: {{longest: {longest}}}
    targets: {{first_reply: {{limit: 24h}}}}
"""
#: What every one of 40 tiers and 40 teams meets, pair by pair, and then all of them at once.
PAIRS = ", ".join(f"{{tier: a{tier}, team: b{team}}}" for tier in range(40) for team in range(40))
TIERS, TEAMS = (", ".join(f"{letter}{n}" for n in range(40)) for letter in "ab")
REST = "calendar: office, targets: {first_reply: {limit: 24h}}}"
HARD = (
    f"{{name: pairs, when: {{any: [{PAIRS}]}}, {REST}, {{name: both, when: {{tier: [{TIERS}], team: [{TEAMS}]}}, {REST}"
)
POLICIES = "".join(
    f"{{name: p{n}, when: {{team: t{n}}}, calendar: office, targets: {{first_reply: {{limit: 1h}}}}}}, "
    for n in range(200)
)


def holidays(place: str, year: int) -> Mapping[date, str]:
    """One a year."""
    assert place == "ES"
    return {date(year, 12, 8): "Inmaculada"}


def a_version(name: str, limit: str = "24h", more: str = "") -> bytes:
    return pack_version(DOCUMENT.format(name=name, limit=limit, more=more), "my.yaml", holidays)[1]


def test_the_first_version_judges_all_that_was_before() -> None:
    """There is nothing else to judge it by."""
    chronicle = Chronicle(horizon=9)
    assert chronicle.standards is None
    first = chronicle.add(a_version("1"), at(0))
    assert first is not None
    assert first.in_force_from == NONE
    assert chronicle.standards is not None
    assert (chronicle.standards.versions, chronicle.standards.horizon) == ((first,), 9)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", Instant(at(5) + LEAD)),
        ("in_force_from: 2026-03-02T13:00:00Z", at(60)),
        ("in_force_from: 2026-03-02T12:00:00Z", Instant(at(5) + LEAD)),  # the past is not judged anew
    ],
)
def test_a_later_version_is_in_force_from_when_it_says_but_never_from_the_past(more: str, expected: Instant) -> None:
    """So that every worker knows it in time."""
    chronicle = Chronicle()
    chronicle.add(a_version("1"), at(0))
    second = chronicle.add(a_version("2", more=more), at(5))
    assert second is not None
    assert second.in_force_from == expected


def test_of_two_documents_with_one_name_the_first_counts() -> None:
    """Whoever reads the log later reads the same."""
    chronicle = Chronicle()
    chronicle.add(a_version("1"), at(0))
    assert chronicle.add(a_version("1", limit="1h"), at(5)) is None
    assert chronicle.standards is not None
    assert [version.name for version in chronicle.standards.versions] == ["1"]
    assert "limit: 24h" in (chronicle.document("1") or "")
    assert chronicle.document("2") is None


def test_versions_are_in_the_order_in_which_they_come_into_force() -> None:
    """Not in that of their publication."""
    chronicle = Chronicle()
    for name, more in (("1", ""), ("3", "in_force_from: 2026-03-02T15:00:00Z"), ("2", "")):
        chronicle.add(a_version(name, more=more), at(0))
    assert chronicle.standards is not None
    assert [version.name for version in chronicle.standards.versions] == ["1", "2", "3"]


def test_holidays_travel_with_the_version() -> None:
    """Whatever the package of the reader knows; its years are bounded."""
    chronicle = Chronicle()
    version = chronicle.add(a_version("1"), at(0))
    assert version is not None
    office = version.book.calendars["office"]
    assert [bool(office.hours(date(year, 12, 8))) for year in (2025, 2026, 2060)] == [False, False, False]
    assert office.hours(date(2026, 12, 9))


@pytest.mark.parametrize("value", [b"\xff", b"", a_version("1").replace(b"office:", b"officer:")])
def test_what_is_no_version_is_refused_and_changes_nothing(value: bytes) -> None:
    """The log goes on behind it."""
    chronicle = Chronicle()
    with pytest.raises(DocumentError):
        chronicle.add(value, at(0))
    assert chronicle.standards is None


def test_a_bad_document_is_not_packed() -> None:
    """Its author is told where."""
    with pytest.raises(DocumentError, match=r"my.yaml: .*soon"):
        a_version("1", limit="soon")


#: A document → the end of what is said of it: what has no end, or takes longer to check than anybody can wait.
WITHOUT_END = {
    "closed for good": (
        CLOSED.format(closed="2026-12-02..2199-12-31: this branch is closed"),
        (
            "line 3: calendars.office.closed.2026-12-02..2199-12-31: is longer than 10 years; to what is closed for"
            " good give another calendar"
        ),
    ),
    "closed for good, bit by bit": (
        CLOSED.format(closed=", ".join(f"{year}-01-01..{year + 8}-12-31: shut" for year in range(2027, 2199, 9))),
        "calendars.office.closed: has more than 20,000 days; write those of the years to come",
    ),
    "held for longer than there are years": (
        PAUSED.format(longest="99999 business days"),
        "line 6: policies[0].pauses.longest: '99999 business days' is longer than a hundred years; write less",
    ),
    "held for as long as there are none": (
        PAUSED.format(longest="36600 business hours"),
        (
            "line 6: policies[0].pauses.longest: never ends: calendar office: so much working time does not come before"
            " 2200; write a shorter one, or open the calendar"
        ),
    ),
    "conditions of very many cases": (
        DOCUMENT.format(name="2", limit="24h", more="").replace("policies: [", f"policies: [{HARD}, "),
        "policies: have conditions of too many values to tell which are reached; write fewer",
    ),
    "very many policies": (
        DOCUMENT.format(name="2", limit="24h", more="").replace("policies: [", f"policies: [{POLICIES}"),
        "line 5: policies: are 201; write at most 200",
    ),
    "aliases": ("a: &a [x, x]\nversion: [*a, *a]", "line 2, column 11: stands for something else (*name); write out"),
}


@pytest.mark.parametrize(("document", "said"), WITHOUT_END.values(), ids=WITHOUT_END)
def test_a_document_without_end_is_refused_and_its_correction_read(document: str, said: str) -> None:
    """By its author's check, and by whoever reads the topic, where it may stand already."""
    with pytest.raises(DocumentError) as caught:
        pack_version(document, "my.yaml", holidays)
    assert said in str(caught.value)
    chronicle = Chronicle()
    chronicle.add(a_version("1"), at(0))
    with pytest.raises(DocumentError):
        chronicle.add(StandardsVersion(document=document).SerializeToString(), at(5))
    assert chronicle.add(a_version("3"), at(10)) is not None


def test_a_holiday_without_a_date_is_refused() -> None:
    """As any other document that cannot be read."""
    version = StandardsVersion.FromString(a_version("1"))
    version.holidays[0].date = "soon"
    with pytest.raises(DocumentError, match="has a holiday without a date; publish it again"):
        Chronicle().add(version.SerializeToString(), at(0))
