"""What idiomatic Faust loses where workers come and go, and beside it the promise worker in the same scenario.

    python -m tests.chaos.idiomatic [--turns 20] [--seed 1] [--rate 100] [--pause 5]

Orders are promised at a constant rate, each a promise of its own, so each event must leave a record of its own in the
changelog. One worker stays; another joins, works for a moment and leaves as it should, again and again. Lost is an
event that left no record although its group has committed past it: nobody will read it again.

Faust's agent pauses for each event, as agents do that ask somebody else, so that events wait in memory when a
rebalance comes. Faust forgets those, but not how far it had read: what it then reads again from the committed offset it
takes for repetition and drops, until the seek to that very offset reaches it; and the gap that this leaves it counts as
done.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from os import environ
from random import Random
from threading import Event, Thread
from typing import IO, NamedTuple

import click
import faust
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.errors import CoordinatorNotAvailableError

from puntual.events.v1.order_event_pb2 import OrderEvent
from services.promises.codec import machine
from services.promises.rules import read_rules
from services.shared.clock import wall_clock
from services.shared.envelope import Limits
from services.shared.instant import SECOND, Instant
from services.shared.topics import ORDERS, PROMISES, provision
from tests.brokers import Broker
from tests.builders import promised
from tests.chaos.tape import Tape

PARTITIONS = 8
CUSTOMERS = 1_000
#: Seconds that the guest stays after it got its partitions, at least half of it, and that the other is alone: at most.
STAY, ALONE = 5.0, 3.0
#: Seconds: for joining and leaving, and without a commit after which a worker counts as stopped.
JOIN, LEAVE, STALLED = 60.0, 40.0, 90.0
#: How often workers are started again where the committed offsets stand still.
RESTARTS = 3
#: The key by which a promise worker shuts out its predecessors; no record.
FENCE = b"~fence"
_PULSE = 0.02  # seconds between two handfuls of events


class Contender(NamedTuple):
    """A way to run the same job."""

    name: str
    #: What its group is called, after the prefix of the topics.
    group: str
    #: What Python is told to run.
    command: Sequence[str]


CONTENDERS = (
    Contender(
        "idiomatic Faust",
        "idiomatic",
        ["-c", "from tests.chaos.idiomatic import judge_promises as judge; judge({kafka!r}, {prefix!r}, {pause})"],
    ),
    Contender("promise worker", "promises", ["-m", "services.promises"]),
)


def judge_promises(kafka: str, prefix: str, pause: float) -> None:
    """The job as Faust's documentation teaches it, an agent and a table; runs until it is told to stop.

    `pause`: seconds for each event.
    """
    promises = machine(read_rules(), Limits(wall_clock), prefix)
    app = faust.App(
        f"{prefix}idiomatic",
        broker=f"kafka://{kafka}",
        store="memory://",
        datadir=tempfile.mkdtemp(),
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=PARTITIONS,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        table_standby_replicas=0,
        stream_wait_empty=True,
        worker_redirect_stdouts=False,
    )
    orders = app.topic(ORDERS.under(prefix), key_type=bytes, value_type=bytes)
    table = app.Table(
        "promises",
        key_type=bytes,
        value_type=bytes,
        partitions=PARTITIONS,
        changelog_topic=app.topic(promises.records, key_type=bytes, value_type=bytes),
    )
    decode = promises.inputs[ORDERS.under(prefix)]

    @app.agent(orders)
    async def judge(stream: faust.StreamT[bytes]) -> None:
        async for value in stream:
            await asyncio.sleep(pause)
            for key, fact in decode(value, False):
                known = table.get(key)
                record = promises.fold(key, None if known is None else promises.unpack(known), [fact])
                if record is not None:
                    table[key] = promises.pack(record)

    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


class Process:
    """One worker."""

    def __init__(self, command: Sequence[str], settings: Mapping[str, str], log: IO[str]) -> None:
        self._command, self._environment, self._log = command, {**environ, **settings}, log
        self.start()

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def start(self) -> None:
        """Start it, also again; does not wait."""
        self._process = subprocess.Popen(
            [sys.executable, *self._command], env=self._environment, stdout=self._log, stderr=subprocess.STDOUT
        )

    def leave(self) -> bool:
        """SIGTERM. False where it does not end, and is killed."""
        self._process.terminate()
        try:
            self._process.wait(LEAVE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        return True


class Tally(NamedTuple):
    """What became of the events."""

    published: int
    #: How many of them lie before the committed offsets.
    passed: int
    #: How many of those left no record.
    lost: int
    #: Records written more than once, though one event cannot say two things.
    repeated: int
    #: What did not go as it should, and how often.
    notes: Mapping[str, int]


class Scene:
    """One contender on topics of its own."""

    def __init__(self, kafka: str, contender: Contender, seed: int, pause: float, log: IO[str]) -> None:
        self._kafka = kafka
        self._prefix = f"{contender.group}-{seed}."
        self._group = self._prefix + contender.group
        self._random = Random(seed)
        self._notes = Counter[str]()
        provision(kafka, self._prefix, PARTITIONS)
        self._command = [part.format(kafka=kafka, prefix=self._prefix, pause=pause) for part in contender.command]
        self._log = log
        settings = {
            "KAFKA": kafka,
            "TOPIC_PREFIX": self._prefix,
            "PARTITIONS": PARTITIONS,
            "METRICS_PORT": 0,
            "GRPC_PORT": 0,
        }
        self._settings = {f"PUNTUAL_{name}": str(value) for name, value in settings.items()}
        self._admin = KafkaAdminClient(bootstrap_servers=kafka)

    def play(self, turns: int, rate: float) -> Tally:
        """All of it."""
        with self._worker() as stays:
            self._wait_members(1)
            with _load(self._kafka, ORDERS.under(self._prefix), rate):
                for _ in range(turns):
                    self._turn(stays)
            with self._worker() as guest:  # together they are done sooner
                self._finish([stays, guest])
        return self._tally()

    @contextmanager
    def _worker(self) -> Iterator[Process]:
        """One for the length of the `with` block; then it leaves."""
        worker = Process(self._command, self._settings, self._log)
        try:
            yield worker
        finally:
            if not worker.leave():
                self._notes["did not leave and was killed"] += 1

    def _turn(self, stays: Process) -> None:
        time.sleep(self._random.uniform(0, ALONE))
        with self._worker():
            self._wait_members(2)
            time.sleep(self._random.uniform(STAY / 2, STAY))
        self._revive(stays)

    def _wait_members(self, count: int) -> None:
        """Wait until so many workers have their partitions."""
        end = time.monotonic() + JOIN
        while time.monotonic() < end:
            with suppress(CoordinatorNotAvailableError):  # until the first group is formed
                group = self._admin.describe_groups([self._group])[self._group]
                if group["group_state"] == "Stable" and len(group["members"]) == count:
                    return
            time.sleep(0.1)
        self._notes["did not join in time"] += 1

    def _revive(self, worker: Process) -> None:
        if not worker.runs:
            self._notes["ended by itself"] += 1
            worker.start()

    def _finish(self, workers: Sequence[Process]) -> None:
        """Wait until the committed offsets have reached the ends; where they stand still, start the workers again."""
        with Tape(self._kafka, [ORDERS.under(self._prefix)]) as tape:
            end = sum(tape.ends(ORDERS.under(self._prefix)).values())
        reached, moved_at, restarts = 0, time.monotonic(), 0
        while (committed := sum(self._committed().values())) < end and restarts <= RESTARTS:
            for worker in workers:
                self._revive(worker)
            if committed > reached:
                reached, moved_at = committed, time.monotonic()
            elif time.monotonic() > moved_at + STALLED:
                self._notes["they had stopped reading and were restarted"] += 1
                moved_at, restarts = time.monotonic(), restarts + 1
                for worker in workers:
                    worker.leave()
                    worker.start()
            time.sleep(0.5)

    def _committed(self) -> Mapping[TopicPartition, int]:
        offsets = self._admin.list_group_offsets(self._group)[self._group]
        return {place: known.offset for place, known in offsets.items()}

    def _tally(self) -> Tally:
        orders, records, committed = ORDERS.under(self._prefix), PROMISES.under(self._prefix), self._committed()
        with Tape(self._kafka, [orders, records]) as tape:
            tape.catch_up()
            written = Counter(entry.key for entry in tape.of(records) if entry.key != FENCE)
            events = tape.of(orders)
        passed = [event for event in events if event.offset < committed.get(TopicPartition(orders, event.partition), 0)]
        lost = sum(_record_of(event.value) not in written for event in passed)
        return Tally(len(events), len(passed), lost, sum(count > 1 for count in written.values()), self._notes)


def _record_of(value: bytes | None) -> bytes:
    """The key of the record that an event must leave."""
    event = OrderEvent.FromString(value or b"")
    return f"{event.customer_id}/order_ready/{event.subject_id}".encode()


@contextmanager
def _load(kafka: str, topic: str, rate: float) -> Iterator[None]:
    """Publish so many events a second for the length of the `with` block, in the background."""
    over = Event()
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True, linger_ms=5)

    def publish() -> None:
        started, number = time.monotonic(), 0
        while not over.wait(_PULSE):
            while number < (time.monotonic() - started) * rate:
                now, customer = wall_clock(), f"c-{number % CUSTOMERS}"
                event = promised(f"o-{number}", now, Instant(now + 86_400 * SECOND), customer)
                producer.send(topic, key=customer.encode(), value=event.SerializeToString())
                number += 1

    thread = Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        producer.flush()
        producer.close()


@click.command()
@click.option("--turns", default=20, help="How often the second worker joins and leaves.")
@click.option("--seed", default=1, help="Of the moments at which it does.")
@click.option("--rate", default=100.0, help="Events a second.")
@click.option("--pause", default=5.0, help="Milliseconds that Faust's agent waits for each event.")
def main(turns: int, seed: int, rate: float, pause: float) -> None:
    """Show it happening."""
    with Broker() as broker, tempfile.NamedTemporaryFile("w", suffix=".log", delete=False) as log:
        click.echo(
            f"{turns} turns, {rate:g} events/s, {pause:g} ms of pause, seed {seed}; what the workers say: {log.name}"
        )
        click.echo(f"{'':16}{'events':>9}{'committed past':>16}{'of them lost':>14}{'written twice':>15}")
        for contender in CONTENDERS:
            tally = Scene(broker.bootstrap, contender, seed, pause / 1_000, log).play(turns, rate)
            click.echo(
                f"{contender.name:16}{tally.published:>9,}{tally.passed:>16,}{tally.lost:>14,}{tally.repeated:>15,}"
            )
            for note, count in tally.notes.items():
                click.echo(f"  {count} x {note}")


if __name__ == "__main__":
    main()
