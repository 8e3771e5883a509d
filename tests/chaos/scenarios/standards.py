"""What happens to standards: they change while clocks run."""

import json
import time
from collections.abc import Mapping
from typing import Any

from kafka import KafkaProducer

from puntual.sla.v1.standards_pb2 import StandardsVersion
from tests.chaos.clocks.standards import LEAD, hastened
from tests.chaos.rules import SECOND
from tests.chaos.run import Run

#: Seconds of traffic, and after it is in force within which all is over that a new version has moved.
_TRAFFIC, _MOVED = 20.0, 14.0


def standards(run: Run) -> None:
    """Two versions are published, and as the first comes into force workers are killed: open clocks move together."""
    team = run.team(2)
    traffic = run.publish(run.mix._replace(seconds=_TRAFFIC, rate=250.0))
    traffic.until(run.random.uniform(0.05, 0.2))
    made = json.loads(run.rules["standards"].read_text())
    since = time.time() + LEAD / SECOND
    _publish(run, hastened({**made, "version": "2", "apply_to_open": True}))
    run.noisy_until(since + _MOVED)
    traffic.until(run.random.uniform(0.3, 0.4))
    _publish(run, {**made, "version": "3"})
    time.sleep(max(0.0, since + run.random.uniform(-2.0, 0.5) - time.time()))
    victims = team if run.random.random() < 0.5 else team[:1]
    for worker in victims:
        worker.strike()
    run.fault(f"kill -9 of {len(victims)} as standards change")
    time.sleep(run.random.uniform(0.0, 2.0))
    for worker in victims:
        worker.begin()
    for worker in victims:
        worker.wait_ready()


def _publish(run: Run, document: Mapping[str, Any]) -> None:
    producer = KafkaProducer(bootstrap_servers=run.kafka, acks="all")
    value = StandardsVersion(document=json.dumps(document, indent=1)).SerializeToString()
    producer.send(run.laws[0], value, key=str(document["version"]).encode()).get(timeout=30)
    producer.close()
    run.fault(f"version {document['version']}")
