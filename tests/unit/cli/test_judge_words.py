"""`puntual judge` on what a business does every day: booked again, called off and agreed anew, days without times."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from services.cli.__main__ import main

AS_OF = "2026-07-20T00:00:00Z"
DESK = """
zone: Europe/Rome
every_event: {source: desk, subject_id: $visit, customer_id: $who}
events:
  - {topic: appointments, where: {did: book}, occurred_at: $at, booked: {window_end: $until}}
  - {topic: appointments, where: {did: customer off}, occurred_at: $at, cancelled: {by: PARTY_CUSTOMER}}
  - {topic: appointments, where: {did: we off}, occurred_at: $at, cancelled: {by: PARTY_COMPANY}}
  - {topic: appointments, where: {did: nobody}, occurred_at: $at, no_show: {by: PARTY_CUSTOMER}}
  - {topic: appointments, where: {did: excuse}, occurred_at: $at, waived: {reason: storm}}
  - {topic: appointments, where: {did: came}, occurred_at: $at, started: {}}
  - topic: appointments
    where: {did: agree}
    occurred_at: $at
    rescheduled: {window_end: $until, asked_by: PARTY_CUSTOMER, consent: CONSENT_ACCEPTED}
"""
VISIT = "visit,who,did,at,until\n"
NIGHTLY = """
zone: Europe/Rome
every_event: {source: ledger, subject_id: $order, customer_id: $who, event_id: $number}
events:
  - {topic: orders, where: {did: promise}, occurred_at: $on, promised: {milestone: MILESTONE_READY, due: {at: $until}}}
  - {topic: orders, where: {did: done}, occurred_at: $on, ready: {}}
  - {topic: orders, where: {did: drop}, occurred_at: $on, cancelled: {by: PARTY_CUSTOMER}}
"""
ORDER = "number,order,who,did,on,until\n"


def judge(directory: Path, mapping: str, rows: str, *options: str) -> tuple[Any, list[Any]]:
    """The summary, and a verdict for each promise."""
    (directory / "m.yaml").write_text(mapping)
    (directory / "h.csv").write_text(rows)
    paths = [str(directory / "h.csv"), "--mapping", str(directory / "m.yaml"), "--as-of", AS_OF]
    result = CliRunner().invoke(main, ["judge", *paths, "--out", str(directory / "o.jsonl"), "--json", *options])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout), [json.loads(line) for line in (directory / "o.jsonl").read_text().splitlines()]


def ready(directory: Path, mapping: str, rows: str) -> str:
    """How the order's promise to be ready stands."""
    _, verdicts = judge(directory, mapping, ORDER + rows)
    return str({verdict["promise_id"]: verdict["state"] for verdict in verdicts}["eva/order_ready/o1"])


@pytest.mark.parametrize(
    ("ending", "first"),
    [
        ("customer off,2026-07-02 10:00,", "withdrawn"),
        ("we off,2026-07-02 10:00,", "broken"),
        ("excuse,2026-07-02 10:00,", "withdrawn"),
        ("nobody,2026-07-03 12:10,", "withdrawn"),
        ("came,2026-07-03 11:00,", "kept"),
        ("came,2026-07-03 13:00,", "kept_late"),
    ],
)
def test_a_visit_booked_again_under_its_number_is_watched(tmp_path: Path, ending: str, first: str) -> None:
    """Nobody comes to the second: it is broken, and the first verdict stays. Each counts."""
    rows = ["book,2026-07-01 09:00,2026-07-03 12:00", ending, "book,2026-07-04 09:00,2026-07-10 12:00"]
    rows = [f"v1,eva,{row}" for row in rows]
    summary, [verdict] = judge(tmp_path, DESK, VISIT + "\n".join(rows))
    assert (verdict["state"], verdict["reason"], verdict["due_at"]) == ("broken", "due_passed", "2026-07-10T10:00:00Z")
    assert [cycle["state"] for cycle in verdict["earlier"]] == [first]
    assert sum(summary["promises"]["appointment"].values()) == 2
    again, _ = judge(tmp_path, DESK, VISIT + "\n".join(rows), "--shuffle", "5", "--repeat", "0.7")
    assert again["fingerprint"] == summary["fingerprint"]


def test_what_we_called_off_and_agreed_anew_in_time_is_kept_by_agreement(tmp_path: Path) -> None:
    """The same as if it had been put off without calling it off."""
    rows = (
        "v1,eva,book,2026-07-01 09:00,2026-07-03 12:00\nv1,eva,we off,2026-07-02 10:00,\n"
        "v1,eva,agree,2026-07-02 10:30,2026-07-30 12:00\nv2,eva,book,2026-07-01 09:00,2026-07-03 12:00\n"
        "v2,eva,agree,2026-07-02 10:30,2026-07-30 12:00\n"
    )
    _, verdicts = judge(tmp_path, DESK, VISIT + rows)
    for verdict in verdicts:
        assert (verdict["state"], verdict["due_at"]) == ("open", "2026-07-30T10:00:00Z")
        assert "earlier" not in verdict


@pytest.mark.parametrize("numbers", [*permutations(("7", "11", "100"))], ids="-".join)
@pytest.mark.parametrize(("second", "third", "state"), [("done", "drop", "kept"), ("drop", "done", "withdrawn")])
def test_of_one_day_the_rows_tell_the_order_and_their_ids_nothing(
    tmp_path: Path, numbers: tuple[str, ...], second: str, third: str, state: str
) -> None:
    """A nightly export has days and no times."""
    rows = [("promise", "2026-07-01,2026-07-09"), (second, "2026-07-04,"), (third, "2026-07-04,")]
    lines = [f"{number},o1,eva,{did},{when}\n" for number, (did, when) in zip(numbers, rows, strict=True)]
    assert ready(tmp_path, NIGHTLY, "".join(lines)) == state


def test_a_column_can_tell_the_order_instead(tmp_path: Path) -> None:
    """Where the rows are in none."""
    rows = "3,o1,eva,done,2026-07-04,\n2,o1,eva,drop,2026-07-04,\n1,o1,eva,promise,2026-07-01,2026-07-09\n"
    mapping = NIGHTLY.replace("event_id: $number", "event_id: $number, sequence: $number")
    assert ready(tmp_path, NIGHTLY, rows) == "kept"
    assert ready(tmp_path, mapping, rows) == "withdrawn"


def test_a_row_that_stands_twice_is_one_event(tmp_path: Path) -> None:
    """Though it has two places in the file."""
    row = "v1,eva,book,2026-07-01 09:00,2026-07-30 12:00\n"
    once, twice = (judge(tmp_path, DESK, VISIT + row * times) for times in (1, 2))
    assert once == (twice[0] | {"rows": 1, "events": 1, "fingerprint": once[0]["fingerprint"]}, twice[1])


def test_a_number_that_is_none_is_named_with_its_column(tmp_path: Path) -> None:
    """And not shown: it may be a customer's."""
    (tmp_path / "m.yaml").write_text(DESK.replace("customer_id: $who", "customer_id: $who, sequence: $who"))
    (tmp_path / "h.csv").write_text(VISIT + "v1,eva,book,2026-07-01 09:00,2026-07-30 12:00\n")
    paths = [str(tmp_path / "h.csv"), "--mapping", str(tmp_path / "m.yaml"), "--as-of", AS_OF]
    result = CliRunner().invoke(main, ["judge", *paths])
    assert result.exit_code == 1
    assert "line 2: column who is no whole number" in result.stderr
    assert "eva" not in result.stderr
