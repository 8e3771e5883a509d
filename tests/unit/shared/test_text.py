"""Text from outside, made safe to show."""

import json

import pytest
from hypothesis import given, strategies as st

from services.shared.text import clean, defanged, refanged, shortened, visible


@given(st.text())
def test_what_is_made_visible_can_be_seen_and_read_back(text: str) -> None:
    """As JSON spells it; what could be seen before is as it was."""
    shown = visible(text)
    assert visible(shown) == shown
    if text.isprintable():
        assert shown == text
    said = json.dumps(text, ensure_ascii=False)
    assert json.loads(visible(said)) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://evil.com/x", "https[:]//evil[.]com/x"),
        ("see http://a.b.evil.co.uk:80/x?y", "see http[:]//a[.]b[.]evil[.]co[.]uk:80/x?y"),
        ("slack://open", "slack[:]//open"),
        ("www.evil.Com", "www[.]evil[.]Com"),
        ("EVIL.COM", "EVIL[.]COM"),
        ("good.com.evil.com", "good[.]com[.]evil[.]com"),
        ("xn--80ak6aa92e.xn--p1ai", "xn--80ak6aa92e[.]xn--p1ai"),
    ],
)
def test_web_addresses_are_broken_up(text: str, shown: str) -> None:
    """People still read them."""
    assert defanged(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Dr.Rossi",
        "S.A.",
        "o-1.2",
        "v1.2.3",
        "10:30",
        "ana@example.com",
        "a/b",
        "2026-11-26 17:00 Europe/Madrid",
        "...",
        "€ 3.50",
    ],
)
def test_what_is_no_web_address_stays(text: str) -> None:
    """Names, numbers, times and mail addresses."""
    assert defanged(text) == text


@given(st.text(alphabet="a.:/-wcom%5B", max_size=40))
def test_an_id_out_of_a_message_is_the_id_again(record_id: str) -> None:
    """Commands that messages name can be pasted."""
    assert refanged(defanged(record_id)) == record_id


def test_text_is_shortened_in_its_middle() -> None:
    """Its beginning and its end say the most; it is never longer than asked for."""
    text = f"There is no {'x' * 60_000}; ask for another."
    short = shortened(text, 100)
    assert len(short) == 100
    assert short.startswith("There is no x")
    assert short.endswith("; ask for another.")
    assert shortened("short", 5) == "short"


def test_joiners_stay_in_clean_names() -> None:
    """Some scripts, and emoji of several parts, cannot do without."""
    assert clean("क्\u200dष \u202e\u200bx") == "क्\u200dष x"
