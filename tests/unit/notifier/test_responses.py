"""What people say to an incident, and who is told when nobody says anything: one story a test, minutes after noon."""

import pytest

from services.notifier.beliefs import Receivers, Step
from services.notifier.codec import pack, unpack
from services.notifier.domain import due, fold, next_deadline, transition
from services.notifier.incident import Fact, Incident, IncidentState, Plan, Transition
from services.notifier.items import Standing
from services.notifier.outbox import UNSETTLED, Accepted, DeliverySettled, DeliveryState, Kind
from services.notifier.responses import MAX_RESPONSES, MAX_SNOOZE, Action, Response
from services.shared.instant import Instant
from tests.unit.notifier.builders import INCIDENT, MAIL, MINUTE, NOON, ROTA, at, on_call, see, seen, settle

FINE, AT_RISK, BROKEN, LATE = Standing.FINE, Standing.AT_RISK, Standing.BROKEN, Standing.FULFILLED_LATE
OTHERS = dict.fromkeys((*ROTA, "mail", "boss", "chief"), "email")
STEPS = (Step(10 * MINUTE, {"boss": "email"}), Step(20 * MINUTE, {"mail": "email", "chief": "email"}))


def plan_of(receivers: Receivers) -> Plan:
    """One route."""
    return MAIL._replace(routes={"ops": receivers})


#: By mail at once; ten minutes later the boss; twenty minutes later mail again, and the chief. Answers count an hour.
STAIRS = plan_of(Receivers({"mail": "email"}, others=OTHERS, steps=STEPS, attention=60 * MINUTE))
NO_STAIRS = plan_of(Receivers({"mail": "email", "hook": "webhook"}, attention=60 * MINUTE))


class Story:
    """An incident to which things happen. What is said is accepted at once; the log says when who heard what."""

    def __init__(self, plan: Plan = STAIRS) -> None:
        self.plan = plan
        self.incident: Incident | None = None
        self.log: list[tuple[float, str, str]] = []
        self.announced: list[str] = []
        self.responses = 0
        self.now = NOON

    def hears(self, *facts: Fact) -> "Story":
        """Facts are folded, in one batch; what they call for is sent."""
        self._write(fold(INCIDENT, self.incident, facts, self.plan))
        self._until(self.now)
        return self

    def sees(self, standing: Standing, minute: int, *, subject: str = "A-1") -> "Story":
        """An order stands so."""
        self._until(at(minute))
        return self.hears(seen(standing, minute, subject=subject))

    def answers(
        self, action: Action, by: str, minute: float, until: float = 0, opened_at: Instant | None = None
    ) -> "Story":
        """Somebody says something."""
        self._until(at(minute))
        self.responses += 1
        response = Response(
            f"r-{self.responses}", action, by, at(minute), until=at(until) if until else Instant(0), heard_at=at(minute)
        )
        return self.hears(response._replace(opened_at=opened_at) if opened_at else response)

    def waits_quietly(self, minute: float) -> "Story":
        """Time passes."""
        self._until(at(minute))
        return self

    def waits(self, minute: float) -> list[tuple[float, str, str]]:
        """Time passes; all that was said since the last time anybody asked."""
        self._until(at(minute))
        said, self.log = sorted(self.log), []
        return said

    @property
    def state(self) -> str:
        """How it stands."""
        assert self.incident is not None
        return IncidentState(self.incident.state).name.lower()

    def _until(self, then: Instant) -> None:
        while self.incident and (deadline := next_deadline(self.incident, self.plan)) and deadline <= then:
            before, self.now = self.incident, max(deadline, self.now)
            self._write(due(before, self.now, self.plan))
            assert self.incident != before, "it would be looked at again at once, for ever"
        self.now = then

    def _write(self, incident: Incident | None) -> None:
        before, self.incident = self.incident, incident
        if incident is None or incident == before:
            return
        self.announced.append(transition(before, incident).name.lower())
        assert unpack(pack(incident)) == incident
        sent = [delivery for delivery in incident.deliveries if delivery.state == DeliveryState.SENDING]
        self.log += [((self.now - NOON) / MINUTE, each.target, Kind(each.kind).name.lower()) for each in sent]
        if sent:
            self.hears(*(DeliverySettled(self.now, each.delivery_id, Accepted()) for each in sent))


def test_while_nobody_answers_the_next_ones_are_told_and_then_no_more() -> None:
    """Each step once; whoever was told before is told again, and nobody else."""
    assert Story().sees(BROKEN, 1).waits(2000) == [
        (1, "mail", "breach"),
        (11, "boss", "escalation"),
        (31, "chief", "escalation"),
        (31, "mail", "reminder"),
    ]


def test_an_answer_ends_the_escalation_and_everybody_told_hears_of_it() -> None:
    """But not the one who gave it."""
    story = Story().sees(BROKEN, 1).answers(Action.ACKNOWLEDGE, "boss", 12)
    assert story.waits(60) == [(1, "mail", "breach"), (11, "boss", "escalation"), (12, "mail", "acknowledged")]
    assert story.state == "acknowledged"
    assert story.sees(LATE, 61).waits(70) == [(61, "boss", "resolved"), (61, "mail", "resolved")]
    assert story.state == "resolved"


def test_an_answer_counts_for_a_while_and_then_all_begins_anew() -> None:
    """Whoever was told hears that it is still open, the one who answered included, and the steps are taken again."""
    story = Story().sees(BROKEN, 1).answers(Action.ACKNOWLEDGE, "mail", 2)
    assert story.waits(61) == [(1, "mail", "breach")]
    assert story.waits(75) == [(62, "mail", "reminder"), (72, "boss", "escalation")]
    assert story.announced[-1] == "updated"
    assert {"acknowledged", "lapsed", "escalated"} <= set(story.announced)


def test_an_answer_can_ask_for_less_time_and_never_gets_more() -> None:
    """Until an instant of its own, at most as long as the escalation allows."""
    less = Story().sees(BROKEN, 1).answers(Action.ACKNOWLEDGE, "mail", 2, until=30)
    assert less.waits(31)[1:] == [(30, "mail", "reminder")]
    more = Story().sees(BROKEN, 1).answers(Action.ACKNOWLEDGE, "mail", 2, until=3000)
    assert more.waits(63)[1:] == [(62, "mail", "reminder")]


def test_whoever_still_sees_to_it_says_so_again() -> None:
    """The time counts anew, and nobody is told of it twice."""
    story = Story(NO_STAIRS).sees(BROKEN, 1)
    story.answers(Action.ACKNOWLEDGE, "mail", 2).answers(Action.ACKNOWLEDGE, "mail", 50)
    assert story.waits(109) == [(1, "hook", "breach"), (1, "mail", "breach"), (2, "hook", "acknowledged")]
    assert story.waits(111) == [(110, "hook", "reminder"), (110, "mail", "reminder")]


def test_the_first_who_answers_is_the_one_unless_somebody_takes_over() -> None:
    """An acknowledgement by a second one is noted and changes nothing; one who takes over is told to all."""
    story = Story(NO_STAIRS).sees(BROKEN, 1).answers(Action.ACKNOWLEDGE, "mail", 2)
    story.answers(Action.ACKNOWLEDGE, "hook", 3).waits(4)
    assert story.incident is not None
    assert story.incident.attention.acknowledgement is not None
    assert story.incident.attention.acknowledgement.by == "mail"
    assert story.answers(Action.TAKE_OVER, "hook", 5).waits(6) == [(5, "mail", "acknowledged")]
    assert story.incident.attention.acknowledgement.by == "hook"
    assert [said.by for said in story.incident.attention.responses] == ["mail", "hook", "hook"]


def test_who_has_not_heard_yet_that_another_sees_to_it_hears_when_nobody_does() -> None:
    """What was said before is still on its way when the second answer lapses."""
    told = settle(see(None, seen(BROKEN, 1), plan=NO_STAIRS), Accepted(), 1, NO_STAIRS)
    first = Response("1", Action.ACKNOWLEDGE, "hook", at(2), heard_at=at(2))
    second = Response("2", Action.TAKE_OVER, "ana", at(4), until=at(5), heard_at=at(4))
    lapsed = due(see(see(told, first, plan=NO_STAIRS), second, plan=NO_STAIRS), at(5), NO_STAIRS)
    assert lapsed is not None
    assert [Kind(each.kind) for each in lapsed.deliveries if each.target == "mail"][-1] is Kind.ACKNOWLEDGED
    after = settle(lapsed, Accepted(), 6, NO_STAIRS)
    assert [Kind(each.kind) for each in after.deliveries if each.target == "mail"][-1] is Kind.REMINDER


def test_what_is_put_off_is_told_again_when_its_time_has_come() -> None:
    """Meanwhile nobody further is told; at most a week."""
    story = Story().sees(BROKEN, 1).answers(Action.SNOOZE, "boss", 2, until=400)
    assert story.waits(399) == [(1, "mail", "breach"), (2, "mail", "snoozed")]
    assert story.waits(411) == [(400, "mail", "reminder"), (410, "boss", "escalation")]
    week = MAX_SNOOZE // MINUTE
    assert Story().sees(BROKEN, 1).answers(Action.SNOOZE, "mail", 2, until=9 * week).waits(week + 3)[1:] == [
        (2 + week, "mail", "reminder")
    ]


def test_whoever_sees_to_what_was_put_off_ends_that() -> None:
    """Everybody told hears of it, the one who put it off included."""
    story = Story(NO_STAIRS).sees(BROKEN, 1).answers(Action.SNOOZE, "hook", 2, until=400)
    story.waits(3)
    assert story.answers(Action.ACKNOWLEDGE, "mail", 4).waits(5) == [(4, "hook", "acknowledged")]
    assert story.waits(65) == [(64, "hook", "reminder"), (64, "mail", "reminder")]


def test_what_breaks_after_an_answer_is_told_and_escalates() -> None:
    """An answer covers what was open when it was given."""
    story = Story().sees(BROKEN, 1).answers(Action.ACKNOWLEDGE, "mail", 2).sees(BROKEN, 5, subject="A-2")
    assert story.waits(6) == [(1, "mail", "breach"), (5, "mail", "breach")]
    assert story.state == "open"
    assert story.waits(20) == [(15, "boss", "escalation")]
    story.answers(Action.ACKNOWLEDGE, "boss", 21)
    assert story.state == "acknowledged"


def test_what_was_only_at_risk_when_it_was_answered_is_told_when_it_breaks() -> None:
    """It is worse than what somebody said that he sees to."""
    watchful = STAIRS._replace(routes={"ops": STAIRS.routes["ops"]._replace(at_risk=True)})
    story = Story(watchful).sees(AT_RISK, 1).answers(Action.ACKNOWLEDGE, "mail", 2)
    assert story.state == "acknowledged"
    assert story.waits(50) == [(1, "mail", "at_risk")]
    assert story.sees(BROKEN, 51).waits(62) == [(51, "mail", "breach"), (61, "boss", "escalation")]


def test_risks_do_not_escalate() -> None:
    """They are warnings."""
    watchful = STAIRS._replace(routes={"ops": STAIRS.routes["ops"]._replace(at_risk=True)})
    assert Story(watchful).sees(AT_RISK, 1).waits(500) == [(1, "mail", "at_risk")]


def test_what_somebody_closed_stays_closed_until_it_breaks_anew() -> None:
    """Everybody told hears that it is dealt with; records that say the same again are no news, another limit is."""
    story = Story().sees(BROKEN, 1).answers(Action.RESOLVE, "boss", 3)
    assert story.waits(30) == [(1, "mail", "breach"), (3, "mail", "resolved")]
    assert (story.state, story.announced[-2:]) == ("resolved", ["updated", "updated"])
    assert story.announced.count("resolved") == 1
    assert story.sees(BROKEN, 40).waits(100) == []
    assert story.sees(LATE, 101).waits(120) == []
    again = seen(BROKEN, 120)
    story.hears(again._replace(item=again.item._replace(due_at=at(119))))
    assert story.waits(121) == [(120, "mail", "breach")]


def test_a_closed_incident_is_remembered_longer_than_one_that_ended_by_itself() -> None:
    """The events still say that something is broken, and could be told anew."""
    day = 24 * 60
    ended, closed = Story().sees(BROKEN, 1).sees(LATE, 2), Story().sees(BROKEN, 1).answers(Action.RESOLVE, "boss", 2)
    ended.waits(3 * day)
    closed.waits(3 * day)
    assert ended.incident is None
    assert closed.incident is not None
    assert closed.sees(BROKEN, 3 * day + 1).waits(3 * day + 2) == []
    closed.waits(40 * day)
    assert closed.incident is None


def test_an_answer_to_an_earlier_run_of_the_incident_changes_nothing() -> None:
    """Yesterday's link does not quiet today's breach."""
    story = Story().sees(BROKEN, 1).sees(LATE, 2).sees(BROKEN, 5)
    assert story.incident is not None
    assert story.incident.attention.opened_at == at(5)
    assert story.answers(Action.ACKNOWLEDGE, "mail", 6, opened_at=at(1)).state == "open"
    assert story.answers(Action.ACKNOWLEDGE, "mail", 7, opened_at=at(5)).state == "acknowledged"


def test_an_answer_that_names_no_run_is_meant_for_the_one_it_was_said_to() -> None:
    """Read again from Kafka, it does not quiet what broke since."""
    story = Story().sees(BROKEN, 1).answers(Action.ACKNOWLEDGE, "mail", 2).sees(LATE, 3).sees(BROKEN, 5)
    again = Response("r-1", Action.ACKNOWLEDGE, "mail", at(2), heard_at=at(6))
    assert story.waits_quietly(6).hears(again).state == "open"
    assert story.answers(Action.ACKNOWLEDGE, "mail", 7).state == "acknowledged"


def test_an_answer_heard_twice_counts_once_and_one_to_nothing_is_dropped() -> None:
    """Kafka may deliver it again."""
    story = Story().sees(BROKEN, 1).answers(Action.ACKNOWLEDGE, "mail", 2, until=10)
    story.waits(11)
    story.responses = 0
    assert story.answers(Action.ACKNOWLEDGE, "mail", 12).state == "open"
    response = Response("r", Action.ACKNOWLEDGE, "ana", at(1), heard_at=at(1))
    assert fold(INCIDENT, None, [response], STAIRS) is None
    over = Story().sees(BROKEN, 1).sees(LATE, 2)
    over.waits(3)
    before = over.incident
    assert over.answers(Action.ACKNOWLEDGE, "ana", 4).incident == before


def test_comments_are_kept_and_only_the_last_ones() -> None:
    """They change nothing else."""
    story = Story().sees(BROKEN, 1)
    for minute in range(2, 40):
        story.answers(Action.COMMENT, "ana", minute)
    assert story.incident is not None
    assert [said.response_id for said in story.incident.attention.responses] == [f"r-{n}" for n in range(19, 39)]
    assert len(story.incident.attention.responses) == MAX_RESPONSES


def test_the_one_on_call_when_a_step_is_taken_is_told() -> None:
    """Ana was on call when it broke; Carla is when the step is taken, and hears of it; Ana hears how it ends."""
    step = Step(10 * MINUTE, on_call={"on-call:rota": on_call})
    plan = plan_of(Receivers({}, on_call={"on-call:rota": on_call}, others=OTHERS, steps=(step,)))
    story = Story(plan).sees(BROKEN, 1)
    assert story.waits(12) == [(1, "ana", "breach"), (11, "carla", "reminder")]
    assert story.sees(LATE, 13).waits(14) == [(13, "ana", "resolved"), (13, "carla", "resolved")]


def test_when_all_steps_are_taken_what_breaks_next_begins_them_anew() -> None:
    """It was never told to anybody."""
    story = Story().sees(BROKEN, 1)
    story.waits(100)
    story.sees(BROKEN, 101, subject="A-2")
    assert story.waits(112) == [(101, "mail", "breach"), (111, "boss", "escalation")]


def test_a_retraction_while_it_escalates_ends_it() -> None:
    """And reaches all who were told, in whichever step."""
    story = Story().sees(BROKEN, 1).sees(FINE, 12)
    assert story.waits(500) == [
        (1, "mail", "breach"),
        (11, "boss", "escalation"),
        (12, "boss", "resolved"),
        (12, "mail", "resolved"),
    ]


def test_an_escalation_that_was_taken_out_of_the_configuration_stops() -> None:
    """What is open stays as it was told."""
    story = Story().sees(BROKEN, 1)
    story.plan = NO_STAIRS._replace(routes={"ops": Receivers({"mail": "email"}, others=OTHERS)})
    assert story.waits(500) == [(1, "mail", "breach")]


@pytest.mark.parametrize(
    ("before", "after", "announced"),
    [
        ("resolved", "acknowledged", Transition.OPENED),
        ("open", "acknowledged", Transition.ACKNOWLEDGED),
        ("acknowledged", "open", Transition.LAPSED),
        ("acknowledged", "resolved", Transition.RESOLVED),
    ],
)
def test_every_change_of_state_has_a_name(before: str, after: str, announced: Transition) -> None:
    """Those of every pair of different states."""
    old, new = (Incident(INCIDENT, "ops", IncidentState[name.upper()]) for name in (before, after))
    assert transition(old, new) is announced


def test_nothing_waits_for_ever() -> None:
    """Where nobody is told anything more, only facts can change something."""
    story = Story().sees(BROKEN, 1)
    story.waits(2000)
    assert story.incident is not None
    assert not [delivery for delivery in story.incident.deliveries if delivery.state in UNSETTLED]
    assert next_deadline(story.incident, STAIRS) is None
