"""Silences from the command line into a topic, and from there into whoever follows it."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from google.protobuf.json_format import Parse
from kafka import KafkaProducer

from puntual.notifier.v1.incident_pb2 import Incident
from services.cli.__main__ import main
from services.notifier.codec import pack, unpack
from services.notifier.holds import Silence
from services.notifier.silences_log import SilencesLog, pack_silence
from services.shared.instant import SECOND, Instant, format_instant, parse_instant
from services.shared.topic_log import TopicLog, publish
from services.shared.topics import INCIDENTS, SILENCES, provision
from tests.integration.engine.reading import latest, read_topic
from tests.processes import ServiceProcess, wait_for
from tests.unit.notifier.test_holds import match

EXAMPLES = Path(__file__).parents[2] / "examples"
PARTITIONS = 2
NOW = parse_instant("2026-11-26T12:00:00Z")
HOUR = 3600 * SECOND
MADRID = ("--match", "site=Madrid", "--match", "kind=callback", "--match", "kind=appointment")


@pytest.fixture
def site(kafka: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The options that lead to a broker with topics; it is noon."""
    monkeypatch.setattr("services.cli.silences._NOW", lambda: NOW)
    provision(kafka, prefix, PARTITIONS)
    return "--kafka", kafka, "--prefix", prefix


def run(*arguments: str) -> Result:
    """Run `puntual incidents`."""
    return CliRunner().invoke(main, ("incidents", *arguments), env={"USER": "ana"})


def made(result: Result) -> str:
    """The id of the silence that was just made."""
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()[-1].removeprefix("silence ").partition(":")[0]


def published(kafka: str, prefix: str) -> Sequence[Silence]:
    """As a second implementation of the protocol reads them."""
    known = SilencesLog()
    for entry in read_topic(kafka, SILENCES.under(prefix)):
        known.take(entry)
    return list(known.silences.values())


def test_a_silence_is_made_listed_and_ended(kafka: str, prefix: str, site: tuple[str, ...]) -> None:
    """All that was said of it is in the topic; who ends it leaves nothing."""
    result = run("silence", *MADRID, "--for", "2h", "--reason", "stocktaking", *site)
    name = made(result)
    ends = f"`puntual incidents unsilence {name}` ends it"
    assert result.stdout.splitlines() == [
        "It is for 0 open incidents.",
        f"silence {name}: kind=appointment|callback, site=Madrid, 2026-11-26T12:00Z to 2026-11-26T14:00Z; {ends}",
    ]
    expected = match(site="Madrid", kind="appointment callback")
    assert published(kafka, prefix) == [
        Silence(name, expected, NOW, Instant(NOW + 2 * HOUR), "stocktaking", "ana", NOW)
    ]
    later = ("--from", format_instant(Instant(NOW + HOUR)), "--by", "bob")
    other = made(run("silence", "--match", "customer=C-7", "--for", "30min", "--reason", "[moved]", *later, *site))
    listed = run("silences", *site)
    assert (listed.exit_code, listed.stderr) == (0, "2 silences\n")
    rows = [line for line in listed.stdout.splitlines() if "Z" in line]
    assert [row.split()[0] for row in rows] == [other, name]
    assert "[moved]" in rows[0]
    as_json = [json.loads(line) for line in run("silences", "--json", *site).stdout.splitlines()]
    assert [each["by"] for each in as_json] == ["bob", "ana"]
    assert run("unsilence", name, *site).exit_code == 0
    assert [each.silence_id for each in published(kafka, prefix)] == [other]
    on_record = run("audit", name, *site)
    assert on_record.exit_code == 0, on_record.output
    for said in ("ana by cli", "silence created", "silence ended", "site=Madrid", "stocktaking"):
        assert said in on_record.stdout
    missing = run("unsilence", name, *site)
    assert (missing.exit_code, f"There is no silence '{name}'" in missing.stderr) == (3, True)


def test_what_is_over_is_listed_on_demand(kafka: str, prefix: str, site: tuple[str, ...]) -> None:
    """It is in the topic until somebody takes it out."""
    over = Silence("over", match(site="Madrid"), Instant(NOW - 2 * HOUR), NOW, "r", "ana", NOW)
    asyncio.run(publish(kafka, SILENCES.under(prefix), "over", pack_silence(over)))
    assert run("silences", *site).stderr == "0 silences\n"
    assert "over" in run("silences", "--all", *site).stdout


def test_test_route_counts_silences_where_it_is_told_to(site: tuple[str, ...]) -> None:
    """Those in force at that instant, and only by that option is Kafka asked."""
    name = made(run("silence", "--match", "site=Madrid", "--for", "2h", "--reason", "r", *site))
    made(run("silence", "--match", "site=Torino", "--for", "2h", "--reason", "r", *site))
    later = format_instant(Instant(NOW + HOUR))
    made(run("silence", "--match", "site=Madrid", "--for", "2h", "--reason", "r", "--from", later, *site))
    asked = ("test-route", "--service", "sla", "--kind", "first_reply", "--standing", "broken", "--site", "Madrid")

    def held(at: Instant, *arguments: str) -> list[str]:
        said = run(*asked, "--at", format_instant(at), *arguments)
        assert said.exit_code == 0, said.output
        return [line for line in said.stdout.splitlines() if "silence" in line]

    assert held(Instant(NOW + SECOND), "--silences", *site) == [
        f"held      by the silence {name} until {format_instant(Instant(NOW + 2 * HOUR))}"
    ]
    assert len(held(Instant(NOW + HOUR), "--silences", *site)) == 2
    assert not held(Instant(NOW + 3 * HOUR), "--silences", *site)
    assert not held(Instant(NOW + SECOND), "--kafka", "127.0.0.1:1")


def test_it_says_first_which_open_incidents_it_is_for(kafka: str, prefix: str, site: tuple[str, ...]) -> None:
    """Also of items whose details are dropped, by what the incident is grouped by."""
    is_open = Incident.FromString(example())
    bare, elsewhere = (unpack(example()) for _ in range(2))
    bare = bare._replace(incident_id="r/site=Torino", items=tuple(item._replace(details=None) for item in bare.items))
    elsewhere = elsewhere._replace(
        incident_id="r/team=x", items=tuple(item._replace(details=None) for item in elsewhere.items)
    )
    producer = KafkaProducer(bootstrap_servers=kafka)
    for incident in (unpack(is_open.SerializeToString()), bare, elsewhere):
        producer.send(INCIDENTS.under(prefix), key=incident.incident_id.encode(), value=pack(incident))
    producer.close()
    result = run("silence", "--match", "site=Torino", "--for", "1h", "--reason", "r", *site)
    made(result)
    assert result.stdout.splitlines()[:3] == [
        "It is for 2 open incidents:",
        f"  {is_open.incident_id}: 1 item",
        "  r/site=Torino: 1 item",
    ]


def example() -> bytes:
    """The open incident that people are shown."""
    return Parse((EXAMPLES / "incidents.v1" / "open.json").read_text(), Incident()).SerializeToString()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--for", "2h"), "say what it is for, --match site=Madrid, or --all: one of them"),
        (("--match", "site=Madrid"), "Missing option '--for'"),
        (("--match", "colour=red", "--for", "2h"), "'colour' is no label; write one of customer, kind"),
        (("--match", "site", "--for", "2h"), "site has no value; write for example site=Madrid"),
        (("--match", "standing=fine", "--for", "2h"), "'fine' is no standing; write one of at_risk, broken"),
        (
            ("--match", "service=sla", "--match", "service=promises", "--for", "2h"),
            "Invalid value for --match: matches everything, so that nobody would be told of anything; narrow it",
        ),
        (("--match", "site=a", "--for", "31d"), "31d is not more than nothing and at most 30d"),
        (("--match", "site=a", "--for", "soon"), "'soon' is no duration; write for example"),
        (("--match", "site=a", "--for", "0s"), "0s is not more than nothing"),
        (("--match", "site=a", "--for", "1h", "--from", "noon"), "write for example 2026-11-26T17:00:00+01:00"),
        (
            ("--match", "site=a", "--for", "1h", "--from", "2026-11-26T11:00:00Z"),
            "Invalid value for --from: is over, 2026-11-26T12:00:00Z; begin or end it later",
        ),
    ],
)
def test_a_silence_that_is_none_is_refused_in_words(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anybody is asked anything: nothing listens where it would be published."""
    monkeypatch.setattr("services.cli.silences._NOW", lambda: NOW)
    result = run("silence", *arguments, "--reason", "r", "--kafka", "127.0.0.1:1")
    assert (result.exit_code, said in " ".join(result.stderr.split())) == (2, True), result.stderr


def test_silences_that_leave_nothing_together_are_refused_and_all_has_to_be_said(
    kafka: str, prefix: str, site: tuple[str, ...]
) -> None:
    """Here, and where one is written straight into the topic; what is refused is said, and silences nobody."""
    made(run("silence", "--match", "service=sla", "--for", "1h", "--reason", "r", *site))
    other = ("--match", "service=promises", "--for", "1h", "--reason", "r")
    refused = run("silence", *other, *site)
    assert (refused.exit_code, "last at the same time, everything" in " ".join(refused.stderr.split())) == (2, True)
    straight = Silence("x", match(service="promises"), NOW, Instant(NOW + HOUR), "r", "mallory", NOW)
    asyncio.run(publish(kafka, SILENCES.under(prefix), "x", pack_silence(straight)))
    listed = run("silences", *site)
    assert listed.stderr.startswith("offset 1 is left out: match matches, together with")
    assert listed.stderr.endswith("1 silence\n")
    too_long = run("silence", "--all", "--for", "2h", "--reason", "r", *site)
    assert (too_long.exit_code, "more than an hour" in " ".join(too_long.stderr.split())) == (2, True)
    result = run("silence", "--all", "--for", "30min", "--reason", "restored", *site)
    name = made(result)
    assert f"silence {name}: everything, " in result.stdout
    assert "everything" in run("silences", *site).stdout
    assert run("unsilence", "x", *site).exit_code == 0, "what does not count can be taken out"


def test_without_the_topic_nothing_is_published(kafka: str, prefix: str) -> None:
    """It names the command that makes it."""
    result = run("silence", *MADRID, "--for", "2h", "--reason", "r", "--kafka", kafka, "--prefix", prefix)
    assert (result.exit_code, "`puntual topics --create` makes it" in result.stderr) == (1, True)


@pytest.mark.usefixtures("site")
async def test_who_follows_the_topic_knows_all_that_was_and_hears_of_all_that_comes(kafka: str, prefix: str) -> None:
    """What cannot be used is passed over, and everything after it is heard of."""
    topic = SILENCES.under(prefix)
    one, two = (Silence(name, match(site="Madrid"), NOW, Instant(NOW + HOUR)) for name in ("one", "two"))
    await publish(kafka, topic, "one", pack_silence(one))
    await publish(kafka, topic, "bad", b"\xff")
    refused: list[int] = []
    known = SilencesLog(lambda offset, _: refused.append(offset))
    log, heard = TopicLog(kafka, topic, known.take), asyncio.Queue[list[str]]()
    await log.start()
    assert (list(known.silences), len(refused)) == (["one"], 1)

    async def changed() -> None:
        heard.put_nowait(list(known.silences))

    following = asyncio.create_task(log.follow(changed))
    try:
        await publish(kafka, topic, "bad", b"\xfe")
        await publish(kafka, topic, "two", pack_silence(two))
        assert await asyncio.wait_for(heard.get(), 20) == ["one", "two"]
        await publish(kafka, topic, "one", None)
        assert await asyncio.wait_for(heard.get(), 20) == ["two"]
        assert len(refused) == 2
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await log.stop()
    assert set(latest(read_topic(kafka, topic))) == {b"two", b"bad"}


def test_a_notifier_counts_what_it_cannot_use_and_goes_on(real_kafka: str, prefix: str) -> None:
    """At the start, and while it runs."""
    provision(real_kafka, prefix, PARTITIONS)
    topic = SILENCES.under(prefix)
    asyncio.run(publish(real_kafka, topic, "bad", b"\xff"))
    with ServiceProcess("notifier", real_kafka, prefix, partitions=PARTITIONS) as notifier:
        assert notifier.metrics()["puntual_notifier_silences_refused_total"] == 1
        asyncio.run(publish(real_kafka, topic, "worse", b"\xff"))
        wait_for(lambda: notifier.metrics()["puntual_notifier_silences_refused_total"] == 2, 20, notifier.output)
        assert notifier.output().count("holds no silence that can be used") == 1, "what is said often is said seldom"
        assert notifier.get("/readyz") == "ok\n"
        assert notifier.terminate() == 0
