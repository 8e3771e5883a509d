"""Every metric there is, in one table, and the meters that feed them.

Label sets are closed and every series exists from the start at zero, so that alerts never misfire for want of data. No
label ever names a customer, a promise, a person or an address. Seconds, ratios 0 to 1, `_total` for counters.
"""

import logging
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from time import time
from typing import Any, Final, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from services.shared.errors import DeadLetterReason

log = logging.getLogger(__name__)

S = TypeVar("S")
M = TypeVar("M", Counter, Gauge, Histogram)

#: Label values that the service names when it starts: its topics, kinds, states, transitions, channels.
GIVEN: tuple[str, ...] = ()

#: Sources that are told apart, of what counts by source: publishers name them, so there could be any number.
MOST_SOURCES = 200

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
_INSTANTLY = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, _MINUTE, 5 * _MINUTE, _HOUR)
_CALL = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
_AGE = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, _MINUTE, 5 * _MINUTE, _HOUR, 6 * _HOUR, _DAY, 7 * _DAY)
_MARGIN = (
    *(minutes * _MINUTE for minutes in (1, 5, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 4, 8)),
    *(days * _DAY for days in (1, 2, 3, 7, 14, 30)),
)
_MESSAGES = (1.0, 10.0, 100.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0)
_CODES = (
    "OK",
    "Cancelled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "ResourceExhausted",
    "Unimplemented",
    "Internal",
    "Unavailable",
)
_SEVERITIES = ("critical", "warning", "info")
_NEWS = ("breach", "at_risk", "resolved", "escalation", "reminder", "acknowledged", "snoozed")


class Spec(NamedTuple):
    """One line of the table."""

    kind: type[Counter | Gauge | Histogram]
    help: str
    #: Label → its closed set of values.
    labels: Mapping[str, tuple[str, ...]] = {}
    #: Upper bounds, of histograms only.
    buckets: tuple[float, ...] = ()


def _records(noun: str) -> dict[str, Spec]:
    """What is counted of a service's records, under the name of what they are."""
    return {
        f"puntual_{noun}s": Spec(
            Gauge, f"Records held, by state, of this worker's {noun}s.", {"kind": GIVEN, "state": GIVEN}
        ),
        f"puntual_{noun}_transitions_total": Spec(
            Counter, f"Acknowledged changes of {noun}s.", {"kind": GIVEN, "transition": GIVEN}
        ),
    }


def _margins(noun: str, ended: str) -> dict[str, Spec]:
    """How near to due, and how far past it. Two histograms, because negative observations would break a sum."""
    return {
        f"puntual_{noun}_margin_seconds": Spec(
            Histogram, f"Time to spare of {noun}s that were {ended} by their due time.", {"kind": GIVEN}, _MARGIN
        ),
        f"puntual_{noun}_overrun_seconds": Spec(
            Histogram, f"Time past due of {noun}s that were {ended} after it.", {"kind": GIVEN}, _MARGIN
        ),
    }


METRICS: Mapping[str, Spec] = {
    "puntual_build_info": Spec(Gauge, "Always 1; the version is the label.", {"version": GIVEN}),
    "puntual_ready": Spec(
        Gauge, "1 while every owned partition is recovered and caught up, Kafka answers and the clock is right."
    ),
    "puntual_kafka_last_answer_timestamp_seconds": Spec(Gauge, "When Kafka last answered this worker anything."),
    "puntual_clock_skew_seconds": Spec(
        Gauge, "How far this machine's clock is ahead of the brokers', at least; below 0: behind; NaN: not known yet."
    ),
    "puntual_topic_differences": Spec(
        Gauge, "Settings of the topics this worker needs that are not as `puntual topics` has them."
    ),
    "puntual_standards_refused": Spec(
        Gauge, "1 while this worker's file of standards cannot be used; those published before stay in force."
    ),
    "puntual_standards_messages_refused_total": Spec(
        Counter, "Messages of the topic of standards that cannot be used; the versions known before count on."
    ),
    # Reading
    "puntual_events_consumed_total": Spec(
        Counter, "Input messages read.", {"topic": GIVEN, "outcome": ("used", "ignored", "dead", "tick")}
    ),
    "puntual_event_age_seconds": Spec(
        Histogram, "Age of the newest event of a batch when it was read.", {"topic": GIVEN}, _AGE
    ),
    "puntual_batch_messages": Spec(Histogram, "Messages in one fetched batch.", {"topic": GIVEN}, _MESSAGES),
    "puntual_consumer_lag_seconds": Spec(
        Gauge, "Age of the last message read on the partition furthest behind; 0 when caught up.", {"topic": GIVEN}
    ),
    "puntual_last_commit_timestamp_seconds": Spec(
        Gauge, "When an offset of the topic was last committed; 0: not yet.", {"topic": GIVEN}
    ),
    "puntual_offset_jumps_total": Spec(
        Counter, "Gaps in the offsets read.", {"topic": GIVEN, "outcome": ("refetched", "believed", "expired")}
    ),
    "puntual_dead_letters_total": Spec(
        Counter,
        "Messages that could not be used.",
        {"topic": GIVEN, "reason": tuple(reason.value for reason in DeadLetterReason)},
    ),
    "puntual_event_ids_reused_total": Spec(
        Counter,
        "Events under an id that their source had given to another: of the first 200 sources, the rest as other.",
        {"source": GIVEN},
    ),
    "puntual_rebalances_total": Spec(Counter, "Assignments of partitions to this worker."),
    "puntual_recovery_ratio": Spec(Gauge, "How much of the last recovery is done: 1 when its records are all there."),
    "puntual_recovery_seconds": Spec(Gauge, "How long the last recovery took."),
    # Judging
    "puntual_timers_overdue_seconds": Spec(
        Gauge, "How late what falls due now would be noticed: how far behind the slowest partition's time is."
    ),
    "puntual_records_not_understood": Spec(
        Gauge, "Records kept as they are, because this version cannot read or judge them: nothing is announced of them."
    ),
    "puntual_last_sweep_timestamp_seconds": Spec(Gauge, "When deadlines were last looked at; 0: not yet."),
    "puntual_breach_detection_delay_seconds": Spec(
        Histogram, "From the first instant a breach could be announced to its announcement.", {}, _INSTANTLY
    ),
    **_records("promise"),
    **_margins("promise", "fulfilled"),
    **_records("clock"),
    **_margins("clock", "stopped"),
    **_records("incident"),
    # Sources: of the first streams that a worker answers for, the rest together as "other".
    "puntual_source_last_event_timestamp_seconds": Spec(
        Gauge, "When the last event of a source happened, as far as was heard.", {"source": GIVEN, "topic": GIVEN}
    ),
    "puntual_source_silent": Spec(
        Gauge,
        "1 while nothing is heard of a source for longer than is usual or declared.",
        {"source": GIVEN, "topic": GIVEN},
    ),
    "puntual_source_usual_gap_seconds": Spec(
        Gauge,
        "What the gaps of a source usually do not exceed, at this hour of the week (p99); 0: not known.",
        {"source": GIVEN, "topic": GIVEN},
    ),
    "puntual_orphans": Spec(
        Gauge,
        "Fulfilments, by the source that published them, of what nothing known had promised or started 15 minutes after"
        " they happened.",
        {"source": GIVEN, "topic": GIVEN},
    ),
    "puntual_unheard": Spec(
        Gauge,
        "Breaches that are not announced because the source that could say otherwise is not heard.",
        {"service": ("promises", "sla")},
    ),
    # Telling
    "puntual_notifier_notifications_total": Spec(
        Counter,
        "Messages decided on, counted before the first attempt.",
        {"channel": GIVEN, "kind": _NEWS, "severity": _SEVERITIES},
    ),
    "puntual_notifier_attempts_total": Spec(
        Counter, "Attempts to deliver.", {"channel": GIVEN, "outcome": ("success", "retryable", "permanent")}
    ),
    "puntual_notifier_attempt_duration_seconds": Spec(
        Histogram, "How long an attempt took.", {"channel": GIVEN}, (*_CALL, 15.0, 30.0, _MINUTE)
    ),
    "puntual_notifier_delivery_latency_seconds": Spec(
        Histogram,
        "From the announcement of its cause until a message was accepted.",
        {"channel": GIVEN, "severity": _SEVERITIES},
        (*_INSTANTLY, 6 * _HOUR, _DAY),
    ),
    "puntual_notifier_notifications_failed_total": Spec(
        Counter, "Messages given up.", {"channel": GIVEN, "reason": GIVEN}
    ),
    "puntual_notifier_templates_failed_total": Spec(
        Counter, "Attempts in built-in words, as the target's own failed.", {"channel": GIVEN}
    ),
    "puntual_notifier_outbox_messages": Spec(
        Gauge, "Messages not accepted yet.", {"channel": GIVEN, "state": ("pending", "sending")}
    ),
    "puntual_notifier_outbox_oldest_pending_seconds": Spec(
        Gauge, "Age of the oldest message not accepted yet; 0: there is none.", {"channel": GIVEN}
    ),
    "puntual_notifier_breaker_open": Spec(
        Gauge,
        "Targets that messages wait for and that are not attempted now, as they kept failing.",
        {"channel": GIVEN},
    ),
    "puntual_notifier_schedules_uncovered": Spec(
        Gauge, "On-call schedules with a hole ahead, by how far ahead it is.", {"horizon": ("24h", "7d")}
    ),
    "puntual_notifier_silences_refused_total": Spec(
        Counter, "Messages of the topic of silences that cannot be used; they silence nobody."
    ),
    "puntual_notifier_held_back": Spec(
        Gauge,
        "Items of which news is held back now; held back from several for several reasons, of each.",
        {"reason": GIVEN},
    ),
    "puntual_notifier_unfollowed_items": Spec(
        Gauge, "Promises and clocks in trouble beyond those that their incidents can follow one by one, about."
    ),
    # Telling, watched
    "puntual_notifier_stuck_deliveries": Spec(
        Gauge, "Messages that should have moved on a minute ago or longer.", {"channel": GIVEN}
    ),
    "puntual_notifier_incident_overdue_seconds": Spec(
        Gauge, "For how long something should have happened to the incident furthest behind; 0: to none."
    ),
    "puntual_notifier_last_audit_timestamp_seconds": Spec(
        Gauge, "When all incidents had last been looked through for what is overdue; 0: not yet."
    ),
    "puntual_notifier_canary_last_success_timestamp_seconds": Spec(
        Gauge,
        "When a canary was last accepted, by the target for which that is longest ago; 0: not by this worker.",
        {"channel": GIVEN},
    ),
    "puntual_notifier_canary_expected_timestamp_seconds": Spec(
        Gauge, "By when another should have been; 0: this worker sends none.", {"channel": GIVEN}
    ),
    "puntual_notifier_heartbeat_last_success_timestamp_seconds": Spec(
        Gauge, "When a heartbeat was last accepted; 0: not by this worker."
    ),
    "puntual_notifier_heartbeat_expected_timestamp_seconds": Spec(
        Gauge, "By when another should have been; 0: this worker sends none."
    ),
    "puntual_notifier_time_to_acknowledge_seconds": Spec(
        Histogram,
        "From the opening of an incident until somebody first said that he sees to it.",
        {"severity": _SEVERITIES},
        (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 4 * _HOUR, _DAY, 7 * _DAY),
    ),
    "puntual_notifier_unacknowledged_incidents": Spec(
        Gauge, "Open incidents with something that nobody sees to, by the worst of that.", {"severity": _SEVERITIES}
    ),
    # Answering
    "grpc_server_handled_total": Spec(
        Counter, "Calls answered.", {"grpc_service": GIVEN, "grpc_method": GIVEN, "grpc_code": _CODES}
    ),
    "grpc_server_handling_seconds": Spec(
        Histogram, "Time to answer a unary call.", {"grpc_service": GIVEN, "grpc_method": GIVEN}, _CALL
    ),
}


class Series(dict[tuple[str, ...], S]):
    """The series of a metric by their label values; what has none is measured in vain, and that is said once."""

    def __init__(self, series: Mapping[tuple[str, ...], S], unheard: S) -> None:
        """`unheard` takes what has no series, and is exported nowhere."""
        super().__init__(series)
        self._unheard = unheard
        self._said = False

    def __missing__(self, labels: tuple[str, ...]) -> S:
        """Label values outside the closed sets: of a newer version's records, say. They must end nobody."""
        if not self._said:
            self._said = True
            log.error("A metric has no series for what it should measure; bring this worker up to date")
        return self._unheard


class Registry:
    """The metrics of one process, made from the table on demand."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.collector = CollectorRegistry()
        ProcessCollector(registry=self.collector)
        release = _release()
        self.series(Gauge, "puntual_build_info", version=[release])[release,].set(1)

    def series(
        self, kind: type[M], name: str, /, occurs: Callable[..., bool] = lambda *_: True, **given: Iterable[str]
    ) -> dict[tuple[str, ...], M]:
        """Every series of a metric by its label values (in the table's order), each there at once and at zero.

        `given` names the values that the table leaves to the service; `occurs` says of label values whether they can
        come together. What is measured for values outside the closed sets is dropped, and said. Raises TypeError where
        the table says another kind, ValueError where the metric was made already.
        """
        spec = METRICS[name]
        if spec.kind is not kind:
            raise TypeError(f"{name} is a {spec.kind.__name__}, not a {kind.__name__}")
        options: dict[str, Any] = {"buckets": spec.buckets} if spec.buckets else {}
        parent = kind(name, spec.help, tuple(spec.labels), registry=self.collector, **options)
        if not spec.labels:
            return {(): parent}
        unheard = kind(name, spec.help, registry=None, **options)
        values = (tuple(given[label]) if closed is GIVEN else closed for label, closed in spec.labels.items())
        return Series({labels: parent.labels(*labels) for labels in product(*values) if occurs(*labels)}, unheard)

    def open(self, kind: type[M], name: str) -> M:
        """A metric whose labels are not known beforehand. Whoever uses it bounds how many there are."""
        return kind(name, METRICS[name].help, tuple(METRICS[name].labels), registry=self.collector)

    def single(self, kind: type[M], name: str) -> M:
        """A metric without labels."""
        return self.series(kind, name)[()]


class Vocabulary(NamedTuple):
    """The words a service counts its records under."""

    #: "promise", "clock" or "incident".
    noun: str
    kinds: tuple[str, ...]
    states: tuple[str, ...]
    transitions: tuple[str, ...]


class PrometheusMeter:
    """What the engine measures (`services.shared.engine.meter.Meter`), exported.

    Made once per process; called by one thread.
    """

    def __init__(self, registry: Registry, topics: Iterable[str], words: Vocabulary) -> None:
        topics = tuple(topics)
        noun, kinds = words.noun, words.kinds
        self._consumed = registry.series(Counter, "puntual_events_consumed_total", topic=topics)
        self._event_age = registry.series(Histogram, "puntual_event_age_seconds", topic=topics)
        self._batch = registry.series(Histogram, "puntual_batch_messages", topic=topics)
        self._dead = registry.series(Counter, "puntual_dead_letters_total", topic=topics)
        self._committed = registry.series(Gauge, "puntual_last_commit_timestamp_seconds", topic=topics)
        self._jumps = registry.series(Counter, "puntual_offset_jumps_total", topic=topics)
        self._lag = registry.series(Gauge, "puntual_consumer_lag_seconds", topic=topics)
        self._lags: dict[str, dict[int, float]] = {topic: {} for topic in topics}
        self._reused = registry.open(Counter, "puntual_event_ids_reused_total")
        self._reusing: set[str] = set()
        self._rebalances = registry.single(Counter, "puntual_rebalances_total")
        self._recovery = registry.single(Gauge, "puntual_recovery_ratio")
        self._recovered = registry.single(Gauge, "puntual_recovery_seconds")
        self._ready = registry.single(Gauge, "puntual_ready")
        self._answered = registry.single(Gauge, "puntual_kafka_last_answer_timestamp_seconds")
        self._answered.set_to_current_time()  # it was asked whether the topics are there
        self._skew = registry.single(Gauge, "puntual_clock_skew_seconds")
        self._skew.set(float("nan"))
        self._overdue = registry.single(Gauge, "puntual_timers_overdue_seconds")
        self._not_understood = registry.single(Gauge, "puntual_records_not_understood")
        self._swept = registry.single(Gauge, "puntual_last_sweep_timestamp_seconds")
        self._delay = registry.single(Histogram, "puntual_breach_detection_delay_seconds")
        self._records = registry.series(Gauge, f"puntual_{noun}s", kind=kinds, state=words.states)
        self._transitions = registry.series(
            Counter, f"puntual_{noun}_transitions_total", kind=kinds, transition=words.transitions
        )
        margins = [name for name in _margins(noun, "") if name in METRICS]
        self._margins = [registry.series(Histogram, name, kind=kinds) for name in margins]

    def consumed(self, topic: str, outcome: str, count: int) -> None:
        self._consumed[topic, outcome].inc(count)

    def event_age(self, topic: str, seconds: float) -> None:
        self._event_age[topic,].observe(max(seconds, 0.0))

    def lag(self, topic: str, partition: int, seconds: float) -> None:
        behind = self._lags[topic]
        behind[partition] = seconds
        self._lag[topic,].set(max(behind.values()))

    def batch(self, topic: str, size: int) -> None:
        self._batch[topic,].observe(size)

    def dead_letter(self, topic: str, reason: str) -> None:
        self._dead[topic, reason].inc()

    def reused(self, source: str) -> None:
        if source not in self._reusing and len(self._reusing) < MOST_SOURCES:
            self._reusing.add(source)
        self._reused.labels(source if source in self._reusing else "other").inc()

    def records(self, kind: str, state: str, delta: int) -> None:
        self._records[kind, state].inc(delta)

    def transition(self, kind: str, transition: str, count: int) -> None:
        self._transitions[kind, transition].inc(count)

    def settled(self, kind: str, state: str, margins: Sequence[float]) -> None:  # noqa: ARG002 - the transition tells
        in_time, late = self._margins
        _observe_all(in_time[kind,], [-margin for margin in margins if margin <= 0])
        _observe_all(late[kind,], [margin for margin in margins if margin > 0])

    def detection_delay(self, seconds: float) -> None:
        self._delay.observe(max(seconds, 0.0))

    def sweep(self, behind: float) -> None:
        self._overdue.set(behind)
        self._swept.set_to_current_time()

    def not_understood(self, records: int) -> None:
        self._not_understood.set(records)

    def committed(self, topic: str, partition: int) -> None:  # noqa: ARG002 - a series per partition would say no more
        self._committed[topic,].set_to_current_time()

    def jump(self, topic: str, outcome: str) -> None:
        self._jumps[topic, outcome].inc()

    def rebalanced(self) -> None:
        self._rebalances.inc()
        # Lags of partitions that are another worker's now must not linger.
        for topic, behind in self._lags.items():
            behind.clear()
            self._lag[topic,].set(0)

    def recovery(self, share: float) -> None:
        self._recovery.set(share)

    def recovered(self, seconds: float) -> None:
        self._recovered.set(seconds)

    def kafka_silence(self, seconds: float) -> None:
        self._answered.set(time() - seconds)

    def clock_skew(self, seconds: float) -> None:
        self._skew.set(seconds)

    def ready(self, is_ready: bool) -> None:
        self._ready.set(is_ready)


class SourceMeter:
    """What is known of sources, exported. Made once per process."""

    #: More series of a metric than this are one.
    MOST: Final = 200

    def __init__(self, registry: Registry, service: str) -> None:
        names = ("last_event_timestamp_seconds", "silent", "usual_gap_seconds")
        self._gauges = [registry.open(Gauge, f"puntual_source_{name}") for name in names]
        self._unheard = registry.series(Gauge, "puntual_unheard")[service,]
        self._orphans = registry.open(Gauge, "puntual_orphans")
        self._known, self._orphaned = set[tuple[str, str]](), set[tuple[str, str]]()

    def unheard(self, breaches: int) -> None:
        self._unheard.set(breaches)

    def sources(self, found: Mapping[tuple[str, str], tuple[float, bool, float]]) -> None:
        """Source and topic → when the last event was, whether it is silent, its usual gap: all there are now."""
        shown: dict[tuple[str, str], tuple[float, ...]] = {}
        for labels, values in found.items():
            place = self._place(labels, self._known)
            shown[place] = tuple(map(max, values, shown.get(place, values)))
        for labels in self._known - shown.keys():
            for gauge in self._gauges:
                gauge.remove(*labels)
        self._known &= shown.keys()
        for labels, each in shown.items():
            for gauge, value in zip(self._gauges, each, strict=True):
                gauge.labels(*labels).set(value)

    def orphans(self, found: Mapping[tuple[str, str], int]) -> None:
        """Source and topic → how many: all there are now. One that had some shows 0."""
        counts = Counts(dict.fromkeys(self._orphaned, 0))
        for labels, count in found.items():
            counts[self._place(labels, self._orphaned)] += count
        for labels, count in counts.items():
            self._orphans.labels(*labels).set(count)

    def _place(self, labels: tuple[str, str], known: set[tuple[str, str]]) -> tuple[str, str]:
        """The series of a source and topic, among those that are known; from then on it is."""
        place = labels if labels in known or len(known) < self.MOST else ("other", "other")
        known.add(place)
        return place


def _observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """As `observe` for each of them; the library has no call for many, and one by one they cost more than a verdict."""
    for bucket, count in Counts(bisect_left(histogram._upper_bounds, value) for value in values).items():  # noqa: SLF001
        histogram._buckets[bucket].inc(count)  # noqa: SLF001
    histogram._sum.inc(sum(values))  # noqa: SLF001


class NotifierMeter:
    """What the notifier measures (`services.notifier.meter.Meter`), exported. Made once per process.

    `failures`: the closed list of reasons for which attempts fail.
    """

    def __init__(self, registry: Registry, channels: Iterable[str], failures: Iterable[str]) -> None:
        channels = tuple(channels)
        self._decided = registry.series(Counter, "puntual_notifier_notifications_total", channel=channels)
        self._attempts = registry.series(Counter, "puntual_notifier_attempts_total", channel=channels)
        self._duration = registry.series(Histogram, "puntual_notifier_attempt_duration_seconds", channel=channels)
        self._latency = registry.series(Histogram, "puntual_notifier_delivery_latency_seconds", channel=channels)
        self._failed = registry.series(
            Counter, "puntual_notifier_notifications_failed_total", channel=channels, reason=failures
        )
        self._misworded = registry.series(Counter, "puntual_notifier_templates_failed_total", channel=channels)
        self._outbox = registry.series(Gauge, "puntual_notifier_outbox_messages", channel=channels)
        self._oldest = registry.series(Gauge, "puntual_notifier_outbox_oldest_pending_seconds", channel=channels)
        self._breakers = registry.series(Gauge, "puntual_notifier_breaker_open", channel=channels)
        self._uncovered = registry.series(Gauge, "puntual_notifier_schedules_uncovered")
        self._acknowledged = registry.series(Histogram, "puntual_notifier_time_to_acknowledge_seconds")
        self._unacknowledged = registry.series(Gauge, "puntual_notifier_unacknowledged_incidents")

    def decided(self, channel: str, kind: str, severity: str) -> None:
        self._decided[channel, kind, severity].inc()

    def attempted(self, channel: str, outcome: str, seconds: float) -> None:
        self._attempts[channel, outcome].inc()
        self._duration[channel,].observe(seconds)

    def delivered(self, channel: str, severity: str, seconds: float) -> None:
        self._latency[channel, severity].observe(max(seconds, 0.0))

    def misworded(self, channel: str) -> None:
        self._misworded[channel,].inc()

    def given_up(self, channel: str, reason: str) -> None:
        self._failed[channel, reason].inc()

    def waiting(self, channel: str, state: str, messages: int) -> None:
        self._outbox[channel, state].set(messages)

    def oldest(self, channel: str, seconds: float) -> None:
        self._oldest[channel,].set(seconds)

    def breakers(self, channel: str, targets: int) -> None:
        self._breakers[channel,].set(targets)

    def uncovered(self, horizon: str, schedules: int) -> None:
        self._uncovered[horizon,].set(schedules)

    def acknowledged(self, severity: str, seconds: float) -> None:
        self._acknowledged[severity,].observe(max(seconds, 0.0))

    def unacknowledged(self, severity: str, incidents: int) -> None:
        self._unacknowledged[severity,].set(incidents)


class NotifierHealthMeter:
    """What the notifier finds out about itself (`services.notifier.meter.HealthMeter`), exported.

    `reasons`: the closed list of those for which news is held back.
    """

    def __init__(self, registry: Registry, channels: Iterable[str], reasons: Iterable[str]) -> None:
        channels, prefix = tuple(channels), "puntual_notifier"
        self._stuck = registry.series(Gauge, f"{prefix}_stuck_deliveries", channel=channels)
        self._overdue = registry.single(Gauge, f"{prefix}_incident_overdue_seconds")
        self._audited = registry.single(Gauge, f"{prefix}_last_audit_timestamp_seconds")
        self._held = registry.series(Gauge, f"{prefix}_held_back", reason=reasons)
        self._unfollowed = registry.single(Gauge, f"{prefix}_unfollowed_items")
        names = [f"{prefix}_canary_{what}_timestamp_seconds" for what in ("last_success", "expected")]
        self._canary = [registry.series(Gauge, name, channel=channels) for name in names]
        names = [f"{prefix}_heartbeat_{what}_timestamp_seconds" for what in ("last_success", "expected")]
        self._heartbeat = [registry.single(Gauge, name) for name in names]

    def stuck(self, channel: str, deliveries: int) -> None:
        self._stuck[channel,].set(deliveries)

    def audited(self, at: float, overdue: float) -> None:
        self._audited.set(at)
        self._overdue.set(overdue)

    def held_back(self, reason: str, items: int) -> None:
        self._held[reason,].set(items)

    def unfollowed(self, items: int) -> None:
        self._unfollowed.set(items)

    def canary(self, channel: str, last_success: float, expected: float) -> None:
        for series, at in zip(self._canary, (last_success, expected), strict=True):
            series[channel,].set(at)

    def heartbeat(self, last_success: float, expected: float) -> None:
        for gauge, at in zip(self._heartbeat, (last_success, expected), strict=True):
            gauge.set(at)


def _release() -> str:
    try:
        return version("puntual")
    except PackageNotFoundError:  # run from a folder, not installed
        return "unreleased"
