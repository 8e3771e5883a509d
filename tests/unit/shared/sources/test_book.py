"""The laws of sources: what is heard is joined, and silence is never told as a breach."""

from collections.abc import Sequence
from itertools import permutations

from hypothesis import given, strategies as st

from services.shared.engine.hold import Held
from services.shared.instant import SECOND, Instant
from services.shared.sources.book import GONE, MAX_STREAMS, WAITING_COUNTS, SourceBook, silence_of
from services.shared.sources.declared import Declaration, Declared
from services.shared.sources.hold import Holder, waiting
from services.shared.sources.model import EVERY, Gaps, Heard, Record, State, Stream, Word

AFTER = 1_000 * SECOND
#: A source that was declared, one whose rhythm was learned, and one of which nothing is known.
SHOP, TILL, NEW = Stream("shop", EVERY, EVERY), Stream("till", "orders", "Madrid"), Stream("new", "orders", "Madrid")
DECLARED = Declared((Declaration(SHOP, 60 * SECOND),), AFTER)
READY = frozenset({"orders.ready"})


def at(seconds: float) -> Instant:
    """So many seconds after some instant."""
    return Instant(round((1_000_000 + seconds) * SECOND))


class Learned:
    """Gaps that are known from the start where they are unpacked from b"60": so many seconds are usual."""

    def __init__(self, packed: bytes) -> None:
        self.packed = packed
        self.times: list[Instant] = []

    def heard(self, at: Instant) -> None:
        self.times.append(at)

    def silent_after(self, last: Instant) -> int | None:  # noqa: ARG002
        return int(self.packed) * SECOND if self.packed else None

    def usual_gap(self, at: Instant) -> int | None:
        span = self.silent_after(at)
        return None if span is None else span // 3

    def pack(self) -> bytes:
        return self.packed


def unpack(packed: bytes) -> Gaps:
    """As the book asks for it."""
    if packed == b"?":
        raise ValueError
    return Learned(packed)


def a_book() -> SourceBook:
    """One that knows the rhythm of the till."""
    book = SourceBook(DECLARED, unpack)
    book.take(Record(TILL, State.HEARD, heard=Heard(at(-9_999), at(-9_999)), rhythm=b"60", fulfils=("orders.ready",)))
    return book


def shop(topic: str = "orders", site: str = "Madrid") -> Stream:
    """What events of the shop say of it."""
    return Stream("shop", topic, site)


def heard(seconds: float, late: float = 0) -> Heard:
    """Heard until then, and in Kafka so much later."""
    return Heard(at(seconds), at(seconds + late))


times = st.integers(0, 50).map(float)
hearings = st.lists(
    st.tuples(
        st.sampled_from([shop(), shop("contacts", ""), TILL, NEW]),
        st.sampled_from(["ready", "placed", "heartbeat"]),
        st.builds(heard, times, times),
    ),
    max_size=12,
)


def known(book: SourceBook) -> object:
    """All that hearing makes known."""
    return {stream: (book.heard(stream), book.fulfils(stream)) for stream in book.streams()}


@given(hearings, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(said: Sequence[tuple[Stream, str, Heard]], dice: object) -> None:
    """What is heard is joined: any order, any part of it twice, and told by whichever worker."""
    one, other = a_book(), a_book()
    for atom, arm, what in said:
        one.hear(atom, arm, what)
    shuffled = [*said, *said[::2]]
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    for number, (atom, arm, what) in enumerate(shuffled):
        if number % 2 and (arm != "heartbeat" or atom.site):
            fulfils = () if arm == "heartbeat" else (f"{atom.topic}.{arm}",)
            other.note(Word(f"w/{number}", atom, what, fulfils), at(number))
        else:
            other.hear(atom, arm, what)
    everybody = [(atom, arm, what) for atom, arm, what in said if arm == "heartbeat" and not atom.site]
    for atom, arm, what in everybody:  # who was met only later is vouched for by the next of them
        one.hear(atom, arm, what)
        other.hear(atom, arm, what)
    assert known(one) == known(other)


@given(
    hearings,
    st.integers(0, 60),
    st.lists(st.integers(0, 1_200), min_size=1, max_size=8),
    st.sampled_from(["", "Madrid", "Bilbao"]),
)
def test_silence_is_never_told_as_a_breach(
    said: Sequence[tuple[Stream, str, Heard]], broke: int, looks: Sequence[int], site: str
) -> None:
    """Announced is only what everybody could have said otherwise, or what has waited for as long as may be."""
    book = a_book()
    book.hear(shop(), "ready", heard(-5))
    holder = Holder(book, {}, "", lambda _: (READY, site))
    breached_at, held = at(broke), None
    for number, look in enumerate(sorted(looks)):
        if number < len(said):
            book.hear(*said[number])
        clock = at(broke + look)
        read = dict.fromkeys([0], Instant(clock - SECOND))
        holder.read_until = read.__getitem__
        found = holder.consider(0, b"k", object(), breached_at, clock, held)
        watched = [stream for stream in (SHOP, TILL) if stream == SHOP or site != "Bilbao"]
        ears = {stream: book.heard(stream) for stream in watched}
        unheard = [each for each, ear in ears.items() if ear and ear.until < breached_at and each != TILL]
        unheard += [TILL for ear in [ears.get(TILL)] if ear and ear.until < breached_at]
        if isinstance(found, Held):
            held = found
            assert clock < breached_at + AFTER
            assert clock < found.look_at <= breached_at + AFTER
            continue
        if unheard:
            assert clock >= breached_at + AFTER
            ((name, value),) = found
            assert (name, value.decode().split(" ")[0]) in {("unheard", each.source) for each in unheard}
        else:
            assert not found
            proven_at = max(ear.arrived_at for ear in ears.values() if ear)
            assert clock > proven_at + SECOND or clock >= breached_at + AFTER or held
        return


def test_nobody_waits_for_whom_nothing_is_known_of() -> None:
    """A source that was neither declared nor learned holds nothing back, heard or not."""
    book = SourceBook(Declared(), unpack)
    book.hear(NEW, "ready", heard(0))
    holder = Holder(book, {}, "", lambda _: (READY, "Madrid"))
    for seconds in (-5, 5):
        assert holder.consider(0, b"k", object(), at(seconds), at(seconds), None) == ()


def test_only_who_could_say_otherwise_makes_a_breach_wait() -> None:
    """Of a till: orders that are ready, at its site or where none is stated."""
    book = SourceBook(Declared(), unpack)
    book.take(Record(TILL, State.HEARD, heard=heard(0), rhythm=b"60", fulfils=("orders.ready",)))
    asked = {
        (READY, "Madrid"): TILL, (READY, ""): TILL, (READY, "Bilbao"): None,
        (frozenset({"callbacks.returned"}), "Madrid"): None,
    }  # fmt: skip
    for (wanted, site), unheard in asked.items():
        assert book.ruling(wanted, site, at(1)).unheard == unheard


def test_a_breach_is_told_once_what_came_before_is_read() -> None:
    """Not as soon as the source is heard: its word may lie unread on this very partition."""
    book = a_book()
    book.hear(shop(), "ready", heard(0))
    book.hear(TILL, "ready", heard(100))
    holder = Holder(book, {}, "", lambda _: (READY, "Madrid"))
    looked: list[tuple[int, Sequence[bytes]]] = []
    holder.look_again = lambda partition, keys: looked.append((partition, list(keys)))
    held = holder.consider(3, b"k", object(), at(10), at(11), None)
    assert isinstance(held, Held)
    assert waiting([held]) == {SHOP: 1}
    holder.look(book.hear(shop("contacts"), "", heard(9)))
    assert not looked
    holder.look(book.hear(shop("contacts"), "", heard(20, late=200)))
    assert looked == [(3, [b"k"])]
    held = holder.consider(3, b"k", object(), at(10), at(21), held)
    assert isinstance(held, Held)
    assert at(220) < held.look_at < at(221)
    book.hear(shop(), "ready", heard(30, late=500))  # what comes later changes nothing about it
    read = {3: at(220.5)}
    holder.read_until = lambda partition: read[partition]
    assert isinstance(holder.consider(3, b"k", object(), at(10), at(222), held), Held)
    read[3] = Instant(at(220.5) + 1)
    assert holder.consider(3, b"k", object(), at(10), at(222), held) == ()


def test_nothing_waits_longer_than_declared() -> None:
    """Up to the microsecond, and then it says who is not heard, and since when; also where only reading is behind."""
    book = a_book()
    book.hear(shop(), "ready", heard(0))
    book.hear(TILL, "ready", heard(20, late=5_000))
    holder = Holder(book, {}, "", lambda _: (READY, "Madrid"))
    latest = Instant(at(10) + AFTER)
    assert isinstance(holder.consider(0, b"k", object(), at(10), Instant(latest - 1), None), Held)
    assert holder.consider(0, b"k", object(), at(10), latest, None) == (("unheard", b"shop 1970-01-12T13:46:40Z"),)
    book.hear(shop(), "ready", heard(20))
    held = holder.consider(0, b"k", object(), at(10), Instant(latest - 1), None)
    assert isinstance(held, Held)
    assert held.look_at == latest
    assert holder.consider(0, b"k", object(), at(10), latest, held) == ()


def test_what_is_heard_is_taken_in_together_but_before_it_is_asked() -> None:
    """Many batches in short order cost little; a breach is never considered on less than was read."""
    book, noted, clock = a_book(), {("shop", "Madrid", "ready"): at(5)}, [10.0]
    holder = Holder(book, {"orders.v1": noted}, "p.", lambda _: (READY, "Bilbao"), now=lambda: clock[0])
    holder.heard("p.orders.v1", at(6))
    assert book.heard(SHOP) == Heard(at(5), at(6))
    assert not noted
    noted["shop", "Madrid", "ready"] = at(99)
    holder.heard("p.orders.v1", at(8))
    assert book.heard(SHOP) == Heard(at(5), at(6))
    holder.consider(0, b"k", object(), at(7), at(7), None)
    assert book.heard(SHOP) == Heard(at(8), at(8))  # its clock is ahead


def test_a_heartbeat_without_a_site_speaks_for_all_sites() -> None:
    """One that names a site, and an event without one, speak for themselves."""
    for atom, arm, expected in (
        (Stream("till", "orders", ""), "heartbeat", at(5)),
        (Stream("till", "orders", ""), "placed", at(-9_999)),
        (Stream("till", "orders", "Bilbao"), "heartbeat", at(-9_999)),
        (Stream("till", "contacts", ""), "heartbeat", at(-9_999)),
    ):
        book = a_book()
        book.hear(atom, arm, heard(5))
        known = book.heard(TILL)
        assert known
        assert known.until == expected


def test_how_a_stream_stands() -> None:
    """Learning while nothing is known of its gaps; silent once the last event is longer ago than declared or usual."""
    book = a_book()
    book.hear(shop(), "ready", heard(0))
    book.hear(TILL, "ready", heard(0))
    book.hear(NEW, "ready", heard(0))
    assert [book.state(stream, at(60)) for stream in (SHOP, TILL, NEW)] == [State.HEARD, State.HEARD, State.LEARNING]
    assert [book.state(stream, at(61)) for stream in (SHOP, TILL, NEW)] == [State.SILENT, State.SILENT, State.LEARNING]
    assert SourceBook(DECLARED, unpack).state(SHOP, at(0)) == State.LEARNING


def test_a_record_says_since_when() -> None:
    """Silent since it was last heard; heard since it was heard again; and a source has the silence of its streams."""
    book = a_book()
    book.hear(TILL, "ready", heard(0))
    for now, expected in ((30, (State.HEARD, 0)), (90, (State.SILENT, at(0)))):
        record = book.record(TILL, at(now))
        assert (record.state, record.since) == expected
        book.take(record)
    assert silence_of(book.records, "till") is not None
    assert silence_of(book.records, "shop") is None
    book.hear(TILL, "ready", heard(100))
    record = book.record(TILL, at(101))
    assert (record.state, record.since, record.usual_gap) == (State.HEARD, at(100), 20 * SECOND)
    book.take(record)
    assert silence_of(book.records, "till") is None


def test_what_waits_is_counted_over_all_workers_while_they_say_so() -> None:
    """A worker that is gone does not count for ever."""
    book = a_book()
    for order in permutations([("a/1", 3, 0), ("b/1", 4, 10), ("a/1", 5, 5)]):
        for worker, count, seconds in order:
            book.note(Word(worker, SHOP, None, (), count), at(seconds))
        assert book.waiting(SHOP, at(12)) == 9
        assert book.waiting(SHOP, Instant(at(9) + WAITING_COUNTS)) == 4


def test_a_source_that_is_gone_holds_nothing_back() -> None:
    """Not heard for a week it was replaced; one that was declared is waited for all the same."""
    book = a_book()
    book.hear(shop(), "ready", heard(0))
    book.hear(TILL, "ready", heard(0))
    later = Instant(at(1) + GONE)
    assert book.ruling(READY, "Madrid", later).unheard == SHOP
    assert book.is_gone(TILL, later)
    assert not book.is_gone(SHOP, later)
    book.forget(TILL)
    assert TILL not in set(book.streams())


def test_made_up_names_do_not_fill_the_memory() -> None:
    """So many streams are watched, and no more."""
    book = SourceBook(Declared(), unpack)
    for number in range(MAX_STREAMS + 50):
        book.hear(Stream(f"s-{number}", "orders", ""), "ready", heard(0))
    assert sum(1 for _ in book.streams()) == MAX_STREAMS


def test_a_rhythm_of_another_version_is_learned_anew() -> None:
    """What cannot be unpacked keeps nobody from hearing."""
    book = SourceBook(Declared(), unpack)
    book.take(Record(TILL, State.HEARD, heard=heard(0), rhythm=b"?"))
    assert book.state(TILL, at(9_999)) == State.LEARNING
