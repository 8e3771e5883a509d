"""What `deploy/` holds for Prometheus and Grafana, read for tests."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from puntual.notifier.v1.incident_pb2 import IncidentState, IncidentTransition
from puntual.promises.v1.promise_pb2 import PromiseKind, PromiseState, PromiseTransition
from puntual.sla.v1.clock_pb2 import ClockState, ClockTransition, Metric
from services.shared.metrics import Vocabulary
from services.shared.records import words

DEPLOY = Path(__file__).parent.parent / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yaml"))

#: Service → the words it counts its records under.
VOCABULARIES: Mapping[str, Vocabulary] = {
    "promises": Vocabulary(
        "promise",
        tuple(words(PromiseKind.DESCRIPTOR)),
        tuple(words(PromiseState.DESCRIPTOR)),
        tuple(words(PromiseTransition.DESCRIPTOR)),
    ),
    "sla": Vocabulary(
        "clock",
        tuple(words(Metric.DESCRIPTOR)),
        tuple(words(ClockState.DESCRIPTOR)),
        tuple(words(ClockTransition.DESCRIPTOR)),
    ),
    "notifier": Vocabulary(
        "incident",
        ("critical", "warning", "info"),
        tuple(words(IncidentState.DESCRIPTOR)),
        tuple(words(IncidentTransition.DESCRIPTOR)),
    ),
}


class Query(NamedTuple):
    """One expression and where it stands."""

    where: str
    expr: str


class Selector(NamedTuple):
    """A metric in an expression, and the values its matchers ask for by label."""

    metric: str
    labels: Mapping[str, tuple[str, ...]]


def dashboard(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def panels(path: Path) -> Iterator[dict[str, Any]]:
    """All panels but rows."""
    for panel in dashboard(path)["panels"]:
        if panel["type"] != "row":
            yield panel


def dashboard_queries() -> list[Query]:
    """Every query of every panel, as it is written."""
    return [
        Query(f"{path.stem}: {panel['title']} {target['refId']}", target["expr"])
        for path in DASHBOARDS
        for panel in panels(path)
        for target in panel["targets"]
    ]


def rules() -> list[dict[str, Any]]:
    """Every rule of every group, recording and alerting."""
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def rule_queries() -> list[Query]:
    return [Query(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]


_SELECTOR = re.compile(r"(?<![\w:\"$])((?:puntual|grpc|process)_\w+|up)(?:\{((?:[^}\"]|\"[^\"]*\")*)\})?(?![\w(:])")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"([^\"]*)\"")


def selectors(expr: str) -> list[Selector]:
    """The metrics an expression reads, except those recorded by rules."""
    without_lists = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", "", expr)
    return [
        Selector(name, {label: tuple(value.split("|")) for label, value in _MATCHER.findall(matchers)})
        for name, matchers in _SELECTOR.findall(without_lists)
    ]
