"""The document of standards: what it means, and what is said of one that means nothing."""

from collections.abc import Mapping
from datetime import date

import pytest

from services.shared.documents import DocumentError
from services.shared.instant import SECOND
from services.sla.conditions import ALWAYS, Condition
from services.sla.policies import Goal, Pauses, PolicyBook, read_policies
from services.sla.targets import Target, Unit

HOUR = 3600 * SECOND
WHOLE = """\
version: "7"
calendars:
  office: {zone: Europe/Madrid, hours: {mon-fri: "09:00-17:00"}}
  sevilla: {zone: Europe/Madrid, hours: {mon-fri: "08:00-15:00"}}
sites: {Sevilla: sevilla}
policies:
  - name: urgent
    when: {priority: urgent}
    calendar: office
    pauses: {reasons: [waiting for the customer], longest: 5 business days}
    targets:
      first_reply: {limit: 1 business hour, preferred: 15 business minutes, warnings: [10min, 30min], grace: 1min}
  - name: everybody
    calendar: office
    pauses: {}
    targets:
      first_reply: {limit: 24h, preferred: 2h}
      resolution: {limit: "3 business days, end of day"}
"""


def no_holidays(_place: str, _year: int) -> Mapping[date, str]:
    """A country that always works."""
    return {}


def read(text: str = WHOLE) -> PolicyBook:
    """A document."""
    return read_policies(text, "my.yaml", no_holidays)


def test_a_document_becomes_policies() -> None:
    """Every field arrives."""
    book = read()
    urgent, everybody = book.policies
    assert (book.version, book.sites) == ("7", {"Sevilla": "sevilla"})
    assert urgent[:3] == ("urgent", Condition("priority", frozenset({"urgent"})), "office")
    assert urgent.goals == {
        "first_reply": Goal(
            Target(Unit.BUSINESS_TIME, HOUR),
            Target(Unit.BUSINESS_TIME, HOUR // 4),
            (HOUR // 2, HOUR // 6),
            HOUR // 60,
        )
    }
    assert urgent.pauses == Pauses(frozenset({"waiting for the customer"}), Target(Unit.BUSINESS_DAYS, 5))
    assert (everybody.when, everybody.pauses) == (ALWAYS, Pauses(None))
    assert everybody.goals["resolution"] == Goal(Target(Unit.BUSINESS_DAYS, 3, to_end=True))
    assert [book.calendar(urgent, site).name for site in ("Sevilla", "Madrid", "")] == ["sevilla", "office", "office"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('version: "7"\n', "", "version: is missing; write it"),
        (
            "Sevilla: sevilla",
            "Sevilla: seville",
            "line 5: sites.Sevilla: 'seville' is unknown; write office or sevilla",
        ),
        ("    calendar: office\n    pauses: {r", "    pauses: {r", "line 7: policies[0].calendar: is missing; write"),
        ("when: {priority:", "when: {urgency:", "line 8: policies[0].when.urgency: is nothing to ask for; write one"),
        ("  - name: everybody", "  - name: urgent", "line 13: policies[1].name: 'urgent' is taken by a policy above"),
        ("resolution:", "solution:", "line 18: policies[1].targets.solution: is no metric; write one of first_reply"),
        ("limit: 24h", "limits: 24h", "line 17: policies[1].targets.first_reply.limit: is missing; write for example"),
        ("limit: 24h", "limit: 1 day", "line 17: policies[1].targets.first_reply.limit: '1 day' can mean three things"),
        ("limit: 24h", "limit: -1h", "line 17: policies[1].targets.first_reply.limit: '-1h' is below zero"),
        (
            "preferred: 2h",
            "preferred: 24h",
            "policies[1].targets.first_reply.preferred: is not always before the limit",
        ),
        ("[10min, 30min]", "[10min, soon]", "line 12: policies[0].targets.first_reply.warnings: 'soon' is no duration"),
        ("[10min, 30min]", "[10min, 1h]", "line 12: policies[0].targets.first_reply.warnings: the first would come"),
        ("5 business days", "5 working days", "line 10: policies[0].pauses.longest: '5 working days' is no target"),
        ("priority: urgent", "not: {}", "line 8: policies[0].when: contradicts itself, so that it never holds"),
        (
            "    when: {priority: urgent}\n",
            "",
            "line 16: policies[1].targets.first_reply: is never reached, as all its cases go to 'urgent'; write",
        ),
        ("3 business days", "99999 business days", "line 18: policies[1].targets.resolution.limit: can never be met"),
        ("policies:", "polices:", "policies: there is none; write at least one"),
        (WHOLE, "[]", "[] has no fields; write name: value pairs"),
    ],
)
def test_a_mistake_is_told_with_line_place_value_and_remedy(old: str, new: str, said: str) -> None:
    """One change to a good document, and what its author is told."""
    assert old in WHOLE
    with pytest.raises(DocumentError) as error:
        read(WHOLE.replace(old, new))
    assert said in str(error.value)
    assert all(line.startswith("my.yaml: ") for line in str(error.value).splitlines())


def test_what_one_policy_leaves_open_the_next_may_say() -> None:
    """First match, metric by metric."""
    text = WHOLE.replace("      first_reply: {limit: 24h, preferred: 2h}\n", "").replace(
        "    when: {priority: urgent}\n", ""
    )
    assert [set(policy.goals) for policy in read(text).policies] == [{"first_reply"}, {"resolution"}]
