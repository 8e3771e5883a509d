"""What a notifier does over gRPC besides its incidents: silences, the audit, and whom something would reach."""

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

import grpc
import pytest

from puntual.notifier.v1.audit_pb2 import AuditedNotification, AuditedRecord, AuditEntry
from puntual.notifier.v1.incident_pb2 import SEVERITY_CRITICAL, STANDING_AT_RISK, STANDING_BROKEN, STANDING_FINE
from puntual.notifier.v1.notifier_service_pb2 import (
    CreateSilenceRequest,
    EndSilenceRequest,
    ListAuditRequest,
    ListSilencesRequest,
    TestRouteRequest as RouteRequest,  # pytest takes what is called Test for a test
)
from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceStub
from puntual.notifier.v1.silence_pb2 import Condition, Silence
from services.notifier.kinds import KINDS
from services.notifier.rpc import notifier_service
from services.shared.clock import from_timestamp, set_timestamp, wall_clock
from services.shared.instant import SECOND
from tests.unit.notifier.builders import NOON, at
from tests.unit.notifier.desks import Entry, Office
from tests.unit.shared.test_rpc import FakePublishing, serving
from tests.views import MemoryView

if TYPE_CHECKING:  # these exist for type checkers only
    from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceAsyncStub

MADRID = Condition(label="site", values=["Madrid"])


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


def a_silence(minutes: float = 60, **said: object) -> Silence:
    """Of Madrid, until so many minutes after noon."""
    silence = Silence(**{"match": [MADRID], "reason": "stocktaking", "by": "ana", **said})  # type: ignore[arg-type]
    set_timestamp(silence.ends_at, at(minutes))
    return silence


async def test_a_silence_is_published_and_known_once_the_call_returns(
    notifier: "NotifierServiceAsyncStub", office: Office
) -> None:
    """What it does not say is filled in; whoever asks next hears of it, and that it is ended."""
    made = (await notifier.CreateSilence(CreateSilenceRequest(silence=a_silence()))).silence
    _, message = office.published
    assert (message.topic, message.key) == ("test.silences.v1", made.silence_id.encode())
    assert Silence.FromString(message.value or b"") == made
    assert (len(made.silence_id), from_timestamp(made.starts_at), from_timestamp(made.created_at)) == (8, NOON, NOON)
    assert list((await notifier.ListSilences(ListSilencesRequest())).silences) == [made]
    await notifier.EndSilence(EndSilenceRequest(silence_id=made.silence_id, by="bob"))
    assert office.published[-1] == ("test.silences.v1", made.silence_id.encode(), None)
    assert not (await notifier.ListSilences(ListSilencesRequest(all=True))).silences


async def test_a_silence_that_names_itself_is_made_once_however_often_it_is_asked_for(
    notifier: "NotifierServiceAsyncStub", office: Office
) -> None:
    """Whoever does not know whether it was made can ask again."""
    for _ in range(2):
        made = (await notifier.CreateSilence(CreateSilenceRequest(silence=a_silence(silence_id="mine")))).silence
        assert made.silence_id == "mine"
    assert list(office.known.silences) == ["mine"]


async def test_silences_are_listed_by_when_they_end(notifier: "NotifierServiceAsyncStub", office: Office) -> None:
    """Those that are over on demand."""
    for name, minutes in (("late", 90.0), ("soon", 5.0)):
        await notifier.CreateSilence(CreateSilenceRequest(silence=a_silence(minutes, silence_id=name)))
    over = Office(at(-60))
    await over.silencing.create(a_silence(-5, silence_id="over"))
    office.known.take(Entry(b"over", over.published[-1].value))

    async def listed(*, everything: bool) -> list[str]:
        answer = await notifier.ListSilences(ListSilencesRequest(all=everything))
        return [each.silence_id for each in answer.silences]

    assert await listed(everything=False) == ["soon", "late"]
    assert await listed(everything=True) == ["over", "soon", "late"]


FAULTS = {
    "silence: match matches everything, so that nobody would be told": a_silence(match=[]),
    "silence: 'colour' is no label; write one of customer, kind": a_silence(
        match=[Condition(label="colour", values=["red"])]
    ),
    "silence: site has no value; write for example site=Madrid": a_silence(match=[Condition(label="site")]),
    "silence: ends_at is missing, so that it would never end": Silence(match=[MADRID], reason="r", by="ana"),
    "silence: ends_at is more than 30 days after it begins": a_silence(31 * 1440),
    "silence: ends_at 2026-11-26T12:00:00Z is not after it begins": a_silence(0),
    "silence: reason is missing": a_silence(reason=""),
    "silence: by is missing": a_silence(by=""),
}


@pytest.mark.parametrize("words", FAULTS)
async def test_a_silence_that_is_none_is_refused_over_grpc(
    notifier: "NotifierServiceAsyncStub", office: Office, words: str
) -> None:
    """In the words of the command line; nothing is published."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await notifier.CreateSilence(CreateSilenceRequest(silence=FAULTS[words]))
    details = refused.value.details() or ""
    assert (refused.value.code(), details[: len(words)]) == (grpc.StatusCode.INVALID_ARGUMENT, words)
    assert details.endswith(". Nothing was published.")
    assert not office.published


async def test_a_silence_that_is_over_before_it_is_made_is_refused(
    notifier: "NotifierServiceAsyncStub", office: Office
) -> None:
    """It would do nothing."""
    silence = a_silence(0)
    set_timestamp(silence.starts_at, at(-60))
    with pytest.raises(grpc.aio.AioRpcError, match="ends_at is over, 2026-11-26T12:00:00Z; begin or end it later"):
        await notifier.CreateSilence(CreateSilenceRequest(silence=silence))
    assert not office.published


async def test_a_silence_that_nobody_made_cannot_be_ended(notifier: "NotifierServiceAsyncStub", office: Office) -> None:
    """It says which calls name those that can."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await notifier.EndSilence(EndSilenceRequest(silence_id="gone", by="ana"))
    words = "There is no silence 'gone'; ListSilences names them."
    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.NOT_FOUND, words)
    assert not office.published


def an_entry(entry_id: str, minutes: float, incident_id: str = "ops", *, target: str = "mail") -> AuditEntry:
    """Something told so many minutes after noon, of the incident's record."""
    record = AuditedRecord(record_id=f"C-7/order_ready/{incident_id}")
    told = AuditedNotification(target=target, records=[record])
    entry = AuditEntry(entry_id=entry_id, incident_id=incident_id, notification=told)
    set_timestamp(entry.at, at(minutes))
    return entry


SEARCHES: list[tuple[dict[str, object], list[str]]] = [
    ({}, ["1", "2", "3"]),
    ({"incident_id": "desk"}, ["2"]),
    ({"target": "pager"}, ["3"]),
    ({"record_id": "C-7/order_ready/desk"}, ["2"]),
    ({"target": "pager", "incident_id": "desk"}, []),
]


@pytest.mark.parametrize(("asked", "found"), SEARCHES)
async def test_the_audit_is_searched(
    notifier: "NotifierServiceAsyncStub", office: Office, asked: dict[str, object], found: list[str]
) -> None:
    """Each entry once, though it stands there twice."""
    one, two, three = (
        an_entry("1", 0), an_entry("2", 1, "desk"), an_entry("3", 2, target="pager")
    )  # fmt: skip
    office.audited = [one, two, two, three, one]
    request = ListAuditRequest(**asked)  # type: ignore[arg-type]
    assert [answer.entry.entry_id async for answer in notifier.ListAudit(request)] == found
    assert office.asked == [(request.incident_id.encode() or None, 0, 0)]


async def test_the_audit_is_searched_from_an_instant_to_another(
    notifier: "NotifierServiceAsyncStub", office: Office
) -> None:
    """The first included, the last not."""
    office.audited = [an_entry(str(minute), minute) for minute in range(5)]
    request = ListAuditRequest()
    set_timestamp(request.since, at(1))
    set_timestamp(request.until, at(3))
    assert [answer.entry.entry_id async for answer in notifier.ListAudit(request)] == ["1", "2"]
    assert office.asked == [(None, at(1), at(3))]


async def test_it_says_whom_something_would_reach(notifier: "NotifierServiceAsyncStub", office: Office) -> None:
    """Now, unless told otherwise; with the silences that this worker knows of."""
    request = RouteRequest(service="promises", kind="order_ready", standing=STANDING_BROKEN, site="Madrid")
    found = (await notifier.TestRoute(request)).reach
    (route,) = found.routes
    assert (found.severity, found.severity_rule, route.incident_id) == (
        SEVERITY_CRITICAL,
        3,
        "everything/kind=order_ready,site=Madrid",
    )
    assert [(told.target, told.channel) for told in route.told] == [("console", "console")]
    assert abs(from_timestamp(found.at) - wall_clock()) < 60 * SECOND
    assert office.asked == []
    set_timestamp(request.at, at(7))
    assert from_timestamp((await notifier.TestRoute(request)).reach.at) == at(7)


@pytest.mark.parametrize(
    ("service", "kind", "standing", "words"),
    [
        ("shop", "order_ready", STANDING_BROKEN, "service: 'shop' is no service; write one of promises, sla, sources."),
        (
            "promises",
            "first_reply",
            STANDING_AT_RISK,
            f"kind: promises has no kind 'first_reply'; write one of {', '.join(KINDS['promises'])}.",
        ),
        ("sla", "first_reply", STANDING_FINE, "standing: it is no trouble; write at risk or broken."),
    ],
)
async def test_a_question_that_makes_no_sense_is_answered_with_what_does(
    notifier: "NotifierServiceAsyncStub", service: str, kind: str, standing: int, words: str
) -> None:
    """Which part of it, and what is right."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await notifier.TestRoute(RouteRequest(service=service, kind=kind, standing=standing))  # type: ignore[arg-type]
    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, words)
