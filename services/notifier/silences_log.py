"""Silences as the topic `silences.v1` has them: protobuf ⇄ `Silence`, and what whoever reads the topic knows."""

import logging
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from puntual.notifier.v1 import silence_pb2 as pb
from services.notifier.holds import Silence, conditions, faults
from services.shared.clock import from_timestamp, set_timestamp

log = logging.getLogger(__name__)

_TIMES = ("starts_at", "ends_at", "created_at")


class SilencesLog:
    """Takes in the messages of the topic, one after the other. What cannot be used silences nobody."""

    def __init__(self, refused: Callable[[], None] = lambda: None) -> None:
        """`refused` is called for each message that cannot be used."""
        self._refused = refused
        #: Those there are, by id; some may be over.
        self.silences: dict[str, Silence] = {}

    def take(self, message: Any) -> bool:  # noqa: ANN401 - of whichever library; both ship no types
        """Take in a message; whether the silences are others since."""
        name = (message.key or b"").decode(errors="replace")
        before = self.silences.pop(name, None)
        if message.value:
            try:
                self.silences[name] = unpack_silence(name, message.value)
            except ValueError as error:
                self._refused()
                log.error("Offset %d holds no silence that can be used: %s", message.offset, error)  # noqa: TRY400
        return self.silences.get(name) != before


def pack_silence(silence: Silence) -> bytes:
    """The message's bytes: the same for equal silences."""
    message = pb.Silence(silence_id=silence.silence_id, reason=silence.reason, by=silence.by)
    for label, values in sorted(silence.match.items()):
        message.match.add(label=label, values=sorted(values))
    for name in _TIMES:
        if at := getattr(silence, name):
            set_timestamp(getattr(message, name), at)
    return message.SerializeToString()


def unpack_silence(key: str, value: bytes) -> Silence:
    """The silence under a key. Raises ValueError, saying what is wrong and how to put it right."""
    try:
        message = pb.Silence.FromString(value)
    except DecodeError as error:
        raise ValueError("it is no puntual.notifier.v1.Silence; use `puntual incidents silence`") from error
    if message.silence_id != key or not key:
        raise ValueError(f"silence_id is {message.silence_id!r}, the key {key!r}; write the same in both")
    silence = Silence(
        silence_id=key,
        # A condition without a value must not vanish, and so widen the rest: it is refused.
        match=conditions((each.label, value) for each in message.match for value in each.values or [""]),
        starts_at=from_timestamp(message.starts_at),
        ends_at=from_timestamp(message.ends_at),
        reason=message.reason,
        by=message.by,
        created_at=from_timestamp(message.created_at),
    )
    for field, problem in faults(silence):
        if problem:
            raise ValueError(f"{field} {problem}")
    return silence
