"""NotifierService: the incidents this worker keeps, for those who ask, and all else that the command line can do."""
# ruff: noqa: ARG002, N802 - the contract names the methods and their arguments

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

from puntual.notifier.v1.audit_pb2 import AuditEntry
from puntual.notifier.v1.incident_pb2 import INCIDENT_STATE_UNSPECIFIED, Incident, IncidentTransition
from puntual.notifier.v1.notifier_service_pb2 import (
    DESCRIPTOR,
    CreateSilenceRequest,
    CreateSilenceResponse,
    EndSilenceRequest,
    EndSilenceResponse,
    GetIncidentRequest,
    GetIncidentResponse,
    ListAuditRequest,
    ListAuditResponse,
    ListIncidentsRequest,
    ListIncidentsResponse,
    ListSilencesRequest,
    ListSilencesResponse,
    RespondRequest,
    RespondResponse,
    TestRouteRequest,
    TestRouteResponse,
    WatchIncidentsRequest,
    WatchIncidentsResponse,
)
from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceServicer, add_NotifierServiceServicer_to_server
from puntual.notifier.v1.silence_pb2 import Silence
from services.notifier.audit_search import AuditSearch, Sought
from services.notifier.config import Rules
from services.notifier.items import Details
from services.notifier.reach import reach
from services.notifier.reach_codec import asked, pack_reach
from services.notifier.response_codec import decode_response
from services.notifier.silences_log import pack_silence
from services.notifier.silencing import Silencing
from services.shared.clock import from_timestamp, set_timestamp, wall_clock
from services.shared.engine.view import RecordView
from services.shared.errors import Busy, PuntualError, Unusable
from services.shared.ingress import Outgoing, Publish
from services.shared.instant import Instant
from services.shared.records import Page, Records
from services.shared.rpc import Service

#: Entries of the audit in one answer; searches at once, each of which reads the topic anew; seconds that one may take.
_MOST_ENTRIES, _MOST_SEARCHES, _LONGEST_SEARCH = 10_000, 4, 120.0


class Desk(NamedTuple):
    """What every worker answers from, whichever incidents it keeps."""

    silencing: Silencing
    #: The messages of the audit topic: key (None: all), from, to (0: now). May raise KafkaUnreachable.
    read_audit: Callable[[bytes | None, Instant, Instant], AsyncGenerator[Any]]
    #: The rules as they are now.
    rules: Callable[[], Rules]


def notifier_service(view: RecordView, publish: Publish, responses: str, desk: Desk) -> Service:
    """The service over the incidents of this worker. `responses`: the topic of what people say, by its full name."""
    servicer = _Incidents(view, publish, responses, desk)
    return Service(
        DESCRIPTOR.services_by_name["NotifierService"], partial(add_NotifierServiceServicer_to_server, servicer)
    )


class _Incidents(NotifierServiceServicer):
    def __init__(self, view: RecordView, publish: Publish, responses: str, desk: Desk) -> None:
        self._publish, self._responses, self._desk = publish, responses, desk
        self._searches = asyncio.Semaphore(_MOST_SEARCHES)
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
        # What stands there as evidence is not the caller's to say.
        response.via = "grpc"
        set_timestamp(response.responded_at, now)
        value = response.SerializeToString()
        try:
            decode_response(value, False, now)  # better refused here than as a dead letter
        except Unusable as unusable:
            raise PuntualError(f"response: {unusable.detail}. Nothing was published.") from unusable
        await self._publish([Outgoing(self._responses, response.incident_id.encode(), value)])
        return RespondResponse(response_id=response.response_id)

    async def CreateSilence(self, request: CreateSilenceRequest, context: object) -> CreateSilenceResponse:
        silence = await self._desk.silencing.create(request.silence)
        return CreateSilenceResponse(silence=Silence.FromString(pack_silence(silence)))

    async def ListSilences(self, request: ListSilencesRequest, context: object) -> ListSilencesResponse:
        found = self._desk.silencing.silences(everything=request.all)
        return ListSilencesResponse(silences=(Silence.FromString(pack_silence(silence)) for silence in found))

    async def EndSilence(self, request: EndSilenceRequest, context: object) -> EndSilenceResponse:
        await self._desk.silencing.end(request.silence_id, request.by)
        return EndSilenceResponse()

    async def ListAudit(self, request: ListAuditRequest, context: object) -> AsyncIterator[ListAuditResponse]:
        since, until = from_timestamp(request.since), from_timestamp(request.until)
        if not 0 <= request.limit <= _MOST_ENTRIES:
            raise PuntualError(f"limit is {request.limit}; it is 0 (for {_MOST_ENTRIES:,}) to {_MOST_ENTRIES:,}.")
        sought = Sought(
            since,
            until,
            request.incident_id,
            request.target,
            request.record_id,
            request.outcome,
            request.breaches,
        )
        try:
            async with asyncio.timeout(_LONGEST_SEARCH), self._searches:
                async for entry in self._found(sought, request.limit or _MOST_ENTRIES):
                    yield ListAuditResponse(entry=entry) if entry else ListAuditResponse(more=True)
        except TimeoutError as error:
            raise Busy(f"Not all was read within {_LONGEST_SEARCH:g} s; ask for less, or again later.") from error

    async def _found(self, sought: Sought, most: int) -> AsyncIterator[AuditEntry | None]:
        """So many entries at most; then None where there are more."""
        search = AuditSearch(sought)
        async with aclosing(self._desk.read_audit(sought.key, sought.since, sought.until)) as messages:
            async for message in messages:
                if entry := search.take(message):
                    yield entry if most else None
                    if not most:
                        return
                    most -= 1

    async def TestRoute(self, request: TestRouteRequest, context: object) -> TestRouteResponse:
        details = Details(
            customer_tier=request.customer_tier,
            site=request.site,
            team=request.team,
            reason=request.reason,
            breaches=int(request.is_repeated),
        )
        due_at = from_timestamp(request.due_at)
        item = asked(request.service, request.kind, request.standing, request.customer_id, details, due_at)
        at = from_timestamp(request.at) or wall_clock()
        return TestRouteResponse(reach=pack_reach(reach(item, self._desk.rules(), at)))


def _routing(incident_id: str) -> str:
    if not incident_id:
        raise PuntualError("incident_id is missing; it is what ListIncidents or a notification names.")
    return incident_id
