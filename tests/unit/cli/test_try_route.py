"""`puntual incidents test-route`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli.__main__ import main

DOCUMENT = """
targets:
  desk: {channel: email, settings: {host: h, from: a@b.c, to: [a@b.c], username: u, password: "env:NOT_HERE"}}
  ana: {channel: slack, settings: {token: "env:NOT_HERE", channel: C1}}
  bob: {channel: console}
severity:
  - {match: {standing: [broken], tier: [gold, vip]}, severity: critical}
  - {match: {customer: [c 7]}, severity: info}
schedules:
  nights: {zone: America/New_York, fallback: desk, layers: [{rotation: [bob, ana], every: day, from: 2026-12-07,
    at: "12:00", hours: {mon-sun: "18:00-08:00"}}]}
routes:
  - {name: pager, match: {severity: [critical]}, targets: [ana], group_by: [kind]}
  - {name: shop, match: {kind: [order_ready], team: [workshop]}, targets: [desk, "on-call:nights"],
     group_by: [kind, site], at_risk: true}
  - {name: rest, targets: [bob], group_by: [customer]}
"""
NIGHT, DAY = "2026-12-10T06:00-05:00", "2026-12-10T12:00-05:00"
ORDER = ("--service", "promises", "--kind", "order_ready")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The document. None of its secrets can be had."""
    file = tmp_path / "notifier.yaml"
    file.write_text(DOCUMENT)
    return file


def run(file: Path, *arguments: str) -> Result:
    """Ask about an order unless told otherwise; of what is given twice the last counts."""
    return CliRunner().invoke(main, ["incidents", "test-route", "--config", str(file), *ORDER, *arguments])


def test_it_says_which_rules_decide_and_why(file: Path) -> None:
    """The severity, the route, the incident and whom it tells; and that its risk would have told nobody."""
    result = run(file, "--standing", "broken", "--tier", "gold", "--site", "Torino", "--team", "workshop")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "severity  critical, by rule 1: standing is broken and tier is gold",
        "route     1, pager: severity is critical",
        "incident  pager/kind=order_ready",
        "told      ana by slack",
        "a risk    is told by route 2, shop",
    ]


def test_it_says_why_no_earlier_rule_matches_and_who_is_on_call(file: Path) -> None:
    """Label by label; and until when that person is."""
    result = run(file, "--standing", "broken", "--site", "Torino", "--team", "workshop", "--at", NIGHT)
    assert result.stdout.splitlines() == [
        "severity  warning, as no rule matches",
        "          not rule 1: tier is not given, not gold or vip",
        "          not rule 2: customer is not given, not c 7",
        "route     2, shop: kind is order_ready and team is workshop",
        "          not route 1, pager: severity is warning, not critical",
        "incident  shop/kind=order_ready,site=Torino",
        "told      desk by email",
        "          bob by console, on call by nights until 2026-12-10T13:00:00Z",
        "a risk    is told by route 2, shop",
    ]
    hole = run(file, "--standing", "broken", "--team", "workshop", "--at", DAY).stdout
    assert "          desk by email, as nobody is on call by nights until 2026-12-10T23:00:00Z\n" in hole


def test_a_risk_that_is_told_to_nobody_is_said_to_be(file: Path) -> None:
    """With what would change that; also where a breach is asked about."""
    silent = "route 3, rest, has no at_risk: true"
    at_risk = run(file, "--standing", "at_risk", "--customer", "c 7").stdout.splitlines()
    assert at_risk[0] == "severity  info, by rule 2: customer is c 7"
    assert at_risk[-2:] == ["incident  rest/customer=c%207", f"told      nobody: {silent}"]
    broken = run(file, "--standing", "broken", "--customer", "c-8").stdout.splitlines()
    assert broken[-2:] == ["told      bob by console", f"a risk    is not told: {silent}"]


def test_machines_are_told_the_same(file: Path) -> None:
    """Rules by their numbers, conditions with what they ask for."""
    result = run(file, "--standing", "at_risk", "--team", "workshop", "--at", NIGHT, "--json")
    assert json.loads(result.stdout) == {
        "severity": "warning",
        "severity_rule": None,
        "severity_met": [],
        "severity_misses": [
            {
                "number": 1,
                "unmet": [
                    {"label": "standing", "value": "at_risk", "accepted": ["broken"]},
                    {"label": "tier", "value": "", "accepted": ["gold", "vip"]},
                ],
            },
            {"number": 2, "unmet": [{"label": "customer", "value": "", "accepted": ["c 7"]}]},
        ],
        "route": "shop",
        "route_number": 2,
        "route_met": [
            {"label": "kind", "value": "order_ready", "accepted": ["order_ready"]},
            {"label": "team", "value": "workshop", "accepted": ["workshop"]},
        ],
        "route_misses": [
            {
                "number": 1,
                "name": "pager",
                "unmet": [{"label": "severity", "value": "warning", "accepted": ["critical"]}],
            }
        ],
        "incident": "shop/kind=order_ready",
        "told": [
            {"target": "desk", "channel": "email", "person": None, "on_call": None, "until": None},
            {
                "target": "bob",
                "channel": "console",
                "person": None,
                "on_call": "nights",
                "until": "2026-12-10T13:00:00Z",
            },
        ],
        "tells_risk": True,
    }


def test_a_person_is_reached_by_the_targets_that_are_called_for_the_severity(file: Path) -> None:
    """Named on the route, or on call."""
    people = "people: {eve: {contact: [{severity: [critical], targets: [ana, desk]}, {targets: [desk]}]}}\n"
    document = DOCUMENT.replace("severity:", f"{people}severity:", 1).replace("targets: [ana]", "targets: [eve]")
    file.write_text(document.replace("rotation: [bob, ana]", "rotation: [eve]"))
    critical = run(file, "--standing", "broken", "--tier", "gold").stdout.splitlines()
    assert critical[3:5] == [
        "told      ana by slack, eve's for critical",
        "          desk by email, eve's for critical",
    ]
    warning = run(file, "--standing", "broken", "--team", "workshop", "--at", NIGHT).stdout
    assert "          desk by email, eve's for warning, on call by nights until 2026-12-10T13:00:00Z\n" in warning
    told = json.loads(run(file, "--standing", "broken", "--tier", "gold", "--json").stdout)["told"]
    assert [row["person"] for row in told] == ["eve", "eve"]


def test_the_built_in_rules_are_tried_where_no_file_is_named() -> None:
    """Now, whenever that is."""
    result = CliRunner().invoke(main, ["incidents", "test-route", *ORDER, "--standing", "broken"])
    assert "severity  critical, by rule 3: service is promises\n" in result.stdout
    assert "route     1, everything: it matches everything\n" in result.stdout


def test_what_is_asked_or_written_wrongly_is_answered_with_what_is_right(file: Path) -> None:
    """A kind that is none, and every mistake of the file with its line."""
    result = run(file, "--standing", "broken", "--kind", "first_reply")
    assert result.exit_code == 2
    assert "promises has no kind 'first_reply'; write one of order_ready, order_delivered, callback" in result.stderr
    file.write_text(DOCUMENT.replace("slack", "slick").replace("targets: [bob]", "targets: [eve]"))
    result = run(file, "--standing", "broken")
    assert result.exit_code == 1
    assert f"{file}: line 4: targets.ana.channel: 'slick' is unknown; write one of alertmanager" in result.stderr
    assert "routes[2].targets: 'eve' is unknown; write one of ana, bob, desk, on-call:nights" in result.stderr
    file.write_text(DOCUMENT.replace("fallback: desk", "fallback: eve"))
    result = run(file, "--standing", "broken")
    assert "schedules.nights.fallback: 'eve' is unknown; write one of ana, bob, desk" in result.stderr
