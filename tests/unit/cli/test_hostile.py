"""Texts that somebody put into events, answers, silences or standards, as the commands that show them print them."""
# ruff: noqa: SLF001 - what a command prints of what it was told

import io
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from types import SimpleNamespace
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result

from puntual.notifier.v1 import audit_pb2 as pb
from services.cli import audit, backtest, dead_letters, explain, incidents, on_call, silences, standards, watch
from services.cli.__main__ import main
from services.cli.changes import Change
from services.cli.exits import Failure
from services.notifier.codec import pack
from services.notifier.holds import Silence
from services.notifier.incident import Incident
from services.notifier.schedules import Shift
from services.notifier.silences_log import pack_silence
from services.shared.explanation import Explanation, Interval, Step
from services.shared.instant import Instant, parse_instant
from services.shared.keys import record_key
from services.shared.terminal import console
from services.sla.backtest import Group, Pause, Tally
from tests.unit.notifier.builders import an_item

NOW = parse_instant("2026-07-01T10:00:00Z")
#: Markup that ends what never began, links, emoji, a second line, an escape, a change of direction.
EVIL = "see [/x][link=https://evil]ok[/link] :smile:\n12:00 FAKE \x1b[2J\x9b31m\u202e."
SHOWN = r"see [/x][link=https://evil]ok[/link] :smile:\n12:00 FAKE \u001b[2J\u009b31m\u202e."
_BAD = frozenset("\x1b\x9b\u202e")


class Message(NamedTuple):
    """As a library for Kafka has it."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    offset: int = 3
    timestamp: int = 0


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "400"}).invoke(main, arguments)


def an_entry(**about: Any) -> Message:
    entry = pb.AuditEntry(entry_id="1", incident_id=EVIL, route="all", **about)
    entry.at.FromSeconds(1_780_000_000)
    return Message(EVIL.encode(), entry.SerializeToString())


ENTRIES = {
    "answer": pb.AuditedAnswer(response_id="1", action="comment", by=EVIL, via=EVIL, comment=EVIL),
    "item": pb.AuditedItem(record_id=EVIL, service="sla", kind=EVIL),
    "notification": pb.AuditedNotification(target=EVIL, channel=EVIL, failure=EVIL, provider_id=EVIL),
}


@pytest.mark.parametrize("about", ENTRIES)
def test_no_entry_hides_the_audit_trail(monkeypatch: pytest.MonkeyPatch, about: str) -> None:
    """A comment that ends markup which never began is a comment like any other."""
    monkeypatch.setattr(audit, "read_since", lambda *_: iter([an_entry(**{about: ENTRIES[about]})]))
    plain = run("incidents", "audit", "--breaches")
    assert plain.exit_code == 0, plain.output
    assert_harmless(plain.stdout)
    assert json.loads(run("incidents", "audit", "--breaches", "--json").stdout)["incidentId"] == EVIL


def shows_incidents(monkeypatch: pytest.MonkeyPatch) -> Result:
    item = an_item()._replace(record_id=record_key("ana", "order_ready", EVIL).decode())
    value = pack(Incident(EVIL, "all", 1, NOW, (item,)))
    monkeypatch.setattr(incidents, "latest", lambda *_: {EVIL.encode(): value})
    return run("incidents", "list")


def shows_an_incident(monkeypatch: pytest.MonkeyPatch) -> Result:
    shows_incidents(monkeypatch)
    return run("incidents", "show", EVIL)


def shows_silences(monkeypatch: pytest.MonkeyPatch) -> Result:
    silence = Silence("s1", {"site": frozenset([EVIL])}, NOW, Instant(NOW + 1), EVIL, EVIL)
    monkeypatch.setattr(silences, "read_to_end", lambda *_: [Message(b"s1", pack_silence(silence))])
    return run("incidents", "silences", "--all")


def shows_dead_letters(monkeypatch: pytest.MonkeyPatch) -> Result:
    headers = tuple((name, EVIL.encode()) for name in ("reason", "detail", "topic"))
    monkeypatch.setattr(dead_letters, "read_to_end", lambda *_: [Message(None, None, headers)])
    return run("dead-letters", "list")


def shows_standards(monkeypatch: pytest.MonkeyPatch) -> Result:
    book = SimpleNamespace(apply_to_open=False, policies=[SimpleNamespace(name=EVIL)])
    version = SimpleNamespace(name=EVIL, in_force_from=NOW, book=book)
    published = SimpleNamespace(standards=SimpleNamespace(versions=[version]))
    monkeypatch.setattr(standards, "_published", lambda *_: published)
    return run("standards", "list")


def shows_changes(monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setattr(watch, "follow_changes", lambda *_, **__: iter([CHANGE]))
    return run("watch")


CHANGE = Change(NOW, "broken", "order_ready", EVIL, EVIL, EVIL, NOW, Instant(0), EVIL, EVIL, EVIL)
COMMANDS: tuple[Callable[[pytest.MonkeyPatch], Result], ...] = (
    shows_incidents, shows_an_incident, shows_silences, shows_dead_letters, shows_standards, shows_changes,
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_no_command_lets_it_out(
    monkeypatch: pytest.MonkeyPatch, command: Callable[[pytest.MonkeyPatch], Result]
) -> None:
    """Each shows what was written, as it was written, on the line where it belongs."""
    result = command(monkeypatch)
    assert result.exit_code == 0, result.output
    assert_harmless(result.stdout)


def test_an_explanation_is_told_line_by_line() -> None:
    """What events hold stands on the lines of their step."""
    told = Explanation(EVIL, (Step("10:00", EVIL, EVIL, EVIL),), (EVIL,), (Interval("a", "b", "c", True, EVIL),))
    assert_harmless(printed(lambda: explain._print(told)))


def test_tables_show_it_in_their_cells() -> None:
    """Live changes, shifts, and the rates and pauses of a backtest."""
    schedule: Any = SimpleNamespace(name=EVIL, fallback=EVIL, zone=ZoneInfo("UTC"))
    row = on_call._Row(schedule, Shift(NOW, Instant(NOW + 1), EVIL))
    tally = Tally(({Group(EVIL, "m", EVIL, EVIL): {3: 1}},), ({Pause(EVIL, EVIL): 1},), ({Pause(EVIL, EVIL): 1},))  # type: ignore[arg-type]
    share = backtest.Share(tally)
    for table in (
        watch._table(deque([CHANGE])),
        on_call._table([row]),
        backtest._pauses(share, [EVIL]),
        backtest._table(share, [EVIL], ("policy", "metric")),
    ):
        assert_harmless(printed(lambda table=table: wide(table)))  # type: ignore[misc]


def test_what_an_error_quotes_directs_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of a service or of a file, on standard error."""

    def refused(*_: object) -> Iterator[Message]:
        raise Failure(f"the service says: {EVIL}")

    monkeypatch.setattr(dead_letters, "read_to_end", refused)
    result = run("dead-letters", "list")
    assert result.exit_code == 1
    assert not _BAD & set(result.stderr)
    assert r"\u001b[2J" in result.stderr


def wide(what: Any) -> None:
    terminal = console()
    terminal.width = 400
    terminal.print(what)


def printed(work: Callable[[], object]) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        work()
    return out.getvalue()


def assert_harmless(said: str) -> None:
    assert not _BAD & set(said)
    assert not any(line.startswith("12:00 FAKE") for line in map(str.strip, said.splitlines()))
    assert "see [/x]" in said
