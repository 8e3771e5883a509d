"""A worker's records for those who ask: one of them, a page of them, or their changes as they come."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar
from zlib import crc32

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

from services.shared.engine.view import RecordView
from services.shared.errors import PuntualError
from services.shared.instant import Instant
from services.shared.keys import customer_prefix, split_key

M = TypeVar("M", bound=Message)

#: Keys looked at, and records parsed, before others get their turn.
_KEYS_AT_A_TIME = 20_000
_RECORDS_AT_A_TIME = 500
_PAGE, _LARGEST_PAGE = 100, 1000
#: A page ends before it outgrows the 4 MiB that gRPC clients accept.
_PAGE_BYTES = 2 << 20


class Absent(PuntualError):
    """This worker owns the partition, and there is no such record."""


class NotOwned(PuntualError):
    """Another worker must be asked. `owner` is its gRPC address, None while unknown."""

    def __init__(self, partition: int, owner: str | None) -> None:
        where = f"ask {owner}" if owner else "its owner is not known yet; try again shortly"
        super().__init__(f"Partition {partition} is not served here: {where}.")
        self.owner = owner


class Page(NamedTuple):
    """What a caller asks for; a size of 0 is the default."""

    size: int
    token: str


class Change(NamedTuple, Generic[M]):
    """One acknowledged write; `transition` is the number in the service's transition enum."""

    record: M
    transition: int
    announced_at: Instant


def routing_of(record_id: str) -> str:
    """The customer, or lone subject, that a promise or clock is kept with. Raises PuntualError on a malformed id."""
    try:
        return split_key(record_id.encode())[0]
    except ValueError as error:
        raise PuntualError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Records(Generic[M]):
    """Reads through a view. Whatever a caller got wrong is a PuntualError that says so."""

    view: RecordView
    parse: Callable[[bytes], M]
    #: A record's id → the key that decides its partition. Raises PuntualError on a malformed id.
    routing: Callable[[str], str]
    transitions: EnumDescriptor

    def get(self, record_id: str) -> M:
        """One record. Raises Absent or NotOwned."""
        value = self.view.get(self._owned(self.routing(record_id)), record_id.encode())
        if value is None:
            raise Absent(f"There is no {record_id!r}.")
        return self.parse(value)

    async def of_customer(self, customer_id: str, page: Page) -> tuple[list[M], str]:
        """A page of a customer's (or lone subject's) records by id, and the token of the next. Raises NotOwned."""
        if not customer_id:
            raise PuntualError("customer_id is missing; where the events name no customer, give the subject's id.")
        partition = self._owned(customer_id)
        token = _Token.read(page.token, customer_id)
        keys = await self._keys(partition, customer_prefix(customer_id), token.after)
        self._owned(customer_id)  # it may have been given away meanwhile, and its records with it
        return await self._page([(key, partition) for key in keys], page.size, token, lambda _: True)

    async def everywhere(self, scope: str, keep: Callable[[M], bool], page: Page) -> tuple[list[M], str]:
        """A page of the records that `keep` likes, by id, over the partitions owned. `scope` names what `keep` does."""
        token = _Token.read(page.token, scope)
        if not (partitions := tuple(self.view.partitions())):
            raise NotOwned(0, None)
        keys = [(key, partition) for partition in partitions for key in await self._keys(partition, b"", token.after)]
        return await self._page(keys, page.size, token, keep)

    async def watch(self, transitions: Iterable[int], customer_id: str = "") -> AsyncIterator[Change[M]]:
        """Changes from now on, of the named transitions (none: all) and the customer (empty: all).

        Raises NotOwned for a customer of another worker, PartitionsMoved where partitions are given away meanwhile,
        SlowReader where the reader does not keep up.
        """
        names = words(self.transitions)
        wanted = {number: name for name, number in names.items()}
        if unknown := sorted(set(transitions) - wanted.keys()):
            raise PuntualError(f"No such transition: {', '.join(map(str, unknown))}. There are {', '.join(names)}.")
        chosen = set(transitions) or wanted.keys()
        prefix = customer_prefix(customer_id) if customer_id else b""
        if customer_id:
            self._owned(customer_id)
        with self.view.watch() as announcements:
            async for _, key, value, transition, announced_at in announcements:
                if value is not None and names[transition] in chosen and key.startswith(prefix):
                    yield Change(self.parse(value), names[transition], announced_at)

    def _owned(self, routing: str) -> int:
        partition = self.view.partition_of(routing)
        if not self.view.owns(partition):
            raise NotOwned(partition, self.view.owner_of(partition))
        return partition

    async def _keys(self, partition: int, prefix: bytes | tuple[bytes, ...], after: bytes) -> list[bytes]:
        keys, found = self.view.keys(partition), list[bytes]()
        for start in range(0, len(keys), _KEYS_AT_A_TIME):
            part = keys[start : start + _KEYS_AT_A_TIME]
            found += [key for key in part if key > after and key.startswith(prefix)]
            await asyncio.sleep(0)
        return found

    async def _page(
        self, keys: list[tuple[bytes, int]], size: int, token: "_Token", keep: Callable[[M], bool]
    ) -> tuple[list[M], str]:
        if size < 0:
            raise PuntualError(f"page_size is {size}; it is 0 (for {_PAGE}) to {_LARGEST_PAGE}.")
        size = min(size or _PAGE, _LARGEST_PAGE)
        keys.sort()
        records, room = list[M](), _PAGE_BYTES
        for seen, (key, partition) in enumerate(keys, start=1):
            value = self.view.get(partition, key)
            if value is not None and keep(record := self.parse(value)):
                records.append(record)
                room -= len(value)
            if (len(records) == size or room < 0) and seen < len(keys):
                return records, token._replace(after=key).text()
            if seen % _RECORDS_AT_A_TIME == 0:
                await asyncio.sleep(0)
        return records, ""


class _Token(NamedTuple):
    """Where a page ends, bound to the list it is of, so that another list's token is refused."""

    scope: bytes
    after: bytes

    @classmethod
    def read(cls, text: str, scope: str) -> "_Token":
        mark = crc32(scope.encode()).to_bytes(4)
        try:
            content = urlsafe_b64decode(text.encode())
        except ValueError:
            content = b""
        if text and (content[:4] != mark or not content[4:]):
            raise PuntualError("page_token is not one that this list gave; start again without it.")
        return cls(mark, content[4:])

    def text(self) -> str:
        return urlsafe_b64encode(self.scope + self.after).decode()


def words(enum: EnumDescriptor) -> dict[str, int]:
    """The values of a protobuf enum by the names that headers use: PROMISE_TRANSITION_AT_RISK is "at_risk"."""
    zero, *values = enum.values
    prefix = zero.name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.number for value in values}
