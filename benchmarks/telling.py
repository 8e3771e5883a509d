"""From a broken promise to the people who should know: how long it takes and what it costs, also beside dead providers.

Every breach is an incident of its own with a message to one target, a webhook on this machine. Delays are from the
instant at which a breach is announced, just before it is sent to Kafka, until the provider has read the message.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.request import urlopen

from benchmarks.breaches import Breaches
from benchmarks.child import Child
from benchmarks.provider import Task
from benchmarks.report import Row, percentile
from benchmarks.site import PARTITIONS, Site
from benchmarks.stock_incidents import Stock
from benchmarks.worker import Process
from services.shared.broker import HOST, free_port
from services.shared.clock import wall_clock
from services.shared.instant import SECOND, Instant
from tests.processes import wait_for

#: Breaches a second where delays are measured, to the target whose delays they are and as many to others.
_RATE = 20
#: Breaches a second where it is measured how many messages there can be.
_STREAM = 1_100
#: How many records were read, by topic and outcome.
_READ = "puntual_events_consumed_total"
#: Seconds until a process that publishes is ready, that warming up takes, and after which nothing more arrives.
_STARTING, _WARM, _STALLED = 5, 5, 90.0
#: Team → where its messages go. By its name a target is alive, silent (it never answers) or refuses connections.
_TEAMS = ("desk", "alive-1", "alive-2", "silent", "refusing")
_CONFIG = """
targets:
{targets}
routes:
{routes}
  - {{name: rest, targets: [desk], group_by: [customer]}}
"""
_TARGET = '  {name}: {{channel: webhook, settings: {{url: "{url}", networks: [127.0.0.0/8]}}}}\n'
_ROUTE = "  - {{name: {name}, match: {{team: [{name}]}}, targets: [{name}], group_by: [customer]}}\n"


class Providers(NamedTuple):
    """The other end."""

    port: int

    def url(self, target: str) -> str:
        """Where the messages of a target go."""
        port = free_port() if target == "refusing" else self.port
        return f"http://{HOST}:{port}{self.path(target)}"

    @staticmethod
    def path(target: str) -> str:
        """Of a target's address."""
        return f"/{target}/hook"

    def config(self) -> str:
        """The notifier's document."""
        targets = "".join(_TARGET.format(name=team, url=self.url(team)) for team in _TEAMS)
        return _CONFIG.format(targets=targets, routes="".join(_ROUTE.format(name=team) for team in _TEAMS))

    def count(self, target: str = "desk") -> int:
        """How many messages arrived."""
        return int(self._ask("count", target))

    def told(self, times: "Times", target: str = "desk") -> Mapping[int, float]:
        """Every breach that was announced within these times → when its first message came, in microseconds."""
        first: dict[int, float] = {}
        for at, subjects in json.loads(self._ask("figures", target)):
            for announced in map(int, subjects):
                if times.start <= announced < times.end:
                    first.setdefault(announced, at * SECOND)
        return first

    def delays(self, times: "Times", target: str = "desk") -> Sequence[float]:
        """Milliseconds of every breach announced within these times, sorted; each by its first message."""
        return sorted((at - announced) / 1_000 for announced, at in self.told(times, target).items())

    def _ask(self, question: str, target: str) -> bytes:
        with urlopen(f"http://{HOST}:{self.port}/{question}?{self.path(target)}", timeout=30) as answer:
            content: bytes = answer.read()
        return content


class Times(NamedTuple):
    """Of the breaches that count."""

    start: Instant
    end: Instant


class Place(NamedTuple):
    """A notifier between Kafka and providers."""

    site: Site
    prefix: str
    providers: Providers
    config: Path

    def notifier(self) -> Process:
        """For a `with` statement."""
        kafka, code = self.site.kafka, self.site.code
        return Process("notifier", kafka, self.prefix, code=code, partitions=PARTITIONS, notifier=self.config)

    def publish(self, count: int) -> None:
        """Breaches for the desk, as fast as may be."""
        self._publish(Breaches(self.site.kafka, self.prefix, PARTITIONS, count, ("desk",), wall_clock()))

    def publish_at(self, rate: int, count: int) -> Instant:
        """Breaches for the desk, so many a second. Returns when all are out, and when the first was announced."""
        start = Instant(wall_clock() + (_STARTING + count // 20_000) * SECOND)
        self._publish_steadily(count, ("desk",), start, rate)
        return start

    def publish_steadily(self, seconds: int, *teams: str) -> Times:
        """Breaches for teams, by turns. Returns when all are out and those who live were told, and which count."""
        start = Instant(wall_clock() + _STARTING * SECOND)
        rate = _RATE * len(teams)
        count = rate * (seconds + _WARM)
        before = self.providers.count()
        self._publish_steadily(count, teams, start, rate)
        wait_for(lambda: self.providers.count() - before >= count * teams.count("desk") // len(teams), _STALLED)
        return Times(Instant(start + _WARM * SECOND), Instant(start + (seconds + _WARM) * SECOND))

    def _publish_steadily(self, count: int, teams: tuple[str, ...], start: Instant, rate: int) -> None:
        late = self._publish(Breaches(self.site.kafka, self.prefix, PARTITIONS, count, teams, start, rate))
        if float(late) > 0.1:  # noqa: PLR2004 - seconds nobody minds
            print(f"This machine is busy: breaches were published up to {float(late):.1f} s late.")

    def _publish(self, breaches: Breaches) -> str:
        with Child("benchmarks.breaches", breaches, self.site.code) as child:
            pass
        return child.output


def measure(site: Site) -> Iterator[Row]:
    """Delays, a backlog, a dead provider, memory."""
    yield from _delays(site)
    yield from _stream(site)
    yield from _backlog(site)
    yield from _memory(site)


def _delays(site: Site) -> Iterator[Row]:
    """With every provider alive, then with two of them dead, in one run: as many messages each time."""
    seconds = site.size(60, 15)
    with _place(site) as place, place.notifier() as notifier:
        notifier.wait_ready()
        crowd = notifier.waiting()
        alive = place.publish_steadily(seconds, "desk", "desk", "alive-1", "alive-2")
        dead = place.publish_steadily(seconds, "desk", "desk", "silent", "refusing")
        crowded = crowd()
        well, ill = place.providers.delays(alive), place.providers.delays(dead)
    expected = 2 * _RATE * seconds
    for delays in (well, ill):
        assert abs(len(delays) - expected) <= 1, f"{len(delays)} of {expected} breaches arrived"
    yield Row(f"from breach to page, p50 ({4 * _RATE} breaches/s)", percentile(well, 0.50), "ms")
    yield Row("from breach to page, p99", percentile(well, 0.99), "ms", 500)
    yield Row("from breach to page, longest", well[-1], "ms")
    yield Row("with two of four providers dead, p50", percentile(ill, 0.50), "ms")
    yield Row("with two of four providers dead, p99", percentile(ill, 0.99), "ms")
    yield Row("the second p99, of the first", percentile(ill, 0.99) / percentile(well, 0.99), "times", 1.2)
    yield crowded


def _stream(site: Site) -> Iterator[Row]:
    """Breaches as they happen, more than are aimed at: from the first that counts until the last of them is told."""
    seconds = site.size(60, 10)
    count = _STREAM * (seconds + _WARM)
    with _place(site) as place, place.notifier() as notifier:
        notifier.wait_ready()
        with ThreadPoolExecutor(1) as pool:
            publishing = pool.submit(place.publish_at, _STREAM, count)
            wait_for(lambda: place.providers.count() > 0, _STALLED, notifier.output)
            time.sleep(_WARM)
            pace = _paced(place, notifier, publishing.done)
            start = Instant(publishing.result() + _WARM * SECOND)
        wait_for(lambda: place.providers.count() >= count, _STALLED, notifier.output)
        times = Times(start, Instant(start + seconds * SECOND))
        told, delays = place.providers.told(times), place.providers.delays(times)
    expected = _STREAM * seconds
    assert abs(len(told) - expected) <= 1, f"{len(told)} of {expected} breaches arrived"
    rate = len(told) * SECOND / (max(told.values()) - start)
    yield Row(f"messages a second while {_STREAM:,} breaches/s happen", rate, "messages/s", 1_000, True)
    yield Row("CPU of such a message, from the breach on", pace.cpu * 1e6, "µs")
    yield Row("from such a breach to page, p50", percentile(delays, 0.50), "ms")
    yield Row("from such a breach to page, p99", percentile(delays, 0.99), "ms")


def _backlog(site: Site) -> Iterator[Row]:
    """Breaches that were there before the notifier started: from the first that it reads to the last that it tells."""
    count = site.size(30_000, 5_000)
    with _place(site) as place:
        place.publish(count)
        with place.notifier() as notifier:
            wait_for(lambda: _has_read(notifier), _STALLED, notifier.output)
            pace = _paced(place, notifier, lambda: place.providers.count() >= count)
            memory = notifier.peak_memory()
    yield Row(f"messages a second of a backlog of {count:,} incidents", pace.messages, "messages/s", 1_000, True)
    yield Row("CPU of such a message, from the breach on", pace.cpu * 1e6, "µs")
    yield Row("CPUs that it had", pace.cpus, "")
    yield Row(f"the most memory with {count:,} incidents come in as breaches", memory, "MB")


def _has_read(notifier: Process) -> bool:
    """Whether it has begun to."""
    with suppress(OSError):  # it is only starting
        return any(count for name, count in notifier.metrics().items() if name.startswith(_READ))
    return False


class _Pace(NamedTuple):
    """How fast messages came."""

    #: A second.
    messages: float
    #: Seconds of one.
    cpu: float
    cpus: float


def _paced(place: Place, notifier: Process, is_over: Callable[[], bool]) -> _Pace:
    """How fast messages come from now on until that is true."""
    first = place.providers.count(), notifier.cpu(), time.perf_counter()
    wait_for(is_over, 10 * _STALLED, notifier.output)
    last = place.providers.count(), notifier.cpu(), time.perf_counter()
    messages, cpu, wall = (after - before for before, after in zip(first, last, strict=True))
    return _Pace(messages / wall, cpu / messages, cpu / wall)


def _memory(site: Site) -> Iterator[Row]:
    """Recovered: once everybody was told, and where all messages wait for a provider that refuses connections."""
    count = site.size(100_000, 10_000)
    for team, what, target in (("desk", "told", 400), ("refusing", "whose messages wait", None)):
        with _place(site) as place:
            stock = Stock(site.kafka, place.prefix, PARTITIONS, count, team, str(place.config), wall_clock())
            with Child("benchmarks.stock_incidents", stock, site.code):
                pass
            with place.notifier() as notifier:
                notifier.wait_ready()
                time.sleep(site.size(60, 10))
                yield Row(f"memory with {count:,} open incidents, {what}", notifier.memory(), "MB", target)
                yield Row("the most it held on the way", notifier.peak_memory(), "MB")


@contextmanager
def _place(site: Site) -> Iterator[Place]:
    providers = Providers(free_port())
    with (
        TemporaryDirectory() as directory,
        Child("benchmarks.provider", Task(providers.port), site.code, lives=True),
    ):
        config = Path(directory) / "notifier.yaml"
        config.write_text(providers.config())
        yield Place(site, site.topics(), providers, config)
