"""What callers get who send what is no request, too much, or too many at once: clean codes, and no traceback."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from puntual.notifier.v1.notifier_service_pb2 import (
    CreateSilenceRequest,
    ListAuditRequest,
    RespondRequest,
    TestRouteRequest as RouteRequest,
)
from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceStub
from puntual.notifier.v1.response_pb2 import RESPONSE_ACTION_ACKNOWLEDGE, Response
from puntual.promises.v1.promise_service_pb2 import GetPromiseRequest, WatchPromisesRequest
from puntual.promises.v1.promise_service_pb2_grpc import PromiseServiceStub
from services.notifier.rpc import notifier_service
from services.promises.rpc import promise_service
from services.shared import rpc
from services.shared.metrics import Registry
from tests.unit.notifier.desks import Office
from tests.unit.shared.test_rpc import FakePublishing, serving, until
from tests.views import MemoryView

NOTIFIER = "/puntual.notifier.v1.NotifierService/"
ABSURD = (-(2**63), 2**63 - 1, 253_402_300_800, -62_135_596_801)


@pytest.fixture
def publishing() -> FakePublishing:
    return FakePublishing()


@pytest.fixture
async def channel(publishing: FakePublishing) -> AsyncIterator[Any]:
    """To a notifier."""
    make = partial(notifier_service, publish=publishing.send, responses="r", desk=Office().desk)
    async with serving(make, MemoryView()) as channel:
        yield channel


#: What is no request: cut short, no UTF-8 in a text, a group that never ends.
GARBAGE = {"cut short": b"\x0a\x7fabc", "no UTF-8": b"\x0a\x02\xff\xfe", "no end": b"\x0b" * 200}


@pytest.mark.parametrize("bad", GARBAGE)
@pytest.mark.parametrize("method", ["GetIncident", "Respond", "CreateSilence", "EndSilence"])
async def test_what_is_no_request_is_the_callers_error(
    channel: Any, caplog: pytest.LogCaptureFixture, method: str, bad: str
) -> None:
    """INVALID_ARGUMENT, in words that name no class; nothing is logged."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await channel.unary_unary(NOTIFIER + method)(GARBAGE[bad])
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT, refused.value.details()
    assert "cannot be read" in (refused.value.details() or "")
    assert "class" not in (refused.value.details() or "")
    assert not caplog.records


async def test_a_stream_is_no_other(channel: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Neither ours nor those of the library: watching, health, reflection."""
    calls = (
        channel.unary_stream(f"{NOTIFIER}WatchIncidents")(b"\x0a\x7f"),
        channel.unary_stream("/grpc.health.v1.Health/Watch")(GARBAGE["no UTF-8"]),
        channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(
            iter([GARBAGE["no UTF-8"]])
        ),
    )
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for _ in call:
                pass
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT, refused.value.details()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await channel.unary_unary("/grpc.health.v1.Health/Check")(GARBAGE["no UTF-8"])
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert not caplog.records


@pytest.mark.parametrize("name", ["/", "//", "/x", "/a/b/c", f"{NOTIFIER}Other"])
async def test_a_method_that_there_is_not_is_said_to_be_none(
    channel: Any, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """However it is spelt."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await channel.unary_unary(name)(b"")
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert not caplog.records


@pytest.mark.parametrize("seconds", ABSURD)
@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("Respond", "response.until"),
        ("Respond", "response.responded_at"),
        ("CreateSilence", "silence.ends_at"),
        ("TestRoute", "at"),
        ("ListAudit", "since"),
    ],
)
async def test_a_time_that_there_is_not_is_named(
    channel: Any,
    publishing: FakePublishing,
    caplog: pytest.LogCaptureFixture,
    method: str,
    field: str,
    seconds: int,
) -> None:
    """By its field; nothing is published, and nothing logged."""
    makers = {
        "Respond": RespondRequest(response=Response(incident_id="i", action=RESPONSE_ACTION_ACKNOWLEDGE, by="ana")),
        "CreateSilence": CreateSilenceRequest(),
        "TestRoute": RouteRequest(),
        "ListAudit": ListAuditRequest(),
    }
    request = makers[method]
    holder = request
    *path, last = field.split(".")
    for name in path:
        holder = getattr(holder, name)
    getattr(holder, last).seconds = seconds
    call = getattr(NotifierServiceStub(channel), method)(request)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await (anext(aiter(call)) if method == "ListAudit" else call)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT, refused.value.details()
    assert (refused.value.details() or "").startswith(f"{field} is no time; it is one of the years 0001 to 9999")
    assert not publishing.sent
    assert not caplog.records


@pytest.mark.parametrize("char", ["x", "é", "\U0001f600", "\x00"])
async def test_an_id_of_any_length_breaks_no_call(char: str) -> None:
    """What is said of it is cut in its middle; its end, the remedy, stays."""
    async with serving(promise_service, MemoryView()) as channel:
        stub = PromiseServiceStub(channel)
        for record_id in (f"{char * 15_000}", f"a/callback/{char * 15_000}"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.GetPromise(GetPromiseRequest(promise_id=record_id))
            assert refused.value.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
            details = refused.value.details() or ""
            assert len(details) <= 600
            assert "…" in details
            assert details.endswith(("customer/kind/subject", "."))


async def test_streams_are_bounded_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes too late is told so; who has a place keeps it, health is answered, and a place left is taken."""
    monkeypatch.setattr(rpc, "_MOST_STREAMS", 3)
    view = MemoryView()
    async with serving(promise_service, view) as channel:
        stub = PromiseServiceStub(channel)
        held = [stub.WatchPromises(WatchPromisesRequest()) for _ in range(3)]
        reading = [asyncio.ensure_future(anext(aiter(call))) for call in held]
        await until(lambda: len(view.watchers) == 3)
        with pytest.raises(grpc.aio.AioRpcError, match="3 streams already") as refused:
            await anext(aiter(stub.WatchPromises(WatchPromisesRequest())))
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        health: Any = HealthStub(channel)
        healthy = await health.Check(HealthCheckRequest())
        assert healthy.status == HealthCheckResponse.SERVING
        held[0].cancel()
        await until(lambda: len(view.watchers) == 2)
        another = stub.WatchPromises(WatchPromisesRequest())
        reading.append(asyncio.ensure_future(anext(aiter(another))))
        await until(lambda: len(view.watchers) == 3)
        for each in (*held, another):
            each.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def test_calls_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than there is room for are refused at once, not kept waiting."""
    monkeypatch.setattr(rpc, "_MOST_CALLS", 2)
    view = MemoryView()
    async with serving(promise_service, view) as channel:
        stub = PromiseServiceStub(channel)
        held = [stub.WatchPromises(WatchPromisesRequest()) for _ in range(2)]
        reading = [asyncio.ensure_future(anext(aiter(call))) for call in held]
        await until(lambda: len(view.watchers) == 2)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetPromise(GetPromiseRequest(promise_id="a/callback/b"))
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        for each in held:
            each.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def test_what_is_refused_is_counted_as_what_it_is() -> None:
    """A malformed request is the caller's error in the metrics, too."""
    registry = Registry()
    async with serving(promise_service, MemoryView(), registry) as channel:
        raw: Any = channel
        with pytest.raises(grpc.aio.AioRpcError):
            await raw.unary_unary("/puntual.promises.v1.PromiseService/GetPromise")(GARBAGE["cut short"])
        labels = {
            "grpc_service": "puntual.promises.v1.PromiseService",
            "grpc_method": "GetPromise",
            "grpc_code": "InvalidArgument",
        }
        await until(lambda: registry.collector.get_sample_value("grpc_server_handled_total", labels) == 1)
