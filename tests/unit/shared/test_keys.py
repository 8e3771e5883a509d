"""Record keys: ids for people that tell whose record it is."""

import pytest
from hypothesis import given, strategies as st

from services.shared.keys import customer_of, customer_prefix, record_key, routing_id, split_key
from services.shared.partitioner import home_of, partition_of

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20) | st.sampled_from(
    ["~", "~a", "a/b", "%", "%7E", "%2F", "/", "~/%", "a b", "a.b-c_D9", "ñ", "ñandú/%C3%B1"]
)
CUSTOMERS = st.just("") | IDS
KINDS = st.sampled_from(["order_ready", "first_reply"])


@given(customer=CUSTOMERS, kind=KINDS, subject=IDS)
def test_a_key_tells_its_parts(customer: str, kind: str, subject: str) -> None:
    """Whatever the ids hold; without a customer, the record travels by its subject."""
    key = record_key(customer, kind, subject)
    assert split_key(key) == (customer or subject, kind, subject)
    assert customer_of(key) == customer


@given(customer=CUSTOMERS, kind=KINDS, subject=IDS, partitions=st.integers(1, 50))
def test_all_that_reads_a_key_agrees(customer: str, kind: str, subject: str, partitions: int) -> None:
    """Part by part or whole; a record lives where events go that are keyed by its customer, or else its subject."""
    key = record_key(customer, kind, subject)
    routing, middle, last = key.decode("ascii").split("/")
    assert (routing_id(routing), middle, routing_id(last)) == split_key(key) == (customer or subject, kind, subject)
    assert home_of(key, partitions) == partition_of(customer or subject, partitions)


@given(one=st.tuples(CUSTOMERS, KINDS, IDS), other=st.tuples(CUSTOMERS, KINDS, IDS))
def test_different_records_have_different_keys(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """A customer whose id equals a subject without customer is not mistaken for it."""
    assert (record_key(*one) == record_key(*other)) == (one == other)


@given(customer=CUSTOMERS, subject=IDS, asked=IDS)
def test_a_prefix_finds_the_records_of_one_customer_only(customer: str, subject: str, asked: str) -> None:
    """Of the customer, or of the subject that has none."""
    key = record_key(customer, "order_ready", subject)
    assert key.startswith(customer_prefix(asked)) == (asked == (customer or subject))


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        (("ana", "callback", "c1"), b"ana/callback/c1"),
        (("", "callback", "c1"), b"~c1/callback/c1"),
        (("a/b", "callback", "x y~"), b"a%2Fb/callback/x%20y%7E"),
        (("Ñandú", "callback", "1"), b"%C3%91and%C3%BA/callback/1"),
    ],
)
def test_a_key_is_plain_ascii(parts: tuple[str, str, str], key: bytes) -> None:
    """It can be typed in a shell and put into a URL."""
    assert record_key(*parts) == key


@pytest.mark.parametrize("key", [b"", b"ana", b"ana/callback", b"ana//c1", b"/callback/c1", b"a/b/c/d", b"\xff"])
def test_what_is_no_key_is_refused(key: bytes) -> None:
    """As a ValueError, which callers turn into words."""
    with pytest.raises(ValueError):  # noqa: PT011 - undecodable bytes have a message of their own
        split_key(key)
