"""Nothing is lost and nothing is told twice, wherever a crash falls: against a world that records what it hears."""

from collections import Counter
from collections.abc import Mapping

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.notifier.beliefs import Step
from services.notifier.codec import pack, unpack
from services.notifier.domain import attempted_at_once, due, fold, next_deadline
from services.notifier.incident import Fact, Incident, IncidentState, ItemSeen
from services.notifier.items import ANNOUNCED, NONE, TROUBLE, Handling, Item, Rise, Severity, Standing
from services.notifier.outbox import (
    CALLS,
    FALLBACK_CHANNEL,
    UNSETTLED,
    Accepted,
    Delivery,
    DeliverySettled,
    DeliveryState,
    Failure,
    Kind,
    Outcome,
    Pause,
    Refused,
    TryAgain,
)
from services.notifier.responses import Action, Response
from services.shared.instant import SECOND, Instant
from tests.unit.notifier.builders import (
    CONTACTS,
    INCIDENT,
    MINUTE,
    ON_CALL,
    PERSONAL,
    ROTA,
    WATCHFUL,
    an_item,
    at,
    on_call,
)

SUBJECTS = ("A-1", "A-2", "A-3")
STANDINGS = sorted(ANNOUNCED)
#: How a target that hears of an item believes it to stand.
BELIEFS = {
    Kind.BREACH: Standing.BROKEN,
    Kind.ESCALATION: Standing.BROKEN,
    Kind.REMINDER: Standing.BROKEN,
    Kind.AT_RISK: Standing.AT_RISK,
    Kind.RESOLVED: Standing.FINE,
    Kind.ACKNOWLEDGED: Standing.ANSWERED,
    Kind.SNOOZED: Standing.ANSWERED,
}
#: What must have been heard before.
WORRIES = {
    Kind.RESOLVED: {Standing.BROKEN, Standing.AT_RISK, Standing.ANSWERED},
    Kind.REMINDER: {Standing.BROKEN, Standing.ANSWERED},
    Kind.ACKNOWLEDGED: {Standing.BROKEN, Standing.AT_RISK, Standing.ANSWERED},
    Kind.SNOOZED: {Standing.BROKEN, Standing.AT_RISK, Standing.ANSWERED},
}
#: Who answers: targets of one plan or another, and somebody whom nobody tells anything.
PEOPLE = ("mail", "boss", "ana", "bob", "a stranger")
#: Who may be out of reach.
TARGETS = ("mail", "boss", "ana", "ana-phone", "bob-mail", "carla")
BAD_ENDS: list[Outcome] = [
    TryAgain(Failure.NETWORK),
    TryAgain(Failure.RATE_LIMITED, 100 * SECOND),
    TryAgain(Failure.BREAKER_OPEN, 20 * SECOND, made=False),
    Refused(Failure.CLIENT_ERROR),
]


class Notifier(RuleBasedStateMachine):
    """One incident. `record` is all that survives a crash; the world hears what is sent."""

    plan = WATCHFUL
    #: Whether news is announced now, so that a message may be attempted as soon as it is decided.
    prompt = False
    #: How much an order may matter.
    severities: tuple[Severity, ...] = (Severity.WARNING,)

    def __init__(self) -> None:
        super().__init__()
        self.now = at(1000)
        self.dispatched: list[ItemSeen] = []
        self.read = 0
        self.answers: list[Response] = []
        self.answers_read = 0
        #: The orders of which somebody may have said, since they came to stand so, that they are dealt with.
        self.may_be_closed: set[str] = set()
        #: Order → the newest that was read of it.
        self.newest: dict[str, Item] = {}
        self.record: bytes | None = None
        self.under_way: dict[str, Delivery] = {}
        self.heard: list[Delivery] = []
        #: What was given up, by its id. What of that somebody else hears, not the console, is in `heard`, too.
        self.given_up: dict[str, Delivery] = {}
        #: What was seen to wait since the sender lives: of nothing else it knows that no attempt was made.
        self.waiting: set[str] = set()
        self.pauses: dict[str, Pause] = {}
        self.plan = self.plan._replace(pauses=self.pauses)

    # --- what upstream does

    @rule(
        subject=st.sampled_from(SUBJECTS),
        standing=st.sampled_from(STANDINGS),
        seconds=st.sampled_from([0, 1, 90, 600]),
        coming=st.booleans(),
        much=st.integers(0, 5),
    )
    def a_record_says_how_an_order_stands(
        self, subject: str, standing: Standing, seconds: int, coming: bool, much: int
    ) -> None:
        """Which is critical after so many seconds, if it stays broken; where it is coming it is others' until then."""
        offset = len(self.dispatched) + 1
        severity = self.severities[much % len(self.severities)] if standing in TROUBLE else Severity.INFO
        item = an_item(standing, offset, subject=subject, severity=severity)
        if self.prompt:
            item = item._replace(announced_at=self.now)
        if standing == Standing.BROKEN and severity < Severity.CRITICAL and seconds:
            rises = (Rise(Instant(self.now + seconds * SECOND), Severity.CRITICAL),)
            item = item._replace(rises=rises, follow_up=coming)
        self.dispatched.append(ItemSeen("ops", item))

    @precondition(lambda self: self.read > 0)
    @rule(count=st.integers(1, 5))
    def upstream_crashes_and_repeats_itself(self, count: int) -> None:
        repeated = self.dispatched[max(self.read - count, 0) : self.read]
        self.dispatched[self.read : self.read] = repeated

    # --- what people do

    @rule(
        action=st.sampled_from(Action),
        by=st.sampled_from(PEOPLE),
        minutes=st.sampled_from([0, 1, 30, 100]),
        run=st.sampled_from(["this", "any", "another"]),
    )
    def somebody_answers(self, action: Action, by: str, minutes: int, run: str) -> None:
        incident = self.incident()
        opened_at = {"this": incident.attention.opened_at if incident else NONE, "any": NONE, "another": at(1)}[run]
        until = Instant(self.now + minutes * MINUTE) if minutes or action == Action.SNOOZE else NONE
        self.answers.append(Response(f"r-{len(self.answers)}", action, by, self.now, opened_at, until))

    # --- what the notifier does

    @precondition(lambda self: self.read < len(self.dispatched) or self.answers_read < len(self.answers))
    @rule(count=st.integers(0, 5), answers=st.integers(0, 2))
    def a_batch_is_folded(self, count: int, answers: int) -> None:
        seen = [fact._replace(seen_at=self.now) for fact in self.dispatched[self.read : self.read + count]]
        said = self.answers[self.answers_read : self.answers_read + answers]
        if not seen and not said:
            return
        self.note(seen, said)
        self.read += len(seen)
        self.answers_read += len(said)
        batch: list[Fact] = [*seen, *(response._replace(heard_at=self.now) for response in said)]
        self.fold(batch)

    @rule(seconds=st.sampled_from([0, 1, 10, 70, 400, 5000]))
    def deadlines_are_swept(self, seconds: int) -> None:
        """No attempt outlasts its lease; one that would, ended unheard."""
        self.now = Instant(self.now + seconds * SECOND)
        self.under_way = {key: d for key, d in self.under_way.items() if d.next_attempt_at > self.now}
        incident = self.incident()
        deadline = next_deadline(incident, self.plan) if incident else None
        if incident and deadline is not None and deadline <= self.now:
            after = due(incident, self.now, self.plan)
            assert after != incident, "it would be looked at again at once, for ever"
            self.write(after)

    @precondition(lambda self: self.under_way)
    @rule()
    def an_attempt_succeeds(self) -> None:
        delivery = self.end_one()
        self.heard.append(delivery)
        self.report(delivery, Accepted())

    @precondition(lambda self: self.under_way and self.under_way[min(self.under_way)].channel != FALLBACK_CHANNEL)
    @rule(outcome=st.sampled_from(BAD_ENDS))
    def an_attempt_fails(self, outcome: Outcome) -> None:
        """Except on the console, which always works."""
        self.report(self.end_one(), outcome)

    @rule(whom=st.sampled_from(TARGETS), seconds=st.sampled_from([1, 30, 300]), spread=st.sampled_from([0, 60]))
    def a_target_is_left_alone(self, whom: str, seconds: int, spread: int) -> None:
        """For a while, which the sender makes longer or shorter as it likes."""
        self.pauses[whom] = Pause(Instant(self.now + seconds * SECOND), spread * SECOND)

    @rule()
    def all_goes_well_for_a_while(self) -> None:
        while self.read < len(self.dispatched) or self.answers_read < len(self.answers):
            self.a_batch_is_folded(1, 1)
            self.deadlines_are_swept(100)
            while self.under_way:
                self.an_attempt_succeeds()

    # --- crashes

    @rule()
    def the_sender_dies(self) -> None:
        """Nothing was sent, nothing reported."""
        self.forget()

    @precondition(lambda self: self.under_way)
    @rule()
    def the_sender_dies_between_acceptance_and_report(self) -> None:
        self.heard.append(self.end_one())
        self.forget()

    @precondition(lambda self: self.read > 0 or self.answers_read > 0)
    @rule(count=st.integers(0, 5), answers=st.integers(0, 5))
    def the_reader_dies_before_its_commit(self, count: int, answers: int) -> None:
        """What was folded is in the record; it is read again."""
        self.read = max(self.read - count, 0)
        self.answers_read = max(self.answers_read - answers, 0)
        self.forget()

    # --- what holds

    @invariant()
    def at_most_one_message_is_on_its_way_to_a_target(self) -> None:
        incident = self.incident()
        waiting = [d.target for d in incident.deliveries if d.state in UNSETTLED] if incident else []
        assert len(waiting) == len(set(waiting))

    @invariant()
    def nobody_hears_what_follows_before_the_beginning(self) -> None:
        """No end, no answer and no reminder: that at most who answered unasked or came on call later."""
        believed: dict[tuple[str, str], Standing] = {}
        for delivery in self.once():
            for subject in _subjects(delivery):
                before = believed.get((delivery.target, subject))
                knows = self.is_on_call(delivery.target) or any(said.by == delivery.target for said in self.answers)
                reminded = delivery.kind == Kind.REMINDER and knows
                assert reminded or before in WORRIES.get(Kind(delivery.kind), {before})
                believed[delivery.target, subject] = BELIEFS[Kind(delivery.kind)]

    @invariant()
    def a_breach_alerts_once(self) -> None:
        """At once or when nobody answered; an escalation also reminds of what its target knows."""
        believed: dict[tuple[str, str], Standing] = {}
        alerts = Counter[tuple[str, str]]()
        for delivery in self.once():
            for subject in _subjects(delivery):
                whom = delivery.target, subject
                reminded = delivery.kind == Kind.ESCALATION and believed.get(whom) in WORRIES[Kind.REMINDER]
                alerts[whom] += delivery.kind in {Kind.BREACH, Kind.ESCALATION} and not reminded
                believed[whom] = BELIEFS[Kind(delivery.kind)]
        for (_, subject), times in alerts.items():
            assert times <= self.breaches(subject)

    @invariant()
    def what_is_told_again_has_risen_or_was_answered(self) -> None:
        """Once for each, where nobody is told again for other reasons."""
        receivers = self.plan.routes["ops"]
        if receivers.steps or receivers.on_call:
            return
        for subject in SUBJECTS:
            again = [d for d in self.once() if d.kind == Kind.REMINDER and subject in _subjects(d)]
            rises = {fact.item.offset for fact in self.dispatched if fact.item.rises and _is(fact, subject)}
            assert len(again) <= len(rises) + len(self.answers)

    @invariant()
    def no_step_is_taken_while_somebody_sees_to_all(self) -> None:
        incident = self.incident()
        assert not incident or incident.state == IncidentState.OPEN or not incident.next_step_at

    @invariant()
    def an_answer_counts_once(self) -> None:
        incident = self.incident()
        ids = [said.response_id for said in incident.attention.responses] if incident else []
        assert len(ids) == len(set(ids))

    @invariant()
    def only_who_says_so_closes_anything(self) -> None:
        incident = self.incident()
        closed = [item for item in incident.items if item.handling == Handling.CLOSED] if incident else []
        assert {_subject(item.record_id) for item in closed} <= self.may_be_closed

    @invariant()
    def a_copy_is_called_one(self) -> None:
        known: set[str] = set()
        for delivery in self.heard:
            assert delivery.may_repeat or delivery.delivery_id not in known
            known.add(delivery.delivery_id)

    def teardown(self) -> None:
        """In the end everybody knows how things stand."""
        self.all_goes_well_for_a_while()
        for _ in range(100):
            self.deadlines_are_swept(400)
            while self.under_way:
                self.an_attempt_succeeds()
        incident = self.incident()
        assert not incident or incident.state != IncidentState.ACKNOWLEDGED
        believed = {subject: dict[str, Standing]() for subject in SUBJECTS}
        #: Who, by what was heard last, has to be told by somebody else.
        passed_on = {subject: dict[str, bool]() for subject in SUBJECTS}
        for delivery in self.once():
            for subject in _subjects(delivery):
                believed[subject][delivery.target] = BELIEFS[Kind(delivery.kind)]
                if self.is_as_if_never_told(delivery) and self.stands(subject) != Standing.AT_RISK:
                    del believed[subject][delivery.target]
                passed_on[subject][delivery.target] = delivery.state == DeliveryState.DEAD
        fallbacks = self.plan.routes["ops"].fallbacks
        closed = {_subject(item.record_id) for item in (incident.items if incident else ()) if item.handling}
        for subject in SUBJECTS:
            stands = self.stands(subject)
            told = stands == Standing.BROKEN or (stands == Standing.AT_RISK and self.plan.routes["ops"].at_risk)
            if told and subject not in closed:
                self.is_known(stands, believed[subject], self.newest_of(subject).severity)
                for target in [target for target, is_so in passed_on[subject].items() if is_so]:
                    assert believed[subject].get(fallbacks[target]) == stands
            else:
                assert set(believed[subject].values()) <= {Standing.FINE}

    def is_known(self, stands: int, believed: Mapping[str, Standing], _severity: int) -> None:
        """What everybody believes in the end of an order in trouble."""
        assert set(believed.values()) - {Standing.FINE} == {stands}

    # --- how it is done

    def incident(self) -> Incident | None:
        return unpack(self.record) if self.record else None

    def write(self, incident: Incident | None) -> None:
        """Acknowledged: what the record calls for is begun."""
        before = self.incident()
        known = {delivery.delivery_id for delivery in before.deliveries} if before else set()
        for delivery in incident.deliveries if incident else ():
            if delivery.delivery_id not in known and delivery.channel != FALLBACK_CHANNEL:
                self.is_decided(delivery)
        ids = {delivery.delivery_id for delivery in incident.deliveries} if incident else set()
        for delivery in incident.deliveries if incident else ():
            if delivery.state == DeliveryState.DEAD and delivery.delivery_id not in self.given_up:
                self.given_up[delivery.delivery_id] = delivery
                if f"{delivery.delivery_id}-{FALLBACK_CHANNEL}" not in ids:
                    assert delivery.kind in CALLS
                    assert delivery.target in self.plan.routes["ops"].fallbacks
                    self.heard.append(delivery._replace(may_repeat=True))
        self.record = pack(incident) if incident else None
        for delivery in incident.deliveries if incident else ():
            if delivery.state == DeliveryState.PENDING or delivery.delivery_id not in known:
                self.waiting.add(delivery.delivery_id)
            if delivery.state == DeliveryState.SENDING and delivery.delivery_id not in self.under_way:
                may_repeat = delivery.may_repeat or delivery.delivery_id not in self.waiting
                self.under_way[delivery.delivery_id] = delivery._replace(may_repeat=may_repeat)
                self.waiting.discard(delivery.delivery_id)

    def is_decided(self, delivery: Delivery) -> None:
        """It calls people for nothing that is over, and nobody new for what is only coming."""
        if delivery.kind in {Kind.BREACH, Kind.ESCALATION, Kind.REMINDER}:
            for subject in _subjects(delivery):
                newest = self.newest[subject]
                assert newest.standing == Standing.BROKEN
                has_come = not newest.follow_up or newest.rises[0].at <= self.now
                assert has_come or any(d.target == delivery.target and subject in _subjects(d) for d in self.heard)

    def forget(self) -> None:
        """The process dies, and another begins."""
        self.under_way.clear()
        self.waiting.clear()

    def note(self, seen: list[ItemSeen], said: list[Response]) -> None:
        """What of this can end, or begin, that an order is closed."""
        for fact in seen:
            subject, item = _subject(fact.item.record_id), fact.item
            newest = self.newest.get(subject)
            if newest is None or item.offset > newest.offset:
                self.newest[subject] = item
                if newest is None or item.standing != newest.standing:
                    self.may_be_closed.discard(subject)
        if any(response.action == Action.RESOLVE for response in said):
            self.may_be_closed |= set(SUBJECTS)

    def is_on_call(self, target: str) -> bool:
        receivers = self.plan.routes["ops"]
        return any(target in receivers.contact(who) for who in ROTA) and any(g.on_call for g in receivers.groups)

    def is_as_if_never_told(self, delivery: Delivery) -> bool:
        """Whether it is a risk that did not reach its target, and was perhaps to be sent again."""
        is_lost = delivery.delivery_id.removesuffix(f"-{FALLBACK_CHANNEL}") in self.given_up
        again = any(response.action == Action.RESEND for response in self.answers)
        return delivery.kind == Kind.AT_RISK and is_lost and again

    def end_one(self) -> Delivery:
        return self.under_way.pop(min(self.under_way))

    def report(self, delivery: Delivery, outcome: Outcome) -> None:
        end = DeliverySettled(self.now, delivery.delivery_id, outcome, delivery.may_repeat)
        self.fold([end])

    def fold(self, facts: list[Fact]) -> None:
        before = self.incident()
        after = fold(INCIDENT, before, facts, self.plan)
        self.write(after and attempted_at_once(before, after, self.now, self.plan))

    def once(self) -> list[Delivery]:
        """What was heard, without the copies that carry a known id. Said on the console, it is the same message."""
        return list({d.delivery_id.removesuffix(f"-{FALLBACK_CHANNEL}"): d for d in self.heard}.values())

    def breaches(self, subject: str) -> int:
        """How often an order broke, by the records as upstream first announced them."""
        records = {fact.item.offset: fact.item for fact in self.dispatched if _is(fact, subject)}
        standings = [records[offset].standing for offset in sorted(records)]
        return sum(
            standing == Standing.BROKEN and before != Standing.BROKEN
            for before, standing in zip([Standing.FINE, *standings], standings, strict=False)
        )

    def lost(self, subject: str) -> int:
        """How many messages about an order were given up: whoever is on call then is told."""
        return sum(subject in _subjects(delivery) for delivery in self.given_up.values())

    def stands(self, subject: str) -> int:
        return self.newest_of(subject).standing

    def newest_of(self, subject: str) -> Item:
        items = [fact.item for fact in self.dispatched if _is(fact, subject)]
        return max(items, key=lambda item: item.offset, default=an_item(Standing.FINE, 0))


class PromptNotifier(Notifier):
    """The same where most messages are attempted as soon as they are decided."""

    prompt = True


class WatchfulNotifierOnCall(Notifier):
    """The same where whoever is on call is told: they change while messages wait, are repeated, or fail."""

    plan = ON_CALL._replace(routes={"ops": ON_CALL.routes["ops"]._replace(at_risk=True)})


class NotifierOnCall(Notifier):
    """And where only breaches are told: each of them to one person, whoever comes on call later."""

    plan = ON_CALL

    @invariant()
    def a_breach_alerts_one_person(self) -> None:
        for subject in SUBJECTS:
            alerts = [d for d in self.once() if d.kind == Kind.BREACH and subject in _subjects(d)]
            assert len(alerts) <= self.breaches(subject) + self.lost(subject)


def _subject(record_id: str) -> str:
    return record_id.rpartition("/")[2]


def _is(fact: ItemSeen, subject: str) -> bool:
    return _subject(fact.item.record_id) == subject


def _subjects(delivery: Delivery) -> list[str]:
    return [_subject(item.record_id) for item in delivery.items]


STEPS = (Step(10 * MINUTE, {"boss": "email"}), Step(20 * MINUTE, {"mail": "email", "boss": "email"}))


class NotifierThatEscalates(Notifier):
    """And where others are told, and the first ones again, while nobody answers."""

    plan = WATCHFUL._replace(
        routes={
            "ops": WATCHFUL.routes["ops"]._replace(
                others={"mail": "email", "boss": "email"}, steps=STEPS, attention=60 * MINUTE
            )
        }
    )


class NotifierThatEscalatesToWhoeverIsOnCall(Notifier):
    """And where it depends on when that is."""

    plan = ON_CALL._replace(
        routes={
            "ops": ON_CALL.routes["ops"]._replace(
                targets={"mail": "email"},
                others=dict.fromkeys((*ROTA, "mail", "boss"), "email"),
                steps=(Step(7 * MINUTE, {}, {"on-call:rota": on_call}), *STEPS),
                attention=60 * MINUTE,
            )
        }
    )


class NotifierOfPeople(Notifier):
    """And where a person is told: some targets only of what is critical, and what is may change."""

    plan = WATCHFUL._replace(routes={"ops": PERSONAL._replace(at_risk=True, people=("ana",))})
    severities = (Severity.WARNING, Severity.CRITICAL)

    def is_known(self, stands: int, believed: Mapping[str, Standing], severity: int) -> None:
        """By all targets that are called for it. Another may be left believing that it is not worse than it was."""
        for name, severities in CONTACTS["ana"].items():
            assert severity not in severities or believed[name] == stands

    @invariant()
    def only_who_is_called_for_it_is_called(self) -> None:
        for delivery in self.once():
            if delivery.kind in _CALLING:
                assert all(item.severity in CONTACTS["ana"][delivery.target] for item in delivery.items)


_CALLING = {Kind.BREACH, Kind.AT_RISK, Kind.ESCALATION, Kind.REMINDER}


class NotifierOfPeopleOnCall(Notifier):
    """And where people are on call, by several targets each."""

    plan = ON_CALL._replace(routes={"ops": PERSONAL._replace(on_call={"on-call:rota": on_call})})
    severities: tuple[Severity, ...] = (Severity.WARNING, Severity.CRITICAL)

    def is_known(self, stands: int, believed: Mapping[str, Standing], severity: int) -> None:
        """By all targets of somebody that are called for it."""
        contacts = map(self.plan.routes["ops"].contact, ROTA)
        called = [{way for way, severities in contact.items() if severity in severities} for contact in contacts]
        assert any(all(believed.get(way) == stands for way in ways) for ways in called)


class NotifierOfPeopleOnCallForWhatIsCritical(NotifierOfPeopleOnCall):
    """Where nothing becomes worse than it was when it was told."""

    severities = (Severity.CRITICAL,)

    @invariant()
    def a_breach_is_told_to_one_person_by_all_his_targets(self) -> None:
        """Who comes on call later hears only of what those before were told by halves, or what did not reach them."""
        for subject in SUBJECTS:
            alerts = Counter(d.target for d in self.once() if d.kind == Kind.BREACH and subject in _subjects(d))
            whole = sum(min(alerts[way] for way in self.plan.routes["ops"].contact(name)) for name in ROTA)
            assert whole <= self.breaches(subject) + self.lost(subject)


class NotifierThatEscalatesToPeople(NotifierOfPeopleOnCall):
    """And where it matters more or less from time to time, and nobody answers."""

    plan = ON_CALL._replace(
        routes={
            "ops": PERSONAL._replace(
                at_risk=True,
                on_call={"on-call:rota": on_call},
                steps=(Step(7 * MINUTE, people=("bob",)), *STEPS, Step(9 * MINUTE, {}, {"on-call:rota": on_call})),
                attention=60 * MINUTE,
            )
        }
    )


FALLBACKS = {"mail": "boss", "boss": "owner", "ana": "mail", "bob": "carla"}
PEOPLE_AND_OWNER = dict.fromkeys((*ROTA, "mail", "boss", "owner"), "email")


class NotifierWhoseTargetsDie(Notifier):
    """Often all of them at once."""

    @precondition(lambda self: self.under_way)
    @rule()
    def all_servers_refuse_for_a_while(self) -> None:
        while refused := [d for d in self.under_way.values() if d.channel != FALLBACK_CHANNEL]:
            self.report(self.under_way.pop(refused[0].delivery_id), Refused(Failure.CLIENT_ERROR))
            self.deadlines_are_swept(0)


class NotifierWithFallbacks(NotifierWhoseTargetsDie):
    """And where others are told instead of whoever cannot be reached; of what is lost there is always somebody."""

    plan = WATCHFUL._replace(
        routes={"ops": WATCHFUL.routes["ops"]._replace(others=PEOPLE_AND_OWNER, fallbacks=FALLBACKS)}
    )


class NotifierThatEscalatesWithFallbacks(NotifierWhoseTargetsDie):
    """And where they may be told of it anyway, or be on call."""

    plan = ON_CALL._replace(
        routes={
            "ops": ON_CALL.routes["ops"]._replace(
                targets={"mail": "email"},
                at_risk=True,
                others=PEOPLE_AND_OWNER,
                steps=(Step(7 * MINUTE, {}, {"on-call:rota": on_call}), *STEPS),
                attention=60 * MINUTE,
                fallbacks=FALLBACKS,
                shifts={"on-call:rota": lambda now: Instant(now + MINUTE)},
            )
        }
    )


CASES = (
    NotifierWithFallbacks,
    NotifierThatEscalatesWithFallbacks,
    Notifier,
    PromptNotifier,
    WatchfulNotifierOnCall,
    NotifierOnCall,
    NotifierThatEscalates,
    NotifierThatEscalatesToWhoeverIsOnCall,
    NotifierOfPeople,
    NotifierOfPeopleOnCall,
    NotifierOfPeopleOnCallForWhatIsCritical,
    NotifierThatEscalatesToPeople,
)
(
    TestNeverLostWithFallbacks,
    TestNeverLostEscalatingWithFallbacks,
    TestNeverLost,
    TestNeverLostPrompt,
    TestNeverLostWatchfulOnCall,
    TestNeverLostOnCall,
    TestNeverLostEscalating,
    TestNeverLostEscalatingOnCall,
    TestNeverLostPeople,
    TestNeverLostPeopleOnCall,
    TestNeverLostPeopleOnCallCritical,
    TestNeverLostEscalatingToPeople,
) = (case.TestCase for case in CASES)


def test_what_did_not_reach_who_was_on_call_is_told_to_who_is() -> None:
    """Though it stands on the console by then: two people are told of one breach, rather than nobody."""
    world = NotifierOfPeopleOnCallForWhatIsCritical()
    world.a_target_is_left_alone("carla", seconds=300, spread=0)
    world.a_record_says_how_an_order_stands("A-1", Standing.BROKEN, seconds=0, coming=False, much=0)
    world.all_goes_well_for_a_while()
    world.deadlines_are_swept(5000)
    world.upstream_crashes_and_repeats_itself(1)
    world.all_goes_well_for_a_while()
    assert [delivery.target for delivery in world.once()] == ["bob-mail", "bob-phone", "carla"]
    assert (world.breaches("A-1"), world.lost("A-1")) == (1, 1)
    world.a_breach_is_told_to_one_person_by_all_his_targets()
    world.teardown()


for case in CASES:
    case.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
