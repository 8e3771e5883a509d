"""Silences through their topic, and what does not belong there."""

from typing import NamedTuple

import pytest
from hypothesis import given, strategies as st

from puntual.notifier.v1 import silence_pb2 as pb
from services.notifier.holds import LONGEST, Silence
from services.notifier.routing import CLOSED, LABELS
from services.notifier.silences_log import SilencesLog, pack_silence, unpack_silence
from services.shared.instant import Instant
from tests.unit.notifier.builders import at
from tests.unit.notifier.test_holds import match

GOOD = Silence("s1", match(site="Madrid Torino", kind="callback"), at(0), at(120), "stocktaking", "ana", at(-1))


class Message(NamedTuple):
    """As a library for Kafka has it."""

    key: bytes | None
    value: bytes | None
    offset: int = 7


def message(silence: Silence = GOOD) -> Message:
    return Message(silence.silence_id.encode(), pack_silence(silence))


texts = st.text(min_size=1, max_size=9)
values = {label: st.sampled_from(sorted(CLOSED[label])) if label in CLOSED else texts for label in LABELS}
anything = st.fixed_dictionaries({"site": texts.map(lambda site: frozenset([site]))}).flatmap(
    lambda site: st.fixed_dictionaries(
        {}, optional={label: st.frozensets(some, min_size=1, max_size=3) for label, some in values.items()}
    ).map(lambda others: {**others, **site})
)


@given(
    st.builds(
        lambda silence_id, match, span, reason: Silence(silence_id, match, span[0], Instant(sum(span)), reason),
        texts,
        anything,
        st.tuples(st.integers(1, 4 * 10**15).map(Instant), st.integers(1, LONGEST)),
        st.text(max_size=9),
    )
)
def test_a_silence_comes_back_as_it_was(silence: Silence) -> None:
    """And its bytes are the same whatever order its conditions were given in."""
    packed = pack_silence(silence)
    assert unpack_silence(silence.silence_id, packed) == silence
    assert pack_silence(silence._replace(match=dict(reversed([*silence.match.items()])))) == packed


def test_the_last_message_of_a_key_counts_and_none_ends_it() -> None:
    """Whoever reads the topic has the same silences; what is repeated changes nothing."""
    known = SilencesLog()
    longer = GOOD._replace(ends_at=at(180))
    gone = Message(b"s1", None)
    changes = [known.take(each) for each in (gone, message(), message(), message(longer), message(longer), gone, gone)]
    assert changes == [False, True, False, True, False, True, False]
    assert not known.silences
    known.take(message(GOOD._replace(silence_id="s2")))
    known.take(message(longer))
    assert known.silences == {"s1": longer, "s2": GOOD._replace(silence_id="s2")}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Message(b"s1", b"\xff"), "it is no puntual.notifier.v1.Silence; use `puntual incidents silence`"),
        (message()._replace(key=b"s2"), "silence_id is 's1', the key 's2'; write the same in both"),
        (message(GOOD._replace(silence_id="")), "silence_id is '', the key ''"),
        (Message(None, pack_silence(GOOD)), "silence_id is 's1', the key ''"),
        (message(GOOD._replace(match={})), "match matches everything"),
        (message(GOOD._replace(match=match(colour="red"))), "'colour' is no label; write one of customer, kind"),
        (message(GOOD._replace(match={**GOOD.match, "team": frozenset()})), "team has no value"),
        (message(GOOD._replace(match=match(standing="fine"))), "'fine' is no standing; write one of at_risk, broken"),
        (message(GOOD._replace(ends_at=Instant(0))), "ends_at is missing"),
        (message(GOOD._replace(ends_at=at(0))), "ends_at 2026-11-26T12:00:00Z is not after it begins"),
        (message(GOOD._replace(starts_at=Instant(0))), "ends_at is more than 30 days after it begins"),
    ],
)
def test_what_cannot_be_used_is_counted_and_said_and_silences_nobody(bad: Message, said: str) -> None:
    """It is the last word under its key all the same; the silences under other keys stay."""
    refused: list[tuple[int, str]] = []
    known = SilencesLog(lambda *what: refused.append(what))
    other = GOOD._replace(silence_id="other")
    known.take(message(other))
    known.take(message(GOOD._replace(silence_id=(bad.key or b"").decode() or "s1")))
    before = dict(known.silences)
    known.take(bad)
    assert known.silences == {name: each for name, each in before.items() if name != (bad.key or b"").decode()}
    assert "other" in known.silences
    ((offset, problem),) = refused
    assert (offset, problem.startswith(said)) == (7, True), problem


def test_a_newer_field_does_not_make_a_silence_unusable() -> None:
    """Whoever wrote it knows more than this reader."""
    newer = pb.Silence.FromString(pack_silence(GOOD)).SerializeToString() + b"\xf2\x06\x01x"
    assert unpack_silence("s1", newer) == GOOD
