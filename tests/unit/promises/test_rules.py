"""The rules document: what it means, and what it says when it means nothing."""

from datetime import time
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
    assert (shop.name, shop.zone) == ("shop", "Europe/Madrid")
    assert shop.hours == ((time(9, 30), time(18)), None, None, None, None, (time(10), time(0)), None)


def test_the_built_in_rules_cover_every_kind() -> None:
    """With a warning and some grace for each."""
    rules = read_rules().rules
    assert set(rules.kinds) == set(PromiseKind)
    assert all(kind.warning and kind.grace for kind in rules.kinds.values())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('version: "3"\n', "", "version is missing"),
        ("  callback:        {calendar: shop}\n", "", "kinds.callback is missing"),
        ("callback:  ", "callbacks:", "kinds.callbacks is no kind of promise; there are appointment, callback"),
        ("grace: 2min", "grace: soon", "kinds.order_ready.grace: 'soon' is no duration; write for example"),
        ("grace: 2min", "graze: 2min", "kinds.order_ready.graze is unknown; there are tolerance, grace, warning"),
        ("warning: 1h, calendar: shop", "calendar: mall", "kinds.order_ready.calendar: there is no calendar 'mall'"),
        ("Europe/Madrid", "Europe/Nowhere", "calendars.shop.zone: 'Europe/Nowhere' is no IANA time zone"),
        ("09:30-18:00", "all day", "calendars.shop.hours.mon: 'all day' is no opening time; write for example"),
        ("09:30-18:00", "18:00-09:30", "calendars.shop.hours.mon: '18:00-09:30' closes before it opens"),
        ("mon:", "monday:", "calendars.shop.hours.monday is no weekday; write mon, tue"),
        (WHOLE, "version: 1\ncalendars: {}\nkinds: 5", "kinds must be a mapping; it is 5"),
        (WHOLE, "[", "line 1, column 2: is no YAML; look there"),
        ("  callback: ", "  order_ready: ", "line 7, column 3: is a key that line 5 gives already; keep one"),
        (WHOLE, "", "the document must be a mapping; it is None"),
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
