"""The rules of Grafana's dashboard-linter, and ours."""

from pathlib import Path
from typing import Any

import pytest

from tests.deployed import DASHBOARDS, dashboard, dashboard_queries, panels, selectors

PATHS = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
QUERIES = pytest.mark.parametrize("expr", [pytest.param(query.expr, id=query.where) for query in dashboard_queries()])


def variables(path: Path) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in dashboard(path)["templating"]["list"]}


@PATHS
def test_a_dashboard_is_changed_here_and_not_in_grafana(path: Path) -> None:
    """Not editable, with a fixed id, so that links and provisioning keep working."""
    content = dashboard(path)
    assert content["editable"] is False
    assert content["uid"]
    assert content["title"]
    assert "id" not in content


@PATHS
def test_a_dashboard_works_with_any_prometheus(path: Path) -> None:
    """The data source is a variable, and every panel and query goes through it."""
    source = variables(path)["datasource"]
    assert (source["type"], source["query"], source["label"]) == ("datasource", "prometheus", "Data source")
    through = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(path):
        assert panel["datasource"] == through, panel["title"]
        assert all(target["datasource"] == through for target in panel["targets"]), panel["title"]


@PATHS
@pytest.mark.parametrize(("name", "label"), [("job", "Job"), ("instance", "Instance")])
def test_a_dashboard_can_be_narrowed_down(path: Path, name: str, label: str) -> None:
    """To jobs and instances, several at a time or all."""
    variable = variables(path)[name]
    assert (variable["label"], variable["type"], variable["multi"]) == (label, "query", True)
    assert (variable["includeAll"], variable["allValue"]) == (True, ".+")
    assert variable["datasource"]["uid"] == "${datasource}"


@PATHS
def test_every_panel_says_what_it_shows(path: Path) -> None:
    """A title of its own, a description in a sentence, a unit, and something to show."""
    titles = [panel["title"] for panel in panels(path)]
    assert len(titles) == len(set(titles))
    for panel in panels(path):
        assert panel["title"], panel
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]


@PATHS
def test_panels_have_their_own_place(path: Path) -> None:
    """Inside the 24 columns, none over another, ids unique."""
    taken: set[tuple[int, int]] = set()
    everything = dashboard(path)["panels"]
    for panel in everything:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in everything}) == len(everything)


@QUERIES
def test_every_query_can_be_narrowed_down(expr: str) -> None:
    """Each metric is asked for the chosen jobs and instances."""
    assert selectors(expr)
    for selector in selectors(expr):
        assert selector.labels.get("job") == ("$job",), selector.metric
        assert selector.labels.get("instance") == ("$instance",), selector.metric


@QUERIES
def test_rates_fit_the_scrape_interval_and_counters_have_one(expr: str) -> None:
    """$__rate_interval in every range; a counter is never shown raw."""
    assert expr.count("[") == expr.count("[$__rate_interval]")
    for selector in selectors(expr):
        if selector.metric.endswith(("_total", "_bucket", "_count", "_sum")):
            assert f"rate({selector.metric}" in expr or f"increase({selector.metric}" in expr


def test_a_selector_is_read_with_its_matchers() -> None:
    """The reader these tests rely on sees metrics, not functions, labels or recorded rules."""
    found = selectors(
        'sum by (puntual_x) (rate(puntual_a_total{job=~"$job", le=~"10(\\\\.0)?"}[5m])) / up and x:puntual_b:y'
    )
    assert [selector.metric for selector in found] == ["puntual_a_total", "up"]
    assert found[0].labels["job"] == ("$job",)
