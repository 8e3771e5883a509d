"""`puntual standards backtest`: what other standards would have made of the past. It reads, and changes nothing."""

import gc
import gzip
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any, NamedTuple, cast
from zlib import crc32

import click
import msgspec
from rich.box import SIMPLE_HEAD
from rich.table import Table

from services.cli.complaints import as_lines
from services.cli.exits import OF_HISTORIES, Failure
from services.cli.history import read as read_history
from services.cli.inputs import INPUTS
from services.cli.mapping import load as load_mapping
from services.cli.options import FILE, INSTANT, kafka_option, prefix_option
from services.cli.progress import Bar
from services.cli.reading import end_offsets, read_to_end
from services.cli.report import NOTHING, ordered, percent, report
from services.cli.words import counted
from services.shared.clock import wall_clock
from services.shared.duration import format_duration
from services.shared.engine.stage import JSON_HEADER
from services.shared.envelope import Limits
from services.shared.errors import PuntualError, Unusable
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.terminal import console, say, write
from services.sla.backtest import Group, Tally, rates
from services.sla.codec import Reading, identity, readings
from services.sla.model import Fact
from services.sla.policies import load_policies
from services.sla.standards import InForce, Standards

_TOPIC = "topic"
_STEP = 2_000
_LISTED = 15


class Past(NamedTuple):
    """Where the events are."""

    #: JSON lines or, with a mapping, rows; None: in Kafka.
    file: Path | None
    mapping: Path | None
    kafka: str
    prefix: str


class Job(NamedTuple):
    """All there is to do."""

    past: Past
    #: One document or two, the old one first.
    documents: tuple[Path, ...]
    as_of: Instant
    shares: int


@dataclass
class Share:
    """What was found in a part of the customers, or in all."""

    tally: Tally
    events: int = 0
    unusable: Counter[str] = field(default_factory=Counter)
    #: Of the rows of a file: what is wrong with them, and what else is odd; every share reads them all.
    problems: Sequence[str] = ()
    remarks: Sequence[str] = ()

    def add(self, other: "Share") -> None:
        """Take over what another has found."""
        self.tally.add(other.tally)
        self.events += other.events
        self.unusable.update(other.unusable)
        self.problems, self.remarks = other.problems, other.remarks


@click.command(
    epilog=f"""{OF_HISTORIES}

\b
Examples:
  puntual standards backtest --events events.jsonl.gz --standards new.yaml --against standards.yaml
  puntual standards backtest --events topic --standards new.yaml --kafka kafka-1:9092
  puntual standards backtest --events tickets.csv --mapping tickets.yaml --standards new.yaml --html report.html"""
)
@click.option("--events", required=True, metavar="FILE|topic", help="JSON lines, or what the input topics hold.")
@click.option("--mapping", type=FILE, help="How the rows of a CSV file become events; see `puntual judge --help`.")
@click.option("--standards", "new", required=True, type=FILE, help="The standards to try.")
@click.option("--against", "old", type=FILE, help="Those to compare them with.")
@click.option("--as-of", type=INSTANT, help="The instant to judge at.  [default: now]")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write a report with charts.")
@click.option("--processes", type=click.IntRange(1, 64), default=os.cpu_count() or 1, help="How many at once.")
@kafka_option
@prefix_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
def backtest(
    events: str,
    mapping: Path | None,
    new: Path,
    old: Path | None,
    as_of: Instant | None,
    page: Path | None,
    processes: int,
    kafka: str,
    prefix: str,
    as_json: bool,
) -> None:
    """Judge past events by other standards: how well the word would have been kept, and what would end otherwise.

    Nothing is published. Rates are of what is over, kept of kept and broken; what is still open, was called off or has
    no policy is counted beside them. Events that cannot be used, rows that give none or contradict each other, and a
    past in which nothing is timed end the command with 1.
    """
    documents = (old, new) if old else (new,)
    names = told_apart(documents)
    job = Job(Past(_file(events), mapping, kafka, prefix), documents, as_of or wall_clock(), processes)
    found = run(job)
    for remark in found.remarks:
        say(remark, err=True)
    if as_json:
        write(json.dumps(_as_json(found, documents, job.as_of), indent=2, ensure_ascii=False))
    else:
        _print(found, names)
    if page:
        page.write_text(report(found.tally, names, found.events, job.as_of), encoding="utf-8")
    if failures := [*found.problems, *_failures(found)]:
        raise Failure("\n".join(failures))


def _failures(found: Share) -> Iterator[str]:
    if found.unusable:
        reason, count = found.unusable.most_common(1)[0]
        yield f"{counted(found.unusable.total(), 'event')} left out; {count:,} of them because of: {reason}"
    if not found.events:
        yield "there are no events to judge; name a file that holds some, or a topic that was published to"
    elif not any(found.tally.counts):
        yield "no event starts a clock that the standards time; map events of what they time (`puntual judge --help`)"


def told_apart(documents: Sequence[Path]) -> list[str]:
    """What tells them apart, as short as it may be."""
    files = [document.name for document in documents]
    versions = [f"version {load_policies(document).version}" for document in documents]
    for names in (files, versions):
        if len(set(names)) == len(documents):
            return names
    return list(map(str, documents))


def _file(events: str) -> Path | None:
    if events == _TOPIC:
        return None
    if not Path(events).is_file():
        raise Failure(f"--events: there is no file {events}; name one, or write topic to read Kafka")
    return Path(events)


def run(job: Job) -> Share:
    """All of it, each process with its share of the customers. Raises PuntualError where a file is none."""
    found = Share(Tally.of(len(job.documents)))
    context = get_context("spawn")
    done = context.Value("q", 0)
    with (
        Bar("judging events", _total(job.past)) as bar,
        ProcessPoolExecutor(job.shares, context, initializer=_watched, initargs=(done,)) as pool,
    ):
        futures: list[Future[Share]] = [pool.submit(judge_share, job, number) for number in range(job.shares)]
        pending: Iterable[Future[Share]] = futures
        while pending:
            pending = wait(pending, timeout=0.2).not_done
            bar.update(done.value)
        for future in futures:
            found.add(future.result())
    return found


_done: Any = None


def _watched(done: Any) -> None:  # noqa: ANN401 - a synchronized number; its type cannot be named at runtime
    global _done  # noqa: PLW0603 - what a process of the pool is given once
    _done = done
    gc.disable()  # many small tuples and no cycles


def judge_share(job: Job, number: int) -> Share:
    """One share: every customer's events are in one."""
    sides = [Standards.of(load_policies(document)) for document in job.documents]
    timed = InForce(Standards([side.versions[0] for side in sides]))
    reading = readings(timed, Limits(lambda: job.as_of, ahead=0, max_bytes=1 << 30))
    share, facts = Share(Tally.of(len(sides))), defaultdict[bytes, list[Fact]](list)
    for read in _events(job.past, number, job.shares, share):
        share.events += 1
        try:
            for key, fact in read(reading):
                facts[key].append(fact)
        except Unusable as error:
            share.unusable[str(error)] += 1
        if share.events % _STEP == 0:
            _tell(_STEP)
    for key, found in facts.items():
        share.tally.take(identity(key), found, sides, job.as_of)
    _tell(share.events % _STEP)
    return share


def _tell(events: int) -> None:
    if _done is not None:
        with _done.get_lock():
            _done.value += events


class _Line(NamedTuple):
    topic: str
    fields: dict[str, Any]

    def __call__(self, reading: dict[str, Reading]) -> Iterable[tuple[bytes, Fact]]:
        return reading[self.topic].of_fields(self.fields)


class _Message(NamedTuple):
    topic: str
    value: bytes
    is_json: bool

    def __call__(self, reading: dict[str, Reading]) -> Iterable[tuple[bytes, Fact]]:
        return reading[self.topic](self.value, self.is_json)


def _events(past: Past, number: int, shares: int, share: Share) -> Iterator[Any]:
    """How each event of a share is read; what is odd about rows is noted in it."""
    if past.file is None:
        for topic in INPUTS.values():
            for message in read_to_end(past.kafka, topic.under(past.prefix)):
                if message.partition % shares == number:
                    yield _Message(topic.name, message.value or b"", JSON_HEADER in message.headers)
    elif past.mapping is not None:
        history = read_history(past.file, load_mapping(past.mapping), Instant(1 << 62))
        share.problems, share.remarks = as_lines(history.problems), history.remarks
        for event in history.events:
            if _share_of(event.key, shares) == number:
                yield _Message(INPUTS[event.topic].name, event.value, is_json=False)
    else:
        yield from _lines(past.file, number, shares)


def _lines(file: Path, number: int, shares: int) -> Iterator[_Line]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    topics = {short: topic.name for short, topic in INPUTS.items()}
    with _opened(file) as lines:
        for count, line in enumerate(lines, start=1):
            try:
                fields = decode(line)
                topic = topics[fields.pop("topic")]
            except (msgspec.DecodeError, KeyError) as error:
                problem = 'has no "topic", or one that is none' if isinstance(error, KeyError) else "is no JSON object"
                raise PuntualError(f"{file}, line {count}: {problem}; write events as for `puntual publish`") from None
            key = fields.get("customer_id") or fields.get("customerId") or fields.get("subject_id") or ""
            if _share_of(str(key or fields.get("subjectId")), shares) == number:
                yield _Line(topic, fields)


def _share_of(key: str, shares: int) -> int:
    return crc32(key.encode(errors="replace")) % shares


def _opened(file: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(file)) if file.suffix == ".gz" else file.open("rb")


def _total(past: Past) -> int | None:
    """How many events there are, for the bar; None: unknown."""
    if past.file is None:
        return sum(sum(end_offsets(past.kafka, topic.under(past.prefix)).values()) for topic in INPUTS.values())
    if past.mapping is not None:
        return None
    with _opened(past.file) as lines:
        return sum(1 for _ in lines)


# --- what it says

#: Rates of different metrics are never thrown together.
_BY = (("policy", "metric"), ("team", "metric"), ("site", "metric"))


def _as_json(found: Share, documents: Sequence[Path], as_of: Instant) -> dict[str, Any]:
    sides = [
        {
            "standards": str(document),
            **{by[0]: _rates(counts, by) for by in _BY},
            "pauses": [
                {**pause._asdict(), "pauses": times, "seconds": spent[pause] / SECOND}
                for pause, times in sorted(pauses.items())
            ],
        }
        for document, counts, pauses, spent in zip(documents, *_sides(found.tally), strict=True)
    ]
    flips = [
        {**flip._asdict(), "cycles": number, "examples": [_example(each) for each in found.tally.examples[flip]]}
        for flip, number in found.tally.flips.most_common()
    ]
    return {"as_of": format_instant(as_of), "events": found.events, "sides": sides, "flips": flips}


def _sides(tally: Tally) -> tuple[Any, Any, Any]:
    return tally.counts, tally.pauses, tally.paused


def _rates(counts: Mapping[Group, Counter[int]], by: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {**dict(zip(by, key, strict=True)), **rate._asdict(), "share": rate.share}
        for key, rate in rates(counts, by).items()
    ]


def _example(example: Any) -> dict[str, Any]:  # noqa: ANN401 - an Example
    fields = example._asdict()
    times = {name: format_instant(at) if at else None for name, at in fields.items() if name in _INSTANTS}
    return {**fields, **times}


_INSTANTS = {"started_at", "stopped_at", "due_before", "due_after"}


def _print(found: Share, names: Sequence[str]) -> None:
    out = console()
    out.print(f"{counted(found.events, 'event')} judged")
    for by in _BY:
        out.print(_table(found, names, by))
    if any(found.tally.pauses):
        out.print(_pauses(found, names))
    if found.tally.flips:
        out.print("What would end otherwise:")
    for flip, number in ordered(found.tally)[:_LISTED]:
        out.print(f"  {flip.metric}: {flip.before} → {flip.after}  {counted(number, 'cycle')}")
        for each in found.tally.examples[flip][:2]:
            out.print(f"    {each.record_id}, started {format_instant(each.started_at)}")


def _pauses(found: Share, names: Sequence[str]) -> Table:
    """By reason and team: how often clocks were paused, and for how much of their time."""
    table, tally = Table(box=SIMPLE_HEAD), found.tally
    for heading in ("paused: reason", "team", "standards"):
        table.add_column(heading, overflow="fold")
    for heading in ("times", "clocks' time"):
        table.add_column(heading, justify="right")
    for pause in sorted({pause for side in tally.pauses for pause in side}):
        said = pause.reason or NOTHING, pause.team or NOTHING
        for name, times, spent in zip(names, tally.pauses, tally.paused, strict=True):
            length = format_duration(spent[pause]) if times[pause] else NOTHING
            table.add_row(*said, name, f"{times[pause]:,}", length)
            said = "", ""
    return table


def _table(found: Share, names: Sequence[str], by: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for heading in (*by, "standards"):
        table.add_column(heading, overflow="fold")
    for heading in ("kept", "of", "open", "left out"):
        table.add_column(heading, justify="right", no_wrap=True)
    sides = [rates(counts, by) for counts in found.tally.counts]
    for key in sorted({key for side in sides for key in side}):
        said = [part.replace("_", " ") or NOTHING for part in key]
        for name, rate in ((name, side[key]) for name, side in zip(names, sides, strict=True) if key in side):
            numbers = (f"{number:,}" for number in (rate.kept + rate.broken, rate.open, rate.left_out))
            table.add_row(*said, name, percent(rate.share), *numbers)
            said = [""] * len(said)
    return table
