"""An incident, whichever worker keeps it: people reach any of them behind one address."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Self

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
#: Other workers to which connections are kept.
_MOST_CHANNELS = 8


class Moving(Exception):
    """Nobody who could answer is known, or none answers; that passes."""


class Lookup:
    """Finds incidents: here, or by gRPC with the worker that owns their partition."""

    def __init__(self, view: RecordView) -> None:
        self._view = view
        #: By owner, those asked last: a page that waits for an answer asks several times.
        self._channels: OrderedDict[str, grpc.aio.Channel] = OrderedDict()

    async def find(self, incident_id: str) -> Incident | None:
        """The incident; None where it is forgotten. Raises Moving."""
        partition = self._view.partition_of(incident_id)
        if self._view.owns(partition):
            record = self._view.get(partition, incident_id.encode())
        elif owner := self._view.owner_of(partition):
            record = await self._asked(owner, incident_id)
        else:
            raise Moving
        return unpack(record) if record else None

    async def __aenter__(self) -> Self:
        """Nobody is asked yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ask nobody any more."""
        while self._channels:
            await self._channels.popitem()[1].close()

    async def _channel(self, owner: str) -> grpc.aio.Channel:
        channel = self._channels.pop(owner, None) or grpc.aio.insecure_channel(owner)
        self._channels[owner] = channel
        if len(self._channels) > _MOST_CHANNELS:
            _, oldest = self._channels.popitem(last=False)
            await oldest.close(PATIENCE)  # what is asked there has ended by then
        return channel

    async def _asked(self, owner: str, incident_id: str) -> bytes | None:
        stub: NotifierServiceAsyncStub = NotifierServiceStub(await self._channel(owner))
        try:
            answer = await stub.GetIncident(GetIncidentRequest(incident_id=incident_id), timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            # A channel waits longer and longer before it connects again; whoever asks next need not.
            if channel := self._channels.pop(owner, None):
                await channel.close(PATIENCE)
            raise Moving from error
        return answer.incident.SerializeToString()
