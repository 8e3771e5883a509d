"""What people say to an incident: that they see to it, that it can wait, that it is dealt with. Pure.

An acknowledgement covers what was open when it was heard. What breaks later is told and escalates like anything else.
It counts until an instant; what it covered is then unanswered again.
"""

from collections.abc import Collection
from enum import IntEnum
from typing import NamedTuple

from services.notifier.beliefs import Items, Receivers
from services.notifier.items import NONE, TROUBLE, Handling, Item, Standing
from services.shared.instant import SECOND, Instant

#: How many responses an incident keeps, and the most characters of a name and of a comment.
MAX_RESPONSES, MAX_NAME, MAX_COMMENT = 20, 120, 500
#: For how long an incident can be put off, in microseconds.
MAX_SNOOZE = 7 * 86_400 * SECOND


class Action(IntEnum):
    """What somebody does."""

    ACKNOWLEDGE = 1
    TAKE_OVER = 2
    SNOOZE = 3
    RESOLVE = 4
    COMMENT = 5
    RESEND = 6


class Response(NamedTuple):
    """Somebody says something to an incident."""

    response_id: str
    action: int
    by: str
    responded_at: Instant
    #: The run of the incident it is meant for; NONE: whichever was open when it was said.
    opened_at: Instant = NONE
    until: Instant = NONE
    comment: str = ""
    via: str = ""
    #: When it was heard, by the clock on the wall.
    heard_at: Instant = NONE
    #: Resend: who is to be told again; empty: all who could not be reached. Once heard, its comment says so.
    target: str = ""

    @property
    def occurred_at(self) -> Instant:
        return self.responded_at


class Acknowledgement(NamedTuple):
    """Somebody sees to what was open; or, snoozed, it can wait."""

    by: str
    acknowledged_at: Instant
    until: Instant
    snoozed: bool = False


class Attention(NamedTuple):
    """Who sees to an incident, and what was said to it."""

    #: When this run of the incident began.
    opened_at: Instant = NONE
    acknowledgement: Acknowledgement | None = None
    #: The last ones heard.
    responses: tuple[Response, ...] = ()


def answer(attention: Attention, items: Items, response: Response, receivers: Receivers) -> Attention:
    """Takes in a response, in `items` too.

    What was heard before, or is meant for an earlier run of the incident, changes nothing.
    """
    if response.response_id in {known.response_id for known in attention.responses}:
        return attention
    # What does not name the run was not said to one that had not begun.
    if response.opened_at != attention.opened_at and (
        response.opened_at or response.responded_at < attention.opened_at
    ):
        return attention
    kept = response._replace(opened_at=NONE, target="", comment=response.comment or response.target)
    attention = attention._replace(responses=(*attention.responses, kept)[-MAX_RESPONSES:])
    match response.action:
        case Action.RESOLVE:
            _handle(items, Handling.CLOSED)
            return attention._replace(acknowledgement=None)
        case Action.COMMENT:
            return attention
        case Action.RESEND:
            _resent(items, response.target)
            return attention
        case _:
            return _acknowledged(attention, items, response, receivers)


def lapsed(attention: Attention, items: Items) -> Attention:
    """What was acknowledged is unanswered again."""
    for key, item in items.items():
        if item.handling == Handling.ANSWERED:
            items[key] = item._replace(handling=Handling.UNSPECIFIED)
    return attention._replace(acknowledgement=None)


def is_acknowledged(attention: Attention, items: Items) -> bool:
    """Whether somebody sees to all that is open."""
    return attention.acknowledgement is not None and all(item.handling for item in items.values() if _is_open(item))


def _acknowledged(attention: Attention, items: Items, response: Response, receivers: Receivers) -> Attention:
    before, himself = attention.acknowledgement, receivers.himself(response.by)
    # What was only put off nobody sees to.
    taken = before is not None and not before.snoozed and before.by not in himself and is_acknowledged(attention, items)
    if taken and response.action == Action.ACKNOWLEDGE:
        return attention
    snoozed = response.action == Action.SNOOZE
    longest = Instant(response.heard_at + (MAX_SNOOZE if snoozed else receivers.attention))
    until = min(response.until or longest, longest)
    _handle(items, Handling.ANSWERED)
    changed = before is None or before.by not in himself or before.snoozed != snoozed
    for key, item in items.items():
        if item.face == Standing.ANSWERED:
            items[key] = _known_to(item, himself, others_too=not changed)
    return attention._replace(acknowledgement=Acknowledgement(response.by, response.heard_at, until, snoozed))


def _known_to(item: Item, himself: Collection[str], *, others_too: bool) -> Item:
    """The item as he who answered knows that he did. Where somebody else did before, all the others are to hear it."""
    told = []
    for each in item.told:
        if each.target in himself:
            told.append(each._replace(standing=Standing.ANSWERED))
        elif each.standing == Standing.ANSWERED and not others_too:
            # Should it lapse before they hear of it, they are to hear that.
            told.append(each._replace(standing=Standing.UNANSWERED))
        else:
            told.append(each)
    return item._replace(told=tuple(told))


def _resent(items: Items, target: str) -> None:
    """Whoever could not be reached is to hear anew of what is still open: of a risk as if never told."""
    for key, item in items.items():
        lost = [each for each in item.told if each.lost and target in {"", each.target}]
        told = [each for each in item.told if each not in lost]
        if item.is_unanswered:
            items[key] = item._replace(
                told=tuple(sorted((*told, *(each._replace(standing=Standing.UNANSWERED) for each in lost))))
            )
        elif item.face == Standing.AT_RISK and not item.follow_up:
            told += [each for each in lost if each.standing != Standing.AT_RISK]
            items[key] = item._replace(told=tuple(sorted(told)))


def _handle(items: Items, handling: Handling) -> None:
    for key, item in items.items():
        if _is_open(item) and item.handling < handling:
            items[key] = item._replace(handling=handling)


def _is_open(item: Item) -> bool:
    # What does not concern this receiver group, or not yet, nobody answers here.
    concerned = bool(item.told) or not item.follow_up
    return item.standing in TROUBLE and item.handling != Handling.CLOSED and concerned
