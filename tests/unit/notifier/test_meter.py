"""What the notifier measures, against the metrics there are."""

from itertools import product

from services.notifier.acknowledging import SEVERITIES
from services.notifier.channels import CHANNELS
from services.notifier.coverage import HORIZONS
from services.notifier.holds import Reason
from services.notifier.items import Severity
from services.notifier.outbox import UNSETTLED, Failure, Kind
from services.notifier.sender import OUTCOMES
from services.shared.metrics import NotifierHealthMeter, NotifierMeter, Registry


def test_whatever_can_be_measured_has_a_series_that_was_there_before() -> None:
    """Label values outside the closed sets are refused, so a word added here only would stop the sender."""
    registry = Registry()
    meter = NotifierMeter(registry, CHANNELS, Failure)
    health = NotifierHealthMeter(registry, CHANNELS, Reason)
    before = names(registry)
    for channel in CHANNELS:
        for kind, severity in product(Kind, set(Severity) - {Severity.UNSPECIFIED}):
            meter.decided(channel, kind.name.lower(), severity.name.lower())
            meter.delivered(channel, severity.name.lower(), 1.0)
        for outcome in OUTCOMES.values():
            meter.attempted(channel, outcome, 1.0)
        for failure in Failure:
            meter.given_up(channel, failure)
        for state in UNSETTLED:
            meter.waiting(channel, state.name.lower(), 1)
        meter.oldest(channel, 1.0)
        health.stuck(channel, 1)
        health.canary(channel, 1.0, 2.0)
        meter.breakers(channel, 1)
        meter.misworded(channel)
    for word in SEVERITIES.values():
        meter.acknowledged(word, 1.0)
        meter.unacknowledged(word, 1)
    for horizon in HORIZONS:
        meter.uncovered(horizon, 1)
    for reason in Reason:
        health.held_back(reason, 1)
    health.unfollowed(1)
    health.audited(1.0, 2.0)
    health.heartbeat(1.0, 2.0)
    assert names(registry) == before
    assert len(before) < 1_200


def names(registry: Registry) -> set[str]:
    """Every series by its name and labels."""
    samples = (sample for metric in registry.collector.collect() for sample in metric.samples)
    return {f"{sample.name}{sorted(sample.labels.items())}" for sample in samples}
