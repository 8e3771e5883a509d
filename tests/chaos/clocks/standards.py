"""What the clocks of the fault suite are judged by: short limits, so that verdicts fall within seconds.

Documents of standards as data, published as JSON, which YAML contains. The oracle reads what was published.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import date, datetime, time as wall_time, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from puntual.sla.v1.standards_pb2 import StandardsVersion
from tests.chaos.rules import MILLISECOND, SECOND
from tests.chaos.tape import Entry

LAWS = "standards.v1"
#: Microseconds from when a version is published to when it is in force.
LEAD = 10 * SECOND

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTE, _DAY = 60, 1_440


def document(version: str, now: float, **more: Any) -> dict[str, Any]:
    """The standards of a run that begins at `now`: its shop was closed for the last whole minute before."""
    opens = int(now // _MINUTE) % _DAY
    closes = (opens - 1) % _DAY
    hours = [(0, closes), (opens, _DAY)] if opens > closes else [(opens, closes)]
    shop = ", ".join(f"{_clock(start)}-{_clock(end)}" for start, end in hours if start < end)
    return {
        "version": version,
        **more,
        "calendars": {
            "always": {"zone": "UTC", "hours": {"mon-sun": "00:00-24:00"}},
            "shop": {"zone": "UTC", "hours": {"mon-sun": shop}},
            "office": {"zone": "Europe/Madrid", "hours": {"mon-thu": "09:00-14:00, 16:00-19:00", "fri": "09:00-15:00"}},
        },
        "policies": [
            {
                "name": "gold",
                "when": {"tier": "gold"},
                "calendar": "always",
                "pauses": {"reasons": ["customer", "parts"], "longest": "1500ms"},
                "targets": {
                    "first_reply": {
                        "limit": "1500ms", "preferred": "700ms", "warnings": ["900ms", "300ms"], "grace": "500ms",
                    },
                    "resolution": {"limit": "2500ms", "warnings": ["1s"]},
                },
            },
            {
                "name": "complaints",
                "when": {"kind": "complaint", "priority": ["", "normal", "high", "urgent"]},
                "calendar": "shop",
                "pauses": {},
                "targets": {
                    "first_reply": {"limit": "2 business minutes", "warnings": ["1s"]},
                    "resolution": {"limit": "2 business minutes", "grace": "1s"},
                },
            },
            {
                "name": "no hurry",
                "when": {"priority": "low"},
                "calendar": "office",
                "pauses": {},
                "targets": {
                    "first_reply": {
                        "limit": "16 business hours", "preferred": "4 business hours", "warnings": ["1 business hour"],
                    },
                    "next_reply": {"limit": "90h"},
                    "periodic_update": {"limit": "80 business hours"},
                    "resolution": {"limit": "200h", "warnings": ["24h"]},
                    "requester_wait": {"limit": "100h"},
                },
            },
            {
                "name": "everybody",
                "calendar": "always",
                "pauses": {"reasons": ["customer"]},
                "targets": {
                    "first_reply": {"limit": "2s", "preferred": "1s", "warnings": ["1s"], "grace": "500ms"},
                    "next_reply": {"limit": "2s", "warnings": ["700ms"]},
                    "resolution": {"limit": "3s", "warnings": ["1500ms"], "grace": "200ms"},
                    "requester_wait": {"limit": "2s", "pauses": {}},
                    "callback_returned": {"limit": "2s", "warnings": ["1200ms"]},
                    "customer_told": {"limit": "1900ms", "preferred": "1500ms", "grace": "1s"},
                    "appointment_started": {"limit": "window", "warnings": ["500ms"]},
                    "contacts_to_resolve": {"limit": "2 contacts"},
                },
            },
        ],
    }  # fmt: skip


def hastened(made: dict[str, Any]) -> dict[str, Any]:
    """The same where nobody has days, so that much of what is open is late at once."""
    made = deepcopy(made)
    for policy in made["policies"]:
        if policy["name"] == "no hurry":
            policy["name"], policy["targets"]["first_reply"] = "hurry", {"limit": "1500ms", "grace": "1s"}
            policy["targets"]["resolution"] = {"limit": "6s", "preferred": "4s", "warnings": ["1s"]}
        if policy["name"] == "everybody":
            policy["targets"]["callback_returned"] = {"limit": "1700ms", "warnings": ["500ms"]}
            policy["targets"]["periodic_update"] = {"limit": "2500ms"}
            del policy["targets"]["next_reply"]
    return made


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def write_standards(directory: Path) -> Path:
    """The first version, as the worker's file of standards."""
    path = directory / "standards.yaml"
    path.write_text(json.dumps(document("1", time.time()), indent=1))
    return path


# --- read again


class Version(NamedTuple):
    """A document, and from when it is in force; 0: always."""

    words: Mapping[str, Any]
    since: int
    published_at: int

    @property
    def name(self) -> str:
        """As its author calls it."""
        return str(self.words["version"])

    @property
    def moves(self) -> bool:
        """Whether it also judges what runs when it comes into force."""
        return bool(self.words.get("apply_to_open"))

    def hours(self, name: str) -> "Calendar":
        """A calendar of it."""
        return Calendar(name, self.words["calendars"][name])


def versions_in(entries: Sequence[Entry]) -> list[Version]:
    """The versions that were published, in the order of their coming into force. Of one name the first counts."""
    found: dict[str, Version] = {}
    for entry in entries:
        words = json.loads(StandardsVersion.FromString(entry.value or b"").document)
        found.setdefault(words["version"], Version(words, entry.at + LEAD if found else 0, entry.at))
    return sorted(found.values(), key=lambda version: version.since)


def span(text: str) -> int:
    """Such as "1500ms" or "2 business minutes", in microseconds."""
    number, _, unit = text.partition(" ") if " " in text else (text.rstrip("hms"), "", text.lstrip("0123456789"))
    return int(number) * _UNITS[unit]


_UNITS: Mapping[str, int] = {
    "ms": MILLISECOND, "s": SECOND, "h": 3_600 * SECOND,
    "business minutes": 60 * SECOND, "business hour": 3_600 * SECOND, "business hours": 3_600 * SECOND,
    "contacts": 1,
}  # fmt: skip


class Calendar:
    """When it is open, day by day."""

    def __init__(self, name: str, words: Mapping[str, Any]) -> None:
        self.name = name
        self._zone = ZoneInfo(words["zone"])
        self._week: list[list[tuple[int, int]]] = [[] for _ in _DAYS]
        for days, hours in words["hours"].items():
            first, _, last = days.partition("-")
            for day in range(_DAYS.index(first), _DAYS.index(last or first) + 1):
                self._week[day] = [_minutes(part) for part in hours.split(", ")]

    def add(self, start: int, length: int) -> int:
        """When it will have been open for so long since `start`."""
        for opens, closes in self._open(start, 1):
            left = closes - max(opens, start)
            if 0 < length <= left:
                return max(opens, start) + length
            length -= max(0, left)
        raise AssertionError

    def back(self, end: int, length: int) -> int:
        """From when on, at the latest, it is open for so long until `end`."""
        for opens, closes in self._open(end, -1):
            left = min(closes, end) - opens
            if 0 < length <= left:
                return min(closes, end) - length
            length -= max(0, left)
        raise AssertionError

    def length(self, start: int, end: int) -> int:
        """How long it is open between two instants."""
        total = 0
        for opens, closes in self._open(start, 1):
            if opens >= end:
                break
            total += max(0, min(closes, end) - max(opens, start))
        return total

    def _open(self, at: int, step: int) -> Iterator[tuple[int, int]]:
        """Its hours from the day before an instant, or back from the day after it."""
        day = datetime.fromtimestamp(at / SECOND, self._zone).date() - timedelta(days=step)
        while True:
            hours = self._week[day.weekday()]
            for start, end in hours[::step]:
                yield self._instant(day, start), self._instant(day, end)
            day += timedelta(days=step)

    def _instant(self, day: date, minute: int) -> int:
        wall = datetime.combine(day, wall_time()) + timedelta(minutes=minute)
        return int(wall.replace(tzinfo=self._zone).timestamp()) * SECOND


def _minutes(text: str) -> tuple[int, int]:
    opens, closes = (int(part[:2]) * 60 + int(part[3:]) for part in text.split("-"))
    return opens, closes
