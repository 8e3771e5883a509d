"""Plays runs: a worker dies at a point, an ordinary one goes on, and what is left is judged."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import NamedTuple

from tests.brokers import Broker
from tests.crash.evidence import Evidence, faults, misdelivered
from tests.crash.points import POINTS, TAKEN
from tests.crash.providers import PROVIDERS
from tests.crash.scenarios import SCENARIOS
from tests.crash.site import BREACH, RESOLUTION, Site, site

#: Runs at the same time: most of each is waiting.
AT_ONCE = 6
_prefixes = (f"crash{number}." for number in count(1))


class Run(NamedTuple):
    """One death of a worker, or one scenario."""

    #: A point or a scenario.
    name: str
    channel: str
    #: Over which the worker dies: the breach (1) or the resolution (2).
    message: int = 1

    def __str__(self) -> str:
        """How a test is named after it."""
        return f"{self.name}-{self.channel}-{('breach', 'resolution')[self.message - 1]}"


class Outcome(NamedTuple):
    """What came of a run."""

    run: Run
    evidence: Evidence
    faults: Sequence[str]
    seconds: float
    log: str


def every_run() -> Iterator[Run]:
    """All there are, the longest first."""
    for name in SCENARIOS:
        yield from (Run(name, channel) for channel in PROVIDERS)
    for name, point in POINTS.items():
        yield from (Run(name, channel, message) for channel in PROVIDERS for message in point.messages)


def runs_of(names: Iterable[str]) -> Sequence[Run]:
    """One run of each, the channels and messages in turn."""
    of_each = [[run for run in every_run() if run.name == name] for name in names]
    return [runs[number % len(runs)] for number, runs in enumerate(of_each)]


def perform(run: Run, kafka: str) -> Outcome:
    """Play a run. `kafka`: where the shared broker is; who breaks one brings it."""
    if run.name in POINTS:
        judge = partial(faults, point=POINTS[run.name], message=run.message)
        return _judged(run, kafka, partial(_die, run), judge)
    scenario = SCENARIOS[run.name]
    judge = partial(misdelivered, expected={1: scenario.calls, 2: {1}})
    if not scenario.breaks:
        return _judged(run, kafka, scenario.play, judge)
    with Broker() as broker:
        return _judged(run, broker.bootstrap, partial(scenario.play, broker=broker), judge)


def _judged(run: Run, kafka: str, play: Callable[[Site], None], judge: Callable[[Evidence], Iterable[str]]) -> Outcome:
    started, partitions = time.monotonic(), SCENARIOS[run.name].partitions if run.name in SCENARIOS else 1
    with site(kafka, next(_prefixes), run.channel, partitions) as place:
        missed = []
        try:
            play(place)
        except AssertionError as error:
            missed = [str(error)]
        evidence = place.evidence()
        return Outcome(run, evidence, [*judge(evidence), *missed], time.monotonic() - started, place.output())


def _die(run: Run, place: Site) -> None:
    """Fails where something does not come."""
    worker, point = place.worker(), POINTS[run.name]
    place.calls.replies = {run.message: point.replies}
    if point.arm is None:
        place.calls.at = {run.message: worker.kill}
        worker.begin()
    else:
        # What a provider does not take is met at that message only.
        worker.begin(point.earlier or run.name, run.message if point.replies == TAKEN else 1)
    place.announce(BREACH, point.age)
    if point.meanwhile:
        place.wait_called()
        place.announce(RESOLUTION, point.age)
    elif run.message > 1:
        place.wait_settled(1)
        place.announce(RESOLUTION, point.age)
    place.deaths.append(worker.wait_dead())
    if point.earlier:
        worker.begin(run.name)
        place.deaths.append(worker.wait_dead())
    worker.begin()
    if run.message == 1 and not point.meanwhile:
        place.wait_settled(1)
        place.announce(RESOLUTION, point.age)
    worker.wait_ready()
    place.wait_settled(2)
    code = worker.terminate()
    assert code == 0, f"the last worker left with exit code {code}"
