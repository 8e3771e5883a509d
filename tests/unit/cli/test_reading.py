"""Reading a topic to its end."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from services.cli import reading
from services.cli.reading import read_to_end
from services.shared.errors import KafkaUnreachable


class Broker:
    """A consumer of one partition whose broker answers at once: nothing so many times, then the message."""

    def __init__(self, empty: int) -> None:
        self._answers = deque([{}] * empty + [{0: [SimpleNamespace(offset=0)]}])
        self._read = 0

    def assignment(self) -> set[int]:
        return {0}

    def end_offsets(self, _partitions: object) -> dict[int, int]:
        return {0: 1}

    def seek_to_beginning(self) -> None:
        """It stands there."""

    def position(self, _partition: int) -> int:
        return self._read

    def poll(self, timeout_ms: int) -> object:
        assert timeout_ms
        answer = self._answers.popleft()
        self._read += len(answer)
        return answer


@contextmanager
def connected(broker: Broker) -> Iterator[Broker]:
    yield broker


def test_a_broker_that_says_nothing_yet_at_once_is_no_broker_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is time that tells them apart, not the number of answers."""
    monkeypatch.setattr(reading, "_consumer", lambda *_: connected(Broker(empty=500)))
    assert len(list(read_to_end("kafka", "topic"))) == 1
    monkeypatch.setattr(reading, "CONNECT_MS", 0)
    with pytest.raises(KafkaUnreachable):
        list(read_to_end("kafka", "topic"))
