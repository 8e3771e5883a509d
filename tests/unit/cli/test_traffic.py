"""The made-up traffic of `puntual up`."""

from itertools import islice
from random import Random

from services.cli.inputs import INPUTS
from services.cli.traffic import CUSTOMERS, Happening, stories
from services.shared.instant import SECOND, Instant, format_instant, parse_instant
from services.shared.publisher import checked, parse

START = parse_instant("2026-01-26T09:00:00Z")


def told(count: int) -> list[list[Happening]]:
    """The first stories, all from the same start."""
    return [list(tell(START)) for tell in islice(stories(Random(7)), count)]


def test_every_event_can_be_published() -> None:
    """Each is a complete event of its topic, with an id of its own."""
    happenings = [happening for story in told(300) for happening in story]
    for happening in happenings:
        checked(parse(INPUTS[happening.topic], happening.event))
    assert len({happening.event["event_id"] for happening in happenings}) == len(happenings)
    assert {happening.topic for happening in happenings} == {*INPUTS}


def test_events_come_in_the_order_in_which_they_happen() -> None:
    """The first at the start, each at the time it states."""
    for story in told(100):
        times = [happening.at for happening in story]
        assert times == sorted(times)
        assert times[0] == START
        assert [happening.event["occurred_at"] for happening in story] == [format_instant(at) for at in times]


def test_the_first_story_is_a_promise_that_breaks_within_seconds() -> None:
    """Whoever starts it must not wait for the first alert."""
    (story,) = told(1)
    assert [happening.topic for happening in story] == ["orders"]
    due = parse_instant(story[0].event["promised"]["due"]["at"])
    assert due == Instant(START + 5 * SECOND)


def test_everything_that_can_become_of_a_promise_becomes_of_one() -> None:
    """Made, kept, moved, called off by either side; customers of every language."""
    events = [happening.event for story in told(300) for happening in story]
    arms = {arm for event in events for arm in event}
    assert {"promised", "renegotiated", "ready", "delivered", "cancelled", "returned", "rescheduled", "started"} < arms
    assert {event["cancelled"]["by"] for event in events if "cancelled" in event} == {"PARTY_CUSTOMER", "PARTY_COMPANY"}
    assert {event["customer_locale"] for event in events} == {customer.locale for customer in CUSTOMERS}
