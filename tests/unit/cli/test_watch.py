"""`puntual watch` on a terminal: a table that is drawn anew with each change."""

import pytest
from click.testing import CliRunner
from rich.console import Console

from services.cli import watch
from services.cli.__main__ import main
from services.cli.changes import Change
from services.shared.instant import SECOND, Instant, parse_instant

DUE = parse_instant("2026-07-01T10:00:00Z")


def change(transition: str, subject: str, **other: object) -> Change:
    """A change a minute after it was due."""
    base = Change(
        Instant(DUE + 60 * SECOND), transition, "order_ready", f"ana/order_ready/{subject}", "ana", subject, DUE,
        Instant(0), "", "Vigo", "blue",
    )  # fmt: skip
    return base._replace(**other)  # type: ignore[arg-type]


def test_the_table_grows_with_each_change_and_is_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the changes asked for, each with what people want to know beside it."""
    changes = [None, change("broken", "o1"), None, change("made", "o2"), change("kept", "o3", settled_at=DUE)]
    monkeypatch.setattr(watch, "follow_changes", lambda *_, **__: iter(changes))
    terminal = Console(force_terminal=True, width=100, height=40)
    monkeypatch.setattr(watch, "Console", lambda: terminal)
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
