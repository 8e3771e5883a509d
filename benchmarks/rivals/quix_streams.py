"""Quix Streams as its documentation teaches it: a stateful `apply` over RocksDB with a changelog topic.

    python -m benchmarks.rivals.quix_streams JSON    (the fields of `Task`)

State lies under the message's key, the customer; within it each record has its own. Nothing is set but what the work
asks for: bytes as keys and values, where to begin to read and where state lies.
"""

import json
import sys

from quixstreams import Application
from quixstreams.models import BytesSerializer, SerializationContext
from quixstreams.state import State

from benchmarks.rivals.judge import Judge, Task

Keyed = tuple[bytes, bytes]


class _Value(BytesSerializer):  # type: ignore[misc]  # it ships no types
    """Writes the second of a pair; the first is the key."""

    def __call__(self, value: Keyed, ctx: SerializationContext) -> bytes:
        return bytes(super().__call__(value[1], ctx))


def main(task: Task) -> None:
    """Run until killed."""
    judge = Judge(task)
    app = Application(
        broker_address=task.kafka,
        consumer_group=f"{task.prefix}quix",
        auto_offset_reset="earliest",
        state_dir=task.directory,
        loglevel="WARNING",
    )
    orders = app.topic(task.orders, key_deserializer="bytes", value_deserializer="bytes")
    records = app.topic(task.records, key_serializer="bytes", value_serializer=_Value())

    def work(value: bytes, state: State[str, bytes]) -> list[Keyed]:
        out = []
        for key, fact in judge.facts(value):
            place = key.decode()
            record = judge.judged(key, state.get_bytes(place), fact)
            if record is not None:
                state.set_bytes(place, record)
                out.append((key, record))
        judge.seen()
        return out

    app.dataframe(orders).apply(work, stateful=True, expand=True).to_topic(records, key=lambda pair: pair[0])
    app.run()


if __name__ == "__main__":
    main(Task(**json.loads(sys.argv[1])))
