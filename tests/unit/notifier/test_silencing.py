"""Making and ending silences over gRPC: who did what stands in the audit, and nobody's silence is taken over."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from hypothesis import given, settings, strategies as st

from puntual.notifier.v1.audit_pb2 import AuditedSilence, AuditEntry
from puntual.notifier.v1.notifier_service_pb2 import (
    CreateSilenceRequest,
    EndSilenceRequest,
    ListAuditRequest,
    ListSilencesRequest,
)
from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceStub
from puntual.notifier.v1.silence_pb2 import Condition, Silence
from services.notifier import rpc
from services.notifier.rpc import notifier_service
from services.notifier.silences_log import SilencesLog
from services.notifier.silencing import NoSilence
from services.shared.clock import from_timestamp, set_timestamp
from services.shared.errors import PuntualError
from tests.unit.notifier.builders import NOON, at
from tests.unit.notifier.desks import Entry, Office
from tests.unit.notifier.test_desk import a_silence, an_entry
from tests.unit.shared.test_rpc import FakePublishing, serving
from tests.views import MemoryView

if TYPE_CHECKING:  # it exists for type checkers only
    from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceAsyncStub


@pytest.fixture
def office() -> Office:
    """It is noon."""
    return Office(NOON)


@pytest.fixture
async def notifier(office: Office) -> AsyncIterator["NotifierServiceAsyncStub"]:
    """A client of it."""
    make = partial(notifier_service, publish=FakePublishing().send, responses="r", desk=office.desk)
    async with serving(make, MemoryView()) as channel:
        yield NotifierServiceStub(channel)


async def make(notifier: "NotifierServiceAsyncStub", **said: Any) -> Silence:
    minutes = said.pop("minutes", 60)
    return (await notifier.CreateSilence(CreateSilenceRequest(silence=a_silence(minutes, **said)))).silence


async def refused(notifier: "NotifierServiceAsyncStub", **said: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await make(notifier, **said)
    return error.value.code(), error.value.details() or ""


def entries(office: Office) -> list[AuditEntry]:
    return [AuditEntry.FromString(each.value or b"") for each in office.published if each.topic == "test.audit.v1"]


async def test_who_made_and_who_ended_it_is_on_record_before_it_is_so(
    notifier: "NotifierServiceAsyncStub", office: Office
) -> None:
    """Under its id, with all that it said; who ended it need not be who made it."""
    made = await make(notifier, silence_id="s1")
    await notifier.EndSilence(EndSilenceRequest(silence_id="s1", by="bob"))
    assert [(each.topic, each.key) for each in office.published] == [
        (f"test.{topic}.v1", b"s1") for topic in ("audit", "silences", "audit", "silences")
    ]
    created, ended = entries(office)
    assert created.silence == AuditedSilence(action="created", silence=made, by="ana", via="grpc")
    assert ended.silence == AuditedSilence(action="ended", silence=made, by="bob", via="grpc")
    assert {from_timestamp(each.at) for each in (created, ended)} == {NOON}
    assert len({created.entry_id, ended.entry_id}) == 2


async def test_a_silence_of_somebody_else_is_not_replaced(notifier: "NotifierServiceAsyncStub", office: Office) -> None:
    """ALREADY_EXISTS, whatever differs; asked for again as it was, it is answered and nothing is written twice."""
    made = await make(notifier, silence_id="s1")
    written = len(office.published)
    others: tuple[dict[str, Any], ...] = (
        {"by": "mallory"},
        {"reason": "other"},
        {"minutes": 90},
        {"match": [Condition(label="site", values=["Torino"])]},
    )
    for other in others:
        code, words = await refused(notifier, silence_id="s1", **other)
        assert (code, words.startswith("There is another silence 's1', made by 'ana'")) == (
            grpc.StatusCode.ALREADY_EXISTS,
            True,
        )
    assert await make(notifier, silence_id="s1") == made
    assert len(office.published) == written
    assert list((await notifier.ListSilences(ListSilencesRequest())).silences) == [made]


async def test_when_it_was_made_is_not_the_callers_to_say(notifier: "NotifierServiceAsyncStub") -> None:
    """It is evidence."""
    wanted = a_silence()
    set_timestamp(wanted.created_at, at(-900))
    made = (await notifier.CreateSilence(CreateSilenceRequest(silence=wanted))).silence
    assert from_timestamp(made.created_at) == NOON


@pytest.mark.parametrize(("by", "words"), [("", "by is missing"), ("x" * 121, "by has 121 characters; write at most")])
async def test_who_ends_a_silence_says_who_that_is(
    notifier: "NotifierServiceAsyncStub", office: Office, by: str, words: str
) -> None:
    """Or it goes on."""
    await make(notifier, silence_id="s1")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await notifier.EndSilence(EndSilenceRequest(silence_id="s1", by=by))
    assert (error.value.code(), words in (error.value.details() or "")) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    assert list(office.known.silences) == ["s1"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"silence_id": "x" * 121}, "silence_id has 121 characters; write at most 120"),
        ({"by": "x" * 30_000}, "by has 30,000 characters; write at most 120"),
        ({"reason": "x" * 501}, "reason has 501 characters; write at most 500"),
        ({"match": [Condition(label="site", values=map(str, range(101)))]}, "match has 101 values; give at most 100"),
        ({"match": [Condition(label="site", values=["x" * 256])]}, "match has a value of more than 255 characters"),
        ({"match": [Condition(label="x" * 30_000, values=["a"])]}, "is no label"),
        ({"everything": True}, "match says less than everything"),
        ({"everything": True, "match": [], "minutes": 61}, "ends_at is more than an hour after it begins"),
        ({"everything": True, "match": [], "reason": ""}, "reason is missing"),
    ],
)
async def test_what_is_too_much_is_refused(
    notifier: "NotifierServiceAsyncStub", office: Office, said: dict[str, Any], words: str
) -> None:
    """In words that say how much it may be."""
    code, details = await refused(notifier, **said)
    assert (code, words in details) == (grpc.StatusCode.INVALID_ARGUMENT, True), details
    assert not office.published


async def test_two_silences_that_leave_nothing_are_refused_and_everything_has_to_be_said(
    notifier: "NotifierServiceAsyncStub", office: Office
) -> None:
    """For an hour at most, once at a time."""
    promises, sla = ([Condition(label="service", values=[name])] for name in ("promises", "sla"))
    await make(notifier, match=promises, silence_id="p")
    code, details = await refused(notifier, match=sla)
    assert (code, "together with silences and maintenance that last at the same time, everything" in details) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        True,
    )
    await make(notifier, match=[], everything=True, silence_id="all")
    assert office.known.silences["all"].everything
    assert "another silence of everything" in (await refused(notifier, match=[], everything=True))[1]


async def test_of_two_workers_that_are_asked_at_once_the_later_one_takes_its_own_back(office: Office) -> None:
    """Neither knew of the other; together they would have left nothing."""
    other = Office(NOON)

    async def both(messages: Any) -> None:
        office.published += messages
        for message in messages:
            if message.topic == "test.silences.v1":
                office.known.take(Entry(message.key, message.value, len(office.published)))
        await office.silencing.heard()

    other_silence = await other.silencing.create(
        a_silence(match=[Condition(label="service", values=["sla"])], silence_id="first")
    )
    assert other_silence.silence_id == "first"
    first = other.published[-1]

    async def late(messages: Any) -> None:
        if messages[0].topic == "test.silences.v1" and "first" not in office.known.written:
            office.known.take(Entry(first.key, first.value, 0))
        await both(messages)

    office.silencing._publish = late  # noqa: SLF001 - what comes between asking and being heard
    with pytest.raises(NoSilence, match="everything"):
        await office.silencing.create(
            a_silence(match=[Condition(label="service", values=["promises"])], silence_id="second")
        )
    assert list(office.known.written) == ["first"]
    assert [entry.silence.action for entry in entries(office)] == ["created", "ended"]


texts = st.text(max_size=130)


@settings(max_examples=200)
@given(
    st.builds(
        lambda labels, by, reason, name, minutes, everything: a_silence(
            minutes,
            match=[Condition(label=label, values=values) for label, values in labels],
            by=by,
            reason=reason,
            silence_id=name,
            everything=everything,
        ),
        st.lists(
            st.tuples(
                st.sampled_from(["site", "team", "service", "severity", "kind", "x"]), st.lists(texts, max_size=3)
            ),
            max_size=3,
        ),
        texts,
        texts,
        texts,
        st.integers(-10, 50_000),
        st.booleans(),
    )
)
def test_what_is_published_is_what_every_reader_takes(wanted: Silence) -> None:
    """Whatever is asked for: it is refused to whoever asks, or no reader refuses it."""
    office, problems = Office(NOON), list[str]()

    async def asked() -> None:
        with suppress(PuntualError):
            await office.silencing.create(wanted)

    asyncio.run(asked())
    reader = SilencesLog(lambda _, problem: problems.append(problem))
    for message in office.published:
        if message.topic == "test.silences.v1":
            reader.take(Entry(message.key, message.value))
            assert list(reader.silences) == [(message.key or b"").decode()]
    assert not problems


async def test_the_audit_is_answered_to_a_limit(notifier: "NotifierServiceAsyncStub", office: Office) -> None:
    """And says where there is more."""
    office.audited = [an_entry(str(number), number) for number in range(5)]

    async def found(limit: int) -> list[str]:
        call = notifier.ListAudit(ListAuditRequest(limit=limit))
        return [answer.entry.entry_id or f"more: {answer.more}" async for answer in call]

    assert await found(2) == ["0", "1", "more: True"]
    assert await found(5) == await found(0) == ["0", "1", "2", "3", "4"]
    for limit in (-1, 10_001):
        with pytest.raises(grpc.aio.AioRpcError, match=r"it is 0 \(for 10,000\) to 10,000") as error:
            await found(limit)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_entries_that_cannot_be_read_hide_no_other(notifier: "NotifierServiceAsyncStub", office: Office) -> None:
    """What is no entry, or was at no time that there is."""
    absurd = an_entry("2", 0)
    absurd.at.seconds = 2**62
    office.audited = [an_entry("1", 0), absurd, an_entry("3", 0)]
    assert [answer.entry.entry_id async for answer in notifier.ListAudit(ListAuditRequest())] == ["1", "3"]


async def test_a_search_that_takes_too_long_gives_its_place_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow the reader or Kafka is: more are asked for than there is room for."""

    async def never(*_: object) -> AsyncGenerator[Entry]:
        await asyncio.sleep(60)
        yield Entry(None, None)

    monkeypatch.setattr(rpc, "_LONGEST_SEARCH", 0.1)
    desk = office.desk._replace(read_audit=never)
    serve = partial(notifier_service, publish=FakePublishing().send, responses="r", desk=desk)
    async with serving(serve, MemoryView()) as channel:
        stub: NotifierServiceAsyncStub = NotifierServiceStub(channel)
        for _ in range(6):
            with pytest.raises(grpc.aio.AioRpcError, match="ask for less") as error:
                _ = [each async for each in stub.ListAudit(ListAuditRequest())]
            assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
