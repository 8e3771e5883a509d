"""Faust as its documentation teaches it: an agent and a Table. Its Table's changelog is the records topic.

python -m benchmarks.rivals.idiomatic_faust JSON    (the fields of `Task`)
"""

import json
import sys

import faust

from benchmarks.rivals.judge import Judge, Task


def main(task: Task) -> None:
    """Run until killed."""
    judge = Judge(task)
    app = faust.App(
        f"{task.prefix}faust",
        broker=f"kafka://{task.kafka}",
        store="memory://",
        datadir=task.directory,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=task.partitions,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        table_standby_replicas=0,
        producer_linger=0.005,
        producer_max_batch_size=256 << 10,
        stream_wait_empty=True,
        worker_redirect_stdouts=False,
    )
    table = app.Table(
        "promises",
        key_type=bytes,
        value_type=bytes,
        partitions=task.partitions,
        changelog_topic=app.topic(task.records, key_type=bytes, value_type=bytes),
    )

    @app.agent(app.topic(task.orders, key_type=bytes, value_type=bytes))
    async def work(stream: faust.StreamT[bytes]) -> None:
        async for value in stream:
            for key, fact in judge.facts(value):
                record = judge.judged(key, table.get(key), fact)
                if record is not None:
                    table[key] = record
            judge.seen()

    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main(Task(**json.loads(sys.argv[1])))
