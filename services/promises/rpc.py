"""PromiseService: the promises this worker keeps, for those who ask."""
# ruff: noqa: ARG002, N802 - the contract names the methods and their arguments

from collections.abc import AsyncIterator
from functools import partial

from puntual.promises.v1.promise_pb2 import Promise, PromiseTransition
from puntual.promises.v1.promise_service_pb2 import (
    DESCRIPTOR,
    GetPromiseRequest,
    GetPromiseResponse,
    ListPromisesRequest,
    ListPromisesResponse,
    WatchPromisesRequest,
    WatchPromisesResponse,
)
from puntual.promises.v1.promise_service_pb2_grpc import PromiseServiceServicer, add_PromiseServiceServicer_to_server
from services.shared.clock import set_timestamp
from services.shared.engine.view import RecordView
from services.shared.records import Page, Records, routing_of
from services.shared.rpc import Service


def promise_service(view: RecordView) -> Service:
    """The service over the promises of this worker."""
    servicer = _Promises(view)
    return Service(
        DESCRIPTOR.services_by_name["PromiseService"], partial(add_PromiseServiceServicer_to_server, servicer)
    )


class _Promises(PromiseServiceServicer):
    def __init__(self, view: RecordView) -> None:
        self._promises = Records(
            view=view, parse=Promise.FromString, routing=routing_of, transitions=PromiseTransition.DESCRIPTOR
        )

    async def GetPromise(self, request: GetPromiseRequest, context: object) -> GetPromiseResponse:
        return GetPromiseResponse(promise=self._promises.get(request.promise_id))

    async def ListPromises(self, request: ListPromisesRequest, context: object) -> ListPromisesResponse:
        page = Page(request.page_size, request.page_token)
        promises, token = await self._promises.of_customer(request.customer_id, page)
        return ListPromisesResponse(promises=promises, next_page_token=token)

    async def WatchPromises(
        self, request: WatchPromisesRequest, context: object
    ) -> AsyncIterator[WatchPromisesResponse]:
        async for change in self._promises.watch(request.transitions, request.customer_id):
            answer = WatchPromisesResponse(
                promise=change.record, transition=PromiseTransition.ValueType(change.transition)
            )
            set_timestamp(answer.announced_at, change.announced_at)
            yield answer
