"""`puntual watch` on a terminal: a table that is drawn anew with each change."""

import json
from collections.abc import Callable, Iterator
from io import StringIO

import pytest
from click.testing import CliRunner

from services.cli import watch
from services.cli.__main__ import main
from services.cli.changes import Change
from services.promises.model import Transition as PromiseTransition
from services.shared.instant import SECOND, Instant, parse_instant
from services.shared.terminal import Terminal
from services.sla.model import Transition as ClockTransition

DUE = parse_instant("2026-07-01T10:00:00Z")


def change(transition: str, subject: str, **other: object) -> Change:
    """A change a minute after it was due."""
    base = Change(
        Instant(DUE + 60 * SECOND), transition, "order_ready", f"ana/order_ready/{subject}", "ana", subject, DUE,
        Instant(0), "", "Vigo", "blue",
    )  # fmt: skip
    return base._replace(**other)  # type: ignore[arg-type]


def test_what_is_not_a_terminal_gets_a_line_for_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, whole, each as it comes: a pipe may be read by `grep`."""
    shown: list[str] = []
    changes = [change("broken", f"o{number}", site="V" * 200) for number in range(60)]

    def announced() -> Iterator[Change]:
        for each in changes:
            yield each
            shown.append(output.getvalue())

    output = StringIO()
    monkeypatch.setattr(watch, "follow_changes", lambda *_, **__: announced())
    monkeypatch.setattr(watch, "console", lambda: Terminal(file=output))
    assert CliRunner().invoke(main, ["watch"]).exit_code == 0
    lines = output.getvalue().splitlines(keepends=True)
    assert [line.split()[4] for line in lines] == [each.subject_id for each in changes]
    assert all("V" * 200 in line and line.endswith("1 min past due\n") for line in lines)
    assert [said.count("\n") for said in shown] == list(range(1, 61))


@pytest.mark.parametrize(
    ("options", "shown"),
    [((), ["made", "kept"]), (("--transition", "noted"), ["noted"]), (("--kind", "order_ready"), ["made", "kept"])],
)
def test_that_another_fact_was_added_is_shown_only_who_asks(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], shown: list[str]
) -> None:
    """The verdict stands, so most have nothing to learn from it."""
    changes = [change(transition, "o1") for transition in ("made", "noted", "kept")]
    monkeypatch.setattr(watch, "follow_changes", lambda *_, **__: iter(changes))
    lines = CliRunner().invoke(main, ["watch", "--json", *options]).stdout.splitlines()
    assert [json.loads(line)["transition"] for line in lines] == shown


def test_help_says_what_each_transition_means() -> None:
    """In one line each, none left out."""
    told = CliRunner().invoke(main, ["watch", "--help"], terminal_width=120).stdout.partition("Transitions:")[2]
    listed = told.partition("\n\n")[0].splitlines()[1:]
    names = {each.name.lower() for each in (*PromiseTransition, *ClockTransition)}
    assert sorted(line.split()[0] for line in listed) == sorted(names)
    assert all(len(line.split()) > 2 and len(line) <= 80 for line in listed)


def test_a_kafka_that_no_longer_answers_is_told_on_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the JSON on stdout stays JSON."""

    def announced(*_: object, tell: Callable[[str], None], **__: object) -> Iterator[Change]:
        yield change("broken", "o1")
        tell("it is gone")

    monkeypatch.setattr(watch, "follow_changes", announced)
    result = CliRunner().invoke(main, ["watch", "--json"])
    assert (result.exit_code, result.stderr, result.stdout.count("\n")) == (0, "it is gone\n", 1)


def test_the_table_grows_with_each_change_and_is_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the changes asked for, each with what people want to know beside it."""
    changes = [None, change("broken", "o1"), None, change("made", "o2"), change("kept", "o3", settled_at=DUE)]
    monkeypatch.setattr(watch, "follow_changes", lambda *_, **__: iter(changes))
    terminal = Terminal(force_terminal=True, width=100, height=40)
    monkeypatch.setattr(watch, "console", lambda: terminal)
    with terminal.capture() as shown:
        result = CliRunner().invoke(main, ["watch", "--transition", "broken", "--transition", "kept"])
    assert result.exit_code == 0, result.stderr
    frames = shown.get().split("announced")[1:]
    assert len(frames) >= 3, "empty, one row, two rows"
    assert "o1" not in frames[0]
    assert "o1" in frames[1]
    assert "o3" not in frames[1]
    last = frames[-1]
    assert "o1" in last
    assert "o3" in last
    assert "o2" not in last
    assert "\x1b[1;31mbroken\x1b[0m" in last, "bold and red"
    assert "1 min past due" in last
    assert "to the second" in last
