"""Time zones by name: IANA's, and no others that a machine may have beside them."""

from functools import lru_cache
from zoneinfo import ZoneInfo

UTC = ZoneInfo("UTC")

#: Files beside the zones: what is local to a machine, and the same zones reckoned with leap seconds.
_NONE_OF_THEM = frozenset({"localtime", "posixrules", "Factory"})
_FOLDERS = ("posix/", "right/")


@lru_cache(maxsize=1_024)
def time_zone(name: str) -> ZoneInfo:
    """The zone of a name. Raises ValueError that says what to write where it is none, or means another elsewhere."""
    try:
        if name not in _NONE_OF_THEM and not name.startswith(_FOLDERS):
            return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # not found, a folder, a path
        pass
    raise ValueError(f"{name!r} is no time zone; write one of IANA's, for example Europe/Madrid")


def time_zone_or_utc(name: str) -> ZoneInfo:
    """The zone of a name that an event may have made up; UTC where it is empty or none."""
    try:
        return time_zone(name)
    except ValueError:
        return UTC
