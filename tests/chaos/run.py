"""One run of a scenario: its topics, its traffic, its workers; what a scenario is given to play with."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any, Literal

from services.shared.topics import provision
from tests.chaos.publication import Publication
from tests.chaos.rules import SECOND
from tests.chaos.silence import Silence
from tests.chaos.subject import Judge, Subject
from tests.chaos.tape import Entry, Tape
from tests.chaos.traffic import Mix, Plan, Shot, plan
from tests.chaos.workers import Worker

Scale = Literal["short", "full"]
Change = Callable[[Sequence[Shot], int], Sequence[Shot]]

PARTITIONS = 4
SESSION_SECONDS = 2
#: Seconds between two looks at the workers, and of the recorder at the topics.
_LOOK = 0.1
#: What planning takes for each event, in seconds, and a little more: the traffic starts after it.
_PLANNING, _SOON = 0.0003, 0.3


class Run:
    """What a scenario plays with. Everything random in it comes from `random`."""

    def __init__(  # noqa: PLR0913, PLR0917 - all that a run hangs on
        self,
        subject: Subject,
        seed: str,
        scale: Scale,
        broker: Any,
        prefix: str,
        directory: Path,
        code: Path | None = None,
    ) -> None:
        """Make the topics.

        `broker` has a `bootstrap`; scenarios with a broker of their own know what else. `code`: where the services lie,
        if not here.
        """
        self.subject = subject
        self.random = Random(seed)
        self.scale: Scale = scale
        self.broker = broker
        self.kafka: str = broker.bootstrap
        self.prefix = prefix
        self.workers: list[Worker] = []
        self.faults: list[str] = []
        #: Figures that the outcome shows.
        self.notes: list[str] = []
        #: Seconds that the workers may need at the end, and that nothing due may stay unsaid.
        self.settling = 90.0
        self.patience = 75.0  # a worker that is behind says nothing for a minute, and one that is gone takes some more
        #: From when to when what was appended could be read by nobody, for want of replicas; in microseconds.
        self.hidden: list[tuple[int, int]] = []
        #: Whether records are compacted while the run lasts.
        self.compacts = False
        #: Half of the runs have static members, which come back without a rebalance.
        self.static = self.random.random() < 0.5
        self.mix = Mix() if scale == "short" else Mix(seconds=10.0, rate=800.0)
        #: The source that falls silent, where one does.
        self.silence: Silence | None = None
        self.directory = directory
        self._code = code
        #: The files that workers judge by, by the setting that names them.
        self.rules: Mapping[str, Path] = subject.rules(directory)
        self._publications: list[Publication] = []
        self._quiet = 0.0
        self._threads: list[Thread] = []
        self._over = Event()
        nodes = getattr(broker, "nodes", ())
        provision(self.kafka, prefix, PARTITIONS, replication=max(1, len(nodes)))
        self.inputs = [prefix + topic for topic in subject.inputs]
        self.records, self.dead_letters = prefix + subject.records, f"{prefix}dead-letters.v1"
        self.laws = [prefix + subject.laws] if subject.laws else []
        #: The consumer group of the workers.
        self.group = prefix + subject.service
        self.tape = self.new_tape()

    def fault(self, what: str) -> None:
        """Note what is done to them."""
        self.faults.append(what)

    # --- workers

    def worker(self, *, ready: bool = True, **settings: Any) -> Worker:
        """One more worker, started. `ready`: wait until it serves."""
        name = f"w{len(self.workers) + 1}"
        usual: dict[str, Any] = {
            "code": self._code,
            "partitions": PARTITIONS,
            **self.rules,
            "session_seconds": SESSION_SECONDS,
        }
        if self.static:
            usual["instance"] = name
        worker = Worker(self.subject.service, name, self.kafka, self.prefix, **{**usual, **settings})
        self.workers.append(worker)
        worker.begin()
        if ready:
            worker.wait_ready()
        return worker

    def team(self, count: int, **settings: Any) -> Sequence[Worker]:
        """Some workers, started and ready."""
        workers = [self.worker(ready=False, **settings) for _ in range(count)]
        for worker in workers:
            worker.wait_ready()
        return workers

    def supervise(self) -> None:
        """From now on start again, as Kubernetes would, what ends by itself."""

        def look() -> None:
            while not self._over.wait(_LOOK):
                for worker in self.workers:
                    if worker.revive():
                        self.fault(f"{worker.name} ended by itself")

        self._in_background(look)

    # --- traffic

    def publish(
        self,
        mix: Mix | None = None,
        name: str = "p",
        *,
        change: Change | None = None,
        start: float | None = None,
        how: type[Publication] = Publication,
    ) -> Publication:
        """Publish seeded traffic in the background.

        `name`: of its subjects, where there is more than one traffic. `change`: what is done to the messages before;
        it is given when they start, in microseconds. `start`: when that is, in seconds of the wall clock, if not soon.
        """
        mix = mix or self.mix
        start = start or self.soon(mix)
        made = plan(self.subject.tales, self.random, mix, int(start * SECOND), name)
        if change:
            shots = sorted(change(made.shots, int(start * SECOND)), key=lambda shot: shot.at)
            made = Plan(shots, max(made.quiet, shots[-1].at))
        return self.play(made, start, how)

    def soon(self, *mixes: Mix) -> float:
        """When traffic can start that is yet to be planned, in seconds of the wall clock."""
        return time.time() + sum(mix.rate * mix.seconds for mix in mixes) * _PLANNING + _SOON

    def play(self, made: Plan, start: float | None = None, how: type[Publication] = Publication) -> Publication:
        """Publish a plan in the background; its times count from `start`, in the wall clock's seconds, or from now."""
        start = start or time.time()
        publication = how(self.kafka, self.prefix, made.shots, start)
        self._publications.append(publication)
        self._quiet = max(self._quiet, start + made.quiet)
        return publication

    # --- topics

    def new_tape(self) -> Tape:
        """Everything that workers read and write."""
        return Tape(self.kafka, [*self.inputs, *self.laws, self.records, self.dead_letters])

    def read_again(self) -> Sequence[Entry]:
        """What is now in the topic of records."""
        with Tape(self.kafka, [self.records]) as tape:
            tape.catch_up()
            return tape.of(self.records)

    def judge(self) -> Judge:
        """Who knows what is judged by, as far as it was seen."""
        return self.subject.judge([entry for topic in self.laws for entry in self.tape.of(topic)])

    def written(self) -> int:
        """How many records, and whatever else, stand in their topic."""
        return sum(self.tape.ends(self.records).values())

    def record_live(self) -> None:
        """From now on keep what topics hold as it comes: they will forget."""

        def look() -> None:
            while not self._over.wait(_LOOK):
                self.tape.catch_up()

        self._in_background(look)

    # --- the end

    def calm(self) -> None:
        """Wait until all is published, and all that comes due soon is over."""
        for publication in self._publications:
            publication.finish()
        time.sleep(max(0.0, self._quiet - time.time()))

    def noisy_until(self, when: float) -> None:
        """Something more comes due until then, in seconds of the wall clock."""
        self._quiet = max(self._quiet, when)

    def over(self) -> None:
        """Bring the background to an end."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _in_background(self, work: Any) -> None:
        thread = Thread(target=work, daemon=True)
        thread.start()
        self._threads.append(thread)
