"""What stays broken matters more in time."""

import pytest

from services.notifier.beliefs import Receivers, Step
from services.notifier.domain import CLOSED_REMEMBERED, REMEMBERED, due, fold, next_deadline, transition
from services.notifier.holds import Holds, Once, Silence
from services.notifier.incident import Fact, Incident, IncidentState, ItemSeen, Plan, Transition
from services.notifier.items import NONE, Handling, Item, Rise, Severity, Standing
from services.notifier.outbox import UNSETTLED, Accepted, DeliverySettled, Kind
from services.notifier.overdue import waits
from services.notifier.pace import Pace
from services.notifier.responses import Action, Response
from services.notifier.telling import MAX_DETAILED, MAX_ITEMS, MAX_OVER
from tests.unit.notifier.builders import BOTH, INCIDENT, MAIL, MINUTE, ON_CALL, an_item, at, see, seen

BROKEN, LATE = Standing.BROKEN, Standing.FULFILLED_LATE
RISES = (Rise(at(240), Severity.CRITICAL),)
STEPS = MAIL._replace(
    routes={
        "ops": Receivers(
            {"mail": "email"}, others={"mail": "email", "boss": "email"}, steps=(Step(10 * MINUTE, {"boss": "email"}),)
        )
    }
)


def a_warning(offset: int = 1, *, coming: bool = False, subject: str = "A-1", **changed: object) -> ItemSeen:
    """An order is broken: a warning, and critical four hours after noon. `coming`: for others until then."""
    item = an_item(BROKEN, offset, subject=subject, severity=Severity.WARNING, follow_up=coming)
    return ItemSeen("ops", item._replace(rises=RISES)._replace(**changed))  # type: ignore[arg-type]


class Room:
    """One incident, where every message is accepted at once; what it was told by when is kept."""

    def __init__(self, plan: Plan = MAIL) -> None:
        self.plan = plan
        self.incident: Incident | None = None
        self.now = at(0)
        self.told: list[tuple[float, str, str, int]] = []

    def hear(self, minutes: float, *facts: Fact) -> None:
        """Facts are folded at that minute, once all that is due by then has been done."""
        self.wait(minutes)
        heard = [fact._replace(seen_at=self.now) if isinstance(fact, ItemSeen) else fact for fact in facts]
        self._tell(fold(INCIDENT, self.incident, heard, self.plan))

    def wait(self, minutes: float) -> None:
        """Time passes: whatever is due is done when it is."""
        while self.incident and (deadline := next_deadline(self.incident, self.plan)) and deadline <= at(minutes):
            self.now = max(self.now, deadline)
            after = due(self.incident, self.now, self.plan)
            assert after != self.incident
            self._tell(after)
        self.now = at(minutes)

    def answer(self, minutes: float, action: Action, by: str = "mail", until: float = 0) -> None:
        """Somebody answers at that minute."""
        self.wait(minutes)
        said = Response(f"{minutes}", action, by, self.now, until=at(until) if until else NONE, heard_at=self.now)
        self.hear(minutes, said)

    def _tell(self, incident: Incident | None) -> None:
        while incident and (waiting := [d for d in incident.deliveries if d.state in UNSETTLED]):
            minutes = (self.now - at(0)) / MINUTE
            self.told += [(minutes, Kind(d.kind).name.lower(), d.target, d.severity) for d in waiting]
            ends = [DeliverySettled(self.now, delivery.delivery_id, Accepted()) for delivery in waiting]
            incident = fold(INCIDENT, incident, ends, self.plan)
        self.incident = incident

    @property
    def item(self) -> Item:
        assert self.incident
        (item,) = self.incident.items
        return item

    @property
    def state(self) -> int:
        assert self.incident
        return self.incident.state


WARNED, URGED = (1, "breach", "mail", Severity.WARNING), (240, "reminder", "mail", Severity.CRITICAL)


def test_who_was_told_is_told_again_when_it_matters_more() -> None:
    """Once, at that instant, as critical; and in the end that it is over."""
    room = Room()
    room.hear(1, a_warning())
    assert room.incident
    assert (room.item.rises, next_deadline(room.incident, MAIL)) == (RISES, at(240))
    room.wait(1_000)
    assert room.told == [WARNED, URGED]
    assert (room.item.severity, room.item.rises, room.item.follow_up) == (Severity.CRITICAL, (), False)
    room.hear(1_001, seen(LATE, 2))
    assert [kind for _, kind, _, _ in room.told] == ["breach", "reminder", "resolved"]


def test_what_is_over_in_time_is_told_nothing_more_of() -> None:
    """Neither there nor where it was only coming; nothing is waited for any more."""
    for coming, told in ((False, ["breach", "resolved"]), (True, [])):
        room = Room()
        room.hear(1, a_warning(coming=coming))
        room.hear(2, seen(LATE, 2, follow_up=coming))
        room.wait(1_000)
        assert [kind for _, kind, _, _ in room.told] == told
        assert room.item.rises == ()
        assert room.incident
        assert next_deadline(room.incident, MAIL) == at(2) + REMEMBERED


def test_what_is_coming_is_neither_open_nor_over_until_then() -> None:
    """Nobody is told, nothing is announced, and it is not forgotten; then it opens the incident like what breaks."""
    room = Room()
    room.hear(1, a_warning(coming=True))
    assert (room.state, room.told) == (IncidentState.RESOLVED, [])
    assert room.item.details
    assert room.incident
    assert transition(None, room.incident) == Transition.UPDATED
    assert [wait.until for wait in waits(room.incident, MAIL)] == [at(240)]
    before = room.incident
    room.wait(239)
    assert room.incident == before
    room.wait(240)
    assert room.told == [(240, "breach", "mail", Severity.CRITICAL)]
    assert (room.state, room.incident.attention.opened_at) == (IncidentState.OPEN, at(240))
    assert room.item.announced_at == at(240)


def test_what_is_coming_is_remembered_for_as_long_as_it_takes() -> None:
    """However much later than others are forgotten."""
    week = 7 * 24 * 60
    room = Room()
    room.hear(1, a_warning(coming=True, rises=(Rise(at(week), Severity.CRITICAL),)))
    room.wait(week)
    assert room.told == [(week, "breach", "mail", Severity.CRITICAL)]


def test_what_is_heard_of_too_late_is_told_as_it_is_by_then() -> None:
    """The dispatch waited for four hours: one message, of the right severity, wherever it was to be."""
    for coming in (False, True):
        room = Room()
        room.hear(300, a_warning(coming=coming))
        assert room.told == [(300, "breach", "mail", Severity.CRITICAL)]


def test_what_waits_to_be_told_does_not_wait_longer_because_it_rises() -> None:
    """News gathers from when it was announced; of what concerned nobody here before, from when it does."""
    patient = MAIL._replace(routes={"ops": Receivers({"mail": "email"}, pace=Pace(group_wait=10 * MINUTE))})
    rises = (Rise(at(6), Severity.WARNING),)
    for coming, minutes in ((False, 11), (True, 16)):
        room = Room(patient)
        room.hear(1, a_warning(coming=coming, severity=Severity.INFO, rises=rises))
        room.wait(100)
        assert room.told == [(minutes, "breach", "mail", Severity.WARNING)]


def test_what_rises_twice_is_told_twice() -> None:
    """First as a warning, then as critical."""
    room = Room()
    rises = (Rise(at(60), Severity.WARNING), *RISES)
    room.hear(1, a_warning(severity=Severity.INFO, rises=rises))
    room.wait(1_000)
    assert [(minutes, severity) for minutes, _, _, severity in room.told] == [
        (1, Severity.INFO),
        (60, Severity.WARNING),
        (240, Severity.CRITICAL),
    ]


def test_a_record_that_says_that_it_is_critical_by_now_is_a_rise_too() -> None:
    """Whichever clock is ahead, that of the relay or that of the incident: told again once."""
    for minutes in (239.99, 240.01):
        room = Room()
        room.hear(1, a_warning())
        room.hear(minutes, a_warning(2, severity=Severity.CRITICAL, rises=(), since=at(1)))
        room.wait(1_000)
        assert [kind for _, kind, _, _ in room.told] == ["breach", "reminder"]


def test_a_record_that_says_nothing_new_moves_nothing() -> None:
    """Seen again, by the same offset or a newer one, before and after it rose."""
    room = Room()
    for minutes, offset in ((1, 1), (2, 1), (3, 2), (241, 1), (242, 2)):
        room.hear(minutes, a_warning(offset, since=at(1)))
    room.hear(243, a_warning(3, severity=Severity.CRITICAL, rises=(), since=at(1)))
    assert room.told == [WARNED, URGED]


def test_the_rules_of_the_newest_record_count() -> None:
    """They were changed since: it rises earlier, or not at all any more."""
    for rises, told in (((Rise(at(60), Severity.CRITICAL),), [1, 60]), ((), [1])):
        room = Room()
        room.hear(1, a_warning())
        room.hear(2, a_warning(2, since=at(1), rises=rises))
        room.wait(1_000)
        assert [minutes for minutes, *_ in room.told] == told


def test_a_promise_that_is_given_anew_rises_by_its_new_time() -> None:
    """What was to come by the old one does not."""
    room = Room()
    room.hear(1, a_warning())
    room.hear(100, seen(Standing.FINE, 2))
    room.hear(200, a_warning(3, due_at=at(199), rises=(Rise(at(439), Severity.CRITICAL),)))
    room.wait(1_000)
    assert [(minutes, kind) for minutes, kind, _, _ in room.told] == [
        (1, "breach"),
        (100, "resolved"),
        (200, "breach"),
        (439, "reminder"),
    ]


@pytest.mark.parametrize("action", [Action.ACKNOWLEDGE, Action.SNOOZE, Action.RESOLVE])
def test_whoever_sees_to_it_is_not_disturbed(action: Action) -> None:
    """Only how much it matters changes; when an answer lapses all hear of it as it is by then."""
    room = Room()
    room.hear(1, a_warning())
    room.answer(200, action, until=260)
    before = len(room.told)
    room.wait(259)
    assert (room.item.severity, room.told[before:]) == (Severity.CRITICAL, [])
    room.wait(10_000)
    closed = action == Action.RESOLVE
    assert room.told[before:] == ([] if closed else [(260, "reminder", "mail", Severity.CRITICAL)])


def test_an_answer_does_not_cover_what_is_only_coming() -> None:
    """What was open is answered; what comes is told, and is nobody's yet."""
    room = Room()
    room.hear(1, seen(BROKEN), a_warning(coming=True, subject="B-1"))
    room.answer(2, Action.ACKNOWLEDGE, "boss", until=1_000)
    assert room.state == IncidentState.ACKNOWLEDGED
    room.wait(240)
    assert room.told[-1] == (240, "breach", "mail", Severity.CRITICAL)
    assert room.state == IncidentState.OPEN
    assert room.incident
    assert {item.handling for item in room.incident.items} == {Handling.ANSWERED, Handling.UNSPECIFIED}


def test_closing_an_incident_does_not_close_what_is_only_coming() -> None:
    """Nor is what was closed forgotten before its time because of it."""
    room = Room()
    room.hear(1, seen(BROKEN), a_warning(coming=True, subject="B-1"))
    room.answer(2, Action.RESOLVE)
    assert room.state == IncidentState.RESOLVED
    room.wait(300)
    assert room.told[-1] == (240, "breach", "mail", Severity.CRITICAL)
    room.hear(301, seen(LATE, 2, subject="B-1"))
    assert room.incident
    assert next_deadline(room.incident, MAIL) == at(301) + CLOSED_REMEMBERED


def test_an_incident_that_is_over_opens_anew_for_what_was_coming() -> None:
    """Resolved with its last open order; the one that comes begins another run."""
    room = Room()
    room.hear(1, seen(BROKEN), a_warning(coming=True, subject="B-1"))
    room.hear(2, seen(LATE, 2))
    assert room.state == IncidentState.RESOLVED
    before = room.incident
    room.wait(240)
    assert room.incident
    assert before
    assert transition(before, room.incident) == Transition.OPENED
    assert (before.attention.opened_at, room.incident.attention.opened_at) == (at(1), at(240))


def test_the_escalation_of_what_comes_begins_then() -> None:
    """Its first step is taken when nobody has answered for as long since."""
    room = Room(STEPS)
    room.hear(1, a_warning(coming=True))
    room.wait(1_000)
    assert [told[:3] for told in room.told] == [(240, "breach", "mail"), (250, "escalation", "boss")]


def test_everybody_who_was_told_is_told_again() -> None:
    """Those of later steps, too."""
    room = Room(STEPS)
    room.hear(1, a_warning())
    room.wait(240)
    assert sorted(told[:3] for told in room.told) == [
        (1, "breach", "mail"),
        (11, "escalation", "boss"),
        (240, "reminder", "boss"),
        (240, "reminder", "mail"),
    ]


def test_whoever_is_on_call_by_then_is_told() -> None:
    """The one who was told first hears how it goes on."""
    room = Room(ON_CALL)
    room.hear(1, a_warning(rises=(Rise(at(7), Severity.CRITICAL),)))
    room.wait(1_000)
    assert sorted(told[:3] for told in room.told) == [
        (1, "breach", "ana"),
        (7, "reminder", "ana"),
        (7, "reminder", "bob"),
    ]


def test_a_message_under_way_is_not_overtaken() -> None:
    """Who has not heard of the warning yet is told of the rise once it is there, and not at all if it is over then."""
    under_way = due(see(None, a_warning()), at(239.5), MAIL)
    assert under_way
    risen = due(under_way, at(240), MAIL)
    assert risen
    (breach,) = risen.deliveries
    end = DeliverySettled(at(241), breach.delivery_id, Accepted())
    assert [delivery.kind for delivery in see(risen, end).deliveries] == [Kind.BREACH, Kind.REMINDER]
    over = see(see(risen, seen(LATE, 2)), end)
    assert [delivery.kind for delivery in over.deliveries] == [Kind.BREACH, Kind.RESOLVED]


def test_what_is_silenced_stays_so_when_it_rises() -> None:
    """Until the silence ends; it matches the site that the item still knows."""
    holds = Holds()
    room = Room(BOTH._replace(holds=holds))
    details = an_item().details
    assert details
    room.hear(1, a_warning(details=details._replace(site="Madrid")))
    silence = Silence("s", {"site": frozenset({"Madrid"})}, at(2), at(300))
    holds.follow([silence], at(2))
    room.wait(1_000)
    assert [told[:2] for told in room.told] == [(1, "breach"), (1, "breach"), (300, "reminder"), (300, "reminder")]


def test_quiet_hours_are_passed_by_what_is_critical_now() -> None:
    """The warning waited for their end; nobody waits for what is critical."""
    room = Room(MAIL._replace(holds=Holds(quiet_hours={"mail": Once(at(0), at(600))})))
    room.hear(1, a_warning())
    assert room.told == []
    room.wait(1_000)
    assert room.told == [(240, "breach", "mail", Severity.CRITICAL)]


def test_where_only_a_rise_is_waited_for_nothing_is_held_back() -> None:
    """So no silence that is made elsewhere has the incident judged again."""
    room = Room()
    room.hear(1, a_warning())
    assert room.incident
    assert room.incident.looked_at == NONE


def test_what_is_to_rise_keeps_its_details_within_bounds() -> None:
    """The next first; the record stays as small as ever."""
    facts = [
        a_warning(subject=f"B-{n}", coming=True, rises=(Rise(at(240 + n), Severity.CRITICAL),))
        for n in range(MAX_ITEMS + 500)
    ]
    incident = see(None, *facts)
    assert len(incident.items) == MAX_ITEMS - MAX_OVER
    kept = [item for item in incident.items if item.details]
    assert len(kept) == MAX_DETAILED
    assert {item.rises[0].at for item in kept} == {at(240 + n) for n in range(MAX_DETAILED)}


def test_what_is_told_says_nothing_of_what_is_to_come() -> None:
    """Messages speak of how things stand."""
    assert see(None, a_warning()).deliveries[0].items[0].rises == ()
