"""Record keys: "routing/kind/subject", which are ids for people and tell the partition they live on.

The routing part is the customer's id; where the events name no customer, it is the subject's id marked by "~".
"""

import re
from urllib.parse import quote, unquote

_NO_CUSTOMER = "~"
#: Ids that need no quoting, as nearly all are: asking costs a fifth of quoting.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]*").fullmatch


def record_key(customer_id: str, kind: str, subject_id: str) -> bytes:
    """The key of a record; `customer_id` may be empty."""
    subject = _part(subject_id)
    return f"{_part(customer_id) or _NO_CUSTOMER + subject}/{kind}/{subject}".encode()


def split_key(key: bytes) -> tuple[str, str, str]:
    """(routing, kind, subject) of a record key. Raises ValueError where it is none."""
    parts = key.decode().split("/")
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004 - routing, kind, subject
        raise ValueError(f"{key.decode(errors='replace')!r} is no record id; expected customer/kind/subject")
    return unquote(parts[0].removeprefix(_NO_CUSTOMER)), parts[1], unquote(parts[2])


def customer_of(key: bytes) -> str:
    """The customer's id in a record key; empty where the events name none."""
    routing = key.partition(b"/")[0].decode()
    return "" if routing.startswith(_NO_CUSTOMER) else unquote(routing)


def customer_prefix(routing: str) -> tuple[bytes, bytes]:
    """What keys of a customer, or of a subject without customer, begin with; made for `bytes.startswith`."""
    part = _part(routing)
    return f"{part}/".encode(), f"{_NO_CUSTOMER}{part}/".encode()


def _part(text: str) -> str:
    if _PLAIN(text):
        return text
    return quote(text, safe="").replace(_NO_CUSTOMER, "%7E")
