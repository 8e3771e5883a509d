"""`puntual judge`: history in, verdicts out; no Kafka, no service, the same pure code."""

import gc
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from puntual.promises.v1 import promise_pb2 as pb
from services.cli.complaints import as_fields, as_lines
from services.cli.exits import OF_HISTORIES, Failure
from services.cli.history import History, disturbed, read
from services.cli.mapping import load
from services.cli.options import (
    FILE,
    as_of_option,
    json_option,
    mapping_option,
    repeat_option,
    rules_option,
    shuffle_option,
)
from services.cli.verdicts import NO_PROMISE, Verdicts, as_json_counts, as_table, fingerprint, judge as judge_events
from services.cli.words import counted
from services.promises.model import State
from services.shared.clock import from_timestamp
from services.shared.instant import Instant, format_instant
from services.shared.terminal import console, say, write
from services.shared.text import visible

_SHOWN = 10
_NOTED = State.NOTED.name.lower()


@click.command(
    short_help="Judge a history without Kafka.",
    epilog=f"""{OF_HISTORIES}

\b
Examples:
  puntual judge orders.csv.gz --mapping olist_day.yaml --as-of 2018-10-17T17:30:18-03:00
  puntual judge requests.csv --mapping boston311.yaml --as-of 2016-01-13T00:00:00-05:00 --json
  # the order and the repetition of events must not matter: the fingerprint stays the same
  puntual judge orders.csv --mapping m.yaml --as-of 2026-01-01T00:00:00Z --shuffle 7 --repeat 0.33

\b
A mapping file; "$name" stands for a column, and an event whose column is empty is left out:
  zone: Europe/Madrid                  # of times without offset; of an hour that exists twice, the first
  format: "%d/%m/%Y %H:%M"             # as strptime has it; without it ISO 8601
  where: {{state: [sold, shipped]}}      # which rows count; "*": anything but empty
  every_event: {{source: till, subject_id: $id, customer_id: $who}}   # sequence: $number, where rows are in no order
  events:                              # as `puntual publish` takes them
    - {{topic: orders, occurred_at: $sold, promised: {{milestone: MILESTONE_READY, due: {{at: $due}}}}}}
    - {{topic: orders, occurred_at: $done, ready: {{}}}}
  verdict:                             # if the outcome is known
    {{column: result, kind: order_ready, means: {{good: [kept], bad: [broken, kept_late]}}}}""",
)
@click.argument("data", type=FILE)
@mapping_option
@as_of_option
@rules_option
@shuffle_option
@repeat_option
@click.option("--out", type=click.File("w"), help="One verdict a line (JSON).")
@json_option
def judge(
    data: Path,
    mapping_path: Path,
    as_of: Instant,
    rules: Path | None,
    shuffle: int | None,
    repeat: float,
    out: click.utils.LazyFile | None,
    as_json: bool,
) -> None:
    """Judge the history in DATA (CSV, may be gzipped): which promises were kept, as of an instant.

    Rows become events by a mapping file; events later than the instant are left out. Where the mapping names a column
    that holds the known outcome, verdicts are compared with it. A mismatch, rows that give no event or contradict each
    other, and a history without a promise end the command with 1.
    """
    # Millions of small tuples and no cycles: looking for some takes a third of the time.
    gc.disable()
    click.get_current_context().call_on_close(gc.enable)
    history = read(data, load(mapping_path), as_of)
    history.check(data)
    verdicts = judge_events(disturbed(history.events, shuffle, repeat), rules, as_of)
    wrong = _mismatches(verdicts, history)
    if out:
        for value in verdicts.packed.values():
            out.write(json.dumps(_verdict(value)) + "\n")
    if as_json:
        write(json.dumps(_summary(verdicts, history, as_of, len(wrong)), indent=2))
    else:
        _print(verdicts, history, as_of)
    for remark in history.remarks:
        say(remark, err=True)
    if failures := _failures(verdicts, history, wrong):
        raise Failure("\n".join(failures))


def _failures(verdicts: Verdicts, history: History, wrong: Sequence[str]) -> list[str]:
    """All that changes the exit code."""
    failures = as_lines(history.problems)
    if wrong:
        failures.append(f"{counted(len(wrong), 'verdict')} unlike the known outcome:\n" + "\n".join(wrong[:_SHOWN]))
    if verdicts.unusable:
        reason, count = verdicts.unusable.most_common(1)[0]
        failures.append(f"{counted(verdicts.unusable.total(), 'event')} could not be used; {count:,} of them: {reason}")
    if not any(state != _NOTED for _, state in verdicts.labels.values()):
        failures.append(NO_PROMISE)
    return failures


def _mismatches(verdicts: Verdicts, history: History) -> list[str]:
    found = ((key, verdicts.labels.get(key, ("", "no promise"))[1], allowed) for key, allowed in history.truths.items())
    return [
        f"  {visible(key.decode())}: {state}, known as {' or '.join(sorted(allowed))}"
        for key, state, allowed in found
        if state not in allowed
    ]


def _verdict(value: bytes) -> dict[str, Any]:
    """One line of `--out`."""
    promise = pb.Promise.FromString(value)
    earlier = {"earlier": [_cycle(cycle) for cycle in promise.earlier]} if promise.earlier else {}
    return {"promise_id": promise.promise_id, **_cycle(promise), **earlier}


def _cycle(cycle: pb.Promise | pb.Cycle) -> dict[str, str]:
    times = {
        name: format_instant(from_timestamp(getattr(cycle, name)))
        for name in ("original_due_at", "due_at", "settled_at")
        if cycle.HasField(name)
    }
    return {
        "state": pb.PromiseState.Name(cycle.state).removeprefix("PROMISE_STATE_").lower(),
        "reason": pb.PromiseReason.Name(cycle.reason).removeprefix("PROMISE_REASON_").lower(),
        **times,
    }


def _summary(verdicts: Verdicts, history: History, as_of: Instant, wrong: int) -> dict[str, Any]:
    return {
        "as_of": format_instant(as_of),
        "rows": history.rows,
        "events": len(history.events),
        "left_out_as_later": history.later,
        "unusable": dict(verdicts.unusable),
        "promises": as_json_counts(verdicts.tally()),
        "compared": len(history.truths),
        "mismatches": wrong,
        "problems": as_fields(history.problems),
        "remarks": [*history.remarks],
        "fingerprint": fingerprint(verdicts.packed),
    }


def _print(verdicts: Verdicts, history: History, as_of: Instant) -> None:
    out = console()
    later = f"; {history.later:,} later ones left out" if history.later else ""
    size = f"{counted(history.rows, 'row')}, {counted(len(history.events), 'event')}"
    out.print(f"{size}, judged as of {format_instant(as_of)}{later}")
    out.print(as_table(verdicts.tally()))
    if history.truths:
        equal = len(history.truths) - len(_mismatches(verdicts, history))
        out.print(f"known outcome: {equal:,} of {len(history.truths):,} verdicts equal")
    out.print(f"fingerprint: {fingerprint(verdicts.packed)}", soft_wrap=True)
