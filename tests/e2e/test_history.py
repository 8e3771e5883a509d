"""Real histories through Kafka and the running promises service: the records that `judge` computes, byte for byte."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from services.cli.__main__ import main
from services.shared.topics import provision
from tests.processes import ServiceProcess

MAPPINGS = Path(__file__).parents[1] / "examples" / "mappings"
BOSTON = ("boston311", "boston311_2015.csv.gz", "2016-01-13T00:00:00-05:00")
OLIST = ("olist_orders.csv.gz", "2018-10-17T17:30:18-03:00")
DISTURBED = ("--shuffle", "5", "--repeat", "0.333334")


def run(command: str, data: Path, history: tuple[str, str, str], *options: str) -> Any:
    """The JSON that a command prints about a history."""
    mapping, file, as_of = history
    arguments = [str(data / file), "--mapping", str(MAPPINGS / f"{mapping}.yaml"), "--as-of", as_of, "--json"]
    result = CliRunner().invoke(main, [command, *arguments, *options])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broker", "history", "disturbance"),
    [
        pytest.param("real_kafka", BOSTON, DISTURBED, id="boston311, shuffled and repeated"),
        pytest.param("embedded_kafka", ("olist_instant", *OLIST), (), id="olist_instant"),
        pytest.param("real_kafka", ("olist_day", *OLIST), (), id="olist_day"),
    ],
)
def test_a_history_gives_the_same_records_through_kafka(
    request: pytest.FixtureRequest,
    prefix: str,
    data: Path,
    broker: str,
    history: tuple[str, str, str],
    disturbance: tuple[str, ...],
) -> None:
    """In the order of events, or shuffled with one event in three repeated."""
    kafka = str(request.getfixturevalue(broker))
    provision(kafka, prefix)
    with ServiceProcess("promises", kafka, prefix, clock="event", instance="only"):
        there = ("--kafka", kafka, "--prefix", prefix)
        found = run("replay", data, history, "--wait", "--timeout", "300", *there, *disturbance)
    expected = run("judge", data, history)
    assert found["promises"] == expected["promises"]
    assert found["fingerprint"] == expected["fingerprint"]
