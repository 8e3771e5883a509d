"""The life of one promise as the engine leads it: facts held up, repeated, batched; the clock; restarts."""

from itertools import zip_longest

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.promises import codec
from services.promises.domain import change, due, fold, next_deadline, note
from services.promises.model import Fact, FactKind, Promise, Reason, State, Transition
from services.promises.words import cycles_of
from tests.unit.promises.builders import KIND_RULES, PROMISE, RULES, at, judged
from tests.unit.promises.oracle import opinions
from tests.unit.promises.strategies import facts
from tests.unit.promises.test_laws import broken_by_time, seen


class Lifecycle(RuleBasedStateMachine):
    """A record beside the plain set of facts that have reached it."""

    def __init__(self) -> None:
        super().__init__()
        self.now: float = 0
        self.happened: list[Fact] = []
        self.on_the_way: list[Fact] = []
        self.arrived: list[Fact] = []
        self.record: Promise | None = None

    @initialize(word=facts(FactKind.PROMISED))
    def a_word_is_given(self, word: Fact) -> None:
        self.happens(word)

    @rule(fact=facts())
    def happens(self, fact: Fact) -> None:
        """Something happens, at any time; it will arrive some time."""
        self.happened.append(fact)
        self.on_the_way.append(fact)

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data())
    def a_batch_arrives(self, data: st.DataObject) -> None:
        """Some of what is on the way arrives, in any order."""
        chosen = data.draw(st.lists(st.sampled_from(range(len(self.on_the_way))), min_size=1, unique=True))
        batch = [self.on_the_way[index] for index in chosen]
        self.on_the_way = [fact for index, fact in enumerate(self.on_the_way) if index not in chosen]
        self.receive(batch)

    @precondition(lambda self: self.arrived)
    @rule(data=st.data())
    def input_is_repeated(self, data: st.DataObject) -> None:
        """What is known already leaves the very same record."""
        record = self.record
        self.receive(data.draw(st.lists(st.sampled_from(self.arrived), min_size=1)))
        assert self.record is record

    @rule(minutes=st.one_of(st.integers(0, 30), st.sampled_from([1 / 60_000_000])))
    def time_passes(self, minutes: float) -> None:
        """And the engine asks about the record if its deadline has come."""
        self.now += minutes
        self.sweep()

    @precondition(lambda self: self.record)
    @rule()
    def the_worker_restarts(self) -> None:
        """Only the bytes survive, and they say everything."""
        assert self.record is not None
        recovered = codec.unpack(codec.pack(self.record))
        assert recovered == self.record
        self.record = recovered

    @invariant()
    def the_record_never_says_more_than_is_known(self) -> None:
        """Between sweeps it may not know the time yet; what it says of time has been true, the rest always is."""
        if self.record is None:
            return
        verdicts = opinions(self.arrived, KIND_RULES, at(self.now))
        for cycle, verdict in zip(cycles_of(self.record), verdicts, strict=True):
            if cycle.reason == Reason.DUE_PASSED:
                assert at(self.now) > cycle.breach_at
            if verdict.reason not in {Reason.DUE_PASSED, Reason.NONE}:
                assert (cycle.state, cycle.reason) == (verdict.state, verdict.reason)
            assert cycle.original_due_at == (verdict.original_due_at or 0)
            assert cycle.due_at == (verdict.due_at or 0)

    def teardown(self) -> None:
        """In the end everything arrives, and the record is what judging the whole set at once gives."""
        if self.on_the_way:
            self.receive(self.on_the_way)
        self.sweep()
        assert self.record is not None
        assert codec.pack(self.record) == codec.pack(judged(*self.happened, minutes=self.now))

    def receive(self, batch: list[Fact]) -> None:
        old, self.arrived = self.record, self.arrived + batch
        self.record = fold(old, batch, RULES) if old else note(PROMISE, batch, RULES)
        self.check_step(old, self.record)
        assert bool(broken_by_time(old)) >= bool(broken_by_time(self.record)), "arrival announced a break by the clock"

    def sweep(self) -> None:
        if self.record is None:
            return
        now = at(self.now)
        deadline = next_deadline(self.record, RULES)
        if deadline is not None and deadline <= now:
            old, self.record = self.record, due(self.record, now, RULES)
            assert self.record is not None
            self.check_step(old, self.record)
        assert seen(self.record, now) == opinions(self.arrived, KIND_RULES, now)
        deadline = next_deadline(self.record, RULES)
        assert deadline is None or deadline > now

    @staticmethod
    def check_step(old: Promise | None, new: Promise) -> None:
        """People were told "broken" exactly while the record says so; taking it back has its own name."""
        let_down, holds = {State.BROKEN, State.KEPT_LATE}, {State.OPEN, State.AT_RISK, State.KEPT}
        steps = zip_longest(cycles_of(old) if old else [], cycles_of(new))
        taken_back = any(was and was.state in let_down and (now is None or now.state in holds) for was, now in steps)
        assert taken_back == (change(old, new)[0] == Transition.RETRACTED)


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
