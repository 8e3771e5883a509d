"""`puntual replay`: history through Kafka and the running services, as if it happened now, only faster."""

import json
import time
from collections import Counter
from pathlib import Path

import click

from services.cli.complaints import as_lines
from services.cli.exits import OF_HISTORIES, Failure
from services.cli.history import PastEvent, disturbed, read
from services.cli.inputs import INPUTS
from services.cli.mapping import load
from services.cli.options import (
    FILE,
    as_of_option,
    json_option,
    kafka_option,
    mapping_option,
    prefix_option,
    repeat_option,
    shuffle_option,
)
from services.cli.progress import track
from services.cli.reading import committed, end_offsets, read_to_end
from services.cli.verdicts import NO_PROMISE, as_json_counts, as_table, fingerprint, labels
from services.cli.words import counted
from services.shared.instant import Instant, format_instant
from services.shared.publisher import Publisher
from services.shared.terminal import console, say, write
from services.shared.topics import PROMISES

#: Kafka's consumer group of the promises service, after the prefix.
_GROUP = "promises"
#: How long no record may be written until the deadlines count as swept.
_QUIET = 2.0


@click.command(
    short_help="Send a history through the running services.",
    epilog=f"""{OF_HISTORIES}

\b
Examples:
  PUNTUAL_CLOCK=event python -m services.promises &
  puntual replay orders.csv.gz --mapping olist_day.yaml --as-of 2018-10-17T17:30:18-03:00 --wait""",
)
@click.argument("data", type=FILE)
@mapping_option
@as_of_option
@shuffle_option
@repeat_option
@click.option("--wait", is_flag=True, help="Wait for the promises service, and show what its records then hold.")
@click.option("--timeout", default=600, show_default=True, type=click.IntRange(1), help="Seconds to wait at most.")
@kafka_option
@prefix_option
@json_option
def replay(
    data: Path,
    mapping_path: Path,
    as_of: Instant,
    shuffle: int | None,
    repeat: float,
    wait: bool,
    timeout: int,
    kafka: str,
    prefix: str,
    as_json: bool,
) -> None:
    """Publish the history in DATA (CSV, may be gzipped), then let the services' time come to an instant.

    The services must run with PUNTUAL_CLOCK=event. Kafka's record time is the present, because retention goes by it;
    the events keep their own.
    """
    history = read(data, load(mapping_path), as_of)
    history.check(data)
    events = disturbed(sorted(history.events), shuffle, repeat)
    topics = {event.topic for event in events}
    _send(events, topics, as_of, kafka, prefix)
    say(f"{counted(len(events), 'event')} published; the clocks stand at {format_instant(as_of)}", err=True)
    for remark in history.remarks:
        say(remark, err=True)
    if wait:
        _show(kafka, prefix, topics, timeout, as_json=as_json)
    if problems := as_lines(history.problems):
        raise Failure("\n".join(problems))


def _show(kafka: str, prefix: str, topics: set[str], timeout: int, *, as_json: bool) -> None:
    """What the promises service has made of it. Raises Failure, also where that is no promise."""
    if topics == {"contacts"}:
        raise Failure(NO_PROMISE)
    _await_service(kafka, prefix, topics, timeout)
    records = {
        message.key: message.value
        for message in read_to_end(kafka, PROMISES.under(prefix))
        if message.key is not None and message.value is not None
    }
    tally = Counter(each for value in records.values() for each in labels(value))
    if as_json:
        write(json.dumps({"promises": as_json_counts(tally), "fingerprint": fingerprint(records)}, indent=2))
    else:
        out = console()
        out.print(as_table(tally))
        out.print(f"fingerprint: {fingerprint(records)}", soft_wrap=True)


def _send(events: list[PastEvent], topics: set[str], as_of: Instant, kafka: str, prefix: str) -> None:
    with Publisher(kafka, prefix) as publisher:
        names = {name: INPUTS[name].under(prefix) for name in topics}
        for event in track(events, len(events), "publishing events"):
            publisher.send(names[event.topic], event.key.encode(), event.value)
        # Only once everything is in the log: a tick must not overtake what happened before it.
        publisher.flush()
        for name in sorted(topics):
            publisher.tick(INPUTS[name], as_of)


def _await_service(kafka: str, prefix: str, topics: set[str], timeout: int) -> None:
    """Return once the service has read all input and written no record for a while. Raises Failure after `timeout`."""
    deadline = time.monotonic() + timeout
    ends = {INPUTS[name].under(prefix): end_offsets(kafka, INPUTS[name].under(prefix)) for name in topics}
    total = sum(sum(partitions.values()) for partitions in ends.values())
    written, quiet_since = -1, time.monotonic()
    with console(err=True).status("waiting for the promises service") as status:
        while True:
            done = sum(sum(committed(kafka, prefix + _GROUP, topic).values()) for topic in ends)
            now, before = time.monotonic(), written
            written = sum(end_offsets(kafka, PROMISES.under(prefix)).values())
            if done < total or written != before:
                quiet_since = now
            if now - quiet_since >= _QUIET:
                return
            if now > deadline:
                raise Failure(
                    f"the promises service has read {done:,} of {total:,} messages in {timeout} s; is it running?"
                )
            status.update(f"waiting for the promises service: {done:,} of {total:,} messages, {written:,} records")
            time.sleep(0.5)
