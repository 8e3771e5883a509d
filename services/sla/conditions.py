"""What a policy is for, as its author writes it.

    when: {priority: [high, urgent], tier: gold}             all of these
    when: {any: [{team: billing}, {site: Sevilla}]}          one of these at least
    when: {not: {channel: chat}, weekday: [sat, sun]}        and so on, one within the other

A field is empty where no event has stated it; "" asks for just that.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.shared.calendars import WEEKDAYS
from services.shared.fields import Fields

#: What conditions may ask for, and the values there are where not any text is one.
ASKED: Mapping[str, Sequence[str]] = {
    "kind": ("email", "chat", "phone", "complaint", "callback", "order", "appointment"),
    "priority": ("low", "normal", "high", "urgent"),
    "tier": (),
    "team": (),
    "channel": (),
    "site": (),
    "weekday": WEEKDAYS,
}
_ALL, _ANY, _NOT = "all", "any", "not"

#: What is known of a case, by the names above. None: not known, which is neither equal nor unequal to anything.
About = Mapping[str, str | None]


class Condition(NamedTuple):
    """`all` or `any` of its parts, `not` the only one, or whether a field has one of some values."""

    #: all, any, not, or a field's name.
    asks: str
    values: frozenset[str] = frozenset()
    parts: tuple["Condition", ...] = ()


#: No condition at all.
ALWAYS = Condition(_ALL)


def holds(condition: Condition, about: About) -> bool | None:
    """Whether it does; None where that hangs on what is not known."""
    match condition.asks:
        case "all":
            return _and(holds(part, about) for part in condition.parts)
        case "any":
            return _not(_and(_not(holds(part, about)) for part in condition.parts))
        case "not":
            return _not(holds(condition.parts[0], about))
    value = about[condition.asks]
    return None if value is None else value in condition.values


def _and(answers: Iterable[bool | None]) -> bool | None:
    found = set(answers)
    return False if False in found else None if None in found else True


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def fields_of(condition: Condition) -> frozenset[str]:
    """What it asks for."""
    values: dict[str, set[str]] = {}
    _collect(condition, values)
    return frozenset(values)


class TooManyCases(Exception):
    """There are more cases than can be tried."""


class Effort:
    """How much may still be tried, in conditions looked at."""

    def __init__(self, left: int = 1_000_000) -> None:
        self._left = left

    def spend(self, amount: int) -> None:
        """Raises TooManyCases where nothing is left."""
        self._left -= amount
        if self._left < 0:
            raise TooManyCases


def example(wanted: Condition, shadows: Sequence[Condition], effort: Effort | None = None) -> Mapping[str, str] | None:
    """A case for which one condition holds and none of the others does; None where there is no such case.

    Raises TooManyCases: the more values conditions name, the more cases there are.
    """
    rest = Condition(_NOT, parts=(Condition(_ANY, parts=tuple(shadows)),))
    whole = Condition(_ALL, parts=(wanted, rest))
    values: dict[str, set[str]] = {}
    _collect(whole, values)
    free = {name: sorted(known) + _other(name, known) for name, known in values.items()}
    return _search(whole, {}, free, effort or Effort(), _size(whole))


def _size(condition: Condition) -> int:
    return 1 + sum(map(_size, condition.parts))


def _search(
    condition: Condition, about: dict[str, str], free: Mapping[str, Sequence[str]], effort: Effort, size: int
) -> Mapping[str, str] | None:
    """Field by field, giving up as soon as what is chosen decides."""
    effort.spend(size)
    answer = holds(condition, {name: about.get(name) for name in ASKED})
    if answer is not None:
        return about if answer else None
    name, *others = free
    for value in free[name]:
        if found := _search(condition, {**about, name: value}, {other: free[other] for other in others}, effort, size):
            return found
    return None


def _collect(condition: Condition, values: dict[str, set[str]]) -> None:
    if condition.asks in ASKED:
        values.setdefault(condition.asks, set()).update(condition.values)
    for part in condition.parts:
        _collect(part, values)


def _other(name: str, known: set[str]) -> list[str]:
    """A value that no condition names; none where all there are are named. Only a weekday is always known."""
    there_are = (*ASKED[name], *(() if name == "weekday" else ("",))) if ASKED[name] else ("anything else",)
    return [value for value in there_are if value not in known][:1]


def read_condition(fields: Fields) -> Condition:
    """The condition in a section; `ALWAYS` where it is empty."""
    parts = [_part(name, fields) for name in fields.names()]
    return parts[0] if len(parts) == 1 else Condition(_ALL, parts=tuple(parts))


def _part(name: str, fields: Fields) -> Condition:
    if name in {_ALL, _ANY}:
        sections = fields.sections(name)
        if not sections:
            fields.problem(name, "has no conditions; list at least one")
        return Condition(name, parts=tuple(map(read_condition, sections)))
    if name == _NOT:
        return Condition(_NOT, parts=(read_condition(fields.section(name)),))
    if name not in ASKED:
        fields.problem(name, f"is nothing to ask for; write one of {', '.join(ASKED)}, all, any or not")
        return ALWAYS
    values = frozenset(fields.choices(name, ASKED[name]))
    if name == "weekday" and "" in values:
        fields.problem(name, f"'' never holds, as every case has one; write {', '.join(WEEKDAYS)}")
    return Condition(name, values)
