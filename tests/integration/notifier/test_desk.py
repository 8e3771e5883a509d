"""What the command line can do, over gRPC: a notifier in a process of its own, and both asked the same."""

import json
import time

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from puntual.notifier.v1.incident_pb2 import STANDING_BROKEN
from puntual.notifier.v1.notifier_service_pb2 import (
    CreateSilenceRequest,
    EndSilenceRequest,
    ListAuditRequest,
    ListSilencesRequest,
    TestRouteRequest as RouteRequest,  # pytest takes what is called Test for a test
)
from puntual.notifier.v1.notifier_service_pb2_grpc import NotifierServiceStub
from puntual.notifier.v1.silence_pb2 import Condition, Silence
from services.shared.broker import HOST
from services.shared.clock import from_timestamp, set_timestamp, wall_clock
from services.shared.errors import KafkaUnreachable
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.past import read_past
from tests.integration.notifier.test_answers import CLOSED, CONFIG, INCIDENT, PARTITIONS, TOLD, Site, site
from tests.processes import ServiceProcess, wait_for

__all__ = ["site"]

HOUR = 3600 * SECOND
ORDER = ("--service", "promises", "--kind", "order_ready", "--standing", "broken")


def test_a_silence_over_grpc_holds_back_until_it_is_ended(site: Site) -> None:
    """Both see the same silence; nobody is told while it lasts, and everybody who has to be once it is ended."""
    with site.worker() as worker, grpc.insecure_channel(worker.address) as channel:
        stub = NotifierServiceStub(channel)
        wanted = Silence(match=[Condition(label="kind", values=["order_ready"])], reason="moving", by="ana")
        set_timestamp(wanted.ends_at, Instant(wall_clock() + HOUR))
        made = stub.CreateSilence(CreateSilenceRequest(silence=wanted), timeout=15).silence
        assert list(stub.ListSilences(ListSilencesRequest(), timeout=10).silences) == [made]
        (listed,) = map(json.loads, site.types("silences", "--json").splitlines())
        assert listed == MessageToDict(made)
        site.breaks("A-1")
        wait_for(lambda: site.knows("A-1"), 20, worker.output)
        assert site.ears.heard() == []
        stub.EndSilence(EndSilenceRequest(silence_id=made.silence_id, by="ana"), timeout=15)
        assert not stub.ListSilences(ListSilencesRequest(all=True), timeout=10).silences
        assert site.types("silences") == ""
        site.hears(worker, *TOLD)
        with pytest.raises(grpc.RpcError, match="There is no silence"):
            stub.EndSilence(EndSilenceRequest(silence_id=made.silence_id, by="ana"), timeout=15)


@pytest.mark.parametrize("ends_by_itself", [False, True])
def test_a_silence_on_the_command_line_holds_back_until_it_is_over(site: Site, *, ends_by_itself: bool) -> None:
    """A breach in a notifier that runs, escalation and all; what is silenced elsewhere makes no difference."""
    with site.worker() as worker:
        said = ("--reason", "stocktaking", "--by", "ana")
        site.types("silence", "--match", "kind=callback", "--for", "1h", *said)
        lasts = "30s" if ends_by_itself else "1h"
        made = site.types("silence", "--match", "kind=order_ready", "--match", "customer=ana", "--for", lasts, *said)
        site.breaks("A-1")
        wait_for(lambda: site.knows("A-1"), 20, worker.output)
        time.sleep(4)  # longer than the escalation would wait
        assert site.ears.heard() == []
        if not ends_by_itself:
            site.types("unsilence", made.rpartition("unsilence ")[2].partition("`")[0])
        site.hears(worker, *TOLD, seconds=60)


def test_a_breach_is_told_on_each_route_that_takes_it(site: Site) -> None:
    """To a target that is on both of them twice, and not on the routes behind."""
    document = CONFIG.format(host=HOST, port=site.ears.server.server_port, counts="1h", after="5s")
    first = "routes: [{name: log, targets: [boss, shop], continue: true}, "
    site.config.write_text(document.replace("routes: [", first))
    with ServiceProcess("notifier", site.kafka, site.prefix, partitions=PARTITIONS, notifier=site.config) as worker:
        site.breaks("A-1")
        site.hears(worker, *TOLD, ("boss", "breach"), ("shop", "breach"))
        assert "A-1" in site.types("show", "log")
        site.types("resolve", "log", "--by", "ana")
        site.hears(worker, *TOLD, ("boss", "breach"), ("shop", "breach"), *CLOSED)


def test_the_command_line_and_grpc_read_the_same_audit(site: Site) -> None:
    """All of it, of one incident or target, and from an instant to another."""
    with site.worker() as worker, grpc.insecure_channel(worker.address) as channel:
        stub = NotifierServiceStub(channel)
        assert not list(stub.ListAudit(ListAuditRequest(), timeout=30))
        site.breaks("A-1")
        site.hears(worker, *TOLD)
        site.types("ack", INCIDENT, "--by", "boss")

        def read(request: ListAuditRequest, *arguments: str) -> list[str]:
            streamed = [answer.entry for answer in stub.ListAudit(request, timeout=30)]
            said = [json.loads(line) for line in site.types("audit", "--json", *arguments).splitlines()]
            assert sorted(json.dumps(MessageToDict(each)) for each in streamed) == sorted(map(json.dumps, said))
            return [each.entry_id for each in streamed]

        # Two messages, each attempted and accepted, an answer, and that the other one hears of it.
        wait_for(lambda: len(list(stub.ListAudit(ListAuditRequest(), timeout=30))) == 7, 20, worker.output)
        assert len(read(ListAuditRequest())) == 7
        # And what broke.
        everything = read(ListAuditRequest(breaches=True), "--breaches")
        assert len(everything) == 8
        assert read(ListAuditRequest(incident_id=INCIDENT), INCIDENT) == everything
        assert not list(stub.ListAudit(ListAuditRequest(incident_id="gone"), timeout=30))
        boss = read(ListAuditRequest(target="boss"), "--target", "boss")
        assert 0 < len(boss) < len(everything)
        record = "ana/order_ready/A-1"
        told = read(ListAuditRequest(record_id=record), "--record", record)
        assert len(told) == len(everything) - 1  # the answer is of no record
        everywhere = ListAuditRequest(breaches=True)
        first, *_, last = sorted(from_timestamp(answer.entry.at) for answer in stub.ListAudit(everywhere, timeout=30))
        later, earlier = ListAuditRequest(breaches=True), ListAuditRequest(breaches=True)
        set_timestamp(later.since, Instant(first + 1))
        set_timestamp(earlier.until, last)
        ended = read(earlier, "--breaches", "--until", format_instant(last))
        begun = read(later, "--breaches", "--since", format_instant(Instant(first + 1)))
        assert len(ended) < len(everything) > len(begun)
        assert {*ended, *begun} == {*everything}


def test_the_command_line_and_grpc_say_the_same_of_a_route(site: Site) -> None:
    """Steps, silences and all, at an instant that both are told."""
    with site.worker() as worker, grpc.insecure_channel(worker.address) as channel:
        stub = NotifierServiceStub(channel)
        site.types("silence", "--match", "site=Madrid", "--for", "1h", "--reason", "r", "--by", "ana")
        wait_for(lambda: len(stub.ListSilences(ListSilencesRequest(), timeout=10).silences) == 1, 20, worker.output)
        at = Instant(wall_clock() + 60 * SECOND)
        request = RouteRequest(service="promises", kind="order_ready", standing=STANDING_BROKEN, site="Madrid")
        set_timestamp(request.at, at)
        reached = stub.TestRoute(request, timeout=10).reach
        asked = ("--site", "Madrid", "--at", format_instant(at), "--config", str(site.config), "--silences", "--json")
        said = json.loads(site.types("test-route", *ORDER, *asked))
        assert said == MessageToDict(reached, always_print_fields_with_no_presence=True)
        (route,) = reached.routes
        assert [held.reason for held in route.held] == ["silenced"]
        assert [step.told[0].target for step in route.steps] == ["boss"]


async def test_a_past_that_cannot_be_had_is_an_error_and_no_end() -> None:
    """Nobody takes silence for an answer."""
    with pytest.raises(KafkaUnreachable):
        _ = [message async for message in read_past("127.0.0.1:1", "audit", 1, None, Instant(0), Instant(0))]
