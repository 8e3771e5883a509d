"""The topics: one table of what travels where and how it is kept, and the tool that creates and checks them.

Nothing here alters a topic that exists: a changed partition count moves customers to other partitions, a changed
retention deletes history. What differs from the table is reported, with the command that would put it right.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from google.protobuf.message import Message
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource
from kafka.errors import KafkaConnectionError, KafkaTimeoutError, TopicAlreadyExistsError, for_code

from puntual.events.v1.appointment_event_pb2 import AppointmentEvent
from puntual.events.v1.callback_event_pb2 import CallbackEvent
from puntual.events.v1.contact_event_pb2 import ContactEvent
from puntual.events.v1.customer_event_pb2 import CustomerEvent
from puntual.events.v1.order_event_pb2 import OrderEvent
from puntual.notifier.v1.audit_pb2 import AuditEntry
from puntual.notifier.v1.incident_pb2 import Dispatch, Incident
from puntual.notifier.v1.response_pb2 import Response
from puntual.notifier.v1.silence_pb2 import Silence
from puntual.promises.v1.promise_pb2 import Promise
from puntual.sla.v1.clock_pb2 import Clock
from puntual.sla.v1.standards_pb2 import StandardsVersion
from puntual.sources.v1.source_pb2 import SourceEntry
from services.shared.errors import KafkaUnreachable, PuntualError

PREFIX = "puntual."
PARTITIONS = 12
CONNECT_MS = 10_000
#: Milliseconds within which topics that the controller has made must be known to the brokers.
_CREATE_MS = 60_000
CLEANUP, REPLICAS, _UNCLEAN = "cleanup.policy", "replicas", "unclean.leader.election.enable"

_DAY = 24 * 60 * 60 * 1000
_MIB = 1024 * 1024
# The broker's own time: announcements wait for what arrived before the takeover, and history is not retired on arrival.
_STAMPED = {"message.timestamp.type": "LogAppendTime"}
_INPUT = {**_STAMPED, "cleanup.policy": "delete", "retention.ms": str(30 * _DAY), "max.message.bytes": str(_MIB)}
_RECORDS = {
    **_STAMPED,
    "cleanup.policy": "compact",
    # Every transition can be read for a day; recovery never reads much more than the records themselves.
    "min.compaction.lag.ms": str(_DAY),
    "segment.ms": str(_DAY),  # the newest segment is never compacted
    "max.message.bytes": str(4 * _MIB),
}
# Written all the time and read whole at every start: of each key there is soon only the last.
_FRESH = {
    **_RECORDS,
    "min.compaction.lag.ms": "0",
    "segment.ms": str(_DAY // 24),
    "min.cleanable.dirty.ratio": "0.1",
    "max.message.bytes": str(_MIB),
}
# Whole records, on their way to the other ids of their customers.
_JOINED = {**_INPUT, "max.message.bytes": str(4 * _MIB)}
_PASSING = {**_STAMPED, "cleanup.policy": "delete", "retention.ms": str(7 * _DAY), "max.message.bytes": str(_MIB)}
# Verdicts are explained by them for as long as there are verdicts.
_KEPT = {**_STAMPED, "cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": str(_MIB)}
# Longer than the year that people speak of when they ask who was told.
_PROOF = {**_STAMPED, "cleanup.policy": "delete", "retention.ms": str(400 * _DAY), "max.message.bytes": str(_MIB)}
# Twice an input message: it carries one whole, and says where it came from.
_DEAD = {**_STAMPED, "cleanup.policy": "delete", "retention.ms": str(90 * _DAY), "max.message.bytes": str(2 * _MIB)}


@dataclass(frozen=True, slots=True, eq=False)
class Topic:
    """One line of the table."""

    #: Without the prefix.
    name: str
    #: What the message key says.
    key: str
    #: What the value is; None: whatever was sent.
    message: type[Message] | None
    #: Topic settings, as Kafka names them.
    settings: Mapping[str, str]
    #: None: as many as all the others, so that one customer is on one partition everywhere.
    partitions: int | None = None

    def under(self, prefix: str = PREFIX) -> str:
        """The name in Kafka."""
        return prefix + self.name


_CUSTOMER = "customer id, or the subject's id where there is no customer"

ORDERS = Topic("orders.v1", _CUSTOMER, OrderEvent, _INPUT)
CALLBACKS = Topic("callbacks.v1", _CUSTOMER, CallbackEvent, _INPUT)
APPOINTMENTS = Topic("appointments.v1", _CUSTOMER, AppointmentEvent, _INPUT)
CONTACTS = Topic("contacts.v1", _CUSTOMER, ContactEvent, _INPUT)
CUSTOMERS = Topic("customers.v1", "customer id", CustomerEvent, _KEPT, partitions=1)
PROMISES = Topic("promises.v1", "promise id, on the customer's partition", Promise, _RECORDS)
SLA = Topic("sla.v1", "clock id, on the customer's partition", Clock, _RECORDS)
JOINED_PROMISES = Topic("promises-joined.v1", "promise id, on the customer's partition", Promise, _JOINED)
JOINED_CLOCKS = Topic("sla-joined.v1", "clock id, on the customer's partition", Clock, _JOINED)
DISPATCH = Topic("dispatch.v1", "incident id", Dispatch, _PASSING)
RESPONSES = Topic("responses.v1", "incident id", Response, _PASSING)
INCIDENTS = Topic("incidents.v1", "incident id", Incident, _RECORDS)
SILENCES = Topic("silences.v1", "silence id", Silence, _RECORDS, partitions=1)
SOURCES = Topic("sources.v1", "stream or worker, on the source's partition", SourceEntry, _FRESH)
AUDIT = Topic("audit.v1", "incident id", AuditEntry, _PROOF)
STANDARDS = Topic("standards.v1", "name of the version", StandardsVersion, _KEPT, partitions=1)
DEAD_LETTERS = Topic("dead-letters.v1", "as it was sent", None, _DEAD, partitions=3)

INPUTS = (ORDERS, CALLBACKS, APPOINTMENTS, CONTACTS)
#: Whatever upstream systems publish.
EVENTS = (*INPUTS, CUSTOMERS)
TOPICS = (
    *EVENTS, PROMISES, JOINED_PROMISES, SLA, JOINED_CLOCKS, STANDARDS, DISPATCH, RESPONSES, INCIDENTS, AUDIT, SILENCES,
    SOURCES, DEAD_LETTERS,
)  # fmt: skip


class Difference(NamedTuple):
    """One thing about an existing topic that is not as the table says."""

    topic: str
    #: A topic setting, "partitions" or "replicas".
    setting: str
    found: str
    expected: str

    def __str__(self) -> str:
        """What differs, and what to do about it."""
        return f"{self.topic}: {self.setting} is {self.found}, expected {self.expected}. {self._remedy()}"

    def _remedy(self) -> str:
        if self.setting == "partitions":
            return (
                f"Run the services with PUNTUAL_PARTITIONS={self.found}, or move to new topics under another"
                " PUNTUAL_TOPIC_PREFIX: partitions added to a topic part customers from their past."
            )
        if self.setting == REPLICAS:
            return "Its partitions get more by kafka-reassign-partitions.sh."
        return f"If nobody meant it: {self.command()}"

    def command(self) -> str:
        """What puts a setting right."""
        change = f"{self.setting}={self.expected}"
        server = '--bootstrap-server "$PUNTUAL_KAFKA"'
        return f"kafka-configs.sh {server} --alter --topic {self.topic} --add-config {change}"


class TopicsDiffer(PuntualError):
    """Topics exist that are not as the table says; they were left as they are."""

    def __init__(self, differences: Sequence[Difference]) -> None:
        super().__init__("\n".join(map(str, differences)))
        self.differences = differences


class Forgetful(PuntualError):
    """Records lie in topics from which Kafka deletes them: promises would be forgotten while they are open."""

    def __init__(self, differences: Sequence[Difference]) -> None:
        lines = (
            f"{each.topic}: {CLEANUP} is {each.found}: Kafka deletes records that are still needed. Before the service"
            f" can start: {each.command()}"
            for each in differences
        )
        super().__init__("\n".join(lines))


class State(NamedTuple):
    """How the topics of a cluster compare with the table."""

    missing: Sequence[str]
    differences: Sequence[Difference]
    #: Those of which there is one replica only: what its broker loses is lost.
    single: Sequence[str]


def provision(
    bootstrap: str, prefix: str = PREFIX, partitions: int = PARTITIONS, replication: int = 1
) -> Sequence[str]:
    """Create the topics that are missing and return their names.

    Raises TopicsDiffer after that, where one that was there differs; KafkaUnreachable; PuntualError where the broker
    refuses.
    """
    with administration(bootstrap) as admin:
        state = _examine(admin, TOPICS, prefix, partitions, replication)
        wanted = {
            topic.under(prefix): {
                "num_partitions": topic.partitions or partitions,
                "replication_factor": replication,
                "configs": _settings(topic, replication),
            }
            for topic in TOPICS
            if topic.under(prefix) in state.missing
        }
        if wanted:
            _create(admin, wanted)
        if state.differences:
            raise TopicsDiffer(state.differences)
        return state.missing


def examine(
    bootstrap: str,
    prefix: str = PREFIX,
    partitions: int = PARTITIONS,
    replication: int = 1,
    topics: Sequence[Topic] = TOPICS,
) -> State:
    """Compare topics of a cluster with the table; changes nothing. `replication`: at least. Raises KafkaUnreachable."""
    with administration(bootstrap) as admin:
        return _examine(admin, topics, prefix, partitions, replication)


def require(bootstrap: str, prefix: str, partitions: int, topics: Sequence[Topic] = TOPICS) -> None:
    """Make sure that a service can start: these topics are there, with so many partitions, and its records are kept.

    Raises KafkaUnreachable, PuntualError where one is missing, TopicsDiffer where one has another number, Forgetful.
    """
    state = examine(bootstrap, prefix, partitions, topics=topics)
    if state.missing:
        raise PuntualError(f"{bootstrap} has no topic {', '.join(state.missing)}; `puntual topics --create` makes them")
    if wrong := [difference for difference in state.differences if difference.setting == "partitions"]:
        raise TopicsDiffer(wrong)
    records = {topic.under(prefix) for topic in topics if topic.settings[CLEANUP] == "compact" and not topic.partitions}
    if lost := [each for each in state.differences if each.setting == CLEANUP and each.topic in records]:
        raise Forgetful(lost)


def partition_count(bootstrap: str, name: str) -> int:
    """How many partitions a topic (its full name) has; 0 where there is none.

    A producer that asked would create it, with the broker's settings instead of ours. Raises KafkaUnreachable.
    """
    with administration(bootstrap) as admin:
        (found,) = admin.describe_topics([name])
        return len(found["partitions"])


@contextlib.contextmanager
def administration(bootstrap: str) -> Iterator[KafkaAdminClient]:
    """A client that administers a cluster, for the length of a `with` block. Raises KafkaUnreachable."""
    try:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=CONNECT_MS)
    except (KafkaConnectionError, KafkaTimeoutError) as error:
        raise KafkaUnreachable(bootstrap) from error
    try:
        yield admin
    finally:
        admin.close()


def _settings(topic: Topic, replication: int) -> dict[str, str]:
    """The topic's settings on a cluster with this many replicas: one may be away, never two."""
    return {**topic.settings, "min.insync.replicas": str(max(1, replication - 1))}


def _examine(admin: KafkaAdminClient, topics: Sequence[Topic], prefix: str, partitions: int, replication: int) -> State:
    names = [topic.under(prefix) for topic in topics]
    described = {found["name"]: found for found in admin.describe_topics(names) if found["error_code"] == 0}
    resources = [ConfigResource("topic", name) for name in described]
    settings = admin.describe_configs(resources, config_filter="all")["topic"] if resources else {}
    replicas = {
        name: min(len(partition["replica_nodes"]) for partition in found["partitions"])
        for name, found in described.items()
    }
    differences = [
        difference
        for topic, name in zip(topics, names, strict=True)
        if name in described
        for difference in _differences(
            name,
            # A topic with a number of its own holds no customer's history together: any number does.
            _settings(topic, replicas[name]) | ({} if topic.partitions else {"partitions": str(partitions)}),
            {"partitions": str(len(described[name]["partitions"])), **_values(settings[name])},
        )
    ]
    differences += [
        Difference(name, REPLICAS, str(number), str(replication))
        for name, number in replicas.items()
        if number < replication
    ]
    missing = [name for name in names if name not in described]
    return State(missing, differences, [name for name, number in replicas.items() if number == 1])


def _differences(name: str, expected: Mapping[str, str], found: Mapping[str, str]) -> Iterator[Difference]:
    for setting, value in expected.items():
        if found.get(setting) != value:
            yield Difference(name, setting, found.get(setting, "unknown to this broker"), value)
    if found.get(_UNCLEAN) == "true":  # a replica that lags behind may lead, and what it lacks is lost
        yield Difference(name, _UNCLEAN, "true", "false")


def _values(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: setting["value"] for name, setting in settings.items()}


def _create(admin: KafkaAdminClient, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    created = admin.create_topics(dict(wanted), raise_errors=False)["topics"]
    fine = {0, TopicAlreadyExistsError.errno}  # somebody else may have created it meanwhile
    refused = [topic for topic in created if topic["error_code"] not in fine]
    if refused:
        reasons = (f"{topic['name']}: {topic['error_message'] or for_code(topic['error_code'])}" for topic in refused)
        raise PuntualError("the broker refused to create topics:\n" + "\n".join(reasons))
    admin.wait_for_topics(list(wanted), timeout_ms=_CREATE_MS)
