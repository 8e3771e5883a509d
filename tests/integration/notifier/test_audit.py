"""The audit topic against what really happened: a receiver's own list of what it was sent, over restarts and deaths."""

import time
from collections import Counter
from collections.abc import Sequence

import pytest

from puntual.notifier.v1.audit_pb2 import AuditEntry, NotificationOutcome
from puntual.notifier.v1.incident_pb2 import DELIVERY_STATE_ACCEPTED, STANDING_BROKEN, STANDING_FULFILLED_LATE, Incident
from services.shared.partitioner import partition_of
from services.shared.topics import AUDIT, INCIDENTS
from tests.integration.engine.reading import latest
from tests.integration.notifier.test_service import CONFIG, PARTITIONS, Site, real_site, site
from tests.processes import wait_for

__all__ = ["real_site", "site"]

INCIDENT = "everything/kind=order_ready"


def entries(site: Site) -> Sequence[AuditEntry]:
    """What is written down, in the order of the topic; under the incident's key, on its partition."""
    found = site.read(AUDIT.name)
    told = [AuditEntry.FromString(entry.value or b"") for entry in found]
    assert [entry.key.decode() for entry in found] == [each.incident_id for each in told]
    assert all(entry.partition == partition_of(entry.key, PARTITIONS) for entry in found)
    return told


def said(site: Site, target: str) -> list[tuple[str, int, str, str]]:
    """Of each entry about a target: outcome, attempt, failure, provider's id."""
    told = [entry.notification for entry in entries(site) if entry.notification.target == target]
    return [(_word(n.outcome), n.attempt, n.failure, n.provider_id) for n in told]


def _word(outcome: NotificationOutcome.ValueType) -> str:
    return NotificationOutcome.Name(outcome).removeprefix("NOTIFICATION_OUTCOME_").lower()


def test_what_was_told_is_written_down_exactly(site: Site) -> None:
    """Each attempt and each end once, over a restart, with the mail server's own words, in the order of time."""
    site.web.first = [503]
    with site.worker() as worker:
        site.announce("A-1", "BROKEN", "broken")
        wait_for(site.heard("incident.breach"), 30, worker.output)
        wait_for(lambda: len(site.web.received) == 2, 30, worker.output)
        assert worker.terminate() == 0
    with site.worker() as worker:
        site.announce("A-1", "KEPT_LATE", "kept_late")
        wait_for(site.heard("incident.breach", "incident.resolved"), 30, worker.output)
        assert worker.terminate() == 0
    ended = [("attempted", 1, "", ""), ("accepted", 1, "", "ok")]
    assert said(site, "desk") == ended * 2
    assert said(site, "crm") == [
        ("attempted", 1, "", ""),
        ("retry", 1, "server_error", ""),
        ("attempted", 2, "", ""),
        ("accepted", 2, "", ""),
        ("attempted", 1, "", ""),
        ("accepted", 1, "", ""),
    ]
    written = entries(site)
    assert len({entry.entry_id for entry in written}) == len(written) == 12
    came = [(entry.item.record_id, entry.item.standing) for entry in written if entry.HasField("item")]
    assert came == [("ana/order_ready/A-1", STANDING_BROKEN), ("ana/order_ready/A-1", STANDING_FULFILLED_LATE)]
    times = [entry.at.ToNanoseconds() for entry in written]
    assert times == sorted(times)
    assert {(entry.incident_id, entry.route) for entry in written} == {(INCIDENT, "everything")}
    records = {record.record_id for entry in written for record in entry.notification.records}
    assert records == {"ana/order_ready/A-1"}


def test_an_attempt_whose_worker_died_ends_with_the_next_one(real_site: Site) -> None:
    """It is made again under its number: that the receiver got it twice, this one alone can know."""
    site = real_site
    site.web.free.clear()
    with site.worker() as worker:
        site.announce("A-1", "BROKEN", "broken")
        wait_for(lambda: len(site.web.received) == 1, 30, worker.output)
        worker.kill()
    assert said(site, "crm") == [("attempted", 1, "", "")]
    site.web.free.set()
    with site.worker() as worker:
        wait_for(lambda: len(said(site, "crm")) > 1, 60, worker.output)
    assert said(site, "crm") == [("attempted", 1, "", ""), ("accepted", 1, "", "")]
    assert len(site.web.received) == 2


@pytest.mark.slow
def test_however_often_workers_die_nothing_is_missing(real_site: Site) -> None:
    """Nobody is sent anything that is not written down, and what an incident says was accepted is there, too."""
    site, subject = real_site, 0
    site.configure(CONFIG.replace("targets: [crm, desk]", "targets: [crm]").replace("[kind]", "[team]"))
    for pause in (0.2, 0.5, 0.9, 1.4):
        with site.worker() as worker:
            for _ in range(20):
                site.announce(f"A-{subject}", "BROKEN", "broken", team=f"t{subject % 40}")
                subject += 1
            time.sleep(pause)
            worker.kill()
    with site.worker() as worker:
        wait_for(lambda: len({m["id"] for m in site.web.received}) >= 40 and not _unsettled(site), 120, worker.output)
        assert worker.terminate() == 0
    found = entries(site)
    written = {entry.entry_id for entry in found}
    broken = {entry.entry_id: entry.item.record_id for entry in found if entry.HasField("item")}
    assert sorted(broken.values()) == sorted(f"ana/order_ready/A-{number}" for number in range(subject))
    attempts = Counter(entry_id.split(":")[0] for entry_id in written if entry_id.endswith(":attempted"))
    received = Counter(message["id"] for message in site.web.received)
    assert received.keys() == attempts.keys()
    # Each worker that died may have left one attempt to the next.
    assert all(attempts[delivery_id] <= count <= attempts[delivery_id] + 4 for delivery_id, count in received.items())
    accepted = {
        f"{delivery.delivery_id}:{delivery.attempts}:accepted"
        for incident in _incidents(site)
        for delivery in incident.deliveries
        if delivery.state == DELIVERY_STATE_ACCEPTED
    }
    assert len(accepted) == 40
    assert accepted <= written


def _incidents(site: Site) -> list[Incident]:
    return [Incident.FromString(value) for value in latest(site.read(INCIDENTS.name)).values()]


def _unsettled(site: Site) -> bool:
    return any(not delivery.HasField("settled_at") for each in _incidents(site) for delivery in each.deliveries)
