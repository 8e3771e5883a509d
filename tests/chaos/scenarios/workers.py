"""What happens to workers: they come and go, are killed, and fall silent."""

import time
from collections.abc import Sequence

from tests.chaos.run import SESSION_SECONDS, Run
from tests.chaos.traffic import Shot
from tests.chaos.workers import Worker
from tests.processes import wait_for

#: Seconds within which the others have surely taken over from one that is silent.
_TAKE_OVER = SESSION_SECONDS + 2.0
#: Events that come at once, so that a worker surely has some of them half done.
_BURST = 4_000
#: Records written by which they are in the middle of it.
_BEGUN = 300


def join_leave(run: Run) -> None:
    """A second worker comes and goes under constant load, again and again."""
    turns = 3 if run.scale == "short" else 20
    run.worker()
    guest = run.worker()
    for turn in range(turns):
        traffic = run.publish(run.mix._replace(seconds=4.0), f"p{turn}")
        traffic.until(run.random.uniform(0.0, 0.2))
        guest.leave()
        traffic.until(run.random.uniform(0.3, 0.5))
        guest.begin()
        run.fault("leave, join")
        guest.wait_ready()


def kill_one(run: Run) -> None:
    """One of two is killed at a random moment, and started again a little later."""
    victim, _ = run.team(2)
    traffic = run.publish()
    traffic.until(run.random.uniform(0.2, 0.7))
    victim.strike()
    run.fault("kill -9")
    traffic.until(0.9)
    victim.begin()
    victim.wait_ready()


def kill_all(run: Run) -> None:
    """All are killed at once and started again, while input goes on."""
    team = run.team(2)
    traffic = run.publish()
    traffic.until(run.random.uniform(0.2, 0.6))
    for worker in team:
        worker.strike()
    run.fault("kill -9 of all")
    traffic.until(run.random.uniform(0.65, 0.9))
    for worker in team:
        worker.begin()
    for worker in team:
        worker.wait_ready()


def scale(run: Run) -> None:
    """From one to three workers, to two, to one, under load."""
    first = run.worker()
    traffic = run.publish(run.mix._replace(seconds=10.0))
    traffic.until(run.random.uniform(0.1, 0.2))
    _, third = run.team(2)
    run.fault("1 to 3")
    traffic.until(run.random.uniform(0.5, 0.6))
    first.leave()
    run.fault("3 to 2")
    traffic.until(run.random.uniform(0.7, 0.9))
    third.leave()
    run.fault("2 to 1")


def rolling(run: Run) -> None:
    """Each of them is restarted in turn, as a rollout does."""
    team = run.team(2 if run.scale == "short" else 3)
    traffic = run.publish(run.mix._replace(seconds=10.0))
    for number, worker in enumerate(team):
        traffic.until((number + run.random.random()) / len(team))
        worker.leave()
        worker.begin()
        worker.wait_ready()
        run.fault("restart")


def pause(run: Run) -> None:
    """A worker stands still for less than the session, several times: nobody takes over, nothing is said too soon."""
    team = run.team(2)
    traffic = run.publish()
    for number in range(4):
        traffic.until((number + run.random.random()) / 4)
        worker = run.random.choice(team)
        worker.freeze()
        time.sleep(run.random.uniform(0.2, SESSION_SECONDS * 0.6))
        worker.thaw()
        run.fault("pause")


def freeze(run: Run) -> None:
    """A worker is frozen in the middle of its work until another has taken over; woken, it must end by itself."""
    sleeper = _freeze(run)
    words = sleeper.last_words()
    assert "another worker has taken over" in words, f"its last words are: {words}"
    sleeper.begin()
    sleeper.wait_ready()


def freeze_unfenced(run: Run) -> None:
    """The same where nothing keeps the woken worker from writing: the oracle must find fault."""
    run.settling = 8.0
    sleeper = _freeze(run, module="tests.chaos.unfenced")
    sleeper.last_words()


def freeze_joining(run: Run) -> None:
    """A worker is frozen while it takes over, until others have what it was given; woken, it must do no harm."""
    run.supervise()
    run.worker()
    traffic = run.publish(run.mix._replace(seconds=8.0))
    traffic.until(run.random.uniform(0.2, 0.5))
    guest = run.worker(ready=False)
    wait_for(lambda: "gRPC on" in guest.output(), 30, guest.output)
    time.sleep(run.random.uniform(0.2, 1.5))
    guest.freeze()
    run.fault("freeze in a take-over")
    time.sleep(_TAKE_OVER)
    guest.thaw()


def _freeze(run: Run, **settings: str) -> Worker:
    """Two workers; one is frozen with a backlog before it and writes under way, and woken once the other goes on."""
    sleeper, _ = run.team(2, **settings)
    run.publish()
    burst = run.publish(run.mix._replace(seconds=1.0, rate=_BURST), "burst", change=_at_once)
    burst.until(0.01)
    written = run.written()
    while run.written() < written + _BEGUN:
        time.sleep(0.01)
    sleeper.freeze()
    run.fault("freeze in a backlog")
    burst.finish()
    time.sleep(_TAKE_OVER)
    sleeper.thaw()
    return sleeper


def _at_once(shots: Sequence[Shot], _start: int) -> Sequence[Shot]:
    return [shot._replace(at=0.0) for shot in shots]
