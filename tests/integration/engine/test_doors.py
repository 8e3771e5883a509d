"""Nothing that a message holds ends a worker: each kind against running services on Apache Kafka."""

import asyncio
import getpass
from collections import Counter
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner
from kafka import KafkaProducer

from puntual.notifier.v1.notifier_service_pb2 import RespondRequest
from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceStub
from puntual.notifier.v1.response_pb2 import RESPONSE_ACTION_ACKNOWLEDGE, Response
from puntual.notifier.v1.silence_pb2 import Silence
from puntual.promises.v1.promise_pb2 import PROMISE_STATE_BROKEN, Promise
from puntual.promises.v1.promise_service_pb2 import GetPromiseRequest
from puntual.promises.v1.promise_service_pb2_grpc import PromiseServiceStub
from services.cli.__main__ import main
from services.shared.clock import set_timestamp, wall_clock
from services.shared.instant import SECOND, Instant
from services.shared.partitioner import partition_of
from services.shared.topic_log import publish
from services.shared.topics import DEAD_LETTERS, ORDERS, PROMISES, RESPONSES, SILENCES, provision
from tests.builders import promised, quick_rules
from tests.integration.engine.raw import a_batch, produce, sealed
from tests.integration.engine.reading import Entry, latest, read_topic
from tests.processes import ServiceProcess, wait_for

PARTITIONS = 2
CUSTOMER = b"c-1"
HERE = partition_of("c-1", PARTITIONS)
ZSTD = 4
MB = 1 << 20
#: A record that is damaged.
ODD = b"\xff"


class Site:
    """A broker with topics of its own."""

    def __init__(self, kafka: str, prefix: str, directory: Path) -> None:
        provision(kafka, prefix, PARTITIONS)
        self.kafka, self.prefix = kafka, prefix
        self.orders = ORDERS.under(prefix)
        self._rules = quick_rules(directory)

    def worker(self, service: str = "promises") -> ServiceProcess:
        """A worker; not started."""
        own = {"rules": self._rules} if service == "promises" else {}
        return ServiceProcess(
            service, self.kafka, self.prefix, partitions=PARTITIONS, instance="only", session_seconds=6, **own
        )

    def attack(self, batch: bytes, topic: str = "") -> int:
        """Where the customer's orders lie; the offset."""
        return produce(self.kafka, topic or self.orders, HERE, batch)

    def promise(self, subject: str, due_in: float = 1.0) -> None:
        """One that will be broken."""
        now = wall_clock()
        event = promised(subject, now, Instant(now + int(due_in * SECOND)))
        with KafkaProducer(bootstrap_servers=self.kafka) as producer:
            producer.send(self.orders, key=CUSTOMER, value=event.SerializeToString(), partition=HERE).get(20)

    def broken(self) -> set[str]:
        """Which promises are, by the topic alone."""
        values = [each for each in latest(read_topic(self.kafka, PROMISES.under(self.prefix))).values() if each != ODD]
        records = map(Promise.FromString, values)
        return {record.subject_id for record in records if record.state == PROMISE_STATE_BROKEN}

    def dead(self) -> list[Entry]:
        """The dead letters."""
        return list(read_topic(self.kafka, DEAD_LETTERS.under(self.prefix)))

    def puntual(self, *arguments: str) -> tuple[int, str]:
        """What a command prints, and its exit code."""
        done = CliRunner().invoke(main, [*arguments, "--kafka", self.kafka, "--prefix", self.prefix])
        return done.exit_code, done.output


@pytest.fixture
def site(real_kafka: str, prefix: str, tmp_path: Path) -> Site:
    """On Apache Kafka: the embedded broker takes no raw batches for what they are."""
    return Site(real_kafka, prefix, tmp_path)


def peak(worker: ServiceProcess) -> int:
    """The most memory that a worker ever had, in MB."""
    (line,) = [line for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) // 1024


def consumed(worker: ServiceProcess, topic: str, outcome: str) -> float:
    """How many messages of a topic ended so."""
    return sum(
        count
        for name, count in worker.metrics().items()
        if name.startswith("puntual_events_consumed_total") and f'"{topic}"' in name and f'"{outcome}"' in name
    )


def test_no_batch_ends_a_worker(site: Site) -> None:
    """Headers without end, names that are no text, bombs: each is set aside, what can be read is used, in bounds."""
    now = wall_clock()
    used = promised("named oddly", now, Instant(now + SECOND)).SerializeToString()
    with site.worker() as worker:
        site.promise("before")
        wait_for(lambda: site.broken() == {"before"}, 30, worker.output)
        memory = peak(worker)
        site.attack(a_batch(CUSTOMER, b"garbage", [("a", b"")] * 200_000))
        site.attack(sealed(a_batch(CUSTOMER, used, [("hhh", b"x")]).replace(b"\x06hhh", b"\x06\xff\xfe\xff")))
        site.attack(sealed(a_batch(CUSTOMER, b"garbage", [("hhh", b"x")]).replace(b"\x06hhh", b"\x06\xff\xfe\xff")))
        bomb = a_batch(CUSTOMER, bytes(100 * MB), [], ZSTD)
        bombs = [site.attack(bomb) for _ in range(4)]
        for _ in range(40):
            site.attack(a_batch(CUSTOMER, bytes(15 * MB), [], ZSTD))
        site.promise("after")
        wait_for(lambda: site.broken() == {"before", "named oddly", "after"}, 90, worker.output)
        assert peak(worker) - memory < 150
        letters = [entry.headers for entry in site.dead()]
        assert Counter((letter["reason"], letter.get("left-out", "")) for letter in letters) == {
            ("too_large", "headers"): 1,
            ("undecodable", ""): 5,
            ("too_large", "value"): 40,
        }
        assert [int(letter["offset"]) for letter in letters if "offsets" in letter] == bombs
        assert consumed(worker, site.orders, "dead") == 46
        assert worker.terminate() == 0
    code, listed = site.puntual("dead-letters", "list")
    assert code == 0
    assert listed.count("in part: too large to be kept with its value") == 40
    assert "16 MiB" in listed


def test_a_record_of_a_newer_version_is_left_alone(site: Site) -> None:
    """A worker starts beside it, shows it as it is, and sets aside what it is told of it; all else is judged."""
    newer = Promise(promise_id="c-1/order_ready/o-9", customer_id="c-1", subject_id="o-9", state=9, kind=1)  # type: ignore[arg-type]
    value = newer.SerializeToString() + b"\xf2\x06\x01x"
    with KafkaProducer(bootstrap_servers=site.kafka) as producer:
        for key, each in ((newer.promise_id, value), ("c-1/order_ready/o-8", ODD)):
            producer.send(PROMISES.under(site.prefix), key=key.encode(), value=each, partition=HERE).get(20)
    with site.worker() as worker:
        site.promise("o-9")
        site.promise("other")
        wait_for(lambda: "other" in site.broken(), 30, worker.output)
        assert [entry.headers["reason"] for entry in site.dead()] == ["not_understood"]
        assert worker.metrics()["puntual_records_not_understood"] == 2
        with grpc.insecure_channel(worker.address) as channel:
            found = PromiseServiceStub(channel).GetPromise(GetPromiseRequest(promise_id=newer.promise_id)).promise
        assert found.SerializeToString() == value
        assert worker.terminate() == 0
    assert latest(read_topic(site.kafka, PROMISES.under(site.prefix)))[newer.promise_id.encode()] == value


def test_absurd_times_end_no_notifier(site: Site) -> None:
    """Of a silence and of a response, in Kafka or by gRPC; what comes behind them is heard."""
    response = Response(response_id="r", incident_id="i", by="ana", action=RESPONSE_ACTION_ACKNOWLEDGE)
    response.until.seconds = 2**62
    silence = Silence(silence_id="dead", by="mallory", reason="x")
    silence.match.add(label="site", values=["Madrid"])
    silence.starts_at.seconds, silence.ends_at.seconds = 1, -(10**12)
    topic = RESPONSES.under(site.prefix)
    place = partition_of("i", PARTITIONS)
    asyncio.run(publish(site.kafka, SILENCES.under(site.prefix), "dead", silence.SerializeToString()))
    with site.worker("notifier") as notifier:
        assert notifier.metrics()["puntual_notifier_silences_refused_total"] == 1
        with grpc.insecure_channel(notifier.address) as channel, pytest.raises(grpc.RpcError) as refused:
            NotifierServiceStub(channel).Respond(RespondRequest(response=response))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with KafkaProducer(bootstrap_servers=site.kafka) as producer:
            for until in (2**62, -(2**62), -(10**13), 253402300800):
                response.until.seconds = until
                producer.send(topic, key=b"i", value=response.SerializeToString(), partition=place).get(20)
            set_timestamp(response.until, Instant(wall_clock() + SECOND))
            producer.send(topic, key=b"i", value=response.SerializeToString(), partition=place).get(20)
        wait_for(lambda: consumed(notifier, topic, "used") == 1, 30, notifier.output)
        assert [entry.headers["reason"] for entry in site.dead()] == ["absurd_time"] * 4
        assert notifier.terminate() == 0


def test_one_message_is_passed_over(site: Site) -> None:
    """Only while no worker is alive. It is a dead letter that says who and why; what stood before it is not lost."""
    with site.worker() as worker:
        site.promise("read")
        wait_for(lambda: site.broken() == {"read"}, 30, worker.output)
        wrong = ("skip", site.orders, str(HERE), "1", "--reason", "ticket 7", "--service", "promises")
        code, said = site.puntual(*wrong)
        assert (code, "1 worker" in said) == (1, True)
        assert worker.terminate() == 0
    for subject in ("before", "poison", "after"):
        site.promise(subject)

    def skipped() -> bool:
        """A static member is gone only once its session is over."""
        return site.puntual("skip", site.orders, str(HERE), "2", *wrong[4:])[0] == 0

    wait_for(skipped, 30)
    letters = [(entry.headers["reason"], entry.headers["offset"]) for entry in site.dead()]
    assert letters == [("passed_over", "1"), ("skipped", "2")]
    assert f"skipped by {getpass.getuser()}: ticket 7" in site.dead()[-1].headers["detail"]
    code, said = site.puntual("skip", site.orders, str(HERE), "1", *wrong[4:])
    assert (code, "on from 3" in said) == (1, True)
    code, said = site.puntual("skip", site.orders, str(HERE), "9", *wrong[4:])
    assert (code, "ends at 4" in said) == (1, True)
    with site.worker() as worker:
        wait_for(lambda: site.broken() == {"read", "after"}, 30, worker.output)
        assert site.puntual("dead-letters", "replay", "--reason", "passed_over")[0] == 0
        wait_for(lambda: site.broken() == {"read", "after", "before"}, 30, worker.output)
