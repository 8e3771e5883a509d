"""NotifierService: the incidents this worker keeps, for those who ask."""
# ruff: noqa: ARG002, N802 - the contract names the methods and their arguments

from collections.abc import AsyncIterator
from functools import partial

from puntual.notifier.v1.incident_pb2 import INCIDENT_STATE_UNSPECIFIED, Incident, IncidentTransition
from puntual.notifier.v1.notifier_service_pb2 import (
    DESCRIPTOR,
    GetIncidentRequest,
    GetIncidentResponse,
    ListIncidentsRequest,
    ListIncidentsResponse,
    WatchIncidentsRequest,
    WatchIncidentsResponse,
)
from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceServicer, add_NotifierServiceServicer_to_server
from services.shared.clock import set_timestamp
from services.shared.engine.view import RecordView
from services.shared.errors import PuntualError
from services.shared.records import Page, Records
from services.shared.rpc import Service


def notifier_service(view: RecordView) -> Service:
    """The service over the incidents of this worker."""
    servicer = _Incidents(view)
    return Service(
        DESCRIPTOR.services_by_name["NotifierService"], partial(add_NotifierServiceServicer_to_server, servicer)
    )


class _Incidents(NotifierServiceServicer):
    def __init__(self, view: RecordView) -> None:
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


def _routing(incident_id: str) -> str:
    if not incident_id:
        raise PuntualError("incident_id is missing; it is what ListIncidents or a notification names.")
    return incident_id
