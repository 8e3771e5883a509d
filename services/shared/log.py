"""Logging, set up once per process: lines for people, or JSON for machines.

A message says what happened; what varies goes into `extra` and is shown as fields: `log.info("recovered",
extra={"partitions": 12})`. Ids of partitions, topics, targets and incidents may be logged; names, contact data, message
contents and secrets never are.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from traceback import format_tb
from types import TracebackType
from typing import TextIO, TypeAlias

from services.shared.settings import LogFormat
from services.shared.text import visible

_ExcInfo: TypeAlias = "tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]"
#: What every log record has; anything else came in through `extra`.
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
#: Libraries speak only when something is wrong.
_LIBRARIES = ("faust", "aiokafka", "kafka", "mode", "aiohttp", "grpc")
#: While a broker is away aiokafka says so some eighty times a second. Seconds until it is heard again.
_PAUSE = 10.0
#: What comes before the names of loggers for what strangers can cause as often as they like.
_BOUNDED = "bounded"
#: Where errors are made whose words quote nothing that was read.
_OWN = ("services.", "aiokafka.", "kafka.")
#: How many different messages are kept apart.
_MOST = 100


def set_up(service: str, form: LogFormat, stream: TextIO | None = None) -> None:
    """Send this process's log to a stream (None: stderr). Replaces what was set up before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(service) if form is LogFormat.JSON else TextFormatter(service))
    for often in ("aiokafka", _BOUNDED):
        handler.addFilter(Patience(often))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)


def place_of(error: BaseException) -> str:
    """What kind of error came up where, without its own words: where input is read they may quote a customer's data."""
    return f"{type(error).__name__}\n{''.join(format_tb(error.__traceback__))}"


def words_of(error: BaseException) -> str:
    """What an error says where its words are our own or Kafka's; of any other what kind it is, and where it came up."""
    return str(error) if _is_own(error) else place_of(error)


def _is_own(error: BaseException) -> bool:
    return type(error).__module__.startswith(_OWN)


def bounded(name: str) -> logging.Logger:
    """A logger for what strangers can cause: the same message is written every ten seconds at most."""
    return logging.getLogger(f"{_BOUNDED}.{name}")


class Terse(logging.LoggerAdapter[logging.Logger]):
    """A logger for a library that tells of errors with all that was sent: of each it says what kind it is, no more."""

    def __init__(self, logger: logging.Logger, what: str) -> None:
        super().__init__(logger)
        self._what = what

    def log(self, level: int, msg: object, *args: object, **others: object) -> None:  # noqa: ARG002 - theirs
        """Say that it happened."""
        if level >= logging.WARNING:
            kind = sys.exc_info()[0]
            self.logger.warning("%s: %s", self._what, kind.__name__ if kind else "without an error")


class Patience(logging.Filter):
    """Of what one library says again and again, lets a message pass every ten seconds; `left_out`: how many it did not.

    Messages are the same whatever is filled in: the same of another node counts as said.
    """

    def __init__(self, library: str, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(library)
        self._now = now
        #: Logger and message → when it passed last, and how often it did not since.
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes."""
        if not super().filter(record):
            return True  # somebody else's
        now, what = self._now(), (record.name, str(record.msg))
        at, left_out = self._said.get(what, (now - _PAUSE, 0))
        if now - at < _PAUSE:
            self._said[what] = at, left_out + 1
            return False
        if left_out:
            record.left_out = left_out
        if len(self._said) >= _MOST:
            self._said.clear()
        self._said[what] = now, 0
        return True


class _Formatter(logging.Formatter):
    """Of errors it tells what is fit to be told, whoever logs them."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def formatException(self, ei: "_ExcInfo") -> str:  # noqa: N802 - the name it has in the library
        """Each error with its place, what it came from before it."""
        told, error = list[str](), ei[1]
        while error is not None:
            said = f"{type(error).__name__}: {error}" if _is_own(error) else type(error).__name__
            told.append(f"{''.join(format_tb(error.__traceback__))}{said}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nled to:\n".join(reversed(told))


class TextFormatter(_Formatter):
    """`12:30:05 promises WARNING retrying attempt=2`, in UTC; the level is left out where it is INFO."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback where there is one."""
        at = datetime.fromtimestamp(record.created, UTC)
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = visible(f"{at:%H:%M:%S} {self._service} {level}{record.getMessage()}{fields}", "\n")
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(_Formatter):
    """One JSON object per line: at, level, service, logger, message, the fields of `extra`, error."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return visible(json.dumps(entry, default=str, ensure_ascii=False))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
