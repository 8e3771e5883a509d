"""Record keys: "routing/kind/subject", which are ids for people and tell the partition they live on.

The routing part is the customer's id; where the events name no customer, it is the subject's id marked by "~".
"""

import string
from typing import Final
from urllib.parse import quote, unquote

from mypy_extensions import i64

_NO_CUSTOMER: Final = "~"
#: 1 for each byte that needs no quoting.
_PLAIN: Final = bytes(chr(byte) in f"{string.ascii_letters}{string.digits}_.-" for byte in range(256))


def record_key(customer_id: str, kind: str, subject_id: str) -> bytes:
    """The key of a record; `customer_id` may be empty."""
    customer, subject = customer_id.encode(), subject_id.encode()
    if not (_is_plain(customer) and _is_plain(subject)):
        quoted = _part(subject_id)
        customer, subject = (_part(customer_id) or _NO_CUSTOMER + quoted).encode(), quoted.encode()
    return b"/".join((customer, kind.encode(), subject))


def split_key(key: bytes) -> tuple[str, str, str]:
    """(routing, kind, subject) of a record key. Raises ValueError where it is none."""
    text = key.decode()
    parts = text.split("/")
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004
        raise ValueError(f"{text!r} is no record id; expected customer/kind/subject")
    routing, kind, subject = parts
    return routing_id(routing), kind, _unquoted(subject)


def routing_id(routing: str) -> str:
    """The id in the routing part of a key."""
    return _unquoted(routing.removeprefix(_NO_CUSTOMER))


def ids_of(key: bytes) -> tuple[str, str, str]:
    """(customer, kind, subject) of a record key; the customer is empty where the events name none."""
    routing, kind, subject = split_key(key)
    return "" if key.startswith(_NO_CUSTOMER.encode()) else routing, kind, subject


def customer_of(key: bytes) -> str:
    """The customer's id in a record key; empty where the events name none."""
    return ids_of(key)[0]


def customer_prefix(routing: str) -> tuple[bytes, bytes]:
    """What keys of a customer, or of a subject without customer, begin with; made for `bytes.startswith`."""
    part = _part(routing)
    return f"{part}/".encode(), f"{_NO_CUSTOMER}{part}/".encode()


def routing_part(customer_id: str) -> bytes:
    """What the keys of a customer's records begin with, before the slash."""
    return _part(customer_id).encode()


def _is_plain(part: bytes) -> bool:
    """Whether an id needs no quoting, as nearly all: to see that costs less than to quote."""
    length: i64 = len(part)
    place: i64 = 0
    while place < length:
        if not _PLAIN[part[place]]:
            return False
        place += 1
    return length > 0


def _unquoted(part: str) -> str:
    return unquote(part) if "%" in part else part


def _part(text: str) -> str:
    return quote(text, safe="").replace(_NO_CUSTOMER, "%7E")
