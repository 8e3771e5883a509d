"""Settings from environment variables."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from services.shared.settings import Address, ClockKind, InvalidSettings, LogFormat, Settings, read


@dataclass(frozen=True, slots=True, kw_only=True)
class WithRules(Settings):
    """As a service would have it."""

    metrics_port: int = 9101
    rules: Path | None = None


def test_nothing_set_means_the_defaults() -> None:
    """A fresh machine needs no variable, and a service's default wins over the common one."""
    assert read(WithRules, {}) == WithRules()
    assert read(WithRules, {}).metrics_port == 9101


def test_an_empty_variable_counts_as_unset() -> None:
    """Compose files pass empty variables on."""
    assert read(Settings, {"PUNTUAL_INSTANCE": " ", "PUNTUAL_PARTITIONS": ""}) == Settings()


def test_every_type_is_read(tmp_path: Path) -> None:
    """Text, numbers, choices, optional ones and files."""
    rules = tmp_path / "rules.yaml"
    rules.touch()
    settings = read(
        WithRules,
        {
            "PUNTUAL_KAFKA": "kafka:9092",
            "PUNTUAL_PARTITIONS": "48",
            "PUNTUAL_CLOCK": "event",
            "PUNTUAL_INSTANCE": "promises-0",
            "PUNTUAL_LOG": "json",
            "PUNTUAL_ADVERTISE": "promises-0:9111",
            "PUNTUAL_RULES": str(rules),
            "PUNTUAL_METRICS_PORT": "9999",
        },
    )
    assert settings == WithRules(
        kafka="kafka:9092",
        partitions=48,
        clock=ClockKind.EVENT,
        instance="promises-0",
        log=LogFormat.JSON,
        advertise=Address("promises-0:9111"),
        rules=rules,
        metrics_port=9999,
    )


def test_every_bad_variable_is_reported_at_once() -> None:
    """One start shows all that is wrong, with what would be right."""
    bad = {
        "PUNTUAL_PARTITIONS": "0",
        "PUNTUAL_CLOCK": "sundial",
        "PUNTUAL_GRPC_PORT": "http",
        "PUNTUAL_METRICS_PORT": "http",
        "PUNTUAL_RULES": "/nowhere/rules.yaml",
        "PUNTUAL_ADVERTISE": "promises-1",
        "PUNTUAL_HORIZON_DAYS": "-1",
    }
    with pytest.raises(InvalidSettings) as caught:
        read(WithRules, bad)
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines] == [
        "PUNTUAL_PARTITIONS",
        "PUNTUAL_CLOCK",
        "PUNTUAL_METRICS_PORT",
        "PUNTUAL_GRPC_PORT",
        "PUNTUAL_ADVERTISE",
        "PUNTUAL_HORIZON_DAYS",
        "PUNTUAL_RULES",
    ]
    assert lines[0] == "PUNTUAL_PARTITIONS is '0', expected a whole number from 1 to 10000"
    assert lines[1] == "PUNTUAL_CLOCK is 'sundial', expected wall or event"
    assert lines[4] == "PUNTUAL_ADVERTISE is 'promises-1', expected host:port, such as promises-1:9111"
    assert lines[6] == "PUNTUAL_RULES is '/nowhere/rules.yaml', expected the path of a file that exists"
