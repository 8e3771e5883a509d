"""A worker as it would be without fences: `python -m tests.chaos.unfenced promises`, or `sla`.

It still writes the message that recovery ends at, but claims nothing, so that Kafka refuses nobody.
"""

import sys
from collections.abc import Callable, Mapping
from time import time_ns
from typing import Any

from aiokafka.structs import TopicPartition

from services.promises import app as promises
from services.promises.settings import PromiseSettings
from services.shared.engine.fence import HEADERS, KEY, Fences
from services.shared.service import main
from services.sla import app as sla
from services.sla.settings import SlaSettings

_SERVICES: Mapping[str, Callable[[], None]] = {
    "promises": lambda: main("promises", PromiseSettings, promises.app),
    "sla": lambda: main("sla", SlaSettings, sla.app),
}


async def _mark(self: Any, place: TopicPartition) -> int:
    batch = self._producer.create_batch()
    batch.append(timestamp=time_ns() // 1_000_000, key=KEY, value=None, headers=HEADERS)
    batch.close()
    answer = await self._producer.send_batch(batch, place.topic, partition=place.partition)
    return int((await answer).offset)


if __name__ == "__main__":
    Fences._set = _mark  # type: ignore[method-assign]  # noqa: SLF001
    _SERVICES[sys.argv[1]]()
