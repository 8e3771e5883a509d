"""SlaService: the clocks this worker keeps, for those who ask."""
# ruff: noqa: ARG002, N802 - the contract names the methods and their arguments

from collections.abc import AsyncIterator
from functools import partial

from puntual.sla.v1.clock_pb2 import Clock, ClockTransition
from puntual.sla.v1.sla_service_pb2 import (
    DESCRIPTOR,
    ExplainClockRequest,
    ExplainClockResponse,
    GetClockRequest,
    GetClockResponse,
    ListClocksRequest,
    ListClocksResponse,
    WatchClocksRequest,
    WatchClocksResponse,
)
from puntual.sla.v1.sla_service_pb2_grpc import SlaServiceServicer, add_SlaServiceServicer_to_server
from services.shared.clock import set_timestamp
from services.shared.engine.view import RecordView
from services.shared.records import Page, Records, routing_of
from services.shared.rpc import Service
from services.sla.codec import unpack
from services.sla.explain import explain
from services.sla.picture import draw
from services.sla.standards import InForce


def sla_service(known: InForce, view: RecordView) -> Service:
    """The service over the clocks of this worker."""
    servicer = _Clocks(known, view)
    return Service(DESCRIPTOR.services_by_name["SlaService"], partial(add_SlaServiceServicer_to_server, servicer))


class _Clocks(SlaServiceServicer):
    def __init__(self, known: InForce, view: RecordView) -> None:
        self._known = known
        self._clocks = Records(
            view=view, parse=Clock.FromString, routing=routing_of, transitions=ClockTransition.DESCRIPTOR
        )

    async def GetClock(self, request: GetClockRequest, context: object) -> GetClockResponse:
        return GetClockResponse(clock=self._clocks.get(request.clock_id))

    async def ExplainClock(self, request: ExplainClockRequest, context: object) -> ExplainClockResponse:
        record = self._clocks.get(request.clock_id)
        clock = unpack(record.SerializeToString(deterministic=True))
        told = explain(clock, self._known.standards)
        return ExplainClockResponse(
            clock=record,
            headline=told.headline,
            timeline=[ExplainClockResponse.Step(**step._asdict()) for step in told.timeline],
            reasoning=told.reasoning,
            intervals=[ExplainClockResponse.Interval(**interval._asdict()) for interval in told.intervals],
            picture=draw(clock, self._known.standards),
        )

    async def ListClocks(self, request: ListClocksRequest, context: object) -> ListClocksResponse:
        page = Page(request.page_size, request.page_token)
        clocks, token = await self._clocks.of_customer(request.customer_id, page)
        return ListClocksResponse(clocks=clocks, next_page_token=token)

    async def WatchClocks(self, request: WatchClocksRequest, context: object) -> AsyncIterator[WatchClocksResponse]:
        async for change in self._clocks.watch(request.transitions, request.customer_id):
            answer = WatchClocksResponse(clock=change.record, transition=ClockTransition.ValueType(change.transition))
            set_timestamp(answer.announced_at, change.announced_at)
            yield answer
