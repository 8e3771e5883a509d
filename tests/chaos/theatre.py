"""Plays scenarios: brings a broker, lets the scenario do its worst, waits, asks the oracle, and clears up."""

import contextlib
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from kafka import KafkaAdminClient

from services.shared.topics import TOPICS
from tests.chaos.chain import Circumstances
from tests.chaos.oracle import Published, examine, is_complete, records_in, table_of
from tests.chaos.report import Finding, Report
from tests.chaos.rules import SECOND
from tests.chaos.run import PARTITIONS, Run, Scale
from tests.chaos.subject import Subject
from tests.chaos.tape import Entry

#: Seconds after all is there in which nothing more may come.
_STILL = 0.7


class Scenario(NamedTuple):
    """One way in which things go wrong."""

    #: Does it to a run; its docstring says what. When it returns, workers run that can bring everything to its end.
    play: Callable[[Run], None]
    #: Brings brokers that are its own, for it breaks them; None: those of all.
    brokers: Callable[[], AbstractContextManager[Any]] | None = None
    #: The oracle must find fault: the scenario without what guards against it.
    must_fail: bool = False
    #: Of which it is played.
    services: Sequence[str] = ("promises", "sla")


class Play(NamedTuple):
    """A scenario of one service."""

    subject: Subject
    name: str
    scenario: Scenario


class Outcome(NamedTuple):
    """What came of one run."""

    service: str
    scenario: str
    seed: int
    scale: Scale
    events: int
    faults: list[str]
    notes: list[str]
    report: Report
    seconds: float
    must_fail: bool
    #: Where the workers' logs and the findings lie; None where all is well.
    kept: Path | None = None

    @property
    def is_good(self) -> bool:
        """Whether it went as it must."""
        if self.must_fail:
            return any(self.report.count(kind) for kind in ("lost", "false", "double"))
        return not self.report.findings


def perform(play: Play, seed: int, scale: Scale, shared: Any, *, code: Path | None = None) -> Outcome:
    """Play a scenario of a service once.

    `shared`: the brokers it runs on where it brings none of its own. `code`: where the services lie, if not here.
    """
    started, (subject, name, scenario) = time.monotonic(), play
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(scenario.brokers()) if scenario.brokers else shared
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="puntual-chaos-")))
        prefix = f"{name.replace('_', '-')}-{seed}-{time.time_ns() // 1_000_000 % 10**8}."
        run = Run(subject, f"{name}/{seed}", scale, broker, prefix, directory, code)
        stack.callback(_clear_up, run)
        published, report = _verdict(run, scenario)
        seconds = time.monotonic() - started
        outcome = Outcome(
            subject.service,
            name,
            seed,
            scale,
            published.events,
            run.faults,
            run.notes,
            report,
            seconds,
            scenario.must_fail,
        )
        return outcome if outcome.is_good else outcome._replace(kept=_keep(run, name, seed, report))


def _verdict(run: Run, scenario: Scenario) -> tuple[Published, Report]:
    """Play, wait, and ask the oracle."""
    complaints: list[Finding] = []
    with _complaining(complaints):
        scenario.play(run)
        run.calm()
    with _complaining(complaints):
        run.tape.catch_up()
    published = _published(run)
    now = int(time.time() * SECOND)
    with _complaining(complaints):
        _settle(run, published, now)
    with _complaining(complaints):
        run.over()
        complaints += [
            Finding("wrong", worker.name, "it ended by itself")
            for worker in run.workers
            if worker.wanted and not worker.runs
        ]
        for worker in run.workers:
            if worker.runs:
                worker.leave()
        run.tape.catch_up()
    table = table_of(records_in(run.read_again()))
    dead = run.tape.of(run.dead_letters)
    holes = run.tape.holes(run.records)
    silence = run.silence and run.silence.with_events(_inputs(run))
    circumstances = Circumstances(now, int(run.patience * SECOND), holes, run.hidden, silence)
    report = examine(published, run.tape.of(run.records), table, dead, circumstances)
    report.findings[:0] = complaints
    if holes and run.compacts:
        run.notes.append(f"{sum(holes.values())} compacted unseen")
    elif holes:
        report.findings.append(Finding("wrong", run.records, f"offsets are missing before {sorted(holes)}"))
    return published, report


def _published(run: Run) -> Published:
    return Published.of(run.judge(), _inputs(run), PARTITIONS)


def _inputs(run: Run) -> Mapping[str, Sequence[Entry]]:
    return {name: run.tape.of(run.prefix + name) for name in run.subject.inputs}


def _settle(run: Run, published: Published, now: int) -> None:
    """Wait until everything is there that must come, and then a little for what must not."""
    expected = published.expected(now)
    end = time.monotonic() + run.settling
    while time.monotonic() < end:
        run.tape.catch_up()
        records = records_in(run.tape.of(run.records))
        if is_complete(expected, published, records, run.tape.of(run.dead_letters)):
            break
        time.sleep(0.2)
    time.sleep(_STILL)


@contextlib.contextmanager
def _complaining(complaints: list[Finding]) -> Iterator[None]:
    """A failure on the way is a finding; the oracle is asked all the same."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it was, it is said
        place = traceback.extract_tb(error.__traceback__)[-1]
        complaints.append(Finding("wrong", f"{place.name}:{place.lineno}", f"{type(error).__name__}: {error}"))


def _keep(run: Run, name: str, seed: int, report: Report) -> Path:
    """Keep what explains a failure."""
    directory = Path(tempfile.mkdtemp(prefix=f"puntual-{name}-{seed}-"))
    for worker in run.workers:
        worker.save_log(directory)
    lines = (*(f"fault: {fault}" for fault in run.faults), *map(str, report.findings))
    (directory / "findings.txt").write_text("\n".join(lines) + "\n")
    return directory


def _clear_up(run: Run) -> None:
    run.over()
    for worker in run.workers:
        worker.close()
    run.tape.close()
    admin = KafkaAdminClient(bootstrap_servers=run.kafka)
    try:
        admin.delete_topics([topic.under(run.prefix) for topic in TOPICS])
    finally:
        admin.close()
