"""Settings of the sla service."""

from dataclasses import dataclass
from pathlib import Path

from services.shared.settings import Port, Settings
from services.shared.topics import DEAD_LETTERS, INPUTS, SLA, SOURCES, STANDARDS
from services.sla.policies import BUILT_IN


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaSettings(Settings):
    """What the sla service needs to know."""

    topics = (*INPUTS, SLA, STANDARDS, SOURCES, DEAD_LETTERS)
    metrics_port: Port = 9102
    grpc_port: Port = 9112
    standards: Path = BUILT_IN
