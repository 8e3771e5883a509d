"""The commands that talk to Kafka, each against the brokers."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kafka import KafkaProducer

from services.cli.__main__ import main
from services.shared.broker import free_port
from services.shared.clock import wall_clock
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.topics import ORDERS, provision
from tests.builders import quick_rules
from tests.integration.engine.reading import read_topic
from tests.processes import ServiceProcess, wait_for

PARTITIONS = 2


@pytest.fixture
def site(kafka: str, prefix: str) -> tuple[str, ...]:
    """The options that lead to a broker with topics."""
    provision(kafka, prefix, PARTITIONS)
    return "--kafka", kafka, "--prefix", prefix


def run(*arguments: str, text: str = "") -> Result:
    """Run `puntual`."""
    return CliRunner().invoke(main, arguments, input=text)


def order(subject: str, **what: Any) -> str:
    """A line for `puntual publish`."""
    base = {"topic": "orders", "event_id": f"{subject}-{next(iter(what))}", "occurred_at": format_instant(wall_clock())}
    return json.dumps({**base, "customer_id": "ana", "subject_id": subject, **what})


def test_good_lines_are_published_and_bad_ones_named(kafka: str, prefix: str, site: tuple[str, ...]) -> None:
    """Every bad line has its number and a remedy; the good ones are in Kafka, keyed by the customer."""
    bad = ("nonsense", '{"topic": "orders", "subject_id": "x"}', '{"a": 1}', "[1]", order("o3", made={}))
    result = run("publish", *site, text="\n".join([order("o1", ready={}), *bad, "", order("o2", ready={})]))
    assert result.exit_code == 1
    said = result.stderr.splitlines()
    assert [line.split(":")[0] for line in said[:5]] == [f"line {number}" for number in range(2, 7)]
    assert said[0].endswith("no JSON: Expecting value at column 1")
    assert "occurred_at is absent; set it to when the event happened" in said[1]
    assert 'the line names no topic; add "topic" or --topic: one of orders' in said[2]
    assert said[3].endswith("a JSON object is expected, not list")
    assert 'no field named "made"' in said[4]
    assert said[5:7] == ["2 published", "Error: 5 lines could not be published; put them right and send those again"]
    assert [entry.key for entry in read_topic(kafka, ORDERS.under(prefix))] == [b"ana", b"ana"]


def test_a_topic_can_be_given_for_all_lines(kafka: str, prefix: str, site: tuple[str, ...]) -> None:
    """A line's own topic goes before it."""
    line = json.dumps({name: value for name, value in json.loads(order("o1", returned={})).items() if name != "topic"})
    result = run("publish", "--topic", "callbacks", *site, text=f"{line}\n{order('o2', ready={})}")
    assert (result.exit_code, result.stderr) == (0, "2 published\n")
    assert len(read_topic(kafka, f"{prefix}callbacks.v1")) == len(read_topic(kafka, ORDERS.under(prefix))) == 1


def test_topics_are_created_shown_and_checked(kafka: str, prefix: str) -> None:
    """Missing: check fails. Created: it passes. Other partitions than expected: it fails and says so."""
    where = ("--kafka", kafka, "--prefix", prefix, "--partitions", "2")
    assert run("topics", "--check", *where).exit_code == 1
    assert "missing" in run("topics", *where).stdout
    assert f"created {prefix}orders.v1" in run("topics", "--create", *where).stderr
    checked = run("topics", "--check", "--json", *where)
    assert (checked.exit_code, json.loads(checked.stdout)) == (0, {"missing": [], "differences": []})
    differing = run("topics", "--check", *where[:-1], "3")
    assert differing.exit_code == 1
    assert f"{prefix}orders.v1: partitions is 2, expected 3." in differing.stderr


def dead_letter(kafka: str, prefix: str, reason: str, value: bytes, key: bytes | None = b"ana") -> None:
    """Put a message aside as the services do."""
    headers = {"reason": reason, "detail": "because", "topic": f"{prefix}orders.v1", "partition": "1", "offset": "9"}
    originals = [("original-trace", b"t"), ("original-reason", b"mine")]
    producer = KafkaProducer(bootstrap_servers=kafka)
    encoded = [(name, text.encode()) for name, text in headers.items()]
    producer.send(f"{prefix}dead-letters.v1", key=key, value=value, headers=encoded + originals).get(10)
    producer.close()


def test_dead_letters_are_listed_without_their_content(kafka: str, prefix: str, site: tuple[str, ...]) -> None:
    """Reason, origin, time, size and detail; filtered by each option."""
    before = wall_clock()
    dead_letter(kafka, prefix, "undecodable", b"secret")
    dead_letter(kafka, prefix, "too_late", b"old")
    everything = run("dead-letters", "list", *site)
    assert f"undecodable  {prefix}orders.v1/1@9  6 bytes" in everything.stdout
    assert "secret" not in everything.stdout
    (found,) = map(json.loads, run("dead-letters", "list", "--json", "--reason", "too_late", *site).stdout.splitlines())
    assert (found["reason"], found["bytes"], found["detail"]) == ("too_late", 3, "because")
    late = format_instant(Instant(before + 3600 * SECOND))
    for options in (("--since", late), ("--topic", "other")):
        assert run("dead-letters", "list", "--json", *options, *site).stdout == ""
    assert len(run("dead-letters", "list", "--json", "--limit", "1", *site).stdout.splitlines()) == 1


def test_dead_letters_are_sent_again_as_they_were(kafka: str, prefix: str, site: tuple[str, ...]) -> None:
    """Bytes, key and headers; without a key to the partition it came from; a dry run sends nothing."""
    dead_letter(kafka, prefix, "undecodable", b"with key")
    dead_letter(kafka, prefix, "undecodable", b"without", key=None)
    dead_letter(kafka, prefix, "too_late", b"not meant")
    assert run("dead-letters", "replay", "--dry-run", *site).stderr == "3 would be sent again\n"
    assert read_topic(kafka, ORDERS.under(prefix)) == []
    assert run("dead-letters", "replay", "--reason", "undecodable", *site).stderr == "2 sent again\n"
    sent = {entry.value: entry for entry in read_topic(kafka, ORDERS.under(prefix))}
    assert {value: entry.key for value, entry in sent.items()} == {b"with key": b"ana", b"without": None}
    assert sent[b"with key"].headers == {"trace": "t", "reason": "mine"}
    assert sent[b"without"].partition == 1


def transitions(kafka: str, prefix: str) -> list[str]:
    """What the promises service has announced."""
    return [entry.headers["transition"] for entry in read_topic(kafka, f"{prefix}promises.v1")]


def test_changes_are_watched_and_explained(kafka: str, prefix: str, site: tuple[str, ...], tmp_path: Path) -> None:
    """What the promises service announces is seen as JSON and as a table, filtered; and gRPC explains it."""
    due = format_instant(Instant(wall_clock() + 2 * SECOND))
    lines = [
        order("o1", promised={"milestone": "MILESTONE_READY", "due": {"at": due}}),
        order("o2", promised={"milestone": "MILESTONE_READY", "due": {"at": due}}),
        order("o2", ready={}),
    ]
    rules = quick_rules(tmp_path)
    with ServiceProcess("promises", kafka, prefix, partitions=PARTITIONS, rules=rules, instance="one") as worker:
        assert run("publish", *site, text="\n".join(lines)).exit_code == 0
        wait_for(lambda: "broken" in transitions(kafka, prefix), 20, worker.output)
        watched = run("watch", "--from-start", "--json", "--transition", "broken", "--limit", "1", *site)
        (broken,) = map(json.loads, watched.stdout.splitlines())
        assert (broken["record_id"], broken["due_at"], broken["reason"]) == ("ana/order_ready/o1", due, "due_passed")
        assert "kept" in run("watch", "--from-start", "--transition", "kept", "--limit", "1", *site).stdout
        told = run("explain", "ana/order_ready/o1", "--promises", worker.address)
        assert told.exit_code == 0, told.stderr
        assert "Order o1 to be ready for customer ana: broken" in told.stdout
        assert "so it is broken." in " ".join(told.stdout.split())
        as_json = json.loads(run("explain", "ana/order_ready/o2", "--json", "--promises", worker.address).stdout)
        assert as_json["record"]["state"] == "PROMISE_STATE_KEPT"
        assert as_json["explanation"]["timeline"][-1]["effect"] == "decides the verdict"
        missing = run("explain", "ana/order_ready/o9", "--promises", worker.address)
        assert (missing.exit_code, missing.stderr) == (3, "Error: There is no 'ana/order_ready/o9'.\n")


def test_what_cannot_be_reached_ends_with_four() -> None:
    """Kafka and gRPC alike, with the address and no traceback."""
    nowhere = f"127.0.0.1:{free_port()}"
    explained = run("explain", "ana/order_ready/o1", "--promises", nowhere)
    assert (explained.exit_code, explained.stderr.startswith(f"Error: {nowhere} cannot answer")) == (4, True)
    for command in ("publish", "topics", "watch"):
        result = run(command, "--kafka", nowhere)
        assert (result.exit_code, result.stderr.startswith(f"Error: Kafka does not answer at {nowhere}")) == (4, True)


@pytest.mark.parametrize(
    ("record_id", "said"),
    [
        ("ana/o1", "'ana/o1' is no record id; expected customer/kind/subject"),
        ("ana/order_sent/o1", "'ana/order_sent/o1': there is no kind 'order_sent'; there are appointment, callback"),
    ],
)
def test_an_id_that_is_none_is_said_to_be_none(record_id: str, said: str) -> None:
    """Without asking anybody."""
    result = run("explain", record_id)
    assert (result.exit_code, result.stderr.startswith(f"Error: {said}")) == (1, True)


def test_topics_that_do_not_exist_are_named(kafka: str, prefix: str) -> None:
    """With the command that makes them."""
    result = run("watch", "--kafka", kafka, "--prefix", prefix)
    assert result.exit_code == 1
    assert f"There is no topic {prefix}promises.v1" in result.stderr
    assert "`puntual topics --create` makes it" in result.stderr


@pytest.mark.parametrize("command", ["", *main.commands])
def test_every_command_helps(command: str) -> None:
    """With what it does, examples and exit codes."""
    text = run(*command.split(), "--help").stdout
    assert "Exit codes: 0 done" in text
    assert "Examples:" in text or command in {"", "dead-letters"}
