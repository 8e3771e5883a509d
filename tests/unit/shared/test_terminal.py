"""What is printed: nothing from outside is interpreted, directs the terminal, or begins a line of its own."""

import ast
import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from services.shared.terminal import console, say, stacked, write

#: What somebody could write into an id → what of it must not come out as it is.
HOSTILE = {
    "o-1\x1b]0;title\x07": "\x1b\x07",
    "\x1b[2J\x1b[31mFAKE": "\x1b",
    "\x9b31m": "\x9b",
    "o-1\n12:00:00  broken  o-9": "\n",
    "o-1\r\x0b\x0c\u2028\u2029\x85": "\r\x0b\x0c\u2028\u2029\x85",
    "Madrid\u202e\u2066\u200f": "\u202e\u2066\u200f",
    "a\U000e0041\ufeff\u200b": "\U000e0041\ufeff\u200b",
    "\ud800": "\ud800",
}
_SERVICES = Path(__file__).parents[3] / "services"
_HERE = _SERVICES / "shared" / "terminal.py"


@pytest.mark.parametrize(("text", "bad"), HOSTILE.items())
def test_what_cannot_be_seen_is_written_out(text: str, bad: str) -> None:
    """In lines, cells and styled texts alike: one line stays one, and every character shows."""
    out = io.StringIO()
    with redirect_stdout(out):
        say(text)
        console().print(text)
        console().print(Text(text, "bold"))
    for line in out.getvalue().split("\n"):
        assert not set(bad) & set(line)
    assert out.getvalue().count("\n") == 3


@pytest.mark.parametrize(("text", "bad"), HOSTILE.items())
def test_a_cell_holds_no_line_that_somebody_else_began(text: str, bad: str) -> None:
    """A table has the same number of lines whatever is in its cells; `stacked` alone makes more."""
    heights = []
    for said in ("o-1", text):
        table, out = Table(width=200), io.StringIO()
        table.add_column("one", no_wrap=True)
        table.add_row(said, Text(said, "red"), stacked(said, said))
        with redirect_stdout(out):
            console().print(table)
        assert not set(bad) & set(out.getvalue().replace("\n", ""))
        heights.append(out.getvalue().count("\n"))
    assert heights[0] == heights[1]


@pytest.mark.parametrize("text", ["see [/x]", "[red]no[/red]", "[link=https://evil]ok[/link]", ":smile:", "a [b] 17"])
def test_nothing_is_markup(text: str) -> None:
    """Brackets and names of emoji are what they are."""
    out = io.StringIO()
    with redirect_stdout(out):
        console().print(text)
        say(text)
    assert out.getvalue() == f"{text}\n" * 2


def test_styles_outlive_what_is_written_out() -> None:
    """A line with an escape in it is coloured like any other."""
    out = io.StringIO()
    with redirect_stdout(out):
        segments = [each.text for each in console().render(Text("bad\x1bid", "red")) if each.style and each.style.color]
    assert "".join(segments) == "bad\\u001bid"


def test_names_keep_what_their_script_needs() -> None:
    """Zero-width joiners and non-joiners stay, and so do accents and ideographs."""
    names, out = "\u0645\u06cc\u200c\u062e\u0648 क्\u200dष Żółć 山田", io.StringIO()
    with redirect_stdout(out):
        say(names)
    assert out.getvalue() == f"{names}\n"


def test_json_stays_json() -> None:
    """What is written out is written as JSON does, so a document says the same as before."""
    said, out = {"id": "a\x9b\u202e\x1b\n\U000e0041é"}, io.StringIO()
    with redirect_stdout(out):
        write(json.dumps(said, indent=2, ensure_ascii=False))
    assert json.loads(out.getvalue()) == said
    assert "\u202e" not in out.getvalue()


def test_errors_go_to_standard_error() -> None:
    """So that what is piped on holds results only."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        say("one", err=True)
        write("two\nthree", err=True)
        console(err=True).print("four")
    assert not out.getvalue()
    assert err.getvalue() == "one\ntwo\nthree\nfour\n"


def test_nothing_prints_past_it() -> None:
    """No other module makes a console, prints, echoes, or takes hold of a standard stream."""
    others = [path for path in _SERVICES.rglob("*.py") if path != _HERE]
    found = {f"{path.relative_to(_SERVICES)}:{line}: {what}" for path in others for line, what in _prints(path)}
    assert found == set()
    assert {what for _, what in _prints(_HERE)} >= {"print", "Console", "sys.stdout"}


def _prints(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id="print")):
                yield node.lineno, "print"
            case ast.ImportFrom(module="rich.console" | "rich" | "rich.pretty", names=names):
                yield from ((node.lineno, name.name) for name in names if name.name in {"Console", "print", "pprint"})
            case ast.Attribute(attr="echo" | "secho" | "echo_via_pager", value=ast.Name(id="click")):
                yield node.lineno, "click.echo"
            case ast.Attribute(attr="stdout" | "stderr" as name, value=ast.Name(id="sys")) if not _asks_only(path):
                yield node.lineno, f"sys.{name}"


def _asks_only(path: Path) -> bool:
    return path.name == "watch.py"  # whether standard error is a terminal
