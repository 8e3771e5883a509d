"""Durations as people write and read them."""

import pytest

from services.shared.duration import format_duration, parse_duration
from services.shared.instant import SECOND


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15min", 900),
        ("2h", 7200),
        ("3d", 259_200),
        ("1h 30min", 5400),
        ("1h30min", 5400),
        ("0.5 h", 1800),
    ],
)
def test_a_duration_is_read_as_it_is_said(text: str, seconds: int) -> None:
    """A day is 24 hours."""
    assert parse_duration(text) == seconds * SECOND


@pytest.mark.parametrize("text", ["", "5", "soon", "-5s", "1m", "2 weeks", "1h and 5min", "1.2.3s"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match='is no duration; write for example "90s", "15min"'):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1" * 65, "is too long for a duration; write for example 1h 30min"),
        ("1" * 200_000, "is too long for a duration"),
        ("9" * 60 + "h", "is longer than a hundred years; write less"),
        ("36601d", "is longer than a hundred years; write less"),
    ],
)
def test_what_is_too_much_is_refused_shortly(text: str, said: str) -> None:
    """Before it is looked at, and without all of it."""
    with pytest.raises(ValueError, match=said) as caught:
        parse_duration(text)
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "250 ms"),
        (12, "12 s"),
        (60, "1 min"),
        (61, "1 min 01 s"),
        (7500, "2 h 05 min"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
        (-7500, "2 h 05 min"),
    ],
)
def test_a_duration_is_written_by_its_two_largest_units(seconds: float, text: str) -> None:
    """Whichever way it points."""
    assert format_duration(round(seconds * SECOND)) == text
