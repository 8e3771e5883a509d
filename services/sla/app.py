"""Puts the sla service together: the only place that constructs."""

from services.shared.clock import wall_clock
from services.shared.engine.worker import Worker
from services.shared.envelope import Limits
from services.shared.metrics import PrometheusMeter, Registry, Vocabulary
from services.shared.service import horizon, serve, worker_settings
from services.sla.codec import machine
from services.sla.model import Metric, State, Transition
from services.sla.rpc import sla_service
from services.sla.settings import SlaSettings
from services.sla.standards import load_standards

WORDS = Vocabulary(
    "clock",
    kinds=tuple(metric.name.lower() for metric in Metric),
    states=tuple(state.name.lower() for state in State),
    transitions=tuple(transition.name.lower() for transition in Transition),
)


async def app(settings: SlaSettings) -> None:
    """Run the service until it is told to stop."""
    standards = load_standards(settings.standards, horizon(settings))
    clocks = machine(standards, Limits(wall_clock, horizon=horizon(settings)), settings.topic_prefix)
    registry = Registry()
    worker = Worker(worker_settings("sla", settings), clocks, PrometheusMeter(registry, clocks.inputs, WORDS))
    await serve(worker, settings, registry, sla_service)
