"""What facts and records are made of: made for every event, so by compiled code."""

from msgspec import Struct


class Value(Struct, frozen=True, array_like=True, order=True, gc=False):
    """Immutable; equal and ordered field by field; encoded as an array of its fields."""
