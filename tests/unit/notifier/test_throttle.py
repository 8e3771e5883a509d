"""When a target may be attempted."""

import random

from hypothesis import given, settings, strategies as st

from services.notifier.throttle import CROWDED, FAILURES, LONGEST, SHORTEST, Breaker, Bucket, Rate


def a_breaker(draw: float = 0.5) -> Breaker:
    return Breaker(lambda: draw)


def failing(breaker: Breaker, times: int, now: float = 0.0, retry_after: float = 0.0) -> None:
    """So many attempts begin and fail at the same time."""
    for _ in range(times):
        assert breaker.wait(now) == 0
        breaker.ended(now, answered=False, retry_after=retry_after)


def an_open_one(draw: float = 0.5) -> Breaker:
    """Opened at 0."""
    breaker = a_breaker(draw)
    failing(breaker, FAILURES)
    return breaker


def pause(breaker: Breaker, now: float) -> float:
    """Seconds until it lets a probe through, to a tenth. The probe is made."""
    tenths = 0
    while breaker.wait(now + tenths / 10):
        tenths += 1
        assert tenths < 10 * 2 * LONGEST
    return tenths / 10


def test_a_breaker_opens_after_failures_in_a_row_and_not_before() -> None:
    """A target that stumbles is attempted as ever."""
    breaker = a_breaker()
    failing(breaker, FAILURES - 1)
    assert (breaker.is_open, breaker.wait(0)) == (False, 0)
    breaker.ended(0, answered=False)
    assert breaker.is_open
    assert breaker.wait(0) > 0


def test_a_target_that_answers_in_between_is_not_down() -> None:
    """Be the answer a refusal of one message."""
    breaker = a_breaker()
    for _ in range(3):
        failing(breaker, FAILURES - 1)
        breaker.ended(0, answered=True)
    assert not breaker.is_open


def test_after_a_pause_one_attempt_goes_through() -> None:
    """The others are told to come after the pause, not all at once."""
    breaker = an_open_one()
    assert breaker.wait(1.9) > 0
    assert breaker.wait(2.0) == 0
    assert breaker.wait(2.0) > 0
    assert breaker.is_open


def test_who_can_be_of_no_use_is_told_for_how_long() -> None:
    """Until the pause is over, and then as long as somebody asks; not where somebody should."""
    assert a_breaker().rest(0) == 0
    breaker = an_open_one()
    assert (breaker.rest(0.5), breaker.rest(2.0)) == (1.5, 0)
    assert breaker.wait(2.0) == 0
    assert breaker.rest(2.0) == SHORTEST
    breaker.ended(9.0, answered=False)
    assert breaker.rest(9.0) == SHORTEST + 2.0
    assert breaker.wait(12.0) == 0
    breaker.ended(12.0, answered=True)
    assert breaker.rest(12.0) == 0


def test_success_closes_it_and_begins_anew() -> None:
    """Everything passes, and it takes as many failures as ever to open it again."""
    breaker = an_open_one()
    assert breaker.wait(2.0) == 0
    breaker.ended(2.0, answered=True)
    assert not breaker.is_open
    failing(breaker, FAILURES - 1)
    assert not breaker.is_open


def test_pauses_grow_up_to_a_minute() -> None:
    """As long as the probes fail."""
    breaker, now, pauses = an_open_one(1.0), 0.0, []
    for _ in range(8):
        pauses.append(pause(breaker, now))
        now += pauses[-1]
        breaker.ended(now, answered=False)
    assert pauses == [3, 5, 9, 17, 33, 61, 61, 61]


def test_a_target_is_left_alone_as_long_as_it_asks() -> None:
    """But no longer than a minute: somebody must find out that it is back."""
    for asked, waited in ((30.0, 30.0), (3_600.0, LONGEST), (0.5, 2.0)):
        breaker = a_breaker()
        failing(breaker, FAILURES, retry_after=asked)
        assert pause(breaker, 0.0) == waited


def test_the_more_messages_wait_the_longer_each_of_them() -> None:
    """Coming back in vain costs, also those who wait for another target; but none waits for more than minutes."""
    waits = []
    for crowd in (0, 100, 5_000, 1_000_000):
        breaker = an_open_one(1.0)
        breaker.crowd = crowd
        waits.append(breaker.wait(1.0))
    assert waits == [5, 5, 103, 2 + SHORTEST + CROWDED]


def test_attempts_that_began_before_it_opened_change_nothing_unless_they_succeed() -> None:
    """Eight were under way when five of them failed."""
    breaker = an_open_one()
    for _ in range(3):
        breaker.ended(0.5, answered=False)
    assert pause(breaker, 0.0) == 2.0
    breaker = an_open_one()
    breaker.ended(0.5, answered=True)
    assert not breaker.is_open


@given(st.lists(st.booleans(), max_size=60), st.integers())
@settings(max_examples=200, deadline=None)
def test_whatever_happened_somebody_finds_out_that_a_target_is_back(answers: list[bool], seed: int) -> None:
    """Within two minutes there is an attempt. Whoever waits is told to do so for a second at least, and not for longer.

    While it is open, no two attempts are under way.
    """
    breaker, now = Breaker(random.Random(seed).random), 0.0
    for answered in answers:
        waited = 0.0
        while wait := breaker.wait(now):
            assert SHORTEST <= wait <= 2 * (LONGEST + SHORTEST)
            now, waited = now + 0.5, waited + 0.5
            assert waited <= 2 * LONGEST
        if breaker.is_open:
            assert breaker.wait(now) > 0
        breaker.ended(now, answered=answered)


def test_a_rate_lets_as_many_through_at_once_and_then_one_by_one() -> None:
    """Six in a minute: six now, and one each ten seconds."""
    bucket = Bucket(Rate(6, 60.0), 100.0)
    for _ in range(6):
        assert bucket.wait(100.0, urgent=True) == 0
        bucket.take()
    assert bucket.wait(100.0, urgent=True) == 10
    assert bucket.wait(104.0, urgent=True) == 6
    assert bucket.wait(110.0, urgent=True) == 0
    bucket.take()
    assert bucket.wait(110.0, urgent=True) == 10


def test_the_last_one_is_known() -> None:
    """What is told with it must stand for all that waits."""
    bucket = Bucket(Rate(3, 60.0), 0.0)
    last = []
    for _ in range(3):
        assert bucket.wait(0.0, urgent=True) == 0
        last.append((bucket.is_last(urgent=True), bucket.is_last(urgent=False)))
        bucket.take()
    assert last == [(False, False), (False, True), (True, True)]


def test_one_is_kept_for_what_is_urgent() -> None:
    """So that a breach leaves at once, whatever was told to be over; but for a rate of one."""
    bucket = Bucket(Rate(2, 60.0), 0.0)
    assert bucket.wait(0.0, urgent=False) == 0
    bucket.take()
    assert (bucket.wait(0.0, urgent=False), bucket.wait(0.0, urgent=True)) == (30, 0)
    assert Bucket(Rate(1, 60.0), 0.0).wait(0.0, urgent=False) == 0


def test_what_was_not_sent_after_all_is_put_back() -> None:
    """But never more than there were."""
    bucket = Bucket(Rate(1, 60.0), 0.0)
    bucket.take()
    bucket.put_back()
    bucket.put_back()
    bucket.take()
    assert bucket.wait(0.0, urgent=True) == 60


@given(
    st.integers(1, 50),
    st.floats(0.1, 100),
    st.lists(st.tuples(st.floats(0, 50), st.booleans()), max_size=200),
)
@settings(max_examples=200, deadline=None)
def test_never_more_than_the_rate(messages: int, seconds: float, asked: list[tuple[float, bool]]) -> None:
    """In any time: as many as the rate says for it, and once those of a rest. And whoever waits as told gets one."""
    bucket, now, sent = Bucket(Rate(messages, seconds), 0.0), 0.0, []
    for later, urgent in asked:
        now += later
        if wait := bucket.wait(now, urgent=urgent):
            now += wait + 1e-6
            assert bucket.wait(now, urgent=urgent) == 0
        bucket.take()
        sent.append(now)
    for first, start in enumerate(sent):
        for count, end in enumerate(sent[first:], 1):
            assert count <= messages + (end - start) * messages / seconds + 1e-3
