"""Log lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from services.shared.log import place_of, set_up
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
