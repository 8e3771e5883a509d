"""`python -m tests.chaos`: play scenarios by seed on real Kafka, one line each, and a table of what came of them."""

import json
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import cast

import click

from tests.brokers import Broker
from tests.chaos.report import Kind
from tests.chaos.run import Scale
from tests.chaos.scenarios.table import PLAYS, SCENARIOS, SUBJECTS
from tests.chaos.theatre import Outcome, perform

_KINDS: Sequence[Kind] = ("lost", "false", "double", "wrong")
_COLUMNS = ("service", "scenario", "seed", "events", "records", "faults", *_KINDS, "late s", "seconds")
_ROW = "{:<8} {:<16} {:>6} {:>8} {:>8} {:>6}  {:>5} {:>5} {:>6} {:>5}  {:>11} {:>7}"


@click.command()
@click.option("--seed", default=1, help="Of the first run; every run has the next.")
@click.option("--count", type=int, help="Runs, one scenario after the other; else each once.")
@click.option("--service", "services", multiple=True, type=click.Choice(list(SUBJECTS)), help="Only this; repeatable.")
@click.option("--scenario", "names", multiple=True, type=click.Choice(list(SCENARIOS)), help="Only this; repeatable.")
@click.option("--scale", default="short", type=click.Choice(["short", "full"]), show_default=True)
@click.option("--code", type=click.Path(exists=True, path_type=Path), help="Where the services lie, if not here.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write all outcomes to this file.")
def main(  # noqa: PLR0913, PLR0917 - one for each option
    seed: int,
    count: int | None,
    services: Sequence[str],
    names: Sequence[str],
    scale: str,
    code: Path | None,
    file: Path | None,
) -> None:
    """Do to the workers what happens to workers, and ask the oracle. Exit code 1 where it finds fault.

    \b
    python -m tests.chaos                                               every scenario of each service once
    python -m tests.chaos --service sla --scenario freeze --seed 17     one run again
    """  # noqa: D301 - click's own mark
    plays = [
        play for play in PLAYS if play.subject.service in (services or SUBJECTS) and play.name in (names or SCENARIOS)
    ]
    outcomes: list[Outcome] = []
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(143))  # and let brokers and workers end
    click.echo(_ROW.format(*_COLUMNS))
    with Broker() as broker:
        for number, play in enumerate(islice(cycle(plays), len(plays) if count is None else count)):
            outcome = perform(play, seed + number, cast(Scale, scale), broker, code=code and code.resolve())
            outcomes.append(outcome)
            click.echo(_line(outcome))
            if file:
                file.write_text(json.dumps(list(map(_plain, outcomes)), indent=1))
    click.echo(_summary(outcomes))
    sys.exit(not all(outcome.is_good for outcome in outcomes))


def _line(outcome: Outcome) -> str:
    row = _row([outcome], outcome.service, outcome.scenario, str(outcome.seed))
    remarks = [*outcome.notes]
    if outcome.must_fail:
        remarks.append("fault is found, as it must be" if outcome.is_good else "NO fault is found, where one must be")
    if outcome.kept:
        first = next((str(finding).partition("\n")[0] for finding in outcome.report.findings), "")
        remarks.append(f"FAILED: {first[:200]}\n{'':26}logs and findings: {outcome.kept}")
    return f"{row}  {'; '.join(remarks)}"


def _summary(outcomes: Sequence[Outcome]) -> str:
    groups = defaultdict[tuple[str, str], list[Outcome]](list)
    for outcome in outcomes:
        groups[outcome.service, outcome.scenario].append(outcome)
    for outcome in outcomes:
        if not outcome.must_fail:
            groups[outcome.service, "all"].append(outcome)
    lines = [_row(group, *play, f"{len(group)}x") for play, group in groups.items()]
    failed = [f"{outcome.service} {outcome.scenario} {outcome.seed}" for outcome in outcomes if not outcome.is_good]
    verdict = (
        f"{len(failed)} of {len(outcomes)} runs failed: {', '.join(failed)}" if failed else "every run is as it must be"
    )
    return "\n".join(["", _ROW.format(*_COLUMNS).replace("seed", "runs"), *lines, "", verdict])


def _row(outcomes: Sequence[Outcome], service: str, name: str, number: str) -> str:
    def total(figure: Callable[[Outcome], float]) -> str:
        return f"{sum(map(figure, outcomes)):.0f}"

    medians, longest = (
        zip(*(outcome.report.late() for outcome in outcomes), strict=True) if outcomes else ((0.0,), (0.0,))
    )
    return _ROW.format(
        service, name, number,
        total(lambda outcome: outcome.events), total(lambda outcome: outcome.report.records),
        total(lambda outcome: len(outcome.faults)),
        *(sum(outcome.report.count(kind) for outcome in outcomes) for kind in _KINDS),
        f"{sorted(medians)[len(medians) // 2]:.2f}/{max(longest):.1f}",
        total(lambda outcome: outcome.seconds),
    )  # fmt: skip


def _plain(outcome: Outcome) -> dict[str, object]:
    report = outcome.report
    return {
        "service": outcome.service, "scenario": outcome.scenario,
        "seed": outcome.seed, "scale": outcome.scale, "good": outcome.is_good,
        "seconds": round(outcome.seconds, 1), "events": outcome.events, "records": report.records,
        "writes": report.writes, "announced": report.announced, "faults": outcome.faults, "notes": outcome.notes,
        **{kind: report.count(kind) for kind in _KINDS},
        "late_seconds": dict(zip(("median", "longest"), report.late(), strict=True)), "hasty": report.hasty,
        "dead_letters": report.dead_letters, "repeated_dead_letters": report.repeated_dead_letters,
        "findings": list(map(str, report.findings[:20])), "kept": str(outcome.kept or ""),
    }  # fmt: skip


if __name__ == "__main__":
    main()
