"""Which partition a key belongs to: apart from keys.py, which the domains use and which is free of Kafka."""

from functools import lru_cache

from kafka.partitioner.default import murmur2

from services.shared.keys import routing_id


@lru_cache(1 << 16)
def partition_of(routing_key: str | bytes, partitions: int) -> int:
    """The partition of a message key out of so many: murmur2, as Java's publishers have it."""
    key = routing_key.encode() if isinstance(routing_key, str) else routing_key
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


def home_of(key: bytes, partitions: int) -> int:
    """The partition that a record belongs on: its customer's; where there is no customer, its subject's."""
    return _home_of(key.partition(b"/")[0], partitions)


@lru_cache(1 << 16)
def _home_of(routing: bytes, partitions: int) -> int:
    return partition_of(routing_id(routing.decode()), partitions)
