"""Logging, set up once per process: lines for people, or JSON for machines.

A message says what happened; what varies goes into `extra` and is shown as fields: `log.info("recovered",
extra={"partitions": 12})`. Ids of partitions, topics, targets and incidents may be logged; names, contact data, message
contents and secrets never are.
"""

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from traceback import format_tb
from typing import TextIO

from services.shared.settings import LogFormat

#: What every log record has; anything else came in through `extra`.
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
#: Libraries speak only when something is wrong.
_LIBRARIES = ("faust", "aiokafka", "kafka", "mode", "aiohttp", "grpc")
#: While a broker is away aiokafka says so some eighty times a second. Seconds until it is heard again.
_PAUSE = 10.0
#: How many different messages are kept apart.
_MOST = 100


def set_up(service: str, form: LogFormat, stream: TextIO | None = None) -> None:
    """Send this process's log to a stream (None: stderr). Replaces what was set up before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(service) if form is LogFormat.JSON else TextFormatter(service))
    handler.addFilter(Patience("aiokafka"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)


def place_of(error: BaseException) -> str:
    """What kind of error came up where, without its own words: where input is read they may quote a customer's data."""
    return f"{type(error).__name__}\n{''.join(format_tb(error.__traceback__))}"


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


class TextFormatter(logging.Formatter):
    """`12:30:05 promises WARNING retrying attempt=2`, in UTC; the level is left out where it is INFO."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback where there is one."""
        at = datetime.fromtimestamp(record.created, UTC)
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{at:%H:%M:%S} {self._service} {level}{record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: at, level, service, logger, message, the fields of `extra`, error."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

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
        return json.dumps(entry, default=str, ensure_ascii=False)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
