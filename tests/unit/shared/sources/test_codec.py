"""What is written about sources can be read again, and what cannot is refused."""

import pytest
from hypothesis import given, strategies as st

from services.shared.instant import Instant
from services.shared.sources.codec import is_record, key_of, pack_record, pack_word, stream_of, unpack, word_key
from services.shared.sources.model import EVERY, Heard, Record, State, Stream, Word
from services.shared.sources.unheard import read_unheard, unheard_header

names = st.text(min_size=1, max_size=12)
instants = st.integers(1, 4_000_000_000_000_000).map(Instant)
streams = st.builds(Stream, names, st.sampled_from(["orders", EVERY]), st.text(max_size=12) | st.just(EVERY))
ears = st.none() | st.builds(Heard, instants, instants)
fulfils = st.lists(st.sampled_from(["orders.ready", "contacts.replied"]), unique=True).map(sorted).map(tuple)
spans = st.integers(0, 10**13)


@given(st.builds(Record, streams, st.sampled_from(State), instants, ears, spans, spans, st.binary(), fulfils, spans))
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    """Whatever names are made of; and its key says of which stream it is, also once it is gone."""
    assert unpack(pack_record(record)) == record
    assert stream_of(key_of(record.stream)) == record.stream
    assert is_record(key_of(record.stream))


@given(st.builds(Word, st.just("promises/w-1"), streams, ears, fulfils, spans))
def test_what_a_worker_says_comes_back_as_it_was(word: Word) -> None:
    """Under a key of its own for each worker and stream, that is no record's."""
    assert unpack(pack_word(word)) == word
    assert not is_record(word_key(word))
    assert word_key(word) != word_key(word._replace(worker="sla/w-1"))


@given(st.binary(max_size=40))
def test_what_is_no_entry_is_refused(value: bytes) -> None:
    """By ValueError and nothing else, be it a value, a key or a header."""
    for read in (unpack, stream_of):
        try:
            read(value)
        except ValueError:
            continue
    read_unheard(value)


@pytest.mark.parametrize("key", [b"heard/promises/1/shop/orders/", b"stream/shop", b"stream/a/b/c/d", b""])
def test_what_is_no_key_of_a_stream_is_refused(key: bytes) -> None:
    """It says what is expected."""
    with pytest.raises(ValueError, match="stream/source/topic/site"):
        stream_of(key)


@given(names, st.integers(0, 4_000_000_000_000_000).map(Instant))
def test_the_header_of_what_is_not_heard_can_be_read(source: str, since: Instant) -> None:
    """Also where the source has spaces in its name."""
    name, value = unheard_header(source, since)
    assert name == "unheard"
    assert read_unheard(value) == (source, since)
