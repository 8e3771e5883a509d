"""`puntual incidents ack` and the others, as far as no broker is needed."""

import getpass

import pytest
from click.testing import CliRunner
from hypothesis import given, strategies as st
from kafka.partitioner import DefaultPartitioner

from services.cli.__main__ import main
from services.cli.answers import outcome, resent
from services.cli.incidents import clock
from services.notifier.incident import Incident, IncidentState
from services.notifier.items import Standing, Told
from services.notifier.responses import Acknowledgement, Action, Attention, Response
from services.shared.instant import Instant, parse_instant
from services.shared.partitioner import partition_of
from tests.unit.notifier.builders import an_item

NOW = parse_instant("2026-11-26T12:00:00Z")
LATER = parse_instant("2026-11-26T14:05:00Z")
TOMORROW = parse_instant("2026-11-27T09:00:00Z")


def after(acknowledgement: Acknowledgement | None) -> Incident:
    """The incident once a response was taken in."""
    return Incident("ops", "ops", IncidentState.ACKNOWLEDGED, attention=Attention(NOW, acknowledgement))


@pytest.mark.parametrize(
    ("action", "acknowledgement", "words"),
    [
        (
            Action.ACKNOWLEDGE,
            Acknowledgement("ana", NOW, LATER),
            "Acknowledged by ana until 14:05Z; nobody further is told.",
        ),
        (
            Action.TAKE_OVER,
            Acknowledgement("ana", NOW, TOMORROW),
            "Acknowledged by ana until 2026-11-27T09:00Z; nobody further is told.",
        ),
        (
            Action.ACKNOWLEDGE,
            Acknowledgement("bob\n", NOW, LATER),
            "Noted, but bob sees to it until 14:05Z; `take-over` puts you in their place.",
        ),
        (
            Action.SNOOZE,
            Acknowledgement("ana", NOW, LATER, snoozed=True),
            "Put off by ana until 14:05Z; nobody is told before.",
        ),
        (Action.ACKNOWLEDGE, None, "Noted, but it is over already."),
        (
            Action.RESOLVE,
            None,
            "Closed by ana; whoever was told hears it. What breaks from now on is told.",
        ),
        (Action.COMMENT, None, "Noted."),
    ],
)
def test_what_came_of_it_is_said_in_a_line(action: Action, acknowledgement: Acknowledgement | None, words: str) -> None:
    """By what the record says, not by what was asked for."""
    assert outcome(after(acknowledgement), Response("r", action, "ana", NOW), NOW) == words


@pytest.mark.parametrize(
    ("lost", "left", "words"),
    [
        ({"pager": 2, "slack": 1}, {}, "Told again: pager, slack."),
        ({"pager": 2, "slack": 1}, {"pager"}, "Told again: slack. Not yet: pager; it is busy, held back, or somebody"),
        ({"pager": 2}, {"pager", "mail"}, "Not yet: pager; it is busy, held back, or somebody sees to it."),
        ({}, set(), "Noted, but it is over already."),
    ],
)
def test_who_is_told_again_is_said(lost: dict[str, int], left: set[str], words: str) -> None:
    """By what the record says is still lost."""
    told = tuple(Told(target, Standing.BROKEN, "d", lost=True) for target in sorted(left))
    incident = after(None)._replace(items=(an_item()._replace(told=told),))
    assert resent(incident, lost).startswith(words)


def test_times_of_today_are_short() -> None:
    """The day is said where it is another, before or after."""
    yesterday = Instant(NOW - 86_400_000_000)
    assert [clock(at, NOW) for at in (LATER, TOMORROW, yesterday)] == [
        "14:05Z",
        "2026-11-27T09:00Z",
        "2026-11-25T12:00Z",
    ]


SOON = "2999-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["snooze", "ops"], "say for how long, --for 4h, or --until when"),
        (["snooze", "ops", "--for", "1h", "--until", SOON], "one of them"),
        (["snooze", "ops", "--until", SOON], "--until is not in the coming 7 days"),
        (["snooze", "ops", "--until", "2020-01-01T00:00:00Z"], "--until is not in the coming 7 days"),
        (["snooze", "ops", "--for", "8d"], "8d is not more than nothing and at most 7d"),
        (["ack", "ops", "--for", "soon"], "'soon' is no duration"),
        (["resend"], "name incidents, or all of them by --all"),
        (["resend", "ops", "--all"], "one of them"),
        (["ack"], "Missing argument 'INCIDENT...'"),
        (["comment", "ops"], "Missing argument 'TEXT'"),
    ],
)
def test_wrong_usage_is_explained_before_anything_is_read(arguments: list[str], reason: str) -> None:
    """There is no Kafka at that address, and nobody asks it."""
    result = CliRunner().invoke(main, ["incidents", *arguments, "--kafka", "127.0.0.1:1"])
    assert result.exit_code == 2, result.output
    assert reason in " ".join(result.stderr.split())


def test_who_has_no_login_must_say_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)
    result = CliRunner().invoke(main, ["incidents", "ack", "ops"])
    assert (result.exit_code, "say --by NAME" in result.stderr) == (2, True)


class Cluster:
    """A topic, as kafka-python's partitioner asks for it."""

    def __init__(self, partitions: int) -> None:
        self.partitions = set(range(partitions))

    def topics(self) -> set[str]:
        return {"responses"}

    def partitions_for_topic(self, _topic: str) -> set[int]:
        return self.partitions

    available_partitions_for_topic = partitions_for_topic


@given(st.text(min_size=1), st.integers(1, 50))
def test_a_response_meets_its_incident(incident_id: str, partitions: int) -> None:
    """The publisher leaves the partition to its library, and the notifier keeps the incident where it computes it."""
    key = incident_id.encode(errors="replace")
    chosen = DefaultPartitioner().partition("responses", None, key, None, None, Cluster(partitions))
    assert chosen == partition_of(key, partitions)
