"""The console: notifications on standard output. What nothing else delivers ends up here."""

from textwrap import indent
from typing import TextIO

from services.notifier.channels.channel import Message
from services.notifier.outbox import Accepted, Outcome
from services.shared.fields import Fields
from services.shared.terminal import write


class Console:
    """Writes to a stream."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    @classmethod
    def read(cls, _settings: Fields) -> "Console":
        """It has no settings."""
        return cls()

    async def send(self, message: Message) -> Outcome:
        """Print it; that cannot fail in a way that trying again would mend."""
        lines = f"{message.severity.upper()}  {message.subject}\n{indent(message.text, '  ')}"
        write(lines, to=self._stream)
        return Accepted()

    async def close(self) -> None:
        """Nothing to let go of."""
