"""The same job as one would write it with Faust: an agent and a Table, nothing of ours but the pure core.

    python -m benchmarks.idiomatic KAFKA PREFIX PARTITIONS COUNT

Prints "seen EVENTS CPU_SECONDS WALL_SECONDS" every 5,000 events (Faust writes to standard output as well). The agent
decodes with the promise service's codec, folds with its domain and keeps the packed record in the table, so that both
workers do the same work; what differs is the way from Kafka to the fold and back.
"""

import sys
import tempfile
import time

import faust

from services.promises.codec import machine
from services.promises.rules import read_rules
from services.shared.clock import wall_clock
from services.shared.envelope import Limits


def main(kafka: str, prefix: str, partitions: int, count: int) -> None:
    """Run until `count` events are processed."""
    promises = machine(read_rules(), Limits(wall_clock), prefix)
    app = faust.App(
        f"{prefix}idiomatic",
        broker=f"kafka://{kafka}",
        store="memory://",
        datadir=tempfile.mkdtemp(),
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=partitions,
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
    orders = app.topic(f"{prefix}orders.v1", key_type=bytes, value_type=bytes)
    table = app.Table(
        "promises",
        key_type=bytes,
        value_type=bytes,
        partitions=partitions,
        changelog_topic=app.topic(promises.records, key_type=bytes, value_type=bytes),
    )
    decode = promises.inputs[f"{prefix}orders.v1"]
    seen = 0

    @app.agent(orders)
    async def judge(stream: faust.StreamT[bytes]) -> None:
        nonlocal seen
        async for value in stream:
            for key, fact in decode(value, False):
                known = table.get(key)
                record = promises.fold(key, None if known is None else promises.unpack(known), [fact])
                if record is not None:
                    table[key] = promises.pack(record)
            seen += 1
            if seen == 1 or seen % 5_000 == 0 or seen == count:
                sys.stdout.write(f"\nseen {seen} {time.process_time()} {time.perf_counter()}\n")
                sys.stdout.flush()

    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    bootstrap, topic_prefix, *numbers = sys.argv[1:]
    main(bootstrap, topic_prefix, *map(int, numbers))
