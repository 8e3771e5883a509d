"""What the notifier measures, for whoever exports it. Called per message, never per event.

`channel` is one of `services.notifier.channels.CHANNELS`, `severity` critical, warning or info, `kind` one of
`services.notifier.outbox.Kind`, `reason` one of `services.notifier.outbox.Failure`; of what is held back one of
`services.notifier.holds.Reason`.
"""

from typing import Protocol


class Meter(Protocol):
    """Receives measurements; `services.shared.metrics` exports them to Prometheus."""

    def decided(self, channel: str, kind: str, severity: str) -> None:
        """`puntual_notifier_notifications_total`: a message is to be sent. Counted before the first attempt."""

    def attempted(self, channel: str, outcome: str, seconds: float) -> None:
        """`puntual_notifier_attempts_total` and `..._attempt_duration_seconds`: an attempt ended.

        outcome: success, retryable, permanent.
        """

    def delivered(self, channel: str, severity: str, seconds: float) -> None:
        """`puntual_notifier_delivery_latency_seconds`: a message was accepted so long after its cause was announced."""

    def misworded(self, channel: str) -> None:
        """`puntual_notifier_templates_failed_total`: a target's own words failed, and the built-in ones were sent."""

    def given_up(self, channel: str, reason: str) -> None:
        """`puntual_notifier_notifications_failed_total`: a message will not be tried again."""

    def waiting(self, channel: str, state: str, messages: int) -> None:
        """`puntual_notifier_outbox_messages`: how many messages are in a state now. state: pending, sending."""

    def oldest(self, channel: str, seconds: float) -> None:
        """`puntual_notifier_outbox_oldest_pending_seconds`: age of the oldest message not accepted yet; 0: none."""

    def breakers(self, channel: str, targets: int) -> None:
        """`puntual_notifier_breaker_open`: at how many targets that messages wait for no attempts are made now."""

    def uncovered(self, horizon: str, schedules: int) -> None:
        """`puntual_notifier_schedules_uncovered`: how many schedules have a hole within a horizon: 24h, 7d."""


class HealthMeter(Protocol):
    """Receives what the notifier finds out about itself. Times are Unix seconds; 0: none."""

    def stuck(self, channel: str, deliveries: int) -> None:
        """`puntual_notifier_stuck_deliveries`: how many should have moved on, and have not."""

    def audited(self, at: float, overdue: float) -> None:
        """`puntual_notifier_last_audit_timestamp_seconds` and `..._incident_overdue_seconds`: of the worst incident."""

    def held_back(self, reason: str, items: int) -> None:
        """`puntual_notifier_held_back`: of how many items news is held back now."""

    def unfollowed(self, items: int) -> None:
        """`puntual_notifier_unfollowed_items`: about how many are open beyond what their incidents can follow."""

    def canary(self, channel: str, last_success: float, expected: float) -> None:
        """`puntual_notifier_canary_last_success_timestamp_seconds`, `..._canary_expected_timestamp_seconds`."""

    def heartbeat(self, last_success: float, expected: float) -> None:
        """`puntual_notifier_heartbeat_last_success_timestamp_seconds`, `..._heartbeat_expected_timestamp_seconds`."""


class AttentionMeter(Protocol):
    """Receives what `services.notifier.acknowledging` measures."""

    def acknowledged(self, severity: str, seconds: float) -> None:
        """`puntual_notifier_time_to_acknowledge_seconds`: somebody first said that he sees to an incident.

        seconds: since this run of it was opened. severity: the worst that was open.
        """

    def unacknowledged(self, severity: str, incidents: int) -> None:
        """`puntual_notifier_unacknowledged_incidents`: in how many something is open that nobody sees to.

        severity: the worst of that. What was put off is seen to until then.
        """
