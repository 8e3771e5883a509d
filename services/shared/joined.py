"""Records that are shared between the ids of one customer, as the services read them."""

from collections.abc import Callable
from typing import TypeVar

from services.shared.errors import DeadLetterReason, NewerVersion, Unusable
from services.shared.keys import ids_of

R = TypeVar("R")


def read_joined(unpack: Callable[[bytes], R], value: bytes) -> R:
    """The record. Raises Unusable where only a newer version can read it, and whatever `unpack` raises."""
    try:
        return unpack(value)
    except NewerVersion as error:
        raise Unusable(
            DeadLetterReason.NOT_UNDERSTOOD,
            "what was told under another id of its customer cannot be read by this version; bring the worker up to"
            " date, then replay this",
        ) from error


def sibling(key: bytes, theirs: bytes) -> str:
    """The customer of a key that is like another but for the customer. Raises Unusable where it is not."""
    customer, *what = ids_of(key)
    if what != list(ids_of(theirs)[1:]):
        raise Unusable(DeadLetterReason.INVALID, "it is of another kind or subject than its key")
    return customer
