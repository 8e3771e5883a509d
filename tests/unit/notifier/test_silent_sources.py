"""Silent sources in the notifier's terms: one item for each, whatever many streams it has."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest

from services.notifier.beliefs import Receivers, Step
from services.notifier.codec import decode, pack, unpack
from services.notifier.domain import due
from services.notifier.incident import Incident, ItemSeen
from services.notifier.items import NONE, Details, Item, Standing
from services.notifier.outbox import Accepted
from services.notifier.routing import Route, Routing
from services.notifier.silent_sources import SilentSources, forwards_silences
from services.notifier.wording import Style, word
from services.shared.errors import Unusable
from services.shared.instant import Instant, format_instant
from services.shared.sources.codec import key_of, pack_record, pack_word, word_key
from services.shared.sources.model import Heard, Record, State, Stream, Transition, Word
from tests.unit.notifier.builders import MAIL, MINUTE, an_item, at, see, settle

ORDERS, CONTACTS, OTHER = Stream("shop", "orders", "Madrid"), Stream("shop", "contacts", ""), Stream("till", "*", "*")
#: Before the count, in the message.
HOW_MANY = {"en": "not told yet", "es": "aún no se avisa", "it": "non ancora segnalati"}
EVERYTHING = Routing((), (Route("everything", {}, ("console",)),))


class Message(NamedTuple):
    """A message of the topic."""

    key: bytes | None
    value: bytes | None
    offset: int = 0
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


class Topic:
    """The topic of sources, read by a notifier."""

    def __init__(self) -> None:
        self._silent = SilentSources()
        (self._forward,) = forwards_silences(self._silent, EVERYTHING, 3, now=lambda: at(9)).values()
        self._offset = 0

    def write(
        self, stream: Stream, state: State, since: Instant, waiting: int = 0, *, followed: bool = True
    ) -> Message:
        """The next record of a stream; `followed`: whoever follows the topic has read it before it is forwarded."""
        before = self._silent._records.get(stream)  # noqa: SLF001 - as whoever writes knows it
        was_silent = before is not None and before.state == State.SILENT
        step = Transition.UPDATED if was_silent == (state == State.SILENT) else Transition(2 if not was_silent else 3)
        record = Record(stream, state, since, Heard(since, since), 60, waiting=waiting)
        headers = (("transition", step.name.lower().encode()), ("announced-at", format_instant(at(5)).encode()))
        self._offset += 1
        message = Message(key_of(stream), pack_record(record), self._offset, 0, headers)
        if followed:
            self._silent.take(message)
        return message

    def read_late(self, message: Message) -> bool:
        """Whether it is news to whoever follows the topic."""
        return self._silent.take(message)

    def told(self, message: Message) -> list[Item]:
        """What is forwarded of a message."""
        facts = [fact for write in self._forward(message) for _, fact in decode(write.value or b"", False)]
        return [fact.item for fact in facts if isinstance(fact, ItemSeen)]


def test_a_source_is_silent_while_one_of_its_streams_is() -> None:
    """All its streams are one item: broken from the first that falls silent to the last that is heard again."""
    topic = Topic()
    steps = [
        (ORDERS, State.SILENT, at(1), 3, (Standing.BROKEN, at(1), 3)),
        (CONTACTS, State.SILENT, at(2), 2, (Standing.BROKEN, at(1), 5)),
        (ORDERS, State.HEARD, at(4), 0, (Standing.BROKEN, at(2), 2)),
        (CONTACTS, State.HEARD, at(6), 0, (Standing.FINE, at(6), 0)),
    ]
    for stream, state, since, waiting, expected in steps:
        (item,) = topic.told(topic.write(stream, state, since, waiting))
        assert item.details is not None
        assert (item.standing, item.since, item.details.waiting) == expected
        assert (item.service, item.kind, item.record_id) == ("sources", "source_silent", "~shop/source_silent/shop")


def test_what_is_forwarded_counts_although_whoever_follows_is_behind() -> None:
    """The end of a silence is told also where it is forwarded first; what is then read late changes nothing back."""
    topic = Topic()
    silent = topic.write(ORDERS, State.SILENT, at(1), 3, followed=False)
    (item,) = topic.told(silent)
    assert item.standing == Standing.BROKEN
    (item,) = topic.told(topic.write(ORDERS, State.HEARD, at(4), followed=False))
    assert item.standing == Standing.FINE
    assert not topic.read_late(silent)
    (item,) = topic.told(topic.write(CONTACTS, State.SILENT, at(5), followed=False))
    assert item.since == at(5)


def test_nobody_hears_of_what_was_never_silent() -> None:
    """Neither of a source that is learned or heard, nor of what workers say, nor of what is forgotten."""
    topic = Topic()
    word = Word("promises/1", ORDERS, Heard(at(1), at(1)))
    assert not topic.told(topic.write(ORDERS, State.LEARNING, at(1)))
    assert not topic.told(topic.write(ORDERS, State.HEARD, at(1)))
    assert not topic.told(Message(word_key(word), pack_word(word)))
    assert not topic.told(Message(key_of(ORDERS), None))


def test_the_silence_of_another_source_is_another_item() -> None:
    """A source is heard again although another is not."""
    topic = Topic()
    topic.write(OTHER, State.SILENT, at(1))
    topic.write(ORDERS, State.SILENT, at(1))
    (item,) = topic.told(topic.write(ORDERS, State.HEARD, at(2)))
    assert item.standing == Standing.FINE


def test_what_says_nothing_is_put_aside() -> None:
    """It is no record of a stream."""
    with pytest.raises(Unusable):
        Topic().told(Message(key_of(ORDERS), b"\xff"))


def _silent(waiting: int, offset: int) -> ItemSeen:
    details = Details(at(0), reason="source_silent", waiting=waiting)
    item = an_item(offset=offset, details=details)._replace(
        service="sources", kind="source_silent", record_id="~shop/source_silent/shop", due_at=NONE, since=at(0)
    )
    return ItemSeen("ops", item, at(offset))


@pytest.mark.parametrize("language", HOW_MANY)
@pytest.mark.parametrize("counts", [(0, 3), (2, 3, 8), (8, 0), (0, 8, 0)])
def test_a_later_message_says_how_many_wait_by_then(counts: Sequence[int], language: str) -> None:
    """Who is told at first, hears of no change of the count; who is told later hears the one of that moment."""
    stairs = (Step(10 * MINUTE, {"boss": "email"}),)
    plan = MAIL._replace(routes={"ops": Receivers({"mail": "email"}, others={"boss": "email"}, steps=stairs)})
    incident: Incident | None = None
    for offset, count in enumerate(counts, start=1):
        incident = see(incident, _silent(count, offset), plan=plan)
        incident = settle(incident, Accepted(), offset, plan)
        assert len(incident.deliveries) == 1
    assert incident
    later = due(unpack(pack(incident)), at(12), plan)
    assert later
    (delivery,) = (each for each in later.deliveries if each.target == "boss")
    said = word(delivery, "ops", Style(language)).text
    assert (f"{HOW_MANY[language]}: {counts[-1]}\n" in said) == bool(counts[-1])
    assert (HOW_MANY[language] in said) == bool(counts[-1])
