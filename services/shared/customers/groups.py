"""Which ids are one customer's, as merges have it. Pure.

It is the same whatever the order of the merges, and however often they are said; only what would make more than
`MOST_IDS` one hangs on the order, which the log decides for all workers alike.
"""

from services.shared.engine.joined import Group
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant
from services.shared.keys import routing_part

#: What is told under one id is sent to all others: of very many it would be very much.
MOST_IDS = 100


class Groups:
    """What the merges that were read come to."""

    def __init__(self) -> None:
        #: How many were read.
        self.known = 0
        self._groups: dict[bytes, Group] = {}

    def get(self, part: bytes) -> Group | None:
        """The customer that goes by an id, as it stands in keys; None: it has no other."""
        return self._groups.get(part)

    def time(self, now: Instant) -> Instant:
        """How far it is known that no merge is unread. Nothing is read here: `now`."""
        return now

    def merge(self, one: str, other: str, known: int) -> None:
        """Take in that two ids are one customer's; `known`: how many merges are read with this one.

        Raises Unusable where those would be too many.
        """
        self.known = known
        parts = [routing_part(each) for each in (one, other)]
        ids = tuple(sorted({each for part in parts for each in self._ids(part)}))
        if len(ids) > MOST_IDS:
            raise Unusable(
                DeadLetterReason.INVALID, f"more than {MOST_IDS} ids would be one customer; the merge is left out"
            )
        if ids != self._ids(parts[0]):
            group = Group(ids, known)
            self._groups |= dict.fromkeys(ids, group)

    def _ids(self, part: bytes) -> tuple[bytes, ...]:
        group = self._groups.get(part)
        return (part,) if group is None else group.ids
