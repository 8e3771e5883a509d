"""Packs what large records hold, and keeps it: most of it is written again with every event that they get."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from librt.strings import BytesWriter

from services.shared.wire import put_message

T = TypeVar("T")

#: From so many parts on a record is large.
MANY: Final = 64
#: Bytes of what is kept, at most.
_KEPT: Final = 1 << 20


class Pieces(Generic[T]):
    """The packed parts of the large records that were packed last.

    Parts are told apart by identity, not by content, which would cost as much as to pack them.
    """

    def __init__(self, field: int, pack: Callable[[T], bytes]) -> None:
        """Each part is a message in the field of that number; `pack` makes its content."""
        self._field, self._pack = field, pack
        #: Key of a record → its parts, which are held so that none of their ids is another's, what each is packed, and
        #: how much that is.
        self._known: dict[bytes, tuple[tuple[T, ...], dict[int, bytes], int]] = {}
        self._kept = 0

    def of(self, key: bytes, parts: tuple[T, ...]) -> bytes:
        """The fields of a record with all its parts, in order."""
        before: dict[int, bytes] = {}
        if key in self._known:
            _, before, size = self._known.pop(key)
            self._kept -= size
        pieces: dict[int, bytes] = {}
        for part in parts:
            pieces[id(part)] = before.get(id(part)) or self._framed(part)
        packed = b"".join(pieces.values())
        self._keep(key, parts, pieces, len(packed))
        return packed

    def _framed(self, part: T) -> bytes:
        out = BytesWriter()
        put_message(out, self._field, self._pack(part))
        return out.getvalue()

    def _keep(self, key: bytes, parts: tuple[T, ...], pieces: dict[int, bytes], size: int) -> None:
        if size > _KEPT:
            return
        while self._kept + size > _KEPT:
            *_, oldest = self._known.pop(next(iter(self._known)))
            self._kept -= oldest
        self._known[key] = parts, pieces, size
        self._kept += size
