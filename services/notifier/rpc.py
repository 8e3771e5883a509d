"""NotifierService: the incidents this worker keeps, for those who ask, and what people say to any incident."""
# ruff: noqa: ARG002, N802 - the contract names the methods and their arguments

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from uuid import uuid4

from puntual.notifier.v1.incident_pb2 import INCIDENT_STATE_UNSPECIFIED, Incident, IncidentTransition
from puntual.notifier.v1.notifier_service_pb2 import (
    DESCRIPTOR,
    GetIncidentRequest,
    GetIncidentResponse,
    ListIncidentsRequest,
    ListIncidentsResponse,
    RespondRequest,
    RespondResponse,
    WatchIncidentsRequest,
    WatchIncidentsResponse,
)
from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceServicer, add_NotifierServiceServicer_to_server
from services.notifier.response_codec import decode_response
from services.shared.clock import set_timestamp, wall_clock
from services.shared.engine.view import RecordView
from services.shared.errors import PuntualError, Unusable
from services.shared.ingress import Outgoing
from services.shared.records import Page, Records
from services.shared.rpc import Service

#: Publishes messages and returns when Kafka has them. Raises PublishFailed.
Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]


def notifier_service(view: RecordView, publish: Publish, responses: str) -> Service:
    """The service over the incidents of this worker. `responses`: the topic of what people say, by its full name."""
    servicer = _Incidents(view, publish, responses)
    return Service(
        DESCRIPTOR.services_by_name["NotifierService"], partial(add_NotifierServiceServicer_to_server, servicer)
    )


class _Incidents(NotifierServiceServicer):
    def __init__(self, view: RecordView, publish: Publish, responses: str) -> None:
        self._publish, self._responses = publish, responses
        self._incidents = Records(
            view=view, parse=Incident.FromString, routing=_routing, transitions=IncidentTransition.DESCRIPTOR
        )

    async def GetIncident(self, request: GetIncidentRequest, context: object) -> GetIncidentResponse:
        return GetIncidentResponse(incident=self._incidents.get(request.incident_id))

    async def ListIncidents(self, request: ListIncidentsRequest, context: object) -> ListIncidentsResponse:
        anything, page = request.state == INCIDENT_STATE_UNSPECIFIED, Page(request.page_size, request.page_token)
        incidents, token = await self._incidents.everywhere(
            str(request.state), lambda incident: anything or incident.state == request.state, page
        )
        return ListIncidentsResponse(incidents=incidents, next_page_token=token)

    async def WatchIncidents(
        self, request: WatchIncidentsRequest, context: object
    ) -> AsyncIterator[WatchIncidentsResponse]:
        async for change in self._incidents.watch(request.transitions):
            answer = WatchIncidentsResponse(
                incident=change.record, transition=IncidentTransition.ValueType(change.transition)
            )
            set_timestamp(answer.announced_at, change.announced_at)
            yield answer

    async def Respond(self, request: RespondRequest, context: object) -> RespondResponse:
        response, now = request.response, wall_clock()
        response.response_id = response.response_id or str(uuid4())
        response.via = response.via or "grpc"
        if not response.HasField("responded_at"):
            set_timestamp(response.responded_at, now)
        value = response.SerializeToString()
        try:
            decode_response(value, False, now)  # better refused here than as a dead letter
        except Unusable as unusable:
            raise PuntualError(f"response: {unusable.detail}. Nothing was published.") from unusable
        await self._publish([Outgoing(self._responses, response.incident_id.encode(), value)])
        return RespondResponse(response_id=response.response_id)


def _routing(incident_id: str) -> str:
    if not incident_id:
        raise PuntualError("incident_id is missing; it is what ListIncidents or a notification names.")
    return incident_id
