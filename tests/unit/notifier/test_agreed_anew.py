"""What was acknowledged and is agreed anew: from the events of promises to what the console is told."""

import pytest

from services.notifier import domain as notifier
from services.notifier.incident import Incident, IncidentState
from services.notifier.outbox import Kind
from services.notifier.responses import Action, Response
from services.promises import domain as promises
from services.promises.model import Fact, Identity, Party, PromiseKind
from services.shared.instant import Instant
from tests.unit.notifier.test_relay import PLAN, World
from tests.unit.promises import builders
from tests.unit.promises.builders import at

TEAM = b"teams"
OTHER: Identity = (b"ana/order_ready/o2", PromiseKind.ORDER_READY, "ana", "o2")
CALLED_OFF = (builders.promised(0, 45), builders.cancelled(30, Party.COMPANY))


class Desk:
    """Promises of one incident, and who sees to it."""

    def __init__(self) -> None:
        self.worlds = {builders.PROMISE: World(), OTHER: World()}
        first, other = self.worlds.values()
        other.incidents, other.messages = first.incidents, first.messages

    @property
    def messages(self) -> list[str]:
        """What the console was told of it, by kind."""
        return [Kind(kind).name.lower() for key, kind in self.worlds[OTHER].messages if key == TEAM]

    @property
    def incident(self) -> Incident:
        return self.worlds[OTHER].incidents[TEAM]

    @property
    def state(self) -> str:
        return IncidentState(self.incident.state).name.lower()

    @property
    def by(self) -> str:
        """Who sees to it."""
        acknowledgement = self.incident.attention.acknowledgement
        return acknowledgement.by if acknowledgement else ""

    def hears(self, minutes: float, *facts: Fact, of: Identity = builders.PROMISE) -> "Desk":
        """Events about a promise arrive."""
        world = self.worlds[of]
        if world.promise is None:
            world.write(promises.note(of, list(facts), builders.RULES), at(minutes))
        else:
            world.arrive(list(facts), at(minutes))
        return self

    def is_acknowledged(self, minutes: float) -> "Desk":
        """Ben sees to what is open."""
        now = at(minutes)
        self.worlds[OTHER].tell(TEAM, Response("r", Action.ACKNOWLEDGE, "ben", now, heard_at=now), now)
        assert (self.state, self.by) == ("acknowledged", "ben")
        return self

    def waits(self, minutes: float) -> "Desk":
        """Time passes for the promises, and for what was acknowledged."""
        for world in self.worlds.values():
            world.pass_time(at(minutes))
        while (look_at := notifier.next_deadline(self.incident, PLAN)) and look_at <= at(minutes):
            self.worlds[OTHER].keep(TEAM, notifier.due(self.incident, look_at, PLAN), Instant(look_at))
        return self


@pytest.mark.parametrize("agreed", [builders.moved(40, 120), builders.moved(40, 120, by=Party.CUSTOMER)])
def test_what_is_agreed_anew_leaves_the_rest_acknowledged(agreed: Fact) -> None:
    """Its end is told, nobody is told anew that the rest is open, and it stays with who sees to it."""
    desk = Desk().hears(30, *CALLED_OFF).hears(31, *CALLED_OFF, of=OTHER).is_acknowledged(35)
    before = len(desk.messages)
    desk.hears(41, agreed)
    assert desk.messages[before:] == ["resolved"]
    assert (desk.state, desk.by) == ("acknowledged", "ben")
    assert desk.waits(100).messages[before:] == ["resolved"]
    assert (desk.state, desk.by) == ("acknowledged", "ben")


def test_what_breaks_at_the_new_time_is_covered_by_no_earlier_answer() -> None:
    """It is told like anything else, and the incident is open; who saw to the rest still does."""
    desk = Desk().hears(30, *CALLED_OFF).hears(31, *CALLED_OFF, of=OTHER).is_acknowledged(35)
    before = len(desk.hears(41, builders.moved(40, 120)).messages)
    desk.waits(130)
    assert "breach" in desk.messages[before:]
    assert (desk.state, desk.by) == ("open", "ben")


def test_an_incident_whose_only_promise_is_agreed_anew_is_over() -> None:
    """Nothing is open to see to; what breaks at the new time begins a run that nobody has answered."""
    desk = Desk().hears(30, *CALLED_OFF).is_acknowledged(35)
    before = len(desk.messages)
    desk.hears(41, builders.moved(40, 120))
    assert (desk.state, desk.messages[before:]) == ("resolved", ["resolved"])
    assert desk.waits(100).messages[before:] == ["resolved"]
    before = len(desk.messages)
    desk.waits(130)
    assert "breach" in desk.messages[before:]
    assert (desk.state, desk.by) == ("open", "")


def test_what_was_agreed_anew_too_late_stays_acknowledged() -> None:
    """The old time had passed, so it is a word of its own: nobody hears of the broken one again."""
    desk = Desk().hears(30, *CALLED_OFF).is_acknowledged(35)
    before = len(desk.messages)
    desk.hears(51, builders.moved(50, 120)).waits(100)
    assert "reminder" not in desk.messages[before:]
    assert "breach" not in desk.messages[before:]
