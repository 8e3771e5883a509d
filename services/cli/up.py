"""`puntual up`: everything on this machine, with made-up traffic, to see it work."""

import heapq
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import Empty, Queue
from random import Random
from threading import Event, Thread, Timer
from typing import NamedTuple

import click
from rich.text import Text

from services.cli.changes import Change, follow_changes
from services.cli.exits import EXIT_CODES
from services.cli.inputs import INPUTS
from services.cli.options import ADDRESSES, KAFKA, PREFIX, partitions_option, prefix_option
from services.cli.processes import Child, await_ready, services
from services.cli.traffic import Happening, stories
from services.cli.watch import as_line
from services.cli.words import counted
from services.shared.broker import HOST, is_listening, start_embedded
from services.shared.clock import wall_clock
from services.shared.errors import PublishFailed
from services.shared.instant import SECOND, Instant
from services.shared.publisher import Publisher
from services.shared.terminal import Terminal, console
from services.shared.topics import provision

_DEMO = Path(__file__).with_name("demo")
_PORTS = {"promises": (9101, 9111), "sla": (9102, 9112), "notifier": (9103, 9113)}
#: Seconds between two stories, and for which the end of the traffic waits for Kafka.
_PACE, _LAST = 1.5, 1.0
_KAFKA_PORT = int(KAFKA.rpartition(":")[2])
_NOTIFICATION = "notification"
_QUIET = {"noted", "made", "started"}


class Note(NamedTuple):
    """A line about the run itself."""

    text: str


#: What the terminal shows: an announcement, a line the notifier printed, a note, or what made a thread fail.
Item = Change | str | Note | Exception


@click.command(
    short_help="Run everything on this machine, with made-up traffic.",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual up                                       # until Ctrl-C
  puntual up --for 60                              # for scripts
  PUNTUAL_KAFKA=localhost:9092 puntual up          # on a Kafka of your own""",
)
@click.option("--for", "seconds", type=click.FloatRange(0), help="Stop after so many seconds.")
@click.option("--no-traffic", is_flag=True, help="Publish nothing; send your own with `puntual publish`.")
@click.option(
    "--kafka", type=ADDRESSES, envvar="PUNTUAL_KAFKA", show_envvar=True, help="Use this Kafka, not the embedded broker."
)
@prefix_option
@partitions_option
def up(seconds: float | None, no_traffic: bool, kafka: str | None, prefix: str, partitions: int) -> None:
    """Run everything on this machine: a broker, the three services and made-up traffic.

    Promises last seconds here, so that one sees them kept and broken. Nothing is kept when it ends.
    """
    out = console()
    stop = Event()
    seen: Counter[str] = Counter()
    with ExitStack() as stack:
        stack.enter_context(_stopped_by_signals(stop))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="puntual-")))
        out.print("starting …", style="dim")
        bootstrap = kafka or stack.enter_context(start_embedded(directory / "broker", _port()))
        provision(bootstrap, prefix, partitions)
        environment = {
            "PUNTUAL_KAFKA": bootstrap,
            "PUNTUAL_TOPIC_PREFIX": prefix,
            "PUNTUAL_PARTITIONS": str(partitions),
            "PUNTUAL_RULES": str(_DEMO / "rules.yaml"),
            "PUNTUAL_STANDARDS": str(_DEMO / "standards.yaml"),
            "PUNTUAL_NOTIFIER": str(_DEMO / "notifier.yaml"),
            "PUNTUAL_SOURCES": str(_DEMO / "sources.yaml"),
            "TMPDIR": str(directory),  # what they leave behind goes with it
        }
        children = stack.enter_context(services(_PORTS, environment, directory))
        items: Queue[Item] = Queue()
        following = Event()
        _in_background(items, lambda: _follow(bootstrap, prefix, items, following, stop))
        for child in children:
            _in_background(items, lambda child=child: _read(child, items))  # type: ignore[misc]
        await_ready(children)
        following.wait()
        _welcome(out, whereabouts(kafka, bootstrap), children)
        ports = {child.name: child.grpc_port for child in children}
        out.print(hint(bootstrap, prefix, ports), style="dim", soft_wrap=True)
        out.print("Ctrl-C stops it all.", style="dim")
        out.print()
        if not no_traffic:
            _in_background(items, lambda: _publish(bootstrap, prefix, items, stop))
        if seconds is not None:
            timer = Timer(seconds, stop.set)
            timer.daemon = True  # it must not hold up an earlier end
            timer.start()
        _show(out, items, children, stop, seen)
        out.print("stopping …", style="dim")
        stop.set()
    out.print(farewell(seen), soft_wrap=True)


def _port() -> int | None:
    return None if is_listening(_KAFKA_PORT) else _KAFKA_PORT


@contextmanager
def _stopped_by_signals(stop: Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run in order, not in the middle of things."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_background(items: Queue[Item], work: Callable[[], None]) -> None:
    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - reported by the thread that people see
            items.put(error)

    Thread(target=guarded, daemon=True).start()


def _follow(bootstrap: str, prefix: str, items: Queue[Item], following: Event, stop: Event) -> None:
    try:
        note = partial(_note, items)
        for change in follow_changes(bootstrap, prefix, from_start=False, ready=following.set, tell=note):
            if stop.is_set():
                return
            if change:
                items.put(change)
    finally:
        following.set()  # nobody waits for what will not come


def _read(child: Child, items: Queue[Item]) -> None:
    for line in child.output:
        items.put(line.rstrip())


def _note(items: Queue[Item], text: str) -> None:
    items.put(Note(text))


def _publish(bootstrap: str, prefix: str, items: Queue[Item], stop: Event) -> None:
    """Tell stories in real time until it is time to stop, also while Kafka is away: it hears of them later."""
    publisher = Publisher(bootstrap, prefix)
    try:
        for event in _events(stop):
            try:
                publisher.publish_json(INPUTS[event.topic], event.event)
            except PublishFailed as error:
                _note(items, f"Made-up traffic: {error}")
    finally:
        with suppress(PublishFailed):  # nobody misses made-up events
            publisher.close(_LAST)


def _events(stop: Event) -> Iterator[Happening]:
    """What happens, when it happens: another story begins every so often."""
    waiting: list[tuple[Instant, int, Happening]] = []
    for number, tell in enumerate(stories(Random(7))):  # noqa: S311 - made-up traffic
        start = wall_clock()
        for order, happening in enumerate(tell(start)):
            heapq.heappush(waiting, (happening.at, number * 100 + order, happening))
        while (now := wall_clock()) < start + _PACE * SECOND:
            while waiting and waiting[0][0] <= now:
                yield heapq.heappop(waiting)[-1]
            if stop.wait(0.05):
                return


def _show(
    out: Terminal,
    items: Queue[Item],
    children: Sequence[Child],
    stop: Event,
    seen: Counter[str],
) -> None:
    """Print what happens until it is time to stop. Raises what made a service or a thread fail."""
    while not stop.is_set():
        for child in children:
            child.check()
        try:
            item = items.get(timeout=0.2)
        except Empty:
            continue
        if isinstance(item, Exception):
            raise item
        if isinstance(item, Note):
            out.print(item.text, style="dim", soft_wrap=True)
        elif isinstance(item, str):
            is_subject = bool(item) and not item.startswith(" ")
            seen[_NOTIFICATION] += is_subject
            out.print(Text(f"  ✉ {item}" if is_subject else f"    {item}", "magenta"), soft_wrap=True)
        else:
            seen[item.transition] += 1
            if item.transition not in _QUIET:
                out.print(as_line(item), soft_wrap=True)


def _welcome(out: Terminal, kafka: str, children: Sequence[Child]) -> None:
    out.print(kafka, soft_wrap=True)
    for child in children:
        out.print(
            f"{child.name:<9} metrics http://{HOST}:{child.metrics_port}/metrics   gRPC {HOST}:{child.grpc_port}",
            soft_wrap=True,
        )


def whereabouts(wanted: str | None, bootstrap: str) -> str:
    """Where Kafka is; of an embedded broker that is not at its usual port, why not."""
    if wanted or bootstrap == KAFKA:
        return f"Kafka on {bootstrap}"
    return f"{_KAFKA_PORT} is in use (another `make run`?); this one is at {bootstrap}"


def hint(bootstrap: str, prefix: str, grpc_ports: Mapping[str, int]) -> str:
    """What to type in another terminal to see this run, with the options that lead to it; service → its gRPC port."""
    watch = _unless_usual("kafka", bootstrap, KAFKA) + _unless_usual("prefix", prefix, PREFIX)
    explain = "".join(
        _unless_usual(name, f"{HOST}:{grpc_ports[name]}", f"{HOST}:{_PORTS[name][1]}") for name in ("promises", "sla")
    )
    return f"In another terminal: puntual watch{watch}, or puntual explain CUSTOMER/KIND/SUBJECT{explain}"


def _unless_usual(option: str, value: str, usual: str) -> str:
    return "" if value == usual else f" --{option} {value}"


def farewell(seen: Counter[str]) -> str:
    """What was seen, by transition, and how many notifications."""
    shown = {name: count for name, count in seen.items() if name not in _QUIET}
    counts = ", ".join(
        counted(count, name) if name == _NOTIFICATION else f"{count:,} {name.replace('_', ' ')}"
        for name, count in sorted(shown.items())
    )
    return f"stopped; {counts or 'nothing happened'}"
