"""The relay: every message becomes what it is forwarded as, in order."""

from collections.abc import Iterable

import pytest

from services.shared.engine.dead_letters import DeadLetters
from services.shared.engine.relay import Relay
from services.shared.engine.stage import Message, Write
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant
from tests.unit.engine.fakes import Tally, a_write, raw
from tests.unit.engine.toy import DEAD_LETTERS

ASIDE = DeadLetters(DEAD_LETTERS, 3)


def by_offset(message: Message) -> Iterable[Write]:
    """As many writes as the offset says."""
    return [a_write(message.offset * 10 + number) for number in range(message.offset)]


def test_writes_come_in_the_order_of_messages() -> None:
    """What a message becomes stands before what later ones become; no time is told, and no deadline looked at."""
    tally = Tally()
    relay = Relay({"in": by_offset}, tally, ASIDE)
    result = relay.process("in", 0, [raw(offset, b"") for offset in range(4)], Instant(0))
    assert [write.key for write in result.writes] == [b"10", b"20", b"21", b"30", b"31", b"32"]
    assert (result.event_time, result.looked) == (None, 0)
    assert tally.outcomes == {"used": 3, "ignored": 1}
    assert list(relay.inputs) == ["in"]


def test_what_cannot_be_forwarded_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is a dead letter with its reason, whole or not at all; what comes behind it goes on."""

    def in_trouble(message: Message) -> Iterable[Write]:
        yield a_write(message.offset)
        if message.offset == 1:
            raise Unusable(DeadLetterReason.UNDECODABLE, "nobody understands it")
        if message.offset == 2:
            raise ArithmeticError("of customer 7")

    tally = Tally()
    relay = Relay({"in": in_trouble}, tally, ASIDE)
    writes = relay.process("in", 0, [raw(offset, b"%d" % offset) for offset in range(4)], Instant(0)).writes
    assert [(write.topic, write.value) for write in writes] == [
        ("t", b""),
        (DEAD_LETTERS, b"1"),
        (DEAD_LETTERS, b"2"),
        ("t", b""),
    ]
    letters = [dict(write.headers) for write in writes[1:3]]
    assert [(letter["reason"], letter["offset"]) for letter in letters] == [(b"undecodable", b"1"), (b"invalid", b"2")]
    assert b"customer" not in letters[1]["detail"]
    assert tally.outcomes == {"used": 2, "dead": 2}
    assert tally.refused == {"undecodable": 1, "invalid": 1}
    assert "in/0@2 could not be used" in caplog.text
