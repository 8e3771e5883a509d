"""The YAML that people edit: read safely, and refused by its place."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from services.shared.documents import DocumentError, parse_document, read_text
from services.shared.fields import Fields


def test_a_document_is_read() -> None:
    """Mappings, lists and what stands in them."""
    text = 'base: {a: 1, b: [2, true]}\ndeep:\n  er: "*base"'
    assert parse_document(text, "my.yaml").value == {"base": {"a": 1, "b": [2, True]}, "deep": {"er": "*base"}}
    assert parse_document("\ufeff1", "my.yaml").value == 1
    assert parse_document("", "my.yaml").value is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("targets:\n  crm: {secret: hunter2: x}", "line 2, column 24: is no YAML; look"),
        ('a: "hunter2', "line 1, column 12: is no YAML; look there for a missing quote, bracket or colon, or a tab"),
        ("a: *hunter2", "line 1, column 4: stands for something else (*name); write out what it stands for"),
        ("a: &hunter2 1\nb: *hunter2", "line 2, column 4: stands for something else (*name); write out"),
        ("a:\n  <<: {hunter2: 1}", "line 2, column 3: merges in what stands elsewhere (<<); write it out"),
        ("a: hunter" + "2" * 256_000, "is larger than 256,000 bytes; make it shorter"),
        ("- 1\n" * 30_000, "line 20000, column 3: holds more than 20,000 keys and values; make it shorter"),
        ("a: !hunter2 b", "line 1, column 4: is no YAML; look"),
        ("a: !!python/object/apply:hunter2.x [1]", "line 1, column 4: is no YAML; look"),
        ("a: 1\n---\nhunter2: 1", "line 2, column 1: is no YAML; look"),
        ("? [hunter2]\n: 1", "line 1, column 3: is no YAML; look"),
        ("a: b\nc: \x01hunter2", "line 2, column 4: is a character that YAML does not allow; remove it"),
        ("a: 1\nb: 2026-99-99", "line 2, column 4: is no value of its kind; put it in quotes where a text is meant"),
        ("a: !!int hunter2", "line 1, column 4: is no value of its kind; put it"),
        ("a: !!timestamp hunter2", "line 1, column 4: is no value of its kind; put it"),
        ("a: !!bool hunter2", "line 1, column 4: is no value of its kind; put it"),
        ("hunter2: 1\nb: {c: 2}\nhunter2: 3", "line 3, column 1: is a key that line 1 gives already; keep one"),
        ("a:\n  - 'hunter2': 1\n    hunter2: 1", "line 3, column 5: is a key that line 2 gives already; keep one"),
        ("[" * 5_000, "is nested too deeply; make it flatter"),
        ("a: " * 3 + "b", "line 1, column 5: is no YAML; look"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_place_and_never_quoted(text: str, said: str) -> None:
    """File, line, column and remedy. A secret may stand in it."""
    with pytest.raises(DocumentError) as caught:
        parse_document(text, "my.yaml")
    assert str(caught.value).startswith(f"my.yaml: {said}")
    assert "hunter" not in str(caught.value)
    assert caught.value.__context__ is None, "a traceback would show the value"


def test_the_text_of_a_file_is_read_whatever_ends_its_lines(tmp_path: Path) -> None:
    """As UTF-8."""
    path = tmp_path / "my.yaml"
    path.write_bytes("a: ñ\r\nb: 2\r\n".encode())
    assert parse_document(read_text(path), "").value == {"a": "ñ", "b": 2}


def test_a_file_that_is_no_text_is_named_with_the_place(tmp_path: Path) -> None:
    """Without what stands there."""
    path = tmp_path / "my.yaml"
    path.write_bytes("ñ: 1\nhunter: ñ\xff".encode("latin-1").replace(b"\xf1", "ñ".encode()))
    with pytest.raises(DocumentError) as caught:
        read_text(path)
    assert str(caught.value) == f"{path}: line 2, column 10: is not UTF-8; save the file as UTF-8"
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True), "a traceback would show it"


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    """One that is not there, and a directory."""
    with pytest.raises(DocumentError, match=r"none\.yaml: cannot be read: No such file or directory; name a readable"):
        read_text(tmp_path / "none.yaml")
    with pytest.raises(DocumentError, match="cannot be read: Is a directory; name a readable file"):
        read_text(tmp_path)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    """However large it is."""
    path = tmp_path / "my.yaml"
    path.write_bytes(b"#" * 256_000)
    assert read_text(path)
    path.write_bytes(b"#" * 256_001)
    with pytest.raises(DocumentError, match=r"my\.yaml: is larger than 256,000 bytes; make it shorter"):
        read_text(path)


@pytest.mark.parametrize(
    "text",
    [
        f"{'k' * 1_000}: [{', '.join('x' * 15_000)}]",
        "".join(f"{' ' * depth}{'k' * 500}:\n" for depth in range(200)),
    ],
    ids=["under a long name", "deep under long names"],
)
def test_the_places_in_a_document_do_not_outgrow_it(text: str) -> None:
    """Each line is kept with the whole way to it."""
    with pytest.raises(DocumentError, match="is nested too deeply; make it flatter"):
        parse_document(text[:256_000].removesuffix(","), "my.yaml")


def test_words_that_only_old_yaml_takes_for_something_else_are_text() -> None:
    """As YAML 1.2 has it: NO is no falsehood, 10:30 no number of minutes and 007 no seven."""
    text = "{a: [NO, yes, on, Off, 10:30, 007, 1_000, 0x1F], on: [true, False, 12, -3, 1.5, null, ~]}"
    assert parse_document(text, "x.yaml").value == {
        "a": ["NO", "yes", "on", "Off", "10:30", "007", "1_000", "0x1F"],
        "on": [True, False, 12, -3, 1.5, None, None],
    }


def test_a_document_can_be_read_as_the_text_that_is_written() -> None:
    """Only what is left out is nothing."""
    text = "{a: [true, 12, 2026-03-02, null, ~], b: }"
    assert parse_document(text, "x.yaml", as_text=True).value == {
        "a": ["true", "12", "2026-03-02", "null", "~"],
        "b": None,
    }


@pytest.mark.parametrize("word", ["yes", "Yes", "on", "true", "no", "OFF", "false"])
def test_a_switch_may_be_written_as_people_write_it(word: str) -> None:
    """Yes and on are true where one of the two is asked for."""
    fields, problems = Fields.of(f"open: {word}", "x.yaml")
    assert fields.flag("open") == (word.lower() in {"yes", "on", "true"})
    problems.check()


@pytest.mark.parametrize(
    ("text", "place"),
    [("ñ: \x01b", 4), ("ñ: \ud83d", 4), ("ñ: *a", 4), ("ñ: {a: 1, a: 2}", 11), ("ñ: @b", 4), ("ñ: 'b", 6)],
)
def test_a_place_counts_characters(text: str, place: int) -> None:
    """As editors do, not bytes."""
    with pytest.raises(DocumentError, match=f"f.yaml: line 1, column {place}: "):
        parse_document(text, "f.yaml")


def test_a_large_document_is_read_faster_than_the_library_reads_it_by_itself() -> None:
    """Four times, here."""
    text = "".join(f"key {number}: [a, {number}, 'b c']\n" for number in range(3_000))

    def cost(read: Callable[[], object]) -> float:
        start = time.thread_time()
        read()
        return time.thread_time() - start

    ours = min(cost(lambda: parse_document(text, "f.yaml")) for _ in range(3))
    assert ours * 2 < min(cost(lambda: yaml.safe_load(text)) for _ in range(3))
