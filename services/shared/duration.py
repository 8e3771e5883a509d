"""Durations as people write them: "90s", "15min", "2h", "3d", "1h 30min"."""

import re

from services.shared.instant import SECOND

_UNITS = {"ms": SECOND // 1000, "s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND, "d": 86_400 * SECOND}
_PART = re.compile(r"(\d+(?:\.\d+)?) *(ms|s|min|h|d)")
#: Characters. What people write is a dozen.
LONGEST_DURATION = 64
#: Longer than any promise; sums with it stay within what protobuf and datetime can hold.
_MOST = 100 * 366 * _UNITS["d"]


def parse_duration(text: str) -> int:
    """Microseconds. "d" is 24 hours. Raises ValueError, saying what is allowed."""
    if len(text) > LONGEST_DURATION:
        raise ValueError(f"{text[:LONGEST_DURATION]!r}… is too long for a duration; write for example 1h 30min")
    rest = _PART.sub("", text).strip()
    parts = _PART.findall(text)
    if rest or not parts:
        raise ValueError(f'{text!r} is no duration; write for example "90s", "15min", "2h" or "1h 30min"')
    span = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if span > _MOST:
        raise ValueError(f"{text!r} is longer than a hundred years; write less")
    return sum(int(float(number) * _UNITS[unit]) for number, unit in parts)


def format_duration(span: int) -> str:
    """The two largest units of a span in microseconds: "2 h 05 min", "3 d 4 h", "12 s"."""
    seconds = abs(span) // SECOND
    minutes, hours, days = seconds // 60 % 60, seconds // 3600 % 24, seconds // 86_400
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes:02} min"
    if minutes:
        return f"{minutes} min {seconds % 60:02} s" if seconds % 60 else f"{minutes} min"
    return f"{seconds} s" if seconds or not span else f"{abs(span) / 1000:.0f} ms"
