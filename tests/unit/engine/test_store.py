"""A partition's records: as the changelog has them, indexed before they are used, and nobody else's."""

import pytest

from services.shared.engine.store import ForeignWriter, PartitionStore
from services.shared.instant import Instant
from tests.unit.engine.toy import MACHINE, Fact, Reminder, State, pack

LATER = Instant(1_000)


def a_reminder(key: bytes, state: State = State.WAITING) -> Reminder:
    """One that rings at 1,000."""
    return Reminder(key, (Fact(Instant(1), "said", LATER),), state)


def test_the_last_entry_of_a_key_stands() -> None:
    """Entries are applied in order, and a deletion deletes, also what is not there."""
    store = PartitionStore(MACHINE)
    store.restore([(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"c", None)])
    store.restore([(b"b", None)])
    assert store.records == {b"a": b"2"}


def test_a_restored_store_is_indexed_anew() -> None:
    """Deadlines and counts speak of what the records now say, and only after `index` has run to its end."""
    store = PartitionStore(MACHINE)
    keys = [bytes([number]) for number in range(5)]
    store.restore((key, pack(a_reminder(key, State.DONE if key < b"\2" else State.WAITING))) for key in keys)
    assert not store.indexed
    assert list(store.index(slice_size=2)) == [2, 4]
    assert store.indexed
    assert store.counts == {("reminder", "waiting"): 3, ("reminder", "done"): 2}
    assert sorted(key for _, key in store.deadlines.pop_due(LATER, 10)) == keys[2:]


def test_an_index_broken_off_leaves_all_as_it_was() -> None:
    """A rebalance may come in between: what was counted before is what must be taken back later."""
    store = PartitionStore(MACHINE)
    store.restore([(b"a", pack(a_reminder(b"a")))])
    list(store.index())
    store.restore((key, pack(a_reminder(key))) for key in (b"b", b"c"))
    next(store.index(slice_size=2))
    assert store.counts == {("reminder", "waiting"): 1}
    assert len(store.deadlines) == 1
    assert not store.indexed


def test_own_writes_follow_one_another() -> None:
    """The store knows where in the changelog it stands, and notices who else writes there."""
    store = PartitionStore(MACHINE)
    store.follow(0, 3)
    store.follow(3, 1)
    with pytest.raises(ForeignWriter, match=r"offset 5, expected 4"):
        store.follow(5, 1)
    assert store.next_offset == 4
