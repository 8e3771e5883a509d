"""Every query of the dashboards and rules, asked of a real Prometheus that scraped a run where everything happened."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from threading import Event, Thread

import grpc
import pytest
from prometheus_client import Counter, Gauge

from puntual.promises.v1.promise_service_pb2 import GetPromiseRequest
from puntual.promises.v1.promise_service_pb2_grpc import PromiseServiceStub
from services.notifier.acknowledging import SEVERITIES
from services.notifier.channels import CHANNELS
from services.notifier.holds import Reason
from services.notifier.outbox import Failure
from services.promises.rpc import promise_service
from services.shared.engine.meter import Meter
from services.shared.errors import DeadLetterReason
from services.shared.health import serve_http
from services.shared.metrics import NotifierHealthMeter, NotifierMeter, PrometheusMeter, Registry, SourceMeter
from services.shared.rpc import RpcServer
from tests.conftest import left_out
from tests.deployed import DEPLOY, VOCABULARIES, Query, dashboard_queries, rule_queries
from tests.processes import eventually
from tests.prometheus import BadQuery, Prometheus, prometheus
from tests.views import MemoryView

TOPICS = ("orders", "callbacks")
SETTLED = 25.0  # seconds: rates need two scrapes, the recorded ones of them two evaluations


class Run:
    """What three services would measure, all of it happening over and over."""

    def __init__(self) -> None:
        self.registries = {service: Registry() for service in VOCABULARIES}
        self._meters = {
            service: PrometheusMeter(self.registries[service], TOPICS, words) for service, words in VOCABULARIES.items()
        }
        self.registries["sla"].single(Gauge, "puntual_standards_refused").set(1)
        self.registries["sla"].single(Gauge, "puntual_topic_differences").set(2)
        sources = SourceMeter(self.registries["promises"], "promises")
        sources.sources({("shop", "orders"): (1.0, True, 60.0)})
        sources.unheard(3)
        sources.orphans({("shop", "orders"): 4})
        self._notifier = NotifierMeter(self.registries["notifier"], CHANNELS, Failure)
        self._health = NotifierHealthMeter(self.registries["notifier"], CHANNELS, Reason)
        self._refused = self.registries["notifier"].single(Counter, "puntual_notifier_silences_refused_total")
        self._over = Event()
        self._thread = Thread(target=self._go_on)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _go_on(self) -> None:
        asyncio.run(self._calls())

    async def _calls(self) -> None:
        async with calling(self.registries["promises"]) as get_promise:
            while not self._over.is_set():
                for service, meter in self._meters.items():
                    happen(meter, service)
                tell(self._notifier)
                ail(self._health)
                self._refused.inc()
                await get_promise()
                await asyncio.sleep(0.1)


class Broken(MemoryView):
    """A worker in which something is wrong."""

    def get(self, partition: int, key: bytes) -> bytes | None:
        raise RuntimeError(f"no {key!r} in {partition}")


@asynccontextmanager
async def calling(registry: Registry) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A gRPC server that fails, and a way to call it."""
    server = RpcServer(registry, promise_service(Broken()), lambda: None)
    port = await server.start("127.0.0.1", 0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = PromiseServiceStub(channel)

        async def get_promise() -> None:
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.GetPromise(GetPromiseRequest(promise_id="ana/callback/1"))

        yield get_promise
    await server.stop(0)


def happen(meter: Meter, service: str) -> None:
    words = VOCABULARIES[service]
    meter.rebalanced()
    for topic in TOPICS:
        meter.consumed(topic, "used", 10)
        meter.event_age(topic, 0.3)
        meter.lag(topic, 0, 90.0)
        meter.batch(topic, 10)
        meter.committed(topic, 0)
        meter.jump(topic, "expired")
        for reason in DeadLetterReason:
            meter.dead_letter(topic, reason.value)
    for kind in words.kinds:
        for state in words.states:
            meter.records(kind, state, 1)
        for transition in words.transitions:
            meter.transition(kind, transition, 1)
        if service != "notifier":
            meter.settled(kind, "kept", [-60.0])
            meter.settled(kind, "kept_late", [3600.0])
    meter.detection_delay(30.0)
    meter.sweep(20.0)
    meter.recovery(1.0)
    meter.recovered(0.5)
    meter.ready(is_ready=False)
    meter.kafka_silence(70.0)
    meter.not_understood(1)
    meter.clock_skew(-60.0)


def tell(meter: NotifierMeter) -> None:
    meter.uncovered("7d", 1)
    for channel in CHANNELS:
        for severity in ("critical", "warning"):
            meter.decided(channel, "breach", severity)
            meter.delivered(channel, severity, 90.0)
        meter.attempted(channel, "success", 0.1)
        meter.attempted(channel, "retryable", 0.1)
        meter.given_up(channel, "auth")
        meter.waiting(channel, "pending", 3)
        meter.oldest(channel, 300.0)
        meter.breakers(channel, 1)
        meter.misworded(channel)
    for severity in SEVERITIES.values():
        meter.acknowledged(severity, 600.0)
        meter.unacknowledged(severity, 1)


def ail(meter: NotifierHealthMeter) -> None:
    long_ago = 1.0
    meter.audited(long_ago, 300.0)
    meter.heartbeat(long_ago, long_ago)
    for reason in Reason:
        meter.held_back(reason, 1)
    meter.unfollowed(1)
    for channel in CHANNELS:
        meter.stuck(channel, 1)
        meter.canary(channel, long_ago, long_ago)


@pytest.fixture(scope="module")
def server() -> Iterator[Prometheus]:
    if not shutil.which("prometheus"):
        left_out("Prometheus is not installed: apt-get install prometheus")
    run = Run()
    with ExitStack() as stack:
        ports = {
            service: stack.enter_context(
                closing(serve_http("127.0.0.1", 0, registry.collector, lambda: None, lambda: None))
            ).port
            for service, registry in run.registries.items()
        }
        stack.enter_context(run)
        yield stack.enter_context(prometheus(ports, DEPLOY / "prometheus" / "rules"))


def parametrized(queries: list[Query]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("expr", [pytest.param(query.expr, id=query.where) for query in queries])


@parametrized(dashboard_queries())
def test_every_panel_shows_what_happened(server: Prometheus, expr: str) -> None:
    """Prometheus understands the query, and answers with data where everything happened."""
    assert eventually(lambda: server.query(expr), SETTLED)


#: What a run that goes on never shows. promtool's cases show that these fire.
UNPROVOKED = {"PuntualServiceDown", "PuntualServiceAbsent", "PuntualDeadlinesUnwatched", "PuntualConsumerStalled"}


@parametrized([query for query in rule_queries() if query.where not in UNPROVOKED])
def test_every_rule_finds_what_it_looks_for(server: Prometheus, expr: str) -> None:
    """Prometheus understands the expression, and finds what the run provoked."""
    assert eventually(lambda: server.query(expr), SETTLED)


def test_every_rule_is_evaluated_without_an_error(server: Prometheus) -> None:
    """Prometheus has evaluated all of them, as they stand in the files."""
    eventually(lambda: all(rule["health"] == "ok" for rule in server.rules()), SETTLED)
    assert [(rule["name"], rule.get("lastError")) for rule in server.rules() if rule["health"] != "ok"] == []
    assert sorted(rule["name"] for rule in server.rules()) == sorted(query.where for query in rule_queries())


def test_an_expression_that_prometheus_does_not_understand_is_noticed(server: Prometheus) -> None:
    """These tests can fail."""
    with pytest.raises(BadQuery, match="parse error"):
        server.query("sum by (rate(")
