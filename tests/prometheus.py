"""A real Prometheus for tests: scrapes what it is told to, on 127.0.0.1, and is gone at the end."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from services.shared.broker import HOST, free_port, running
from tests.processes import eventually

SCRAPE_INTERVAL = "500ms"
#: Stands for $__rate_interval, which Grafana makes at least four scrapes long.
RATE_INTERVAL = "4s"


class BadQuery(Exception):
    """Prometheus refused an expression."""


class Prometheus:
    """A running server."""

    def __init__(self, address: str) -> None:
        self._address = address

    def query(self, expr: str, rate_interval: str = RATE_INTERVAL) -> list[dict[str, Any]]:
        """The result of an expression now, with Grafana's variables as if everything was chosen. Raises BadQuery."""
        for variable, value in (("$__rate_interval", rate_interval), ("$job", ".+"), ("$instance", ".+")):
            expr = expr.replace(variable, value)
        answer = self._get("query", {"query": expr})
        result = answer["result"] if answer["resultType"] != "scalar" else [{"value": answer["result"]}]
        return [sample for sample in result if sample["value"][1] != "NaN"]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule it evaluates, with its health and last error."""
        return [rule for group in self._get("rules", {})["groups"] for rule in group["rules"]]

    def is_ready(self) -> bool:
        """Whether it answers queries yet."""
        try:
            return bool(self.query("1"))
        except ValueError:  # it says so in plain text, not in JSON
            return False

    def _get(self, what: str, parameters: Mapping[str, str]) -> Any:
        try:
            with urlopen(f"{self._address}/api/v1/{what}?{urlencode(parameters)}", timeout=5) as answer:  # noqa: S310 - own server
                return json.load(answer)["data"]
        except HTTPError as error:
            with error:
                raise BadQuery(json.load(error)["error"]) from error


@contextlib.contextmanager
def prometheus(targets: Mapping[str, int], rules: Path, interval: str = SCRAPE_INTERVAL) -> Iterator[Prometheus]:
    """Run a server that scrapes jobs at ports of this machine and evaluates the rules in a directory.

    `interval`: between two scrapes, and how long one may take.
    """
    with tempfile.TemporaryDirectory(prefix="puntual-prometheus-") as directory:
        config = Path(directory) / "prometheus.yml"
        jobs = [{"job_name": job, "static_configs": [{"targets": [f"{HOST}:{port}"]}]} for job, port in targets.items()]
        pace = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": "1s"}
        config.write_text(yaml.safe_dump({"global": pace, "rule_files": [f"{rules}/*.yaml"], "scrape_configs": jobs}))
        port = free_port()
        command = [
            *(str(shutil.which("prometheus")), f"--config.file={config}", f"--storage.tsdb.path={directory}/data"),
            *(f"--web.listen-address={HOST}:{port}", "--log.level=warn"),
        ]
        with running(command, port=port, log=Path(directory) / "prometheus.log", patience=20):
            server = Prometheus(f"http://{HOST}:{port}")
            eventually(server.is_ready, 20)
            yield server
