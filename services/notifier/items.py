"""What is told of: promises and clocks, as far as their receivers are concerned. Pure."""

from enum import IntEnum
from typing import NamedTuple

from services.shared.instant import Instant

#: "No such instant".
NONE = Instant(0)
#: Earlier than any present.
AT_ONCE = Instant(1)
#: How the id of a message ends that the console says in place of a target.
ON_CONSOLE = "-console"


class Standing(IntEnum):
    """How things stand with one promise or clock. Numbers as in the protobuf enum, as in all enums here."""

    UNSPECIFIED = 0
    FINE = 1
    AT_RISK = 2
    BROKEN = 3
    FULFILLED_LATE = 4
    WITHDRAWN = 5
    #: Only of what somebody was told: broken, and that somebody sees to it; broken, and it is to be said again.
    ANSWERED = 6
    UNANSWERED = 7
    #: Somebody says that it is dealt with.
    CLOSED = 8


class Handling(IntEnum):
    """Whether somebody said something to an item."""

    UNSPECIFIED = 0
    ANSWERED = 1
    CLOSED = 2


class Severity(IntEnum):
    """How much it matters."""

    UNSPECIFIED = 0
    INFO = 1
    WARNING = 2
    CRITICAL = 3


class Details(NamedTuple):
    """What a message says of an item beyond its identity; dropped once all who should know do."""

    original_due_at: Instant = NONE
    customer_name: str = ""
    customer_locale: str = ""
    customer_time_zone: str = ""
    customer_tier: str = ""
    site: str = ""
    team: str = ""
    reason: str = ""
    #: Which broken promise to its customer it is of late, where those are too many; 0: they are not. None: not known.
    breaches: int | None = None
    #: Of a silent source: how many breaches are not told because of it.
    waiting: int = 0
    #: The source that could say otherwise and is not heard, and since when.
    unheard: str = ""
    unheard_since: Instant = NONE


class Told(NamedTuple):
    """What one target was told and believes since."""

    target: str
    standing: int
    delivery_id: str
    #: What the provider calls the thread that the message stands in; empty where there is none.
    thread: str = ""
    #: The message that said so was given up.
    lost: bool = False

    @property
    def origin(self) -> str:
        """The delivery that said so to the target, or should have."""
        return self.delivery_id.removesuffix(ON_CONSOLE)

    @property
    def is_owed(self) -> bool:
        """Whether somebody else has to be told, as the console does not say it."""
        return self.lost and not self.delivery_id.endswith(ON_CONSOLE)


class Rise(NamedTuple):
    """What stays broken until an instant matters more from then on."""

    at: Instant
    severity: int


class Item(NamedTuple):
    """One promise or clock, as far as its receivers are concerned."""

    service: str
    record_id: str
    kind: str
    standing: int
    due_at: Instant
    since: Instant
    offset: int
    announced_at: Instant
    severity: int = Severity.UNSPECIFIED
    #: Which cycle of a promise or clock.
    cycle: int = 1
    #: It concerns this receiver group only where it was told of it before.
    follow_up: bool = False
    told: tuple[Told, ...] = ()
    details: Details | None = None
    handling: int = Handling.UNSPECIFIED
    #: How often it came and went of late, and when it last did.
    flips: int = 0
    flipped_at: Instant = NONE
    #: In order. Of a follow-up: it concerns this receiver group, too, once the first has come.
    rises: tuple[Rise, ...] = ()

    @property
    def face(self) -> int:
        """How it stands in the eyes of those who are told."""
        if self.handling == Handling.CLOSED and self.standing in TROUBLE:
            return Standing.CLOSED
        if self.handling == Handling.ANSWERED and self.standing == Standing.BROKEN:
            return Standing.ANSWERED
        return self.standing

    @property
    def is_unanswered(self) -> bool:
        """Whether it is broken, this receiver group's to see to, and nobody does."""
        return self.face == Standing.BROKEN and not self.follow_up


#: What a record can say.
ANNOUNCED: frozenset[int] = frozenset(
    {Standing.FINE, Standing.AT_RISK, Standing.BROKEN, Standing.FULFILLED_LATE, Standing.WITHDRAWN}
)
#: What somebody has to see to.
TROUBLE: frozenset[int] = frozenset({Standing.AT_RISK, Standing.BROKEN})


def slim(item: Item) -> Item:
    """The item without what only a message needs; how many breaches wait may be told later."""
    return item._replace(details=None) if item.details and not item.details.waiting else item


def waiting_for(item: Item) -> int:
    """How many breaches wait for a silent source; 0 of whatever is none."""
    return item.details.waiting if item.details else 0


def identity(item: Item) -> tuple[str, str, int]:
    """What is seen again when the item is: of each cycle people are told apart."""
    return item.service, item.record_id, item.cycle


def weight(item: Item) -> int:
    """How many bytes it takes in a record: rather too many than too few."""
    # Without details the id and the kind; with them the customer and the subject, too, which are parts of the id.
    ids = (3 if item.details else 2) * len(item.record_id)
    texts = sum(len(text) for text in item.details if isinstance(text, str)) if item.details else 0
    return 128 + ids + 4 * texts + 24 * len(item.rises) + sum(102 + len(told.thread) for told in item.told)
