"""Which names are time zones, wherever one can be written."""

import re
import zoneinfo
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest

from services.promises.codec import machine
from services.promises.rules import BUILT_IN, read_rules
from services.shared.calendars import read_calendars
from services.shared.documents import DocumentError
from services.shared.envelope import Limits
from services.shared.errors import Unusable
from services.shared.explanation import local
from services.shared.fields import Fields
from services.shared.instant import Instant
from services.shared.zones import time_zone, time_zone_or_utc

SERVICES = Path(__file__).parents[3] / "services"
NONE = ["localtime", "posixrules", "Factory", "right/Europe/Madrid", "posix/Europe/Madrid"]


@pytest.fixture(autouse=True)
def machine_with_more(tmp_path: Path) -> Iterator[None]:
    """A machine on which what is no zone looks like one."""
    madrid = resources.files("tzdata").joinpath("zoneinfo", "Europe", "Madrid").read_bytes()
    for name in (*NONE, "Europe/Madrid"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(madrid)
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([tmp_path])
    yield
    zoneinfo.reset_tzpath(before)
    zoneinfo.ZoneInfo.clear_cache()


def of_calendar(name: str) -> None:
    fields, problems = Fields.of(f'c: {{a: {{zone: "{name}", hours: {{mon: "09:00-10:00"}}}}}}', "x.yaml")
    read_calendars(fields.section("c"), lambda _place, _year: {})
    problems.check()


def of_promise(name: str) -> None:
    decode = machine(read_rules(BUILT_IN), Limits(lambda: Instant(1_800_000_000_000_000))).inputs["puntual.orders.v1"]
    day = f'{{"day": {{"date": "2026-03-02", "time_zone": "{name}"}}}}'
    event = '{"event_id": "1", "source": "s", "occurred_at": "2026-03-01T09:00:00Z", "subject_id": "o-1", '
    list(decode((event + f'"promised": {{"milestone": "MILESTONE_READY", "due": {day}}}}}').encode(), True))


@pytest.mark.parametrize("name", [*NONE, "", "Madrid", "Europe", "../etc/passwd", "a\0b", "x" * 5_000, "\ud800"])
def test_what_is_no_zone_is_refused_in_one_way(name: str) -> None:
    """Also what this machine has a file for: elsewhere it would mean another zone, or none."""
    with pytest.raises(ValueError, match=r"is no time zone; write one of IANA's, for example Europe/Madrid"):
        time_zone(name)
    assert time_zone_or_utc(name).key == "UTC"
    assert local(name).zone.key == "UTC"


@pytest.mark.parametrize("name", NONE)
@pytest.mark.parametrize("read", [of_calendar, of_promise])
def test_it_is_refused_wherever_it_is_written(read: Callable[[str], None], name: str) -> None:
    """In documents by their reader, in events as a dead letter."""
    with pytest.raises((DocumentError, Unusable), match="time zone"):
        read(name)
    read("Europe/Madrid")


def test_nothing_else_looks_up_a_zone() -> None:
    """Or it would be refused in another way, or not at all."""
    found = [
        path.relative_to(SERVICES).as_posix()
        for path in sorted(SERVICES.rglob("*.py"))
        if re.search(r'\bZoneInfo\((?!"UTC"\))', path.read_text())
    ]
    assert found == ["shared/zones.py"]
