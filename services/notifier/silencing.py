"""Making, listing and ending silences: what the command line and gRPC have in common, and gRPC's side of it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from secrets import token_hex

from puntual.notifier.v1 import silence_pb2 as pb
from services.notifier.holds import MAX_NAME, Silence, Window, faults, too_much
from services.notifier.silences_log import SilencesLog, pack_entry, pack_silence, problem_of, unpack_silence
from services.shared.clock import Now, set_timestamp, wall_clock
from services.shared.errors import AlreadyExists, PuntualError
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


def check(silence: Silence, others: Mapping[str, Silence], now: Instant, windows: Sequence[Window] = ()) -> None:
    """Raises NoSilence for one that nobody can mean, or that `others`, those there are already, leave no room for.

    `windows`: the maintenance beside it.
    """
    over = f"is over, {format_instant(silence.ends_at)}; begin or end it later" if silence.ends_at <= now else ""
    missing = [(name, "is missing; write it for whoever wonders later") for name in _SAID if not getattr(silence, name)]
    beside = problem_of(silence, others, windows)
    for field, problem in (*faults(silence), ("ends_at", over), *missing, ("match", beside)):
        if problem:
            raise NoSilence(field, problem)


def listed(silences: Iterable[Silence], now: Instant, *, everything: bool) -> Sequence[Silence]:
    """Those in force and to come, or those that are over, too: by when they end."""
    shown = (silence for silence in silences if everything or silence.ends_at > now)
    return sorted(shown, key=lambda silence: (silence.ends_at, silence.silence_id))


class Silencing:
    """Makes and ends silences in the topic, from a worker that follows it; the audit says so before."""

    def __init__(self, known: SilencesLog, publish: Publish, topic: str, audit: str, now: Now = wall_clock) -> None:
        """`known`: what this worker knows of the topic, whose full name is `topic`; `audit`: that of the audit."""
        self._known, self._publish, self._topic, self._audit, self._now = known, publish, topic, audit, now
        self._changed = asyncio.Condition()

    def silences(self, *, everything: bool) -> Sequence[Silence]:
        """Those that this worker knows of and that count."""
        return listed(self._known.silences.values(), self._now(), everything=everything)

    async def create(self, wanted: pb.Silence) -> Silence:
        """Publish a silence; what it does not say is filled in, and the same twice is made once.

        Raises NoSilence, PuntualError, AlreadyExists, PublishFailed.
        """
        now = self._now()
        wanted.silence_id = wanted.silence_id or new_id()
        set_timestamp(wanted.created_at, now)
        known = self._known.written.get(wanted.silence_id)
        if not wanted.HasField("starts_at"):
            set_timestamp(wanted.starts_at, known.starts_at if known else now)
        try:
            silence = unpack_silence(wanted.silence_id, wanted.SerializeToString())
        except ValueError as error:
            raise PuntualError(f"silence: {error}. Nothing was published.") from error
        if known:
            return _same(known, silence)
        check(silence, self._known.silences, now, self._known.windows)
        await self._write("created", silence, silence.by, now)
        if (made := self._known.written.get(silence.silence_id)) and made != silence:
            return _same(made, silence)  # somebody else was faster, at another worker
        if made and silence.silence_id not in self._known.silences:  # so were those beside which it does not count
            await self._write("ended", silence, silence.by, self._now())
            raise NoSilence("match", problem_of(silence, self._known.silences, self._known.windows))
        return silence

    async def end(self, silence_id: str, by: str) -> None:
        """End a silence. Raises Absent where this worker knows of none, NoSilence for who cannot be, PublishFailed."""
        silence = self._known.written.get(silence_id)
        if silence is None:
            raise Absent(f"There is no silence {silence_id!r}; ListSilences names them.")
        if problem := said_by(by):
            raise NoSilence("by", problem)
        await self._write("ended", silence, by, self._now())

    async def heard(self) -> None:
        """To be called whenever this worker goes by other silences."""
        async with self._changed:
            self._changed.notify_all()

    async def _write(self, action: str, silence: Silence, by: str, now: Instant) -> None:
        """Publish it, and wait until this worker goes by it: who asks the same worker next hears of it."""
        name = silence.silence_id
        stands = silence if action == "created" else None
        await self._publish([Outgoing(self._audit, name.encode(), pack_entry(action, silence, by, "grpc", now))])
        await self._publish([Outgoing(self._topic, name.encode(), pack_silence(stands) if stands else None)])
        with suppress(TimeoutError):  # Kafka has it, so all will know in the end
            async with asyncio.timeout(_PATIENCE), self._changed:
                await self._changed.wait_for(lambda: self._known.written.get(name) == stands)


def said_by(by: str) -> str:
    """What is wrong with whoever ends a silence; empty: nothing."""
    return "is missing; write who ends it" if not by else too_much(by, MAX_NAME)


def _same(known: Silence, wanted: Silence) -> Silence:
    """The silence that there is. Raises AlreadyExists where it is another."""
    if known._replace(created_at=wanted.created_at) != wanted:
        raise AlreadyExists(
            f"There is another silence {wanted.silence_id!r}, made by {known.by!r}; name this one otherwise, or end the"
            " other by EndSilence. Nothing was published."
        )
    return known
