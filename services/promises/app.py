"""Puts the promise service together: the only place that constructs."""

from functools import partial

from services.promises.codec import INPUTS, asked, machine
from services.promises.model import PromiseKind, State, Transition
from services.promises.orphans import TOPIC_OF, orphan_of
from services.promises.rpc import promise_service
from services.promises.rules import read_rules
from services.promises.settings import PromiseSettings
from services.shared.clock import wall_clock
from services.shared.customers.log import Customers
from services.shared.engine.authority import AuthoritativeView
from services.shared.engine.skew import Skew
from services.shared.engine.worker import Worker
from services.shared.envelope import Limits
from services.shared.ingress import Ingress, connect, event_service
from services.shared.metrics import PrometheusMeter, Registry, SourceMeter, Vocabulary
from services.shared.service import horizon, serve, worker_settings
from services.shared.sources.orphans import Orphans
from services.shared.sources.watch import Sources
from services.shared.topics import JOINED_PROMISES

WORDS = Vocabulary(
    "promise",
    kinds=tuple(kind.name.lower() for kind in PromiseKind),
    states=tuple(state.name.lower() for state in State),
    transitions=tuple(transition.name.lower() for transition in Transition),
)


async def app(settings: PromiseSettings) -> None:
    """Run the service until it is told to stop."""
    book = read_rules(settings.rules, horizon=horizon(settings))
    registry, skew = Registry(), Skew()
    heard = SourceMeter(registry, "promises")
    sources = Sources("promises", settings, INPUTS, asked(book), heard)
    limits = Limits(wall_clock, horizon=horizon(settings), between=skew.between)
    promises = machine(book, limits, settings.topic_prefix, sources.hearing)
    customers = Customers(settings.kafka, settings.topic_prefix, skew.now)
    meter = PrometheusMeter(registry, (*promises.inputs, JOINED_PROMISES.under(settings.topic_prefix)), WORDS)
    worker = Worker(
        worker_settings("promises", settings), promises, meter, skew=skew, hold=sources.hold, groups=customers
    )
    view = AuthoritativeView(worker, worker.lost)
    orphans = Orphans(view, orphan_of, TOPIC_OF, settings.partitions, heard)
    async with (
        Ingress(partial(connect, settings.kafka), settings.topic_prefix) as ingress,
        customers.following(worker.fail),
        sources.watching(worker),
        orphans.watching(worker),
    ):
        await serve(worker, settings, registry, promise_service, event_service(ingress), orphans.service)
