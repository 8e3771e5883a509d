"""What those who are told believe, and so what they must hear. Pure.

Every item notes what each target was told of it. What a target must hear is the difference between that and how the
item stands now, so what was told once is not told twice, and what nobody believes need not be taken back.

A schedule believes like a target, under its own name: what was said to whoever was on call. Who is on call next hears
only what the schedule does not know yet; who was told hears how it goes on, on call or not.

A person is several targets, each called for some severities, and each believes for itself. A schedule knows what all
those were told that are called for it: what was told by halves, who is on call next rather hears again.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from services.notifier.items import Handling, Item, Severity, Standing, Told, identity
from services.notifier.outbox import CALLS, PRECEDENCE, Delivery, Kind
from services.notifier.pace import Pace
from services.shared.instant import SECOND, Instant

#: An item's identity → the item.
Items = dict[tuple[str, str, int], Item]

#: How long an acknowledgement counts where nobody says otherwise.
ATTENTION = 4 * 3600 * SECOND

#: How to reach somebody: target → the severities of what it is called for.
Contact = Mapping[str, frozenset[int]]
EVERY: frozenset[int] = frozenset(Severity)


class Step(NamedTuple):
    """One step of an escalation: whom to tell when nobody has answered."""

    #: Microseconds since the step before; the first, since something unanswered was first told.
    after: int
    #: As in `Receivers`.
    targets: Mapping[str, str] = {}
    on_call: Mapping[str, Callable[[Instant], str]] = {}
    people: Sequence[str] = ()


class Receivers(NamedTuple):
    """Who is told on a route."""

    #: Target → its channel.
    targets: Mapping[str, str]
    at_risk: bool = False
    #: Schedule → who is on call at an instant, of `others` or of `contacts`. Nobody is named like a schedule.
    on_call: Mapping[str, Callable[[Instant], str]] = {}
    #: Who can be told besides, or was → their channel.
    others: Mapping[str, str] = {}
    #: Whom to tell, step by step, while nobody answers.
    steps: Sequence[Step] = ()
    #: Microseconds for which an acknowledgement counts.
    attention: int = ATTENTION
    pace: Pace = Pace()
    #: Those of `contacts` who are told.
    people: Sequence[str] = ()
    #: Person → the way there, by `others`, each of which is one person's at most. No target is named like a person.
    contacts: Mapping[str, Contact] = {}
    #: Target → who is told instead where it cannot be reached, one of `targets` or `others`; without a circle.
    fallbacks: Mapping[str, str] = {}
    #: Schedule → until when whoever is on call at an instant is so at least.
    shifts: Mapping[str, Callable[[Instant], Instant]] = {}

    @property
    def groups(self) -> Sequence["Receivers | Step"]:
        """Those who are told at once, and those of each step."""
        return (self, *self.steps)

    def duty(self, now: Instant) -> Mapping[str, Contact]:
        """Schedule → how to reach whoever is on call."""
        return {schedule: self.contact(who(now)) for group in self.groups for schedule, who in group.on_call.items()}

    def contact(self, name: str) -> Contact:
        """How to reach a person, or a target: that for everything."""
        return self.contacts.get(name) or {name: EVERY}

    def himself(self, name: str) -> Collection[str]:
        """All names of whoever is called so: a person has those of his targets, too."""
        own = ({who, *targets} for who, targets in self.contacts.items() if name == who or name in targets)
        return next(own, {name})

    def channel(self, target: str) -> str:
        """By which channel a target is told."""
        return self.targets.get(target) or self.others[target]


class Role(NamedTuple):
    """As whom a target hears of what it was not told before."""

    #: The target, or a schedule.
    name: str
    #: Only because nobody answered.
    escalated: bool
    #: Of what it hears.
    severities: frozenset[int] = EVERY
    #: Only of what this one could not be told.
    instead_of: str = ""


#: Target → its roles; none: it hears only how it goes on with what it was told.
Hearers = Mapping[str, Sequence[Role]]

_WORRIED = (Standing.AT_RISK, Standing.BROKEN, Standing.ANSWERED, Standing.UNANSWERED)
_OVER = (Standing.FINE, Standing.FULFILLED_LATE, Standing.WITHDRAWN, Standing.CLOSED)

#: What is believed, and how things stand → what must be heard. Where nothing is listed, nothing.
NEWS: Mapping[tuple[int, int], Kind] = {
    (Standing.UNSPECIFIED, Standing.AT_RISK): Kind.AT_RISK,
    (Standing.UNSPECIFIED, Standing.BROKEN): Kind.BREACH,
    (Standing.AT_RISK, Standing.BROKEN): Kind.BREACH,
    (Standing.AT_RISK, Standing.ANSWERED): Kind.ACKNOWLEDGED,
    (Standing.BROKEN, Standing.ANSWERED): Kind.ACKNOWLEDGED,
    (Standing.UNANSWERED, Standing.ANSWERED): Kind.ACKNOWLEDGED,
    (Standing.ANSWERED, Standing.BROKEN): Kind.REMINDER,
    (Standing.UNANSWERED, Standing.BROKEN): Kind.REMINDER,
    **{(worry, over): Kind.RESOLVED for worry in _WORRIED for over in _OVER},
    **{(worry, Standing.AT_RISK): Kind.RESOLVED for worry in _WORRIED if worry != Standing.AT_RISK},
}

#: What is said to somebody who was not told of the item, instead of what there is to say: at once; in a later step.
_SAID_AT_ONCE = {kind: kind for kind in (Kind.BREACH, Kind.REMINDER, Kind.AT_RISK)}
_SAID_LATER = {Kind.BREACH: Kind.ESCALATION, Kind.REMINDER: Kind.REMINDER}


def hearers(items: Iterable[Item], receivers: Receivers, steps_taken: int, now: Instant) -> Hearers:
    """Everybody who may have to hear something, and as whom."""
    found: dict[str, list[Role]] = {}
    for step, group in enumerate(receivers.groups[: steps_taken + 1]):
        for target in group.targets:
            found.setdefault(target, []).append(Role(target, step > 0))
        for person in group.people:
            for target, severities in receivers.contact(person).items():
                found.setdefault(target, []).append(Role(target, step > 0, severities))
        for schedule, who in group.on_call.items():
            for target, severities in receivers.contact(who(now)).items():
                found.setdefault(target, []).append(Role(schedule, step > 0, severities))
    owing = {told.target for item in items for told in item.told if told.is_owed}
    for target in sorted(owing & receivers.fallbacks.keys()):
        other = receivers.fallbacks[target]
        found.setdefault(other, []).append(Role(other, escalated=False, instead_of=target))
    if receivers.others:
        told = {told.target for item in items for told in item.told}
        found |= {target: [] for target in sorted(told & receivers.others.keys() - found.keys())}
    return found


def news(item: Item, target: str, roles: Sequence[Role], receivers: Receivers) -> Kind | None:
    """What a target must hear about an item, if anything."""
    called = [role for role in roles if item.severity in role.severities]
    if believed := belief(item, target):
        kind = NEWS.get((believed, item.face))
        return None if kind in CALLS and roles and not called else kind
    if not concerns(item, receivers):
        return None
    kinds = [kind for role in called if (kind := _news_as(role, item))]
    return min(kinds, key=PRECEDENCE.index, default=None)


def _news_as(role: Role, item: Item) -> Kind | None:
    if role.instead_of and not any(told.is_owed for told in heard(item, role.instead_of)):
        return None
    kind = NEWS.get((belief(item, role.name), item.face))
    return (_SAID_LATER if role.escalated else _SAID_AT_ONCE).get(kind) if kind else None


def belief(item: Item, name: str) -> int:
    """How a target, or a schedule, was told that an item stands."""
    return next((told.standing for told in item.told if told.target == name), Standing.UNSPECIFIED)


def heard(item: Item, target: str) -> list[Told]:
    """What a target was told of an item; at most one."""
    return [told for told in item.told if told.target == target]


def concerns(item: Item, receivers: Receivers) -> bool:
    """Whether those are to be told who were not yet."""
    if item.follow_up or item.handling == Handling.CLOSED:
        return False
    return item.standing == Standing.BROKEN or (item.standing == Standing.AT_RISK and receivers.at_risk)


def is_live(item: Item, receivers: Receivers) -> bool:
    """Whether it is open, or somebody still believes so."""
    return bool(item.told) or concerns(item, receivers)


def believing(item: Item, delivery: Delivery) -> Item:
    """The item once the target of a delivery is told. Who knows that it is over believes nothing any more."""
    others = [told for told in item.told if told.target != delivery.target]
    if delivery.kind in (Kind.ACKNOWLEDGED, Kind.SNOOZED):
        # What comes later answers the breach, not the word that somebody sees to it.
        others += [told._replace(standing=item.face) for told in heard(item, delivery.target)]
    elif delivery.kind != Kind.RESOLVED:
        others.append(Told(delivery.target, item.face, delivery.delivery_id))
    return item._replace(told=tuple(sorted(others)))


def hand_on(items: Items, duty: Mapping[str, Contact], known: Hearers) -> None:
    """Notes what the schedules believe: what was said to somebody on call, as long as it is not over.

    Where those who know are all gone from the configuration, the schedules know nothing either.
    """
    if duty:
        items.update({key: _handed_on(item, duty, known) for key, item in items.items()})


def _handed_on(item: Item, duty: Mapping[str, Contact], known: Hearers) -> Item:
    people = [told for told in item.told if told.target in known or told.is_owed]
    schedules: list[Told] = []
    for schedule, contact in duty.items():
        believed = belief(item, schedule)
        called = {target for target, severities in contact.items() if item.severity in severities}
        knowing = [told for told in people if told.target in called and told.standing == item.face and not told.lost]
        if knowing and len(knowing) == len(called) and believed != item.face:
            schedules.append(knowing[0]._replace(target=schedule))
        elif people and believed and NEWS.get((believed, item.face)) != Kind.RESOLVED:
            schedules += heard(item, schedule)
    return item._replace(told=tuple(sorted((*people, *schedules))))


def kept(known: Item, severity: int, receivers: Receivers) -> tuple[Told, ...]:
    """What is believed of an item that matters so much now.

    Where it matters more than it did, and people say what they are called for, schedules know nothing: perhaps nobody
    was called for that.
    """
    if severity <= known.severity or not receivers.contacts:
        return known.told
    schedules = {schedule for group in receivers.groups for schedule in group.on_call}
    return tuple(told for told in known.told if told.target not in schedules)


def forget(items: Items, names: Iterable[str]) -> None:
    """Has those called so hear again of what is unanswered, where they were told of it."""
    stale = frozenset(names)
    for key, item in items.items():
        if item.is_unanswered:
            told = (
                told._replace(standing=Standing.UNANSWERED)
                if told.target in stale and told.standing == Standing.BROKEN
                else told
                for told in item.told
            )
            items[key] = item._replace(told=tuple(told))


def of(items: Iterable[Item]) -> Items:
    """Items by their identity."""
    return {identity(item): item for item in items}
