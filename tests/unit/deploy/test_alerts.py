"""Every alert is tested, explained, and speaks of what exists."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from click.testing import CliRunner

from services.cli.__main__ import main
from services.shared.metrics import GIVEN, METRICS, Vocabulary
from tests.deployed import DEPLOY, VOCABULARIES, alerts, dashboard_queries, rule_queries, rules, selectors

ALERTS = pytest.mark.parametrize("alert", [pytest.param(alert, id=alert["alert"]) for alert in alerts()])
QUERIES = pytest.mark.parametrize(
    "expr", [pytest.param(query.expr, id=query.where) for query in (*dashboard_queries(), *rule_queries())]
)

#: What Prometheus and its client library add.
ELSEWHERE = {"up": {"job"}, "process_cpu_seconds_total": set[str](), "process_resident_memory_bytes": set[str]()}
ADDED = {"job", "instance", "le"}


def cases() -> list[dict[str, Any]]:
    files = sorted((DEPLOY / "prometheus" / "tests").glob("*.yaml"))
    return [
        case for file in files for test in yaml.safe_load(file.read_text())["tests"] for case in test["alert_rule_test"]
    ]


@ALERTS
def test_every_alert_is_seen_to_fire(alert: dict[str, Any]) -> None:
    """There is a promtool case in which it does."""
    assert [case for case in cases() if case["alertname"] == alert["alert"] and case.get("exp_alerts")]


@ALERTS
def test_every_alert_is_seen_to_stay_silent(alert: dict[str, Any]) -> None:
    """There is a promtool case in which it does not fire; only the watchdog always does."""
    silent = [case for case in cases() if case["alertname"] == alert["alert"] and not case.get("exp_alerts")]
    assert silent or alert["alert"] == "PuntualWatchdog"


@ALERTS
def test_every_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    """A summary for people, a severity for the route, and a chapter in the runbook that exists."""
    assert alert["annotations"]["summary"].endswith(".")
    assert alert["labels"]["severity"] in {"critical", "warning", "none"}
    path, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^### (\w+)$", (DEPLOY.parent / path).read_text(), re.MULTILINE)
    assert anchor == alert["alert"].lower()
    assert alert["alert"] in headings


def test_the_runbook_speaks_of_no_alert_that_is_gone() -> None:
    """Chapters and alerts are the same."""
    headings = re.findall(r"^### (\w+)$", (DEPLOY / "runbook.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(alert["alert"] for alert in alerts())


@pytest.mark.parametrize("line", sorted(set(re.findall(r"`puntual ([^`]+)`", (DEPLOY / "runbook.md").read_text()))))
def test_the_commands_of_the_runbook_can_be_given(line: str) -> None:
    """The command line knows each, and its options: whoever is woken at night copies them."""
    assert CliRunner().invoke(main, [*line.split(), "--help"]).exit_code == 0
    assert CliRunner().invoke(main, [*line.split(), "--wrong", "--help"]).exit_code == 2


def test_alerts_about_puntual_never_go_through_puntual() -> None:
    """Prometheus tells Alertmanager alone, and no receiver there leads to a service of ours: that may be broken."""
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    receivers = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())["receivers"]
    ours = {host(address) for address in texts(prometheus["scrape_configs"]) if ":" in address}
    assert ours == VOCABULARIES.keys()
    assert {host(address) for address in texts(prometheus["alerting"])} == {"alertmanager"}
    assert not {host(address) for address in texts(receivers)} & ours


def texts(value: Any) -> list[str]:
    """Every text anywhere in a document."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] if isinstance(value, str) else [text for part in parts for text in texts(part)]


def host(address: str) -> str:
    """Of a web address, or of host:port."""
    return urlsplit(address if "//" in address else f"//{address}").hostname or ""


def test_recorded_series_are_named_as_prometheus_advises() -> None:
    """level:metric:operations."""
    for rule in rules():
        if "record" in rule:
            assert re.fullmatch(r"[a-z]+:[a-z_]+:[a-z]+_[a-z0-9]+(_[a-z0-9]+)*", rule["record"])


@QUERIES
def test_every_metric_asked_for_exists_with_its_labels_and_their_values(expr: str) -> None:
    """A name, a label or a value that no service exports would be an alert that never fires, a panel always empty."""
    for selector in selectors(expr):
        if selector.metric in ELSEWHERE:
            assert set(selector.labels) <= ELSEWHERE[selector.metric] | ADDED
            continue
        name = re.sub(r"_(bucket|count|sum)$", "", selector.metric)
        spec = METRICS[name]
        assert (name == selector.metric) != bool(spec.buckets), selector.metric
        assert set(selector.labels) <= set(spec.labels) | ADDED, selector
        for label in set(selector.labels) - ADDED:
            closed = spec.labels[label]
            known = given(name, label) if closed is GIVEN else set(closed)
            assert not known or set(selector.labels[label]) <= known, selector


def given(metric: str, label: str) -> set[str]:
    """The values that the service whose metric it is gives to a label; empty where it cannot be known here."""
    for words in VOCABULARIES.values():
        if f"puntual_{words.noun}" in metric:
            return set(_words(words).get(label, ()))
    return set()


def _words(words: Vocabulary) -> dict[str, tuple[str, ...]]:
    return {"kind": words.kinds, "state": words.states, "transition": words.transitions}
