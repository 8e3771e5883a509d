"""Which ids are one customer's, and what is refused."""

import pytest
from hypothesis import given, strategies as st

from puntual.events.v1.customer_event_pb2 import CustomerEvent
from services.shared.clock import set_timestamp
from services.shared.customers.groups import MOST_IDS, Groups
from services.shared.engine.joined import Joined, Said, Sharing
from services.shared.errors import Unusable
from services.shared.instant import SECOND, Instant
from services.shared.partitioner import home_of
from services.shared.publisher import checked, key_of

IDS = "abcdef"
MERGES = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)).filter(lambda pair: pair[0] != pair[1]), max_size=8
)


def grouped(merges: list[tuple[str, str]]) -> dict[str, tuple[bytes, ...]]:
    """The ids of each id's customer, where it has several."""
    groups = Groups()
    for known, pair in enumerate(merges, start=1):
        groups.merge(*pair, known)
    found = {each: groups.get(each.encode()) for each in IDS}
    return {each: group.ids for each, group in found.items() if group is not None}


@given(st.data(), MERGES)
def test_neither_order_nor_direction_nor_repetition_of_merges_matters(
    data: st.DataObject, merges: list[tuple[str, str]]
) -> None:
    """Chains and rings included: all ids that merges connect are one customer."""
    other = [
        (into, one) if data.draw(st.booleans()) else (one, into) for one, into in data.draw(st.permutations(merges * 2))
    ]
    assert grouped(other) == grouped(merges)
    for one, into in merges:
        assert grouped(merges)[one] == grouped(merges)[into]


def test_ids_stand_as_they_do_in_keys() -> None:
    """An id with a slash is looked for by the part of a key that it is."""
    groups = Groups()
    groups.merge("a/b", "ñ", 1)
    group = groups.get(b"a%2Fb")
    assert group is not None
    assert set(group.ids) == {b"a%2Fb", b"%C3%B1"}


def test_what_would_make_too_many_ids_one_customer_is_left_out() -> None:
    """The first hundred stay one, and the merge counts as known."""
    groups = Groups()
    for number in range(1, MOST_IDS):
        groups.merge("a-0", f"a-{number}", number)
    with pytest.raises(Unusable, match="more than 100 ids"):
        groups.merge("a-0", "one-more", MOST_IDS)
    group = groups.get(b"a-0")
    assert group is not None
    assert len(group.ids) == groups.known == MOST_IDS
    assert groups.get(b"one-more") is None


def an_event(customer_id: str, into: str) -> CustomerEvent:
    event = CustomerEvent(event_id="1", source="crm", customer_id=customer_id)
    set_timestamp(event.occurred_at, Instant(1_700_000_000 * SECOND))
    event.merged.into = into
    return event


@pytest.mark.parametrize(
    ("customer_id", "into", "problem"),
    [("", "c-40", "customer_id is absent"), ("c-4", "", "into is absent"), ("c-4", "c-4", "customer_id itself")],
)
def test_a_merge_that_says_nothing_is_refused_at_the_publisher(customer_id: str, into: str, problem: str) -> None:
    """With what to put right."""
    with pytest.raises(Unusable, match=problem):
        checked(an_event(customer_id, into))


def test_a_merge_is_published_under_the_old_id() -> None:
    """Without a subject: it concerns none."""
    event = an_event("c-4", "c-40")
    assert CustomerEvent.FromString(checked(event)) == event
    assert key_of(event) == "c-4"


# --- questions and answers

PARTITIONS = 4
KEY = b"a/order_ready/o"


def joined(*merges: tuple[str, str]) -> Joined:
    groups = Groups()
    for known, pair in enumerate(merges, start=1):
        groups.merge(*pair, known)
    return Joined(groups, "joined", home_of, PARTITIONS)


def test_who_knew_fewer_merges_has_not_answered() -> None:
    """However late its answer: it may not have sent what was told of the id that it did not know."""
    one, place = joined(("a", "b"), ("x", "y"), ("a", "c")), home_of(b"b/order_ready/o", PARTITIONS)
    sharing = Sharing(
        answers={place: Said(place, 3, Instant(9)), home_of(b"c/x/x", PARTITIONS): Said(0, 2, Instant(9))}
    )
    if place == home_of(b"c/x/x", PARTITIONS):
        pytest.fail("choose other ids")
    assert one.heard(sharing, KEY, Instant(5), Instant(10)) == 0
    assert sharing.wanted.keys() == {home_of(b"c/x/x", PARTITIONS)}
    sharing.answers[home_of(b"c/x/x", PARTITIONS)] = Said(0, 3, Instant(7))
    assert one.heard(sharing, KEY, Instant(5), Instant(10)) == Instant(7)


def test_a_customer_with_one_id_waits_for_nobody() -> None:
    """And nothing of it is sent."""
    assert joined(("x", "y")).heard(Sharing(), KEY, Instant(5), Instant(10)) == Instant(10)
    assert joined(("x", "y")).copies(KEY, b"...") == []


def test_a_question_is_asked_again_only_after_a_while() -> None:
    """Whoever was asked may have ended; until then one question is enough."""
    one, sharing, now = joined(("a", "b")), Sharing(), 100.0
    one.seconds = lambda: now
    for seconds, expected in ((0.0, 1), (1.0, 0), (2.5, 1)):
        now = 100.0 + seconds
        one.heard(sharing, KEY, Instant(5), Instant(10))
        assert len(one.spoken(0, sharing, Instant(10))) == expected, seconds


def test_a_question_is_answered_once_all_until_then_is_read_and_all_records_are_sent() -> None:
    """By the partition's own time."""
    one = joined(("a", "b"))
    sharing = Sharing(known=0, questions={2: (Said(2, 1, Instant(5)), one.seconds())})
    assert one.spoken(0, sharing, Instant(6)) == []
    sharing.known = 1
    assert one.spoken(0, sharing, Instant(4)) == []
    (answer,) = one.spoken(0, sharing, Instant(6))
    other = Sharing()
    assert one.take(other, answer.headers)
    assert (answer.partition, other.answers) == (2, {0: Said(0, 1, Instant(6))})
    assert one.spoken(0, sharing, Instant(6)) == []


@pytest.mark.parametrize("value", [b"2 1 %d" % 10**18, b"2 %d 5" % 10**18])
def test_a_question_that_can_never_be_answered_is_in_nobodys_way(value: bytes) -> None:
    """What its partition asks once more is answered, though of two questions the later counts."""
    one, sharing, now = joined(("a", "b")), Sharing(known=1), 100.0
    one.seconds = lambda: now
    assert one.take(sharing, [("ask", value)])
    answers = []
    for seconds in range(14):
        now = 100.0 + seconds
        assert one.take(sharing, [("ask", b"2 1 5")])
        answers += one.spoken(0, sharing, Instant(6))
    assert {answer.partition for answer in answers} == {2}


@pytest.mark.parametrize("value", [b"", b"1 2", b"one 2 3", b"9 2 3", b"-1 2 3", b"1 2 3 4"])
def test_what_is_no_question_is_refused(value: bytes) -> None:
    """Only the services publish there."""
    with pytest.raises(Unusable, match="cannot be read"):
        joined(("a", "b")).take(Sharing(), [("ask", value)])
