"""Opens the record batches that a fetch brings, within bounds: what is in them was written by others.

Compressed batches may hold no more than `LARGEST` bytes: what says of itself that it is larger is believed, all else is
given no more room than that. Where aiokafka gives up, the messages are read one by one, also where the name of a header
is no text, as Java's client does it; only what is left then is unread.
"""

import gzip
import io
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from mmap import mmap
from typing import Any, Final, NamedTuple, cast

import cramjam
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

from services.shared.engine.dead_letters import Unread
from services.shared.engine.stage import Headers

#: Bytes that a batch may hold once it is opened.
LARGEST: Final = 16 << 20
#: Of a batch, in its bytes: where its length stands, and from where it counts; its attributes; where its records begin.
_LENGTH: Final = slice(8, 12)
_COUNTED_FROM: Final = 12
_ATTRIBUTES: Final = slice(21, 23)
_RECORDS: Final = 61
_COUNT: Final = slice(57, 61)
#: The format since Kafka 0.11.
_MAGIC: Final = 2
_CODEC: Final = 0x07
_SNAPPY_BLOCKS: Final = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"


class TooMuch(ValueError):
    """More than a batch may hold."""

    def __init__(self) -> None:
        super().__init__(f"it holds more than {LARGEST >> 20} MiB once it is decompressed")


#: Why a batch is unread whose checksum is wrong.
DAMAGED: Final = ValueError("its checksum is wrong, also when it was fetched again")


class RecordBatches(MemoryRecords):  # type: ignore[misc]  # aiokafka's own
    """aiokafka's, which also tells a batch's bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._data = memoryview(data)
        self._begin = self._end = 0

    def next_batch(self) -> Any:  # noqa: ANN401
        """The next one."""
        batch = super().next_batch()
        self._begin = self._end
        self._end += _COUNTED_FROM + int.from_bytes(self._data[self._begin :][_LENGTH])
        return batch

    @property
    def size(self) -> int:
        """Of the batch that was given last, in bytes."""
        return self._end - self._begin

    def raw(self) -> bytes:
        """The bytes of the batch that was given last."""
        return bytes(self._data[self._begin : self._end])


class Record(NamedTuple):
    """A message, as aiokafka has it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Opened(NamedTuple):
    """What is in a batch."""

    #: Bytes.
    size: int
    #: Nothing of it is read before it is asked for; then aiokafka's decoder may raise anything.
    records: Iterator[Any]
    #: The batch's bytes, not compressed: for `salvaged`.
    content: Callable[[], bytes]


def opened(batch: Any, among: RecordBatches) -> Opened:  # noqa: ANN401
    """The batch that was given last."""
    if not batch.compression_type:
        return Opened(among.size, iter(batch), among.raw)
    try:
        if batch.magic < _MAGIC:
            raise ValueError("it is compressed in a format from before Kafka 0.11")  # noqa: TRY301
        content = _plain(among.raw(), batch.compression_type)
    except Exception as error:  # noqa: BLE001 - whatever the codecs raise
        return Opened(among.size, iter([unread(batch, error, among.raw())]), among.raw)
    return Opened(len(content), iter(DefaultRecordBatch(content)), lambda: content)


def unread(batch: Any, error: Exception, raw: bytes) -> Unread:  # noqa: ANN401
    """Stands for all of a batch."""
    first, last = batch.base_offset, batch.next_offset - 1
    detail = f"the batch cannot be read: {_said(error)}"
    return Unread(first, last, batch.max_timestamp, detail, raw, damaged=error is DAMAGED)


def count_of(raw: bytes) -> int:
    """How many records a batch says it has."""
    return int.from_bytes(raw[_COUNT], signed=True)


def _said(error: Exception) -> str:
    """Why something cannot be read; other libraries' words might quote it."""
    return str(error) if type(error) in {ValueError, TooMuch} else f"its content is damaged ({type(error).__name__})"


def salvaged(batch: Any, content: bytes, known: int) -> Iterator[Record | Unread]:  # noqa: ANN401
    """What aiokafka's decoder could not read: record by record, from the one behind the offset `known` on."""
    if batch.magic < _MAGIC:
        yield unread(batch, DAMAGED, content)
        return
    position, last = _RECORDS, batch.next_offset - 1
    before = batch.base_offset - 1
    while position < len(content) and before < last:
        try:
            length, begin = decode_varint(content, position)
            end = begin + length
            if length < 0 or end > len(content):
                raise ValueError("its length is wrong")  # noqa: TRY301
        except (ValueError, IndexError):
            break
        try:
            found: Record | Unread = _record(batch, content, begin, end)
            if not before < found.offset <= last:
                raise ValueError("its offset is wrong")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it
            at = before + 1
            detail = f"the message cannot be read: {_said(error)}"
            found = Unread(at, at, batch.max_timestamp, detail, content[position:end])
        before, position = found.offset, end
        if before > known:
            yield found
    if before < last:
        first = max(before, known) + 1
        yield Unread(
            first, last, batch.max_timestamp, "the rest of the batch cannot be read: it is damaged", content[position:]
        )


def _record(batch: Any, content: bytes, position: int, end: int) -> Record:  # noqa: ANN401
    """The record between two positions. Raises whatever is wrong with it."""
    position += 1  # attributes, of which there are none yet
    later, position = decode_varint(content, position)
    further, position = decode_varint(content, position)
    key, position = _bytes(content, position, end)
    value, position = _bytes(content, position, end)
    count, position = decode_varint(content, position)
    headers = []
    for _ in range(count):
        name, position = _bytes(content, position, end)
        header, position = _bytes(content, position, end)
        headers.append(((name or b"").decode(errors="backslashreplace"), cast(bytes, header)))
    if position != end:
        raise ValueError("its length is wrong")
    timestamp = batch.max_timestamp if batch.timestamp_type else batch.first_timestamp + later
    return Record(batch.base_offset + further, timestamp, key, value, headers)


def _bytes(content: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    length, position = decode_varint(content, position)
    if length < 0:
        return None, position
    if position + length > end:
        raise ValueError("its length is wrong")
    return content[position : position + length], position + length


# --- decompression


def _plain(raw: bytes, codec: int) -> bytes:
    """The same batch, not compressed. Raises TooMuch, and whatever the codecs raise."""
    unpack = _CODECS.get(codec)
    if unpack is None:
        raise ValueError(f"its compression, number {codec}, is unknown")
    records = unpack(raw[_RECORDS:])
    header = bytearray(raw[:_RECORDS])
    header[_LENGTH] = struct.pack(">i", _RECORDS - _COUNTED_FROM + len(records))
    (attributes,) = struct.unpack(">h", header[_ATTRIBUTES])
    header[_ATTRIBUTES] = struct.pack(">h", attributes & ~_CODEC)
    return b"".join((header, records))


class _Room(threading.local):
    """Where a thread decompresses; its pages are taken from the system when they are first used, and kept."""

    def __init__(self) -> None:
        self.bytes = mmap(-1, LARGEST)


_room = _Room()


def _into_room(decompress: Callable[[bytes, mmap], int]) -> Callable[[bytes], bytes]:
    """By a codec that stops where there is no more room."""

    def unpack(data: bytes) -> bytes:
        room = _room.bytes
        try:
            size = decompress(data, room)
        except cramjam.DecompressionError as error:
            # cramjam has one error for all; it has no word for it but this.
            if "whole buffer" in str(error):
                raise TooMuch from error
            raise
        return room[:size]

    return unpack


def _gunzip(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        found = file.read(LARGEST + 1)
    if len(found) > LARGEST:
        raise TooMuch
    return found


def _unsnap(data: bytes) -> bytes:
    """In one block, or in the blocks of Java's library; each says first how large it is."""
    if not data.startswith(_SNAPPY_BLOCKS):
        return _unsnapped(data, LARGEST)
    position, blocks, room = len(_SNAPPY_BLOCKS), list[bytes](), LARGEST
    while position < len(data):
        (length,) = struct.unpack_from(">i", data, position)
        position += 4
        if not 0 < length <= len(data) - position:
            raise ValueError("a block of its compression has a wrong length")
        block = _unsnapped(data[position : position + length], room)
        room -= len(block)
        position += length
        blocks.append(block)
    return b"".join(blocks)


def _unsnapped(block: bytes, room: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(block) > room:
        raise TooMuch
    return bytes(cramjam.snappy.decompress_raw(block))


_CODECS: Final[Mapping[int, Callable[[bytes], bytes]]] = {
    1: _gunzip,
    2: _unsnap,
    3: _into_room(cramjam.lz4.decompress_into),
    4: _into_room(cramjam.zstd.decompress_into),
}
