"""Dead letters: whole where they fit, in part where not, and never more than their topic takes."""

from hashlib import sha256

import pytest

from services.shared.engine.dead_letters import LARGEST, DeadLetters, Unread, left_out
from services.shared.engine.keeper import Keeper
from services.shared.engine.relay import Relay
from services.shared.engine.stage import JSON_HEADER, MAX_HEADERS, Headers, Origin, Write
from services.shared.engine.store import PartitionStore
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant
from services.shared.topics import DEAD_LETTERS as TOPIC
from tests.unit.engine.fakes import FakeMessage, Tally, a_message
from tests.unit.engine.toy import DEAD_LETTERS, INPUT, MACHINE, RECORDS, Fact

ASIDE = DeadLetters(DEAD_LETTERS, 3)
#: What Kafka adds to a record and its batch, at the very most.
OVERHEAD = 1_000
MIB = 1 << 20


def size_of(write: Write) -> int:
    """Its bytes, with generous lengths for the headers."""
    headers = sum(len(name) + len(value or b"") + 10 for name, value in write.headers)
    return len(write.key or b"") + len(write.value or b"") + headers + OVERHEAD


#: Key, value and headers, and what the letter is without.
SIZES: dict[str, tuple[bytes | None, bytes | None, Headers, str]] = {
    "small": (b"k", b"v", [("a", b"1")], ""),
    "nothing at all": (None, None, (), ""),
    "as large as an input takes": (b"k", b"v" * MIB, [("a", b"1")], ""),
    "as many headers as may be": (b"k", b"v", [("a", b"")] * MAX_HEADERS, ""),
    "one header too many": (b"k", b"v", [("a", b"")] * (MAX_HEADERS + 1), "headers"),
    "200,000 tiny headers": (b"k", b"garbage", [("a", b"")] * 200_000, "headers"),
    "a long header": (b"k", b"v", [("a", b"x" * 20_000)], "headers"),
    "a long header name": (b"k", b"v", [("a" * 20_000, b"")], "headers"),
    "a header of nothing": (b"k", b"v", [("a", None)], ""),  # type: ignore[list-item]  # as Kafka allows
    "a large value": (b"k", b"v" * (LARGEST + 1), (), "value"),
    "a large key": (b"k" * (LARGEST + 1), b"v", (), "value, key"),
    "all of it": (b"k" * (3 * MIB), b"v" * (3 * MIB), [("a", b"")] * 200_000, "headers, value, key"),
}


@pytest.mark.parametrize(("key", "value", "headers", "without"), SIZES.values(), ids=SIZES)
def test_what_does_not_fit_is_put_aside_in_part(
    key: bytes | None, value: bytes | None, headers: Headers, without: str
) -> None:
    """It says what it is without, and of a value left out its size and hash; where it came from always stands there."""
    message = FakeMessage(7, 7, key, value, headers)
    letter = ASIDE.refuse(Origin(INPUT, 5), message, Unusable(DeadLetterReason.INVALID, "x" * 5_000), Tally())
    assert size_of(letter) < int(TOPIC.settings["max.message.bytes"])
    said = dict(letter.headers)
    assert left_out(letter.headers) == without
    assert (said["topic"], said["partition"], said["offset"]) == (INPUT.encode(), b"5", b"7")
    assert letter.key == (None if "key" in without else key)
    assert letter.value == (None if "value" in without else value)
    originals = [(name.removeprefix("original-"), each) for name, each in letter.headers if name.startswith("original")]
    assert originals == ([] if "headers" in without else list(headers))
    if "value" in without:
        assert said["size"] == str(len(value or b"")).encode()
        assert said["sha256"] == sha256(value or b"").hexdigest().encode()


def a_keeper() -> Keeper[object, Fact]:
    """One with an empty partition 0."""
    keeper = Keeper(MACHINE, Tally(), dead_letters=DEAD_LETTERS, dead_letter_partitions=1)
    keeper.stores[0] = PartitionStore(MACHINE)
    return keeper  # type: ignore[return-value]


@pytest.mark.parametrize(
    "headers",
    [[JSON_HEADER, *[("a", b"")] * MAX_HEADERS], [JSON_HEADER, ("trace", b"x" * 20_000)]],
    ids=["many", "long"],
)
def test_a_message_with_headers_without_end_is_refused_at_the_door(headers: Headers) -> None:
    """However good its value is; whoever sends it is told why, and what comes behind it is used."""
    good = a_message(1, ("a", Fact(Instant(1), "fine")))
    first = FakeMessage(0, 0, b"k", good.value, headers)
    result = a_keeper().process(INPUT, 0, [first, good], Instant(1))
    letter, record = result.writes
    said = dict(letter.headers)
    assert (letter.topic, said["reason"], said["left-out"]) == (DEAD_LETTERS, b"too_large", b"headers")
    assert b"headers" in said["detail"]
    assert record.topic == RECORDS


def test_messages_that_nobody_could_read_are_one_letter() -> None:
    """With the offsets that they had and their bytes; the stage knows nothing of it."""
    lost = Unread(3, 7, 1, "it holds more than 16 MiB", b"raw")
    tally = Tally()
    relay = Relay({INPUT: lambda message: [Write("t", 0, None, message.value, [])]}, tally, ASIDE)
    for result in (a_keeper().process(INPUT, 0, [lost], Instant(1)), relay.process(INPUT, 0, [lost], Instant(1))):
        (letter,) = result.writes
        said = dict(letter.headers)
        assert (letter.key, letter.value, said["reason"]) == (None, b"raw", b"undecodable")
        assert (said["offsets"], said["offset"], said["detail"]) == (b"3-7", b"7", b"it holds more than 16 MiB")
    assert tally.refused == {"undecodable": 1}


def test_what_would_not_fit_into_a_message_is_not_forwarded() -> None:
    """Kafka's refusal would end the worker."""
    relay = Relay({"in": lambda message: [Write("t", 0, b"k", message.value, [])]}, Tally(), ASIDE)
    large, small = FakeMessage(0, 0, b"k", b"x" * MIB), FakeMessage(1, 1, b"k", b"x")
    letter, write = relay.process("in", 0, [large, small], Instant(1)).writes
    assert (letter.topic, dict(letter.headers)["reason"]) == (DEAD_LETTERS, b"too_large")
    assert (write.topic, write.value) == ("t", b"x")
