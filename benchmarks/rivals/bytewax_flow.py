"""Bytewax as its documentation teaches it: a keyed `stateful_flat_map` between Kafka operators, with recovery.

    python -m benchmarks.rivals.bytewax_flow JSON    (the fields of `Task`)

Recovery snapshots what changed into SQLite, every ten seconds as is its default.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage, operators as kop
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from benchmarks.rivals.judge import Judge, Task


def flow(task: Task) -> Dataflow:
    """From orders to records."""
    judge = Judge(task)

    def facts(message: KafkaSourceMessage[bytes, bytes]) -> Iterable[tuple[str, Any]]:
        return [(key.decode(), (key, fact)) for key, fact in judge.facts(message.value)]

    def work(known: bytes | None, keyed: tuple[bytes, Any]) -> tuple[bytes | None, list[bytes]]:
        record = judge.judged(keyed[0], known, keyed[1])
        judge.seen()
        return record, [] if record is None else [record]

    def message(keyed: tuple[str, bytes]) -> KafkaSinkMessage[bytes, bytes]:
        return KafkaSinkMessage(keyed[0].encode(), keyed[1])

    dataflow = Dataflow("promises")
    orders = kop.input("orders", dataflow, brokers=[task.kafka], topics=[task.orders])
    by_record = op.flat_map("facts", orders.oks, facts)
    records = op.stateful_flat_map("judge", by_record, work)
    kop.output("records", op.map("message", records, message), brokers=[task.kafka], topic=task.records)
    return dataflow


def main(task: Task) -> None:
    """Run until killed."""
    directory = Path(task.directory)
    init_db_dir(directory, 1)
    cli_main(flow(task), recovery_config=RecoveryConfig(directory))


if __name__ == "__main__":
    main(Task(**json.loads(sys.argv[1])))
