"""What happens to sources: one falls silent, and comes back with all it had to say."""

from collections.abc import Sequence

from tests.chaos.reading import event_in
from tests.chaos.rules import SECOND
from tests.chaos.run import Run
from tests.chaos.silence import Silence
from tests.chaos.tape import Entry
from tests.chaos.traffic import Shot

#: A third of the traffic.
_SOURCE = "shop-0"
#: Seconds of the traffic, and from when to when the source says nothing: for longer than breaches wait.
_LENGTH, _SILENT = 16.0, (4.0, 13.0)
_AFTER = 6
#: Seconds that a breach may be late beside: workers take over meanwhile.
_TAKE_OVER = 20.0


def silence(run: Run) -> None:
    """A source falls silent while one worker is killed and another joins, and returns with its backlog."""
    silence = Silence(_SOURCE, _AFTER * SECOND)
    run.rules = {**run.rules, "sources": silence.declare(run.directory)}
    _silence(run, silence)


def silence_undeclared(run: Run) -> None:
    """The same where no worker knows after how long the source counts as silent: the oracle must find fault."""
    _silence(run, Silence(_SOURCE, _AFTER * SECOND))


def _silence(run: Run, silence: Silence) -> None:
    run.silence = silence
    run.patience = _AFTER + _TAKE_OVER
    victim, _ = run.team(2)
    traffic = run.publish(run.mix._replace(seconds=_LENGTH, rate=150.0), change=_held_back)
    # A third of what comes meanwhile is kept back, so that fewer are published by then than time has passed.
    traffic.until(0.3)
    run.fault(f"{_SOURCE} is silent")
    victim.strike()
    run.fault("kill -9")
    guest = run.worker(ready=False)
    run.fault("join")
    guest.wait_ready()
    victim.begin()
    victim.wait_ready()
    traffic.until(0.65)
    run.random.choice((guest, victim)).strike()
    run.fault("kill -9 as the source returns")


def _held_back(shots: Sequence[Shot], begun: int) -> Sequence[Shot]:
    start, end = _SILENT
    held = [start < shot.at < end and _source(shot, begun) == _SOURCE for shot in shots]
    return [shot._replace(at=end) if is_held else shot for shot, is_held in zip(shots, held, strict=True)]


def _source(shot: Shot, begun: int) -> str:
    at = begun + int(shot.at * SECOND)
    event, _ = event_in(shot.topic, Entry(shot.topic, 0, 0, at, shot.key, shot.value, shot.headers))
    return str(event.source)
