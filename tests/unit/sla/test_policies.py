"""The document of standards: what it means, and what is said of one that means nothing."""

from collections.abc import Mapping
from datetime import date

import pytest

from services.shared.documents import DocumentError
from services.shared.instant import SECOND, parse_instant
from services.sla.conditions import ALWAYS, Condition
from services.sla.policies import BUILT_IN, Goal, Pauses, PolicyBook, load_policies, read_policies
from services.sla.targets import Target, Unit

HOUR = 3600 * SECOND
WHOLE = """\
version: "7"
in_force_from: 2026-12-01T00:00:00+01:00
apply_to_open: true
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
      first_reply:
        {limit: 1 business hour, preferred: 15 business minutes, warnings: [30min, 10 business minutes], grace: 1min}
  - name: everybody
    calendar: office
    pauses: {}
    targets:
      first_reply: {limit: 24h, preferred: 2h, pauses: {reasons: [lunch]}}
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
            (Target(Unit.TIME, HOUR // 2), Target(Unit.BUSINESS_TIME, HOUR // 6)),
            HOUR // 60,
            Pauses(frozenset({"waiting for the customer"}), Target(Unit.BUSINESS_DAYS, 5)),
        )
    }
    assert everybody.when == ALWAYS
    assert everybody.goals["resolution"] == Goal(Target(Unit.BUSINESS_DAYS, 3, to_end=True), pauses=Pauses(None))
    assert everybody.goals["first_reply"].pauses == Pauses(frozenset({"lunch"}))
    assert (book.in_force_from, book.apply_to_open) == (parse_instant("2026-11-30T23:00:00Z"), True)
    assert [book.calendar(urgent, site).name for site in ("Sevilla", "Madrid", "")] == ["sevilla", "office", "office"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('version: "7"\n', "", "version: is missing; write it"),
        (
            "Sevilla: sevilla",
            "Sevilla: seville",
            "line 7: sites.Sevilla: 'seville' is unknown; write office or sevilla",
        ),
        ("    calendar: office\n    pauses: {r", "    pauses: {r", "line 9: policies[0].calendar: is missing; write"),
        ("when: {priority:", "when: {urgency:", "line 10: policies[0].when.urgency: is nothing to ask for; write one"),
        ("  - name: everybody", "  - name: urgent", "line 16: policies[1].name: 'urgent' is taken by a policy above"),
        ("resolution:", "solution:", "line 21: policies[1].targets.solution: is no metric; write one of first_reply"),
        ("limit: 24h", "limits: 24h", "line 20: policies[1].targets.first_reply.limit: is missing; write for example"),
        ("limit: 24h", "limit: 1 day", "line 20: policies[1].targets.first_reply.limit: '1 day' can mean three things"),
        ("reasons: [", "reason: [", "policies[0].pauses.reason: is no field; write longest or reasons"),
        (
            "limit: 24h",
            "limt: 24h",
            "limt: is no field; write one of grace, limit, pauses, preferred, warnings",
        ),
        ("[30min, 10 business minutes]", "30min", "warnings: '30min' is no list of texts; write for example [30min]"),
        ("priority: urgent", 'weekday: ""', "policies[0].when.weekday: '' never holds, as every case has one; write"),
        ("limit: 24h", "limit: -1h", "line 20: policies[1].targets.first_reply.limit: '-1h' is below zero"),
        (
            "preferred: 2h",
            "preferred: 24h",
            "policies[1].targets.first_reply.preferred: '24h' is not always before the limit",
        ),
        (
            "[30min, 10 business minutes]",
            "[30min, soon]",
            "line 15: policies[0].targets.first_reply.warnings: 'soon' is no target",
        ),
        (
            "[30min, 10 business minutes]",
            "[30min, 1h]",
            "line 15: policies[0].targets.first_reply.warnings: 1 h 00 min before",
        ),
        ("5 business days", "5 working days", "line 12: policies[0].pauses.longest: '5 working days' is no target"),
        ("priority: urgent", "not: {}", "line 10: policies[0].when: contradicts itself, so that it never holds"),
        (
            "    when: {priority: urgent}\n",
            "",
            "line 19: policies[1].targets.first_reply: is never reached, as all its cases go to 'urgent'; write",
        ),
        (
            "3 business days",
            "99999 business days",
            "policies[1].targets.resolution.limit: '99999 business days, end of day' is longer than a hundred years",
        ),
        ("[30min, 10 business minutes]", "[1 business day]", "'1 business day' is no lead; write for example 30min"),
        ("limit: 24h", "limit: window", "'window' is for appointment_started only; write for example 24h"),
        ("limit: 24h", "limit: 2 contacts", "'2 contacts' is for contacts_to_resolve only; write for example 24h"),
        ("resolution: {", "contacts_to_resolve: {", "is no number of contacts; write for example 2 contacts"),
        (
            "2026-12-01T00:00:00+01:00",
            "tomorrow",
            "line 2: in_force_from: 'tomorrow' is no instant; write with its zone, for",
        ),
        (
            "apply_to_open: true",
            "apply_to_open: yes, please",
            "line 3: apply_to_open: 'yes, please' is neither true nor",
        ),
        ("calendars:", "calenders:", "calendars: is missing; write for example {office: {zone: UTC"),
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
    text = WHOLE.replace("      first_reply: {limit: 24h, preferred: 2h, pauses: {reasons: [lunch]}}\n", "").replace(
        "    when: {priority: urgent}\n", ""
    )
    assert [set(policy.goals) for policy in read(text).policies] == [{"first_reply"}, {"resolution"}]


def test_a_wait_of_the_customer_must_say_what_is_not_waiting() -> None:
    """Else it would be the resolution."""
    text = WHOLE.replace("    pauses: {}\n", "").replace("resolution:", "requester_wait:")
    with pytest.raises(DocumentError, match=r"line 20: .*requester_wait.pauses: is missing; write which holds are"):
        read(text)
    read(text.replace('end of day"}', 'end of day", pauses: {}}'))


def test_a_complaint_is_a_resolution_of_its_own() -> None:
    """It goes before the others of its policy, and what comes after a target for any contact is never reached."""
    own = WHOLE.replace("      resolution:", "      complaint_resolved: {limit: 8 business hours}\n      resolution:")
    assert [rule.metric for rule in read(own).rules("resolution")] == ["complaint_resolved", "resolution"]
    last = own.replace(
        "  - name: everybody",
        "  - {name: first, calendar: office, targets: {resolution: {limit: 24h}}}\n  - name: everybody",
    )
    with pytest.raises(DocumentError) as error:
        read(last)
    assert "complaint_resolved: is never reached, as all its cases go to 'first'" in str(error.value)


def test_the_built_in_standards_and_those_of_the_demonstration_are_without_fault() -> None:
    """A company that writes none of its own has these."""
    assert set(load_policies(BUILT_IN).policies[-1].goals) == {"first_reply", "callback_returned", "customer_told"}
    demo = load_policies(BUILT_IN.parents[1] / "cli/demo/standards.yaml")
    assert all(goal.warnings and goal.grace for policy in demo.policies for goal in policy.goals.values())
