"""A service's process: its worker, its gRPC server and its metrics, started and stopped together."""

import asyncio
import ctypes
import gc
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NoReturn, TypeVar

from aiokafka.errors import KafkaConnectionError
from kafka.errors import KafkaError
from prometheus_client import Gauge

from services.shared import log as logs
from services.shared.engine.app import WorkerSettings
from services.shared.engine.authority import AuthoritativeView
from services.shared.engine.contact import NameTaken
from services.shared.engine.view import RecordView
from services.shared.engine.worker import Worker
from services.shared.errors import KafkaUnreachable, PuntualError
from services.shared.health import serve_http
from services.shared.instant import SECOND
from services.shared.log import words_of
from services.shared.metrics import Registry
from services.shared.rpc import RpcServer, Service
from services.shared.settings import ClockKind, Settings, read
from services.shared.terminal import say
from services.shared.topics import DEAD_LETTERS, examine, partition_count, require

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Settings)
_EVERY_ADDRESS = frozenset({"0.0.0.0", "[::]"})  # noqa: S104 - recognised, not bound to
_M_MMAP_THRESHOLD = -3  # as malloc.h has it
_HOUR = 3600.0
_GRACE = 2.0  # seconds that calls get to end


def worker_settings(name: str, settings: Settings) -> WorkerSettings:
    """How the worker of a service takes part in its group. The group is named after the topics' prefix.

    Asks Kafka how many partitions there are for dead letters, and waits for the answer. Raises KafkaUnreachable.
    """
    dead_letters = DEAD_LETTERS.under(settings.topic_prefix)
    return WorkerSettings(
        name=f"{settings.topic_prefix}{name}",
        kafka=settings.kafka,
        partitions=settings.partitions,
        dead_letters=dead_letters,
        dead_letter_partitions=partition_count(settings.kafka, dead_letters) or 1,
        event_clock=settings.clock is ClockKind.EVENT,
        instance=settings.instance,
        session_seconds=settings.session_seconds,
    )


def horizon(settings: Settings) -> int | None:
    """How long the past is remembered, in microseconds; None: for ever, as a replay of history needs."""
    return None if settings.clock is ClockKind.EVENT else settings.horizon_days * 86_400 * SECOND


async def serve(
    worker: Worker,
    settings: Settings,
    registry: Registry,
    make_service: Callable[[RecordView], Service],
    *others: Service,
) -> None:
    """Run a worker with its servers until the process is told to stop. Raises what made it fail.

    `others` are served beside what is made of the worker's records.
    """
    rpc = RpcServer(registry, make_service(AuthoritativeView(worker, worker.lost)), worker.not_ready, *others)
    http = serve_http(settings.host, settings.metrics_port, registry.collector, worker.stuck, worker.not_ready)
    differences = registry.single(Gauge, "puntual_topic_differences").set
    watching = asyncio.create_task(watch_topics(settings, differences))
    try:
        port = await rpc.start(settings.host, settings.grpc_port)
        worker.advertise(settings.advertise or reachable(settings.host, port))
        log.info("metrics on http://%s:%d/metrics, gRPC on %s:%d", settings.host, http.port, settings.host, port)
        await worker.run()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await rpc.stop(_GRACE)
        http.close()


async def watch_topics(settings: Settings, found: Callable[[float], object]) -> None:
    """Say every hour, for ever, what of the topics is not as it should be; `found` is told how much that is."""
    look = partial(examine, settings.kafka, settings.topic_prefix, settings.partitions, topics=settings.topics)
    while True:
        try:
            state = await asyncio.to_thread(look)
        except (PuntualError, KafkaError) as error:
            log.debug("the topics could not be looked at: %s", error)  # that Kafka is away is told elsewhere
        else:
            problems = [*(f"{name} is gone" for name in state.missing), *map(str, state.differences)]
            found(len(problems))
            for problem in problems:
                log.warning("%s", problem)
        await asyncio.sleep(_HOUR)


def reachable(host: str, port: int) -> str:
    """Where others reach a server that listens here: on every address of this machine, by its name."""
    return f"{socket.gethostname() if host in _EVERY_ADDRESS else host}:{port}"


def main(name: str, settings_type: type[S], app: Callable[[S], Awaitable[None]]) -> None:
    """The entry point of a service: settings from the environment, logging, the app, an exit code."""
    try:
        settings = read(settings_type, os.environ)
    except PuntualError as error:
        sys.exit(f"{name}: {error}")
    try:
        logs.set_up(name, settings.log)
        require(settings.kafka, settings.topic_prefix, settings.partitions, settings.topics)
        # Batches make thousands of tuples and no cycles: looking for those at the usual rate costs an eighth of the
        # CPU.
        gc.freeze()
        gc.set_threshold(100_000, 20, 20)
        _keep_no_holes()
        # Not on uvloop: where a connection has just broken it raises what aiokafka does not expect, and a producer then
        # waits for ever for the metadata of its cluster.
        asyncio.run(_ended(name, app(settings)))
    except PuntualError as error:
        sys.exit(f"{name}: {error}")
    except KafkaConnectionError:
        sys.exit(f"{name}: {KafkaUnreachable(settings.kafka)}")


def _keep_no_holes() -> None:
    """Have what is fetched given back to the system when it is freed: else glibc keeps hundreds of MB of holes.

    Not smaller buffers: those of every batch would be new pages, each time.
    """
    try:
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)
    except (OSError, AttributeError):
        log.debug("this C library has no mallopt")


async def _ended(name: str, work: Awaitable[None]) -> None:
    """Until it fails unexpectedly; then so does the process."""
    try:
        await work
    except NameTaken as error:
        say(f"{name}: {error}", err=True)
        _end(error.EXIT_CODE)
    except (PuntualError, KafkaConnectionError):
        raise
    except Exception as error:  # noqa: BLE001 - the last one there is
        log.critical("%s ends: %s", name, words_of(error))
        _end(1)


def _end(code: int) -> NoReturn:
    """At once: threads and tasks of a failed worker may hang, and what is in memory is worth nothing now."""
    logging.shutdown()
    os._exit(code)
