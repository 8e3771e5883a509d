"""Settings of the promise service."""

from dataclasses import dataclass
from pathlib import Path

from services.promises.rules import BUILT_IN
from services.shared.settings import Port, Settings
from services.shared.topics import CUSTOMERS, DEAD_LETTERS, INPUTS, JOINED_PROMISES, PROMISES, SOURCES


@dataclass(frozen=True, slots=True, kw_only=True)
class PromiseSettings(Settings):
    """What the promise service needs to know."""

    topics = (*INPUTS, CUSTOMERS, PROMISES, JOINED_PROMISES, SOURCES, DEAD_LETTERS)
    metrics_port: Port = 9101
    grpc_port: Port = 9111
    rules: Path = BUILT_IN
