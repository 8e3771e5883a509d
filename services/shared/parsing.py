"""Bytes and JSON → messages.

What does not fit is refused by its place and by what is expected there, never by what was there: that may be a
customer's, and the library's own errors quote it.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from services.shared.errors import DeadLetterReason, Unusable

M = TypeVar("M", bound=Message)

#: Of the objects of one JSON text, all together. No message has as many fields.
MOST_NAMES = 1_000
#: What looks like a field, mistyped. Anything else could be an id, a number or an address.
_NAME = re.compile(r"[A-Za-z_]{1,40}")
_TIMESTAMP = "google.protobuf.Timestamp"
_TYPES = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
_EXPECTED = {FieldDescriptor.TYPE_STRING: "a text", FieldDescriptor.TYPE_BOOL: "true or false"}


def parse_bytes(message_type: type[M], value: bytes) -> M:
    """The message in protobuf's bytes. Raises Unusable."""
    try:
        return message_type.FromString(value)
    except DecodeError:
        hint = "(JSON needs the header content-type: application/json)"
        raise _unusable(message_type, f"the bytes are corrupt, or are something else {hint}") from None


def parse_json(message_type: type[M], value: bytes) -> M:
    """The message in UTF-8 text of protobuf's JSON mapping. Raises Unusable."""
    return parse_fields(message_type, load_fields(message_type, value))


def load_fields(message_type: type[Message], value: bytes) -> dict[str, Any]:
    """The object in UTF-8 text of JSON, for a message to be made of. Raises Unusable."""
    try:
        return load_object(value)
    except ValueError as error:
        raise _unusable(message_type, str(error)) from None


def parse_fields(message_type: type[M], fields: Mapping[str, Any]) -> M:
    """The message in protobuf's JSON mapping, loaded. Raises Unusable."""
    message = message_type()
    try:
        ParseDict(fields, message)  # type: ignore[arg-type]  # it only reads
    except Exception:  # noqa: BLE001 - whatever a conversion inside it raises
        descriptor: Any = message.DESCRIPTOR  # of either implementation
        raise _unusable(message_type, _misfit(fields, descriptor, "")) from None
    return message


def load_object(value: str | bytes) -> dict[str, Any]:
    """A JSON object, none of whose names is there twice, nor too many. Raises ValueError that says where it is none."""
    try:
        loaded = json.loads(value if isinstance(value, str) else value.decode(), object_pairs_hook=_Objects())
    except UnicodeDecodeError as error:
        raise ValueError(f"no JSON: not UTF-8 at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        line = f"line {error.lineno} " if error.lineno > 1 else ""
        what = error.msg.partition(":")[0].removesuffix(" at")
        raise ValueError(f"no JSON: {what} at {line}column {error.colno}") from None
    except _Unwanted as error:
        raise ValueError(str(error)) from None
    except (ValueError, RecursionError):
        raise ValueError("no JSON: nested too deeply, or a number is too long") from None
    if not isinstance(loaded, dict):
        raise ValueError(f"a JSON object is expected, not {_TYPES.get(type(loaded), 'null')}")  # noqa: TRY004
    return loaded


class _Unwanted(ValueError):
    """JSON that is not accepted here: a name is there twice in one object, or there are too many."""


class _Objects:
    """Makes the objects of one JSON text, and counts their names."""

    def __init__(self) -> None:
        self._names = 0

    def __call__(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        self._names += len(pairs)
        if self._names > MOST_NAMES:
            raise _Unwanted(f"the JSON has more than {MOST_NAMES:,} names; send ids, not data")
        fields = dict(pairs)
        if len(fields) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            twice = next(name for name, count in counts.items() if count > 1)
            raise _Unwanted(f"the JSON gives a {_field(twice)} twice")
        return fields


def _field(name: str) -> str:
    return f'field named "{name}"' if _NAME.fullmatch(name) else "field of a name that is not shown here"


def _unusable(message_type: type[Message], problem: str) -> Unusable:
    return Unusable(DeadLetterReason.UNDECODABLE, f"not a {message_type.DESCRIPTOR.full_name}: {problem}")


def _misfit(fields: object, message: Descriptor, path: str) -> str:
    """Where an object that the library refused is not as the message wants it: found by asking it field by field."""
    if not isinstance(fields, Mapping):
        return f"{path} must be an object"
    whole = path or message.name
    for name, value in fields.items():
        field = message.fields_by_name.get(name) or message.fields_by_camelcase_name.get(name)
        if field is None:
            return f"{whole} has no {_field(name)}; it has {', '.join(each.name for each in message.fields) or 'none'}"
        if not _fits(message, name, value):
            place = f"{path}.{name}" if path else name
            if field.message_type and not field.is_repeated and field.message_type.full_name != _TIMESTAMP:
                return _misfit(value, field.message_type, place)
            return f"{place} must be {_expected(field)}"
    groups = ([each.name for each in oneof.fields] for oneof in message.oneofs)
    names = [each.name for each in message.fields for name in {each.name, each.camelcase_name} if name in fields]
    crowded = next((group for group in groups if sum(name in group for name in names) > 1), names)
    return f"{whole} may hold only one of {', '.join(crowded)}, and that once"


def _fits(message: Descriptor, name: str, value: object) -> bool:
    try:
        ParseDict({name: value}, GetMessageClass(message)())
    except Exception:  # noqa: BLE001 - as above
        return False
    return True


def _expected(field: FieldDescriptor) -> str:
    if field.is_repeated:
        return "a list"
    if field.enum_type:
        return f"one of {', '.join(value.name for value in field.enum_type.values if value.number)}"
    if field.message_type:
        return 'a time such as "2026-11-26T17:00:00Z"'
    return _EXPECTED.get(field.type, "a number")
