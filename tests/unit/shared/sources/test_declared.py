"""`sources.yaml`: what can be declared of a source, and what its author is told."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cli.__main__ import main
from services.shared.documents import DocumentError
from services.shared.instant import SECOND, Instant, parse_instant
from services.shared.sources.codec import ARMS
from services.shared.sources.declared import BUILT_IN, parse_declared, read_declared
from services.shared.sources.model import EVERY, Stream

GOOD = """\
after: 90min
sources:
  shop: {silent_after: 15min}
  tills:
    source: till
    topics: [orders, contacts]
    sites: [Madrid, Bilbao]
    silent_after: 30min
    calendar: opening
    outside: 14h
    fulfils: [orders.ready]
calendars:
  opening: {zone: Europe/Madrid, hours: {mon-sat: "09:00-21:00"}}
"""
MINUTE = 60 * SECOND


def test_what_is_declared_of_each_stream() -> None:
    """Of a source without topics and sites all together; else each topic at each site by itself."""
    declared = parse_declared(GOOD, "sources.yaml", ARMS)
    assert declared.after == 90 * MINUTE
    shop, *tills = declared.streams
    assert (shop.stream, shop.silent_after, shop.fulfils) == (Stream("shop", EVERY, EVERY), 15 * MINUTE, frozenset())
    assert {each.stream for each in tills} == {
        Stream("till", topic, site) for topic in ("orders", "contacts") for site in ("Madrid", "Bilbao")
    }
    assert {each.fulfils for each in tills} == {frozenset({"orders.ready"})}


@pytest.mark.parametrize(
    ("last", "silent_at"),
    [
        ("2026-11-27T12:00:00+01:00", "2026-11-27T12:30:00+01:00"),
        ("2026-11-27T20:50:00+01:00", "2026-11-28T09:20:00+01:00"),  # closed for the night
        ("2026-11-28T20:50:00+01:00", "2026-11-29T10:50:00+01:00"),  # closed on Sunday, but 14 h are too long
    ],
)
def test_silence_counts_while_the_calendar_is_open(last: str, silent_at: str) -> None:
    """Half an hour of opening hours, and never more than is allowed outside."""
    till = parse_declared(GOOD, "sources.yaml", ARMS).streams[-1]
    assert till.silent_at(parse_instant(last)) == parse_instant(silent_at)


def test_without_hours_ahead_only_the_longest_silence_counts() -> None:
    """A calendar that is never open again makes nobody silent."""
    text = GOOD.replace('"09:00-21:00"', '"09:00-21:00"').replace("outside: 14h", "outside: 2h")
    till = parse_declared(text, "sources.yaml", ARMS).streams[-1]
    assert till.silent_at(parse_instant("2026-11-28T20:59:00Z")) == parse_instant("2026-11-28T22:59:00Z")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("silent_after: 15min", "", "line 3: sources.shop.silent_after: is missing; write for example 15min"),
        ("15min", "soon", "sources.shop.silent_after: 'soon' is no duration; write for example"),
        ("[orders, contacts]", "[letters]", "sources.tills.topics: 'letters' is unknown; write one of"),
        ("[orders.ready]", "[orders.done]", "sources.tills.fulfils: 'orders.done' is unknown; write one of"),
        ("calendar: opening", "calendar: night", "sources.tills.calendar: 'night' is unknown; write opening"),
        ("    calendar: opening\n", "", "sources.tills.outside: is of no use without a calendar; leave it out, or"),
        ("15min}", "15min, often: yes}", "sources.shop.often: is no field; write one of"),
        ("source: till", "source: shop", "sources.tills: orders at Madrid of shop overlaps what is declared above"),
        ("after: 90min", "after: 0s", "after: '0s' is no time at all; write for example 2h"),
    ],
)
def test_a_problem_names_place_value_and_remedy(old: str, new: str, said: str) -> None:
    """One change to a good document, and what its author is told."""
    assert old in GOOD
    with pytest.raises(DocumentError) as problem:
        parse_declared(GOOD.replace(old, new, 1), "sources.yaml", ARMS)
    assert said in str(problem.value)


def test_what_applies_by_default_declares_nothing() -> None:
    """Only what is learned counts, and for two hours."""
    assert read_declared(BUILT_IN, ARMS) == ((), 120 * MINUTE)


def test_a_file_can_be_checked(tmp_path: Path) -> None:
    """`puntual sources check` says what is declared, or every mistake, without Kafka."""
    file = tmp_path / "sources.yaml"
    file.write_text(GOOD)
    checked = CliRunner().invoke(main, ["sources", "check", str(file)])
    assert checked.output == f"{file}: 5 streams declared, told after 1 h 30 min; all is in order\n"
    file.write_text(GOOD.replace("15min", "soon"))
    refused = CliRunner().invoke(main, ["sources", "check", str(file)])
    assert refused.exit_code == 1
    assert "line 3" in refused.output


def test_the_example_of_the_default_file_can_be_used() -> None:
    """Whoever takes it as it stands, without the leading marks, has a good document."""
    text = BUILT_IN.read_text().partition("# For example:\n")[2].partition("after: 2h\n#   sources")
    example = "".join(line.removeprefix("#").removeprefix("   ") for line in "".join(text).splitlines(keepends=True))
    example = example.removesuffix("after: 2h\n")
    assert len(parse_declared(example, "example", ARMS).streams) == 2
    assert Instant(0) < parse_declared(example, "example", ARMS).after
