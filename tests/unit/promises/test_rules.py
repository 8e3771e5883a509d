"""The rules document: what it means, and what it says when it means nothing."""

from datetime import date
from pathlib import Path

import pytest

from services.promises.model import KindRules, PromiseKind
from services.promises.rules import read_rules
from services.shared.documents import DocumentError
from tests.unit.promises.builders import MINUTE

WHOLE = """\
version: "3"
calendars:
  shop: {zone: Europe/Madrid, hours: {mon: "09:30-18:00", sat: "10:00-24:00"}}
kinds:
  order_ready:     {tolerance: 1min, grace: 2min, warning: 1h, calendar: shop}
  order_delivered: {calendar: shop}
  callback:        {calendar: shop}
  appointment:     {calendar: shop}
"""


def test_a_document_becomes_rules(tmp_path: Path) -> None:
    """Spans in microseconds, absent ones zero; hours by weekday, absent ones closed."""
    path = tmp_path / "rules.yaml"
    path.write_text(WHOLE)
    book = read_rules(path, horizon=9)
    assert (book.rules.version, book.rules.horizon) == ("3", 9)
    assert book.rules.kinds[PromiseKind.ORDER_READY] == KindRules(MINUTE, 2 * MINUTE, 60 * MINUTE)
    assert book.rules.kinds[PromiseKind.CALLBACK] == KindRules()
    shop = book.calendar_of[PromiseKind.CALLBACK]
    assert (shop.name, shop.zone.key) == ("shop", "Europe/Madrid")
    week = [shop.hours(date(2026, 11, 23 + number)) for number in range(7)]
    assert week == [[(570, 1080)], (), (), (), (), [(600, 1440)], ()]


def test_the_built_in_rules_cover_every_kind() -> None:
    """With a warning and some grace for each."""
    rules = read_rules().rules
    assert set(rules.kinds) == set(PromiseKind)
    assert all(kind.warning and kind.grace for kind in rules.kinds.values())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('version: "3"\n', "", "version: is missing; write it"),
        ('"3"', "3", "line 1: version: 3 is no text; write it in quotes"),
        ("  callback:        {calendar: shop}\n", "", "line 4: kinds.callback: is missing; every kind needs its rules"),
        ("callback:  ", "callbacks:", "line 7: kinds.callbacks: is no field; write one of appointment, callback"),
        ("grace: 2min", "grace: soon", "line 5: kinds.order_ready.grace: 'soon' is no duration; write for example"),
        ("grace: 2min", "graze: 2min", "line 5: kinds.order_ready.graze: is no field; write one of calendar, grace"),
        (
            "warning: 1h, calendar: shop",
            "calendar: mall",
            "line 5: kinds.order_ready.calendar: 'mall' is unknown",
        ),
        ("Europe/Madrid", "Europe/Nowhere", "line 3: calendars.shop.zone: 'Europe/Nowhere' is no time zone; write one"),
        ("09:30-18:00", "all day", "line 3: calendars.shop.hours.mon: 'all day' are no hours; write for example"),
        ("mon:", "monday:", "line 3: calendars.shop.hours.monday: is no weekday; write mon, tue"),
        (WHOLE, "version: 'a'\ncalendars: {}\nkinds: 5", "line 3: kinds: 5 has no fields; write name: value pairs"),
        (WHOLE, "[", "line 1, column 2: is no YAML; look there"),
        ("  callback: ", "  order_ready: ", "line 7, column 3: is a key that line 5 gives already; keep one"),
        (WHOLE, "", "version: is missing; write it"),
    ],
)
def test_a_mistake_is_told_with_file_place_and_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    """One change to a good document, and the error people read."""
    path = tmp_path / "rules.yaml"
    path.write_text(WHOLE.replace(old, new))
    with pytest.raises(DocumentError) as error:
        read_rules(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))
