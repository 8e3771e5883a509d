"""Puts the notifier together: the only place that constructs."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from prometheus_client import Counter

from services.notifier.acknowledging import Acknowledging
from services.notifier.answering import serve_answers
from services.notifier.auditor import Auditor
from services.notifier.canary import Canaries
from services.notifier.channels import CHANNELS
from services.notifier.codec import OTHER_ROUTE, machine
from services.notifier.config import Config, load
from services.notifier.coverage import watch
from services.notifier.heartbeat import beat
from services.notifier.holds import Reason
from services.notifier.incident import IncidentState, Transition
from services.notifier.outbox import Failure, Pause
from services.notifier.recall import Recall
from services.notifier.relay import forwards
from services.notifier.rpc import Desk, notifier_service
from services.notifier.sender import Sender
from services.notifier.settings import NotifierSettings
from services.notifier.silences_log import SilencesLog
from services.notifier.silencing import Silencing
from services.notifier.silent_sources import SilentSources, forwards_silences
from services.shared.clock import wall_clock
from services.shared.engine.authority import AuthoritativeView
from services.shared.engine.dead_letters import DeadLetters
from services.shared.engine.relay import Relay
from services.shared.engine.worker import Worker
from services.shared.ingress import Ingress, connect
from services.shared.log import bounded
from services.shared.metrics import NotifierHealthMeter, NotifierMeter, PrometheusMeter, Registry, Vocabulary
from services.shared.past import read_past
from services.shared.service import serve, worker_settings
from services.shared.topic_log import TopicLog, read_all
from services.shared.topics import AUDIT, RESPONSES, SILENCES, SOURCES

log = bounded(__name__)


async def app(settings: NotifierSettings) -> None:
    """Run the service until it is told to stop."""
    config = load(settings.notifier)
    pauses: dict[str, Pause] = {}
    incidents = machine(config.plan._replace(pauses=pauses), settings.topic_prefix)
    read = partial(read_all, settings.kafka)
    counted = config.rules.repeated
    recall = counted and Recall(counted, read, settings.partitions, settings.topic_prefix)
    silent = SilentSources()
    routes = {
        **forwards(config.routing, settings.partitions, settings.topic_prefix, recall=recall),
        **forwards_silences(silent, config.routing, settings.partitions, settings.topic_prefix),
    }
    registry = Registry()
    meter = PrometheusMeter(registry, (*routes, *incidents.inputs), _words(config))
    # People are told in real time, also of history that is replayed.
    site = replace(worker_settings("notifier", settings), event_clock=False)
    worker = Worker(
        site,
        incidents,
        meter,
        relays=[Relay(routes, meter, DeadLetters(site.dead_letters, site.dead_letter_partitions))],
        stopping=lambda: sender.finish(),  # noqa: PLW0108 - there is no sender yet
        prepare=recall.prepare if recall else None,
    )
    measured = NotifierMeter(registry, CHANNELS, Failure)
    sender = Sender(
        worker,
        worker.submit,
        config.targets,
        measured,
        links=config.links.link if config.links else None,
        pauses=pauses,
    )
    known = SilencesLog(
        _refusing(refused := registry.single(Counter, "puntual_notifier_silences_refused_total").inc),
        config.plan.holds.windows,
    )
    published = await TopicLog(settings.kafka, SILENCES.under(settings.topic_prefix), known.take, refused).start()
    sources = await TopicLog(settings.kafka, SOURCES.under(settings.topic_prefix), silent.take).start()
    ingress = Ingress(partial(connect, settings.kafka), settings.topic_prefix)
    audit = partial(read_past, settings.kafka, AUDIT.under(settings.topic_prefix), settings.partitions)
    silencing = Silencing(known, ingress.send, published.topic, AUDIT.under(settings.topic_prefix))
    desk = Desk(silencing, audit, config.current)

    async def hold() -> None:
        config.plan.holds.follow(known.silences.values(), wall_clock())
        await worker.runtime.reconsider()
        await silencing.heard()

    await hold()
    health = NotifierHealthMeter(registry, CHANNELS, Reason)
    auditor = Auditor(worker, worker.runtime.look_again, config.plan, health)
    tasks = [
        asyncio.create_task(sender.run()),
        asyncio.create_task(watch(settings.notifier, config, measured)),
        asyncio.create_task(published.follow(hold)),
        asyncio.create_task(sources.follow()),
        asyncio.create_task(auditor.run()),
        asyncio.create_task(Canaries(worker, config.targets.values(), health).run()),
        asyncio.create_task(Acknowledging(worker, measured).run()),
    ]

    def trouble() -> str | None:
        return worker.not_ready() or auditor.trouble()

    if config.heartbeat:
        tasks.append(asyncio.create_task(beat(config.heartbeat, worker, trouble, health)))

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            worker.fail(error)

    for task in tasks:
        task.add_done_callback(ended)
    try:
        async with (
            ingress,
            serve_answers(
                config,
                AuthoritativeView(worker, worker.lost),
                ingress,
                settings.topic_prefix,
                (settings.host, settings.answers_port),
            ),
        ):
            topic = RESPONSES.under(settings.topic_prefix)
            service = partial(notifier_service, publish=ingress.send, responses=topic, desk=desk)
            await serve(worker, settings, registry, service)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(published.stop(), sources.stop())
        await sender.close()
        if config.heartbeat:
            await config.heartbeat.close()


def _words(config: Config) -> Vocabulary:
    """What incidents are counted under."""
    return Vocabulary(
        "incident",
        kinds=(*config.plan.routes, OTHER_ROUTE),
        states=tuple(state.name.lower() for state in IncidentState),
        transitions=tuple(transition.name.lower() for transition in Transition),
    )


def _refusing(count: Callable[[], None]) -> Callable[[int, str], None]:
    """What to do about a message of the topic of silences: the log has its place, never what it says."""

    def refuse(offset: int, _problem: str) -> None:
        count()
        log.error("Offset %d holds no silence that can be used: `puntual incidents silences` says why", offset)

    return refuse
