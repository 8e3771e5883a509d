"""When news is told: gathered, not too often, and not at every turn."""

import pytest

from services.notifier.beliefs import Receivers
from services.notifier.items import Severity, Standing
from services.notifier.outbox import Kind
from services.notifier.pace import FLIPS, QUIET, Pace, settles_at
from services.notifier.wording import Style, word
from services.shared.instant import Instant
from tests.unit.notifier.builders import MINUTE, at, seen
from tests.unit.notifier.test_responses import Story, plan_of

FINE, AT_RISK, BROKEN, LATE = Standing.FINE, Standing.AT_RISK, Standing.BROKEN, Standing.FULFILLED_LATE


def paced(*, wait: int = 0, interval: int = 0, digest: int = 0) -> Story:
    """By mail, risks too. In minutes."""
    pace = Pace(wait * MINUTE, interval * MINUTE, digest * MINUTE)
    return Story(plan_of(Receivers({"mail": "email"}, at_risk=True, pace=pace)))


def sees(story: Story, standing: Standing, minute: int, subject: str, severity: Severity = Severity.WARNING) -> None:
    """An order stands so, of that severity."""
    fact = seen(standing, minute, subject=subject)
    story.waits_quietly(minute).hears(fact._replace(item=fact.item._replace(severity=severity)))


def counts(story: Story) -> list[int]:
    """Of how many items each message that is remembered speaks."""
    assert story.incident is not None
    return [delivery.item_count for delivery in story.incident.deliveries]


def test_news_gathers_before_it_is_told() -> None:
    """From the first on; what comes meanwhile goes with it."""
    story = paced(wait=5)
    sees(story, BROKEN, 1, "A-1")
    sees(story, BROKEN, 4, "A-2")
    assert story.waits(5) == []
    assert story.waits(60) == [(6, "mail", "breach")]
    assert counts(story) == [2]


def test_what_is_critical_does_not_wait_and_takes_along_what_does() -> None:
    """One page for all that is known."""
    story = paced(wait=5)
    sees(story, BROKEN, 1, "A-1")
    sees(story, BROKEN, 2, "A-2", Severity.CRITICAL)
    assert story.waits(60) == [(2, "mail", "breach")]
    assert counts(story) == [2]


def test_what_was_taken_back_while_it_waited_is_never_told() -> None:
    """It was nobody's trouble."""
    story = paced(wait=5)
    sees(story, BROKEN, 1, "A-1")
    sees(story, FINE, 3, "A-1")
    assert story.waits(60) == []
    assert story.state == "resolved"


def test_a_target_is_not_told_more_often_than_it_wants() -> None:
    """Not of critical things either; but an end does not wait."""
    story = paced(interval=10)
    for minute, subject in ((1, "A-1"), (2, "A-2"), (3, "A-3")):
        sees(story, BROKEN, minute, subject, Severity.CRITICAL)
    sees(story, LATE, 5, "A-1")
    assert story.waits(60) == [(1, "mail", "breach"), (5, "mail", "resolved"), (11, "mail", "breach")]


def test_what_is_over_in_between_makes_no_difference_to_that() -> None:
    """The last breach counts, not the last message."""
    story = paced(interval=10)
    sees(story, BROKEN, 1, "A-1", Severity.CRITICAL)
    sees(story, LATE, 5, "A-1", Severity.CRITICAL)
    sees(story, BROKEN, 7, "A-2", Severity.CRITICAL)
    assert story.waits(60) == [(1, "mail", "breach"), (5, "mail", "resolved"), (11, "mail", "breach")]


def test_risks_are_told_as_a_digest() -> None:
    """Breaches go ahead of it."""
    story = paced(digest=30)
    for minute, subject in ((1, "A-1"), (7, "A-2")):
        sees(story, AT_RISK, minute, subject)
    sees(story, BROKEN, 8, "A-3")
    assert story.waits(30) == [(8, "mail", "breach")]
    assert story.waits(90) == [(31, "mail", "at_risk")]
    assert counts(story) == [2]


def test_what_flaps_is_announced_once_and_settles_after_quiet_time() -> None:
    """However often it comes and goes; the last word is told."""
    story = paced()
    for minute in range(1, 42):
        story.sees(BROKEN if minute % 2 else FINE, minute)
    assert story.waits(42) == [
        (1, "mail", "breach"),
        (2, "mail", "resolved"),
        (3, "mail", "breach"),
        (4, "mail", "resolved"),
        (5, "mail", "breach"),
    ]
    story.sees(FINE, 42)
    quiet = QUIET // MINUTE
    assert story.waits(42 + quiet - 1) == []
    assert story.waits(500) == [(42 + quiet, "mail", "resolved")]
    assert story.state == "resolved"


def test_what_comes_and_goes_rarely_does_not_flap() -> None:
    """Each time is told."""
    story = paced()
    for turn in range(10):
        story.sees(BROKEN if turn % 2 == 0 else FINE, 1 + 20 * turn)
    assert [kind for _, _, kind in story.waits(1000)] == ["breach", "resolved"] * 5


@pytest.mark.parametrize(("language", "words"), [("en", "comes and goes"), ("es", "va y viene"), ("it", "va e viene")])
def test_a_message_says_that_it_flaps(language: str, words: str) -> None:
    """Where it does."""
    story = paced()
    for minute in range(1, 2 + FLIPS):
        story.sees(BROKEN if minute % 2 else FINE, minute)
    assert story.incident is not None
    breach = next(each for each in story.incident.deliveries if each.kind == Kind.BREACH)
    assert words in word(breach, "ops", Style(language)).text
    steady = breach._replace(items=tuple(item._replace(flips=0) for item in breach.items))
    assert words not in word(steady, "ops", Style(language)).text


def test_what_never_changed_settles_at_no_time() -> None:
    """It does not flap."""
    item = seen(BROKEN).item
    assert settles_at(item) == Instant(0)
    assert settles_at(item._replace(flips=FLIPS, flipped_at=at(1))) == at(1) + QUIET
