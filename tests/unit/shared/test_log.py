"""Log lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from services.shared.errors import PuntualError
from services.shared.log import Patience, Terse, bounded, place_of, set_up, words_of
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
        "error": "ValueError",
    }


class Told(PuntualError):
    """An error of our own."""


Told.__module__ = "services.made.up"


@pytest.mark.parametrize("form", LogFormat)
def test_no_line_quotes_what_was_read(form: LogFormat) -> None:
    """Of errors from elsewhere it says what they are and where, also of those that led to others; our own tell more."""
    read, said = "hunter" + str(2), ""
    try:
        try:
            int(read)
        except ValueError as error:
            raise Told("the brokers are away") from error
    except Told as error:
        said = written(form, error)
    assert "hunter2" not in said
    assert said.index("ValueError") < said.index("Told: the brokers are away")
    assert "test_log.py" in said
    assert words_of(Told("the brokers are away")) == "the brokers are away"
    assert words_of(ValueError("hunter2")) == "ValueError\n"


@pytest.mark.parametrize("form", LogFormat)
def test_no_field_directs_a_terminal(form: LogFormat) -> None:
    """What cannot be seen is written out, and JSON stays JSON."""
    stream = io.StringIO()
    set_up("promises", form, stream)
    logging.getLogger("x").warning("a\x1b[2J\x9b\u202eb", extra={"incident": "c\u2028\x1b"})
    assert not set("\x1b\x9b\u202e\u2028") & set(stream.getvalue())
    if form is LogFormat.JSON:
        assert json.loads(stream.getvalue())["incident"] == "c\u2028\x1b"


def test_what_strangers_cause_is_written_once_in_a_while() -> None:
    """However often they do; what else is logged is not held back."""
    stream = io.StringIO()
    set_up("promises", LogFormat.TEXT, stream)
    terse = Terse(bounded("x"), "a request could not be read")
    for _ in range(1_000):
        try:
            int("GET /a/hunter2 HTTP/1.1")
        except ValueError:
            terse.exception("Error handling request from %s", "10.0.0.1")
        terse.debug("chatter")
    assert stream.getvalue().partition(" ")[2] == "promises WARNING a request could not be read: ValueError\n"


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
