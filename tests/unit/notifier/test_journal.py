"""What is written down for good: every attempt and every end, each once, and nobody's name."""

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from puntual.notifier.v1.audit_pb2 import AuditEntry, NotificationOutcome
from services.notifier.codec import machine
from services.notifier.domain import due
from services.notifier.incident import Fact, Incident, Plan
from services.notifier.items import Severity, Standing
from services.notifier.journal import OUTCOMES
from services.notifier.outbox import (
    LEASE,
    Accepted,
    DeliverySettled,
    DeliveryState,
    Failure,
    Outcome,
    Refused,
    TryAgain,
)
from services.notifier.responses import Action, Response
from services.notifier.telling import MAX_ITEMS
from services.shared.clock import from_timestamp
from services.shared.instant import Instant
from tests.unit.notifier.builders import (
    BOTH,
    DETAILS,
    INCIDENT,
    MAIL,
    NOON,
    ON_CALL,
    WATCHFUL,
    an_item,
    at,
    broken,
    see,
    seen,
)

LATE = at(100_000)


class Book:
    """An incident that a machine keeps, and all that its journal says of it."""

    def __init__(self, plan: Plan = MAIL, now: Instant = LATE) -> None:
        """`now`: by the clock on the wall; LATE: all news is old, so that nothing is attempted before it is due."""
        self._machine = machine(plan, "p.", lambda: now)
        self.incident: Incident | None = None
        #: What was done, and what came.
        self.entries: list[AuditEntry] = []
        self.items: list[AuditEntry] = []

    def fold(self, *facts: Fact, minutes: float = 1) -> None:
        """Facts at so many minutes after noon."""
        self._step(self._machine.fold(INCIDENT.encode(), self.incident, facts), facts, at(minutes))

    def due(self, now: Instant) -> None:
        """What is due is done."""
        assert self.incident
        self._step(self._machine.due(self.incident, now), (), now)

    def end(self, outcome: Outcome, minutes: float = 10) -> None:
        """Every attempt under way ends like this."""
        assert self.incident
        under_way = [d.delivery_id for d in self.incident.deliveries if d.state == DeliveryState.SENDING]
        for delivery_id in under_way:
            self.fold(DeliverySettled(at(minutes), delivery_id, outcome), minutes=minutes + 0.1)

    def _step(self, new: Incident | None, facts: Sequence[Fact], now: Instant) -> None:
        journal = self._machine.journal
        assert journal
        assert journal.topic == "p.audit.v1"
        found = journal.entries(INCIDENT.encode(), self.incident, new, facts, now)
        for entry in map(AuditEntry.FromString, found):
            (self.items if entry.HasField("item") else self.entries).append(entry)
        self.incident = new

    def said(self) -> list[tuple[str, str, int, str, str]]:
        """Of each entry: target, outcome, attempt, failure, provider's id."""
        told = [entry.notification for entry in self.entries]
        return [(n.target, word(n.outcome), n.attempt, n.failure, n.provider_id) for n in told]


def word(outcome: NotificationOutcome.ValueType) -> str:
    """An outcome in short."""
    return NotificationOutcome.Name(outcome).removeprefix("NOTIFICATION_OUTCOME_").lower()


def test_what_is_attempted_as_soon_as_it_is_decided_is_written_down() -> None:
    """Deciding it, which is no attempt, is not."""
    book = Book(now=at(1))
    book.fold(seen(Standing.BROKEN))
    assert book.said() == [("mail", "attempted", 1, "", "")]


def test_what_people_say_is_written_down() -> None:
    """Once each, with who said it and through what."""
    book = Book()
    book.fold(seen(Standing.BROKEN))
    for name, minutes in (("r-1", 2), ("r-1", 3), ("r-2", 4)):
        said = Response(name, Action.COMMENT, "ana", at(2), comment="On my way.", via="cli", heard_at=at(minutes))
        book.fold(said, minutes=minutes)
    answers = [(entry.entry_id, from_timestamp(entry.at), entry.answer) for entry in book.entries]
    assert [(name, when) for name, when, _ in answers] == [("r-1", at(2)), ("r-2", at(4))]
    assert {(a.action, a.by, a.via, a.comment) for _, _, a in answers} == {("comment", "ana", "cli", "On my way.")}


def test_every_attempt_and_every_end_is_written_down() -> None:
    """Why it failed, when it was accepted, and what the provider calls it; deciding to tell is no entry."""
    book = Book()
    book.fold(seen(Standing.BROKEN))
    assert book.entries == []
    book.due(at(2))
    book.end(TryAgain(Failure.SERVER_ERROR), 3)
    book.due(at(9))
    book.end(Accepted("<1@mail>"), 10)
    assert book.said() == [
        ("mail", "attempted", 1, "", ""),
        ("mail", "retry", 1, "server_error", ""),
        ("mail", "attempted", 2, "", ""),
        ("mail", "accepted", 2, "", "<1@mail>"),
    ]
    assert [from_timestamp(entry.at) for entry in book.entries] == [at(2), at(3.1), at(9), at(10)]
    assert len({entry.entry_id for entry in book.entries}) == 4
    assert {(entry.incident_id, entry.route) for entry in book.entries} == {(INCIDENT, "ops")}


def test_an_entry_says_of_what_was_told_and_nobodys_name() -> None:
    """At most the ten that the message lists, each with how it stood and when it was due."""
    book = Book()
    named = an_item(details=DETAILS._replace(customer_name="Lucia Ferrer"))
    first = seen(Standing.BROKEN)._replace(item=named)
    book.fold(first, *(seen(Standing.BROKEN, subject=f"B-{number}") for number in range(11)))
    book.due(at(2))
    (entry,) = book.entries
    notification = entry.notification
    assert (notification.item_count, len(notification.records)) == (12, 10)
    assert (Severity(notification.severity), notification.channel) == (Severity.CRITICAL, "email")
    record = notification.records[0]
    assert (record.record_id, Standing(record.standing)) == ("C-7/order_ready/A-1", Standing.BROKEN)
    assert from_timestamp(record.due_at) == NOON
    assert "Lucia" not in str(entry)


def test_what_is_given_up_is_followed_to_the_console() -> None:
    """The end, and the attempts at what stands in for it."""
    book = Book()
    book.fold(seen(Standing.BROKEN))
    book.due(at(2))
    book.end(Refused(Failure.AUTH), 3)
    book.due(at(4))
    book.end(Accepted(), 5)
    assert [
        (*said[1:4], entry.notification.channel) for said, entry in zip(book.said(), book.entries, strict=True)
    ] == [
        ("attempted", 1, "", "email"),
        ("dead", 1, "auth", "email"),
        ("attempted", 1, "", "console"),
        ("accepted", 1, "", "console"),
    ]


def test_an_attempt_that_was_never_heard_of_has_no_end() -> None:
    """The next one follows; and where there is no time for one, it is given up and said on the console at once."""
    book = Book()
    book.fold(seen(Standing.BROKEN))
    book.due(at(2))
    book.due(Instant(at(2) + LEASE))
    book.due(at(70))
    book.due(Instant(at(70) + LEASE))
    assert [said[1:4] for said in book.said()] == [
        ("attempted", 1, ""),
        ("attempted", 2, ""),
        ("attempted", 3, ""),
        ("dead", 3, "expired"),
        ("attempted", 1, ""),
    ]


def test_the_end_of_a_message_is_written_down_though_the_incident_forgets_it() -> None:
    """Who was on call and has been told that it is over need hear no more: the message goes as it ends."""
    book = Book(ON_CALL)
    book.fold(seen(Standing.BROKEN))
    book.due(at(2))
    book.end(Accepted("1"), 3)
    book.fold(seen(Standing.FULFILLED_LATE, 6), minutes=6)
    book.due(at(7))
    book.end(Accepted("2"), 8)
    assert book.incident
    assert [delivery.target for delivery in book.incident.deliveries] == []
    assert [said[:2] for said in book.said()] == [
        ("ana", "attempted"),
        ("ana", "accepted"),
        ("ana", "attempted"),
        ("ana", "accepted"),
    ]


def test_an_end_that_comes_twice_is_written_down_once() -> None:
    """A report is repeated until it is heard; and what is forgotten leaves no entry."""
    book = Book()
    book.fold(seen(Standing.BROKEN))
    book.due(at(2))
    assert book.incident
    end = DeliverySettled(at(3), book.incident.deliveries[0].delivery_id, Accepted("1"))
    book.fold(end, end)
    book.fold(end)
    book.fold(seen(Standing.WITHDRAWN, 4))
    book.due(at(5))
    book.end(Accepted("2"), 6)
    before = len(book.entries)
    book.due(at(3_000))
    assert book.incident is None
    assert (before, len(book.entries)) == (4, 4)


def test_every_state_means_something() -> None:
    """A new one is no reason to stop telling people."""
    assert {*OUTCOMES} == {*DeliveryState}


_ENDS = st.sampled_from([Accepted("1"), TryAgain(Failure.NETWORK), Refused(Failure.AUTH), None])


@given(st.lists(_ENDS, max_size=12))
def test_the_same_step_taken_again_has_the_same_ids(ends: Sequence[Outcome | None]) -> None:
    """As after a crash, at another time; different steps have different ones."""
    plan, incident = BOTH, broken(plan=BOTH)
    journal = machine(plan).journal
    assert journal
    ids: list[str] = []
    now = at(1)
    for outcome in ends:
        now = Instant(now + LEASE)
        attempted = due(incident, now, plan)
        if attempted is None:
            break
        facts = [DeliverySettled(now, d.delivery_id, outcome) for d in attempted.deliveries] if outcome else []
        ended = see(attempted, *facts, plan=plan) if facts else attempted
        for old, new, given_ in ((incident, attempted, ()), (attempted, ended, facts)):
            for later in (0, 1):
                found = journal.entries(INCIDENT.encode(), old, new, given_, Instant(now + later))
                ids += [AuditEntry.FromString(entry).entry_id for entry in found]
        incident = ended
    assert len(ids) == 2 * len({*ids})


@pytest.mark.parametrize("outcome", [Accepted("1"), Refused(Failure.TOO_LARGE)])
def test_whom_a_route_lost_is_not_lost_from_the_book(outcome: Outcome) -> None:
    """Its target was taken out while a message was under way."""
    book = Book(BOTH)
    book.fold(seen(Standing.BROKEN))
    book.due(at(2))
    assert book.incident
    without = Book(MAIL)
    without.incident = book.incident
    without.end(outcome, 3)
    assert sorted(said[0] for said in without.said()) == ["hook", "mail"]


def came(book: Book) -> list[tuple[str, Standing]]:
    """Of each entry about an item: the order, and how it stands."""
    told = [entry.item for entry in book.items]
    return [(item.record_id.rpartition("/")[2], Standing(item.standing)) for item in told]


def test_what_breaks_is_written_down_and_that_it_is_over() -> None:
    """Once each, however often it is announced; what never broke is not, and no risk that nobody is told of."""
    book = Book()
    book.fold(seen(Standing.AT_RISK), seen(Standing.FINE, subject="A-2"))
    assert book.items == []
    book.fold(seen(Standing.BROKEN, 2), seen(Standing.BROKEN, 3), minutes=3)
    book.fold(seen(Standing.BROKEN, 2))
    book.fold(seen(Standing.BROKEN, 4, subject="A-3", follow_up=True))
    book.fold(seen(Standing.FULFILLED_LATE, 5), seen(Standing.FULFILLED_LATE, 6))
    assert came(book) == [("A-1", Standing.BROKEN), ("A-1", Standing.FULFILLED_LATE)]
    entry = book.items[0]
    assert (entry.incident_id, entry.route, from_timestamp(entry.at)) == (INCIDENT, "ops", at(2))
    item = entry.item
    assert (item.service, item.kind, item.cycle) == ("promises", "order_ready", 1)
    assert (item.severity, from_timestamp(item.due_at), from_timestamp(item.since)) == (3, NOON, at(2))


def test_a_risk_is_written_down_where_the_route_tells_of_it() -> None:
    """And each turn from one trouble to another."""
    book = Book(WATCHFUL)
    standings = (Standing.AT_RISK, Standing.BROKEN, Standing.AT_RISK, Standing.FINE)
    for offset, standing in enumerate(standings):
        book.fold(seen(standing, offset + 1))
    assert came(book) == [("A-1", standing) for standing in standings]
    assert len({entry.entry_id for entry in book.items}) == 4


def test_every_one_of_a_storm_is_written_down_and_how_it_ends() -> None:
    """Thrice as many as the incident follows, in batches: each broken once and over once, read again or not."""
    book, subjects = Book(BOTH), [f"A-{number}" for number in range(3 * MAX_ITEMS)]
    size = MAX_ITEMS // 5
    for standing, offset in ((Standing.BROKEN, 1), (Standing.FULFILLED_LATE, 2)):
        for start in range(0, len(subjects), size):
            over = standing != Standing.BROKEN
            facts = [
                seen(standing, offset, subject=subject, follow_up=over) for subject in subjects[start : start + size]
            ]
            book.fold(*facts)
            book.fold(*facts[-9:])
            book.due(at(2))
            book.end(Accepted("1"))
            assert book.incident
            assert len(book.incident.items) <= MAX_ITEMS
    ids = {entry.entry_id: turn for entry, turn in zip(book.items, came(book), strict=True)}
    assert sorted(ids.values()) == sorted(
        (subject, standing) for subject in subjects for standing in (Standing.BROKEN, Standing.FULFILLED_LATE)
    )
