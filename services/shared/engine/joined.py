"""Customers with several ids: what is told under one of them is shared with the records of the others.

The partition of an id sends each record that it touches, whole, to the partitions of the other ids, over a topic that
each of those reads as input. Facts are a set, so whatever comes twice or late changes nothing, and a crash loses
nothing: the offset of a message is committed only once all that was sent because of it is in the log.

Time needs more. A record of such a customer must not be judged by the clock before all is here that was told under the
other ids until then. So its partition asks theirs; each answers once it has read and sent on all until the instant that
was asked for, and knows as many merges. Questions and answers go over the same topic, so what was sent before an answer
is read before it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, NamedTuple, Protocol

from services.shared.engine.stage import Headers, Write
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import SECOND, Instant

#: Keys looked at, and records sent, in one go for merges that are new.
_KEYS, _RECORDS = 20_000, 500
#: Seconds after which a question is asked again: whoever was asked may have ended.
_AGAIN: Final = 2.0
#: Seconds after which a question is forgotten that cannot be answered. Whoever means it asks again; one of a time that
#: never comes would be in the way of all that its partition asks later.
_FORGOTTEN: Final = 10.0
#: When to look again whether the answers are there.
SOON: Final = SECOND // 20
_ASK, _ANSWER = "ask", "answer"
_NONE: Final = Instant(0)


class Group(NamedTuple):
    """The ids of one customer."""

    #: As they stand in the keys of records, in order.
    ids: tuple[bytes, ...]
    #: How many merges must be known to know of it.
    known: int


class Groups(Protocol):
    """All customers with several ids, as far as this worker knows."""

    @property
    def known(self) -> int:
        """How many merges are known."""

    def get(self, part: bytes) -> Group | None:
        """The customer that goes by an id, as it stands in keys; None: it has no other."""

    def time(self, now: Instant) -> Instant:
        """How far it is known that no merge is unread: `now`, or less."""


class Said(NamedTuple):
    """A question or an answer: from which partition, how many merges are known, and until when all is sent."""

    partition: int
    known: int
    until: Instant


@dataclass(slots=True)
class Sharing:
    """Where the sharing of one partition stands. As the records, it is gone with the partition."""

    #: For how many merges all records were sent.
    known: int = 0
    #: The merges for which they are being sent, and the keys that are left.
    target: int = 0
    keys: list[bytes] = field(default_factory=list)
    #: By partition that asked, what is to be answered, and since when.
    questions: dict[int, tuple[Said, float]] = field(default_factory=dict)
    #: By partition that was asked, its last answer, what is to be asked, and what was asked when.
    answers: dict[int, Said] = field(default_factory=dict)
    wanted: dict[int, Said] = field(default_factory=dict)
    asked: dict[int, tuple[Said, float]] = field(default_factory=dict)


class Joined:
    """Shares records, asks and answers. Pure but for the `Sharing` it is given."""

    def __init__(self, groups: Groups, topic: str, home: Callable[[bytes, int], int], partitions: int) -> None:
        self.groups, self.topic = groups, topic
        self._home, self._partitions = home, partitions
        #: Seconds.
        self.seconds = monotonic

    def copies(self, key: bytes, value: bytes) -> list[Write]:
        """What is sent when the record of a key is touched."""
        part, rest = _split(key)
        group = self.groups.get(part)
        if group is None:
            return []
        return [self._copy(other + rest, value) for other in group.ids if other != part]

    def _copy(self, key: bytes, value: bytes) -> Write:
        return Write(self.topic, self._home(key, self._partitions), key, value, [])

    def heard(self, sharing: Sharing, key: bytes, wanted: Instant, clock: Instant) -> Instant:
        """Until when all is here that was told of a record under the other ids of its customer; `clock` at most.

        Where that is before `wanted`, those are asked that have to answer.
        """
        part, rest = _split(key)
        group = self.groups.get(part)
        if group is None:
            return clock
        heard = clock
        for other in group.ids:
            if other == part:
                continue
            place = self._home(other + rest, self._partitions)
            answer = sharing.answers.get(place)
            if answer is None or answer.known < group.known or answer.until < wanted:
                sharing.wanted[place] = Said(place, group.known, clock)
                heard = _NONE
            else:
                heard = min(heard, answer.until)
        return heard

    def take(self, sharing: Sharing, headers: Headers) -> bool:
        """Take in a question or an answer; False: it is neither. Raises Unusable."""
        for name, value in headers:
            if name in {_ASK, _ANSWER}:
                said = _read(value, self._partitions)
                if name == _ASK:
                    before, since = sharing.questions.get(said.partition, (said, self.seconds()))
                    said = Said(said.partition, max(said.known, before.known), max(said.until, before.until))
                    sharing.questions[said.partition] = said, since
                else:
                    # Of one partition they compare by merges first: who knew fewer did not send all for the others.
                    sharing.answers[said.partition] = max(said, sharing.answers.get(said.partition, said))
                return True
        return False

    def spoken(self, partition: int, sharing: Sharing, clock: Instant) -> list[Write]:
        """What is to be asked and can be answered at this time of the partition."""
        writes, now = [], self.seconds()
        for place, (question, since) in sharing.questions.copy().items():
            is_known = sharing.known >= question.known and clock >= question.until
            if is_known:
                writes.append(self._said(_ANSWER, place, Said(partition, sharing.known, clock)))
            if is_known or now - since > _FORGOTTEN:
                del sharing.questions[place]
        for place, question in sharing.wanted.items():
            asked, at = sharing.asked.get(place, (None, 0.0))
            if asked is None or now - at > _AGAIN or asked.known < question.known or _is_answered(sharing, asked):
                sharing.asked[place] = question, now
                writes.append(self._said(_ASK, place, question._replace(partition=partition)))
        sharing.wanted.clear()
        return writes

    def _said(self, what: str, place: int, said: Said) -> Write:
        return Write(self.topic, place, None, None, [(what, b"%d %d %d" % said)])

    def unsent(self, sharing: Sharing, keys: Callable[[], list[bytes]]) -> list[bytes]:
        """Some keys of records that have to be sent for merges that are new. Asked again and again, in the end all."""
        if not sharing.keys:
            if sharing.known == self.groups.known:
                return []
            sharing.target, sharing.keys = self.groups.known, keys()
        found = list[bytes]()
        for _ in range(min(_KEYS, len(sharing.keys))):
            key = sharing.keys.pop()
            group = self.groups.get(_split(key)[0])
            if group is not None and group.known > sharing.known:
                found.append(key)
                if len(found) == _RECORDS:
                    break
        if not sharing.keys:
            sharing.known = sharing.target
        return found


def _is_answered(sharing: Sharing, asked: Said) -> bool:
    answer = sharing.answers.get(asked.partition)
    return answer is not None and answer.known >= asked.known and answer.until >= asked.until


def _split(key: bytes) -> tuple[bytes, bytes]:
    place = key.find(b"/")
    return key[:place], key[place:]


def _read(value: bytes, partitions: int) -> Said:
    try:
        partition, known, until = map(int, value.split())
        if 0 <= partition < partitions:
            return Said(partition, known, Instant(until))
    except (ValueError, AttributeError):
        pass
    raise Unusable(DeadLetterReason.INVALID, "only the services publish here: a question or answer cannot be read")
