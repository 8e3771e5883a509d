"""Silences as the topic `silences.v1` has them: protobuf ⇄ `Silence`, and what whoever reads the topic knows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from puntual.notifier.v1 import audit_pb2, silence_pb2 as pb
from services.notifier.holds import Silence, Window, conditions, faults
from services.notifier.kinds import KINDS
from services.notifier.unions import Union
from services.shared.clock import from_timestamp, set_timestamp
from services.shared.instant import Instant
from services.shared.text import shortened

_TIMES = ("starts_at", "ends_at", "created_at")
#: Of what an error repeats: characters.
_REPEATED = 60
_UNION = Union(KINDS)


class SilencesLog:
    """Takes in the messages of the topic, one after the other. What cannot be used silences nobody."""

    def __init__(self, refused: Callable[[int, str], None] = lambda *_: None, windows: Sequence[Window] = ()) -> None:
        """`refused` is called with the offset of each message that cannot be used, and what is wrong with it.

        `windows`: the maintenance beside which silences are judged.
        """
        self._refused = refused
        self.windows = windows
        #: All that can be read, by id, in the order in which they were written; some may be over.
        self.written: dict[str, Silence] = {}
        self._offsets: dict[str, int] = {}
        self._counting: Mapping[str, Silence] | None = None
        self._said: set[tuple[str, int]] = set()

    @property
    def silences(self) -> Mapping[str, Silence]:
        """Those that count, by id; some may be over."""
        if self._counting is None:
            counting, refused = _UNION.count(self.written.values(), self.windows)
            self._counting = {silence.silence_id: silence for silence in counting}
            told = {(silence.silence_id, self._offsets[silence.silence_id]): problem for silence, problem in refused}
            for each, problem in told.items():
                if each not in self._said:
                    self._refused(each[1], f"match {problem}")
            self._said = set(told)
        return self._counting

    def take(self, message: Any) -> bool:  # noqa: ANN401 - of whichever library; both ship no types
        """Take in a message; whether the silences may be others since."""
        name = (message.key or b"").decode(errors="replace")
        before = self.written.pop(name, None)
        if message.value:
            try:
                self.written[name] = unpack_silence(name, message.value)
                self._offsets[name] = message.offset
            except ValueError as error:
                self._refused(message.offset, str(error))
        is_new = self.written.get(name) != before
        if is_new:
            self._counting = None
        return is_new


def problem_of(silence: Silence, others: Mapping[str, Silence], windows: Sequence[Window] = ()) -> str:
    """What is wrong with a silence beside those there are already, and maintenance; empty: nothing."""
    among = [*(other for name, other in others.items() if name != silence.silence_id), silence]
    return next((problem for refused, problem in _UNION.count(among, windows).refused if refused is silence), "")


def pack_silence(silence: Silence) -> bytes:
    """The message's bytes: the same for equal silences."""
    return _message(silence).SerializeToString()


def pack_entry(action: str, silence: Silence, by: str, via: str, at: Instant) -> bytes:
    """The bytes of what the audit says of it: "created" or "ended", by whom, through what, and when."""
    entry = audit_pb2.AuditEntry(
        entry_id=f"silence:{silence.silence_id}:{action}:{at}",
        silence=audit_pb2.AuditedSilence(action=action, silence=_message(silence), by=by, via=via),
    )
    set_timestamp(entry.at, at)
    return entry.SerializeToString()


def _message(silence: Silence) -> pb.Silence:
    message = pb.Silence(
        silence_id=silence.silence_id, reason=silence.reason, by=silence.by, everything=silence.everything
    )
    for label, values in sorted(silence.match.items()):
        message.match.add(label=label, values=sorted(values))
    for name in _TIMES:
        if at := getattr(silence, name):
            set_timestamp(getattr(message, name), at)
    return message


def unpack_silence(key: str, value: bytes) -> Silence:
    """The silence under a key. Raises ValueError, saying what is wrong and how to put it right."""
    try:
        message = pb.Silence.FromString(value)
    except DecodeError as error:
        raise ValueError("it is no puntual.notifier.v1.Silence; use `puntual incidents silence`") from error
    if message.silence_id != key or not key:
        said, under = (repr(shortened(each, _REPEATED)) for each in (message.silence_id, key))
        raise ValueError(f"silence_id is {said}, the key {under}; write the same in both")
    silence = Silence(
        silence_id=key,
        # A condition without a value must not vanish, and so widen the rest: it is refused.
        match=conditions(
            (shortened(each.label, _REPEATED), value) for each in message.match for value in each.values or [""]
        ),
        starts_at=from_timestamp(message.starts_at),
        ends_at=from_timestamp(message.ends_at),
        reason=message.reason,
        by=message.by,
        created_at=from_timestamp(message.created_at),
        everything=message.everything,
    )
    for field, problem in faults(silence):
        if problem:
            raise ValueError(f"{field} {problem}")
    return silence
