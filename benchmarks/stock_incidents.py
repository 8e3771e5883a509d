"""Puts open incidents into the records topic, as the notifier would have written them; a process of its own.

    python -m benchmarks.stock_incidents JSON

The JSON object has the fields of `Stock`.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.batches import Record, send_all
from services.notifier.codec import RECORDS, machine
from services.notifier.config import load
from services.notifier.domain import due
from services.notifier.incident import ItemSeen
from services.notifier.items import Details, Item, Severity, Standing
from services.notifier.outbox import Accepted, DeliverySettled
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.partitioner import partition_of


class Stock(NamedTuple):
    """What is open."""

    kafka: str
    prefix: str
    partitions: int
    #: Incidents, of one promise each.
    size: int
    #: The route; on "refusing" nobody was told yet.
    team: str
    config: str
    made_at: int


def records(stock: Stock) -> Iterator[Record]:
    """Each incident with key, headers and partition."""
    plan = load(Path(stock.config)).plan
    incidents = machine(plan)
    at = Instant(stock.made_at)
    headers_at = ("announced-at", format_instant(at).encode())
    for number in range(stock.size):
        incident_id = f"{stock.team}/customer=c-{number}"
        item = Item(
            service="promises",
            record_id=f"c-{number}/order_ready/{at}",
            kind="order_ready",
            standing=Standing.BROKEN,
            due_at=Instant(at - SECOND),
            since=Instant(at - SECOND),
            offset=number,
            announced_at=at,
            severity=Severity.WARNING,
            details=Details(Instant(at - SECOND), customer_locale="es", site="Madrid", team=stock.team),
        )
        key = incident_id.encode()
        record = incidents.fold(key, None, [ItemSeen(stock.team, item, at)])
        assert record is not None
        if stock.team != "refusing":
            record = due(record, at, plan)
            assert record is not None
            ends = [DeliverySettled(at, delivery.delivery_id, Accepted("200")) for delivery in record.deliveries]
            record = incidents.fold(key, record, ends)
            assert record is not None
        step = incidents.step(key, None, record)
        headers = (("transition", step.name), ("transition-id", step.id), headers_at)
        yield Record(partition_of(incident_id, stock.partitions), key, incidents.pack(record), headers)


if __name__ == "__main__":
    wanted = Stock(**json.loads(sys.argv[1]))
    asyncio.run(send_all(wanted.kafka, f"{wanted.prefix}{RECORDS}", records(wanted)))
