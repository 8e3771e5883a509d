"""What a channel is given, and what it must do."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from services.notifier.outbox import Outcome


class Message(NamedTuple):
    """A notification, worded."""

    #: Stable over retries; the idempotency key for providers that take one.
    delivery_id: str
    incident_id: str
    #: Earlier deliveries to the same target that this one answers.
    answers: tuple[str, ...]
    severity: str
    #: One line.
    subject: str
    #: Plain text, several lines.
    text: str
    #: The same for machines, as JSON.
    payload: Mapping[str, object]


class Channel(Protocol):
    """One way to reach people, with the settings of one target. One file each, and one line in `CHANNELS`."""

    async def send(self, message: Message) -> Outcome:
        """Make one attempt. Never raises for what the network or the provider does, and never tells a secret."""

    async def close(self) -> None:
        """Let go of connections."""
