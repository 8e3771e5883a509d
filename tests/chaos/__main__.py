"""`python -m tests.chaos`: play scenarios by seed on real Kafka, one line each, and a table of what came of them."""

import json
import signal
import sys
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import cast

import click

from tests.brokers import Broker
from tests.chaos.report import Kind
from tests.chaos.run import Scale
from tests.chaos.scenarios.table import SCENARIOS
from tests.chaos.theatre import Outcome, perform

_KINDS: Sequence[Kind] = ("lost", "false", "double", "wrong")
_COLUMNS = ("scenario", "seed", "events", "promises", "faults", *_KINDS, "late s", "seconds")
_ROW = "{:<16} {:>6} {:>8} {:>8} {:>6}  {:>5} {:>5} {:>6} {:>5}  {:>11} {:>7}"


@click.command()
@click.option("--seed", default=1, help="Of the first run; every run has the next.")
@click.option("--count", default=len(SCENARIOS), show_default=True, help="Runs, one scenario after the other.")
@click.option("--scenario", "names", multiple=True, type=click.Choice(list(SCENARIOS)), help="Only this; repeatable.")
@click.option("--scale", default="short", type=click.Choice(["short", "full"]), show_default=True)
@click.option("--code", type=click.Path(exists=True, path_type=Path), help="Where the services lie, if not here.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write all outcomes to this file.")
def main(seed: int, count: int, names: Sequence[str], scale: str, code: Path | None, file: Path | None) -> None:
    """Do to the workers what happens to workers, and ask the oracle. Exit code 1 where it finds fault.

    \b
    python -m tests.chaos                                   every scenario once
    python -m tests.chaos --scenario freeze --seed 17 --count 1     one run again
    """  # noqa: D301 - click's own mark
    outcomes: list[Outcome] = []
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(143))  # and let brokers and workers end
    click.echo(_ROW.format(*_COLUMNS))
    with Broker() as broker:
        for number, name in enumerate(islice(cycle(names or SCENARIOS), count)):
            outcome = perform(
                name, SCENARIOS[name], seed + number, cast(Scale, scale), broker, code=code and code.resolve()
            )
            outcomes.append(outcome)
            click.echo(_line(outcome))
            if file:
                file.write_text(json.dumps(list(map(_plain, outcomes)), indent=1))
    click.echo(_summary(outcomes))
    sys.exit(not all(outcome.is_good for outcome in outcomes))


def _line(outcome: Outcome) -> str:
    row = _row([outcome], outcome.scenario, str(outcome.seed))
    remarks = [*outcome.notes]
    if outcome.must_fail:
        remarks.append("fault is found, as it must be" if outcome.is_good else "NO fault is found, where one must be")
    if outcome.kept:
        first = next((str(finding).partition("\n")[0] for finding in outcome.report.findings), "")
        remarks.append(f"FAILED: {first[:200]}\n{'':17}logs and findings: {outcome.kept}")
    return f"{row}  {'; '.join(remarks)}"


def _summary(outcomes: Sequence[Outcome]) -> str:
    names = dict.fromkeys(outcome.scenario for outcome in outcomes)
    groups = [(name, [outcome for outcome in outcomes if outcome.scenario == name]) for name in names]
    groups.append(("all", [outcome for outcome in outcomes if not outcome.must_fail]))
    lines = [_row(group, name, f"{len(group)}x") for name, group in groups]
    failed = [f"{outcome.scenario} {outcome.seed}" for outcome in outcomes if not outcome.is_good]
    verdict = (
        f"{len(failed)} of {len(outcomes)} runs failed: {', '.join(failed)}" if failed else "every run is as it must be"
    )
    return "\n".join(["", _ROW.format(*_COLUMNS).replace("seed", "runs"), *lines, "", verdict])


def _row(outcomes: Sequence[Outcome], name: str, number: str) -> str:
    def total(figure: Callable[[Outcome], float]) -> str:
        return f"{sum(map(figure, outcomes)):.0f}"

    medians, longest = (
        zip(*(outcome.report.late() for outcome in outcomes), strict=True) if outcomes else ((0.0,), (0.0,))
    )
    return _ROW.format(
        name, number,
        total(lambda outcome: outcome.events), total(lambda outcome: outcome.report.promises),
        total(lambda outcome: len(outcome.faults)),
        *(sum(outcome.report.count(kind) for outcome in outcomes) for kind in _KINDS),
        f"{sorted(medians)[len(medians) // 2]:.2f}/{max(longest):.1f}",
        total(lambda outcome: outcome.seconds),
    )  # fmt: skip


def _plain(outcome: Outcome) -> dict[str, object]:
    report = outcome.report
    return {
        "scenario": outcome.scenario, "seed": outcome.seed, "scale": outcome.scale, "good": outcome.is_good,
        "seconds": round(outcome.seconds, 1), "events": outcome.events, "promises": report.promises,
        "writes": report.writes, "announced": report.announced, "faults": outcome.faults, "notes": outcome.notes,
        **{kind: report.count(kind) for kind in _KINDS},
        "late_seconds": dict(zip(("median", "longest"), report.late(), strict=True)), "hasty": report.hasty,
        "dead_letters": report.dead_letters, "repeated_dead_letters": report.repeated_dead_letters,
        "findings": list(map(str, report.findings[:20])), "kept": str(outcome.kept or ""),
    }  # fmt: skip


if __name__ == "__main__":
    main()
