"""Reads the escalations of `notifier.yaml`: whom to tell, step by step, while nobody answers."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from services.notifier.beliefs import Contact, Receivers, Step
from services.notifier.on_call import PREFIX
from services.notifier.routing import Route
from services.notifier.schedules import Duty
from services.shared.fields import Fields

#: How often an escalation can be begun anew.
MAX_REPEATED = 100
#: For how long an acknowledgement counts where the document does not say.
ATTENTION = "4h"


class Turn(NamedTuple):
    """A step as it is written. Without targets: those of the route."""

    #: Microseconds.
    after: int
    targets: tuple[str, ...] = ()


class Escalation(NamedTuple):
    """All steps with their repetitions, in the order in which they are taken."""

    turns: Sequence[Turn]
    #: Microseconds for which an acknowledgement counts.
    attention: int


def read_escalations(fields: Fields, targets: Collection[str]) -> Mapping[str, Escalation]:
    """Escalation by name. `targets`: who can be told, schedules included."""
    return {name: _escalation(fields.section(name), targets) for name in fields.names()}


def _escalation(fields: Fields, targets: Collection[str]) -> Escalation:
    steps = [_turn(section, targets) for section in fields.sections("steps")]
    turns = [*steps]
    if "repeat" in fields:
        turns += _repeated(fields.section("repeat"), steps)
    if "fallback" in fields:
        turns.append(_turn(fields.section("fallback"), targets))
    if not turns:
        fields.problem("steps", "is missing; write for example [{after: 10min, targets: [manager]}]")
    attention = fields.span("acknowledged_for", ATTENTION)
    fields.done()
    return Escalation(tuple(turns), attention)


def _repeated(fields: Fields, steps: Sequence[Turn]) -> Sequence[Turn]:
    times = fields.count("times", MAX_REPEATED)
    turns = [Turn(_after(fields)), *steps] * times
    fields.done()
    return turns


def _turn(fields: Fields, targets: Collection[str]) -> Turn:
    turn = Turn(_after(fields), fields.texts("targets", one_of=targets))
    fields.done()
    return turn


def _after(fields: Fields) -> int:
    if "after" not in fields:
        fields.problem("after", "is missing; write how long to wait for an answer, for example 10min")
    return fields.span("after", "10min")


class Groups(NamedTuple):
    """Makes receivers of names. By name: target → channel; schedule → who is on call by it; person → the way there."""

    channels: Mapping[str, str]
    on_call: Mapping[str, Duty]
    contacts: Mapping[str, Contact]
    #: Target → who is told where it cannot be reached.
    fallbacks: Mapping[str, str] = {}

    def all(self, routes: Iterable[Route], escalations: Mapping[str, Escalation]) -> Mapping[str, Receivers]:
        """Route → who is told on it, at once and step by step."""
        return {route.name: self._receivers(route, escalations.get(route.escalation)) for route in routes}

    def _receivers(self, route: Route, escalation: Escalation | None) -> Receivers:
        turns = escalation.turns if escalation else ()
        first = self._step(0, route.targets)
        steps = tuple(self._step(turn.after, turn.targets or route.targets) for turn in turns)
        others = self.channels if first.on_call or first.people or steps or self.fallbacks else {}
        receivers = Receivers(
            first.targets,
            route.at_risk,
            first.on_call,
            others,
            steps,
            pace=route.pace,
            people=first.people,
            contacts=self.contacts,
            fallbacks=self.fallbacks,
            shifts={f"{PREFIX}{name}": duty.until for name, duty in self.on_call.items()},
        )
        return receivers._replace(attention=escalation.attention) if escalation else receivers

    def _step(self, after: int, names: Sequence[str]) -> Step:
        on_call = {name: self.on_call[name.removeprefix(PREFIX)] for name in names if name.startswith(PREFIX)}
        people = tuple(name for name in names if name in self.contacts)
        targets = {name: self.channels[name] for name in names if name not in on_call and name not in people}
        return Step(after, targets, on_call, people)
