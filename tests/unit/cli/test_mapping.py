"""Mapping files: what they make of rows, and what they say when they cannot be used."""

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.events.v1.order_event_pb2 import MILESTONE_READY, OrderEvent
from services.cli.__main__ import main
from services.cli.history import BadRow, History, PastEvent, disturbed, read
from services.cli.mapping import load
from services.shared.clock import from_timestamp
from services.shared.documents import DocumentError
from services.shared.instant import Instant, format_instant, parse_instant

EXAMPLES = Path(__file__).parents[2] / "examples" / "mappings"
LATE = parse_instant("2030-01-01T00:00:00Z")
MAPPING = """
zone: Europe/Madrid
where: {state: [sold, shipped]}
every_event: {source: till, subject_id: $id, customer_id: $who, site: $shop}
events:
  - topic: orders
    occurred_at: $sold
    promised: {milestone: MILESTONE_READY, due: {at: $due}}
  - topic: orders
    occurred_at: $done
    where: {state: shipped}
    ready: {}
verdict:
  column: known
  kind: order_ready
  means: {good: kept, bad: [broken, kept_late]}
"""
HEADER = "id,who,shop,state,sold,due,done,known\n"
ROW = "o1,ana,Madrid,shipped,2026-07-01 10:00:00,2026-07-02,2026-07-01 18:30:00,good\n"


def mapped(directory: Path, *rows: str, mapping: str = MAPPING, as_of: Instant = LATE) -> History:
    """What a CSV of these rows tells under a mapping."""
    (directory / "m.yaml").write_text(mapping)
    (directory / "h.csv").write_text(HEADER + "".join(rows))
    return read(directory / "h.csv", load(directory / "m.yaml"), as_of)


def orders(history: History) -> list[OrderEvent]:
    """Its events, parsed."""
    return [OrderEvent.FromString(event.value) for event in history.events]


def test_a_row_becomes_its_events(tmp_path: Path) -> None:
    """Columns fill the fields, fixed values stay, times are read in the mapping's zone."""
    history = mapped(tmp_path, ROW)
    promised, ready = orders(history)
    assert (promised.subject_id, promised.customer_id, promised.site, promised.source) == (
        "o1",
        "ana",
        "Madrid",
        "till",
    )
    assert promised.promised.milestone == MILESTONE_READY
    assert format_instant(from_timestamp(promised.promised.due.at)) == "2026-07-01T22:00:00Z"
    assert format_instant(from_timestamp(ready.occurred_at)) == "2026-07-01T16:30:00Z"
    assert ready.WhichOneof("event") == "ready"
    assert [event.key for event in history.events] == ["ana", "ana"]
    assert history.truths == {b"ana/order_ready/o1": frozenset({"kept"})}


def test_the_same_row_twice_is_the_same_events(tmp_path: Path) -> None:
    """Event ids come from the content, so a duplicated row changes no verdict."""
    once, twice = mapped(tmp_path, ROW), mapped(tmp_path, ROW, ROW)
    assert {event.value for event in once.events} == {event.value for event in twice.events}
    assert len({order.event_id for order in orders(once)}) == 2


def test_rows_and_events_that_do_not_count_are_left_out(tmp_path: Path) -> None:
    """By `where` of the file, by `where` of an event, and by an empty column an event needs."""
    lost = ROW.replace("o1", "o2").replace("shipped", "lost")
    sold = ROW.replace("o1", "o3").replace("shipped", "sold")
    open_ = ROW.replace("o1", "o4").replace("2026-07-01 18:30:00", "")
    no_shop = ROW.replace("o1", "o5").replace("Madrid", "")
    history = mapped(tmp_path, lost, sold, open_, no_shop)
    found = [(order.subject_id, order.WhichOneof("event")) for order in orders(history)]
    assert found == [("o3", "promised"), ("o4", "promised"), ("o5", "promised"), ("o5", "ready")]
    assert history.rows == 4


def test_what_happened_later_was_not_known(tmp_path: Path) -> None:
    """Events after the instant are left out and counted."""
    history = mapped(tmp_path, ROW, as_of=parse_instant("2026-07-01T12:00:00Z"))
    assert [order.WhichOneof("event") for order in orders(history)] == ["promised"]
    assert history.later == 1


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2026-10-25 02:30:00", "2026-10-25T00:30:00Z"),  # exists twice: the first
        ("2026-03-29 02:30:00", "2026-03-29T01:30:00Z"),  # never was: counts on from before the gap
    ],
)
def test_times_where_the_clock_is_changed_have_a_rule(tmp_path: Path, local: str, utc: str) -> None:
    """An hour that exists twice means the first; one that never was counts on."""
    history = mapped(tmp_path, ROW.replace("2026-07-01 10:00:00", local))
    assert format_instant(history.events[0].occurred_at) == utc


def test_other_ways_to_write_times_are_told_by_format(tmp_path: Path) -> None:
    """`format` is strptime's; an offset in the time overrules the zone."""
    mapping = "format: '%d/%m/%Y %H:%M %z'\n" + MAPPING
    row = "o1,ana,,sold,01/07/2026 10:00 +0000,02/07/2026 00:00 +0000,,\n"
    history = mapped(tmp_path, row, mapping=mapping)
    assert format_instant(history.events[0].occurred_at) == "2026-07-01T10:00:00Z"


def test_files_may_be_gzipped_and_customers_absent(tmp_path: Path) -> None:
    """Without a customer the subject is the message key, and the record key says so."""
    mapping = tmp_path / "m.yaml"
    mapping.write_text(
        "{every_event: {subject_id: $id}, events: [{topic: callbacks, occurred_at: $at, returned: {}}],"
        " verdict: {column: end, kind: callback, means: {'': kept, 'x': kept}}}"
    )
    with gzip.open(tmp_path / "h.csv.gz", "wt") as file:
        file.write("id,at,end\ncb 1,2026-07-01T10:00:00Z,x\n")
    history = read(tmp_path / "h.csv.gz", load(mapping), LATE)
    event = CallbackEvent.FromString(history.events[0].value)
    assert (event.source, history.events[0].key, history.events[0].topic) == ("m", "cb 1", "callbacks")
    assert list(history.truths) == [b"~cb%201/callback/cb%201"]


def changed(**changes: Any) -> str:
    """The mapping with some of its top keys replaced; None removes one."""
    document = yaml.safe_load(MAPPING) | changes
    return yaml.safe_dump({key: value for key, value in document.items() if value is not None})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", r"the document: \['1', '2'\] has no fields; write name: value pairs"),
        ("a: [\n]: x", "line 2, column 2: is no YAML; look there"),
        (MAPPING + "zone: UTC", r"line 17, column 1: is a key that line 2 gives already; keep one"),
        (changed(format="%Q"), "line 18: format: '%Q' is no format of strptime; write for example %d/%m/%Y"),
        (changed(zone="Europe"), "line 30: zone: 'Europe' is no time zone; write one of IANA's"),
        (changed(events=[{"topic": ["orders"]}]), r"line 2: events\[0\].topic: \['orders'\] is no text; write it"),
        (
            changed(events=[{"topic": "orders", "occurred_at": "$sold", "ready": {1: 2}}]),
            r"line 2: events\[0\]: is no event of topic orders: .*ready has no field of a name that is not shown here",
        ),
        (
            changed(events=[{"topic": "orders", "occurred_at": "$sold", "promised": {"milestone": "READY"}}]),
            "line 2: events.*: promised.milestone must be one of MILESTONE_READY, MILESTONE_DELIVERED",
        ),
        (
            changed(verdict={"column": "known", "kind": "orders", "means": {"good": "kept"}}),
            "line 20: verdict.kind: 'orders' is unknown; write one of appointment, ",
        ),
        (changed(zones="x"), "line 31: zones: is no field; write one of events, every_event"),
        (changed(zone="Madrid"), "line 30: zone: 'Madrid' is no time zone; write one of IANA's, for"),
        (changed(events=[]), "line 1: events: is missing; list at least one event"),
        (changed(events=[{"topic": "sales"}]), r"line 2: events\[0\].topic: 'sales' is unknown; write one of app"),
        (
            changed(events=[{"topic": "orders", "occurred_at": "$sold"}]),
            r"line 2: events\[0\]: says not what happened; add one",
        ),
        (
            changed(events=[{"topic": "orders", "occurred_at": "$sold", "sold": {}}]),
            r'line 2: events\[0\]: is no event of topic orders: .*no field named "sold"',
        ),
        (
            changed(events=[{"topic": "orders", "ready": {}}]),
            r'line 2: events\[0\].occurred_at: must come from a column, for example "\$column"',
        ),
        (
            changed(events=[{"topic": "orders", "occurred_at": "$sold", "promised": {"milestone": "$m"}}]),
            r"line 4: events\[0\].promised.milestone: only times, texts and the sequence can come from a column",
        ),
        (
            changed(events=[{"topic": "orders", "occurred_at": "$sold", "promised": {"until": "$due"}}]),
            r"line 4: events\[0\].promised.until: OrderPromised has no field until; it",
        ),
        (changed(verdict={"column": "known"}), "line 18: verdict.kind: is missing; write one of appointment, "),
        (changed(verdict={"column": "known"}), "line 18: verdict.means: is missing; write for example {on time: "),
        (changed(verdict={"columns": "known"}), "line 19: verdict.columns: is no field; write one of column"),
        (
            changed(verdict={"column": "known", "kind": "order_ready", "means": {"good": "fine"}}),
            "line 22: verdict.means.good: 'fine' is unknown; write one of at_risk",
        ),
    ],
)
def test_a_mapping_that_cannot_be_used_says_where_and_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    """The message names the file, the key and the remedy."""
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(DocumentError, match=rf"m\.yaml: {said}"):
        load(path)


def test_every_mistake_in_a_mapping_is_said_at_once(tmp_path: Path) -> None:
    """Each with its line."""
    path = tmp_path / "m.yaml"
    path.write_text(
        MAPPING.replace("Europe/Madrid", "right/Europe/Madrid").replace("$due", "$due, by: $x") + "more: 1\n"
    )
    with pytest.raises(DocumentError) as caught:
        load(path)
    assert re.findall(r"line (\d+): ([a-z\[\]\d.]+)", str(caught.value)) == [
        ("2", "zone"), ("8", "events[0].promised.due.by"), ("17", "more"),
    ]  # fmt: skip


def test_a_mapping_of_other_bytes_is_refused(tmp_path: Path) -> None:
    """Not with a traceback."""
    path = tmp_path / "m.yaml"
    path.write_bytes(b"zone: \xff\xfe")
    with pytest.raises(DocumentError, match=r"m\.yaml: line 1, column 7: is not UTF-8; save the file as UTF-8"):
        load(path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (ROW.replace("2026-07-02", "soon"), "line 2: column due is no time in ISO 8601; is `format` in .* right"),
        (ROW.replace("good", "soon"), "line 2: column known: verdict.means explains only good, bad"),
        (ROW + "o2,soon\n", "line 3: there are 8 columns, but 2 fields here; a text with a comma needs double quotes"),
        (ROW + ROW.replace("ana", "soon, ana"), "line 3: there are 8 columns, but 9 fields here"),
        (ROW + '"o2,soon\n', "after line 2: unexpected end of data; is a double quote missing, or one too many"),
        (ROW + ROW.replace("ana", '"soon"ana'), "after line 2: ',' expected after '\"'; is a double quote missing"),
    ],
)
def test_a_row_that_cannot_be_read_says_which_and_not_what_is_in_it(tmp_path: Path, row: str, said: str) -> None:
    """The message names the file, the line and the column; what stands there may be a customer's."""
    with pytest.raises(BadRow, match=rf"h\.csv, {said}") as caught:
        mapped(tmp_path, row)
    assert "soon" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("h.csv", (HEADER + ROW).encode() + b"o2,\xff,,,,,,\n", r"h\.csv, after line 1: the text is not UTF-8; save"),
        ("h.csv.gz", (HEADER + ROW).encode(), r"h\.csv\.gz cannot be read: Not a gzipped file"),
        ("h.csv.gz", gzip.compress((HEADER + ROW).encode())[:60], r"h\.csv\.gz cannot be read: .*; .gz must be gzip"),
        ("h.csv", b"", r"h\.csv has no column done, due, .*, which .* names; it has nothing"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """Not with a traceback."""
    (tmp_path / "m.yaml").write_text(MAPPING)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadRow, match=said):
        read(tmp_path / name, load(tmp_path / "m.yaml"), LATE)


def test_files_of_spreadsheets_may_begin_with_a_mark_and_end_with_empty_lines(tmp_path: Path) -> None:
    """The byte order mark is no part of the first column's name."""
    (tmp_path / "m.yaml").write_text(MAPPING)
    (tmp_path / "h.csv").write_text(HEADER + ROW + "\n\n", encoding="utf-8-sig")
    assert read(tmp_path / "h.csv", load(tmp_path / "m.yaml"), LATE).rows == 1


def test_a_missing_column_is_named_beside_those_there_are(tmp_path: Path) -> None:
    """Before any row is read."""
    with pytest.raises(BadRow, match=r"has no column price, which .*m\.yaml names; it has id, who"):
        mapped(tmp_path, ROW, mapping=MAPPING.replace("$shop", "$price"))


def test_values_are_the_text_they_are_written_as(tmp_path: Path) -> None:
    """Yes, NO, true, on, 007 and dates need no quotes; an event's own true and false are what they say."""
    (tmp_path / "m.yaml").write_text("""
every_event: {source: NO, subject_id: $id, customer_id: $who, site: on}
events:
  - {topic: contacts, occurred_at: $at, where: {paid: [Yes, NO, true, on, 007, 2026-03-02]}, customer_wrote: {
     expects_reply: false}}
verdict: {column: paid, kind: callback, means: {Yes: kept, NO: kept, true: kept, on: kept, 007: kept, 2026-03-02: kept}}
""")
    values = ["Yes", "NO", "true", "on", "007", "2026-03-02"]
    lines = [f"{number},c,2026-03-02T10:00:00Z,{value}" for number, value in enumerate([*values, "yes", "7", "True"])]
    (tmp_path / "h.csv").write_text("id,who,at,paid\n" + "\n".join(lines))
    history = read(tmp_path / "h.csv", load(tmp_path / "m.yaml"), LATE)
    events = [ContactEvent.FromString(event.value) for event in history.events]
    assert [event.subject_id for event in events] == list("012345")
    assert {(event.source, event.site, event.customer_wrote.expects_reply) for event in events} == {("NO", "on", False)}
    assert history.problems == [
        ("no event comes of it, because column paid is not as any of its events asks", [8, 9, 10])
    ]
    assert history.remarks == []


@pytest.mark.parametrize(
    ("format_", "text"),
    [("epoch seconds", "1772445600"), ("epoch seconds", "1772445600.0"), ("epoch milliseconds", "1772445600000")],
)
def test_times_since_1970_are_read_where_the_mapping_says_so(tmp_path: Path, format_: str, text: str) -> None:
    """Without it a number is refused, with what to write."""
    row = f"o1,ana,,sold,{text},{text},,\n"
    history = mapped(tmp_path, row, mapping=f"format: {format_}\n" + MAPPING)
    assert format_instant(history.events[0].occurred_at) == "2026-03-02T10:00:00Z"
    with pytest.raises(
        BadRow, match=r'column sold is a number, no time in ISO 8601; write in .*m.yaml format: "epoch sec'
    ):
        mapped(tmp_path, row)


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Which of the two is meant nobody can tell."""
    (tmp_path / "m.yaml").write_text(MAPPING)
    (tmp_path / "h.csv").write_text(HEADER.replace("state", "sold") + ROW)
    with pytest.raises(BadRow, match="has no column state"):
        read(tmp_path / "h.csv", load(tmp_path / "m.yaml"), LATE)
    (tmp_path / "h.csv").write_text(HEADER.replace("\n", ",sold\n") + ROW.replace("\n", ",\n"))
    with pytest.raises(BadRow, match=r"has column sold twice, which .* names; rename one of them"):
        read(tmp_path / "h.csv", load(tmp_path / "m.yaml"), LATE)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_mappings(path: Path) -> None:
    """What the documentation shows works."""
    assert load(path).events


def test_the_mapping_that_help_shows_is_one(tmp_path: Path) -> None:
    """And it reads a row as it says."""
    text = CliRunner().invoke(main, ["judge", "--help"]).stdout.partition("A mapping file;")[2]
    (tmp_path / "m.yaml").write_text(text.partition("\n")[2])
    (tmp_path / "h.csv").write_text(
        "id,who,state,sold,due,done,result\no1,ana,sold,01/07/2026 10:00,02/07/2026 10:00,,bad\n"
    )
    history = read(tmp_path / "h.csv", load(tmp_path / "m.yaml"), LATE)
    assert [order.WhichOneof("event") for order in orders(history)] == ["promised"]
    assert history.truths == {b"ana/order_ready/o1": frozenset({"broken", "kept_late"})}


def test_disturbing_events_only_repeats_and_reorders() -> None:
    """Without a seed the order stays, and no event is lost or invented."""
    events = [PastEvent(Instant(number), "orders", "k", b"") for number in range(300)]
    shuffled = disturbed(events, 7, 1 / 3)
    assert len(shuffled) == 400
    assert {*shuffled} == {*events}
    assert shuffled[:300] != events
    assert disturbed(events, 7, 1 / 3) == shuffled
    assert disturbed(events, None, 0) == events
