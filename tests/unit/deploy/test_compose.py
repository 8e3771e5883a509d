"""What can be said of the compose file and the image without a container engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.notifier.config import load
from services.notifier.settings import NotifierSettings
from services.promises.settings import PromiseSettings
from services.shared.settings import Settings, read
from services.sla.settings import SlaSettings
from tests.deployed import DASHBOARDS, DEPLOY, dashboard

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, type[Settings]] = {"promises": PromiseSettings, "sla": SlaSettings, "notifier": NotifierSettings}
OURS = pytest.mark.parametrize("name", SERVICES)


def container(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


def settings(name: str) -> Settings:
    """What the service makes of its environment; its file stands where the container finds it."""
    environment = {variable: str(value) for variable, value in container(name)["environment"].items()}
    if "PUNTUAL_NOTIFIER" in environment:
        environment["PUNTUAL_NOTIFIER"] = str(DEPLOY / "notifier.yaml")
    return read(SERVICES[name], environment)


@OURS
def test_a_service_is_started_by_its_command_with_settings_it_accepts(name: str) -> None:
    """And every variable that is set is one it reads."""
    assert container(name)["command"] == ["python", "-m", f"services.{name}"]
    fields = {f"PUNTUAL_{field.upper()}" for field in SERVICES[name].__dataclass_fields__}
    assert set(container(name)["environment"]) <= fields
    assert settings(name).kafka == "kafka:19092"


@OURS
def test_prometheus_scrapes_a_service_where_it_listens(name: str) -> None:
    """Job, host and port of the scrape are those of the service, and so is its health check."""
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs}
    address = f"{settings(name).host}:{settings(name).metrics_port}"
    assert targets[name] == [address]
    assert f"http://{address}/livez" in container(name)["healthcheck"]["test"][-1]
    assert settings(name).host == name


@OURS
def test_callers_find_a_service_where_it_says(name: str) -> None:
    """What its peers tell callers of it is a name in this network, and the port it listens on."""
    port = settings(name).grpc_port
    assert settings(name).advertise == f"{name}:{port}"
    assert f"127.0.0.1:{port}:{port}" in container(name)["ports"]


def test_the_page_behind_a_link_is_where_its_setting_says() -> None:
    """Published, though nothing listens there without `answers` in the notifier's file."""
    port = NotifierSettings().answers_port
    assert f"127.0.0.1:{port}:{port}" in container("notifier")["ports"]


@OURS
def test_a_service_gets_time_to_drain_and_no_rights(name: str) -> None:
    """Its file system is read-only, it has no capabilities, and it waits for its topics."""
    service = container(name)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert int(service["stop_grace_period"].removesuffix("s")) >= 50
    assert service["depends_on"]["topics"]["condition"] == "service_completed_successfully"


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_nothing_can_be_reached_from_outside_the_machine(name: str) -> None:
    """Every published port is bound to the loopback address, because nothing has a password."""
    for port in container(name).get("ports", []):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_images_are_of_a_version(name: str) -> None:
    """Tomorrow's `up` starts what today's did."""
    image = container(name)["image"]
    assert image == "puntual" or re.search(r":v?\d+\.\d+(\.\d+)?$", image)


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_what_is_mounted_exists(name: str) -> None:
    """A misspelt path would be mounted as an empty directory."""
    for volume in container(name).get("volumes", []):
        source = volume.partition(":")[0]
        assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_notifiers_file_is_accepted() -> None:
    """By the notifier itself."""
    assert load(DEPLOY / "notifier.yaml").routing.routes


def test_grafana_finds_the_data_source_and_the_dashboards() -> None:
    """Where the files are mounted is where Grafana is told to look."""
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert [(source["type"], source["url"]) for source in sources] == [("prometheus", "http://prometheus:9090")]
    providers = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/puntual.yaml").read_text())["providers"]
    mounts = dict(volume.split(":")[:2] for volume in container("grafana")["volumes"])
    assert [provider["options"]["path"] for provider in providers] == [mounts["./grafana/dashboards"]]
    home = Path(container("grafana")["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.name in {path.name for path in DASHBOARDS}
    assert len({dashboard(path)["uid"] for path in DASHBOARDS}) == len(DASHBOARDS)


def test_the_image_is_small_pinned_and_without_root() -> None:
    """Two stages, dependencies by their hashes, and a user that owns nothing."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("FROM")] == ["python:3.11-slim-bookworm"] * 2
    assert any("--require-hashes" in line and "requirements.lock" in line for line in lines)
    assert lines.index("USER 10001:10001") > max(lines.index(line) for line in lines if line.startswith("COPY"))
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored
    root = DEPLOY.parent
    assert all((root / line[1:]).exists() for line in ignored if line.startswith("!"))
