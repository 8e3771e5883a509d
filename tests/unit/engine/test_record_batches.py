"""Record batches as others may have written them: opened within bounds, and whatever can be read of them is read."""

import gzip
import random
import struct
from collections.abc import Sequence
from time import process_time
from typing import Any

import cramjam
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c_py
from hypothesis import given, strategies as st

from services.shared.engine.dead_letters import Unread
from services.shared.engine.record_batches import LARGEST
from services.shared.engine.stage import Headers
from tests.unit.engine.test_fetch import TP, Fetched

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
BOMB = 100 << 20
Message = tuple[bytes | None, bytes | None, Headers]


def built(messages: Sequence[Message], codec: int = 0, base: int = 0) -> bytes:
    """A batch as it stands in a log."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, 7, 0, 0, 1 << 31)
    for number, (key, value, headers) in enumerate(messages):
        builder.append(number, timestamp=7 + number, key=key, value=value, headers=list(headers))
    return sealed(bytes(builder.build()), base)


def sealed(batch: bytes, base: int = 0) -> bytes:
    """The batch with the length and checksum that it should have."""
    body = bytearray(batch)
    body[0:12] = struct.pack(">qi", base, len(batch) - 12)
    body[17:21] = struct.pack(">I", calc_crc32c_py(bytes(body[21:])))
    return bytes(body)


def packed(content: bytes, codec: int) -> bytes:
    """A batch of one message whose records are these bytes, compressed already."""
    batch = bytearray(built([(None, b"", ())]))
    batch[21:23] = struct.pack(">h", codec)
    return sealed(bytes(batch[:61]) + content)


def a_bomb(codec: int) -> bytes:
    """Very little that becomes very much; a stream of zstd says nothing of its size."""
    if codec == GZIP:
        return gzip.compress(bytes(BOMB))
    if codec == SNAPPY:
        return bytes(cramjam.snappy.compress_raw(bytes(BOMB)))
    module: Any = {LZ4: cramjam.lz4, ZSTD: cramjam.zstd}[codec]
    stream = module.Compressor()
    stream.compress(bytes(BOMB))
    return bytes(stream.finish())


def in_blocks(content: bytes, size: int = 1 << 15) -> bytes:
    """Snappy as Java's library has it."""
    parts = [bytes(cramjam.snappy.compress_raw(content[at : at + size])) for at in range(0, len(content), size)]
    header = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
    return header + b"".join(struct.pack(">i", len(part)) + part for part in parts)


async def read(log: bytes, start: int = 0) -> tuple[list[Any], Fetched]:
    """All records that a fetch brings."""
    fetched = await Fetched(log, start).bring()
    return list(fetched.result.getall()), fetched


GOOD: Sequence[Message] = [(b"a", b"1", [("h", b"x"), ("none", None)]), (None, b"2" * 5_000, ()), (b"c", None, ())]  # type: ignore[list-item]


@pytest.mark.parametrize("codec", [0, GZIP, SNAPPY, LZ4, ZSTD])
async def test_compressed_batches_are_read_as_they_were_written(codec: int) -> None:
    """By every codec that Kafka has, several batches, also from the middle of one."""
    log = built(GOOD, codec) + built(GOOD, codec, base=3)
    records, fetched = await read(log, start=1)
    assert [(record.key, record.value, tuple(record.headers)) for record in records] == [
        (key, value, tuple(headers)) for key, value, headers in [*GOOD, *GOOD][1:]
    ]
    assert [record.offset for record in records] == [1, 2, 3, 4, 5]
    assert [record.timestamp for record in records[-3:]] == [7, 8, 9]
    assert fetched.position == 6


async def test_snappy_in_blocks_is_read() -> None:
    """As Java's library writes it."""
    content = built([(b"a", random.Random(1).randbytes(100_000), ())])[61:]
    records, _ = await read(packed(in_blocks(content), SNAPPY))
    assert [len(record.value) for record in records] == [100_000]


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
async def test_a_bomb_does_not_go_off(codec: int) -> None:
    """It is set aside unopened, in its own bytes, at little cost, and what stands behind it is read."""
    bomb = packed(a_bomb(codec), codec)
    log = bomb + built(GOOD, base=1)
    fetched = await Fetched(log).bring()
    began = process_time()
    lost, *records = fetched.result.getall()
    assert process_time() - began < 0.5
    assert (lost.first, lost.offset, lost.raw) == (0, 0, bomb)
    assert str(LARGEST >> 20) in lost.detail
    assert [record.offset for record in records] == [1, 2, 3]


async def test_a_bomb_of_many_blocks_does_not_go_off() -> None:
    """Each of them is small enough."""
    lost, *_ = (await read(packed(in_blocks(bytes(BOMB), 1 << 20), SNAPPY)))[0]
    assert str(LARGEST >> 20) in lost.detail


async def test_as_much_as_may_be_is_opened() -> None:
    """A byte more is not."""
    empty = len(built([(None, b"", ())])) - 61
    for size, expected in ((LARGEST - empty - 10, "DefaultRecord"), (LARGEST, "Unread")):
        (record,) = (await read(built([(None, bytes(size), ())], ZSTD)))[0]
        assert type(record).__name__ == expected


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD, 5, 7])
@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"garbage" * 9], ids=["nothing", "zeros", "garbage"])
async def test_what_no_codec_can_read_is_set_aside(codec: int, content: bytes) -> None:
    """Also where nobody knows the codec."""
    records, fetched = await read(packed(content, codec) + built(GOOD, base=1))
    assert [(record.offset, type(record).__name__) for record in records[:2]] == [(0, "Unread"), (1, "DefaultRecord")]
    assert fetched.position == 4


def with_bad_name(batch: bytes) -> bytes:
    """The batch in whose headers `hh` became no text."""
    return sealed(batch.replace(b"\x04hh", b"\x04\xff\xfe"), int.from_bytes(batch[:8], "big"))


@pytest.mark.parametrize("position", range(3))
async def test_a_header_name_that_is_no_text_harms_nothing(position: int) -> None:
    """Java's client reads it, too. The message is used, and so are those around it, whatever was read before."""
    messages: list[Message] = [(b"k", bytes([number]), ()) for number in range(3)]
    messages[position] = (b"k", bytes([position]), [("hh", b"x")])
    log = with_bad_name(built(messages)) + built(GOOD, base=3)
    for start in range(3):
        records, fetched = await read(log, start)
        assert [record.offset for record in records] == [*range(start, 3), 3, 4, 5]
        assert [record.value for record in records[: 3 - start]] == [bytes([number]) for number in range(start, 3)]
        if start <= position:
            assert list(records[position - start].headers) == [("\\xff\\xfe", b"x")]
        assert (fetched.position, fetched.bridges) == (6, {})
    taken = await Fetched(log).bring()
    assert [[offset for offset, _ in taken.take(2)] for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]


async def test_a_message_that_cannot_be_read_is_set_aside_alone() -> None:
    """Its neighbours in the batch are read: each says how long it is."""
    middle = b"k" * 50
    batch = built([(b"a", b"1", ()), (middle, b"2", ()), (b"c", b"3", ())])
    # The key of the middle one says that it is longer than its message.
    at = batch.index(middle) - 1
    records, fetched = await read(sealed(batch[:at] + b"\x7e" + batch[at + 1 :]))
    assert [isinstance(record, Unread) for record in records] == [False, True, False]
    assert [record.offset for record in records] == [0, 1, 2]
    assert (fetched.position, fetched.bridges) == (3, {})


async def test_what_follows_a_wrong_length_is_set_aside_together() -> None:
    """Nobody can say where the next message begins; the lane learns where reading goes on."""
    batch = built([(b"a", b"1", ()), (b"b", b"2", ()), (b"c", b"3", ())])
    end = batch.index(b"b") - 6  # where the second begins
    records, fetched = await read(sealed(batch[:end] + b"\xfe\xff\x01" + batch[end + 3 :]) + built(GOOD, base=3))
    assert [record.offset for record in records] == [0, 2, 3, 4, 5]
    assert (records[1].first, type(records[1]).__name__) == (1, "Unread")
    assert fetched.bridges == {TP: {1: 2}}


def mutated(batch: bytes, place: int, byte: int) -> bytes:
    """The batch with another byte in its records."""
    return sealed(bytes([*batch[: 61 + place], byte, *batch[62 + place :]]))


@given(codec=st.sampled_from([0, GZIP, SNAPPY, LZ4, ZSTD]), place=st.integers(0, 70), byte=st.integers(0, 255))
async def test_whatever_stands_in_a_batch_reading_ends_behind_it(codec: int, place: int, byte: int) -> None:
    """Offsets rise and stay in their batch, and the lane hears of each stretch for which one record stands."""
    batch = built([(b"key", b"value" * 9, [("hh", b"x")]), (b"k", b"v", ()), (None, b"w", ())], codec)
    records, fetched = await read(mutated(batch, min(place, len(batch) - 62), byte) + built(GOOD, base=3))
    offsets = [record.offset for record in records]
    assert offsets == sorted(set(offsets))
    assert offsets[-3:] == [3, 4, 5]
    assert fetched.position == 6
    lost = [record for record in records if isinstance(record, Unread) and record.first < record.offset]
    assert dict(fetched.bridges.get(TP, {})) == {record.first: record.offset for record in lost}
