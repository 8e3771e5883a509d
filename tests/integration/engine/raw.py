"""Publishes what no client would: record batches byte by byte, as any publisher can."""

import socket
import struct

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c_py


def a_batch(key: bytes, value: bytes, headers: list[tuple[str, bytes]], codec: int = 0) -> bytes:
    """A batch of one message."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 31)
    builder.append(0, timestamp=1, key=key, value=value, headers=list(headers))
    return bytes(builder.build())


def sealed(batch: bytes) -> bytes:
    """The batch with the checksum that it should have."""
    return batch[:17] + struct.pack(">I", calc_crc32c_py(batch[21:])) + batch[21:]


def produce(kafka: str, topic: str, partition: int, batch: bytes) -> int:
    """Have a broker, the only one, take a batch as it is; its offset."""
    host, port = kafka.rsplit(":", 1)
    name = topic.encode()
    body = struct.pack(">hhi", 0, 7, 1) + struct.pack(">h", 3) + b"raw" + struct.pack(">hhii", -1, -1, 20_000, 1)
    body += struct.pack(">h", len(name)) + name + struct.pack(">iii", 1, partition, len(batch)) + batch
    with socket.create_connection((host, int(port)), 30) as connection:
        connection.settimeout(60)
        connection.sendall(struct.pack(">i", len(body)) + body)
        with connection.makefile("rb") as answers:
            answer = answers.read(struct.unpack(">i", answers.read(4))[0])
    error, offset = struct.unpack_from(">hq", answer, 4 + 4 + 2 + len(name) + 4 + 4)
    assert error == 0, f"the broker refused: {error}"
    return int(offset)
