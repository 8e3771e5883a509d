"""The header of what is told although the source that could say otherwise is not heard: which, and since when."""

from services.shared.instant import Instant, format_instant, parse_instant
from services.shared.sources.model import NONE

UNHEARD = "unheard"


def unheard_header(source: str, since: Instant) -> tuple[str, bytes]:
    """Its name and value."""
    return UNHEARD, f"{source} {format_instant(since)}".encode()


def read_unheard(value: bytes | None) -> tuple[str, Instant]:
    """The source and the instant in such a value; empty and NONE where it cannot be read."""
    source, _, since = (value or b"").decode(errors="replace").rpartition(" ")
    try:
        return (source, parse_instant(since)) if source else ("", NONE)
    except ValueError:
        return "", NONE
