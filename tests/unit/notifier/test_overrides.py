"""Overrides of a schedule that overlap."""

from itertools import pairwise
from pathlib import Path

from hypothesis import given, strategies as st

from services.notifier.on_call import read_schedule
from services.notifier.schedules import Schedule
from services.shared.fields import Fields
from services.shared.instant import parse_instant

PEOPLE = ("ana", "bob", "carla", "desk")
#: Who, from which hour, to which.
Override = tuple[str, int, int]


def schedule(overrides: list[Override]) -> Schedule:
    """Nobody is on call but by these."""
    lines = [
        f"  - {{from: 2026-12-24T{start:02}:00, to: 2026-12-24T{end:02}:00, who: {who}}}"
        for who, start, end in overrides
    ]
    text = (
        "zone: UTC\nfallback: desk\nlayers: [{rotation: [desk], from: 2027-06-01, at: '09:00'}]\noverrides:\n"
        + "\n".join(lines)
    )
    fields, problems = Fields.of(text, "notifier.yaml")
    found = read_schedule("shop", fields, PEOPLE, Path())
    problems.check()
    assert found is not None
    return found


def test_the_later_of_two_that_overlap_wins() -> None:
    """Within another, what is left of that on both sides stays."""
    found = schedule([("ana", 8, 20), ("bob", 10, 12), ("carla", 11, 14)]).overrides
    shown = [(shift.who, (shift.start // 3_600_000_000) % 24, (shift.end // 3_600_000_000) % 24) for shift in found]
    assert shown == [("ana", 8, 10), ("bob", 10, 11), ("carla", 11, 14), ("ana", 14, 20)]


@given(
    st.lists(
        st.tuples(st.sampled_from(PEOPLE), st.integers(0, 22), st.integers(1, 9)).map(
            lambda one: (one[0], one[1], min(one[1] + one[2], 23))
        ),
        min_size=1,
        max_size=7,
    )
)
def test_at_every_hour_the_last_that_is_for_it_wins(overrides: list[Override]) -> None:
    """And they are kept in order and without overlap, whatever is written."""
    found = schedule(overrides)
    assert all(one.end <= other.start for one, other in pairwise(found.overrides))
    for hour in range(24):
        at = parse_instant(f"2026-12-24T{hour:02}:30:00Z")
        wanted = next((who for who, start, end in reversed(overrides) if start <= hour < end), "")
        assert found.who_at(at) == wanted
