"""Some scenarios of each kind, once and in their short form, on real Kafka: `make chaos` plays all of them."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import pytest

from tests.chaos.scenarios.table import PLAYS
from tests.chaos.theatre import Outcome, perform

#: Service and scenario, the longest first.
_SOME = (
    "promises-node_lost", "promises-broker_killed",
    "sla-standards", "sla-kill_all",
    "promises-join_leave", "promises-kill_all", "promises-scale", "promises-freeze", "promises-freeze_unfenced",
    "promises-reordering", "promises-poison", "promises-misplaced", "promises-transactions",
    "promises-compaction", "promises-cut", "promises-storm",
)  # fmt: skip
_PLAYS = {f"{play.subject.service}-{play.name}": play for play in PLAYS}
#: Scenarios played at a time: half of each is waiting.
_AT_ONCE = 2


class _Shared(NamedTuple):
    bootstrap: str


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, real_kafka: str) -> Iterator[Mapping[str, Future[Outcome]]]:
    """What comes of the scenarios that were asked for."""
    names = [name for name in _SOME if any(item.name.endswith(f"[{name}]") for item in request.session.items)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield {name: pool.submit(perform, _PLAYS[name], 1, "short", _Shared(real_kafka)) for name in names}
        pool.shutdown(cancel_futures=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", _SOME)
def test_nothing_is_lost_false_or_double(outcomes: Mapping[str, Future[Outcome]], name: str) -> None:
    """Whatever happens to workers, input, storage and brokers, the oracle finds no fault; without fences it must."""
    outcome = outcomes[name].result()
    assert outcome.is_good, f"{outcome.kept}\n" + "\n".join(map(str, outcome.report.findings[:5]))
