"""Log lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from services.shared.log import Patience, place_of, set_up
from services.shared.settings import LogFormat


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    """Leave the root logger as it was found."""
    before, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = before
    logging.root.setLevel(level)


def written(form: LogFormat, error: Exception | None = None) -> str:
    stream = io.StringIO()
    set_up("promises", form, stream)
    logging.getLogger("services.x").warning("retrying %s", "soon", extra={"attempt": 2}, exc_info=error)
    return stream.getvalue()


def test_a_text_line_says_when_who_what_and_the_fields() -> None:
    """People read one line per event."""
    time, line = written(LogFormat.TEXT).split(" ", 1)
    assert line == "promises WARNING retrying soon attempt=2\n"
    assert len(time) == len("12:30:05")


def test_a_json_line_holds_the_fields_and_the_error() -> None:
    """Machines read one object per line, traceback included."""
    [line] = written(LogFormat.JSON, ValueError("no")).splitlines()
    entry = json.loads(line)
    at = entry.pop("at")
    assert at.endswith("Z")
    assert entry == {
        "level": "warning",
        "service": "promises",
        "logger": "services.x",
        "message": "retrying soon",
        "attempt": 2,
        "error": "ValueError: no",
    }


def test_libraries_speak_only_when_something_is_wrong() -> None:
    """Faust's information stays out of the log, its warnings do not."""
    stream = io.StringIO()
    set_up("promises", LogFormat.TEXT, stream)
    logging.getLogger("faust.app").info("chatter")
    logging.getLogger("faust.app").warning("trouble")
    assert "chatter" not in stream.getvalue()
    assert "trouble" in stream.getvalue()


def test_where_an_error_came_up_is_told_without_its_words() -> None:
    """They may quote what was read: a customer's data."""
    with pytest.raises(ValueError, match="Ana Ruiz") as caught:
        int("Ana Ruiz")
    told = place_of(caught.value)
    assert "ValueError" in told
    assert "test_where_an_error" in told
    assert "invalid literal" not in told


def test_what_aiokafka_says_again_and_again_is_heard_once_and_then_how_often() -> None:
    """Of each logger and message, whatever is filled in; what others say is heard every time."""
    stream = io.StringIO()
    set_up("promises", LogFormat.TEXT, stream)
    for node in range(50):
        logging.getLogger("aiokafka").error("Unable connect to node %s", node)
        logging.getLogger("aiokafka.consumer").error("Unable connect to node %s", node)
        logging.getLogger("services.x").error("Unable connect to node %s", node)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1 + 1 + 50
    assert sum("node 0" in line for line in lines) == 3


def test_what_was_left_out_is_counted_when_it_is_heard_again() -> None:
    """After ten seconds; then it is counted anew. What is forgotten, as there is so much of it, is heard."""
    now = 100.0
    patience = Patience("aiokafka", lambda: now)

    def heard(message: str) -> int | None:
        """How many were left out before this one; None: it is left out, too."""
        record = logging.makeLogRecord({"name": "aiokafka.client", "msg": message})
        return vars(record).get("left_out", 0) if patience.filter(record) else None

    assert [heard("away") for _ in range(4)] == [0, None, None, None]
    assert heard("back") == 0
    now = 109.9
    assert heard("away") is None
    now = 110.0
    assert [heard("away"), heard("away")] == [4, None]
    now = 120.0
    assert heard("away") == 1
    assert heard("away") is None
    assert [heard(f"{number}") for number in range(200)] == [0] * 200
    assert heard("away") == 0
