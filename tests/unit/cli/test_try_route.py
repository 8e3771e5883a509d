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
    """Rules by their numbers, conditions with what they ask for, and what is not there, too."""
    result = run(file, "--standing", "at_risk", "--team", "workshop", "--at", NIGHT, "--json")
    on_call = {"target": "bob", "channel": "console", "schedule": "nights", "onCallUntil": "2026-12-10T13:00:00Z"}
    assert json.loads(result.stdout) == {
        "at": "2026-12-10T11:00:00Z",
        "severity": "SEVERITY_WARNING",
        "severityRule": 0,
        "severityMet": [],
        "severityMisses": [
            {
                "number": 1,
                "name": "",
                "unmet": [
                    {"label": "standing", "value": "at_risk", "accepted": ["broken"]},
                    {"label": "tier", "value": "", "accepted": ["gold", "vip"]},
                ],
            },
            {"number": 2, "name": "", "unmet": [{"label": "customer", "value": "", "accepted": ["c 7"]}]},
        ],
        "routes": [
            {
                "number": 2,
                "name": "shop",
                "met": [
                    {"label": "kind", "value": "order_ready", "accepted": ["order_ready"]},
                    {"label": "team", "value": "workshop", "accepted": ["workshop"]},
                ],
                "continues": False,
                "incidentId": "shop/kind=order_ready",
                "told": [
                    {
                        "target": "desk",
                        "channel": "email",
                        "schedule": "",
                        "isFallback": False,
                        "person": "",
                        "fallbacks": [],
                    },
                    {**on_call, "isFallback": False, "person": "", "fallbacks": []},
                ],
                "steps": [],
                "held": [],
                "inhibitions": [],
            }
        ],
        "routeMisses": [
            {
                "number": 1,
                "name": "pager",
                "unmet": [{"label": "severity", "value": "warning", "accepted": ["critical"]}],
            }
        ],
        "riskToldBy": ["shop"],
    }


WHOLE = """
targets:
  desk: {channel: email, settings: {host: h, from: a@b.c, to: [a@b.c], username: u, password: "env:NOT_HERE"},
    quiet_hours: {zone: UTC, hours: {mon-sun: "22:00-07:00"}}}
  ana: {channel: slack, settings: {token: "env:NOT_HERE", channel: C1}}
  bob: {channel: console}
severity: [{match: {tier: [gold]}, severity: critical}]
schedules:
  nights: {zone: UTC, fallback: desk, layers: [{rotation: [ana, bob], every: day, from: 2026-12-07, at: "07:00",
    hours: {mon-sun: "20:00-07:00"}}]}
escalations:
  up: {steps: [{after: 10min, targets: ["on-call:nights"]}, {after: 8h, targets: [desk, bob]}],
    repeat: {after: 1h, times: 4}, fallback: {after: 5min, targets: [bob]}}
routes:
  - {name: log, match: {service: [promises]}, targets: [bob], continue: true}
  - {name: torino, match: {site: [Torino]}, targets: [bob], continue: true}
  - {name: shop, targets: [desk], group_by: [site], escalation: up, at_risk: true}
maintenance:
  - {name: backups, match: {site: [Madrid]}, weekly: {mon-sun: "23:00-02:00"}, zone: UTC}
  - {name: moving, match: {site: [Madrid]}, from: 2026-12-10T00:00, to: 2026-12-12T00:00, zone: UTC}
  - {name: paint, match: {site: [Torino]}, from: 2026-12-10T00:00, to: 2026-12-12T00:00, zone: UTC}
inhibit:
  - {while: {kind: [order_ready], standing: [broken]}, quiet: {kind: [callback]}, equal: [customer]}
  - {while: {kind: [appointment, order_delivered]}, quiet: {kind: [order_ready]}, equal: [customer, site]}
  - {while: {kind: [appointment], site: [Torino]}, quiet: {kind: [order_ready]}}
  - {while: {service: [sla]}, quiet: {kind: [order_ready]}}
"""
LATE = ("--site", "Madrid", "--customer", "c-7", "--at", "2026-12-10T23:30+00:00")


def test_it_says_what_comes_of_it_on_each_route(file: Path) -> None:
    """Where it goes on to, who is told later and whom the schedule names then, and what holds it back."""
    file.write_text(WHOLE)
    result = run(file, "--standing", "broken", *LATE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "severity  warning, as no rule matches",
        "          not rule 1: tier is not given, not gold",
        "route     1, log: service is promises; continue",
        "incident  log",
        "told      bob by console",
        "held      by the maintenance backups until 2026-12-11T02:00:00Z",
        "          by the maintenance moving until 2026-12-12T00:00:00Z",
        "waits     while kind is appointment or order_delivered, with the same customer and site (inhibit 2)",
        "          while kind is appointment and site is Torino (inhibit 3)",
        "route     3, shop: it matches everything",
        "          not route 2, torino: site is Madrid, not Torino",
        "incident  shop/site=Madrid",
        "told      desk by email, once its quiet hours end, 2026-12-11T07:00:00Z",
        "after     10 min: bob by console, on call by nights until 2026-12-11T07:00:00Z",
        "          8 h 10 min: desk by email",
        "          8 h 10 min: bob by console",
        "          9 h 10 min: desk by email",
        "          9 h 20 min: desk by email, as nobody is on call by nights until 2026-12-11T20:00:00Z",
        "          17 h 20 min: desk by email",
        "          17 h 20 min: bob by console",
        "          18 h 20 min: desk by email",
        "          18 h 30 min: desk by email, as nobody is on call by nights until 2026-12-11T20:00:00Z",
        "          1 d 2 h: desk by email, once its quiet hours end, 2026-12-12T07:00:00Z",
        "          1 d 2 h: bob by console",
        "          1 d 3 h: desk by email, once its quiet hours end, 2026-12-12T07:00:00Z",
        "          1 d 3 h: ana by slack, on call by nights until 2026-12-12T07:00:00Z",
        "          and 5 more steps, the last after 1 d 20 h",
        "held      by the maintenance backups until 2026-12-11T02:00:00Z",
        "          by the maintenance moving until 2026-12-12T00:00:00Z",
        "waits     while kind is appointment or order_delivered, with the same customer and site (inhibit 2)",
        "          while service is sla (inhibit 4)",
        "a risk    is told by route 3, shop",
    ]


def test_machines_are_told_all_of_it(file: Path) -> None:
    """Each step, by when and after how long; each hold and each rule by which other trouble would be one."""
    file.write_text(WHOLE)
    log, shop = json.loads(run(file, "--standing", "broken", *LATE, "--json").stdout)["routes"]
    assert (log["continues"], shop["continues"]) == (True, False)
    assert len(shop["steps"]) == 15
    assert (shop["steps"][0]["after"], shop["steps"][0]["at"]) == ("600s", "2026-12-10T23:40:00Z")
    assert shop["told"][0]["quietUntil"] == "2026-12-11T07:00:00Z"
    assert [(each["reason"], each["by"]) for each in shop["held"]] == [
        ("maintenance", "backups"),
        ("maintenance", "moving"),
    ]
    assert [each["number"] for each in log["inhibitions"]] == [2, 3]
    assert [each["number"] for each in shop["inhibitions"]] == [2, 4]


def test_what_is_critical_passes_quiet_hours_and_a_risk_has_no_steps(file: Path) -> None:
    """As the notifier has it."""
    file.write_text(WHOLE)
    critical = run(file, "--standing", "broken", *LATE, "--tier", "gold").stdout
    assert "told      desk by email\n" in critical
    assert "after  " in critical
    assert "after  " not in run(file, "--standing", "at_risk", *LATE).stdout


def test_a_person_is_reached_by_the_targets_that_are_called_for_the_severity(file: Path) -> None:
    """Named on the route, or on call."""
    people = "people: {eve: {contact: [{severity: [critical], targets: [ana, desk]}, {targets: [desk]}]}}\n"
    document = DOCUMENT.replace("severity:", f"{people}severity:", 1).replace("targets: [ana]", "targets: [eve]")
    file.write_text(document.replace("rotation: [bob, ana]", "rotation: [eve]"))
    critical = run(file, "--standing", "broken", "--tier", "gold").stdout.splitlines()
    assert critical[3:5] == [
        "told      ana by slack, eve's",
        "          desk by email, eve's",
    ]
    warning = run(file, "--standing", "broken", "--team", "workshop", "--at", NIGHT).stdout
    assert "          desk by email, eve's, on call by nights until 2026-12-10T13:00:00Z\n" in warning
    (route,) = json.loads(run(file, "--standing", "broken", "--tier", "gold", "--json").stdout)["routes"]
    told = route["told"]
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


def test_how_late_it_is_can_decide(file: Path) -> None:
    """And what is missing where it is not late enough; a risk is never late."""
    late = "severity:\n  - {match: {kind: [order_ready]}, late: 4h, severity: critical}"
    file.write_text(DOCUMENT.replace("severity:", late, 1))
    said = run(file, "--standing", "broken", "--late", "5h").stdout.splitlines()
    assert said[:2] == [
        "severity  critical, by rule 1: kind is order_ready and late is at least 4 h 00 min",
        "route     1, pager: severity is critical",
    ]
    said = run(file, "--standing", "broken", "--late", "90min", "--customer", "c 7").stdout.splitlines()
    assert said[:3] == [
        "severity  info, by rule 3: customer is c 7",
        "          not rule 1: late is 1 h 30 min, not at least 4 h 00 min",
        "          not rule 2: tier is not given, not gold or vip",
    ]
    said = run(file, "--standing", "broken").stdout.splitlines()
    assert said[1] == "          not rule 1: late is 0 s, not at least 4 h 00 min"
    refused = run(file, "--standing", "at_risk", "--late", "5h")
    assert (refused.exit_code, "only what is broken is late; ask of what is broken" in refused.stderr) == (2, True)


def test_it_can_be_asked_of_what_is_repeated(file: Path) -> None:
    """And says so where a rule asks for it."""
    file.write_text(
        DOCUMENT.replace("{standing: [broken], tier: [gold, vip]}", "{repeated: [yes]}")
        + "repeated: {breaches: 3, within: 30d}"
    )
    again, once = (run(file, "--standing", "broken", *flag).stdout for flag in (["--repeated"], []))
    assert "severity  critical, by rule 1: repeated is yes\n" in again
    assert "not rule 1: repeated is no, not yes\n" in once


def test_who_is_told_instead_of_whom_cannot_be_reached_is_named(file: Path) -> None:
    """One after the other; in the end it is the console."""
    chained = DOCUMENT.replace("  ana: {", "  ana: {fallback: bob, ", 1).replace(
        "  bob: {", "  bob: {fallback: desk, ", 1
    )
    file.write_text(chained)
    said = run(file, "--standing", "broken", "--tier", "gold").stdout
    assert "told      ana by slack, else bob, then desk\n" in said
