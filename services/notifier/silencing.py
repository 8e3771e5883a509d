"""Making, listing and ending silences: what the command line and gRPC have in common, and gRPC's side of it."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from secrets import token_hex

from puntual.notifier.v1 import silence_pb2 as pb
from services.notifier.holds import Silence, faults
from services.notifier.silences_log import SilencesLog, pack_silence, unpack_silence
from services.shared.clock import Now, set_timestamp, wall_clock
from services.shared.errors import PuntualError
from services.shared.ingress import Outgoing, Publish
from services.shared.instant import Instant, format_instant
from services.shared.records import Absent

#: Seconds that this worker gets to hear of what it published itself.
_PATIENCE = 5.0
#: Texts that a silence must have.
_SAID = ("reason", "by")


class NoSilence(PuntualError):
    """A silence that cannot be made: which of its fields, and what is wrong with it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"silence: {field} {problem}. Nothing was published.")
        self.field, self.problem = field, problem


def new_id() -> str:
    """One that no silence has yet."""
    return token_hex(4)


def check(silence: Silence, now: Instant) -> None:
    """Raises NoSilence for one that nobody can mean."""
    over = f"is over, {format_instant(silence.ends_at)}; begin or end it later" if silence.ends_at <= now else ""
    missing = [(name, "is missing; write it for whoever wonders later") for name in _SAID if not getattr(silence, name)]
    for field, problem in (*faults(silence), ("ends_at", over), *missing):
        if problem:
            raise NoSilence(field, problem)


def listed(silences: Iterable[Silence], now: Instant, *, everything: bool) -> Sequence[Silence]:
    """Those in force and to come, or those that are over, too: by when they end."""
    shown = (silence for silence in silences if everything or silence.ends_at > now)
    return sorted(shown, key=lambda silence: (silence.ends_at, silence.silence_id))


class Silencing:
    """Makes and ends silences in the topic, from a worker that follows it."""

    def __init__(self, known: SilencesLog, publish: Publish, topic: str, now: Now = wall_clock) -> None:
        """`known`: what this worker knows of the topic, whose full name is `topic`."""
        self._known, self._publish, self._topic, self._now = known, publish, topic, now
        self._changed = asyncio.Condition()

    def silences(self, *, everything: bool) -> Sequence[Silence]:
        """Those that this worker knows of."""
        return listed(self._known.silences.values(), self._now(), everything=everything)

    async def create(self, wanted: pb.Silence) -> Silence:
        """Publish a silence; what it does not say is filled in. Raises NoSilence, PuntualError, PublishFailed."""
        now = self._now()
        wanted.silence_id = wanted.silence_id or new_id()
        for name in ("starts_at", "created_at"):
            if not wanted.HasField(name):
                set_timestamp(getattr(wanted, name), now)
        try:
            silence = unpack_silence(wanted.silence_id, wanted.SerializeToString())
        except ValueError as error:
            raise PuntualError(f"silence: {error}. Nothing was published.") from error
        check(silence, now)
        await self._write(silence.silence_id, silence)
        return silence

    async def end(self, silence_id: str) -> None:
        """End a silence. Raises Absent where this worker knows of none, PublishFailed."""
        if silence_id not in self._known.silences:
            raise Absent(f"There is no silence {silence_id!r}; ListSilences names them.")
        await self._write(silence_id, None)

    async def heard(self) -> None:
        """To be called whenever this worker goes by other silences."""
        async with self._changed:
            self._changed.notify_all()

    async def _write(self, silence_id: str, silence: Silence | None) -> None:
        """Publish it, and wait until this worker goes by it: who asks the same worker next hears of it."""
        value = pack_silence(silence) if silence else None
        await self._publish([Outgoing(self._topic, silence_id.encode(), value)])
        with suppress(TimeoutError):  # Kafka has it, so all will know in the end
            async with asyncio.timeout(_PATIENCE), self._changed:
                await self._changed.wait_for(lambda: self._known.silences.get(silence_id) == silence)
