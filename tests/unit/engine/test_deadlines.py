"""The queue of deadlines: nothing is lost, nothing comes late, and little comes early."""

from collections import Counter

from hypothesis import given, strategies as st

from services.shared.engine.deadlines import DeadlineQueue
from services.shared.instant import SECOND, Instant

MINUTE = 60 * SECOND
_INSTANTS = st.one_of(
    st.integers(0, 10 * MINUTE),
    st.integers(0, 10).map(lambda minute: minute * MINUTE),
    st.integers(1, 10).map(lambda minute: minute * MINUTE - 1),
).map(Instant)
_STEPS = st.lists(st.tuples(st.lists(_INSTANTS, max_size=5), _INSTANTS, st.integers(0, 8)), max_size=12)


@given(_STEPS)
def test_entries_come_once_and_at_most_a_minute_early(steps: list[tuple[list[Instant], Instant, int]]) -> None:
    """Every pop is bounded, holds nothing from a later minute, and no entry is lost or doubled; far ones come early."""
    queue, waiting, number = DeadlineQueue(), dict[bytes, Instant](), 0
    for added, now, limit in steps:
        for at in added:
            number += 1
            waiting[str(number).encode()] = at
            queue.add(at, str(number).encode())
        popped = list(queue.pop_due(now, limit))
        assert len(popped) <= limit
        for at, key in popped:
            due_at = waiting.pop(key)
            assert at <= due_at < at + MINUTE
            assert at <= now
        assert len(queue) == len(waiting)
    rest = Counter(key for _, key in queue.pop_due(Instant(11 * MINUTE), 1_000))
    assert rest == Counter(waiting.keys())


@given(st.lists(_INSTANTS, max_size=12), st.lists(_INSTANTS, max_size=6), st.integers(1, 5))
def test_put_back_early_entries_come_exactly_in_time(ats: list[Instant], nows: list[Instant], limit: int) -> None:
    """Where what came early is added again, the queue gives everything that is due and nothing else, in any clock."""
    queue, waiting = DeadlineQueue(), {str(number).encode(): at for number, at in enumerate(ats)}
    for key, at in waiting.items():
        queue.add(at, key)
    for now in nows:
        while popped := list(queue.pop_due(now, limit)):
            for _, key in popped:
                if waiting[key] > now:
                    queue.add(waiting[key], key)
                else:
                    del waiting[key]
        assert all(at > now for at in waiting.values())
        assert len(queue) == len(waiting)


def test_what_was_looked_at_early_comes_in_order() -> None:
    """Entries of the minute at hand are given soonest first."""
    queue = DeadlineQueue()
    assert list(queue.pop_due(Instant(5 * MINUTE), 10)) == []
    for second in (3, 1, 2):
        queue.add(Instant(5 * MINUTE + second * SECOND), bytes([second]))
    assert list(queue.pop_due(Instant(5 * MINUTE + 2 * SECOND), 10)) == [
        (5 * MINUTE + 1 * SECOND, b"\1"),
        (5 * MINUTE + 2 * SECOND, b"\2"),
    ]


def test_the_past_is_due_at_once() -> None:
    """A deadline that lies behind the clock waits for nothing."""
    queue = DeadlineQueue()
    list(queue.pop_due(Instant(5 * MINUTE), 10))
    queue.add(Instant(3), b"late")
    assert list(queue.pop_due(Instant(5 * MINUTE), 10)) == [(3, b"late")]
