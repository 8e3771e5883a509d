"""The commands that talk to Kafka, each against the brokers."""

import json
import re
import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from google.protobuf.json_format import ParseDict
from kafka import KafkaProducer

from puntual.notifier.v1.audit_pb2 import NOTIFICATION_OUTCOME_RETRY, AuditEntry
from puntual.notifier.v1.incident_pb2 import (
    INCIDENT_STATE_ACKNOWLEDGED,
    INCIDENT_STATE_OPEN,
    INCIDENT_STATE_RESOLVED,
    SEVERITY_CRITICAL,
    SEVERITY_WARNING,
    STANDING_BROKEN,
    Incident,
)
from puntual.notifier.v1.response_pb2 import RESPONSE_ACTION_RESEND, Response
from services.cli.__main__ import main
from services.cli.dead_letters import dead_letters
from services.cli.incidents import incidents
from services.cli.reading import follow, read_to_end
from services.cli.standards import standards
from services.shared.background_producer import Bounds
from services.shared.broker import free_port, start_embedded
from services.shared.clock import set_timestamp, wall_clock
from services.shared.errors import KafkaUnreachable
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.partitioner import partition_of
from services.shared.topics import AUDIT, INCIDENTS, ORDERS, RESPONSES, TOPICS, provision
from services.sla.policies import BUILT_IN
from tests.builders import quick_rules
from tests.integration.engine.reading import read_topic
from tests.processes import ServiceProcess, wait_for

PARTITIONS = 2
EXAMPLES = Path(__file__).parents[2] / "examples"
#: Each command by what one types.
COMMANDS = {
    **main.commands,
    **{f"dead-letters {name}": each for name, each in dead_letters.commands.items()},
    **{f"standards {name}": each for name, each in standards.commands.items()},
    **{f"incidents {name}": each for name, each in incidents.commands.items()},
}


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
    assert said[3].endswith("a JSON object is expected, not an array")
    assert 'no field named "made"' in said[4]
    assert said[5:7] == ["2 published", "Error: 5 lines could not be published; put them right and send those again"]
    assert [entry.key for entry in read_topic(kafka, ORDERS.under(prefix))] == [b"ana", b"ana"]


def test_a_topic_can_be_given_for_all_lines(kafka: str, prefix: str, site: tuple[str, ...]) -> None:
    """A line's own topic goes before it."""
    line = json.dumps({name: value for name, value in json.loads(order("o1", returned={})).items() if name != "topic"})
    result = run("publish", "--topic", "callbacks", *site, text=f"{line}\n{order('o2', ready={})}")
    assert (result.exit_code, result.stderr) == (0, "2 published\n")
    assert len(read_topic(kafka, f"{prefix}callbacks.v1")) == len(read_topic(kafka, ORDERS.under(prefix))) == 1


def test_incidents_are_listed_and_shown(kafka: str, prefix: str, site: tuple[str, ...]) -> None:
    """Those that are open, with who was told; what is forgotten is not there, what is over only if asked for."""
    said = (EXAMPLES / "incidents.v1" / "open.json").read_text()
    is_open = ParseDict(json.loads(said), Incident())
    coming = ParseDict(json.loads(said), Incident()).items[0]
    coming.record_id, coming.severity, coming.follow_up = "c-1042/appointment/ap-32", SEVERITY_WARNING, True
    del coming.told[:]
    coming.rises.add(severity=SEVERITY_CRITICAL).at.FromJsonString("2025-11-28T15:00:00Z")
    later = Incident(incident_id="later", route="later", state=INCIDENT_STATE_RESOLVED, items=[coming])
    over = Incident(incident_id="quiet", route="quiet", state=INCIDENT_STATE_RESOLVED)
    with closing(KafkaProducer(bootstrap_servers=kafka)) as producer:
        for key, value in (
            (is_open.incident_id, is_open),
            ("later", later),
            ("quiet", over),
            ("gone", over),
            ("gone", None),
        ):
            record = value.SerializeToString() if value else None
            producer.send(INCIDENTS.under(prefix), record, key=key.encode()).get(timeout=10)
    listed = run("incidents", "list", *site)
    assert (listed.exit_code, listed.stderr) == (0, "1 incident\n")
    assert "critical" in listed.stdout
    everything = run("incidents", "list", "--all", "--json", *site).stdout.splitlines()
    assert [json.loads(line)["incidentId"] for line in everything] == [is_open.incident_id, "later", "quiet"]
    awaited = run("incidents", "show", "later", *site).stdout
    assert "warning  broken  c-1042/appointment/ap-32  due 2025-11-28T11:00:00Z, critical from 2025-11-28T15" in awaited
    shown = run("incidents", "show", is_open.incident_id, *site).stdout
    assert "broken  c-1042/appointment/ap-31  due 2025-11-28T11:00:00Z  told: console" in shown
    assert "2025-11-28T11:30:00Z  breach of 1 item to console by console: accepted" in shown
    assert json.loads(run("incidents", "show", is_open.incident_id, "--json", *site).stdout) == json.loads(said)
    missing = run("incidents", "show", "gone", *site)
    assert (missing.exit_code, "no incident 'gone'" in missing.stderr) == (3, True)


def test_who_was_told_what_is_shown(kafka: str, prefix: str, site: tuple[str, ...]) -> None:
    """Each entry once and in the order of time, of all incidents or one, as far back as asked, in 80 columns."""
    said = json.loads((EXAMPLES / "audit.v1" / "accepted.json").read_text())
    accepted, answered, broken = (
        ParseDict(json.loads((EXAMPLES / "audit.v1" / f"{name}.json").read_text()), AuditEntry())
        for name in ("accepted", "answered", "broken")
    )
    tried, newer, unknown = AuditEntry(), AuditEntry(), AuditEntry(entry_id="4", incident_id="rest", route="rest")
    for each, incident, name in ((tried, said["incidentId"], "d:1:retry"), (newer, "rest", "d:2:dead")):
        each.CopyFrom(accepted)
        each.entry_id, each.incident_id, each.notification.provider_id = name, incident, ""
    tried.at.FromSeconds(accepted.at.seconds - 60)
    tried.notification.outcome, tried.notification.failure = NOTIFICATION_OUTCOME_RETRY, "rate_limited"
    set_timestamp(newer.at, wall_clock())
    newer.notification.target, newer.notification.records[0].record_id = "desk", "c-7/order_ready/o-1"
    set_timestamp(unknown.at, Instant(wall_clock() + SECOND))
    with closing(KafkaProducer(bootstrap_servers=kafka)) as producer:
        for each in (answered, accepted, accepted, newer, tried, unknown, broken):
            key = each.incident_id.encode()
            where = partition_of(key, PARTITIONS)
            producer.send(AUDIT.under(prefix), each.SerializeToString(), key, partition=where).get(timeout=10)

    def found(*arguments: str) -> list[str]:
        lines = run("incidents", "audit", "--json", *arguments, *site).stdout.splitlines()
        return [json.loads(line)["entryId"] for line in lines]

    everything = [tried.entry_id, accepted.entry_id, answered.entry_id, newer.entry_id, unknown.entry_id]
    assert found() == everything
    assert found("--breaches") == [broken.entry_id, *everything]
    assert found(said["incidentId"]) == [broken.entry_id, *everything[:3]]
    assert found("--record", broken.item.record_id) == [broken.entry_id, *everything[:2]]
    assert found("--since", "24h") == everything[3:]
    assert found("--since", "2025-11-28T12:30:00.9+01:00") == everything[1:]
    assert found("--until", "2025-11-28T12:30:00+01:00") == everything[:1]
    assert found("--target", "pager") == everything[:2]
    assert found("--outcome", "retry") == everything[:1]
    assert found("--record", "c-7/order_ready/o-1", "rest") == ["d:2:dead"]
    assert json.loads(run("incidents", "audit", "--json", *site).stdout.splitlines()[1]) == said
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["incidents", "audit", *site])
    assert (shown.exit_code, shown.stderr.splitlines()[-1]) == (0, "5 entries")
    assert max(map(len, shown.stdout.splitlines())) <= 80
    rows = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "2025-11-28T11:29:00Z pager by pagerduty critical breach, 1 item" in rows
    assert any(row.startswith("retry: rate_limited") for row in rows)
    assert any(row.startswith("puntual-0b5e6a0c9d3f4a71") for row in rows)
    assert "2025-11-28T11:34:10Z ana by slack calling the customer" in rows
    all_of_it = run("incidents", "audit", "--breaches", *site).stdout
    assert "2025-11-28T11:28:00Z broken critical c-1042/appointment/ap-31" in " ".join(all_of_it.split())
    missing = run("incidents", "audit", "gone", *site)
    assert (missing.exit_code, "written down of incident 'gone'" in missing.stderr) == (3, True)
    wrong = run("incidents", "audit", "--since", "yesterday", *site)
    assert (wrong.exit_code, "'yesterday' is neither a duration nor an instant" in wrong.stderr) == (2, True)


def put(kafka: str, prefix: str, *incidents: Incident) -> None:
    """Write incidents, as the notifier does."""
    with closing(KafkaProducer(bootstrap_servers=kafka)) as producer:
        for each in incidents:
            producer.send(INCIDENTS.under(prefix), each.SerializeToString(), key=each.incident_id.encode()).get(10)


def test_incidents_show_who_sees_to_them_and_who_is_told_next(
    kafka: str, prefix: str, site: tuple[str, ...], tmp_path: Path
) -> None:
    """Those that nobody sees to come first; on a terminal of 80 columns; what people wrote cannot move the cursor."""
    waiting = ParseDict(json.loads((EXAMPLES / "incidents.v1" / "open.json").read_text()), Incident())
    answered, off = Incident.FromString(waiting.SerializeToString()), Incident.FromString(waiting.SerializeToString())
    answered.incident_id, answered.state = "seen-to", INCIDENT_STATE_ACKNOWLEDGED
    off.incident_id, off.state = "off", INCIDENT_STATE_ACKNOWLEDGED
    far = "2999-01-01T14:05:00Z"
    ParseDict({"by": "ana", "until": far}, answered.acknowledgement)
    ParseDict({"by": "bob", "until": far, "snoozed": True}, off.acknowledgement)
    answered.opened_at.FromJsonString("2025-11-28T11:30:00.250Z")
    said = {"action": "RESPONSE_ACTION_ACKNOWLEDGE", "by": "ana", "respondedAt": "2025-11-28T11:34:00Z", "via": "cli"}
    ParseDict(said | {"comment": "calling \x1b[2Jnow"}, answered.responses.add())
    ParseDict({"kind": "NOTIFICATION_KIND_ACKNOWLEDGED"}, answered.deliveries[0])
    ParseDict({"kind": "NOTIFICATION_KIND_SNOOZED", "itemCount": 2}, off.deliveries[0])
    waiting.steps_taken = 1
    waiting.next_step_at.FromJsonString(far)
    put(kafka, prefix, off, answered, waiting)
    assert max(map(len, run("incidents", "list", *site).stdout.splitlines())) <= 80
    listed = CliRunner(env={"COLUMNS": "200"}).invoke(main, ["incidents", "list", *site]).stdout
    order = [listed.index(words) for words in ("next step at", "put off by bob", "acknowledged by ana")]
    assert order == sorted(order)
    assert "2999-01-01T14:05Z (1" in listed
    seen_to = run("incidents", "show", "seen-to", *site).stdout
    assert seen_to.splitlines()[:3] == [
        "seen-to: acknowledged",
        "  opened at 2025-11-28T11:30:00Z",
        "  acknowledged by ana until 2999-01-01T14:05Z",
    ]
    assert seen_to.splitlines()[-1] == ("  2025-11-28T11:34:00Z  acknowledged by ana through cli: calling [2Jnow")
    assert "  2025-11-28T11:30:00Z  acknowledgement of 1 item to console by console: accepted\n" in seen_to
    assert "deferral of 2 items to console" in run("incidents", "show", "off", *site).stdout
    assert "  next step at 2999-01-01T14:05Z (1 taken)\n" in run("incidents", "show", waiting.incident_id, *site).stdout
    file = tmp_path / "notifier.yaml"
    file.write_text(STAIRS)
    named = run("incidents", "show", waiting.incident_id, "--notifier", str(file), *site).stdout
    assert "  next step at 2999-01-01T14:05Z (1 taken): on-call:shop, boss\n" in named


def test_incidents_show_what_holds_news_back(kafka: str, prefix: str, site: tuple[str, ...], tmp_path: Path) -> None:
    """By the silences there are and the rules of a file; without one only until when; where nothing is, nothing."""
    known = ParseDict(json.loads((EXAMPLES / "incidents.v1" / "open.json").read_text()), Incident())
    held = Incident.FromString(known.SerializeToString())
    held.incident_id = "held"
    held.looked_at.FromJsonString("2025-11-28T11:30:00Z")
    del held.items[0].told[:]
    put(kafka, prefix, held, known)

    def said(incident_id: str, *options: str) -> list[str]:
        lines = run("incidents", "show", incident_id, *site, *options).stdout.splitlines()
        return [line.strip() for line in lines if "held back" in line]

    assert said("held") == ["news is held back until other trouble is over"]
    held.next_look_at.FromJsonString("2999-01-01T14:05:00Z")
    put(kafka, prefix, held)
    assert said("held") == ["news is held back until 2999-01-01T14:05Z"]
    file = tmp_path / "notifier.yaml"
    file.write_text(QUIET)
    # The rules hold back nothing, as where it is the pace that does.
    assert said("held", "--notifier", str(file)) == said("held")
    why = ("--match", "kind=appointment", "--for", "2d", "--reason", "stocktaking", "--by", "ana")
    silence_id = run("incidents", "silence", *why, *site).stdout.splitlines()[-1].split()[1].rstrip(":")
    (line,) = said("held", "--notifier", str(file))
    assert re.fullmatch(rf"held back: 1 item by silence {silence_id} until [-0-9]{{10}}T\d\d:\d\dZ", line)
    assert said(known.incident_id, "--notifier", str(file)) == []


#: Its secrets are not here, either.
QUIET = """
targets: {console: {channel: webhook, settings: {url: "env:NOT_HERE"}}}
routes: [{name: everything, targets: [console]}]
"""


#: Its secrets are not here: to name the next step nobody is told anything.
STAIRS = """
targets: {desk: {channel: webhook, settings: {url: "env:NOT_HERE"}}, boss: {channel: console}}
schedules:
  shop: {zone: Europe/Madrid, fallback: desk, layers: [{rotation: [boss], from: 2026-12-07, at: "09:00"}]}
escalations: {up: {steps: [{after: 5min, targets: [desk]}, {after: 5min, targets: ["on-call:shop", boss]}]}}
routes: [{name: everything, targets: [desk], escalation: up}]
"""


def test_what_was_lost_is_listed_and_asked_for_again(
    kafka: str, prefix: str, site: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is open counts; of one target if it is named; where nothing was lost nothing is published."""
    monkeypatch.setattr("services.cli.answers.PATIENCE", 0.5)
    lost = ParseDict(json.loads((EXAMPLES / "incidents.v1" / "open.json").read_text()), Incident())
    whole = Incident.FromString(lost.SerializeToString())
    whole.incident_id = "whole"
    del lost.items[0].told[:]
    lost.items[0].told.add(target="pager", standing=STANDING_BROKEN, delivery_id="d-1", lost=True)
    put(kafka, prefix, lost, whole)
    (found,) = map(json.loads, run("incidents", "list", "--lost", "--json", *site).stdout.splitlines())
    assert found["incidentId"] == lost.incident_id
    shown = run("incidents", "show", lost.incident_id, *site).stdout
    assert "  not delivered: 1 to pager\n" in shown
    assert "told: pager (not delivered)\n" in shown
    for arguments, words in (
        (["whole"], "Nothing that is open in 'whole' was lost; nothing was published."),
        ([lost.incident_id, "--target", "ana"], "was lost on the way to 'ana'; nothing was published."),
    ):
        refused = run("incidents", "resend", *arguments, *site)
        assert (refused.exit_code, words in refused.stderr) == (1, True), refused.stderr
    none = run("incidents", "resend", "--all", "--target", "ana", *site)
    assert (none.exit_code, none.stderr) == (0, "Nothing that is open was lost.\n")
    assert read_topic(kafka, RESPONSES.under(prefix)) == []
    assert run("incidents", "resend", "--all", "--target", "pager", "--by", "ana", *site).exit_code == 4
    (entry,) = read_topic(kafka, RESPONSES.under(prefix))
    response = Response.FromString(entry.value or b"")
    assert (response.action, response.target, response.by) == (RESPONSE_ACTION_RESEND, "pager", "ana")


def test_what_nobody_takes_in_is_said_to_be_published(
    kafka: str, prefix: str, site: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No notifier runs: 4, and the response is there for when one does, meant for this run of the incident only."""
    monkeypatch.setattr("services.cli.answers.PATIENCE", 0.5)
    incident = ParseDict(json.loads((EXAMPLES / "incidents.v1" / "open.json").read_text()), Incident())
    incident.opened_at.FromJsonString("2025-11-28T11:30:00.250Z")
    put(kafka, prefix, incident)
    result = run("incidents", "ack", incident.incident_id, "--by", "ana", "--comment", "on my way", *site)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "No notifier has taken it in within 0.5 s. It is published and counts as soon as one runs" in result.stderr
    (entry,) = read_topic(kafka, RESPONSES.under(prefix))
    response = Response.FromString(entry.value or b"")
    assert (entry.key, entry.partition) == (
        incident.incident_id.encode(),
        partition_of(incident.incident_id, PARTITIONS),
    )
    assert (response.by, response.comment, response.via) == ("ana", "on my way", "cli")
    assert response.opened_at == incident.opened_at


def test_what_is_over_or_was_never_there_cannot_be_answered(kafka: str, prefix: str, site: tuple[str, ...]) -> None:
    """It is said what is open, and nothing is published, not even to the others that are named."""
    names = [f"ops-{number}" for number in range(7)]
    put(kafka, prefix, *(Incident(incident_id=name, route="ops", state=INCIDENT_STATE_OPEN) for name in names))
    put(kafka, prefix, Incident(incident_id="quiet", route="ops", state=INCIDENT_STATE_RESOLVED))
    over = run("incidents", "ack", "ops-1", "quiet", *site)
    listed = "open is ops-0, ops-1, ops-2, ops-3, ops-4 and 2 more (`puntual incidents list`)"
    assert (over.exit_code, over.stderr) == (1, f"Error: Incident 'quiet' is over already; {listed}.\n")
    missing = run("incidents", "resolve", "nothing", *site)
    assert (missing.exit_code, missing.stderr) == (3, f"Error: There is no incident 'nothing'; {listed}.\n")
    long = run("incidents", "comment", "ops-1", "x" * 501, *site)
    words = "comment can have 500 characters at most; nothing was published"
    assert (long.exit_code, long.stderr) == (1, f"Error: {words}\n")
    assert read_topic(kafka, RESPONSES.under(prefix)) == []


def test_topics_are_created_shown_and_checked(kafka: str, prefix: str) -> None:
    """Missing: check fails. Created: it passes. Other partitions than expected: it fails and says so."""
    where = ("--kafka", kafka, "--prefix", prefix, "--partitions", "2")
    assert run("topics", "--check", *where).exit_code == 1
    assert "missing" in run("topics", *where).stdout
    assert f"created {prefix}orders.v1" in run("topics", "--create", *where).stderr
    checked = run("topics", "--check", "--json", *where)
    report = json.loads(checked.stdout)
    assert (checked.exit_code, report["missing"], report["differences"]) == (0, [], [])
    assert set(report["single_replica"]) == {topic.under(prefix) for topic in TOPICS}
    differing = run("topics", "--check", *where[:-1], "3")
    assert differing.exit_code == 1
    assert f"{prefix}orders.v1: partitions is 2, expected 3." in differing.stderr


def dead_letter(
    kafka: str, prefix: str, reason: str, value: bytes, key: bytes | None = b"ana", topic: str = "orders.v1"
) -> None:
    """Put a message aside as the services do."""
    headers = {"reason": reason, "detail": "because", "topic": prefix + topic, "partition": "1", "offset": "9"}
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
    assert everything.stderr == "2 dead letters\n"
    assert run("dead-letters", "list", "--limit", "1", *site).stderr == "1 dead letter\n"
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


def test_records_are_never_sent_again(kafka: str, prefix: str, site: tuple[str, ...]) -> None:
    """What the notifier could not read of another service's is not written in that service's place."""
    dead_letter(kafka, prefix, "invalid", b"a record", topic="promises.v1")
    told = run("dead-letters", "replay", *site).stderr
    assert told.startswith("0 sent again\n1 left out: records of a service")
    assert read_topic(kafka, f"{prefix}promises.v1") == []


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
        why = "(not published, not read yet, or set aside: `puntual dead-letters list`)"
        assert (missing.exit_code, missing.stderr) == (3, f"Error: There is no 'ana/order_ready/o9' {why}.\n")


STANDARDS = """
version: "{version}"
calendars: {{always: {{zone: UTC, hours: {{mon-sun: "00:00-24:00"}}}}}}
policies: [{{name: all, calendar: always, pauses: {{}}, targets: {{first_reply: {{limit: {limit}}}}}}}]
"""


def test_standards_are_published_listed_and_tried_on_what_kafka_holds(
    kafka: str, prefix: str, site: tuple[str, ...], tmp_path: Path
) -> None:
    """The service judges by what is published, explains and draws it; a backtest reads topics and writes nothing."""
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(STANDARDS.format(version="1", limit="1h"))
    new.write_text(STANDARDS.format(version="2", limit="1min"))
    first = run("standards", "publish", str(old), *site)
    assert first.stdout == "version 1, 1 policy, 1 calendar; in force from the beginning\n", first.stderr
    assert run("standards", "publish", str(old), *site).stdout == "version 1 is published already\n"
    old.write_text(STANDARDS.format(version="1", limit="2h"))
    twice = run("standards", "publish", str(old), *site)
    assert (twice.exit_code, "is published with other words; give it another name" in twice.stderr) == (1, True)
    old.write_text(STANDARDS.format(version="1", limit="1h"))
    now = wall_clock()
    steps = [(-1200, "received"), (-1100, "held"), (-900, "resumed"), (-600, "replied")]
    head = {"topic": "contacts", "source": "test", "customer_id": "ana", "subject_id": "m1"}
    lines = [
        json.dumps(head | {"event_id": arm, "occurred_at": format_instant(Instant(now + at * SECOND)), arm: {}})
        for at, arm in steps
    ]
    assert run("publish", *site, text="\n".join(lines)).exit_code == 0
    with ServiceProcess("sla", kafka, prefix, partitions=PARTITIONS, standards=old, instance="one") as worker:
        wait_for(lambda: b"ana/first_reply/m1" in {entry.key for entry in read_topic(kafka, f"{prefix}sla.v1")}, 20)
        picture = tmp_path / "why.svg"
        told = run("explain", "ana/first_reply/m1", "--sla", worker.address, "--picture", str(picture))
        assert "First reply to contact m1 for customer ana: met" in told.stdout, told.stderr
        assert "3 min 20 s: held" in told.stdout
        assert picture.read_text().startswith("<svg ")
    assert run("standards", "publish", str(new), *site).exit_code == 0
    listed = json.loads(run("standards", "list", "--json", *site).stdout)
    assert [(each["version"], each["in_force_from"] is None) for each in listed] == [("1", True), ("2", False)]
    before = [len(read_topic(kafka, topic.under(prefix))) for topic in TOPICS]
    arguments = ("--events", "topic", "--against", str(old), "--standards", str(new), "--json")
    found = json.loads(run("standards", "backtest", *arguments, *site).stdout)
    assert (found["events"], [flip["after"] for flip in found["flips"]]) == (4, ["broken"])
    assert [len(read_topic(kafka, topic.under(prefix))) for topic in TOPICS] == before


@pytest.fixture
def history(tmp_path: Path) -> tuple[str, ...]:
    """The arguments of `replay` for a history of one event."""
    (tmp_path / "m.yaml").write_text(
        "{every_event: {subject_id: $id}, events: [{topic: orders, occurred_at: $at, ready: {}}]}"
    )
    (tmp_path / "h.csv").write_text("id,at\no1,2026-07-01T10:00:00Z\n")
    return str(tmp_path / "h.csv"), "--mapping", str(tmp_path / "m.yaml"), "--as-of", "2026-07-02T00:00:00Z"


#: Each with what it needs beside.
COMMANDS_ON_KAFKA: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("up", "publish", "replay", "watch", "topics", "dead-letters list", "dead-letters replay"), ()),
    "sources": (),
    "skip": ("puntual.orders.v1", "0", "1", "--service", "sla", "--reason", "ends the worker"),
    "standards publish": (str(BUILT_IN),),
    "standards list": (),
    "incidents list": (),
    "incidents show": ("everything",),
    "incidents silence": ("--match", "site=Madrid", "--for", "2h", "--reason", "stocktaking", "--by", "ana"),
    "incidents silences": (),
    "incidents unsilence": ("5c1f09ab",),
    "incidents audit": (),
    "incidents test-route": ("--service", "sla", "--kind", "first_reply", "--standing", "broken", "--silences"),
    **dict.fromkeys(("incidents ack", "incidents take-over", "incidents resolve"), ("everything",)),
    "incidents snooze": ("everything", "--for", "1h"),
    "incidents comment": ("everything", "why"),
    "incidents resend": ("everything",),
    "standards backtest": ("--events", "topic", "--standards", str(BUILT_IN)),
}


@pytest.mark.parametrize("command", COMMANDS_ON_KAFKA)
def test_a_kafka_that_cannot_be_reached_ends_with_four(
    command: str, history: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the address, the variable, and nothing else on the terminal but how far a replay had come."""
    for module in ("cli.reading", "shared.topics"):
        monkeypatch.setattr(f"services.{module}.CONNECT_MS", 300)
    monkeypatch.setattr("services.shared.publisher.BOUNDS", Bounds(connect=0.3))
    nowhere = f"127.0.0.1:{free_port()}"
    result = run(
        *command.split(), *(history if command == "replay" else COMMANDS_ON_KAFKA[command]), "--kafka", nowhere
    )
    assert result.exit_code == 4
    assert result.stderr.splitlines()[-1] == (
        f"Error: Kafka does not answer at {nowhere}; is it running, and is PUNTUAL_KAFKA right?"
    )
    assert result.stdout in {"", "starting …\n"}


@pytest.mark.parametrize("option", ["--promises", "--sla"])
def test_a_service_that_cannot_be_reached_ends_with_four(option: str) -> None:
    """With the address and the options that name another."""
    nowhere = f"127.0.0.1:{free_port()}"
    result = run("explain", "ana/order_ready/o1" if option == "--promises" else "ana/first_reply/m1", option, nowhere)
    assert (result.exit_code, result.stderr.startswith(f"Error: {nowhere} cannot answer")) == (4, True)
    assert result.stderr.endswith("; is the service running there? --promises and --sla say where to ask\n")


def test_no_command_that_talks_to_kafka_is_left_out() -> None:
    """The list above names all that take --kafka."""
    talking = {name for name, each in COMMANDS.items() if any(param.name == "kafka" for param in each.params)}
    assert talking == set(COMMANDS_ON_KAFKA)


@pytest.mark.parametrize("command", COMMANDS_ON_KAFKA)
@pytest.mark.parametrize("address", ["", ":", "127.0.0.1:port", "a:1,,b:2", "kafka 1:9092", "kafka:9092:9092"])
def test_an_address_that_is_none_is_wrong_usage(command: str, address: str, history: tuple[str, ...]) -> None:
    """Before anybody is asked."""
    result = run(
        *command.split(), *(history if command == "replay" else COMMANDS_ON_KAFKA[command]), "--kafka", address
    )
    assert result.exit_code == 2
    assert f"{address!r} is no address; write for example kafka-1:9092,kafka-2:9092" in result.stderr


def test_kafka_that_stops_answering_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic that is read to its end, and an end that never comes."""
    monkeypatch.setattr("services.cli.reading._consumer", lambda *_: nullcontext(_Silent()))
    with pytest.raises(KafkaUnreachable, match="does not answer at there"):
        list(read_to_end("there", "topic"))


class _Silent:
    """A consumer of a topic with a message that never comes."""

    def assignment(self) -> set[str]:
        return {"p"}

    def end_offsets(self, partitions: set[str]) -> dict[str, int]:
        return dict.fromkeys(partitions, 1)

    def seek_to_beginning(self) -> None:
        pass

    def position(self, _partition: str) -> int:
        return 0

    def poll(self, timeout_ms: int) -> dict[str, Any]:
        assert timeout_ms
        return {}


def test_who_watches_is_told_when_kafka_is_gone_and_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once each, however long it lasts; then watching goes on where it was."""
    for name, seconds in (("_QUIET", 1.0), ("_PROBE_MS", 500)):
        monkeypatch.setattr(f"services.cli.reading.{name}", seconds)
    said: list[str] = []
    with start_embedded(tmp_path) as bootstrap:
        provision(bootstrap, "p.", 1)
        messages = follow(bootstrap, ["p.orders.v1"], from_start=False, tell=said.append)
        for _ in range(8):
            assert next(messages) is None
        assert said == [], "a topic may be quiet"
    wait_for(lambda: next(messages) is None and bool(said), 20)
    for _ in range(12):
        assert next(messages) is None
    assert said == [f"Kafka does not answer at {bootstrap}; still trying. Ctrl-C ends it"]
    with start_embedded(tmp_path, int(bootstrap.rpartition(":")[2])):
        wait_for(lambda: next(messages) is None and len(said) > 1, 20)
        assert run("publish", "--kafka", bootstrap, "--prefix", "p.", text=order("o1", ready={})).exit_code == 0
        assert next(message for message in messages if message).key == b"ana"
    assert said[1:] == [f"Kafka answers again at {bootstrap}"]
    messages.close()


def test_waiting_for_what_is_not_written_costs_next_to_nothing(kafka: str, prefix: str, site: tuple[str, ...]) -> None:
    """Some brokers answer at once that there is nothing; asking again at once would take a whole core."""
    assert site
    messages = follow(kafka, [ORDERS.under(prefix)], from_start=False)
    assert next(messages) is None
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() < began + 2:
        assert next(messages) is None
    assert time.process_time() - used < 0.25 * (time.monotonic() - began)
    messages.close()


@pytest.mark.parametrize("command", ["publish", "replay"])
def test_topics_are_not_made_by_publishing(kafka: str, prefix: str, command: str, history: tuple[str, ...]) -> None:
    """Kafka's own settings for a topic are not ours: whoever publishes too early is told how to make them."""
    where = ("--kafka", kafka, "--prefix", prefix)
    result = run(
        command, *(history if command == "replay" else COMMANDS_ON_KAFKA[command]), *where, text=order("o1", ready={})
    )
    assert result.exit_code == 1
    assert f"Error: there is no topic {prefix}orders.v1; `puntual topics --create` makes it\n" in result.stderr
    assert len(json.loads(run("topics", "--json", *where).stdout)["missing"]) == len(TOPICS)


def test_lines_of_any_bytes_are_reported_and_the_rest_is_sent(site: tuple[str, ...]) -> None:
    """Each in one line, without what it holds."""
    bad = (
        b'{"topic": {"secret": 1}}',
        b'{"topic": "secret"}',
        b"[" * 100_000,
        b'{"site": "secret \xff"}',
        b'{"a":1,"a":2}',
    )
    lines = b"\n".join([*bad, order("o1", ready={}).encode()])
    result = CliRunner().invoke(main, ["publish", *site], input=lines)
    assert result.exit_code == 1
    no_topic = 'the line names a topic that is none; add "topic" or --topic: one of orders, callbacks, '
    assert result.stderr.splitlines() == [
        f"line 1: {no_topic}appointments, contacts, customers",
        f"line 2: {no_topic}appointments, contacts, customers",
        "line 3: no JSON: nested too deeply, or a number is too long",
        "line 4: no JSON: not UTF-8 at byte 18",
        'line 5: the JSON gives a field named "a" twice',
        "1 published",
        "Error: 5 lines could not be published; put them right and send those again",
    ]


def test_a_file_that_does_not_exist_is_wrong_usage(tmp_path: Path) -> None:
    """Of every command that reads one."""
    nothing, mapping = str(tmp_path / "nothing"), str(tmp_path)
    as_of = ("--as-of", "2026-07-02T00:00:00Z")
    for arguments in (
        ("publish", nothing),
        ("judge", nothing, "--mapping", nothing, *as_of),
        ("replay", nothing, "--mapping", nothing, *as_of),
        ("judge", mapping, "--mapping", nothing, *as_of),
    ):
        result = run(*arguments)
        assert (result.exit_code, result.stderr.count("Error: Invalid value for ")) == (2, 1)


@pytest.mark.parametrize(
    ("record_id", "said"),
    [
        ("ana/o1", "'ana/o1' is no record id; expected customer/kind/subject"),
        (
            "ana/order_sent/o1",
            "'ana/order_sent/o1': there is no kind 'order_sent'; there are appointment, appointment_started",
        ),
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


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_helps(command: str) -> None:
    """With what it does, examples and exit codes."""
    text = run(*command.split(), "--help").stdout
    assert re.search(r"Exit codes:\s+0 +(done|judged|all are heard)", text)
    assert f"puntual {command}" in text.partition("Examples:")[2] or not command
