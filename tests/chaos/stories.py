"""The lives of promises: what is said of them, when, and how each kind of event says it. Data only."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from puntual.events.v1.common_pb2 import (
    CONSENT_ACCEPTED,
    CONSENT_DECLINED,
    CONSENT_SILENT,
    PARTY_COMPANY,
    PARTY_CUSTOMER,
)
from tests.chaos.reading import APPOINTMENTS, CALLBACKS, ORDERS
from tests.chaos.rules import KINDS

Dated = Literal["", "at", "day"]


class Word(NamedTuple):
    """How something is said: the arm of the event, its fields, and the field that takes the due time."""

    arm: str
    fields: Mapping[str, Any] = {}
    due: str = ""
    #: Fields that say this or that.
    choices: Mapping[str, Sequence[Any]] = {}
    #: The field that takes the beginning of a window, a second before it is due.
    window: str = ""


class Step(NamedTuple):
    """Something that is said; spans in seconds, the earliest and the latest."""

    word: str
    #: When it happens: after the promise was made, or (below 0: before) due as it was first told.
    since: Literal["made", "due"]
    between: tuple[float, float]
    #: How long after that it is published.
    told: tuple[float, float] = (0.0, 0.05)
    #: How long after the first due time the new one lies.
    moved: tuple[float, float] = (0.0, 0.0)


class Story(NamedTuple):
    """One kind of life, and how many of a hundred or so there are."""

    weight: int
    steps: tuple[Step, ...]
    #: Due in seconds, in days, or given as a day.
    due: Literal["soon", "far", "day", "past day"] = "soon"


class Tales(NamedTuple):
    """All that is told of the records of a service."""

    #: For each kind its topic and how its events say what a story tells; a story it has no word for is not its.
    words: Mapping[str, tuple[str, Mapping[str, Word]]]
    stories: Mapping[str, Story]
    #: What events may state beside.
    context: Mapping[str, Sequence[str]] = {}
    #: Seconds after what was said last within which all is over that comes due soon.
    tail: float = 0.0


_US = {"by": PARTY_COMPANY}
_THEM = {"by": PARTY_CUSTOMER}
_AGREED = {"asked_by": PARTY_COMPANY, "consent": CONSENT_ACCEPTED}
_DECLINED = {"asked_by": PARTY_COMPANY, "consent": CONSENT_DECLINED}
_SILENT = {"asked_by": PARTY_COMPANY, "consent": CONSENT_SILENT}
_WISHED = {"asked_by": PARTY_CUSTOMER}
_WHY = {"reason": "agreed on the telephone"}

_COMMON = {
    "cancelled by customer": Word("cancelled", _THEM),
    "cancelled by us": Word("cancelled", _US),
    "cancelled by agreement": Word("cancelled", _US | {"consent": CONSENT_ACCEPTED, "reason": "moved away"}),
    "waived": Word("waived", _WHY),
}


def _moves(arm: str, due: str) -> dict[str, Word]:
    return {
        "moved, agreed": Word(arm, _AGREED, due),
        "moved, declined": Word(arm, _DECLINED, due),
        "moved, silent": Word(arm, _SILENT, due),
        "moved, wished": Word(arm, _WISHED, due),
    }


_ORDER = _COMMON | _moves("renegotiated", "due") | {
    "promised": Word("promised", {}, "due"),
    "chatter": Word("placed"),
}  # fmt: skip
WORDS: Mapping[str, tuple[str, Mapping[str, Word]]] = dict(
    zip(
        KINDS,
        (
            (ORDERS, _ORDER | {"done": Word("ready")}),
            (ORDERS, _ORDER | {"done": Word("delivered"), "attempted": Word("delivered", {"in_full": False})}),
            (CALLBACKS, _COMMON | _moves("renegotiated", "due") | {
                "promised": Word("requested", {}, "promised"), "promised again": Word("promised", {}, "due"),
                "attempted": Word("attempted"), "done": Word("returned"), "chatter": Word("requested"),
            }),
            (APPOINTMENTS, _COMMON | _moves("rescheduled", "window_end") | {
                "promised": Word("booked", {}, "window_end"), "promised again": Word("booked", {}, "window_end"),
                "done": Word("started"), "done again": Word("completed"),
                "no-show of customer": Word("no_show", _THEM), "no-show of us": Word("no_show", _US),
            }),
        ),
        strict=True,
    )
)  # fmt: skip

_PROMISED = Step("promised", "made", (0, 0))
_IN_TIME = Step("done", "due", (-1.4, -0.05))
_MOVED = {"moved": (1.5, 3.0)}
STORIES: Mapping[str, Story] = {
    "kept": Story(25, (_PROMISED, _IN_TIME)),
    "kept within the tolerance": Story(3, (_PROMISED, Step("done", "due", (0.0, 0.9)))),
    "kept late": Story(6, (_PROMISED, Step("done", "due", (1.2, 3.0)))),
    "kept very late": Story(4, (_PROMISED, Step("done", "due", (3.5, 5.5)))),
    "never kept": Story(12, (_PROMISED,)),
    "kept, told late": Story(6, (_PROMISED, _IN_TIME._replace(told=(2.0, 5.0)))),
    "kept, told before the promise": Story(2, (_PROMISED._replace(told=(3.0, 5.0)), _IN_TIME)),
    "promised after it was due": Story(1, (_PROMISED._replace(told=(4.0, 5.0)),)),
    "moved by agreement, kept": Story(
        4, (_PROMISED, Step("moved, agreed", "due", (-0.9, -0.1), **_MOVED), Step("done", "due", (0.1, 1.4)))
    ),
    "moved by agreement, broken": Story(3, (_PROMISED, Step("moved, agreed", "due", (-0.9, -0.1), **_MOVED))),
    "moved by agreement, told late": Story(
        3, (_PROMISED, Step("moved, agreed", "due", (-0.9, -0.1), (2.0, 4.0), (1.5, 3.0)))
    ),
    "moved twice": Story(
        2,
        (
            _PROMISED,
            Step("moved, agreed", "due", (-0.9, -0.5), **_MOVED),
            Step("moved, wished", "due", (-0.4, 0.0), **_MOVED),
        ),
    ),
    "moved to an earlier time": Story(
        1, (_PROMISED, Step("moved, wished", "made", (0.2, 0.4), moved=(-0.8, -0.2)), _IN_TIME)
    ),
    "moved against a no": Story(2, (_PROMISED, Step("moved, declined", "due", (-0.9, -0.1), **_MOVED))),
    "moved without an answer": Story(
        2, (_PROMISED, Step("moved, silent", "due", (-0.9, -0.1), **_MOVED), Step("done", "due", (1.2, 2.0)))
    ),
    "moved as the customer wished": Story(2, (_PROMISED, Step("moved, wished", "due", (-0.9, -0.1), **_MOVED))),
    "moved when broken": Story(2, (_PROMISED, Step("moved, agreed", "due", (0.1, 2.5), **_MOVED))),
    "promised twice": Story(2, (_PROMISED, Step("promised again", "made", (0.1, 0.5), **_MOVED))),
    "cancelled by the customer": Story(2, (_PROMISED, Step("cancelled by customer", "due", (-1.0, 2.0)))),
    "cancelled by us": Story(2, (_PROMISED, Step("cancelled by us", "due", (-1.0, 2.0)))),
    "cancelled by agreement": Story(1, (_PROMISED, Step("cancelled by agreement", "due", (-1.0, -0.1), (0.0, 4.0)))),
    "waived": Story(2, (_PROMISED, Step("waived", "due", (-1.0, 3.0)))),
    "customer does not come": Story(4, (_PROMISED, Step("no-show of customer", "due", (0.0, 2.0)))),
    "we do not come": Story(4, (_PROMISED, Step("no-show of us", "due", (-0.3, 2.0)))),
    "attempted": Story(4, (_PROMISED, Step("attempted", "due", (-1.0, -0.1)))),
    "attempted, then kept": Story(
        4, (_PROMISED, Step("attempted", "due", (-1.0, -0.5)), Step("done", "due", (-0.4, 1.0)))
    ),
    "done twice": Story(2, (_PROMISED, _IN_TIME, Step("done again", "due", (0.0, 1.0)))),
    "talk": Story(3, (Step("chatter", "made", (0.0, 1.0)), _PROMISED, _IN_TIME)),
    "far": Story(5, (_PROMISED,), "far"),
    "far, done": Story(5, (_PROMISED, Step("done", "made", (0.5, 2.0))), "far"),
    "far, moved": Story(2, (_PROMISED, Step("moved, agreed", "made", (0.5, 2.0), moved=(60.0, 9_000.0))), "far"),
    "a day": Story(4, (_PROMISED,), "day"),
    "a day, done": Story(3, (_PROMISED, Step("done", "made", (0.5, 2.0))), "day"),
    "a day that is over": Story(2, (_PROMISED,), "past day"),
    "done, never promised": Story(1, (Step("done", "made", (0.0, 0.5)),)),
}  # fmt: skip

TALES = Tales(WORDS, STORIES)
