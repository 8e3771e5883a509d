"""What `notifier.yaml` may say of maintenance, inhibition and quiet hours, and what its author is told otherwise."""

import re

import pytest

from services.notifier.config import BUILT_IN, load, parse
from services.notifier.holds import Inhibition, Reason
from services.notifier.items import Severity
from services.shared.documents import DocumentError
from services.shared.instant import Instant, parse_instant
from tests.unit.notifier.test_holds import an_item, match

FULL = """
targets:
  console: {channel: console}
  desk:
    channel: console
    quiet_hours: {zone: Europe/Madrid, hours: {mon-sun: "22:00-07:00"}}
routes:
  - {name: everything, targets: [console, desk], group_by: [site]}
maintenance:
  - name: stocktaking
    match: {site: [Madrid], kind: [order_ready]}
    from: 2026-12-01T22:00
    to: 2026-12-02T06:00
    zone: Europe/Madrid
    reason: nobody can pick
  - {name: moving, match: {site: [Madrid]}, from: "2026-12-20T22:00:00+01:00", to: "2026-12-22T06:00:00+01:00"}
  - {name: backups, match: {service: [sla]}, weekly: {sun: "02:00-05:00"}, zone: Europe/Madrid}
inhibit:
  - {while: {kind: [order_ready], standing: [broken]}, quiet: {kind: [callback]}, equal: [customer, site]}
"""


def test_what_is_written_is_what_holds() -> None:
    """Windows in their zones, rules, and the hours of one target."""
    holds = parse(FULL, "notifier.yaml").plan.holds

    def held(at: Instant, target: str = "console") -> tuple[Reason, str] | None:
        found = holds.scene("everything", [], at).held(an_item(severity=Severity.WARNING), target)
        return found and (found.reason, found.by)

    night = parse_instant("2026-12-02T04:00:00Z")
    assert held(night) == (Reason.MAINTENANCE, "stocktaking")
    assert held(parse_instant("2026-12-02T05:00:00Z")) is None
    assert held(parse_instant("2026-12-02T05:00:00Z"), "desk") == (Reason.QUIET_HOURS, "")
    assert held(parse_instant("2026-12-21T12:00:00Z")) == (Reason.MAINTENANCE, "moving")
    assert [window.until(parse_instant("2026-12-06T02:00:00Z")) for window in holds.windows] == [
        None,
        None,
        parse_instant("2026-12-06T04:00:00Z"),
    ]
    assert [window.reason for window in holds.windows] == ["nobody can pick", "", ""]
    cause = match(kind="order_ready", standing="broken")
    assert holds.inhibitions == [Inhibition(cause, match(kind="callback"), ("customer", "site"))]


def test_one_route_that_brings_them_together_is_enough() -> None:
    """The rule speaks for that one."""
    other = "routes:\n  - {name: apart, match: {team: [a]}, targets: [desk], group_by: [kind]}"
    assert parse(FULL.replace("routes:", other), "notifier.yaml").plan.holds.inhibitions


def test_the_built_in_document_holds_nothing_back() -> None:
    """Whoever did not ask for it is told at once."""
    holds = load(BUILT_IN).plan.holds
    assert (list(holds.windows), list(holds.inhibitions), holds.quiet_hours) == ([], [], {})


def test_the_examples_of_the_built_in_document_are_in_order() -> None:
    """Its comments are what people copy."""
    lines = BUILT_IN.read_text(encoding="utf-8").splitlines()
    start = lines.index("#   maintenance:")
    example = [line.removeprefix("#   ") for line in lines[start : lines.index("", start)]]
    routes = "targets: {console: {channel: console}}\nroutes: [{name: a, targets: [console], group_by: [site]}]\n"
    holds = parse(routes + "\n".join(example), "notifier.yaml").plan.holds
    assert (len(holds.windows), len(holds.inhibitions)) == (2, 1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{zone: Europe/Madrid, hours", "{hours", "targets.desk.quiet_hours.zone: is missing"),
        ("{zone: Europe/Madrid, hours", "{zone: Madrid, hours", "targets.desk.quiet_hours.zone: 'Madrid' is no time z"),
        ('hours: {mon-sun: "22:00-07:00"}', "", "targets.desk.quiet_hours.hours: is missing"),
        ('mon-sun: "22:00-07:00"', 'mon-sun: "all"', "targets.desk.quiet_hours.hours.mon-sun: 'all' are no hours"),
        (
            'mon-sun: "22:00-07:00"',
            'mon-sun: "08:00-08:00"',
            "targets.desk.quiet_hours.hours: are all of the week, so that nothing would ever be told; leave some",
        ),
        ("{zone: Europe/Madrid, hours", "{days: all, zone: Europe/Madrid, hours", "targets.desk.quiet_hours.days: is"),
        ("name: backups, ", "", "maintenance[2].name: is missing"),
        (
            "match: {service: [sla]}, ",
            "",
            "maintenance[2].match: matches everything, so that nobody would be told of anything; narrow it",
        ),
        ("service: [sla]", "service: [sla, promises, sources]", "maintenance[2].match: matches everything"),
        ("service: [sla]", "service: []", "maintenance[2].match.service: [] is no list of texts"),
        ("service: [sla]", "colour: [red]", "maintenance[2].match.colour: is no field; write one of customer, kind"),
        ("service: [sla]", "standing: [fine]", "maintenance[2].match.standing: 'fine' is unknown; write at_risk or"),
        (
            "    to: 2026-12-02T06:00\n",
            "",
            "maintenance[0].to: is missing; write for example 2026-12-01T22:00, or weekly hours instead",
        ),
        ("from: 2026-12-01T22:00", "from: soon", "maintenance[0].from: 'soon' is no instant; write 2026-12-01T18:00"),
        (
            "to: 2026-12-02T06:00",
            "to: 2026-12-01T22:00",
            "maintenance[0].to: 2026-12-01T21:00:00Z is not after it begins, 2026-12-01T21:00:00Z; write when it ends",
        ),
        ("to: 2026-12-02T06:00", "to: 2027-01-02", "maintenance[0].to: is more than 30 days after it begins; end it"),
        ("    zone: Europe/Madrid\n", "", "maintenance[0].from: '2026-12-01T22:00' is no instant; write with"),
        ("weekly: {sun:", "from: 2026-12-01, weekly: {sun:", "maintenance[2].weekly: stands beside from or to; write"),
        ('{sun: "02:00-05:00"}', '{mon-sun: "00:00-24:00"}', "maintenance[2].weekly: are all of the week, so that"),
        ("}, zone: Europe/Madrid}", "}}", "maintenance[2].zone: is missing"),
        ("while: {kind: [order_ready], standing: [broken]}", "while: {}", "inhibit[0].while: matches everything"),
        ("quiet: {kind: [callback]}", "quiets: 1", "inhibit[0].quiet: matches everything"),
        (
            "group_by: [site]",
            "group_by: [site, kind]",
            "inhibit[0].quiet: never meets what matches while, as every route groups by kind; leave",
        ),
        ("standing: [broken]}", "reason: [x]}", "inhibit[0].while.reason: is no field; write one of customer, kind"),
        ("[customer, site]", "[reason]", "inhibit[0].equal: 'reason' is unknown; write one of customer, kind"),
        (
            "[customer, site]",
            "[team]",
            "inhibit[0].equal: speaks of team, by which no route groups; drop it, or add it to a group_by",
        ),
        ("standing: [broken]}", "tier: [gold]}", "inhibit[0].while: speaks of tier, by which no route groups; drop it"),
    ],
)  # fmt: skip
def test_a_problem_names_place_value_and_remedy(old: str, new: str, said: str) -> None:
    """One change to a good document, and what its author is told first."""
    assert old in FULL
    with pytest.raises(DocumentError) as problem:
        parse(FULL.replace(old, new), "notifier.yaml")
    told = str(problem.value).splitlines()
    assert [line for line in told if re.fullmatch(rf"notifier\.yaml: line \d+: {re.escape(said)}.*", line)], told
