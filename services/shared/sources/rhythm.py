"""How long the gaps of a stream usually are, by hour of the week. Pure."""

from typing import Self

from services.shared.instant import Instant


class Rhythm:
    """It has learned nothing, and never does."""

    def heard(self, at: Instant) -> None:
        """Something was heard, in any order."""

    def silent_after(self, last: Instant) -> int | None:  # noqa: ARG002
        """Microseconds after `last` from which silence is not usual any more; None: not learned."""
        return None

    def usual_gap(self, at: Instant) -> int | None:  # noqa: ARG002
        """What gaps around that hour of the week usually do not exceed, in microseconds; None: not learned."""
        return None

    def pack(self) -> bytes:
        """As bytes, a few kB at most."""
        return b""

    @classmethod
    def unpack(cls, data: bytes) -> Self:  # noqa: ARG003
        """From `pack`'s bytes. Raises ValueError where they are none."""
        return cls()
