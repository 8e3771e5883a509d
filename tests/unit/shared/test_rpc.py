import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from puntual.notifier.v1.incident_pb2 import (
    INCIDENT_STATE_ACKNOWLEDGED,
    INCIDENT_STATE_OPEN,
    INCIDENT_STATE_RESOLVED,
    Incident,
    IncidentState,
)
from puntual.notifier.v1.notifier_service_pb2 import (
    GetIncidentRequest,
    ListIncidentsRequest,
    RespondRequest,
    WatchIncidentsRequest,
)
from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceStub
from puntual.notifier.v1.response_pb2 import (
    RESPONSE_ACTION_ACKNOWLEDGE,
    RESPONSE_ACTION_COMMENT,
    RESPONSE_ACTION_SNOOZE,
    Response,
    ResponseAction,
)
from puntual.promises.v1.promise_pb2 import (
    PROMISE_TRANSITION_BROKEN,
    PROMISE_TRANSITION_KEPT_LATE,
    PROMISE_TRANSITION_UNSPECIFIED,
    Fact,
    Promise,
    PromiseTransition,
)
from puntual.promises.v1.promise_service_pb2 import (
    GetPromiseRequest,
    ListPromisesRequest,
    WatchPromisesRequest,
    WatchPromisesResponse,
)
from puntual.promises.v1.promise_service_pb2_grpc import PromiseServiceStub
from puntual.sla.v1.clock_pb2 import CLOCK_TRANSITION_AT_RISK, Clock
from puntual.sla.v1.sla_service_pb2 import GetClockRequest, ListClocksRequest, WatchClocksRequest
from puntual.sla.v1.sla_service_pb2_grpc import SlaServiceStub
from services.notifier.rpc import notifier_service
from services.promises.rpc import promise_service
from services.shared.clock import wall_clock
from services.shared.engine.view import RecordView
from services.shared.errors import PublishFailed, PuntualError
from services.shared.ingress import Outgoing
from services.shared.keys import record_key
from services.shared.metrics import Registry
from services.shared.records import Page, Records, routing_of
from services.shared.rpc import OWNER, RpcServer, Service
from services.sla.rpc import sla_service
from services.sla.standards import InForce
from tests.unit.notifier.desks import Office
from tests.unit.sla.builders import STANDARDS
from tests.views import MemoryView

if TYPE_CHECKING:  # these exist for type checkers only
    from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceAsyncStub
    from puntual.promises.v1.promise_service_pb2_grpc import PromiseServiceAsyncStub

EXPECTED_OWNER = "10.0.0.7:9111"


@asynccontextmanager
async def serving(
    make: Callable[[RecordView], Service],
    view: RecordView,
    registry: Registry | None = None,
    ready: Callable[[], str | None] = lambda: None,
) -> AsyncIterator[grpc.aio.Channel]:
    server = RpcServer(registry or Registry(), make(view), ready)
    port = await server.start("127.0.0.1", 0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


@pytest.fixture
def view() -> MemoryView:
    return MemoryView()


@pytest.fixture
async def promises(view: MemoryView) -> AsyncIterator["PromiseServiceAsyncStub"]:
    async with serving(promise_service, view) as channel:
        yield PromiseServiceStub(channel)


class FakePublishing:
    """Takes everything, until it is out of order."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.trouble: PublishFailed | None = None

    async def send(self, messages: Sequence[Outgoing]) -> None:
        if self.trouble:
            raise self.trouble
        self.sent += messages


@pytest.fixture
def publishing() -> FakePublishing:
    return FakePublishing()


@pytest.fixture
async def incidents(view: MemoryView, publishing: FakePublishing) -> AsyncIterator["NotifierServiceAsyncStub"]:
    make = partial(notifier_service, publish=publishing.send, responses="test.responses.v1", desk=Office().desk)
    async with serving(make, view) as channel:
        yield NotifierServiceStub(channel)


def a_promise(customer: str, subject: str, *, size: int = 0) -> Promise:
    key = record_key(customer, "callback", subject).decode()
    facts = [Fact(event_id="e", reason="x" * size)] if size else []
    return Promise(promise_id=key, customer_id=customer, subject_id=subject, facts=facts)


def keep(view: MemoryView, *promises: Promise) -> None:
    for promise in promises:
        routing = promise.customer_id or promise.subject_id
        view.put(routing, promise.promise_id, promise.SerializeToString(deterministic=True))


async def watched(
    stub: "PromiseServiceAsyncStub",
    view: MemoryView,
    request: WatchPromisesRequest,
    count: int,
    announce: Callable[[], None],
) -> list[WatchPromisesResponse]:
    call = stub.WatchPromises(request)
    reading = asyncio.create_task(_first(aiter(call), count))
    await until(lambda: view.watchers)
    announce()
    return await reading


async def _first(messages: AsyncIterator[WatchPromisesResponse], count: int) -> list[WatchPromisesResponse]:
    return [await anext(messages) for _ in range(count)]


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what it waits for happens inside the server
            await asyncio.sleep(0.01)


async def test_a_promise_is_returned_as_it_was_written(view: MemoryView, promises: "PromiseServiceAsyncStub") -> None:
    """The record is the message: nothing is added, lost or reordered on the way."""
    promise = a_promise("ana", "call 1", size=10)
    keep(view, promise)
    answer = await promises.GetPromise(GetPromiseRequest(promise_id=promise.promise_id))
    assert answer.promise == promise


@pytest.mark.parametrize("promise_id", ["", "ana", "ana/callback", "ana//1", "a/b/c/d"])
async def test_a_malformed_id_is_the_callers_error(promises: "PromiseServiceAsyncStub", promise_id: str) -> None:
    """INVALID_ARGUMENT says what an id looks like."""
    with pytest.raises(grpc.aio.AioRpcError, match="expected customer/kind/subject") as refused:
        await promises.GetPromise(GetPromiseRequest(promise_id=promise_id))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_absence_is_said_only_by_the_owner(view: MemoryView, promises: "PromiseServiceAsyncStub") -> None:
    """NOT_FOUND from the worker that would know."""
    with pytest.raises(grpc.aio.AioRpcError, match="ana/callback/1") as refused:
        await promises.GetPromise(GetPromiseRequest(promise_id="ana/callback/1"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    view.owners[view.partition_of("ana")] = EXPECTED_OWNER
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await promises.GetPromise(GetPromiseRequest(promise_id="ana/callback/1"))
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_another_workers_promise_names_the_owner(view: MemoryView, promises: "PromiseServiceAsyncStub") -> None:
    """In words for people, in trailing metadata for programs, for a list and a watch as for one promise."""
    view.owners[view.partition_of("ana")] = EXPECTED_OWNER
    calls = (
        promises.GetPromise(GetPromiseRequest(promise_id="ana/callback/1")),
        promises.ListPromises(ListPromisesRequest(customer_id="ana")),
        anext(aiter(promises.WatchPromises(WatchPromisesRequest(customer_id="ana")))),
    )
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError, match=f"ask {EXPECTED_OWNER}") as refused:
            await call
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert (OWNER, EXPECTED_OWNER) in tuple(refused.value.trailing_metadata())


async def test_an_owner_not_known_yet_is_said_so(view: MemoryView, promises: "PromiseServiceAsyncStub") -> None:
    """During a rebalance the caller learns to try again, and is sent nowhere."""
    view.owners[view.partition_of("ana")] = None
    with pytest.raises(grpc.aio.AioRpcError, match="try again shortly") as refused:
        await promises.GetPromise(GetPromiseRequest(promise_id="ana/callback/1"))
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert OWNER not in dict(refused.value.trailing_metadata())


async def test_a_customers_promises_are_listed_in_order_page_by_page(
    view: MemoryView, promises: "PromiseServiceAsyncStub"
) -> None:
    """Every promise of the customer once, sorted by id, and none of a namesake's."""
    mine = [a_promise("ana", f"call {number}") for number in range(25)]
    keep(view, *reversed(mine), a_promise("ana2", "x"), a_promise("an", "y"), a_promise("ana/callback", "z"))
    found, token, pages = list[str](), "", 0
    while pages == 0 or token:
        request = ListPromisesRequest(customer_id="ana", page_size=10, page_token=token)
        answer = await promises.ListPromises(request)
        found += [promise.promise_id for promise in answer.promises]
        token, pages = answer.next_page_token, pages + 1
    assert found == sorted(promise.promise_id for promise in mine)
    assert pages == 3


async def test_a_full_last_page_has_no_next(view: MemoryView, promises: "PromiseServiceAsyncStub") -> None:
    """A caller that fits exactly is not sent for an empty page."""
    keep(view, a_promise("ana", "1"), a_promise("ana", "2"))
    answer = await promises.ListPromises(ListPromisesRequest(customer_id="ana", page_size=2))
    assert (len(answer.promises), answer.next_page_token) == (2, "")


async def test_promises_to_nobody_known_are_listed_by_their_subject(
    view: MemoryView, promises: "PromiseServiceAsyncStub"
) -> None:
    """Where the events name no customer the subject's id finds the promise."""
    keep(view, a_promise("", "ticket 7"))
    answer = await promises.ListPromises(ListPromisesRequest(customer_id="ticket 7"))
    assert [promise.subject_id for promise in answer.promises] == ["ticket 7"]


async def test_a_page_stays_small_enough_for_any_client(view: MemoryView, promises: "PromiseServiceAsyncStub") -> None:
    """Long timelines shorten the page instead of breaking the call at 4 MiB."""
    keep(view, *(a_promise("ana", f"{number}", size=700_000) for number in range(8)))
    first = await promises.ListPromises(ListPromisesRequest(customer_id="ana", page_size=1000))
    assert 1 <= len(first.promises) < 8
    assert first.next_page_token


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (ListPromisesRequest(), "customer_id is missing"),
        (ListPromisesRequest(customer_id="ana", page_size=-1), "page_size is -1"),
        (ListPromisesRequest(customer_id="ana", page_token="garbage"), "page_token is not one"),
        (ListPromisesRequest(customer_id="ana", page_token="ÄÖÜ"), "page_token"),
    ],
)
async def test_a_bad_list_request_is_the_callers_error(
    promises: "PromiseServiceAsyncStub", request_: ListPromisesRequest, says: str
) -> None:
    """INVALID_ARGUMENT names the field that is wrong."""
    with pytest.raises(grpc.aio.AioRpcError, match=says) as refused:
        await promises.ListPromises(request_)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_the_token_of_another_list_is_refused(view: MemoryView, promises: "PromiseServiceAsyncStub") -> None:
    """A mixed-up token is an error, not a list with a hole."""
    keep(view, a_promise("ana", "1"), a_promise("ana", "2"))
    answer = await promises.ListPromises(ListPromisesRequest(customer_id="ana", page_size=1))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await promises.ListPromises(ListPromisesRequest(customer_id="bea", page_token=answer.next_page_token))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_long_scan_lets_others_work(view: MemoryView) -> None:
    """A list over 100,000 keys gives way to other tasks again and again."""
    partition = view.partition_of("ana")
    view.records[partition] = {record_key("bea", "callback", str(number)): b"" for number in range(100_000)}
    records = Records(view=view, parse=Promise.FromString, routing=routing_of, transitions=PromiseTransition.DESCRIPTOR)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert await records.of_customer("ana", Page(0, "")) == ([], "")
    task.cancel()
    assert turns >= 5


async def test_a_partition_lost_while_listing_is_not_an_empty_list() -> None:
    """Records given away during the scan are the new owner's to list."""

    class Revoked(MemoryView):
        def keys(self, partition: int) -> list[bytes]:
            self.owners[partition] = EXPECTED_OWNER
            return []

    async with serving(promise_service, Revoked()) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await PromiseServiceStub(channel).ListPromises(ListPromisesRequest(customer_id="ana"))
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_watcher_sees_the_transitions_it_asked_for(
    view: MemoryView, promises: "PromiseServiceAsyncStub"
) -> None:
    """Others pass it by; what comes says which transition it is, and when it was announced."""
    value = a_promise("ana", "1").SerializeToString()

    def announce() -> None:
        for transition in ("made", "at_risk", "broken", "noted", "kept_late"):
            view.announce("ana", "ana/callback/1", value, transition)

    wanted = WatchPromisesRequest(transitions=[PROMISE_TRANSITION_BROKEN, PROMISE_TRANSITION_KEPT_LATE])
    seen = await watched(promises, view, wanted, 2, announce)
    assert [message.transition for message in seen] == [PROMISE_TRANSITION_BROKEN, PROMISE_TRANSITION_KEPT_LATE]
    assert seen[0].promise.promise_id == "ana/callback/1"
    assert seen[0].announced_at.seconds == 1


async def test_a_watcher_of_a_customer_sees_nobody_else(view: MemoryView, promises: "PromiseServiceAsyncStub") -> None:
    """Filtered by customer; a record that is forgotten is no news either."""

    def announce() -> None:
        for customer in ("bea", "ana2", "ana"):
            value = a_promise(customer, "1").SerializeToString()
            view.announce(customer, f"{customer}/callback/1", None, "withdrawn")
            view.announce(customer, f"{customer}/callback/1", value, "made")

    seen = await watched(promises, view, WatchPromisesRequest(customer_id="ana"), 1, announce)
    assert [message.promise.customer_id for message in seen] == ["ana"]


async def test_watching_for_no_transition_is_the_callers_error(promises: "PromiseServiceAsyncStub") -> None:
    """UNSPECIFIED in the filter can match nothing, and is said to."""
    request = WatchPromisesRequest(transitions=[PROMISE_TRANSITION_UNSPECIFIED])
    with pytest.raises(grpc.aio.AioRpcError, match="There are noted, made") as refused:
        await anext(aiter(promises.WatchPromises(request)))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_slow_watcher_is_told_that_it_missed_changes(
    view: MemoryView, promises: "PromiseServiceAsyncStub"
) -> None:
    """RESOURCE_EXHAUSTED rather than a silent gap, or a worker that fills up."""
    with pytest.raises(grpc.aio.AioRpcError, match="fell too far behind") as refused:
        await watched(promises, view, WatchPromisesRequest(), 1, view.lose_patience)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_watcher_is_told_when_partitions_move(view: MemoryView, promises: "PromiseServiceAsyncStub") -> None:
    """UNAVAILABLE, which clients try again on, rather than a stream that goes quiet for ever."""
    with pytest.raises(grpc.aio.AioRpcError, match="moved; watch again") as refused:
        await watched(promises, view, WatchPromisesRequest(customer_id="ana"), 1, view.move)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_watcher_that_leaves_is_forgotten(view: MemoryView, promises: "PromiseServiceAsyncStub") -> None:
    """Nothing is queued for somebody who hung up."""
    call = promises.WatchPromises(WatchPromisesRequest())
    await until(lambda: view.watchers)
    call.cancel()
    await until(lambda: not view.watchers)


async def test_an_error_of_ours_shows_nothing_of_the_inside() -> None:
    """INTERNAL without words of the exception; the metrics count it, beside what went well."""

    class Broken(MemoryView):
        def get(self, partition: int, key: bytes) -> bytes | None:
            raise RuntimeError(f"secret {partition} {key!r}")

    registry = Registry()
    async with serving(promise_service, Broken(), registry) as channel:
        stub = PromiseServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetPromise(GetPromiseRequest(promise_id="ana/callback/1"))
        await stub.ListPromises(ListPromisesRequest(customer_id="ana"))
    assert refused.value.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in str(refused.value)
    assert handled(registry, "GetPromise", "Internal") == 1
    assert handled(registry, "ListPromises", "OK") == 1
    assert handled(registry, "WatchPromises", "OK") == 0
    labels = {"grpc_service": "puntual.promises.v1.PromiseService", "grpc_method": "GetPromise"}
    assert registry.collector.get_sample_value("grpc_server_handling_seconds_count", labels) == 1


def handled(registry: Registry, method: str, code: str) -> float | None:
    labels = {"grpc_service": "puntual.promises.v1.PromiseService", "grpc_method": method, "grpc_code": code}
    return registry.collector.get_sample_value("grpc_server_handled_total", labels)


async def test_health_follows_readiness(view: MemoryView) -> None:
    """NOT_SERVING until ready, for the service's name and for the whole server."""
    trouble: list[str] = ["partition 3 is still being recovered"]
    async with serving(promise_service, view, ready=lambda: trouble[0] if trouble else None) as channel:
        health: Any = HealthStub(channel)  # typed for synchronous channels only
        for name in ("", "puntual.promises.v1.PromiseService"):
            answer = await health.Check(HealthCheckRequest(service=name))
            assert answer.status == HealthCheckResponse.NOT_SERVING
        trouble.clear()
        async with asyncio.timeout(5):
            async for answer in health.Watch(HealthCheckRequest(service="puntual.promises.v1.PromiseService")):
                if answer.status == HealthCheckResponse.SERVING:
                    break


async def test_the_server_describes_itself(view: MemoryView) -> None:
    """Tools like grpcurl find the service without its proto files."""
    stub: Any = ServerReflectionStub
    async with serving(promise_service, view) as channel:
        call = stub(channel).ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]))
        answer = await anext(aiter(call))
    names = {service.name for service in answer.list_services_response.service}
    assert {"puntual.promises.v1.PromiseService", "grpc.health.v1.Health"} <= names


async def test_a_taken_port_is_said_plainly(view: MemoryView) -> None:
    """The error names the address and the setting to change."""
    first, second = (RpcServer(Registry(), promise_service(view), lambda: None) for _ in range(2))
    port = await first.start("127.0.0.1", 0)
    with pytest.raises(PuntualError, match=f"127.0.0.1:{port}.*PUNTUAL_GRPC_PORT"):
        await second.start("127.0.0.1", port)
    await first.stop(0)
    await second.stop(0)


async def test_clocks_are_served_like_promises(view: MemoryView) -> None:
    """Get, list and watch over the records of the sla service."""
    clock = Clock(clock_id="ana/first_reply/mail%201", customer_id="ana")
    view.put("ana", clock.clock_id, clock.SerializeToString())
    async with serving(partial(sla_service, InForce(STANDARDS)), view) as channel:
        stub = SlaServiceStub(channel)
        assert (await stub.GetClock(GetClockRequest(clock_id=clock.clock_id))).clock == clock
        assert list((await stub.ListClocks(ListClocksRequest(customer_id="ana"))).clocks) == [clock]
        call = stub.WatchClocks(WatchClocksRequest(transitions=[CLOCK_TRANSITION_AT_RISK]))
        await until(lambda: view.watchers)
        view.announce("ana", clock.clock_id, clock.SerializeToString(), "at_risk")
        seen = await anext(aiter(call))
    assert (seen.clock, seen.transition) == (clock, CLOCK_TRANSITION_AT_RISK)


def an_incident(number: int, state: IncidentState.ValueType) -> Incident:
    return Incident(incident_id=f"workshop/kind={number:02}", route="workshop", state=state)


async def test_incidents_are_listed_over_all_partitions(
    view: MemoryView, incidents: "NotifierServiceAsyncStub"
) -> None:
    """Sorted by id across partitions, filtered by state, page by page."""
    opened = [an_incident(number, INCIDENT_STATE_OPEN) for number in range(10)]
    resolved = [an_incident(number, INCIDENT_STATE_RESOLVED) for number in range(10, 20)]
    for incident in opened + resolved:
        view.put(incident.incident_id, incident.incident_id, incident.SerializeToString())
    assert len([keys for keys in view.records.values() if keys]) > 1
    found, token = list[Incident](), ""
    while not found or token:
        request = ListIncidentsRequest(state=INCIDENT_STATE_OPEN, page_size=4, page_token=token)
        answer = await incidents.ListIncidents(request)
        found, token = found + list(answer.incidents), answer.next_page_token
    assert found == opened
    everything = await incidents.ListIncidents(ListIncidentsRequest())
    assert list(everything.incidents) == opened + resolved
    answered = an_incident(20, INCIDENT_STATE_ACKNOWLEDGED)
    view.put(answered.incident_id, answered.incident_id, answered.SerializeToString())
    seen_to = await incidents.ListIncidents(ListIncidentsRequest(state=INCIDENT_STATE_ACKNOWLEDGED))
    assert list(seen_to.incidents) == [answered]


async def test_incidents_are_got_and_watched_by_id(view: MemoryView, incidents: "NotifierServiceAsyncStub") -> None:
    """The receiver group is the id, and the key of the partition."""
    incident = an_incident(1, INCIDENT_STATE_OPEN)
    view.put(incident.incident_id, incident.incident_id, incident.SerializeToString())
    answer = await incidents.GetIncident(GetIncidentRequest(incident_id=incident.incident_id))
    assert answer.incident == incident
    call = incidents.WatchIncidents(WatchIncidentsRequest())
    await until(lambda: view.watchers)
    view.announce(incident.incident_id, incident.incident_id, incident.SerializeToString(), "opened")
    assert (await anext(aiter(call))).incident == incident
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await incidents.GetIncident(GetIncidentRequest())
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_worker_without_partitions_lists_no_incidents(
    view: MemoryView, incidents: "NotifierServiceAsyncStub"
) -> None:
    """It knows nothing yet, and says so, rather than that all is well."""
    view.owners = dict.fromkeys(range(12))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await incidents.ListIncidents(ListIncidentsRequest())
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_response_is_published_under_its_incident(
    incidents: "NotifierServiceAsyncStub", publishing: FakePublishing
) -> None:
    """The same one twice counts once. When it came, and through what, the service says, whatever the caller does."""
    response = Response(incident_id="ops/é", action=RESPONSE_ACTION_ACKNOWLEDGE, by="ana")
    given = (await incidents.Respond(RespondRequest(response=response))).response_id
    own = Response(response_id="r-1", via="pager", **_fields(response))
    own.responded_at.FromJsonString("2026-11-26T12:00:00Z")
    assert (await incidents.Respond(RespondRequest(response=own))).response_id == "r-1"
    filled, kept = (Response.FromString(message.value or b"") for message in publishing.sent)
    assert {(message.topic, message.key) for message in publishing.sent} == {("test.responses.v1", "ops/é".encode())}
    assert (kept.response_id, kept.via, kept.by) == ("r-1", "grpc", "ana")
    assert (filled.response_id, filled.via, filled.by) == (given, "grpc", "ana")
    assert len(given) == 36
    for each in (filled, kept):
        assert abs(each.responded_at.ToMicroseconds() - wall_clock()) < 60_000_000


def _fields(response: Response) -> dict[str, Any]:
    return {field.name: value for field, value in response.ListFields()}


NOBODY = Response(incident_id="ops", action=RESPONSE_ACTION_ACKNOWLEDGE)
FAULTS = {
    "response: response_id, incident_id, by and action must be set. Nothing was published.": NOBODY,
    "response: a snooze must say until when. Nothing was published.": Response(
        incident_id="ops", action=RESPONSE_ACTION_SNOOZE, by="ana"
    ),
    "response: comment can have 500 characters at most. Nothing was published.": Response(
        incident_id="ops", action=RESPONSE_ACTION_COMMENT, by="ana", comment="x" * 501
    ),
    "response: its action is unknown to this notifier; bring it up to date. Nothing was published.": Response(
        incident_id="ops", action=cast("ResponseAction.ValueType", 99), by="ana"
    ),
}


@pytest.mark.parametrize("words", FAULTS)
async def test_a_response_that_no_notifier_could_use_is_refused(
    incidents: "NotifierServiceAsyncStub", publishing: FakePublishing, words: str
) -> None:
    """It says what to put right, and nothing is published."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await incidents.Respond(RespondRequest(response=FAULTS[words]))
    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, words)
    assert not publishing.sent


async def test_a_response_that_kafka_does_not_take_is_unavailable(
    incidents: "NotifierServiceAsyncStub", publishing: FakePublishing
) -> None:
    """The caller can try again."""
    publishing.trouble = PublishFailed("Kafka cannot be reached.")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await incidents.Respond(RespondRequest(response=Response(by="ana", **_fields(NOBODY))))
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
