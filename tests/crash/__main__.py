"""`python -m tests.crash`: kill a notifier at every named point, and a table of what was delivered all the same."""

import signal
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import click

from tests.brokers import Broker
from tests.crash.points import POINTS
from tests.crash.providers import PROVIDERS
from tests.crash.run import AT_ONCE, Outcome, every_run, perform
from tests.crash.scenarios import SCENARIOS

_HEADER = (
    "",
    "what has happened, and what has not",
    "killed",
    "webhook",
    "e-mail",
    "SMS",
    "console",
    "lost",
    "repeats",
)


@click.command()
@click.option("--name", "names", multiple=True, type=click.Choice([*POINTS, *SCENARIOS]), help="Only this; repeatable.")
@click.option("--channel", "channels", multiple=True, type=click.Choice(list(PROVIDERS)), help="Only this.")
@click.option("--at-once", default=AT_ONCE, show_default=True, help="Runs at the same time.")
def main(names: Sequence[str], channels: Sequence[str], at_once: int) -> None:
    """Kill it at every point, over the breach and over the resolution, by each channel. Exit code 1 at any fault."""
    runs = [run for run in every_run() if run.name in (names or _all()) and run.channel in (channels or PROVIDERS)]
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(143))  # and let brokers and workers end
    started, outcomes = time.monotonic(), list[Outcome]()
    with Broker() as broker, ThreadPoolExecutor(at_once) as pool:
        for done in as_completed([pool.submit(perform, run, broker.bootstrap) for run in runs]):
            outcomes.append(outcome := done.result())
            click.echo(f"{outcome.run!s:<44} {outcome.seconds:>5.1f} s  {_verdict(outcome)}", err=True)
    for line in _table(outcomes):
        click.echo(line)
    wrong = sum(bool(outcome.faults) for outcome in outcomes)
    click.echo(f"\n{len(outcomes)} runs in {time.monotonic() - started:.0f} s, {wrong} with faults")
    sys.exit(bool(wrong))


def _all() -> Sequence[str]:
    return [*POINTS, *SCENARIOS]


def _verdict(outcome: Outcome) -> str:
    if not outcome.faults:
        return "as it must be"
    return "FAILED: " + "; ".join(outcome.faults) + f"\n{outcome.log[-2_000:]}"


def _table(outcomes: Sequence[Outcome]) -> Iterable[str]:
    """In Markdown, a line for each point and scenario."""
    yield _line(_HEADER)
    yield _line(["---"] * len(_HEADER))
    for name in _all():
        mine = sorted((outcome for outcome in outcomes if outcome.run.name == name), key=lambda outcome: outcome.run)
        if not mine:
            continue
        yield _line([
            f"`{name}`",
            (POINTS.get(name) or SCENARIOS[name]).what,
            _killed(name),
            *(_calls([outcome for outcome in mine if outcome.run.channel == channel]) for channel in PROVIDERS),
            "" if not any(outcome.evidence.copies for outcome in mine) else _each(o.evidence.copies for o in mine),
            str(sum(outcome.evidence.lost() for outcome in mine)),
            f"{sum(outcome.evidence.repeats() for outcome in mine)} of {len(mine)}",
        ])  # fmt: skip


def _killed(name: str) -> str:
    """Where the process ends itself, if nobody else does it."""
    point = POINTS.get(name)
    return point.arm.wrapped if point and point.arm else "from outside"


def _calls(outcomes: Iterable[Outcome]) -> str:
    """For each run: how often breach and resolution were sent."""
    return ", ".join("+".join(str(len(calls)) for calls in outcome.evidence.messages()) for outcome in outcomes)


def _each(numbers: Iterable[int]) -> str:
    return "/".join(map(str, sorted(set(numbers))))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
