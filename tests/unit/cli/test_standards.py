"""`puntual standards`, as far as it needs no Kafka."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli.__main__ import main
from services.cli.backtest import told_apart
from services.cli.report import ordered, percent, report
from services.shared.instant import Instant
from services.sla.backtest import Flip, Tally
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


def test_hours_that_lose_a_minute_are_a_hint(tmp_path: Path) -> None:
    """The document can be used all the same."""
    file = tmp_path / "s.yaml"
    file.write_text(OLD.replace("09:00-18:00", "00:00-23:59"))
    result = run("check", file)
    assert result.exit_code == 0
    assert "hint: calendars.office.hours: 23:59 leaves out the last minute of the day; write 24:00" in result.stderr
    file.write_text(OLD.replace("09:00-18:00", "00:00-24:00"))
    assert run("check", file).stderr == ""


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "there are no events to judge"),
        ([HEAD | {"topic": "orders"} | EVENTS[0] | {"placed": {}, "received": None}], "no event starts a clock"),
    ],
)
def test_a_past_in_which_nothing_is_timed_is_an_error(
    tmp_path: Path, documents: tuple[Path, Path], lines: list[dict[str, object]], said: str
) -> None:
    """Rates of nothing are none."""
    file = tmp_path / "few.jsonl"
    file.write_text("".join(json.dumps({k: v for k, v in line.items() if v is not None}) + "\n" for line in lines))
    result = run("backtest", "--events", file, "--standards", documents[0], "--processes", 1)
    assert result.exit_code == 1
    assert said in result.stderr


def test_rows_that_tell_nothing_change_the_exit_code_of_a_backtest_too(
    tmp_path: Path, documents: tuple[Path, Path]
) -> None:
    """Said once, however many processes read them."""
    (tmp_path / "t.csv").write_text("id,at\nm-1,2026-03-02T10:00:00Z\nm-2,\n")
    (tmp_path / "m.yaml").write_text(
        "{every_event: {subject_id: $id}, events: [{topic: contacts, occurred_at: $at, received: {}}]}"
    )
    files = "--events", tmp_path / "t.csv", "--mapping", tmp_path / "m.yaml", "--standards", documents[0]
    result = run("backtest", *files, "--processes", 2)
    assert result.exit_code == 1
    assert result.stderr.count("1 row: no event comes of it, because column at is empty; line 3") == 1


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
    assert "has no whole days in 2010 to 2010" in run("import-calendar", file, "--years", "2010").stderr
    for years in ("1990", "2026-99999", "2027-2026"):
        assert "write years from 2000 to 2199" in run("import-calendar", file, "--years", years).stderr


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
    rest = {"team": "blue", "open": 0, "left_out": 0}
    never = {**rest, "metric": "resolution", "kept": 0, "broken": 2, "share": 0.0}
    assert [side["team"] for side in found["sides"]] == [
        [{**rest, "metric": "first_reply", "kept": 2, "broken": 0, "share": 1.0}, never],
        [{**rest, "metric": "first_reply", "kept": 0, "broken": 2, "share": 0.0}, never],
    ]
    assert found["sides"][0]["pauses"] == [{"reason": "<parts>", "team": "blue", "pauses": 4, "seconds": 4 * 3600.0}]
    assert [(flip["before"], flip["after"], flip["cycles"]) for flip in found["flips"]] == [("kept", "broken", 2)]
    assert found["flips"][0]["examples"][0]["record_id"] == "c-1/first_reply/m-1"
    assert "&lt;parts&gt;" in page.read_text()
    assert "<parts>" not in page.read_text()
    stands_alone(page.read_text())


def stands_alone(text: str) -> None:
    """Nothing is fetched; each bar has its standards, its rate and an axis from 0 to 100 %."""
    assert not any(outside in text for outside in ("http", "url(", "<script", "<link", "src="))
    for title in ("By policy", "By team"):
        part = text.partition(f"<h2>{title}</h2>")[2].partition("<h2>")[0]
        assert [f">{share} %</text>" in part for share in (0, 50, 100)] == [True] * 3
        assert part.count("old.yaml") == part.count("new.yaml") == 2  # first reply and resolution
        assert part.count('aria-label="100.0 %"') == 1
    assert "By site" not in text
    assert "<tr><td>first reply<td>kept<td>broken<td class=n>2" in text
    assert "<td class=t>2026-03-02 12:00:00<td class=t>2026-03-02 15:30:00<td>all<td" in text


def test_standards_are_told_apart_also_where_their_files_have_one_name(tmp_path: Path) -> None:
    """By version, or by where they lie."""
    for name, text in (("a", OLD), ("b", NEW), ("c", OLD.replace("24h", "1h"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "standards.yaml").write_text(text)
    old, new, other = (tmp_path / name / "standards.yaml" for name in "abc")
    assert told_apart([old]) == ["standards.yaml"]
    assert told_apart([old, new]) == ["version 1", "version 2"]
    assert told_apart([old, other]) == [str(old), str(other)]


@pytest.mark.parametrize(
    ("share", "said"),
    [(None, "\N{EN DASH}"), (0, "0.0 %"), (1e-6, "0.1 %"), (0.973, "97.3 %"), (0.99999, "99.9 %"), (1, "100.0 %")],
)
def test_a_rate_is_never_said_to_be_better_than_it_is(share: float | None, said: str) -> None:
    """All were kept only where all were."""
    assert percent(share) == said


def test_what_would_be_broken_is_told_first() -> None:
    """Then what would be kept, then what is timed anew or no longer, each by number."""
    tally = Tally.of(2)
    flips = [("left out", "kept"), ("broken", "kept"), ("kept", "left out"), ("kept", "broken")]
    for number, (before, after) in enumerate(flips):
        tally.flips[Flip("resolution", before, after)] = 10 - number
    assert [flip[1:] for flip, _ in ordered(tally)] == [flips[3], flips[1], flips[0], flips[2]]
    assert "<p>Nothing.</p>" in report(Tally.of(2), ["a", "b"], 0, Instant(0))


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
