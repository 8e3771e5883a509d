"""`puntual sources --orphans`: what was fulfilled although nothing known had promised or started it."""

import json
from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict
from rich.box import SIMPLE_HEAD
from rich.table import Table

from puntual.sources.v1.orphan_service_pb2 import ListOrphansRequest, ListOrphansResponse, Orphan
from puntual.sources.v1.orphan_service_pb2_grpc import OrphanServiceStub
from services.cli.explain import ask
from services.cli.words import counted
from services.shared.clock import from_timestamp
from services.shared.duration import format_duration
from services.shared.instant import SECOND, Instant, format_instant
from services.shared.terminal import console, say, write

_HEADINGS = ("customer", "subject", "kind", "source", "happened", "ago")


def show_orphans(addresses: Sequence[str], limit: int, now: Instant, *, as_json: bool) -> int:
    """Print the latest `limit` that the workers know of, and say how many there are; returns that.

    `addresses`: of a worker of each service; it names the others. Raises Unreachable where one does not answer.
    """
    orphans, total, unowned = _asked(addresses, limit)
    listed = sorted(orphans, key=_latest_first)[:limit]
    if as_json:
        for orphan in listed:
            write(json.dumps(MessageToDict(orphan), ensure_ascii=False))
    elif listed:
        _print(listed, now)
    more = f", and {total - len(listed):,} more (--limit)" if total > len(listed) else ""
    say(f"{counted(len(listed), 'orphan')}{more}", err=True)
    if unowned:
        say(f"{counted(unowned, 'partition')} without a worker that is known: there may be others.", err=True)
    return total


def _asked(addresses: Sequence[str], limit: int) -> tuple[list[Orphan], int, int]:
    """What all workers answer: orphans, how many there are, and of how many partitions nobody could answer."""
    orphans, total, unowned = list[Orphan](), 0, 0
    for address in addresses:
        first = _ask(address, limit)
        for answer in (first, *(_ask(other, limit) for other in first.others)):
            orphans += answer.orphans
            total += answer.total
        unowned += first.unowned
    return orphans, total, unowned


def _ask(address: str, limit: int) -> ListOrphansResponse:
    answer: ListOrphansResponse = ask(address, OrphanServiceStub, "ListOrphans", ListOrphansRequest(limit=limit))
    return answer


def _latest_first(orphan: Orphan) -> tuple[int, str, str]:
    return -from_timestamp(orphan.occurred_at), orphan.kind, orphan.subject_id


def _print(orphans: Sequence[Orphan], now: Instant) -> None:
    table = Table(box=SIMPLE_HEAD)
    for heading in _HEADINGS:
        table.add_column(heading, overflow="fold", no_wrap=heading == "ago")
    for each in orphans:
        at = from_timestamp(each.occurred_at)
        happened, ago = format_instant(Instant(at - at % SECOND)), format_duration(max(now - at, 0))
        table.add_row(each.customer_id, each.subject_id, each.kind.replace("_", " "), each.source, happened, ago)
    console().print(table)
