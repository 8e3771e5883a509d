"""More breaches in one incident than it can follow: what it counts, whom it tells, and when it says that it is over."""

import json
from collections.abc import Collection, Iterator, Sequence

import pytest

from services.notifier.codec import pack, unpack
from services.notifier.digest import merged
from services.notifier.domain import due, next_deadline
from services.notifier.incident import Incident, IncidentState, ItemSeen
from services.notifier.items import TROUBLE, Standing
from services.notifier.outbox import Accepted, Delivery, DeliverySettled, Kind
from services.notifier.pace import QUIET
from services.notifier.page import page, render
from services.notifier.responses import Action, Response
from services.notifier.telling import MAX_ITEMS
from services.notifier.wording import LANGUAGES, Style, word
from services.shared.instant import Instant
from tests.unit.notifier.builders import BOTH, an_item, at, broken, see, seen
from tests.unit.notifier.test_page import ANA, NOW, RECEIVERS, an_incident
from tests.unit.notifier.test_wording import a_delivery

STORM = [f"A-{number:05}" for number in range(3 * MAX_ITEMS)]
BATCH = MAX_ITEMS // 5
BROKEN, LATE = Standing.BROKEN, Standing.FULFILLED_LATE


def _said(standing: Standing, offset: int, subject: str) -> ItemSeen:
    """As the relay has it: what is over follows up what may have been told."""
    return seen(standing, offset, subject=subject, follow_up=standing not in TROUBLE)


class Book:
    """An incident, and all that its targets were told."""

    def __init__(self, up: Collection[str] = ("mail", "hook")) -> None:
        self.up = up
        self.told: list[Delivery] = []
        self.incident: Incident | None = None

    def hear(self, standing: Standing, subjects: Sequence[str] = STORM, offset: int = 1) -> Incident:
        """These orders stand so, as batches of them come in; whoever is up is free after every third."""
        for number, start in enumerate(range(0, len(subjects), BATCH)):
            facts = [_said(standing, offset, subject) for subject in subjects[start : start + BATCH]]
            self.incident = see(self.incident, *facts, plan=BOTH)
            if number % 3 == 2:
                self.deliver(offset)
        self.deliver(offset)
        assert self.incident
        return self.incident

    def lost(self) -> Sequence[str]:
        """All of them break; those that it does not follow."""
        followed = {item.record_id.rpartition("/")[2] for item in self.hear(BROKEN).items}
        return [subject for subject in STORM if subject not in followed]

    def deliver(self, minutes: float) -> None:
        """Those who are up take what there is for them."""
        while waiting := list(self._waiting()):
            self.told += waiting
            ends = [DeliverySettled(at(minutes), delivery.delivery_id, Accepted()) for delivery in waiting]
            self.incident = see(self.incident, *ends, plan=BOTH)

    def count(self, target: str, kind: Kind) -> int:
        """Of how many orders a target was told."""
        return sum(each.item_count for each in self.told if (each.target, each.kind) == (target, kind))

    def _waiting(self) -> Iterator[Delivery]:
        deliveries = self.incident.deliveries if self.incident else ()
        return (each for each in deliveries if each.target in self.up and not each.settled_at)


def test_what_it_has_no_room_to_follow_it_counts() -> None:
    """With what it follows that is all of them; and it is in the record."""
    incident = Book().hear(BROKEN)
    assert len(incident.items) < MAX_ITEMS
    assert len(incident.items) + incident.unfollowed == len(STORM)
    assert unpack(pack(incident)) == incident


def test_what_is_over_is_taken_off_once_and_what_was_kept_is_not() -> None:
    """However often it is said; of what has its time still before it nobody can tell that it broke."""
    book = Book()
    lost, kept = book.lost(), [f"B-{number}" for number in range(9)]
    before = len(lost)
    incident = book.hear(LATE, lost[:9], 2)
    assert incident.unfollowed == before - 9
    assert book.hear(LATE, lost[:9], 3).unfollowed == before - 9
    early = [_said(Standing.FINE, 4, subject) for subject in kept]
    early = [fact._replace(item=fact.item._replace(due_at=at(60))) for fact in early]
    assert see(book.incident, *early, plan=BOTH) == book.incident
    assert book.hear(Standing.FINE, lost[9:18], 5).unfollowed == before - 18
    assert book.hear(BROKEN, kept, 6).unfollowed == before - 9


def test_what_is_over_but_not_yet_told_is_not_counted() -> None:
    """Though the room is needed for what breaks meanwhile."""
    book = Book()
    followed = [item.record_id.rpartition("/")[2] for item in book.hear(BROKEN).items]
    book.up = []
    over = book.hear(LATE, followed[:-1], 2)
    more = [f"B-{number}" for number in range(MAX_ITEMS)]
    incident = book.hear(BROKEN, more, 3)
    trouble = [item for item in incident.items if item.standing == BROKEN]
    assert len(trouble) < 1 + len(more)
    assert len(trouble) + incident.unfollowed == 1 + len(more) + over.unfollowed


def test_it_begins_to_count_anew_in_the_next_run() -> None:
    """What people closed is closed; who hears of the next breach hears of that alone."""
    book = Book()
    book.hear(BROKEN)
    closed = see(book.incident, Response("r-1", Action.RESOLVE, "ana", at(5), heard_at=at(5)), plan=BOTH)
    assert (closed.state, closed.unfollowed > 0) == (IncidentState.RESOLVED, True)
    assert see(closed, seen(BROKEN, 9, subject="B-1"), plan=BOTH).unfollowed == 0


def test_one_target_that_is_down_keeps_no_breach_from_the_others() -> None:
    """Of what nobody was told yet room is kept first, so that each is told to whoever is up."""
    book = Book(up=["mail"])
    incident = book.hear(BROKEN)
    assert book.count("mail", Kind.BREACH) == len(STORM)
    book.up = ["hook"]
    book.deliver(2)
    told = book.count("hook", Kind.BREACH)
    assert BATCH < told < len(STORM)
    assert incident.unfollowed + len(incident.items) == len(STORM)


@pytest.mark.parametrize("subjects", [STORM, STORM[::-1]], ids=["oldest first", "newest first"])
def test_that_all_is_over_is_said_when_all_is_over(subjects: Sequence[str]) -> None:
    """To everybody, last of all, though what it follows is over long before the rest."""
    book = Book()
    book.hear(BROKEN)
    incident = book.hear(LATE, subjects[:-1], 2)
    assert incident.state == IncidentState.OPEN
    said = {target: book.count(target, Kind.RESOLVED) for target in ("mail", "hook")}
    incident = book.hear(LATE, subjects[-1:], 3)
    assert (incident.state, incident.unfollowed) == (IncidentState.RESOLVED, 0)
    assert all(book.count(target, Kind.RESOLVED) > before for target, before in said.items())


def test_that_all_it_follows_is_over_is_said_after_a_while() -> None:
    """Where the rest is never heard of again: nobody waits for ever."""
    book = Book()
    followed = [item.record_id.rpartition("/")[2] for item in book.hear(BROKEN).items]
    incident = book.hear(LATE, followed, 2)
    assert incident.state == IncidentState.OPEN
    assert next_deadline(incident, BOTH) == at(2) + QUIET
    after = due(incident, Instant(at(2) + QUIET), BOTH)
    assert after
    assert after.state == IncidentState.RESOLVED
    assert {delivery.kind for delivery in after.deliveries if not delivery.settled_at} == {Kind.RESOLVED}


def test_what_follows_all_says_nothing_of_this() -> None:
    """As nearly always."""
    incident = see(broken(), seen(LATE, 2))
    assert incident.unfollowed == 0
    message = word(incident.deliveries[0], "ops", Style("en"))
    assert "in all" not in message.text + message.subject + json.dumps(message.payload)
    assert "in all" not in render(page(an_incident(), ANA, RECEIVERS, NOW))


@pytest.mark.parametrize(
    ("language", "subject", "text"),
    [
        ("en", "(about 10000 open in all)", "About 10000 are open in all"),
        ("es", "(unos 10000 pendientes en total)", "Unos 10000 siguen pendientes en total"),
        ("it", "(circa 10000 aperti in tutto)", "Circa 10000 sono aperti in tutto"),
    ],
)
def test_a_message_names_how_many_are_open_in_all(language: str, subject: str, text: str) -> None:
    """In its first words, too, which may be all that is read, and the command that shows every one."""
    message = word(a_delivery(count=40)._replace(in_all=10_000), "ops/site=La Rambla", Style(language))
    assert message.subject.endswith(subject)
    assert text in message.text
    assert "puntual incidents audit 'ops/site=La Rambla'\n" in message.text
    assert json.loads(json.dumps(message.payload))["data"]["in_all"] == 10_000


def test_a_digest_of_several_incidents_names_the_sum() -> None:
    """Of those that follow all, what it tells of them."""
    several = [a_delivery(count=40)._replace(in_all=10_000), a_delivery(count=3), a_delivery()._replace(in_all=9_000)]
    assert merged(several).in_all == 19_003
    assert merged(several[1:2]).in_all == 0
    text = word(merged(several), "", Style("en")).text
    assert "About 19003 are open in all" in text
    assert "puntual incidents audit --breaches\n" in text


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_the_page_names_how_many_are_open_in_all(language: str) -> None:
    """And the command that shows every one."""
    incident = an_incident(*(an_item(subject=f"A-{number}") for number in range(12)))._replace(unfollowed=9_988)
    shown = page(incident, ANA._replace(language=language), RECEIVERS, NOW)
    assert (shown.in_all, shown.audit) == (10_000, "puntual incidents audit ops/kind=order_ready")
    assert shown.audit in render(shown)


def test_each_order_of_a_storm_counts_for_itself() -> None:
    """One that breaks in the same batch in which another that is not known is over."""
    book = Book()
    lost = book.lost()
    facts = [_said(LATE, 2, lost[0]), _said(LATE, 2, lost[0]), seen(BROKEN, 2)]
    assert see(book.incident, *facts, plan=BOTH).unfollowed == len(lost)
