"""Protobuf ⇄ the context of facts and records."""

from functools import lru_cache
from operator import attrgetter
from typing import Any

from services.shared.facts import NO_CONTEXT, Context
from services.shared.wire import message, text

_stated = attrgetter(*Context._fields)
_TAGS = tuple(bytes((field << 3 | 2,)) for field in range(1, 1 + len(Context._fields)))


def read_context(event: object) -> Context:
    """What an event states; NO_CONTEXT itself where that is nothing."""
    context = _stated(event)
    return Context(*context) if any(context) else NO_CONTEXT


def unpack_context(record: Any) -> Context:  # noqa: ANN401 - a record, or one of its facts
    """What a record states in its field `context`."""
    return Context(*_stated(record.context)) if record.HasField("context") else NO_CONTEXT


def pack_context(tag: bytes, context: Context) -> bytes:
    """A context field on the wire; nothing where nothing is stated."""
    packed = _packed(context)
    return tag + packed if packed else b""


@lru_cache(1 << 12)
def _packed(context: Context) -> bytes:
    """Its length and content. A record mostly states what its facts state, and many of one customer's the same."""
    return message(b"", b"".join(map(text, _TAGS, context))) if any(context) else b""
