"""Nothing is lost and nothing is told twice, wherever a crash falls: against a world that records what it hears."""

from collections import Counter

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.notifier.codec import pack, unpack
from services.notifier.domain import due, fold, next_deadline
from services.notifier.incident import Incident, ItemSeen
from services.notifier.items import ANNOUNCED, Severity, Standing
from services.notifier.outbox import (
    FALLBACK_CHANNEL,
    UNSETTLED,
    Accepted,
    Delivery,
    DeliverySettled,
    DeliveryState,
    Failure,
    Kind,
    Outcome,
    Refused,
    TryAgain,
)
from services.shared.instant import SECOND, Instant
from tests.unit.notifier.builders import INCIDENT, ON_CALL, WATCHFUL, an_item, at

SUBJECTS = ("A-1", "A-2", "A-3")
STANDINGS = sorted(ANNOUNCED)
#: How a target that hears of an item believes it to stand.
BELIEFS = {Kind.BREACH: Standing.BROKEN, Kind.AT_RISK: Standing.AT_RISK, Kind.RESOLVED: Standing.FINE}
BAD_ENDS: list[Outcome] = [
    TryAgain(Failure.NETWORK),
    TryAgain(Failure.RATE_LIMITED, 100 * SECOND),
    TryAgain(Failure.BREAKER_OPEN, 20 * SECOND, made=False),
    Refused(Failure.CLIENT_ERROR),
]


class Notifier(RuleBasedStateMachine):
    """One incident. `record` is all that survives a crash; the world hears what is sent."""

    plan = WATCHFUL

    def __init__(self) -> None:
        super().__init__()
        self.now = at(1000)
        self.dispatched: list[ItemSeen] = []
        self.read = 0
        self.record: bytes | None = None
        self.under_way: dict[str, Delivery] = {}
        self.heard: list[Delivery] = []
        #: What was seen to wait since the sender lives: of nothing else it knows that no attempt was made.
        self.waiting: set[str] = set()

    # --- what upstream does

    @rule(subject=st.sampled_from(SUBJECTS), standing=st.sampled_from(STANDINGS))
    def a_record_says_how_an_order_stands(self, subject: str, standing: Standing) -> None:
        offset = len(self.dispatched) + 1
        item = an_item(standing, offset, subject=subject, severity=Severity.WARNING)
        self.dispatched.append(ItemSeen("ops", item))

    @precondition(lambda self: self.read > 0)
    @rule(count=st.integers(1, 5))
    def upstream_crashes_and_repeats_itself(self, count: int) -> None:
        repeated = self.dispatched[max(self.read - count, 0) : self.read]
        self.dispatched[self.read : self.read] = repeated

    # --- what the notifier does

    @precondition(lambda self: self.read < len(self.dispatched))
    @rule(count=st.integers(1, 5))
    def a_batch_is_folded(self, count: int) -> None:
        batch = [fact._replace(seen_at=self.now) for fact in self.dispatched[self.read : self.read + count]]
        self.read += len(batch)
        self.write(fold(INCIDENT, self.incident(), batch, self.plan))

    @rule(seconds=st.sampled_from([0, 1, 10, 70, 400, 5000]))
    def deadlines_are_swept(self, seconds: int) -> None:
        """No attempt outlasts its lease; one that would, ended unheard."""
        self.now = Instant(self.now + seconds * SECOND)
        self.under_way = {key: d for key, d in self.under_way.items() if d.next_attempt_at > self.now}
        incident = self.incident()
        deadline = next_deadline(incident, self.plan) if incident else None
        if incident and deadline is not None and deadline <= self.now:
            self.write(due(incident, self.now, self.plan))

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

    @rule()
    def all_goes_well_for_a_while(self) -> None:
        while self.read < len(self.dispatched):
            self.a_batch_is_folded(1)
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

    @precondition(lambda self: self.read > 0)
    @rule(count=st.integers(1, 5))
    def the_reader_dies_before_its_commit(self, count: int) -> None:
        """What was folded is in the record; it is read again."""
        self.read = max(self.read - count, 0)
        self.forget()

    # --- what holds

    @invariant()
    def at_most_one_message_is_on_its_way_to_a_target(self) -> None:
        incident = self.incident()
        waiting = [d.target for d in incident.deliveries if d.state in UNSETTLED] if incident else []
        assert len(waiting) == len(set(waiting))

    @invariant()
    def nobody_hears_an_end_before_the_beginning(self) -> None:
        believed: dict[tuple[str, str], Standing] = {}
        for delivery in self.once():
            for subject in _subjects(delivery):
                if delivery.kind == Kind.RESOLVED:
                    assert believed[delivery.target, subject] in {Standing.BROKEN, Standing.AT_RISK}
                believed[delivery.target, subject] = BELIEFS[Kind(delivery.kind)]

    @invariant()
    def a_breach_alerts_once(self) -> None:
        for subject in SUBJECTS:
            alerts = Counter(d.target for d in self.once() if d.kind == Kind.BREACH and subject in _subjects(d))
            assert max(alerts.values(), default=0) <= self.breaches(subject)

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
        believed = {subject: dict[str, Standing]() for subject in SUBJECTS}
        for delivery in self.once():
            for subject in _subjects(delivery):
                believed[subject][delivery.target] = BELIEFS[Kind(delivery.kind)]
        for subject in SUBJECTS:
            stands = self.stands(subject)
            if stands == Standing.BROKEN or (stands == Standing.AT_RISK and self.plan.routes["ops"].at_risk):
                assert set(believed[subject].values()) - {Standing.FINE} == {stands}
            else:
                assert set(believed[subject].values()) <= {Standing.FINE}

    # --- how it is done

    def incident(self) -> Incident | None:
        return unpack(self.record) if self.record else None

    def write(self, incident: Incident | None) -> None:
        """Acknowledged: what the record calls for is begun."""
        self.record = pack(incident) if incident else None
        for delivery in incident.deliveries if incident else ():
            if delivery.state == DeliveryState.PENDING:
                self.waiting.add(delivery.delivery_id)
            if delivery.state == DeliveryState.SENDING and delivery.delivery_id not in self.under_way:
                may_repeat = delivery.may_repeat or delivery.delivery_id not in self.waiting
                self.under_way[delivery.delivery_id] = delivery._replace(may_repeat=may_repeat)
                self.waiting.discard(delivery.delivery_id)

    def forget(self) -> None:
        """The process dies, and another begins."""
        self.under_way.clear()
        self.waiting.clear()

    def end_one(self) -> Delivery:
        return self.under_way.pop(min(self.under_way))

    def report(self, delivery: Delivery, outcome: Outcome) -> None:
        end = DeliverySettled(self.now, delivery.delivery_id, outcome)
        self.write(fold(INCIDENT, self.incident(), [end], self.plan))

    def once(self) -> list[Delivery]:
        """What was heard, without the copies that carry a known id. Said on the console, it is the same message."""
        return list({d.delivery_id.removesuffix(f"-{FALLBACK_CHANNEL}"): d for d in self.heard}.values())

    def breaches(self, subject: str) -> int:
        """How often an order broke, by the records as upstream first announced them."""
        records = {fact.item.offset: fact.item for fact in self.dispatched if _subject(fact.item.record_id) == subject}
        standings = [records[offset].standing for offset in sorted(records)]
        return sum(
            standing == Standing.BROKEN and before != Standing.BROKEN
            for before, standing in zip([Standing.FINE, *standings], standings, strict=False)
        )

    def stands(self, subject: str) -> int:
        items = [fact.item for fact in self.dispatched if _subject(fact.item.record_id) == subject]
        return max(items, key=lambda item: item.offset).standing if items else Standing.FINE


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
            assert len(alerts) <= self.breaches(subject)


def _subject(record_id: str) -> str:
    return record_id.rpartition("/")[2]


def _subjects(delivery: Delivery) -> list[str]:
    return [_subject(item.record_id) for item in delivery.items]


TestNeverLost = Notifier.TestCase
TestNeverLostWatchfulOnCall = WatchfulNotifierOnCall.TestCase
TestNeverLostOnCall = NotifierOnCall.TestCase
SETTINGS = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestNeverLost.settings = TestNeverLostWatchfulOnCall.settings = TestNeverLostOnCall.settings = SETTINGS
