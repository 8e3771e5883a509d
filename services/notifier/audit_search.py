"""Looking for entries in the audit topic: what is asked for, and which messages answer it."""

from typing import NamedTuple

from google.protobuf.message import DecodeError

from puntual.notifier.v1.audit_pb2 import AuditEntry
from services.shared.clock import from_timestamp
from services.shared.engine.stage import Message
from services.shared.instant import Instant
from services.shared.times import NoSuchTime, check_times


class Sought(NamedTuple):
    """What is asked for; what is empty asks for nothing."""

    since: Instant = Instant(0)
    #: Only what was before; 0: no end.
    until: Instant = Instant(0)
    incident_id: str = ""
    target: str = ""
    #: A promise or clock, as far as a message lists it.
    record_id: str = ""
    #: How an attempt ended, as a number.
    outcome: int = 0
    #: Whether it is asked for what broke in all incidents, too: of one, or of one promise or clock, it always is.
    breaches: bool = False

    @property
    def key(self) -> bytes | None:
        """Under which key all of it stands; None: under any."""
        return self.incident_id.encode() or None


class AuditSearch:
    """Takes in the messages of the topic, one after the other."""

    def __init__(self, sought: Sought) -> None:
        self._sought = sought
        self._seen: set[str] = set()

    def take(self, message: Message) -> AuditEntry | None:
        """The entry of a message, where it is asked for. Each once: after a crash it may stand there twice.

        What cannot be read, or has times that there are not, answers nothing.
        """
        if self._sought.key not in {None, message.key}:
            return None
        try:
            entry = AuditEntry.FromString(message.value or b"")
            check_times(entry)
        except (DecodeError, NoSuchTime):
            return None
        if entry.entry_id in self._seen or not _answers(entry, self._sought):
            return None
        self._seen.add(entry.entry_id)
        return entry


def _answers(entry: AuditEntry, sought: Sought) -> bool:
    at, told = from_timestamp(entry.at), entry.notification
    return (
        sought.since <= at
        and (not sought.until or at < sought.until)
        and sought.target in {"", told.target}
        and sought.outcome in {0, told.outcome}
        and sought.record_id in {"", entry.item.record_id, *(each.record_id for each in told.records)}
        and (sought.breaches or bool(sought.incident_id or sought.record_id) or not entry.HasField("item"))
    )
