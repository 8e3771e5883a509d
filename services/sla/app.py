"""Puts the sla service together: the only place that constructs."""

import asyncio
from functools import partial

from prometheus_client import Counter, Gauge

from services.shared.clock import wall_clock
from services.shared.customers.log import Customers
from services.shared.engine.authority import AuthoritativeView
from services.shared.engine.skew import Skew
from services.shared.engine.worker import Worker
from services.shared.envelope import Limits
from services.shared.metrics import PrometheusMeter, Registry, SourceMeter, Vocabulary
from services.shared.public_holidays import public_holidays
from services.shared.service import horizon, serve, worker_settings
from services.shared.sources.orphans import Orphans
from services.shared.sources.watch import Sources
from services.shared.topics import JOINED_CLOCKS, STANDARDS
from services.sla.chronicle import Chronicle
from services.sla.codec import INPUTS, asked, machine
from services.sla.model import Metric, State, Transition
from services.sla.orphans import TOPIC_OF, orphan_of
from services.sla.rpc import sla_service
from services.sla.settings import SlaSettings
from services.sla.standards import InForce, Standards
from services.sla.standards_log import StandardsLog

WORDS = Vocabulary(
    "clock",
    kinds=tuple(metric.name.lower() for metric in Metric),
    states=tuple(state.name.lower() for state in State),
    transitions=tuple(transition.name.lower() for transition in Transition),
)


async def app(settings: SlaSettings) -> None:
    """Run the service until it is told to stop."""
    registry = Registry()
    async with StandardsLog(
        settings.kafka,
        STANDARDS.under(settings.topic_prefix),
        settings.standards,
        chronicle=Chronicle(horizon(settings)),
        holidays=public_holidays,
        refused=registry.single(Gauge, "puntual_standards_refused").set,
        unusable=registry.single(Counter, "puntual_standards_messages_refused_total").inc,
    ) as published:
        known = InForce(published.standards)
        heard, skew = SourceMeter(registry, "sla"), Skew()
        sources = Sources("sla", settings, INPUTS, asked(), heard)
        limits = Limits(wall_clock, horizon=horizon(settings), between=skew.between)
        clocks = machine(known, limits, settings.topic_prefix, sources.hearing)
        customers = Customers(settings.kafka, settings.topic_prefix, skew.now)
        meter = PrometheusMeter(registry, (*clocks.inputs, JOINED_CLOCKS.under(settings.topic_prefix)), WORDS)
        worker = Worker(worker_settings("sla", settings), clocks, meter, skew=skew, hold=sources.hold, groups=customers)
        view = AuthoritativeView(worker, worker.lost)
        orphans = Orphans(view, orphan_of, TOPIC_OF, settings.partitions, heard)

        async def judge_by(standards: Standards) -> None:
            known.standards = standards
            await worker.runtime.reconsider()

        following = asyncio.create_task(published.follow(judge_by))
        following.add_done_callback(partial(_ended, worker))
        try:
            async with customers.following(worker.fail), sources.watching(worker), orphans.watching(worker):
                await serve(worker, settings, registry, partial(sla_service, known), orphans.service)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


def _ended(worker: Worker, following: asyncio.Task[None]) -> None:
    """A worker that cannot know which standards are in force must not judge."""
    if not following.cancelled() and (error := following.exception()):
        worker.fail(error)
