"""Settings of the notifier."""

from dataclasses import dataclass
from pathlib import Path

from services.notifier.config import BUILT_IN
from services.shared.settings import Port, Settings
from services.shared.topics import AUDIT, DEAD_LETTERS, DISPATCH, INCIDENTS, PROMISES, RESPONSES, SILENCES, SLA, SOURCES


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierSettings(Settings):
    """What the notifier needs to know."""

    topics = (PROMISES, SLA, DISPATCH, RESPONSES, INCIDENTS, AUDIT, SILENCES, SOURCES, DEAD_LETTERS)
    metrics_port: Port = 9103
    grpc_port: Port = 9113
    #: Of the page behind the link in a message, where `answers` of notifier.yaml asks for one.
    answers_port: Port = 9203
    #: Who is told about what, and how.
    notifier: Path = BUILT_IN
