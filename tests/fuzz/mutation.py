"""Makes input that nobody would send, from examples of what is right. All of it follows from a seed."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from tests.unit.shared.mutants import EDGES, chunk, varint

#: Texts that hurt somewhere: controls, directions, formats, markup, paths, what looks like a number or a key, too long.
TEXTS: Sequence[str] = (
    "", " ", "\0", "\n", "\r\n", "\x1b[31m", "\x1b]0;title\x07", "\u202e", "\u200d", "\ufeff", "\U0001f600", "ñ" * 300,
    "a" * 256, "x" * 5_000, "{0.__class__}", "{{ 7 * 7 }}", "%s%n", "[/red]", "<script>", "'; drop", "../../etc/passwd",
    "a/b/c", "~", "%", "%zz", "a%2Fb/first_reply/c", "NaN", "Infinity", "-0", "1e999", "9" * 400, "null", "true",
    "Europe/Madrid", "posixrules", "Factory", "2026-13-99", "9999-12-31", "0001-01-01", "file:/etc/passwd",
)  # fmt: skip
INTEGERS: Sequence[int] = (*EDGES, *(-edge for edge in EDGES), 253_402_300_799, 253_402_300_800, -62_135_596_801)
_WHOLE = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(1 << 31), (1 << 31) - 1),
}


def mutated(rng: Random, message: Message) -> bytes:
    """A message with some fields changed to extremes, as bytes; now and then those are spoilt, too."""
    other = type(message)()
    other.CopyFrom(message)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        _change(rng, other)
    value = other.SerializeToString()
    return rng.choice((_same, _same, _same, _spoilt, _grown))(rng, value)


def mutated_json(rng: Random, message: Message) -> bytes:
    """A message as JSON, with some names and values that do not belong there."""
    fields = MessageToDict(message, preserving_proto_field_name=rng.random() < 0.5)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        _change_json(rng, fields)
    value = json.dumps(fields, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    return rng.choice((_same, _same, _same, _spoilt))(rng, value)


def mutated_text(rng: Random, text: str) -> str:
    """Lines and words of a text taken out, doubled, exchanged and replaced."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        cut = rng.choice(("\n", " ", ":", ",", "{", ""))
        parts = text.split(cut) if cut else list(text or " ")
        place = rng.randrange(len(parts))
        what: Callable[[str], str] = rng.choice(_PARTS)
        parts[place] = what(parts[place]) if rng.random() < 0.7 else rng.choice(parts) + rng.choice(TEXTS)
        text = cut.join(parts)
    return text


_PARTS: Sequence[Callable[[str], str]] = (
    lambda _part: "",
    lambda part: part + part,
    lambda part: "[" * 200 + part,
    lambda part: f"&a {part}",
    lambda part: f"*a {part}",
    lambda part: f"!!python/name:{part}",
    lambda part: part.swapcase(),
    lambda part: part[::-1],
    lambda part: f"{part}99999999999999999999",
    lambda part: f"-{part}",
    lambda part: f"{part}.5e309",
)


def headers(rng: Random) -> Sequence[tuple[str, bytes]]:
    """Of a message: mostly the one of JSON or none."""
    if rng.random() < 0.9:
        return ()
    names = ("content-type", "tick", "transition", "announced-at", "transition-id", *TEXTS)
    return [(rng.choice(names), rng.choice(TEXTS).encode()) for _ in range(rng.choice((1, 2, 70)))]


def _change(rng: Random, message: Message) -> None:
    fields: Sequence[Any] = message.DESCRIPTOR.fields
    if not fields:
        return
    field = rng.choice(fields)
    if rng.random() < 0.15:
        message.ClearField(field.name)
        return
    if field.message_type:
        inner = getattr(message, field.name)
        if field.is_repeated:
            inner = inner[rng.randrange(len(inner))] if len(inner) and rng.random() < 0.7 else inner.add()
        else:
            inner.SetInParent()
        _change(rng, inner)
        return
    value = _value(rng, field)
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


def _value(rng: Random, field: Any) -> object:
    if field.cpp_type in _WHOLE:
        low, high = _WHOLE[field.cpp_type]
        return min(max(rng.choice(INTEGERS) if rng.random() < 0.7 else rng.randrange(12), low), high)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.randbytes(rng.choice((0, 1, 40)))
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return rng.choice(TEXTS).replace("\ud800", "")
    return rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e308))


def _change_json(rng: Random, fields: dict[str, Any]) -> None:
    if not fields:
        fields[rng.choice(TEXTS)] = _json_value(rng, 3)
        return
    name = rng.choice(list(fields))
    if isinstance(fields[name], dict) and rng.random() < 0.7:
        _change_json(rng, fields[name])
    elif rng.random() < 0.2:
        fields[rng.choice([rng.choice(TEXTS), name.upper(), f"{name}s"])] = fields.pop(name)
    else:
        fields[name] = _json_value(rng, 3)


def _json_value(rng: Random, depth: int) -> object:
    kind = rng.randrange(8 if depth else 6)
    if kind == 6:
        return [_json_value(rng, depth - 1) for _ in range(rng.choice((0, 1, 50)))]
    if kind == 7:
        return {rng.choice(TEXTS): _json_value(rng, depth - 1) for _ in range(rng.choice((0, 1, 20)))}
    simple: Sequence[object] = (rng.choice(TEXTS), rng.choice(INTEGERS), 1.5e308, None, True, "2026-11-26T17:00:00Z")
    return simple[kind]


def _same(_rng: Random, value: bytes) -> bytes:
    return value


def _spoilt(rng: Random, value: bytes) -> bytes:
    """Cut, or with bytes changed."""
    if rng.random() < 0.3:
        return value[: rng.randrange(len(value) + 1)]
    spoilt = bytearray(value or b"\0")
    for _ in range(rng.choice((1, 1, 3, 10))):
        spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
    return bytes(spoilt)


def _grown(rng: Random, value: bytes) -> bytes:
    """With fields more, known or not, once or very often."""
    number = rng.choice((1, 2, 3, 16, 20, 22, 1_000, (1 << 29) - 1))
    more = chunk(number, value[: rng.choice((0, 5, 200))]) if rng.random() < 0.5 else varint(number << 3) + varint(1)
    return value + more * rng.choice((1, 1, 3, 2_000))
