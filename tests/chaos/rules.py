"""What the promises of the fault suite are judged by: short spans, so that verdicts fall within seconds.

The oracle reads these tables; the worker reads the same as a rules file.
"""

from collections.abc import Mapping
from datetime import time
from pathlib import Path
from typing import NamedTuple

VERSION = "chaos"
MILLISECOND, SECOND = 1_000, 1_000_000  # microseconds, as everywhere here


class Spans(NamedTuple):
    """The rules of one kind of promise; spans in microseconds."""

    tolerance: int
    grace: int
    warning: int
    calendar: str


class Calendar(NamedTuple):
    """When a promised day closes, Monday first; None: closed, or open until midnight."""

    zone: str
    closing: tuple[time | None, ...]


KINDS: Mapping[str, Spans] = {
    "order_ready": Spans(0, 1_000 * MILLISECOND, 1_000 * MILLISECOND, "always"),
    "order_delivered": Spans(500 * MILLISECOND, 1_000 * MILLISECOND, 0, "office"),
    "callback": Spans(1_000 * MILLISECOND, 500 * MILLISECOND, 8_000 * MILLISECOND, "office"),
    "appointment": Spans(0, 500 * MILLISECOND, 2_000 * MILLISECOND, "always"),
}
CALENDARS: Mapping[str, Calendar] = {
    "always": Calendar("UTC", (None,) * 7),
    "office": Calendar("Europe/Madrid", (*(time(18),) * 5, None, None)),
}

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def write_rules(directory: Path) -> Path:
    """The tables as the worker's rules file."""
    lines = [f'version: "{VERSION}"', "calendars:"]
    for name, calendar in CALENDARS.items():
        hours = ", ".join(
            f'{day}: "00:00-{closing:%H:%M}"' if closing else f'{day}: "00:00-24:00"'
            for day, closing in zip(_DAYS, calendar.closing, strict=True)
        )
        lines.append(f"  {name}: {{zone: {calendar.zone}, hours: {{{hours}}}}}")
    lines.append("kinds:")
    for kind, spans in KINDS.items():
        texts = (f"{name}: {getattr(spans, name) // MILLISECOND}ms" for name in ("tolerance", "grace", "warning"))
        lines.append(f"  {kind}: {{{', '.join(texts)}, calendar: {spans.calendar}}}")
    path = directory / "rules.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path
