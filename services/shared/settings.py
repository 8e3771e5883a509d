"""Settings: environment variables → one frozen dataclass, with every bad variable reported at once.

A field `topic_prefix` is read from PUNTUAL_TOPIC_PREFIX. Its type is the parser, its default the default; an empty
variable counts as unset. Services subclass `Settings` with what is theirs.
"""

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Self, TypeVar, get_args, get_origin, get_type_hints

from services.shared.errors import PuntualError
from services.shared.sources.declared import BUILT_IN
from services.shared.topics import TOPICS, Topic

T = TypeVar("T")


class InvalidSettings(PuntualError):
    """Environment variables that cannot be used, all of them."""


class Between(NamedTuple):
    """The bounds of a number, both inclusive."""

    low: int
    high: int


Port = Annotated[int, Between(0, 65_535)]


class Address(str):
    """A host and a port to reach it at."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check the text. Raises ValueError."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:  # noqa: PLR2004 - what ports are
            raise ValueError("expected host:port, such as promises-1:9111")
        return super().__new__(cls, text)


class ClockKind(StrEnum):
    """Which clock announces what is due: this machine's, or that of the replayed events."""

    WALL = "wall"
    EVENT = "event"


class LogFormat(StrEnum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What every service needs to know of its surroundings."""

    #: The topics that the service reads or writes; nothing is asked of others.
    topics: ClassVar[Sequence[Topic]] = TOPICS

    #: Bootstrap servers, "host:port,host:port".
    kafka: str = "127.0.0.1:9092"
    topic_prefix: str = "puntual."
    #: Of every topic but dead letters; fixed when the topics are created.
    partitions: Annotated[int, Between(1, 10_000)] = 12
    clock: ClockKind = ClockKind.WALL
    #: Static group membership: with a name of its own a worker comes back without a rebalance.
    instance: str | None = None
    #: Seconds of silence after which others take over from a worker. Kafka accepts 6 and more, unless told otherwise.
    session_seconds: Annotated[int, Between(1, 45)] = 30
    #: Address the servers bind to.
    host: str = "127.0.0.1"
    #: 0: any free port.
    metrics_port: Port = 0
    grpc_port: Port = 0
    #: Where other workers and callers reach the gRPC server, told to them by its peers; None: where it listens.
    advertise: Address | None = None
    log: LogFormat = LogFormat.TEXT
    #: After how long which source counts as silent.
    sources: Path = BUILT_IN
    #: Events that happened longer ago than this go to dead letters, and settled records are forgotten.
    horizon_days: Annotated[int, Between(1, 36_500)] = 400


def read(cls: type[T], environ: Mapping[str, str]) -> T:
    """The settings of a dataclass. Raises InvalidSettings: every variable that is wrong, and what would be right."""
    hints = get_type_hints(cls, include_extras=True)
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for field in fields(cls):  # type: ignore[arg-type]  # any dataclass
        variable = f"PUNTUAL_{field.name.upper()}"
        if text := environ.get(variable, "").strip():
            try:
                values[field.name] = _parse(hints[field.name], text)
            except ValueError as error:
                wrong.append(f"{variable} is {text!r}, {error}")
    if wrong:
        raise InvalidSettings("\n".join(wrong))
    return cls(**values)


def _parse(hint: Any, text: str) -> object:  # noqa: ANN401 - a type, or Annotated, or a union
    """The value of a type. Raises ValueError that says what was expected."""
    if get_origin(hint) is Annotated:
        bounds: Between = get_args(hint)[1]
        if not text.isdecimal() or not bounds.low <= int(text) <= bounds.high:
            raise ValueError(f"expected a whole number from {bounds.low} to {bounds.high}")
        return int(text)
    if get_origin(hint) is types.UnionType:  # X | None
        return _parse(get_args(hint)[0], text)
    if hint is Path:
        if not Path(text).is_file():
            raise ValueError("expected the path of a file that exists")
        return Path(text)
    if issubclass(hint, StrEnum) and text not in set(hint):
        raise ValueError(f"expected {' or '.join(hint)}")
    return hint(text)
