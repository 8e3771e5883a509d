"""Partitions, as everybody else computes them."""

import pytest

from services.shared.partitioner import partition_of


@pytest.mark.parametrize(("key", "hashed"), [("21", -973932308), ("foobar", -790332482), ("abc", 479470107)])
def test_keys_go_where_java_puts_them(key: str, hashed: int) -> None:
    """Values from the tests of Apache Kafka's own murmur2; text and bytes alike."""
    assert partition_of(key, 12) == partition_of(key.encode(), 12) == (hashed & 0x7FFFFFFF) % 12
