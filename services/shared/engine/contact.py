"""When Kafka last answered, whether this worker is still a member of its group, and whether another goes by its name.

aiokafka tells nobody: it tries on. What is asked for by any of its parts passes through here. Written by the
consumer's thread, read by others. By the monotonic clock: what the wall clock does is another matter.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from aiokafka import errors
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest

from services.shared.errors import PuntualError

#: Kafka's code for a member whose name another has taken; aiokafka does not know it.
_FENCED_INSTANCE_ID = 82
_UNKNOWN_MEMBER = errors.UnknownMemberIdError.errno
#: Answers to a member in good standing.
_FINE = frozenset({errors.NoError.errno, errors.RebalanceInProgressError.errno})
#: Requests that only a member can make with success, and of these those that are no part of joining.
_OF_MEMBERS = (HeartbeatRequest, OffsetCommitRequest, SyncGroupRequest)
_OF_STANDING = (HeartbeatRequest, OffsetCommitRequest)
#: Shares of a session: how long Kafka may say nothing before it is asked, and how often that is looked at.
_ASK_AFTER, _LOOK = 1 / 3, 1 / 6

Ask = Callable[..., Awaitable[Any]]


class NameTaken(PuntualError):
    """Another worker of the group has the same PUNTUAL_INSTANCE, and came later."""

    #: Of the process: a supervisor that heeds it does not start this worker again, which would end the other one.
    EXIT_CODE = 78

    def __init__(self, instance: str) -> None:
        super().__init__(f"another worker is called {instance}; give each a PUNTUAL_INSTANCE of its own")


class Contact:
    """What is known of the way to Kafka."""

    def __init__(self, session: float, instance: str | None = None) -> None:
        """`session`: seconds of silence after which Kafka gives this worker's partitions to others."""
        self._session = session
        self._instance = instance
        self._answered_at = monotonic()
        #: When the last request was sent to which the group's coordinator answered as to a member; None: none yet.
        self._member_at: float | None = None
        #: Called once, in the consumer's thread.
        self.name_taken: Callable[[NameTaken], object] = lambda _: None

    def follow(self, client: Any, coordinator: Any) -> None:  # noqa: ANN401 - aiokafka's own
        """Hear what a consumer hears that was started just now."""
        client.send = self._heard(client.send)
        client._metadata_update = self._heard(client._metadata_update)  # noqa: SLF001
        coordinator._send_req = self._as_member(coordinator, coordinator._send_req)  # noqa: SLF001

    async def keep(self, client: Any) -> None:  # noqa: ANN401
        """Ask Kafka for a sign of life where it has had nothing to say: joining a group may take it a minute."""
        while True:
            await asyncio.sleep(self._session * _LOOK)
            if self.silence() > self._session * _ASK_AFTER:
                with suppress(TimeoutError, errors.KafkaError):
                    await asyncio.wait_for(client.force_metadata_update(), self._session * _ASK_AFTER)

    # --- what is known

    def silence(self) -> float:
        """Seconds since Kafka last answered anything."""
        return monotonic() - self._answered_at

    def away(self) -> str | None:
        """Since when Kafka has been silent for longer than a session; None: it answers."""
        silence = self.silence()
        if silence <= self._session:
            return None
        since = datetime.now(UTC) - timedelta(seconds=silence)
        return f"Kafka has not answered for {silence:.0f} s, since {since:%Y-%m-%dT%H:%M:%SZ}."

    def lost(self) -> str | None:
        """Why others may own by now what this worker was given; None: they do not."""
        if away := self.away():
            return away
        silence = monotonic() - (self._member_at or self._answered_at)
        if silence <= self._session:
            return None
        return f"Kafka has not confirmed this worker as a member of its group for {silence:.0f} s."

    # --- hearing

    def _heard(self, ask: Ask) -> Ask:
        async def asked(*args: Any, **options: Any) -> Any:  # noqa: ANN401
            answer = await ask(*args, **options)
            if answer is not False:  # as aiokafka tells that nobody answered a request for metadata
                self._answered_at = monotonic()
            return answer

        return asked

    def _as_member(self, coordinator: Any, ask: Ask) -> Ask:  # noqa: ANN401
        async def asked(request: Any) -> Any:  # noqa: ANN401
            sent_at, is_member = monotonic(), bool(coordinator.member_id)
            if isinstance(request, JoinGroupRequest):
                self._member_at = None
            answer = await ask(request)
            codes = _codes(answer)
            if self._is_taken(codes, stands=is_member and isinstance(request, _OF_STANDING)):
                self.name_taken(NameTaken(self._instance or ""))
                # Joining again would end the other worker, and the two would take turns.
                await asyncio.Event().wait()
            if is_member and codes <= _FINE and isinstance(request, _OF_MEMBERS):
                self._member_at = sent_at
            return answer

        return asked

    def _is_taken(self, codes: Collection[int], *, stands: bool) -> bool:
        """Whether the name is another's by now. `stands`: who asked thought itself a member, and not joining.

        Kafka forgets a member that has a name after a session without a word of it, or when the name comes again. So
        one that was confirmed less than a session ago, counted from when it asked, was not forgotten for its silence.
        """
        if self._instance is None:
            return False
        if _FENCED_INSTANCE_ID in codes:
            return True
        recent = self._member_at is not None and monotonic() - self._member_at < self._session
        return stands and recent and _UNKNOWN_MEMBER in codes


def _codes(answer: Any) -> frozenset[int]:  # noqa: ANN401
    """The error codes of an answer, be it one or one for each partition."""
    if hasattr(answer, "error_code"):
        return frozenset({answer.error_code})
    topics = getattr(answer, "topics", ())
    return frozenset(partition[-1] for _, partitions in topics for partition in partitions)
