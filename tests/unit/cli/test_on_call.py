"""`puntual on-call`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli.__main__ import main

DOCUMENT = """
targets: {desk: {channel: console}, ana: {channel: webhook, settings: {url: "env:NOT_HERE"}}, bob: {channel: console}}
schedules:
  all: {zone: Europe/Madrid, fallback: desk, layers: [{rotation: [ana, bob], from: 2026-12-07, at: "09:00"}]}
  nights: {zone: America/New_York, fallback: desk, layers: [{rotation: [bob, ana], every: day, from: 2026-12-07,
    at: "12:00", hours: {mon-sun: "18:00-08:00"}}]}
"""
AT = "2026-12-10T12:00:00+01:00"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The document."""
    file = tmp_path / "notifier.yaml"
    file.write_text(DOCUMENT)
    return file


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, ["on-call", *map(str, arguments)])


def rows(result: Result) -> list[list[str]]:
    """The table, without its heading."""
    return [line.split() for line in result.stdout.splitlines() if "2026-" in line]


def test_it_says_who_is_on_call_at_an_instant(file: Path) -> None:
    """By every schedule, in its own zone; in a hole it says who is told."""
    result = run("--notifier", file, "--at", AT)
    assert result.exit_code == 0
    assert [" ".join(row) for row in rows(result)] == [
        "all Thu 2026-12-10 12:00 CET Mon 2026-12-14 09:00 CET ana",
        "nights Thu 2026-12-10 06:00 EST Thu 2026-12-10 08:00 EST bob",
    ]
    hole = run("nights", "--notifier", file, "--at", "2026-12-10T12:00:00-05:00")
    assert rows(hole)[0][-5:] == ["EST", "nobody;", "desk", "is", "told"]


def test_it_says_who_is_on_call_now(file: Path) -> None:
    """Unless told otherwise."""
    result = run("all", "--notifier", file, "--json")
    assert [row["schedule"] for row in json.loads(result.stdout)] == ["all"]


def test_it_prints_the_shifts_to_come(file: Path) -> None:
    """As JSON, too."""
    result = run("all", "--notifier", file, "--at", AT, "--next", "14d", "--json")
    assert json.loads(result.stdout) == [
        {"schedule": "all", "zone": "Europe/Madrid", "who": who, "told": who, "from": start, "to": end}
        for who, start, end in (
            ("ana", "2026-12-10T11:00:00Z", "2026-12-14T08:00:00Z"),
            ("bob", "2026-12-14T08:00:00Z", "2026-12-21T08:00:00Z"),
            ("ana", "2026-12-21T08:00:00Z", "2026-12-24T11:00:00Z"),
        )
    ]


def test_holes_are_listed_and_are_a_failure(file: Path) -> None:
    """So that a script can ask every night; without any it says so."""
    result = run("--notifier", file, "--at", AT, "--next", "2d", "--holes")
    assert result.exit_code == 1
    assert [row[:4] for row in rows(result)] == [
        ["nights", "Thu", "2026-12-10", "08:00"],
        ["nights", "Fri", "2026-12-11", "08:00"],
    ]
    result = run("all", "--notifier", file, "--at", AT, "--holes")
    assert (result.exit_code, result.stdout) == (0, f"{file}: somebody is on call all the time\n")
    result = run("all", "--notifier", file, "--at", AT, "--holes", "--json")
    assert (result.exit_code, result.stdout) == (0, "[]\n")
    result = run("nights", "--notifier", file, "--at", AT, "--holes", "--json")
    assert (result.exit_code, json.loads(result.stdout)[0]["who"]) == (1, None)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["days"], 3, "has no schedule 'days'; there is all, nights"),
        (["--at", "tomorrow"], 2, "write for example 2026-11-26T17:00:00+01:00"),
        (["--next", "soon"], 2, "'soon' is no duration"),
        (["--next", "401d"], 2, "401d is not more than nothing and at most 400d"),
        (["--next", "0d"], 2, "0d is not more than nothing and at most 400d"),
    ],
)
def test_what_is_asked_wrongly_is_answered_with_what_is_right(
    file: Path, arguments: list[str], code: int, said: str
) -> None:
    """And an exit code that scripts can use."""
    result = run("--notifier", file, *arguments)
    assert result.exit_code == code
    assert said in result.stderr


def test_a_file_with_mistakes_or_without_schedules_is_refused(file: Path) -> None:
    """With what is wrong, and how to put it right."""
    file.write_text(DOCUMENT.replace("fallback: desk", "fallback: dusk"))
    result = run("--notifier", file)
    assert result.exit_code == 1
    assert "schedules.all.fallback: 'dusk' is unknown; write one of ana, bob, desk" in result.stderr
    result = run()
    assert result.exit_code == 1
    assert "has no schedules; name the notifier's file with --notifier or PUNTUAL_NOTIFIER" in result.stderr
