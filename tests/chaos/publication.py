"""Publishes a plan in the background, each message at its time."""

import time
from collections.abc import Sequence
from random import Random
from threading import Thread
from typing import Any

from kafka import KafkaProducer

from tests.chaos.reading import EVENTS
from tests.chaos.traffic import Shot

#: Messages published between two looks at the clock.
_HANDFUL = 20


class Publication:
    """The traffic of a run. `until` waits for a point of it: there the faults happen, whatever the machine's pace."""

    def __init__(self, kafka: str, prefix: str, shots: Sequence[Shot], start: float) -> None:
        """`start`: the wall clock's seconds that the times of the shots count from."""
        self.shots = shots
        self._kafka, self._prefix, self._start = kafka, prefix, start
        self._failures: list[Exception] = []
        self._sent = 0
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def goes_on(self) -> bool:
        """Whether there is more to come."""
        return self._thread.is_alive()

    def until(self, part: float) -> None:
        """Wait until this part of the messages, 0 to 1, is published."""
        while self._sent < part * len(self.shots) and self.goes_on:
            time.sleep(0.01)

    def finish(self) -> None:
        """Wait until all of it is in Kafka. Raises what was not taken."""
        self._thread.join()
        if self._failures:
            raise self._failures[0]

    def _run(self) -> None:
        try:
            with self._producer() as producer:
                for first in range(0, len(self.shots), _HANDFUL):
                    handful = self.shots[first : first + _HANDFUL]
                    time.sleep(max(0.0, self._start + handful[-1].at - time.time()))
                    self._publish(producer, handful)
                    self._sent += len(handful)
                producer.flush()
        except Exception as error:  # noqa: BLE001 - said by `finish`, in the thread that waits
            self._failures.append(error)

    def _producer(self, **settings: Any) -> KafkaProducer:
        return KafkaProducer(
            bootstrap_servers=self._kafka, acks="all", enable_idempotence=True, linger_ms=5, batch_size=128 << 10,
            delivery_timeout_ms=180_000, max_block_ms=120_000, **settings,
        )  # fmt: skip

    def _publish(self, producer: KafkaProducer, shots: Sequence[Shot]) -> None:
        for shot in shots:
            producer.send(
                self._prefix + shot.topic, key=shot.key, value=shot.value, headers=list(shot.headers),
                partition=shot.partition,
            ).add_errback(self._failures.append)  # fmt: skip


class InTransactions(Publication):
    """Every handful is a transaction. Before many of them another is aborted, which says what never happened."""

    _random = Random(0)

    def _producer(self, **settings: Any) -> KafkaProducer:
        producer = super()._producer(transactional_id=f"{self._prefix}shop", **settings)
        producer.init_transactions()
        return producer

    def _publish(self, producer: KafkaProducer, shots: Sequence[Shot]) -> None:
        if self._random.random() < 0.4:
            producer.begin_transaction()
            super()._publish(producer, list(map(_withdrawn, shots)))
            producer.flush()
            producer.abort_transaction()
        producer.begin_transaction()
        super()._publish(producer, shots)
        producer.commit_transaction()


def _withdrawn(shot: Shot) -> Shot:
    """The same subject's promise is waived."""
    event: Any = EVENTS[shot.topic]()
    if not shot.headers:
        event.MergeFromString(shot.value or b"")
    event.event_id += "-aborted"
    event.waived.reason = "it never happened"
    return shot._replace(value=event.SerializeToString(), headers=())
