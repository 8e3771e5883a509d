"""What a channel is given, and what it must do."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from services.notifier.outbox import Outcome


class Message(NamedTuple):
    """A notification, worded."""

    #: Stable over retries; the idempotency key for providers that take one.
    delivery_id: str
    incident_id: str
    #: The target's name in `notifier.yaml`.
    target: str
    #: One of `services.notifier.outbox.Kind` in small letters, or canary.
    kind: str
    #: Earlier deliveries to the same target that this one answers.
    answers: tuple[str, ...]
    #: Those of `answers` of which nothing is open any more: what they raised can be closed.
    over: tuple[str, ...]
    #: The threads of those in `answers`, as the channel named them when it accepted them.
    threads: tuple[str, ...]
    severity: str
    #: One line.
    subject: str
    #: Plain text, several lines.
    text: str
    #: The same for machines, as JSON.
    payload: Mapping[str, object]
    #: Where it can be answered; empty: nowhere.
    link: str = ""
    #: What went wrong where the target's own words failed, so that these are the built-in ones; empty: nothing.
    misworded: str = ""

    @property
    def calls(self) -> bool:
        """Whether it asks for attention; otherwise it says how things went on."""
        return self.kind not in _GOES_ON

    @property
    def eases(self) -> bool:
        """Whether it says that somebody sees to what was told before, or that it can wait."""
        return self.kind in _EASES


_EASES = frozenset({"acknowledged", "snoozed"})
_GOES_ON = _EASES | {"resolved"}


def cut(text: str, length: int) -> str:
    """The text, no longer than that."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


class Channel(Protocol):
    """One way to reach people, with the settings of one target. One file each, and one line in `CHANNELS`."""

    async def send(self, message: Message) -> Outcome:
        """Make one attempt. Never raises for what the network or the provider does, and never tells a secret."""

    async def close(self) -> None:
        """Let go of connections."""
