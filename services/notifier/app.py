"""Puts the notifier together: the only place that constructs."""

import asyncio
from dataclasses import replace
from functools import partial

from services.notifier.answering import serve_answers
from services.notifier.channels import CHANNELS
from services.notifier.codec import OTHER_ROUTE, machine
from services.notifier.config import load
from services.notifier.coverage import watch
from services.notifier.domain import IncidentState, Transition
from services.notifier.outbox import Failure
from services.notifier.relay import forwards
from services.notifier.rpc import notifier_service
from services.notifier.sender import Sender
from services.notifier.settings import NotifierSettings
from services.shared.engine.relay import Relay
from services.shared.engine.stage import DeadLetters
from services.shared.engine.worker import Worker
from services.shared.ingress import Ingress, connect
from services.shared.metrics import NotifierMeter, PrometheusMeter, Registry, Vocabulary
from services.shared.service import serve, worker_settings


async def app(settings: NotifierSettings) -> None:
    """Run the service until it is told to stop."""
    config = load(settings.notifier)
    incidents = machine(config.plan, settings.topic_prefix)
    routes = forwards(config.routing, settings.partitions, settings.topic_prefix)
    registry = Registry()
    words = Vocabulary(
        "incident",
        kinds=(*config.plan.routes, OTHER_ROUTE),
        states=tuple(state.name.lower() for state in IncidentState),
        transitions=tuple(transition.name.lower() for transition in Transition),
    )
    meter = PrometheusMeter(registry, (*routes, *incidents.inputs), words)
    # People are told in real time, also of history that is replayed.
    site = replace(worker_settings("notifier", settings), event_clock=False)
    worker = Worker(
        site,
        incidents,
        meter,
        relays=[Relay(routes, meter, DeadLetters(site.dead_letters, site.dead_letter_partitions))],
        stopping=lambda: sender.finish(),  # noqa: PLW0108 - there is no sender yet
    )
    measured = NotifierMeter(registry, CHANNELS, Failure)
    links = config.links.link if config.links else None
    sender = Sender(worker, worker.submit, config.targets, measured, links=links)
    tasks = [
        asyncio.create_task(sender.run()),
        asyncio.create_task(watch(settings.notifier, config, measured)),
    ]

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            worker.fail(error)

    for task in tasks:
        task.add_done_callback(ended)
    try:
        async with (
            Ingress(partial(connect, settings.kafka), settings.topic_prefix) as ingress,
            serve_answers(config, worker, ingress, settings.topic_prefix, (settings.host, settings.answers_port)),
        ):
            await serve(worker, settings, registry, notifier_service)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sender.close()
