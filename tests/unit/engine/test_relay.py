"""The relay: every message becomes what it is forwarded as, in order."""

from collections.abc import Iterable

from services.shared.engine.relay import Relay
from services.shared.engine.stage import Message, Write
from services.shared.instant import Instant
from tests.unit.engine.fakes import Tally, a_write, raw


def by_offset(message: Message) -> Iterable[Write]:
    """As many writes as the offset says."""
    return [a_write(message.offset * 10 + number) for number in range(message.offset)]


def test_writes_come_in_the_order_of_messages() -> None:
    """What a message becomes stands before what later ones become; nothing is announced by the relay itself."""
    tally = Tally()
    relay = Relay({"in": by_offset}, tally)
    result = relay.process(0, [raw(offset, b"", topic="in") for offset in range(4)], Instant(0))
    assert [write.key for write in result.writes] == [b"10", b"20", b"21", b"30", b"31", b"32"]
    assert (result.notices, result.event_time) == ((), None)
    assert tally.outcomes == {"used": 3, "ignored": 1}
    assert list(relay.inputs) == ["in"]
