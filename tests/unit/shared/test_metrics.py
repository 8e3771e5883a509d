from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from hypothesis import given, strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.notifier.channels import CHANNELS
from services.notifier.holds import Reason
from services.notifier.meter import HealthMeter, Meter as MessageMeter
from services.notifier.outbox import Failure
from services.shared.engine.meter import Meter
from services.shared.errors import DeadLetterReason, PuntualError
from services.shared.health import HttpServer, serve_http
from services.shared.metrics import (
    METRICS,
    MOST_SOURCES,
    NotifierHealthMeter,
    NotifierMeter,
    PrometheusMeter,
    Registry,
    Vocabulary,
    _observe_all,
)

TOPICS = ("puntual.orders.v1", "puntual.callbacks.v1", "puntual.appointments.v1", "puntual.contacts.v1")
PROMISE = Vocabulary(
    "promise",
    kinds=("order_ready", "order_delivered", "callback", "appointment"),
    states=("noted", "open", "at_risk", "broken", "kept", "kept_late", "withdrawn"),
    transitions=(
        *("noted", "made", "renegotiated", "at_risk", "broken"),
        *("kept", "kept_late", "withdrawn", "retracted"),
    ),
)
MOST_SERIES = 1200


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def meter(registry: Registry) -> Meter:
    return PrometheusMeter(registry, TOPICS, PROMISE)


def value(registry: Registry, name: str, **labels: str) -> float | None:
    return registry.collector.get_sample_value(name, labels)


@pytest.mark.usefixtures("meter")
def test_every_series_is_there_at_zero_before_anything_happened(registry: Registry) -> None:
    """A rule over any label value finds a series, not a gap."""
    assert value(registry, "puntual_promises", kind="callback", state="broken") == 0
    assert value(registry, "puntual_promise_transitions_total", kind="callback", transition="broken") == 0
    for reason in DeadLetterReason:
        assert value(registry, "puntual_dead_letters_total", topic=TOPICS[0], reason=reason.value) == 0
    assert value(registry, "puntual_consumer_lag_seconds", topic=TOPICS[3]) == 0


@pytest.mark.usefixtures("meter")
def test_a_process_exports_a_bounded_number_of_series(registry: Registry) -> None:
    """What a worker costs Prometheus is known, and none of it is spent on `_created`."""
    samples = [sample for family in registry.collector.collect() for sample in family.samples]
    assert len(samples) <= MOST_SERIES
    assert not [sample.name for sample in samples if sample.name.endswith("_created")]


def test_a_label_value_outside_the_closed_set_is_dropped(
    registry: Registry, meter: Meter, caplog: pytest.LogCaptureFixture
) -> None:
    """A customer's id can never become a label by mistake, and a newer version's word ends nobody; it is said once."""
    for _ in range(2):
        meter.transition("callback", "customer 4711", 1)
    meter.dead_letter("no such topic", "invalid")
    meter.records("callback", "of a newer version", 1)
    meter.settled("no such kind", "kept", [1.0, -1.0])
    assert b"4711" not in generate_latest(registry.collector)
    assert b"newer" not in generate_latest(registry.collector)
    assert len(caplog.records) == len({record.name for record in caplog.records}) * 5


def test_the_lag_of_a_topic_is_that_of_its_slowest_partition(registry: Registry, meter: Meter) -> None:
    """One partition that catches up does not hide another that is behind."""
    meter.lag(TOPICS[0], 1, 30.0)
    meter.lag(TOPICS[0], 2, 0.0)
    assert value(registry, "puntual_consumer_lag_seconds", topic=TOPICS[0]) == 30.0


def test_the_lag_of_a_partition_given_away_is_forgotten(registry: Registry, meter: Meter) -> None:
    """After a rebalance only what this worker reads counts."""
    meter.lag(TOPICS[0], 1, 30.0)
    meter.rebalanced()
    assert value(registry, "puntual_consumer_lag_seconds", topic=TOPICS[0]) == 0
    meter.lag(TOPICS[0], 2, 0.5)
    assert value(registry, "puntual_consumer_lag_seconds", topic=TOPICS[0]) == 0.5


def test_kept_early_and_settled_late_are_measured_apart(registry: Registry, meter: Meter) -> None:
    """Both sums are of positive seconds, so that their averages mean something."""
    meter.settled("callback", "kept", [-90.0, -30.0, 0.0])
    meter.settled("callback", "kept_late", [600.0])
    assert value(registry, "puntual_promise_margin_seconds_sum", kind="callback") == 120.0
    assert value(registry, "puntual_promise_margin_seconds_count", kind="callback") == 3
    assert value(registry, "puntual_promise_overrun_seconds_sum", kind="callback") == 600.0
    assert value(registry, "puntual_promise_overrun_seconds_count", kind="callback") == 1


def test_margins_of_either_sign_may_come_at_once(registry: Registry, meter: Meter) -> None:
    """On time is in time."""
    meter.settled("callback", "kept", [1.0, -2.0, 0.0])
    for name, total, count in (("margin", 2.0, 2), ("overrun", 1.0, 1)):
        assert value(registry, f"puntual_promise_{name}_seconds_sum", kind="callback") == total
        assert value(registry, f"puntual_promise_{name}_seconds_count", kind="callback") == count


BOUNDS = METRICS["puntual_promise_margin_seconds"].buckets
#: Eighths, so that no sum depends on its order.
SECONDS = st.integers(0, 8 * 40 * 86_400).map(lambda eighths: eighths / 8) | st.sampled_from([0.0, *BOUNDS])


@given(batches=st.lists(st.lists(SECONDS)))
def test_many_observed_at_once_are_exposed_as_if_one_by_one(batches: list[list[float]]) -> None:
    """Every bucket and the sum, at the bounds too; the library's own insides are relied on here."""
    at_once, one_by_one = CollectorRegistry(), CollectorRegistry()
    many = Histogram("margin", "Margins.", buckets=BOUNDS, registry=at_once)
    single = Histogram("margin", "Margins.", buckets=BOUNDS, registry=one_by_one)
    for batch in batches:
        _observe_all(many, batch)
        for seconds in batch:
            single.observe(seconds)
    assert generate_latest(at_once) == generate_latest(one_by_one)


def test_records_change_states(registry: Registry, meter: Meter) -> None:
    """The gauge follows the differences the engine reports."""
    meter.records("callback", "open", 2)
    meter.records("callback", "open", -1)
    meter.records("callback", "broken", 1)
    assert value(registry, "puntual_promises", kind="callback", state="open") == 1
    assert value(registry, "puntual_promises", kind="callback", state="broken") == 1


def test_each_measurement_lands_in_its_metric(registry: Registry, meter: Meter) -> None:
    """Every method of the engine's meter moves the one metric it speaks of."""
    topic = TOPICS[0]
    meter.consumed(topic, "used", 5)
    meter.event_age(topic, 0.2)
    meter.batch(topic, 5)
    meter.dead_letter(topic, "no_time")
    meter.detection_delay(0.08)
    meter.sweep(1.5)
    meter.committed(topic, 3)
    meter.jump(topic, "expired")
    meter.recovery(0.7)
    meter.recovered(0.3)
    meter.ready(is_ready=True)
    expected: list[tuple[str, dict[str, str], float]] = [
        ("puntual_events_consumed_total", {"topic": topic, "outcome": "used"}, 5),
        ("puntual_event_age_seconds_count", {"topic": topic}, 1),
        ("puntual_batch_messages_sum", {"topic": topic}, 5),
        ("puntual_dead_letters_total", {"topic": topic, "reason": "no_time"}, 1),
        ("puntual_breach_detection_delay_seconds_sum", {}, 0.08),
        ("puntual_timers_overdue_seconds", {}, 1.5),
        ("puntual_offset_jumps_total", {"topic": topic, "outcome": "expired"}, 1),
        ("puntual_recovery_ratio", {}, 0.7),
        ("puntual_recovery_seconds", {}, 0.3),
        ("puntual_ready", {}, 1),
    ]
    found = [(name, labels, value(registry, name, **labels)) for name, labels, _ in expected]
    assert found == expected
    assert (value(registry, "puntual_last_sweep_timestamp_seconds") or 0) > 1_700_000_000
    assert (value(registry, "puntual_last_commit_timestamp_seconds", topic=topic) or 0) > 1_700_000_000


def test_each_measurement_of_the_notifier_lands_in_its_metric(registry: Registry) -> None:
    """Every method of the notifier's meter moves the one metric it speaks of, under the notifier's own words."""
    meter: MessageMeter = NotifierMeter(registry, CHANNELS, Failure)
    meter.decided("email", "breach", "critical")
    meter.attempted("email", "retryable", 0.5)
    meter.delivered("email", "critical", 12.0)
    meter.waiting("email", "pending", 3)
    meter.oldest("email", 7.5)
    meter.breakers("email", 2)
    meter.misworded("email")
    for failure in Failure:
        meter.given_up("email", failure.value)
        assert (
            value(registry, "puntual_notifier_notifications_failed_total", channel="email", reason=failure.value) == 1
        )
    expected: list[tuple[str, dict[str, str], float]] = [
        ("puntual_notifier_notifications_total", {"kind": "breach", "severity": "critical"}, 1),
        ("puntual_notifier_attempts_total", {"outcome": "retryable"}, 1),
        ("puntual_notifier_attempts_total", {"outcome": "success"}, 0),
        ("puntual_notifier_attempt_duration_seconds_sum", {}, 0.5),
        ("puntual_notifier_delivery_latency_seconds_sum", {"severity": "critical"}, 12.0),
        ("puntual_notifier_outbox_messages", {"state": "pending"}, 3),
        ("puntual_notifier_outbox_oldest_pending_seconds", {}, 7.5),
        ("puntual_notifier_breaker_open", {}, 2),
        ("puntual_notifier_templates_failed_total", {}, 1),
    ]
    assert [
        (name, labels, value(registry, name, channel="email", **labels)) for name, labels, _ in expected
    ] == expected
    assert sum(len(family.samples) for family in registry.collector.collect()) <= MOST_SERIES


def test_what_the_notifier_finds_out_about_itself_lands_in_its_metric(registry: Registry) -> None:
    """Every method of its meter moves the metrics it speaks of, and no other channel's."""
    meter: HealthMeter = NotifierHealthMeter(registry, CHANNELS, Reason)
    meter.stuck("email", 2)
    meter.audited(100.0, 90.0)
    meter.held_back("silenced", 7)
    meter.unfollowed(8)
    meter.canary("email", 10.0, 20.0)
    meter.heartbeat(30.0, 40.0)
    expected: list[tuple[str, dict[str, str], float]] = [
        ("stuck_deliveries", {"channel": "email"}, 2),
        ("stuck_deliveries", {"channel": "sms"}, 0),
        ("last_audit_timestamp_seconds", {}, 100),
        ("incident_overdue_seconds", {}, 90),
        ("held_back", {"reason": "silenced"}, 7),
        ("unfollowed_items", {}, 8),
        ("held_back", {"reason": "quiet_hours"}, 0),
        ("canary_last_success_timestamp_seconds", {"channel": "email"}, 10),
        ("canary_expected_timestamp_seconds", {"channel": "email"}, 20),
        ("canary_expected_timestamp_seconds", {"channel": "sms"}, 0),
        ("heartbeat_last_success_timestamp_seconds", {}, 30),
        ("heartbeat_expected_timestamp_seconds", {}, 40),
    ]
    found = [(name, labels, value(registry, f"puntual_notifier_{name}", **labels)) for name, labels, _ in expected]
    assert found == expected


def test_sources_that_use_ids_again_are_told_apart_up_to_a_number(registry: Registry) -> None:
    """Publishers name them, so the first 200 have a series of their own and the rest one together."""
    meter = PrometheusMeter(registry, TOPICS, PROMISE)
    for number in range(MOST_SOURCES + 2):
        meter.reused(f"till-{number}")
    meter.reused("till-0")
    counted = [
        value(registry, "puntual_event_ids_reused_total", source=source) for source in ("till-0", "till-199", "other")
    ]
    assert counted == [2, 1, 2]
    assert value(registry, "puntual_event_ids_reused_total", source="till-200") is None


@pytest.mark.parametrize("name", METRICS)
def test_the_table_keeps_the_conventions_of_prometheus(name: str) -> None:
    """Counters end in `_total`, nothing else does; histograms have rising bounds; each says what it is."""
    spec = METRICS[name]
    assert name.startswith(("puntual_", "grpc_server_"))
    assert (spec.kind is Counter) == name.endswith("_total")
    assert (spec.kind is Histogram) == bool(spec.buckets)
    assert list(spec.buckets) == sorted(set(spec.buckets))
    assert spec.help.endswith(".")


def test_a_metric_is_made_as_the_table_says(registry: Registry) -> None:
    """Asking for a gauge where the table says counter is an error at start, not odd graphs later."""
    with pytest.raises(TypeError, match="Counter"):
        registry.single(Gauge, "puntual_rebalances_total")


@pytest.fixture
def trouble() -> dict[str, str | None]:
    return {"alive": None, "ready": "2 of 12 partitions are still being recovered"}


@pytest.fixture
def server(registry: Registry, trouble: dict[str, str | None]) -> Iterator[HttpServer]:
    server = serve_http("127.0.0.1", 0, registry.collector, lambda: trouble["alive"], lambda: trouble["ready"])
    yield server
    server.close()


def get(server: HttpServer, path: str, accept: str = "") -> tuple[int, str, str]:
    request = Request(f"http://127.0.0.1:{server.port}{path}", headers={"Accept": accept})
    try:
        with urlopen(request, timeout=5) as answer:  # noqa: S310
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_metrics_can_be_scraped(server: HttpServer, meter: Meter) -> None:
    """What the meter was told is in the text that Prometheus reads."""
    meter.rebalanced()
    status, kind, text = get(server, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["puntual_rebalances"].samples[0].value == 1


def test_openmetrics_is_spoken_to_those_who_ask_for_it(server: HttpServer) -> None:
    """Prometheus asks for OpenMetrics first, and gets it."""
    _, kind, text = get(server, "/metrics", "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_readiness_says_what_is_missing_and_turns(server: HttpServer, trouble: dict[str, str | None]) -> None:
    """503 with the reason until ready, then 200."""
    assert get(server, "/readyz")[::2] == (503, "2 of 12 partitions are still being recovered\n")
    trouble["ready"] = None
    assert get(server, "/readyz")[::2] == (200, "ok\n")


def test_liveness_is_apart_from_readiness(server: HttpServer, trouble: dict[str, str | None]) -> None:
    """A worker that recovers is alive; one whose loop hangs is not."""
    assert get(server, "/livez")[0] == 200
    trouble["alive"] = "the event loop has not answered for 60 s"
    assert get(server, "/livez")[::2] == (503, "the event loop has not answered for 60 s\n")


def test_an_unknown_path_names_the_known_ones(server: HttpServer) -> None:
    """Whoever guesses an address is helped."""
    assert get(server, "/")[::2] == (404, "Try /metrics, /livez, /readyz.\n")


def test_a_taken_port_is_said_plainly(server: HttpServer, registry: Registry) -> None:
    """The error names the address and the setting to change."""
    with pytest.raises(PuntualError, match=f"127.0.0.1:{server.port}.*PUNTUAL_METRICS_PORT"):
        serve_http("127.0.0.1", server.port, registry.collector, lambda: None, lambda: None)


def test_label_values_that_never_come_together_have_no_series() -> None:
    """A method belongs to one service."""
    calls = Registry().series(
        Counter,
        "grpc_server_handled_total",
        occurs=lambda service, method, _code: (service, method) in {("a", "Get"), ("b", "List")},
        grpc_service=["a", "b"],
        grpc_method=["Get", "List"],
    )
    assert {labels[:2] for labels in calls} == {("a", "Get"), ("b", "List")}
