"""An incident, whichever worker keeps it: people reach any of them behind one address."""

from typing import TYPE_CHECKING

import grpc

from puntual.notifier.v1.notifier_service_pb2 import GetIncidentRequest
from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceStub
from services.notifier.codec import unpack
from services.notifier.incident import Incident
from services.shared.engine.view import RecordView

if TYPE_CHECKING:  # it exists for type checkers only
    from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceAsyncStub

#: Seconds that the worker gets that keeps it.
PATIENCE = 3.0


class Moving(Exception):
    """Nobody who could answer is known, or none answers; that passes."""


class Lookup:
    """Finds incidents: here, or by gRPC with the worker that owns their partition."""

    def __init__(self, view: RecordView) -> None:
        self._view = view

    async def find(self, incident_id: str) -> Incident | None:
        """The incident; None where it is forgotten. Raises Moving."""
        partition = self._view.partition_of(incident_id)
        if self._view.owns(partition):
            record = self._view.get(partition, incident_id.encode())
        elif owner := self._view.owner_of(partition):
            record = await _asked(owner, incident_id)
        else:
            raise Moving
        return unpack(record) if record else None


async def _asked(owner: str, incident_id: str) -> bytes | None:
    async with grpc.aio.insecure_channel(owner) as channel:
        stub: NotifierServiceAsyncStub = NotifierServiceStub(channel)
        try:
            answer = await stub.GetIncident(GetIncidentRequest(incident_id=incident_id), timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise Moving from error
    return answer.incident.SerializeToString()
