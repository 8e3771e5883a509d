"""`puntual judge`: small histories for what it says, the real ones for exact figures."""

import json
import time
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings, strategies as st

from services.cli.__main__ import main
from tests.unit.cli.test_mapping import EXAMPLES, HEADER, MAPPING, ROW

AS_OF = "2026-07-03T00:00:00Z"
LATE_ROW = "o2,bo,Madrid,shipped,2026-07-01 10:00:00,2026-07-01 12:00:00,2026-07-01 12:00:01,bad\n"
BROKEN_ROW = "o3,bo,Madrid,sold,2026-07-01 10:00:00,2026-07-01 12:00:00,,bad\n"


def judge(directory: Path, rows: str, *options: str, mapping: str = MAPPING) -> Result:
    """Run the command on a CSV of these rows."""
    (directory / "m.yaml").write_text(mapping)
    (directory / "h.csv").write_text(HEADER + rows)
    paths = [str(directory / "h.csv"), "--mapping", str(directory / "m.yaml"), "--as-of", AS_OF]
    return CliRunner().invoke(main, ["judge", *paths, *options])


def summary(result: Result) -> Any:
    """Its JSON."""
    return json.loads(result.stdout)


def test_verdicts_are_counted_and_compared(tmp_path: Path) -> None:
    """Kept, late by a second, and never done; all as known."""
    found = summary(judge(tmp_path, ROW + LATE_ROW + BROKEN_ROW, "--json"))
    assert found["promises"] == {"order_ready": {"broken": 1, "kept": 1, "kept_late": 1}}
    assert (found["rows"], found["events"], found["compared"], found["mismatches"]) == (3, 5, 3, 0)


def test_rows_without_a_customer_are_judged_by_their_subject(tmp_path: Path) -> None:
    """None vanishes, and it is said how many there are."""
    guests = LATE_ROW.replace(",bo,", ",,") + BROKEN_ROW.replace(",bo,", ",,")
    result = judge(tmp_path, ROW + guests, "--json")
    found = summary(result)
    assert found["promises"] == {"order_ready": {"broken": 1, "kept": 1, "kept_late": 1}}
    assert (found["compared"], found["problems"], result.exit_code) == (3, [], 0)
    assert found["remarks"] == ["3 events without a customer: judged by the subject"]


SPLIT = ROW.replace("o1", "o9").replace("2026-07-02,", "2026-07-03,").replace("good", "bad")
NOTHING = ROW.replace("o1", "o8").replace("2026-07-01 10:00:00", "")
TORN = (
    "they give one promise more than one known outcome",
    "they tell one event (its id is the same) differently: column due",
)


@pytest.mark.parametrize(
    ("rows", "problems"),
    [
        ([ROW, SPLIT.replace("o9", "o1")], [{"problem": problem, "lines": [2, 3]} for problem in TORN]),
        (
            [ROW, BROKEN_ROW, "o3,,Madrid,shipped,,,2026-07-01 11:00:00,\n"],
            [{"problem": "they name a customer for some events of a subject, and none for others", "lines": [3, 4]}],
        ),
        (
            [ROW, NOTHING.replace("2026-07-01 18:30:00", "")],
            [{"problem": "no event comes of it, because columns sold and done are empty", "lines": [3]}],
        ),
    ],
)
def test_rows_that_tell_nothing_or_contradict_each_other_are_named(
    tmp_path: Path, rows: list[str], problems: list[dict[str, Any]]
) -> None:
    """In any order with the same verdicts; the exit code is 1, and no value of a row is repeated."""
    found = []
    for ordered in permutations(rows):
        result = judge(tmp_path, "".join(ordered), "--json")
        assert result.exit_code == 1
        said = summary(result)
        assert [(each["problem"], len(each["lines"])) for each in said["problems"]] == [
            (each["problem"], len(each["lines"])) for each in problems
        ]
        assert "2 rows: they" in result.stderr or "1 row: no event" in result.stderr
        assert "o1" not in result.stderr
        found.append((said["promises"], said["compared"], said["mismatches"], said["fingerprint"], result.exit_code))
    assert len({str(each) for each in found}) == 1
    assert summary(judge(tmp_path, "".join(rows), "--json"))["problems"] == problems


def test_a_value_that_no_row_holds_is_said(tmp_path: Path) -> None:
    """Nothing that a mapping names is looked for in vain without a word."""
    result = judge(tmp_path, BROKEN_ROW)
    assert result.exit_code == 0
    said = [line.partition("m.yaml: ")[2] for line in result.stderr.splitlines() if "m.yaml" in line]
    assert said == [
        "where.state: no row has 'shipped' in column state",
        "events[1].where.state: no row has 'shipped' in column state",
        "verdict.means: no row has 'good' in column known",
        "events[1]: no row tells of a ready",
    ]


@pytest.mark.parametrize("command", ["judge", "replay"])
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "has no event to judge: "),
        (ROW.replace("shipped", "lost"), "no row has 'shipped' and 'sold' in column state"),
        (ROW.replace("2026-07-01", "2026-08-01"), "2 events of it later than --as-of"),
    ],
)
def test_a_history_without_an_event_is_an_error(tmp_path: Path, command: str, rows: str, said: str) -> None:
    """It says why there is none."""
    judge(tmp_path, rows)
    paths = [str(tmp_path / "h.csv"), "--mapping", str(tmp_path / "m.yaml"), "--as-of", AS_OF]
    result = CliRunner().invoke(main, [command, *paths])
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Correct the mapping" in result.stderr


def test_where_promises_are_asked_for_contacts_are_an_error(tmp_path: Path) -> None:
    """With the command that judges them."""
    (tmp_path / "m.yaml").write_text(
        "{every_event: {subject_id: $id}, events: [{topic: contacts, occurred_at: $sold, received: {}}]}"
    )
    (tmp_path / "h.csv").write_text(HEADER + ROW)
    paths = [str(tmp_path / "h.csv"), "--mapping", str(tmp_path / "m.yaml"), "--as-of", AS_OF]
    result = CliRunner().invoke(main, ["judge", *paths])
    assert result.exit_code == 1
    assert "there is no promise in it" in result.stderr
    assert "puntual standards backtest" in result.stderr


def test_people_get_a_table(tmp_path: Path) -> None:
    """With what was compared below it."""
    result = judge(tmp_path, ROW + LATE_ROW)
    assert result.exit_code == 0
    assert "order ready" in result.stdout
    assert "known outcome: 2 of 2 verdicts equal" in result.stdout


def test_the_example_shows_every_way_to_end() -> None:
    """A history that everybody has, judged as its mapping says: open, broken, kept and kept late, all as known."""
    history, mapping = EXAMPLES.parent / "histories" / "orders.csv", EXAMPLES / "orders.yaml"
    as_of = mapping.read_text().partition("Judge as of ")[2].partition(".\n")[0]
    result = CliRunner().invoke(main, ["judge", str(history), "--mapping", str(mapping), "--as-of", as_of])
    assert result.exit_code == 0, result.stderr
    shown = [line.split() for line in result.stdout.splitlines()]
    assert ["promises", "open", "broken", "kept", "kept", "late"] in shown
    assert ["order", "ready", "2", "2", "5", "3"] in shown
    assert "known outcome: 12 of 12 verdicts equal" in result.stdout


def test_a_verdict_other_than_the_known_one_fails(tmp_path: Path) -> None:
    """The first mismatches are named, and the exit code is 1."""
    result = judge(tmp_path, ROW.replace("good", "bad"))
    assert result.exit_code == 1
    assert (
        "1 verdict unlike the known outcome:\n  ana/order_ready/o1: kept, known as broken or kept_late" in result.stderr
    )


def test_events_that_cannot_be_used_fail_with_their_reason(tmp_path: Path) -> None:
    """They would have become dead letters."""
    result = judge(tmp_path, ROW.replace("2026-07-02", "1926-07-02").replace("good", ""))
    assert result.exit_code == 1
    assert "1 event could not be used; 1 of them: invalid: due.at" in result.stderr


def test_order_and_repetition_do_not_matter(tmp_path: Path) -> None:
    """The fingerprint over every record is the same."""
    rows = ROW + LATE_ROW + BROKEN_ROW
    plain = summary(judge(tmp_path, rows, "--json"))
    disturbed = summary(judge(tmp_path, rows, "--json", "--shuffle", "3", "--repeat", "0.5"))
    assert disturbed["fingerprint"] == plain["fingerprint"]
    assert summary(judge(tmp_path, ROW, "--json"))["fingerprint"] != plain["fingerprint"]


def test_each_verdict_can_be_had(tmp_path: Path) -> None:
    """One JSON object a line."""
    judge(tmp_path, ROW + BROKEN_ROW, "--out", str(tmp_path / "out.jsonl"))
    kept, broken = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert kept == {
        "promise_id": "ana/order_ready/o1",
        "state": "kept",
        "reason": "fulfilled",
        "original_due_at": "2026-07-01T22:00:00Z",
        "due_at": "2026-07-01T22:00:00Z",
        "settled_at": "2026-07-01T16:30:00Z",
    }
    assert (broken["state"], broken["reason"]) == ("broken", "due_passed")


def test_a_time_without_offset_is_wrong_usage(tmp_path: Path) -> None:
    """Which midnight was meant must be said."""
    result = judge(tmp_path, ROW, "--as-of", "2026-07-03")
    assert result.exit_code == 2
    assert "has no time zone; write for example 2026-11-26T17:00:00+01:00" in result.stderr


REAL = [
    (
        "boston311",
        "boston311_2015.csv.gz",
        "2016-01-13T00:00:00-05:00",
        {"kept": 60_054, "kept_late": 19_072, "broken": 11_374, "open": 3_501},
    ),
    (
        "olist_instant",
        "olist_orders.csv.gz",
        "2018-10-17T17:30:18-03:00",
        {"kept": 96_476 - 7_827, "kept_late": 7_827, "broken": 2_961, "open": 4},
    ),
    (
        # One of the 2,961 is due on the day of the last event, which is not over.
        "olist_day",
        "olist_orders.csv.gz",
        "2018-10-17T17:30:18-03:00",
        {"kept": 96_476 - 6_535, "kept_late": 6_535, "broken": 2_960, "open": 5},
    ),
]


def judge_real(data: Path, mapping: str, file: str, as_of: str, *options: str) -> Any:
    """The JSON summary of a real history."""
    arguments = [str(data / file), "--mapping", str(EXAMPLES / f"{mapping}.yaml"), "--as-of", as_of, "--json"]
    result = CliRunner().invoke(main, ["judge", *arguments, *options])
    assert result.exit_code == 0, result.stderr
    return summary(result)


@pytest.mark.slow
@pytest.mark.parametrize(("mapping", "file", "as_of", "expected"), REAL, ids=[case[0] for case in REAL])
def test_real_histories_give_their_exact_figures_in_any_order(
    data: Path, mapping: str, file: str, as_of: str, expected: dict[str, int]
) -> None:
    """As known, in less than 30 s; shuffled and with one event in three repeated, byte for byte the same records."""
    started = time.process_time()
    found = judge_real(data, mapping, file, as_of)
    assert time.process_time() - started < 30
    assert found["promises"] == {"order_delivered": expected}
    assert (found["mismatches"], found["unusable"]) == (0, {})
    assert found["compared"] == (94_001 if mapping == "boston311" else 0)
    again = judge_real(data, mapping, file, as_of, "--shuffle", "11", "--repeat", "0.333334")
    assert again["fingerprint"] == found["fingerprint"]


def _rows() -> st.SearchStrategy[list[str]]:
    """Rows of two orders that agree, repeat and contradict each other as they like."""
    row = st.builds(
        lambda *fields: ",".join(fields) + "\n",
        st.sampled_from(["o1", "o2"]),
        st.sampled_from(["ana", ""]),
        st.just("Madrid"),
        st.sampled_from(["sold", "shipped", "lost"]),
        st.sampled_from(["2026-07-01", "2026-07-02", ""]),
        st.sampled_from(["2026-07-02", "2026-07-03"]),
        st.sampled_from(["2026-07-02", "2026-07-04", ""]),
        st.sampled_from(["good", "bad", ""]),
    )
    return st.lists(row, min_size=1, max_size=6)


@given(data=st.data(), rows=_rows())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_order_of_rows_decides_nothing(tmp_path: Path, data: st.DataObject, rows: list[str]) -> None:
    """Neither the verdicts, nor what is compared, nor what is said to be wrong and with how many rows.

    But for what is of one instant, unless the mapping says that the rows are in no order.
    """

    def told(ordered: list[str]) -> object:
        result = judge(tmp_path, "".join(ordered), "--json", mapping=MAPPING.replace("site: $shop", "sequence: 0"))
        if not result.stdout:  # no event at all
            return result.exit_code
        found = summary(result)
        found["problems"] = [(each["problem"], len(each["lines"])) for each in found["problems"]]
        return found, result.exit_code

    assert told(rows) == told(data.draw(st.permutations(rows)))
