"""The gRPC server of a service: health that follows readiness, reflection, metrics, and clean status codes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from inspect import isasyncgenfunction
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import Counter, Histogram

from services.shared.engine.view import PartitionsMoved, SlowReader
from services.shared.errors import AlreadyExists, Busy, KafkaUnreachable, PublishFailed, PuntualError
from services.shared.health import Probe
from services.shared.log import place_of
from services.shared.metrics import Registry
from services.shared.records import Absent, NotOwned
from services.shared.text import shortened
from services.shared.times import check_times

_log = logging.getLogger(__name__)

#: The first kind of error that fits decides. What is not here is INTERNAL, and only the log says more.
_STATUS: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (Absent, grpc.StatusCode.NOT_FOUND),
    (NotOwned, grpc.StatusCode.UNAVAILABLE),
    (PartitionsMoved, grpc.StatusCode.UNAVAILABLE),
    (SlowReader, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (Busy, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (AlreadyExists, grpc.StatusCode.ALREADY_EXISTS),
    (DecodeError, grpc.StatusCode.INVALID_ARGUMENT),
    (PublishFailed, grpc.StatusCode.UNAVAILABLE),
    (KafkaUnreachable, grpc.StatusCode.UNAVAILABLE),
    (PuntualError, grpc.StatusCode.INVALID_ARGUMENT),
)
#: Trailing metadata of UNAVAILABLE: the address of the worker that can answer.
OWNER = "puntual-owner"

_LARGEST_REQUEST = 64 * 1024  # bytes
#: Calls at once, of a connection and of all; and streams of all: each holds a place for as long as its reader likes.
_MOST_OF_ONE, _MOST_CALLS, _MOST_STREAMS = 100, 1_000, 200
#: Characters of what is said of an error. In a header: at most twelve bytes for one, of some 8,000 that clients take.
_LONGEST_WORDS = 600
#: Milliseconds: who is not heard of any more is asked, and given up; and how often others may ask.
_KEEPALIVE, _PATIENCE, _OFTEN = 60_000, 20_000, 10_000
_HEALTH_EVERY = 0.2  # seconds
_SERVING, _NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_Behaviour: TypeAlias = Any  # the library's types know only the synchronous kind
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Service(NamedTuple):
    """A service to be served: what the contract says of it, and the generated function that adds it to a server."""

    descriptor: ServiceDescriptor
    add: Callable[[grpc.aio.Server], None]
    #: Bytes of a request; the server takes what the most generous of its services does.
    largest_request: int = _LARGEST_REQUEST


class RpcServer:
    """Serves services, beside health and reflection. To be made and used inside the event loop."""

    def __init__(self, registry: Registry, service: Service, ready: Probe, *others: Service) -> None:
        services = (service, *others)
        self._names = [each.descriptor.full_name for each in services]
        self._ready = ready
        self._health = health.aio.HealthServicer()
        self._following: asyncio.Task[None] | None = None
        options = (
            ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a silent sharing of calls
            ("grpc.max_receive_message_length", max(each.largest_request for each in services)),
            ("grpc.max_concurrent_streams", _MOST_OF_ONE),
            ("grpc.keepalive_time_ms", _KEEPALIVE),
            ("grpc.keepalive_timeout_ms", _PATIENCE),
            ("grpc.http2.min_ping_interval_without_data_ms", _OFTEN),
        )
        guard = _Guard(registry, [each.descriptor for each in services])
        self._server = grpc.aio.server(interceptors=[guard], options=options, maximum_concurrent_rpcs=_MOST_CALLS)
        for each in services:
            each.add(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self, host: str, port: int) -> int:
        """Listen on `host`:`port` (0: any free one); returns the port. Raises PuntualError where it is taken."""
        try:
            bound = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise PuntualError(f"Cannot serve gRPC on {host}:{port}. Set PUNTUAL_GRPC_PORT to a free port.") from error
        await self._report()
        await self._server.start()
        self._following = asyncio.create_task(self._follow())
        return bound

    async def stop(self, grace: float) -> None:
        """Say so to health checks, let calls end for `grace` seconds, then end them."""
        if self._following:
            self._following.cancel()
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_HEALTH_EVERY)
            await self._report()

    async def _report(self) -> None:
        status = _NOT_SERVING if self._ready() else _SERVING
        for name in ("", *self._names):
            await self._health.set(name, status)


class _Guard(grpc.aio.ServerInterceptor):
    """Reads requests, counts and times the services' calls, and turns errors into status codes; never a traceback."""

    def __init__(self, registry: Registry, services: Sequence[ServiceDescriptor]) -> None:
        calls = {(service.full_name, method.name) for service in services for method in service.methods}
        names, methods = ({call[place] for call in calls} for place in (0, 1))

        def occurs(service: str, method: str, *_: str) -> bool:
            return (service, method) in calls

        for_each = partial(registry.series, occurs=occurs, grpc_service=names, grpc_method=methods)
        self._handled = for_each(Counter, "grpc_server_handled_total")
        self._seconds = for_each(Histogram, "grpc_server_handling_seconds")
        self._streams = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        _, service, method = handler_call_details.method.split("/")
        call = _Call(service, method, handler.request_deserializer)
        if handler.request_streaming:  # only the library's own reflection
            return grpc.stream_stream_rpc_method_handler(
                self._dialogue(handler.stream_stream, call), None, handler.response_serializer
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(handler.unary_stream, call), None, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler.unary_unary, call), None, handler.response_serializer
        )

    def _unary(self, behaviour: _Behaviour, call: "_Call") -> _Behaviour:
        async def answer(request: bytes, context: _Context) -> object:
            async with self._answering(call, context):
                started = perf_counter()
                try:
                    return await behaviour(call.read(request), context)
                finally:
                    if call.place in self._seconds:
                        self._seconds[call.place].observe(perf_counter() - started)

        return answer

    def _stream(self, behaviour: _Behaviour, call: "_Call") -> _Behaviour:
        async def written(request: bytes, context: _Context) -> None:
            async with self._answering(call, context), self._streaming():
                await behaviour(call.read(request), context)

        async def yielded(request: bytes, context: _Context) -> AsyncIterator[object]:
            async with self._answering(call, context), self._streaming():
                async for message in behaviour(call.read(request), context):
                    yield message

        return yielded if isasyncgenfunction(behaviour) else written  # as the library's health does

    def _dialogue(self, behaviour: _Behaviour, call: "_Call") -> _Behaviour:
        async def read(requests: AsyncIterator[bytes]) -> AsyncIterator[object]:
            async for request in requests:
                yield call.read(request)

        async def answer(requests: AsyncIterator[bytes], context: _Context) -> AsyncIterator[object]:
            async with self._answering(call, context), self._streaming():
                async for message in behaviour(read(requests), context):
                    yield message

        return answer

    @asynccontextmanager
    async def _streaming(self) -> AsyncIterator[None]:
        """A place among the streams. Raises Busy where there is none left."""
        if self._streams >= _MOST_STREAMS:
            raise Busy(f"There are {_MOST_STREAMS} streams already; try again later, or at another worker.")
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    @asynccontextmanager
    async def _answering(self, call: "_Call", context: _Context) -> AsyncIterator[None]:
        code = "Cancelled"  # whatever ends the call from outside
        try:
            yield
            code = "OK"
        except Exception as error:  # noqa: BLE001 - the last one before the caller
            status = next((status for kind, status in _STATUS if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
            code = status.name.title().replace("_", "")
            await context.abort(status, _words(error, status, call.method), _metadata(error))
        finally:
            if call.place in self._seconds:
                self._handled[(*call.place, code)].inc()


class _Call(NamedTuple):
    """A method, and how its requests are read."""

    service: str
    method: str
    parse: Callable[[bytes], Message]

    @property
    def place(self) -> tuple[str, str]:
        """As metrics name it."""
        return self.service, self.method

    def read(self, request: bytes) -> Message:
        """The request. Raises DecodeError, NoSuchTime."""
        message = self.parse(request)
        check_times(message)
        return message


def _words(error: Exception, status: grpc.StatusCode, method: str) -> str:
    if isinstance(error, SlowReader) and not isinstance(error, PartitionsMoved):
        return (
            "This reader fell too far behind and missed changes; watch again, and read what was missed by Get or List."
        )
    if isinstance(error, DecodeError):  # the library's words are of its own insides
        return f"The request cannot be read as what {method} takes: it is cut short, or a text in it is not UTF-8."
    if status is not grpc.StatusCode.INTERNAL:
        return shortened(str(error), _LONGEST_WORDS)
    _log.error("%s failed: %s", method, place_of(error))
    return "Something went wrong here; the service's log says what."


def _metadata(error: Exception) -> tuple[tuple[str, str], ...]:
    return ((OWNER, error.owner),) if isinstance(error, NotOwned) and error.owner else ()
