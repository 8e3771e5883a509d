"""Which partition a key belongs to: apart from keys.py, which the domains use and which is free of Kafka."""

from functools import lru_cache

from kafka.partitioner.default import murmur2

from services.shared.keys import routing_id

#: Bytes, or characters, of a key whose partition is kept.
_SHORT = 256


def partition_of(routing_key: str | bytes, partitions: int) -> int:
    """The partition of a message key out of so many: murmur2, as Java's publishers have it."""
    return (_known if len(routing_key) <= _SHORT else _found)(routing_key, partitions)


def _found(routing_key: str | bytes, partitions: int) -> int:
    key = routing_key.encode() if isinstance(routing_key, str) else routing_key
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


_known = lru_cache(1 << 16)(_found)


def home_of(key: bytes, partitions: int) -> int:
    """The partition that a record belongs on: its customer's; where there is no customer, its subject's."""
    routing = key.partition(b"/")[0]
    return (_known_home if len(routing) <= _SHORT else _home)(routing, partitions)


def _home(routing: bytes, partitions: int) -> int:
    return partition_of(routing_id(routing.decode()), partitions)


_known_home = lru_cache(1 << 16)(_home)
