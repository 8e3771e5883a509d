"""A partition's records: as the changelog has them, indexed before they are used, and nobody else's."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice

import pytest
from hypothesis import given, strategies as st

from services.shared.engine.store import ForeignWriter, PartitionStore
from services.shared.instant import SECOND, Instant
from tests.unit.engine.toy import MACHINE, Fact, Reminder, State, pack, unpack

SOON, LATER = Instant(1_000), Instant(90 * SECOND)

Store = PartitionStore[Reminder, Fact]


def a_reminder(key: bytes, state: State = State.WAITING, ring_at: Instant = SOON) -> Reminder:
    """One that rings soon, unless told otherwise."""
    return Reminder(key, (Fact(Instant(1), "said", ring_at),), state)


def contents(store: Store) -> Mapping[bytes, bytes | None]:
    """All records, as the changelog has them."""
    keys = store.keys()
    return dict(zip(keys, map(store.packed, keys), strict=True))


def looked_at(store: Store, clock: Instant) -> list[bytes]:
    """The keys that the queue gives out by an instant; it then has them no more."""
    return sorted(key for _, key in store.deadlines.pop_due(clock, 100))


def test_the_last_entry_of_a_key_stands() -> None:
    """Entries are applied in order, and a deletion deletes, also what is not there."""
    store = PartitionStore(MACHINE)
    first, other, last = pack(a_reminder(b"a")), pack(a_reminder(b"b")), pack(a_reminder(b"a", State.DONE))
    store.restore([(b"a", first), (b"b", other), (b"a", last), (b"c", None)])
    store.restore([(b"b", None)])
    list(store.index())
    assert contents(store) == {b"a": last}


def test_a_record_is_what_was_put_until_it_is_dropped() -> None:
    """With the changelog's bytes. Of other keys there is nothing, and dropping them is no matter."""
    store = PartitionStore(MACHINE)
    for reminder in (a_reminder(b"a", State.RUNG), a_reminder(b"a", State.DONE), a_reminder(b"b")):
        store.keep(reminder.key, store.encoded(reminder))
        assert store.get(reminder.key) == reminder
        assert store.packed(reminder.key) == pack(reminder)
    keys = store.keys()
    store.drop(b"a")
    store.drop(b"c")
    assert keys == [b"a", b"b"]
    assert contents(store) == {b"b": pack(a_reminder(b"b"))}
    assert (store.get(b"a"), store.packed(b"a")) == (None, None)


def test_the_large_records_that_were_put_last_need_not_be_read_again() -> None:
    """They are the very ones that were put, as long as there is room; none is kept when it is dropped or put again."""
    store = PartitionStore(MACHINE)
    names = "x" * 1_000
    large = [Reminder(b"%d" % key, tuple(Fact(Instant(at), names) for at in range(100))) for key in range(9)]
    for reminder in large:
        store.keep(reminder.key, store.encoded(reminder))
    read = [store.get(reminder.key) for reminder in large]
    assert read == large
    assert [one is other for one, other in zip(read, large, strict=True)] == [False] * 4 + [True] * 5
    again = large[-1]._replace(state=State.DONE)
    store.keep(again.key, store.encoded(again))
    assert store.get(again.key) is again
    store.keep(again.key, store.encoded(again._replace(facts=())))
    assert store.get(again.key) == again._replace(facts=())
    store.drop(large[-2].key)
    assert store.get(large[-2].key) is None


def test_a_restored_store_is_indexed_anew() -> None:
    """Deadlines and counts speak of what the records now say, and only once `index` has taken them in."""
    store = PartitionStore(MACHINE)
    keys = [bytes([number]) for number in range(5)]
    entries = {key: pack(a_reminder(key, State.DONE if key < b"\2" else State.WAITING)) for key in keys}
    store.restore(entries.items())
    assert (contents(store), store.counts, len(store.deadlines)) == ({}, {}, 0)
    assert list(store.index(slice_size=2)) == [2, 4]
    assert list(store.index(slice_size=1)) == []
    assert contents(store) == entries
    assert store.counts == {("reminder", "waiting"): 3, ("reminder", "done"): 2}
    assert looked_at(store, SOON) == keys[2:]


def test_an_index_broken_off_is_begun_again() -> None:
    """A rebalance may come in between: what is counted is what there is, and in the end all of it, once."""
    store, whole = PartitionStore(MACHINE), PartitionStore(MACHINE)
    states = zip(b"abcdefg", [*State, *State, State.WAITING], strict=True)
    entries = {bytes([key]): pack(a_reminder(bytes([key]), state)) for key, state in states}
    for one in (store, whole):
        one.restore(entries.items())
    list(whole.index())
    assert next(store.index(slice_size=2)) == 2
    assert store.counts.total() == len(store.keys()) == 2
    assert list(store.index(slice_size=2)) == [2, 4]
    assert store.counts == whole.counts == {("reminder", state.value): 2 + (state == State.WAITING) for state in State}
    assert looked_at(store, SOON) == looked_at(whole, SOON) == [b"a", b"d", b"g"]
    assert contents(store) == contents(whole) == entries


def test_what_changed_in_the_log_is_counted_anew() -> None:
    """Restored onto what is indexed already, a deletion lowers a count, and another state moves one."""
    store = PartitionStore(MACHINE)
    store.restore((key, pack(a_reminder(key))) for key in (b"a", b"b", b"c"))
    list(store.index())
    store.restore([(b"a", None), (b"b", pack(a_reminder(b"b", State.DONE)))])
    assert store.counts == {("reminder", "waiting"): 3}
    list(store.index())
    assert store.counts == {("reminder", "waiting"): 1, ("reminder", "done"): 1}
    assert contents(store).keys() == {b"b", b"c"}


_KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
_REMINDERS = st.builds(a_reminder, _KEYS, st.sampled_from(State), st.sampled_from([SOON, LATER]))
_ENTRIES = st.one_of(
    _REMINDERS.map(lambda reminder: (reminder.key, pack(reminder))),
    st.tuples(_KEYS, st.none()),
)


@given(st.lists(st.tuples(st.lists(_ENTRIES, max_size=6), st.none() | st.integers(0, 4)), max_size=5))
def test_however_it_is_restored_all_speaks_of_the_last_entries(
    rounds: Sequence[tuple[Sequence[tuple[bytes, bytes | None]], int | None]],
) -> None:
    """Records, counts and deadlines agree with the log, whatever was indexed in between and wherever it broke off."""
    store, table = PartitionStore(MACHINE), dict[bytes, bytes | None]()
    for entries, slices in rounds:
        store.restore(entries)
        table |= dict(entries)
        list(islice(store.index(slice_size=1), slices))
    list(store.index())
    held = {key: value for key, value in table.items() if value is not None}
    assert contents(store) == held
    reminders = [unpack(value) for value in held.values()]
    assert +store.counts == Counter(map(MACHINE.labels, reminders))
    waiting = {at: {one.key for one in reminders if MACHINE.next_deadline(one) == at} for at in (SOON, LATER)}
    soon = set(looked_at(store, SOON))
    assert waiting[SOON] <= soon
    assert waiting[LATER] <= soon | set(looked_at(store, LATER))


def test_own_writes_follow_one_another() -> None:
    """The store knows where in the changelog it stands, and notices who else writes there."""
    store = PartitionStore(MACHINE)
    store.follow(0, 3)
    store.follow(3, 1)
    with pytest.raises(ForeignWriter, match=r"offset 5, expected 4"):
        store.follow(5, 1)
    assert store.next_offset == 4
