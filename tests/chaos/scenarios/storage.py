"""What happens to what is stored: it is compacted, it expires, it is cut."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource
from kafka.errors import NoError
from kafka.structs import OffsetAndMetadata

from services.shared.topics import examine, provision
from tests.chaos.run import PARTITIONS, Run
from tests.processes import wait_for

_COMPACTED = {
    "segment.ms": "300", "min.cleanable.dirty.ratio": "0.01", "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "300", "delete.retention.ms": "100",
}  # fmt: skip
#: How often the broker looks for something to compact.
_CLEANER = {"log.cleaner.backoff.ms": "200"}


def compaction(run: Run) -> None:
    """Records are compacted and read input is deleted all the time, while workers are killed and started again."""
    run.compacts = True
    run.record_live()
    with _admin(run) as admin, _compacting(run, admin):
        victim, other = run.team(2)
        traffic = run.publish(run.mix._replace(seconds=10.0))
        for part, worker in ((0.3, victim), (0.6, other)):
            traffic.until(part)
            _expire(run, admin)
            worker.strike()
            worker.begin()
            run.fault("kill -9")
            worker.wait_ready()
        traffic.until(0.95)
        _expire(run, admin)
        run.calm()
        read = run.read_again()
        run.notes.append(f"{run.written() - len(read)} of {run.written()} writes compacted away")
        assert len(read) < run.written(), "nothing was compacted"


def cut(run: Run) -> None:
    """An operator deletes records, or their topic: the workers do not trust what is left, and say what to do."""
    team = run.team(2)
    traffic = run.publish()
    traffic.until(0.6)
    harm, under_them = run.random.choice([(_cut_short, False), (_made_anew, False), (_made_anew, True)])
    with _admin(run) as admin:
        if not under_them:
            for worker in team:
                worker.leave()
        harm(run, admin)
        run.fault(f"{harm.__name__.strip('_')}{' under them' if under_them else ''}")
        for worker in team:
            if under_them:
                worker.last_words()
            worker.begin()
            words = worker.last_words()
            assert "was cut or made anew" in words, f"{worker.name} says: {words}"
            assert "deploy/runbook.md" in words, f"{worker.name} says: {words}"
        traffic.finish()
        _begin_anew(run, admin)
    for worker in team:
        worker.begin()
    for worker in team:
        worker.wait_ready()


# --- what Kafka does to its logs by itself


@contextmanager
def _compacting(run: Run, admin: KafkaAdminClient) -> Iterator[None]:
    brokers = [str(node["broker_id"]) for node in admin.describe_cluster()["brokers"]]
    admin.alter_configs([ConfigResource("topic", run.records, _COMPACTED)])
    admin.alter_configs([ConfigResource("broker", node, _CLEANER) for node in brokers])
    try:
        yield
    finally:
        admin.reset_configs([ConfigResource("broker", node, _CLEANER) for node in brokers])


def _expire(run: Run, admin: KafkaAdminClient) -> None:
    """Delete the input that is read and committed, as retention does after days."""
    committed = admin.list_group_offsets([run.group])[run.group]
    expired = {
        place: min(found.offset, run.tape.seen(place))
        for place, found in committed.items()
        if place.topic in run.inputs
    }
    admin.delete_records(expired)
    run.fault(f"{sum(expired.values())} events expired")


# --- what operators do to logs


def _cut_short(run: Run, admin: KafkaAdminClient) -> None:
    admin.alter_configs([ConfigResource("topic", run.records, {"cleanup.policy": "compact,delete"})])
    ends = {place: end for place, end in run.tape.ends(run.records).items() if end}
    admin.delete_records({place: end // 2 for place, end in ends.items()})
    # A topic that still forgets is refused for that, before anybody looks at what is left.
    admin.alter_configs([ConfigResource("topic", run.records, {"cleanup.policy": "compact"})])
    wait_for(lambda: not examine(run.kafka, run.prefix, PARTITIONS).differences, 20)


def _made_anew(run: Run, admin: KafkaAdminClient) -> None:
    admin.delete_topics([run.records])
    wait_for(lambda: run.records not in admin.list_topics(), 20)
    provision(run.kafka, run.prefix, PARTITIONS)


def _begin_anew(run: Run, admin: KafkaAdminClient) -> None:
    """As the runbook has it, all workers being stopped. The records begin anew, and so does the tape."""
    _made_anew(run, admin)
    # As kafka-consumer-groups.sh does it: without the notes that the workers left with their offsets.
    beginnings = {place: OffsetAndMetadata(0, "", -1) for topic in run.inputs for place in run.tape.ends(topic)}
    wait_for(lambda: set(admin.alter_group_offsets(run.group, beginnings).values()) == {NoError}, 20)
    run.tape.close()
    run.tape = run.new_tape()


@contextmanager
def _admin(run: Run) -> Iterator[KafkaAdminClient]:
    with closing(KafkaAdminClient(bootstrap_servers=run.kafka)) as admin:
        yield admin
