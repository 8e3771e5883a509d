"""Protobuf ⇄ the context of facts and records."""

from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from librt.strings import BytesWriter
from mypy_extensions import i64

from services.shared.facts import NO_CONTEXT, Context, Stated
from services.shared.wire import Reader, put_message, put_text

_SIZE: Final = len(Context._fields)
#: Bytes, or characters, of what is kept for those that state the same.
_SHORT: Final = 256
_stated = attrgetter(*Context._fields)


def read_context(event: object) -> Stated:
    """What an event states; NO_CONTEXT where that is nothing."""
    context: Stated = _stated(event)
    return context if any(context) else NO_CONTEXT


def unpack_context(record: Any) -> Stated:  # noqa: ANN401 - a record, or one of its facts
    """What a record states in its field `context`."""
    return read_context(record.context) if record.HasField("context") else NO_CONTEXT


def stated(reader: Reader, first: i64) -> Stated:
    """What is stated in the fields from number `first` on, in the order of Context; NO_CONTEXT: nothing."""
    if not first <= reader.field < first + _SIZE:
        return NO_CONTEXT
    context = tuple([reader.text(first + number) for number in range(_SIZE)])
    return context if any(context) else NO_CONTEXT


def stated_in(reader: Reader, field: i64) -> Stated:
    """What a record, or one of its facts, states in the field of that number."""
    chunk = reader.chunk(field)
    if not chunk:
        return NO_CONTEXT
    return _known(chunk) if len(chunk) <= _SHORT else _read(chunk)


@lru_cache(1 << 12)
def _known(chunk: bytes) -> Stated:
    """Many state the same."""
    return _read(chunk)


def _read(chunk: bytes) -> Stated:
    reader = Reader(chunk)
    context = stated(reader, 1)
    reader.done()
    return context


def put_context(out: BytesWriter, field: int, context: Stated) -> None:
    """A context field on the wire; nothing where nothing is stated."""
    length: i64 = 0
    for text in context:
        length += len(text)
    if length:
        put_message(out, field, _known_packed(context) if length <= _SHORT else _packed(context))


@lru_cache(1 << 12)
def _known_packed(context: Stated) -> bytes:
    """A record mostly states what its facts state, and many of one customer's the same."""
    return _packed(context)


def _packed(context: Stated) -> bytes:
    out = BytesWriter()
    for field, text in enumerate(context, start=1):
        put_text(out, field, text)
    return out.getvalue()
