"""What was fulfilled and never promised, as operations see it: services as processes, the command line, the metric."""

import json

from click.testing import CliRunner, Result

from puntual.events.v1.contact_event_pb2 import ContactEvent
from services.cli.__main__ import main
from services.shared.clock import set_timestamp, wall_clock
from services.shared.instant import Instant
from services.shared.publisher import Publisher
from services.shared.sources.orphans import GRACE
from services.shared.topics import provision
from tests.builders import promised, ready
from tests.processes import ServiceProcess, wait_for

PARTITIONS = 4
CUSTOMERS = [f"c-{number}" for number in range(8)]


def a_reply(at: Instant) -> ContactEvent:
    """To a contact of which nobody knows."""
    event = ContactEvent(event_id="1", source="desk", customer_id="c-1", subject_id="m-1")
    set_timestamp(event.occurred_at, at)
    event.replied.SetInParent()
    return event


def test_orphans_of_all_workers_are_listed_and_counted_until_their_promises_come(real_kafka: str, prefix: str) -> None:
    """Two workers of one service and one of another: whichever is asked names those that answer for the rest."""
    provision(real_kafka, prefix, PARTITIONS)
    one, two, sla = (
        ServiceProcess(service, real_kafka, prefix, partitions=PARTITIONS, instance=f"{service}-{number}")
        for service, number in (("promises", 0), ("promises", 1), ("sla", 0))
    )
    with one, two, sla, Publisher(real_kafka, prefix) as shop:

        def asked(worker: ServiceProcess, *options: str) -> Result:
            addresses = ["--promises", worker.address, "--sla", sla.address]
            return CliRunner().invoke(main, ["sources", "--orphans", *addresses, *options])

        def listed(worker: ServiceProcess) -> list[str]:
            lines = asked(worker, "--json").stdout.splitlines()
            return sorted(f"{each['customerId']} {each['kind']}" for each in map(json.loads, lines))

        def counted() -> list[float]:
            of_shop = 'puntual_orphans{source="shop",topic="orders"}'
            return [worker.metrics().get(of_shop, 0.0) for worker in (one, two)]

        at = Instant(wall_clock() - GRACE)
        for customer in CUSTOMERS:
            shop.publish(ready("o-1", at, customer))
        shop.publish(a_reply(at))
        shop.flush()
        everything = sorted(["c-1 first_reply", *(f"{customer} order_ready" for customer in CUSTOMERS)])
        for worker in (one, two):
            wait_for(lambda worker=worker: listed(worker) == everything, 60, lambda: asked(one).output + two.output())  # type: ignore[misc]
        assert sum(counted()) == len(CUSTOMERS)
        assert all(counted())
        assert sla.metrics()['puntual_orphans{source="desk",topic="contacts"}'] == 1
        shown = asked(two, "--limit", "3")
        assert shown.exit_code == 1
        assert "3 orphans, and 6 more (--limit)" in shown.stderr
        assert "order ready" in shown.stdout
        assert "15 min" in shown.stdout

        for customer in CUSTOMERS[1:]:
            shop.publish(promised("o-1", at, at, customer))
        shop.flush()
        wait_for(lambda: listed(one) == ["c-0 order_ready", "c-1 first_reply"], 30, lambda: asked(one).output)
        wait_for(lambda: sum(counted()) == 1, 30, one.output)
