"""Record keys: "routing/kind/subject", which are ids for people and carry the partition they live on."""

from urllib.parse import quote, unquote


def record_key(routing: str, kind: str, subject: str) -> bytes:
    """The key of a record. `routing` is the customer's id or, without one, the subject's: the message key of the input."""
    return f"{_part(routing)}/{kind}/{_part(subject)}".encode()


def split_key(key: bytes) -> tuple[str, str, str]:
    """(routing, kind, subject) of a record key. Raises ValueError where it is none."""
    parts = key.decode().split("/")
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004 - routing, kind, subject
        raise ValueError(f"{key!r} is no record id; expected customer/kind/subject")
    return unquote(parts[0]), parts[1], unquote(parts[2])


def _part(text: str) -> str:
    return text if text.isalnum() and text.isascii() else quote(text, safe="")
