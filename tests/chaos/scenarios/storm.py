"""All of it at once."""

import time
from collections.abc import Callable, Sequence

from tests.chaos.poison import spoiled
from tests.chaos.run import SESSION_SECONDS, Run
from tests.chaos.workers import Worker

_BLOWS = 5


def storm(run: Run) -> None:
    """Spoiled, repeated and disordered input; three workers, supervised, that something happens to all the time."""
    run.supervise()
    team = run.team(3)
    run.publish(run.mix._replace(ago=3_600.0), "old")
    traffic = run.publish(
        run.mix._replace(seconds=14.0, delay=2.0, repeated=0.3, contradicted=0.03),
        change=lambda shots, start: spoiled(run.random, run.subject.inputs, shots, start, 0.05),
    )
    for number in range(_BLOWS):
        traffic.until((number + run.random.random()) / _BLOWS)
        run.random.choice(_HITS)(run, team)


def _kill(run: Run, team: Sequence[Worker]) -> None:
    worker = run.random.choice(team)
    worker.strike()
    run.fault(f"kill -9 {worker.name}")
    time.sleep(run.random.uniform(0.0, SESSION_SECONDS))
    worker.begin()


def _kill_all(run: Run, team: Sequence[Worker]) -> None:
    for worker in team:
        worker.strike()
    run.fault("kill -9 of all")
    for worker in team:
        worker.begin()


def _freeze(run: Run, team: Sequence[Worker]) -> None:
    worker = run.random.choice(team)
    worker.freeze()
    run.fault(f"freeze {worker.name}")
    time.sleep(run.random.uniform(0.1, SESSION_SECONDS * 2.0))
    worker.thaw()


def _restart(run: Run, team: Sequence[Worker]) -> None:
    worker = run.random.choice(team)
    worker.quit()
    run.fault(f"restart {worker.name}")
    worker.begin()


_HITS: Sequence[Callable[[Run, Sequence[Worker]], None]] = (_kill, _kill_all, _freeze, _freeze, _restart)
