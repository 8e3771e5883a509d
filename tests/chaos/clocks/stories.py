"""The lives of clocks: what is said of contacts, callbacks, orders and appointments, and when. Data only."""

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from puntual.events.v1.common_pb2 import CONSENT_ACCEPTED, PARTY_COMPANY, PARTY_CUSTOMER, Due, LocalDay
from puntual.events.v1.contact_event_pb2 import (
    AUTHOR_AUTOMATIC,
    AUTHOR_HUMAN,
    AUTHOR_UNSPECIFIED,
    CONTACT_KIND_CHAT,
    CONTACT_KIND_COMPLAINT,
    CONTACT_KIND_EMAIL,
    CONTACT_KIND_UNSPECIFIED,
    PRIORITY_HIGH,
    PRIORITY_LOW,
    PRIORITY_NORMAL,
    PRIORITY_UNSPECIFIED,
    PRIORITY_URGENT,
)
from tests.chaos.reading import APPOINTMENTS, CALLBACKS, CONTACTS, ORDERS
from tests.chaos.stories import Step, Story, Tales, Word

_KINDS = (CONTACT_KIND_UNSPECIFIED, CONTACT_KIND_EMAIL, CONTACT_KIND_CHAT)
_PRIORITIES = (PRIORITY_UNSPECIFIED, PRIORITY_NORMAL, PRIORITY_HIGH, PRIORITY_URGENT)
#: By when it is promised to call whoever asks: not said, a day, or an instant.
_PROMISED = (Due(), Due(day=LocalDay(date="2031-05-06")), Due(at=Timestamp(seconds=1_900_000_000)))
_OFF = {
    "off by customer": Word("cancelled", {"by": PARTY_CUSTOMER}),
    "off by us": Word("cancelled", {"by": PARTY_COMPANY}),
    "off by agreement": Word("cancelled", {"by": PARTY_COMPANY, "consent": CONSENT_ACCEPTED}),
    "waived": Word("waived", {"reason": "agreed on the telephone"}),
}
_WORDS: Mapping[str, tuple[str, Mapping[str, Word]]] = {
    "contact": (CONTACTS, {
        "begun": Word("received", choices={"kind": _KINDS, "priority": _PRIORITIES}),
        "begun, no hurry": Word("received", {"priority": PRIORITY_LOW}),
        "complaint": Word("received", {"kind": CONTACT_KIND_COMPLAINT}, choices={"priority": _PRIORITIES}),
        "done": Word("replied", choices={"author": [AUTHOR_UNSPECIFIED, AUTHOR_HUMAN]}),
        "automatic": Word("replied", {"author": AUTHOR_AUTOMATIC}),
        "written": Word("customer_wrote"), "thanks": Word("customer_wrote", {"expects_reply": False}),
        "held": Word("held", choices={"reason": ["customer", "parts", "lunch"]}), "resumed": Word("resumed"),
        "settled": Word("resolved"), "closed": Word("closed"), "reopened": Word("reopened"),
        "updated": Word("updated", choices={"priority": _PRIORITIES}),
        "put off": Word("updated", {"priority": PRIORITY_LOW}),
    }),
    "callback": (CALLBACKS, _OFF | {
        "begun": Word("requested", choices={"promised": _PROMISED}), "done": Word("returned"),
        "attempted": Word("attempted"),
    }),
    "order": (ORDERS, _OFF | {
        "begun": Word("ready"), "done": Word("customer_told"), "settled": Word("delivered"),
        "attempted": Word("delivered", {"in_full": False}),
    }),
    "appointment": (APPOINTMENTS, _OFF | {
        "begun": Word("booked", {}, "window_end", {}, "window_start"),
        "moved": Word("rescheduled", {}, "window_end", {}, "window_start"),
        "done": Word("started"), "settled": Word("completed"),
        "no-show of customer": Word("no_show", {"by": PARTY_CUSTOMER}),
        "no-show of us": Word("no_show", {"by": PARTY_COMPANY}),
    }),
}  # fmt: skip

_BEGUN = Step("begun", "made", (0, 0))
_IN_TIME = Step("done", "due", (-1.4, -0.6))
_NO_HURRY = Step("begun, no hurry", "made", (0, 0))
_COMPLAINT = Step("complaint", "due", (-180.5, -179.5), (178.0, 180.5))
_HELD = Step("held", "made", (0.2, 1.2))
_SETTLED = Step("settled", "due", (-1.0, 1.5))
_STORIES: Mapping[str, Story] = {
    "in time": Story(14, (_BEGUN, _IN_TIME)),
    "about when it is due": Story(8, (_BEGUN, Step("done", "due", (-0.8, 1.2)))),
    "late": Story(6, (_BEGUN, Step("done", "due", (1.2, 3.5)))),
    "never": Story(8, (_BEGUN,)),
    "in time, told late": Story(6, (_BEGUN, _IN_TIME._replace(told=(2.0, 5.0)))),
    "in time, told before it began": Story(2, (_BEGUN._replace(told=(3.0, 5.0)), _IN_TIME)),
    "begun, told when it was due": Story(2, (_BEGUN._replace(told=(3.5, 5.0)),)),
    "done before it began": Story(2, (_BEGUN, Step("done", "made", (-0.5, -0.1)))),
    "done twice": Story(2, (_BEGUN, _IN_TIME, Step("done", "due", (0.0, 2.0)))),
    "done, never begun": Story(1, (Step("done", "made", (0.0, 0.5)),)),
    "begun twice": Story(2, (_BEGUN, Step("begun", "made", (0.3, 1.0)))),
    "settled": Story(6, (_BEGUN, _IN_TIME, _SETTLED)),
    "settled without a word": Story(3, (_BEGUN, _SETTLED)),
    "begun, told once more when missed": Story(2, (_BEGUN, Step("begun", "due", (0.1, 1.5)))),
    "attempted": Story(3, (_BEGUN, Step("attempted", "due", (-1.0, 1.0)))),
    "off by customer": Story(3, (_BEGUN, Step("off by customer", "due", (-1.0, 2.0)))),
    "off by us": Story(2, (_BEGUN, Step("off by us", "due", (-1.0, 2.0)))),
    "off by agreement": Story(2, (_BEGUN, Step("off by agreement", "due", (-1.0, 0.5), (0.0, 4.0)))),
    "off, then done": Story(2, (_BEGUN, Step("off by customer", "due", (-1.0, 0.0)), Step("done", "due", (0.1, 2.0)))),
    "off, then begun again": Story(
        5, (_BEGUN, Step("off by customer", "due", (-1.0, 0.5)), Step("begun", "due", (0.6, 1.5), moved=(1.5, 2.5)))
    ),
    "off, then begun again and done, told in no order": Story(
        4, (_BEGUN, Step("waived", "due", (-1.0, 0.5), (0.0, 3.0)),
            Step("begun", "due", (0.6, 1.0), (0.0, 3.0), (1.5, 2.5)), Step("done", "due", (1.2, 4.0), (0.0, 2.0)))
    ),
    "done, then begun again": Story(
        3, (_BEGUN, _IN_TIME, Step("begun", "due", (-0.4, 0.5), (0.0, 3.0), (1.5, 2.5)))
    ),
    "done, moved on paper": Story(2, (_BEGUN, _IN_TIME, Step("moved", "due", (-0.4, 0.5), moved=(1.5, 2.5)))),
    "waived": Story(2, (_BEGUN, Step("waived", "due", (-1.0, 3.0)))),
    "moved": Story(4, (_BEGUN, Step("moved", "made", (0.1, 0.5), moved=(1.0, 3.0)), Step("done", "due", (0.5, 3.0)))),
    "moved, told late": Story(2, (_BEGUN, Step("moved", "due", (-1.5, -0.5), (2.0, 4.0), (1.0, 2.0)))),
    "moved when missed": Story(2, (_BEGUN, Step("moved", "due", (0.1, 1.5), moved=(2.0, 3.0)))),
    "customer does not come": Story(2, (_BEGUN, Step("no-show of customer", "due", (-0.5, 2.0)))),
    "we do not come": Story(2, (_BEGUN, Step("no-show of us", "due", (-0.5, 2.0)))),
    "a machine replies": Story(4, (_BEGUN, Step("automatic", "made", (0.1, 0.5)))),
    "written again": Story(4, (_BEGUN, _IN_TIME, Step("written", "due", (-0.4, 0.5)))),
    "written again, answered": Story(
        6, (_BEGUN, _IN_TIME, Step("written", "due", (-0.5, 0.0)), Step("done", "due", (0.5, 3.0)), _SETTLED)
    ),
    "a thank you": Story(2, (_BEGUN, _IN_TIME, Step("thanks", "due", (-0.4, 0.5)))),
    "three contacts": Story(
        4, (_BEGUN, Step("written", "made", (0.2, 0.8)), Step("written", "made", (0.9, 1.8)), _SETTLED)
    ),
    "held": Story(6, (_BEGUN, _HELD, Step("resumed", "due", (-0.5, 1.5)), Step("done", "due", (0.0, 3.0)), _SETTLED)),
    "held for ever": Story(4, (_BEGUN, _HELD)),
    "held, told late": Story(3, (_BEGUN, _HELD._replace(told=(2.0, 4.0)), Step("resumed", "due", (0.5, 1.5)))),
    "held twice": Story(3, (_BEGUN, _HELD, Step("held", "made", (1.3, 1.8)), Step("resumed", "due", (0.5, 1.5)))),
    "held when it was late": Story(2, (_BEGUN, Step("held", "due", (0.5, 2.0)))),
    "reopened": Story(
        6, (_BEGUN, _IN_TIME, Step("settled", "due", (-0.5, 0.0)), Step("reopened", "due", (0.2, 1.0)),
            Step("settled", "due", (1.5, 5.0)))
    ),
    "reopened, told in no order": Story(
        4, (_BEGUN, Step("settled", "due", (-0.5, 0.0), (0.0, 4.0)), Step("written", "due", (0.1, 0.2), (0.0, 4.0)),
            Step("reopened", "due", (0.3, 1.0), (0.0, 4.0)), Step("done", "due", (1.0, 4.0), (0.0, 2.0)))
    ),
    "closed, reopened": Story(3, (_BEGUN, Step("closed", "due", (-1.0, 2.0)), Step("reopened", "due", (2.0, 3.0)))),
    "more urgent": Story(3, (_BEGUN, Step("updated", "made", (0.2, 1.5)), _IN_TIME)),
    "put off": Story(3, (_BEGUN, Step("put off", "made", (0.2, 1.5))), "far"),
    "put off too late": Story(2, (_BEGUN, Step("put off", "due", (3.5, 4.5)))),
    "complaint": Story(4, (_COMPLAINT,)),
    "complaint, done": Story(5, (_COMPLAINT, Step("done", "due", (-0.5, 1.0)), Step("settled", "due", (0.0, 2.0)))),
    "complaint, held": Story(3, (_COMPLAINT, Step("held", "due", (-1.0, 0.0)), Step("resumed", "due", (0.5, 2.0)))),
    "no hurry": Story(6, (_NO_HURRY,), "far"),
    "no hurry, done": Story(
        3, (_NO_HURRY, Step("done", "made", (0.5, 2.0)), Step("written", "made", (2.5, 3.0))), "far"
    ),
}  # fmt: skip

TALES = Tales(_WORDS, _STORIES, {"customer_tier": ["gold", "gold", "silver"], "channel": ["web"]}, tail=7.0)
