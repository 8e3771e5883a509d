"""`puntual standards`, as far as it needs no Kafka."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli.__main__ import main
from services.sla.policies import BUILT_IN
from tests.unit.sla.test_closing_days import CALENDAR

OLD = """
version: "1"
calendars: {office: {zone: Europe/Madrid, hours: {mon-fri: "09:00-18:00"}}}
policies:
  - name: all
    calendar: office
    pauses: {}
    targets: {first_reply: {limit: 24h}, resolution: {limit: 2 business days}}
"""
NEW = OLD.replace("24h", "2 business hours").replace('"1"', '"2"')
HEAD = {"topic": "contacts", "source": "desk", "customer_id": "c-1", "subject_id": "m-1", "team": "blue"}
EVENTS = [
    {"event_id": "1", "occurred_at": "2026-03-02T12:00:00Z", "received": {"kind": "CONTACT_KIND_EMAIL"}},
    {"event_id": "2", "occurred_at": "2026-03-02T13:00:00Z", "held": {"reason": "<parts>"}},
    {"event_id": "3", "occurredAt": "2026-03-02T14:00:00Z", "resumed": {}},
    {"event_id": "4", "occurred_at": "2026-03-02T15:30:00Z", "replied": {}},
]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["standards", *map(str, arguments)])


@pytest.fixture
def past(tmp_path: Path) -> Path:
    """Two contacts, one of each customer, as JSON lines."""
    file = tmp_path / "events.jsonl"
    lines = [HEAD | event | {"customer_id": customer} for customer in ("c-1", "c-2") for event in EVENTS]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.fixture
def documents(tmp_path: Path) -> tuple[Path, Path]:
    """The old standards and the new ones."""
    files = tmp_path / "old.yaml", tmp_path / "new.yaml"
    for file, text in zip(files, (OLD, NEW), strict=True):
        file.write_text(text)
    return files


def test_a_good_document_is_said_to_be_one() -> None:
    """And what is in it."""
    result = run("check", BUILT_IN)
    assert (result.exit_code, result.stdout) == (0, f"{BUILT_IN}: version 2, 2 policies, 1 calendar; all is in order\n")


def test_every_mistake_of_a_bad_one_is_told(tmp_path: Path) -> None:
    """At once, each with its line."""
    file = tmp_path / "bad.yaml"
    file.write_text(OLD.replace("24h", "soon").replace("Europe/Madrid", "Europe/Madri"))
    result = run("check", file)
    assert result.exit_code == 1
    assert "line 3: calendars.office.zone: 'Europe/Madri' is no time zone" in result.stderr
    assert "line 8: policies[0].targets.first_reply.limit: 'soon' is no target" in result.stderr


def test_a_document_is_rendered() -> None:
    """On standard output."""
    result = run("render", BUILT_IN, "--language", "it", "--format", "md")
    assert result.exit_code == 0
    assert result.stdout.startswith("# Che cosa potete aspettarvi da noi\n")


def test_closing_days_are_printed_as_the_document_has_them(tmp_path: Path) -> None:
    """Ready to be pasted."""
    file = tmp_path / "closures.ics"
    file.write_bytes(CALENDAR)
    result = run("import-calendar", file, "--years", "2026")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:2] == ["    closed:", '      2026-06-06: "Founders\' day"']
    assert run("import-calendar", file, "--years", "soon").exit_code == 1
    assert "has no whole days in 1990 to 1990" in run("import-calendar", file, "--years", "1990").stderr


def test_a_backtest_tells_what_would_end_otherwise(past: Path, documents: tuple[Path, Path], tmp_path: Path) -> None:
    """As a table, as JSON and as a page."""
    old, new = documents
    page = tmp_path / "report.html"
    given = ("backtest", "--events", past, "--against", old, "--standards", new, "--processes", "2")
    result = run(*given, "--html", page)
    assert result.exit_code == 0, result.output
    assert "8 events judged" in result.stdout
    assert "first_reply: kept → broken  2 cycles" in result.stdout
    found = json.loads(run(*given, "--json").stdout)
    assert found["events"] == 8
    assert [side["team"] for side in found["sides"]] == [
        [{"team": "blue", "kept": 2, "broken": 2, "open": 0, "left_out": 0, "share": 0.5}],
        [{"team": "blue", "kept": 0, "broken": 4, "open": 0, "left_out": 0, "share": 0.0}],
    ]
    assert found["sides"][0]["pauses"] == [{"reason": "<parts>", "team": "blue", "pauses": 4, "seconds": 4 * 3600.0}]
    assert [(flip["before"], flip["after"], flip["cycles"]) for flip in found["flips"]] == [("kept", "broken", 2)]
    assert found["flips"][0]["examples"][0]["record_id"] == "c-1/first_reply/m-1"
    assert "&lt;parts&gt;" in page.read_text()
    assert "<parts>" not in page.read_text()


def test_one_document_is_judged_alone(past: Path, documents: tuple[Path, Path]) -> None:
    """Nothing to compare with."""
    found = json.loads(run("backtest", "--events", past, "--standards", documents[1], "--json").stdout)
    assert (len(found["sides"]), found["flips"]) == (1, [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 9: is no JSON object"),
        ("[]", "line 9: is no JSON object"),
        ("{}", 'line 9: has no "topic", or one that is none'),
        ('{"topic": "parcels"}', 'line 9: has no "topic", or one that is none'),
        ('{"topic": "contacts", "subject_id": "s"}', "1 event left out; 1 of them because of: no_time"),
    ],
)
def test_events_that_cannot_be_read_are_told(past: Path, documents: tuple[Path, Path], line: str, said: str) -> None:
    """With the line, or with the reason."""
    with past.open("a") as lines:
        lines.write(line + "\n")
    result = run("backtest", "--events", past, "--standards", documents[0])
    assert result.exit_code == 1
    assert said in result.stderr


def test_what_is_no_source_of_events_is_told(documents: tuple[Path, Path]) -> None:
    """And what would be one."""
    result = run("backtest", "--events", "topics", "--standards", documents[0])
    assert "there is no file topics; name one, or write topic to read Kafka" in result.stderr
