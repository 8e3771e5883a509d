"""What publishers do: they repeat, mix up, spoil, misplace, and send too much."""

import time
from collections.abc import Sequence

from tests.chaos.poison import spoiled
from tests.chaos.publication import InTransactions
from tests.chaos.reading import home
from tests.chaos.run import PARTITIONS, Run
from tests.chaos.traffic import Mix, Plan, Shot

#: Seconds by which publishers' clocks are ahead: up to an hour is allowed, the last one is not.
_CLOCKS = (0.0, 1_200.0, 3_400.0, -1_800.0, -7_200.0, 2 * 3_600.0)
#: Seconds within which workers to whom nothing happens announce what is due, on a busy machine.
_SOON = 4.0


def duplicates(run: Run) -> None:
    """Two of three events are published again, and then all of them once more in another order."""
    _undisturbed(run)
    traffic = run.publish(run.mix._replace(repeated=0.65))
    run.fault("repeat two of three")
    traffic.finish()
    run.play(Plan([shot._replace(at=0.0) for shot in run.random.sample(traffic.shots, len(traffic.shots))], 0.0))
    run.fault("repeat all")


def reordering(run: Run) -> None:
    """Hours of events in no order at all, while others happen now and are told late."""
    _undisturbed(run)
    run.publish(run.mix._replace(delay=3.0), "late")
    run.publish(run.mix._replace(ago=6 * 3_600.0), "old", change=lambda shots, _start: _shuffled(run, shots))
    run.fault("shuffle six hours")


def poison(run: Run) -> None:
    """Messages that cannot be used, of every kind: alone, in rows, first, last, and in the middle of batches."""
    _undisturbed(run)
    run.publish(change=lambda shots, start: spoiled(run.random, run.subject.inputs, shots, start, 0.15))
    run.fault("poison")


def misplaced(run: Run) -> None:
    """A publisher whose partitioner is another: what lands on the wrong partition is refused, and that is said."""
    _undisturbed(run)
    run.publish(change=lambda shots, _start: [_led_astray(run, shot) for shot in shots])
    run.fault("another partitioner")


def skewed_clocks(run: Run) -> None:
    """Publishers' clocks differ by hours. Up to an hour ahead is taken; more is a dead letter."""
    _undisturbed(run)
    run.publish(run.mix._replace(clocks=_CLOCKS))
    run.fault("clocks ahead")


def hot_customer(run: Run) -> None:
    """One customer with very many events: one partition has nearly all the work."""
    events, parts = (10_000, 1) if run.scale == "short" else (1_000_000, 40)
    run.team(2)
    run.publish()
    run.settling = 90.0 + events / 2_000
    for part in range(parts):
        run.publish(Mix(seconds=4.0, rate=events / parts / 4.0, customers=1, json=0.0), f"hot-{part}")
    run.fault(f"{events} events of one customer")


def overload(run: Run) -> None:
    """Ten times the usual rate for a while: the lag grows and drains, and nothing false is said meanwhile."""
    rate, seconds = (400.0, 6.0) if run.scale == "short" else (1_000.0, 60.0)
    usual, more = Mix(seconds=seconds + 4.0, rate=rate), Mix(seconds=seconds, rate=rate * 9)
    (worker,) = run.team(1)
    run.settling = 150.0
    start = run.soon(usual, more)
    peak = run.publish(more, "peak", start=start + 2.0)
    run.publish(usual, start=start)
    run.fault("ten times the rate")
    lag = 0.0
    while peak.goes_on:
        lag = max(lag, *(value for name, value in worker.metrics().items() if "consumer_lag_seconds{" in name))
        time.sleep(0.3)
    run.notes.append(f"lag up to {lag:.1f} s")


def transactions(run: Run) -> None:
    """A publisher with transactions, many of them aborted: that never happened, and nothing waits for it."""
    team = run.team(2)
    traffic = run.publish(run.mix._replace(rate=200.0), how=InTransactions)
    run.fault("abort transactions")
    traffic.until(run.random.uniform(0.3, 0.7))
    team[0].strike()
    team[0].begin()
    run.fault("kill -9")
    team[0].wait_ready()


def _undisturbed(run: Run) -> None:
    """Two workers to whom nothing happens: they announce everything soon."""
    run.patience = _SOON
    run.team(2)


def _shuffled(run: Run, shots: Sequence[Shot]) -> Sequence[Shot]:
    """Each published when another would have been."""
    moments = [shot.at for shot in run.random.sample(shots, len(shots))]
    return [shot._replace(at=at) for shot, at in zip(shots, moments, strict=True)]


def _led_astray(run: Run, shot: Shot) -> Shot:
    if run.random.random() > 0.1:
        return shot
    right = home((shot.key or b"").decode(), "", PARTITIONS)
    return shot._replace(partition=(right + run.random.randrange(1, PARTITIONS)) % PARTITIONS)
