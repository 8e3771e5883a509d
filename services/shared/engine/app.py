"""The Faust app of a worker: group membership, assignment and life are Faust's; what it reads goes through the lane."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import faust

from services.shared.engine.assignor import LaneAssignor
from services.shared.engine.machine import Machine
from services.shared.engine.recovery import LaneTables
from services.shared.engine.transport import LaneTransport


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a worker takes part in its group."""

    name: str
    kafka: str
    partitions: int
    dead_letters: str
    dead_letter_partitions: int = 3
    event_clock: bool = False
    #: Static group membership; None: dynamic.
    instance: str | None = None
    #: Seconds of silence after which the others take over.
    session_seconds: float = 30.0


def lane_app(settings: WorkerSettings, machine: Machine[Any, Any], inputs: Iterable[str]) -> faust.App:
    """The app; not started yet."""
    app = faust.App(
        settings.name,
        broker=f"kafka://{settings.kafka.replace(',', ';')}",
        store="memory://",
        datadir=tempfile.gettempdir(),
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.partitions,
        table_standby_replicas=0,
        TableManager=LaneTables,
        PartitionAssignor=LaneAssignor,
        consumer_group_instance_id=settings.instance,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 << 20,
        broker_max_poll_records=20_000,
        broker_commit_interval=1.0,
        broker_session_timeout=settings.session_seconds,
        broker_heartbeat_interval=settings.session_seconds / 10,
        broker_request_timeout=60.0,
        producer_request_timeout=60.0,
        producer_acks=-1,
        producer_linger=0.0,
        producer_max_batch_size=512 << 10,
        producer_max_request_size=4 << 20,
        stream_wait_empty=True,
        worker_redirect_stdouts=False,
        key_serializer="raw",
        value_serializer="raw",
    )
    app.transport = LaneTransport(app.conf.broker_consumer, app)
    app.producer_transport = LaneTransport(app.conf.broker_producer, app)
    app.in_worker = True
    for topic in inputs:
        app.topics.add(app.topic(topic, key_type=bytes, value_type=bytes))
    app.Table(
        machine.records,
        key_type=bytes,
        value_type=bytes,
        partitions=settings.partitions,
        changelog_topic=app.topic(machine.records, key_type=bytes, value_type=bytes, internal=False),
    )
    app.finalize()
    return app
