"""Targets: what people may write, and when they are over."""

import pytest

from services.shared.instant import SECOND, Instant, parse_instant
from services.shared.working_time import Hours, WorkingTime
from services.sla.targets import Target, Unit, after, before, format_target, later, parse_target

HOUR = 3600 * SECOND
OFFICE = WorkingTime("office", "Europe/Madrid", [[Hours(9 * 60, 17 * 60)]] * 5 + [[], []])
#: A Friday, 16:00 in Madrid.
FRIDAY = parse_instant("2026-10-23T14:00:00Z")


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("24h", Target(Unit.TIME, 24 * HOUR)),
        ("1h 30min", Target(Unit.TIME, 3 * HOUR // 2)),
        ("2 business hours", Target(Unit.BUSINESS_TIME, 2 * HOUR)),
        ("1 business hour", Target(Unit.BUSINESS_TIME, HOUR)),
        ("90 business minutes", Target(Unit.BUSINESS_TIME, 3 * HOUR // 2)),
        ("3 business days", Target(Unit.BUSINESS_DAYS, 3)),
        ("3 business days, same time", Target(Unit.BUSINESS_DAYS, 3)),
        ("1 business day, end of day", Target(Unit.BUSINESS_DAYS, 1, to_end=True)),
        ("30 calendar days", Target(Unit.CALENDAR_DAYS, 30)),
        (" 30 calendar days , end of day ", Target(Unit.CALENDAR_DAYS, 30, to_end=True)),
        ("0 calendar days, end of day", Target(Unit.CALENDAR_DAYS, 0, to_end=True)),
        ("0 business days, end of day", Target(Unit.BUSINESS_DAYS, 0, to_end=True)),
        ("window", Target(Unit.WINDOW, 1)),
        ("1 contact", Target(Unit.CONTACTS, 1)),
        ("2 contacts", Target(Unit.CONTACTS, 2)),
    ],
)
def test_a_target_is_read(text: str, target: Target) -> None:
    """Every way to write one."""
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("90min", "1 h 30 min"),
        ("90 business minutes", "1 h 30 min of business hours"),
        ("1 business day", "1 business day"),
        ("3 business days, end of day", "3 business days, end of day"),
        ("30 calendar days, same time", "30 calendar days"),
        ("window", "the end of its window"),
        ("1 contact", "1 contact"),
        ("2 contacts", "2 contacts"),
    ],
)
def test_a_target_is_told_in_words(text: str, written: str) -> None:
    """One is one, and two are several."""
    assert format_target(parse_target(text)) == written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("soon", "is no target; write for example"),
        ("", "is no target"),
        ("1 day", 'can mean three things; write "24h", "1 business day" or "1 calendar day"'),
        ("3d", "can mean three things"),
        ("2 days, end of day", "can mean three things"),
        ("-2h", "is below zero"),
        ("-2 business hours", "is below zero"),
        ("0h", "is no time at all"),
        ("0 business days", "is no time at all"),
        ("0 calendar days, same time", "is no time at all"),
        ("0 business hours", "is no time at all"),
        ("0.0001ms", "is no time at all"),
        ("2 calendar hours", 'write "2h"'),
        ("2h, end of day", "only days have an end"),
        ("2 business hours, end of day", "only days have an end"),
        ("2 business weeks", "is no target"),
        ("0 contacts", "is no time at all"),
    ],
)
def test_what_is_no_target_is_refused_in_words(text: str, said: str) -> None:
    """With the value, and what may be written."""
    with pytest.raises(ValueError, match="write") as caught:
        parse_target(text)
    assert str(caught.value).startswith(repr(text))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("24h", "2026-10-24T14:00:00Z"),
        ("2 business hours", "2026-10-26T09:00:00Z"),  # the clocks went back meanwhile
        ("1 business day", "2026-10-26T15:00:00Z"),
        ("1 business day, end of day", "2026-10-26T16:00:00Z"),
        ("3 calendar days", "2026-10-26T15:00:00Z"),
        ("3 calendar days, end of day", "2026-10-26T23:00:00Z"),
        ("0 calendar days, end of day", "2026-10-23T22:00:00Z"),
        ("0 business days, end of day", "2026-10-23T15:00:00Z"),
    ],
)
def test_when_a_target_is_over(text: str, due: str) -> None:
    """Friday 16:00 over the weekend on which summer time ends."""
    assert after(parse_target(text), FRIDAY, OFFICE) == parse_instant(due)


@pytest.mark.parametrize(
    ("target", "due"),
    [("1 business day", 49 * HOUR), ("8 business hours", 49 * HOUR), ("24h", 72 * HOUR), ("1 calendar day", 72 * HOUR)],
)
def test_a_pause_moves_a_limit_by_what_would_have_counted(target: str, due: int) -> None:
    """Friday 16:00 to Monday 15:00: seven hours of the office, three days of the others; here of a limit on Monday."""
    monday = parse_instant("2026-10-26T15:00:00Z")
    pause_end = Instant(FRIDAY + 72 * HOUR)
    moved = later(parse_target(target), monday, FRIDAY, pause_end, OFFICE)
    assert moved == (parse_instant("2026-10-27T14:00:00Z") if due == 49 * HOUR else monday + 72 * HOUR)


@pytest.mark.parametrize(
    ("lead", "warn_at"),
    [
        ("1h", "2026-10-26T08:00:00Z"),
        ("30 business minutes", "2026-10-26T08:30:00Z"),
        ("1 business hour", "2026-10-26T08:00:00Z"),  # when the office opens, not when it closed on Friday
        ("2 business hours", "2026-10-23T14:00:00Z"),
    ],
)
def test_a_warning_comes_when_so_much_is_left(lead: str, warn_at: str) -> None:
    """Before Monday 10:00; the office closes at 17:00 on Friday and opens at 9:00."""
    assert before(parse_target(lead), parse_instant("2026-10-26T09:00:00Z"), OFFICE) == parse_instant(warn_at)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1" * 100_000 + " business days", "is too long for a target"),
        ("9999999 business days", "is longer than a hundred years; write less"),
        ("99999999999999999999 business minutes", "is longer than a hundred years; write less"),
        ("36601 calendar days, end of day", "is longer than a hundred years; write less"),
        ("999999999h", "is no target"),
    ],
)
def test_targets_that_no_year_holds_are_refused(text: str, said: str) -> None:
    """Shortly."""
    with pytest.raises(ValueError, match=said) as caught:
        parse_target(text)
    assert len(str(caught.value)) < 250
