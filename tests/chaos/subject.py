"""Whom a run is about: one service, what is published to it, and what the oracle says its records must be."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tests.chaos.stories import Tales
from tests.chaos.tape import Entry

#: Before anything that time brings about.
LONG_AGO = -(2**62)


class Account(NamedTuple):
    """A record, understood."""

    #: As protobuf has it.
    record: Any
    #: The facts in it.
    said: frozenset[Any]
    #: Where it stands, and for when.
    place: Hashable
    #: What it says only because time passed, and from which instant on that is so.
    claims: Mapping[Any, int]


class Stage(NamedTuple):
    """Something that is so from one instant to another."""

    name: str
    due: int
    #: What a record claims that says so.
    claim: Hashable
    start: int
    end: int


class Judge(Protocol):
    """What the oracle says of the facts of one service; a fact has at least `source` and `event_id`."""

    def facts_of(self, topic: str, entry: Entry, partitions: int) -> Sequence[tuple[bytes, Any]]:
        """The facts in a message, each with the key of its record. Raises Refused."""

    def record(self, key: bytes, said: Iterable[Any], now: int) -> Any:
        """The record as of an instant."""

    def possible(self, key: bytes, said: Iterable[Any], account: Account, at: int) -> Collection[bytes]:
        """What may have been written at `at` of what was said, if what the account claims was so."""

    def account(self, value: bytes) -> Account:
        """A record that was written. Raises DecodeError."""

    def step(self, key: bytes, old: Any, new: Any) -> tuple[str, str]:
        """What the step from one record (None: there was none) to the next announces, and the id of that."""

    def forbids(self, truth: Any, claim: Any) -> bool:
        """Whether what is claimed was not so if `truth` is the record."""

    def stages(self, key: bytes, said: Iterable[Any], since: int, until: int) -> Iterator[Stage]:
        """What time brought about from one instant to another while just this had been said."""


class Subject(NamedTuple):
    """A service under test."""

    #: Its package, and the last part of its group's name.
    service: str
    records: str
    inputs: Sequence[str]
    tales: Tales
    #: Writes what it judges by; the setting that names the file, and where it is.
    rules: Callable[[Path], Mapping[str, Path]]
    #: What its oracle is made from: the messages of `laws`.
    judge: Callable[[Sequence[Entry]], Judge]
    #: The topic of what it judges by, where there is one.
    laws: str = ""


def packed(record: Any) -> bytes:
    """The bytes a record must have."""
    return bytes(record.SerializeToString(deterministic=True))
