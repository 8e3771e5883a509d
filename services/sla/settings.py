"""Settings of the sla service."""

from dataclasses import dataclass
from pathlib import Path

from services.shared.settings import Port, Settings
from services.shared.topics import CUSTOMERS, DEAD_LETTERS, INPUTS, JOINED_CLOCKS, SLA, SOURCES, STANDARDS
from services.sla.policies import BUILT_IN


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaSettings(Settings):
    """What the sla service needs to know."""

    topics = (*INPUTS, CUSTOMERS, SLA, JOINED_CLOCKS, STANDARDS, SOURCES, DEAD_LETTERS)
    metrics_port: Port = 9102
    grpc_port: Port = 9112
    standards: Path = BUILT_IN
